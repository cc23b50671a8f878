//! A share of an index that this machine keeps alive, in Kubo or in the store, as `[keep.NAME]` declares it.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::str::FromStr;

use crate::base::name::{RepoName, shown};
use crate::config::key::nearest;
use crate::config::value::{self, show_size};
use crate::config::written::Written;

/// The words that follow `pkgswarm keep` with a meaning of their own.
pub(crate) const KEEP_VERBS: &[&str] = &["run", "ls", "list", "status", "stop", "help"];

/// The fields, each with its meaning.
pub(crate) const KEEP_FIELDS: &[(&str, &str)] = &[
    (
        "quota",
        "Most bytes that the share takes on Kubo's disk, or in the store, at any moment, overhead included. Required.",
    ),
    ("repos", "Repositories of the index of which files are kept. Default: all that the index may speak for."),
    (
        "min_free",
        "Room that stays free on the file system of Kubo's repository, whatever else fills it: a size, or a part of the \
         whole like \"10%\". Below that the files that are needed least are let go. Default: 10%. Where that file system \
         is not on this machine, or cannot be looked at, Kubo's own StorageMax alone counts, and a round says so. For a \
         share without Kubo, that of the store.",
    ),
    ("newest", "Whether of several versions of a package only the newest is kept. Default: false."),
    (
        "mirrors",
        "Whether files that no peer and no gateway has are fetched from mirrors, which people run for the public. \
         Default: false.",
    ),
];

/// The room that is to stay free on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MinFree {
    /// A part of the whole file system, in hundredths.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

impl MinFree {
    /// The room where the user names none.
    pub(crate) const USUAL: Self = Self::Percent(10);

    /// Returns the bytes on a file system of `total` bytes.
    pub(crate) fn of(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => total / 100 * u64::from(percent),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for MinFree {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("min_free: expected a size like \"20 GiB\" or a part like \"10%\", found {text:?}");
        match text.trim().strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse().ok().filter(|percent| *percent <= 99);
                percent.map(Self::Percent).ok_or_else(bad)
            }
            None => value::size(text).map(Self::Bytes).ok_or_else(bad),
        }
    }
}

impl fmt::Display for MinFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => f.write_str(&show_size(*bytes)),
        }
    }
}

/// A share of an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeepConfig {
    /// The name of the index.
    pub name: String,
    /// Most bytes on Kubo's disk.
    pub quota: u64,
    /// Its repositories; all when empty.
    pub repos: Vec<Written<RepoName>>,
    /// The room that stays free on that disk.
    pub min_free: MinFree,
    /// True where only the newest of several versions of a package is kept.
    pub newest: bool,
    /// True where mirrors may be asked.
    pub mirrors: bool,
}

impl KeepConfig {
    /// Reads the fields of a table in a configuration file; the items of a list are joined with commas.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub(crate) fn of_fields(name: &str, fields: &[(String, String)]) -> Result<Self, String> {
        check_keep_name(name)?;
        let text = |field: &str| fields.iter().find(|(known, _)| known == field).map(|(_, text)| text.as_str());
        let known = || KEEP_FIELDS.iter().map(|(field, _)| *field);
        if let Some((field, _)) = fields.iter().find(|(field, _)| !known().any(|known| known == field)) {
            let near = nearest(field, known()).unwrap_or("quota, repos, min_free, newest or mirrors");
            return Err(format!("unknown setting \"keep.{name}.{field}\"; did you mean {near:?}?"));
        }
        let quota = text("quota").ok_or_else(|| format!("keep {name}: a quota is required"))?;
        let bad = || format!("quota: expected a size like \"40 GiB\", found {quota:?}");
        let yes_no = |field: &str| match text(field) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("{field}: expected true or false, found {other:?}")),
        };
        Ok(Self {
            name: name.to_owned(),
            quota: value::size(quota).ok_or_else(bad)?,
            repos: value::list(text("repos").unwrap_or_default()).map(value::repo).collect(),
            min_free: text("min_free").map_or(Ok(MinFree::USUAL), str::parse)?,
            newest: yes_no("newest")?,
            mirrors: yes_no("mirrors")?,
        })
    }

    /// Returns a sentence for each repository of its list that the index, which has `listed`, does not have.
    pub(crate) fn unlisted(&self, listed: &[&str]) -> Vec<String> {
        let lacks = |repo: &&str| !listed.contains(repo);
        let told = |repo: &str| {
            let near = nearest(repo, listed.iter().copied()).map(|near| format!("; did you mean {near}?"));
            format!("index {} has no repository {}{}", self.name, shown(repo), near.unwrap_or_default())
        };
        self.repos.iter().map(Written::text).filter(lacks).map(told).collect()
    }

    /// Writes its declaration.
    pub(crate) fn to_toml(&self) -> String {
        let text = |value: &str| toml::Value::from(value).to_string();
        let min_free = match self.min_free {
            MinFree::Percent(_) => text(&self.min_free.to_string()),
            MinFree::Bytes(bytes) => text(&format!("{bytes} B")),
        };
        let mut out = format!("[keep.{}]\nquota = \"{} B\"\nmin_free = {min_free}\n", self.name, self.quota);
        if !self.repos.is_empty() {
            let repos: Vec<String> = self.repos.iter().map(|repo| text(repo.text())).collect();
            out += &format!("repos = [{}]\n", repos.join(", "));
        }
        for (field, is_set) in [("newest", self.newest), ("mirrors", self.mirrors)] {
            if is_set {
                out += &format!("{field} = true\n");
            }
        }
        out
    }
}

