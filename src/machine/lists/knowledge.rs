//! Everything that the sync databases and the tables of the indexes list about a file, and which of them cannot be
//! read.
//!
//! Only "no such file" means that there is no list. One that exists and cannot be read (a closed directory, a
//! database that only root may read, a `pacman-conf` that does not answer) may list any file, so that no other
//! statement about a file is possible: it gets a waiver of its own ([`UnreadList`]), and a warning names the
//! unreadable list with its cause, once in a run of pacman. A list that can be read and is malformed is refused
//! instead. Tests: `tests/cases/unreadable_lists.rs`.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::io::Errno;

use super::Lists;
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::index;
use crate::lists::catalogue::{self, Catalogue, CatalogueEntry, CatalogueError};
use crate::lists::pacman::pacman_conf::{Repo, SignatureCheck};
use crate::lists::pacman::syncdb::DatabaseError;
use crate::trust::plan::{IndexEntry, Knowledge, Known, UnreadList};

/// Tries to open a database that is being replaced.
const TRIES: usize = 3;

/// The compiled list of a repository, as far as it is known.
enum List {
    /// There is none.
    Missing,
    /// There is one, which could not be read. The user was warned.
    Unread(UnreadList),
    /// A list that was read.
    Compiled(Catalogue),
}

impl Lists {
    /// Returns the compiled sync database of a repository; `None` when there is none yet, or, with a warning, when
    /// it cannot be read.
    ///
    /// # Errors
    /// A usage error when there is one that does not parse: no file of that repository can be proven then.
    pub fn database(&self, repo: &Repo) -> Result<Option<Catalogue>, Error> {
        Ok(match self.list(repo)? {
            List::Compiled(catalogue) => Some(catalogue),
            List::Missing | List::Unread(_) => None,
        })
    }

    fn list(&self, repo: &Repo) -> Result<List, Error> {
        let Some((database, cache)) = self.database_paths(repo) else { return Ok(List::Missing) };
        match rustix::fs::stat(&database) {
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(List::Missing),
            Err(error) => {
                self.say_unread(&format!("{}: {}", database.display(), io::Error::from(error)));
                return Ok(List::Unread(UnreadList::List));
            }
        }
        let compile = || catalogue::for_database(&database, &cache);
        let is_final = |found: &Result<_, _>| !matches!(found, Err(CatalogueError::Changed(_)));
        let tried = std::iter::repeat_with(compile).take(TRIES).find(is_final);
        self.judged(repo, tried.unwrap_or_else(compile))
    }

    fn judged(&self, repo: &Repo, compiled: Result<Catalogue, CatalogueError>) -> Result<List, Error> {
        match compiled {
            Ok(catalogue) => Ok(List::Compiled(catalogue)),
            Err(error) if error.is_absence() => Ok(List::Missing),
            Err(CatalogueError::Source { cause: cause @ DatabaseError::Unsupported(_), .. }) => {
                // libalpm reads it and checks the package itself, as it would after curl.
                self.warn_once(&format!("[{}]: {cause}; nothing of it can be proven here", repo.name));
                Ok(List::Unread(UnreadList::Packed))
            }
            Err(error) if error.is_too_large() => {
                self.warn_once(&format!("[{}]: {error}; nothing of it can be proven here", repo.name));
                Ok(List::Unread(UnreadList::TooLarge))
            }
            Err(error) if error.is_about_reading() => {
                self.say_unread(&error);
                Ok(List::Unread(UnreadList::List))
            }
            Err(error) => Err(Error::usage(format!("[{}]", repo.name), error).hint("`pacman -Syy` fetches it again")),
        }
    }

    /// Returns pacman's path for the database of a repository, and the path of its compiled form.
    fn database_paths(&self, repo: &Repo) -> Option<(PathBuf, PathBuf)> {
        let database = self.conf()?.database(&repo.name);
        let key = &Sha256::of(database.as_os_str().as_encoded_bytes()).to_string()[..12];
        let cache = self.machine.store.cache_dir().join(format!("{}-{key}.catalogue", repo.name));
        Some((database, cache))
    }

