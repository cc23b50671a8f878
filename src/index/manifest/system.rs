//! The package system that a table is of, where that is not pacman's.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::name::FileName;

/// The name of Haiku's: a repository of pkgman's, with the files that describe it.
pub(crate) const HAIKU: &str = "haiku";
/// The name of none: files that no package manager lists, like images.
pub(crate) const FILES: &str = "files";

/// Most bytes of a system's name.
pub(in super::super) const SYSTEM_MOST: usize = 32;
/// Most bytes of a path.
pub(in super::super) const PATH_MOST: usize = 1024;
/// Most directories of a path.
pub(in super::super) const DEPTH_MOST: usize = 8;

/// A package system that is not pacman's, and the place that it gives the files of a table. A reader that does not know
/// the system leaves the table alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableSystem {
    /// Its name: `haiku`, `files`, or one of a later format.
    pub name: String,
    /// The directory of the files below the root of the index: plain names with slashes between.
    pub path: String,
}

impl TableSystem {
    /// Makes that of Haiku's, for a repository at `path`.
    pub(crate) fn haiku(path: String) -> Self {
        Self { name: HAIKU.to_owned(), path }
    }

    /// Makes that of plain files at `path`.
    pub(crate) fn files(path: String) -> Self {
        Self { name: FILES.to_owned(), path }
    }

    /// Reads both fields: neither is one of pacman's; `None` for what no table may have.
    pub(super) fn check(name: Option<String>, path: Option<String>) -> Option<Option<Self>> {
        let (name, path) = match (name, path) {
            (None, None) => return Some(None),
            (Some(name), Some(path)) => (name, path),
            _ => return None,
        };
        let is_name = (1..=SYSTEM_MOST).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_path = path.len() <= PATH_MOST
            && path.split('/').count() <= DEPTH_MOST
            && path.split('/').all(|part| FileName::new(part).is_ok());
        (is_name && is_path).then_some(Some(Self { name, path }))
    }
}
