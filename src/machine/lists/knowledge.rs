//! Everything that the lists of the repositories and the tables of the indexes say about a file, and which of them cannot be
//! read.
//!
//! Only "no such file" means that there is no list. One that exists and cannot be read (a closed directory, a
//! database that only root may read, a `pacman-conf` that does not answer) may list any file, so that no other
//! statement about a file is possible: it gets a waiver of its own ([`UnreadList`]), and a warning names the
//! unreadable list with its cause, once in a run of pacman. A list that can be read and is malformed is refused
//! instead. Tests: `tests/cases/unreadable_lists.rs`.

use std::fmt::Display;
use std::time::SystemTime;

use super::{ListTable, Lists, NoRepos};
use crate::base::cid::Cid;
use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::index;
use crate::lists::catalogue::{Catalogue, CatalogueEntry, CatalogueError};
use crate::trust::plan::{IndexEntry, Knowledge, Known, UnreadList};

impl Lists {
    /// Returns the compiled list of a repository; `None` when there is none yet, or, with a warning, when it cannot be
    /// read.
    ///
    /// # Errors
    /// A usage error when there is one that does not parse: no file of that repository can be proven then.
    pub(crate) fn table(&self, repo: &RepoName) -> Result<Option<Catalogue>, Error> {
        Ok(match self.list.table(self, repo, false)? {
            ListTable::Compiled(catalogue) => Some(catalogue),
            ListTable::Missing | ListTable::Unread(_) => None,
        })
    }

    /// Returns the knowledge of a file without the system's configuration: none, and why.
    pub(crate) fn without_repos(&self) -> Knowledge {
        let unread = (self.repos().err() != Some(NoRepos::Absent)).then_some(UnreadList::Configuration);
        Knowledge { unread, for_others: !self.is_for_system(), ..Knowledge::default() }
    }

    /// Warns of a list that cannot be read.
    pub(super) fn say_unread(&self, what: &dyn Display) {
        self.warn_once(&format!("{what}: this list cannot be read, and its entries are not known here"));
    }

    /// Returns the indexes that may speak for a repository, with their compiled tables. Leaves out expired ones
    /// and, with a warning, unreadable ones.
    pub(crate) fn tables(&self, repo: &str) -> Vec<(String, Catalogue)> {
        self.tables_and_unread(repo).0
    }

    /// Returns the same, and whether one of them cannot be read.
    fn tables_and_unread(&self, repo: &str) -> (Vec<(String, Catalogue)>, bool) {
        let allowed = self.machine.settings.indexes.iter().filter(|index| index.may_describe(repo));
        let (arch, mut tables, mut is_unread) = (self.arch(), Vec::new(), false);
        for index in allowed {
            match index::in_use::table(&self.machine.settings, index, repo, &arch, SystemTime::now()) {
                Ok(table) => tables.extend(table.map(|table| (index.name.clone(), table))),
                Err(error) => {
                    self.say_unread(&format!("index {}: {error}", index.name));
                    is_unread = true;
                }
            }
        }
        (tables, is_unread)
    }

    /// Returns everything that the lists contain about a file of a repository.
    ///
    /// # Errors
    /// As of [`Lists::table`].
    pub(crate) fn knowledge(&self, repo: &RepoName, name: &FileName) -> Result<Knowledge, Error> {
        let configured = self.repo(repo);
        let reading = self.read(name);
        let signed = reading.signed.as_ref();
        let list = configured.map_or(Ok(ListTable::Missing), |repo| self.list.table(self, &repo.name, false))?;
        let (database, mut unread) = match list {
            ListTable::Compiled(list) => self.listed(repo, &list, name, signed)?,
            ListTable::Unread(why) => (None, Some(why)),
            ListTable::Missing => (None, None),
        };
        let database = database.map(|known| Known { root: self.root_in_snapshot(repo, name, &known), ..known });
        let (tables, is_table_unread) = self.tables_and_unread(repo.as_str());
        let mut is_unread = is_table_unread;
        let mut indexes = Vec::new();
        for (index, table) in tables {
            match known(&table, name, signed) {
                Ok(known) => indexes.extend(known.map(|known| IndexEntry { index, known })),
                Err(error) => {
                    self.say_unread(&format!("index {index}: {error}"));
                    is_unread = true;
                }
            }
        }
        let signatures_required = configured.is_some_and(|repo| repo.signatures_required);
        let is_database_unread = unread.is_some();
        // A pacman whose options are unknown may use other lists.
        unread = unread.or((is_unread || self.may_be_others()).then_some(UnreadList::List));
        let for_others = !self.is_for_system();
        Ok(Knowledge { in_repo: true, for_others, database, indexes, signatures_required, unread, is_database_unread })
    }

    /// Returns the entry of a file in a compiled database, and whether that turned out to be unreadable: one that
    /// was damaged since it was compiled is compiled once more.
    fn listed(
        &self,
        repo: &RepoName,
        list: &Catalogue,
        name: &FileName,
        signed: Option<&FileName>,
    ) -> Result<(Option<Known>, Option<UnreadList>), Error> {
        if let Ok(known) = known(list, name, signed) {
            return Ok((known, None));
        }
        match self.list.table(self, repo, true)? {
            ListTable::Missing => Ok((None, None)),
            ListTable::Unread(why) => Ok((None, Some(why))),
            ListTable::Compiled(list) => known(&list, name, signed).map(|known| (known, None)).or_else(|error| {
                self.say_unread(&error);
                Ok((None, Some(UnreadList::List)))
            }),
        }
    }

    /// Returns the root of a file from the index whose snapshot is the database in use. It proves nothing more
    /// than the database does, and an index that has moved on since does not list it any more.
    fn root_in_snapshot(&self, repo: &RepoName, name: &FileName, listed: &Known) -> Option<Cid> {
        let table = Catalogue::open(&self.snapshot_table(repo)?).ok()??;
        let found = known(&table, name, self.read(name).signed.as_ref()).ok()??;
        ((found.size, found.sha256) == (listed.size, listed.sha256)).then_some(found.root)?
    }
}

/// Returns the entry of a file in a table, or, for a signature, that of the signed file.
fn known(catalogue: &Catalogue, name: &FileName, signed: Option<&FileName>) -> Result<Option<Known>, CatalogueError> {
    let known =
        |record: CatalogueEntry| Known { size: record.size, sha256: record.sha256, root: record.root.map(Cid::dag_pb) };
    Ok(catalogue.find_content(name, signed)?.map(known))
}
