//! The list of one package system: what its repositories say exists, in the form in which everything else here asks for
//! it.
//!
//! A new system is one implementation of [`List`], which keeps the contract in `tests/cases/lists.rs`, and nothing more:
//! wants, plans, deliveries, neighbours and indexes know a file by what is in this trait. What one system alone has (the
//! options of pacman's command line, its transactions) stays behind that system's own front door.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::PathBuf;

use super::Lists;
use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::lists::catalogue::Catalogue;
use crate::lists::system::{PackageParts, Repository};
use crate::trust::look::FileShape;
use crate::trust::plan::UnreadList;

/// What the repositories of one package system say exists.
///
/// Implementations read what they need when they are first asked, and remember it: lists belong to one call. They print
/// nothing; warnings go to [`Lists::warn_once`] of the `lists` that they are asked by.
pub trait List {
    /// Reads a file name by the rules of the system. Opens nothing.
    fn read<'n>(&self, name: &'n FileName) -> NameReading<'n>;

    /// Returns the repositories, in the order in which the system prefers them.
    ///
    /// # Errors
    /// `Absent` or `Unread`, the same for as long as the list lives.
    fn repos(&self, lists: &Lists) -> Result<Vec<&Repository>, NoRepos>;

    /// Returns all files of a repository, compiled for look-ups. With `is_anew` an earlier result, which may be damaged,
    /// is not used again. [`catalogue::of_source`](crate::lists::catalogue::of_source) keeps one for the next call.
    ///
    /// # Errors
    /// A usage error when there is a list that can be read and is malformed: no file of that repository can be proven
    /// then.
    fn table(&self, lists: &Lists, repo: &RepoName, is_anew: bool) -> Result<ListTable, Error>;

    /// Returns the directories in which the system itself keeps files of packages.
    fn caches(&self, _lists: &Lists) -> &[PathBuf] {
        &[]
    }

    /// Returns the directories in which a change may be one of what the system lists.
    fn places(&self, _lists: &Lists) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns the architecture of the files, as in the names of an index's tables.
    fn arch(&self, _lists: &Lists) -> String {
        std::env::consts::ARCH.to_owned()
    }
}

/// What a file name says in one system.
#[derive(Clone, Debug)]
pub struct NameReading<'n> {
    /// The kind of the file, and what such a file looks like.
    pub shape: FileShape,
    /// The file that this one signs; none for other files than detached signatures.
    pub signed: Option<FileName>,
    /// The parts of the name of a package, or of the signature of one.
    pub package: Option<PackageParts<'n>>,
    /// The repository of a database that is named after it.
    pub repo: Option<RepoName>,
    /// The path of the file below the URL of a server: `packages/NAME` for example. Ends with the name.
    pub path: String,
}

/// The reason why no repositories are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRepos {
    /// This machine does not have the system: no file is its.
    Absent,
    /// Its configuration could not be read: every file may be its. The user was warned.
    Unread,
}

/// The compiled list of a repository, as far as it is known.
#[derive(Debug)]
pub enum ListTable {
    /// There is none.
    Missing,
    /// There is one, which could not be read. The user was warned.
    Unread(UnreadList),
    /// A list that was read.
    Compiled(Catalogue),
}
