//! The definition of a setting, and the nearest one to a misspelt name.

/// The beginning of every variable of this program.
pub const PREFIX: &str = "PKGSWARM_";

/// The syntax of a setting's text. `Shape::read` turns a text into a value of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A name, or `auto`.
    Name,
    /// An absolute path.
    Path,
    /// An absolute path, or this word.
    PathOr(&'static str),
    /// An http or https URL.
    Url,
    /// An http or https URL, or a Unix socket, or either as a multiaddress of Kubo.
    Api,
    /// A list of URLs.
    Urls,
    /// Bytes: `512`, `100 KiB`, `2 GiB`, `1 GB`.
    Size,
    /// A time span: `300 ms`, `5 s`, `10 min`, `6 h`.
    Span,
    /// `any`, or a time of day: `22:00-06:00`.
    Window,
    /// A whole number within these bounds.
    Number(u32, u32),
    /// A whole number within these bounds, or `auto`.
    NumberOrAuto(u32, u32),
    /// Names of repositories, possibly none.
    Repos,
    /// `public`, or names of repositories.
    Share,
    /// Networks, possibly none; a mistake is reported where they are used.
    Networks,
    /// Patterns of interfaces' names, possibly none; a mistake is reported where they are used.
    Interfaces,
    /// Words, possibly none; checked where they are used.
    Words,
    /// `true` or `false`.
    YesNo,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Debug)]
pub struct SettingKey {
    /// `section.key`, as in the file; `PKGSWARM_SECTION_KEY` in the environment.
    pub name: &'static str,
    /// The syntax of its text.
    pub shape: Shape,
    /// The built-in default.
    pub default: &'static str,
    /// One paragraph for the manual.
    pub doc: &'static str,
}

impl SettingKey {
    /// Returns the environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Returns true when `variable` sets it. Every call of pacman asks, so nothing is made for it.
    pub fn is_set_by(&self, variable: &str) -> bool {
        let is_same = |(ours, theirs): (u8, u8)| theirs == if ours == b'.' { b'_' } else { ours.to_ascii_uppercase() };
        let rest = variable.strip_prefix(PREFIX).filter(|rest| rest.len() == self.name.len());
        rest.is_some_and(|rest| self.name.bytes().zip(rest.bytes()).all(is_same))
    }
}

/// Returns the known name that is nearest to `wrong`, for the hint of an error.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::levenshtein(wrong, name), name))
        .min()
        .filter(|(far, name)| *far <= name.len().div_ceil(2))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KEYS;

    #[test]
    fn a_setting_knows_its_variable() {
        for key in KEYS {
            let set: Vec<_> = KEYS.iter().filter(|other| other.is_set_by(&key.variable())).collect();
            assert!(matches!(*set, [other] if other.name == key.name), "{}", key.name);
        }
        assert!(!KEYS.iter().any(|key| key.is_set_by("PKGSWARM_STORE.MAX") || key.is_set_by("STORE_MAX")));
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_key() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("kubo.gatway", names()), Some("kubo.gateway"));
        assert_eq!(nearest("store.size", names()), Some("store.dir"));
        assert_eq!(nearest("completely.different.thing", names()), None);
    }
}