/// Checks the name of a share: that of an index, and no word of the command.
///
/// # Errors
/// The sentence that says what is wrong with it.
pub(crate) fn check_keep_name(name: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        return Err(format!("keep {name:?}: 1 to 64 letters, digits, - and _ are allowed"));
    }
    if KEEP_VERBS.contains(&name) {
        return Err(format!(
            "keep {name:?}: `pkgswarm keep {name}` is a command; an index of another name can be kept"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> Result<KeepConfig, String> {
        let fields: Vec<_> = fields.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned())).collect();
        KeepConfig::of_fields("arch", &fields)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for fields in [
            &[("quota", "40 GB")][..],
            &[("quota", "7"), ("repos", "core,extra"), ("min_free", "5 GiB"), ("newest", "true"), ("mirrors", "true")],
            &[("quota", "1 TiB"), ("min_free", "0%")],
        ] {
            let config = of(fields).unwrap();
            let table: toml::Table = config.to_toml().parse().unwrap();
            let written = table["keep"]["arch"].as_table().unwrap();
            let flat = |value: &toml::Value| match value {
                toml::Value::Array(items) => {
                    items.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join(",")
                }
                toml::Value::Boolean(yes) => yes.to_string(),
                other => other.as_str().unwrap().to_owned(),
            };
            let read: Vec<_> = written.iter().map(|(field, value)| (field.clone(), flat(value))).collect();
            assert_eq!(KeepConfig::of_fields("arch", &read), Ok(config));
        }
    }

    #[test]
    fn a_repository_that_the_index_lacks_is_told_with_the_nearest_one() {
        let keep = of(&[("quota", "1"), ("repos", "core,extar,weather-station")]).unwrap();
        assert_eq!(
            keep.unlisted(&["core", "extra"]),
            ["index arch has no repository extar; did you mean extra?", "index arch has no repository weather-station"]
        );
        assert_eq!(of(&[("quota", "1")]).unwrap().unlisted(&[]), [""; 0], "all that there are");
    }

    #[test]
    fn what_is_wrong_with_a_share_is_said() {
        assert_eq!(of(&[]).unwrap_err(), "keep arch: a quota is required");
        assert_eq!(of(&[("quota", "much")]).unwrap_err(), "quota: expected a size like \"40 GiB\", found \"much\"");
        assert_eq!(
            of(&[("quota", "1"), ("quta", "2")]).unwrap_err(),
            "unknown setting \"keep.arch.quta\"; did you mean \"quota\"?"
        );
        assert!(of(&[("quota", "1"), ("min_free", "100%")]).unwrap_err().starts_with("min_free: expected a size"));
        assert!(KeepConfig::of_fields("status", &[]).unwrap_err().contains("is a command"));
        assert_eq!(MinFree::Percent(10).of(1000), 100);
    }
}