    fn say_unread(&self, what: &dyn Display) {
        self.warn_once(&format!("{what}: this list cannot be read, and its entries are not known here"));
    }

    /// Returns the indexes that may speak for a repository, with their compiled tables. Leaves out expired ones
    /// and, with a warning, unreadable ones.
    pub fn tables(&self, repo: &str) -> Vec<(String, Catalogue)> {
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
    /// As of [`Lists::database`].
    pub fn knowledge(&self, repo: &RepoName, name: &FileName) -> Result<Knowledge, Error> {
        let configured = self.repo(repo);
        let list = configured.map_or(Ok(List::Missing), |repo| self.list(repo))?;
        let (database, mut unread) = match (configured, list) {
            (Some(repo), List::Compiled(list)) => self.listed(repo, &list, name)?,
            (_, List::Unread(why)) => (None, Some(why)),
            _ => (None, None),
        };
        let database = database.map(|known| Known { root: self.root_in_snapshot(repo, name, &known), ..known });
        let (tables, is_table_unread) = self.tables_and_unread(repo.as_str());
        let mut is_unread = is_table_unread;
        let mut indexes = Vec::new();
        for (index, table) in tables {
            match known(&table, name) {
                Ok(known) => indexes.extend(known.map(|known| IndexEntry { index, known })),
                Err(error) => {
                    self.say_unread(&format!("index {index}: {error}"));
                    is_unread = true;
                }
            }
        }
        let signatures_required = configured.is_some_and(|repo| repo.sig_level.package == SignatureCheck::Required);
        let is_database_unread = unread.is_some();
        // A pacman whose options are unknown may use other lists.
        unread = unread.or((is_unread || self.pacman_run.is_hidden).then_some(UnreadList::List));
        let for_others = !self.is_for_pacman();
        Ok(Knowledge { in_repo: true, for_others, database, indexes, signatures_required, unread, is_database_unread })
    }

    /// Returns the entry of a file in a compiled database, and whether that turned out to be unreadable: one that
    /// was damaged since it was compiled is compiled once more.
    fn listed(
        &self,
        repo: &Repo,
        list: &Catalogue,
        name: &FileName,
    ) -> Result<(Option<Known>, Option<UnreadList>), Error> {
        if let Ok(known) = known(list, name) {
            return Ok((known, None));
        }
        let Some((database, cache)) = self.database_paths(repo) else { return Ok((None, Some(UnreadList::List))) };
        match self.judged(repo, catalogue::anew(&database, &cache))? {
            List::Missing => Ok((None, None)),
            List::Unread(why) => Ok((None, Some(why))),
            List::Compiled(list) => known(&list, name).map(|known| (known, None)).or_else(|error| {
                self.say_unread(&error);
                Ok((None, Some(UnreadList::List)))
            }),
        }
    }

    /// Returns the root of a file from the index whose snapshot is the database in use. It proves nothing more
    /// than the database does, and an index that has moved on since does not list it any more.
    fn root_in_snapshot(&self, repo: &RepoName, name: &FileName, listed: &Known) -> Option<Cid> {
        let table = Catalogue::open(&self.snapshot_table(repo)?).ok()??;
        let found = known(&table, name).ok()??;
        ((found.size, found.sha256) == (listed.size, listed.sha256)).then_some(found.root)?
    }
}

/// Returns the entry of a file in a table, or, for a signature, that of the signed file.
fn known(catalogue: &Catalogue, name: &FileName) -> Result<Option<Known>, CatalogueError> {
    let known =
        |record: CatalogueEntry| Known { size: record.size, sha256: record.sha256, root: record.root.map(Cid::dag_pb) };
    Ok(catalogue.find_content(name)?.map(known))
}
