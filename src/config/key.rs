//! The definition of a setting, and the nearest one to a misspelt name.

/// The syntax of a setting's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Any text.
    Text,
    /// An absolute path.
    Path,
    /// An absolute path, or `none`.
    PathOrNone,
    /// An http or https URL.
    Url,
    /// An http or https URL, or a Unix socket, or either as a multiaddress of Kubo.
    Api,
    /// A list of URLs.
    UrlList,
    /// Bytes: `512`, `100 KiB`, `2 GiB`, `1 GB`.
    Size,
    /// A time span: `300 ms`, `5 s`, `10 min`, `6 h`.
    Span,
    /// `any`, or a time of day: `22:00-06:00`.
    Window,
    /// A whole number from 1 to 8.
    Count,
    /// Names of repositories, possibly none.
    RepoList,
    /// Words, possibly none; checked where they are used.
    Words,
    /// A whole number.
    Number,
    /// A whole number from 1 to this, or `auto`.
    UpTo(u32),
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
        format!("PKGSWARM_{}", self.name.replace('.', "_").to_uppercase())
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
    fn a_slip_of_the_finger_finds_the_key() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("kubo.gatway", names()), Some("kubo.gateway"));
        assert_eq!(nearest("store.size", names()), Some("store.dir"));
        assert_eq!(nearest("completely.different.thing", names()), None);
    }
}
