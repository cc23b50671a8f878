//! The definition of a setting, and the nearest one to a misspelt name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;

use crate::base::name::RepoName;
use crate::config::SharePolicy;
use crate::config::network::Network;
use crate::config::time_window::TimeWindow;
use crate::config::typed::ValueField;
use crate::config::url::{BaseUrl, RpcAddress};
use crate::config::written::Written;

/// The beginning of every variable of this program.
pub(crate) const PREFIX: &str = "PKGSWARM_";

/// The syntax of a setting's text, and the field for its value. `Shape::read` reads a text into it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A name, or `auto`.
    Name(ValueField<Option<String>>),
    /// An absolute path.
    Path(ValueField<PathBuf>),
    /// An absolute path, or this word.
    PathOr(&'static str, ValueField<Option<PathBuf>>),
    /// An http or https URL.
    Url(ValueField<BaseUrl>),
    /// An http or https URL, or a Unix socket, or either as a multiaddress of Kubo.
    Api(ValueField<RpcAddress>),
    /// A list of URLs.
    Urls(ValueField<Vec<BaseUrl>>),
    /// Bytes: `512`, `100 KiB`, `2 GiB`, `1 GB`.
    Size(ValueField<u64>),
    /// A time span: `300 ms`, `5 s`, `10 min`, `6 h`.
    Span(ValueField<Duration>),
    /// `any`, or a time of day: `22:00-06:00`.
    Window(ValueField<TimeWindow>),
    /// A whole number within these bounds.
    Number(u32, u32, ValueField<u32>),
    /// A whole number within these bounds, or `auto`.
    NumberOrAuto(u32, u32, ValueField<Option<u32>>),
    /// Names of repositories, possibly none.
    Repos(ValueField<Vec<RepoName>>),
    /// `public`, or names of repositories.
    Share(ValueField<SharePolicy>),
    /// Networks, possibly none; a mistake is reported where they are used.
    Networks(ValueField<Vec<Written<Network>>>),
    /// Addresses with ports, possibly none; a mistake is reported where they are used.
    Addresses(ValueField<Vec<Written<SocketAddr>>>),
    /// Patterns of interfaces' names, possibly none; a mistake is reported where they are used.
    Interfaces(ValueField<Vec<Written<Pattern>>>),
    /// Words, possibly none; checked where they are used.
    Words(ValueField<Vec<String>>),
    /// `true` or `false`.
    YesNo(ValueField<bool>),
    /// One of these words.
    Choice(&'static [&'static str], ValueField<&'static str>),
}

/// One setting.
#[derive(Debug)]
pub(crate) struct SettingKey {
    /// `section.key`, as in the file; `PKGSWARM_SECTION_KEY` in the environment.
    pub(crate) name: &'static str,
    /// The syntax of its text.
    pub(crate) shape: Shape,
    /// The built-in default.
    pub(crate) default: &'static str,
    /// One paragraph for the manual.
    pub(crate) doc: &'static str,
}

impl SettingKey {
    /// Returns the environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Returns true when `variable` sets it. Every call of pacman asks, so nothing is made for it.
    pub(crate) fn is_set_by(&self, variable: &str) -> bool {
        let is_same = |(ours, theirs): (u8, u8)| theirs == if ours == b'.' { b'_' } else { ours.to_ascii_uppercase() };
        let rest = variable.strip_prefix(PREFIX).filter(|rest| rest.len() == self.name.len());
        rest.is_some_and(|rest| self.name.bytes().zip(rest.bytes()).all(is_same))
    }
}

/// Returns the known name that is nearest to `wrong`, for the hint of an error.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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
