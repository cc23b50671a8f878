//! pacman's list: the repositories of pacman.conf and their sync databases, as the pacman that called has them.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;

use super::{List, ListTable, Lists, NameReading, NoRepos, shape};
use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::lists::catalogue::{self, Catalogue, CatalogueError, SourceError};
use crate::lists::pacman::entries::entries;
use crate::lists::pacman::names;
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo};
use crate::lists::pacman::pacman_run::PacmanRun;
use crate::lists::system::Repository;
use crate::trust::plan::UnreadList;

/// Tries to open a database that is being replaced.
const TRIES: usize = 3;

/// pacman's list, as one run of pacman sees it.
pub struct PacmanList {
    pub(super) run: Rc<PacmanRun>,
    pub(super) conf: OnceCell<Result<PacmanConf, NoRepos>>,
    /// A replacement for pacman's DBPath.
    pub(super) databases: Option<PathBuf>,
}

/// Reads a file name by pacman's rules.
pub(super) fn read(name: &FileName) -> NameReading<'_> {
    NameReading {
        shape: shape::of(name),
        signed: names::signed(name),
        package: names::package(name),
        repo: names::repo(name),
        path: name.to_string(),
    }
}

impl PacmanList {
    /// Makes the list of the run `run`, over the databases below `databases` in place of pacman's own.
    pub(super) fn new(run: &Rc<PacmanRun>, databases: Option<&Path>) -> Self {
        Self { run: Rc::clone(run), conf: OnceCell::new(), databases: databases.map(Path::to_owned) }
    }

    /// Makes the list of a configuration that is known already; no program is asked for it.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn known(env: &Env, conf: PacmanConf) -> Self {
        Self { run: Rc::new(PacmanRun::of(env)), conf: OnceCell::from(Ok(conf)), databases: None }
    }

    /// Returns pacman's path for the database of a repository, and the path of its compiled form.
    pub(super) fn database_paths(&self, lists: &Lists, repo: &RepoName) -> Option<(PathBuf, PathBuf)> {
        let database = self.conf(lists).as_ref().ok()?.database(repo);
        let key = &Sha256::of(database.as_os_str().as_encoded_bytes()).to_string()[..12];
        let cache = lists.machine.store.cache_dir().join(format!("{repo}-{key}.catalogue"));
        Some((database, cache))
    }
}

impl List for PacmanList {
    fn read<'n>(&self, name: &'n FileName) -> NameReading<'n> {
        read(name)
    }

    fn repos(&self, lists: &Lists) -> Result<Vec<&Repository>, NoRepos> {
        let conf = self.conf(lists).as_ref().map_err(|why| *why)?;
        Ok(conf.repos.iter().map(|repo| &repo.common).collect())
    }

    fn table(&self, lists: &Lists, repo: &RepoName, is_anew: bool) -> Result<ListTable, Error> {
        let Some((database, cache)) = self.database_paths(lists, repo) else { return Ok(ListTable::Missing) };
        if is_anew {
            return judged(lists, repo, catalogue::anew(&database, &cache, entries));
        }
        match rustix::fs::stat(&database) {
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(ListTable::Missing),
            Err(error) => {
                lists.say_unread(&format!("{}: {}", database.display(), io::Error::from(error)));
                return Ok(ListTable::Unread(UnreadList::List));
            }
        }
        let compile = || catalogue::of_source(&database, &cache, entries);
        let is_final = |found: &Result<_, _>| !matches!(found, Err(CatalogueError::Changed(_)));
        let tried = std::iter::repeat_with(compile).take(TRIES).find(is_final);
        judged(lists, repo, tried.unwrap_or_else(compile))
    }

    fn caches(&self, lists: &Lists) -> &[PathBuf] {
        self.conf(lists).as_ref().map_or(&[], |conf| &conf.cache_dirs)
    }

    fn places(&self, lists: &Lists) -> Vec<PathBuf> {
        // Before the first `-Sy` there is no `sync` in it.
        let conf = self.conf(lists).as_ref().ok();
        conf.into_iter().flat_map(|conf| [conf.db_path.join("sync"), conf.db_path.clone()]).collect()
    }

    /// Returns the one that `$arch` in `Server` lines stands for.
    fn arch(&self, lists: &Lists) -> String {
        let first = self.conf(lists).as_ref().ok().and_then(|conf| conf.architectures.first().cloned());
        first.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
    }
}

/// The side door: what callers of pacman's own rooms ask for, and no other system has.
impl Lists {
    /// Uses the sync databases below `databases` in place of pacman's own.
    pub(crate) fn with_databases(self, databases: &Path) -> Self {
        let pacman = Rc::new(PacmanList::new(&self.pacman_run, Some(databases)));
        Self { list: Rc::<PacmanList>::clone(&pacman), pacman: Some(pacman), ..self }
    }

    /// Returns pacman's configuration; `None` where there is none, it cannot be read, or the lists are not pacman's.
    pub(crate) fn conf(&self) -> Option<&PacmanConf> {
        self.pacman.as_ref()?.conf(self).as_ref().ok()
    }

    /// Returns what pacman.conf says about a repository.
    pub(crate) fn pacman_repo(&self, name: &RepoName) -> Option<&Repo> {
        self.conf()?.repo(name)
    }

    /// Returns the package caches, if an earlier call has kept pacman's answer; runs no program.
    pub(crate) fn kept_cache_dirs(&self) -> Vec<PathBuf> {
        let question = self.pacman.as_ref().and_then(|pacman| pacman.question(self).ok());
        let kept = question.and_then(|question| question.recall(&self.machine.store.cache_dir()));
        kept.map(|conf| conf.cache_dirs).unwrap_or_default()
    }

    /// Returns pacman's path for the database called `name`, or its signature.
    pub(crate) fn database_path(&self, name: &FileName) -> Option<PathBuf> {
        Some(self.conf()?.db_path.join("sync").join(name.as_str()))
    }

    /// Returns the path of a file of ours that is about the database `name` of this pacman.
    pub(crate) fn beside_database(&self, name: &FileName, kind: &str) -> Option<PathBuf> {
        let key = &Sha256::of(self.database_path(name)?.as_os_str().as_encoded_bytes()).to_string()[..12];
        Some(self.machine.store.cache_dir().join(format!("{name}-{key}.{kind}")))
    }

    /// Returns the path at which the table of an index is kept while the database in use is a snapshot of it
    /// (`database::listed`).
    pub(crate) fn snapshot_table(&self, repo: &RepoName) -> Option<PathBuf> {
        self.beside_database(&names::database(repo)?, "snapshot")
    }
}

fn judged(lists: &Lists, repo: &RepoName, compiled: Result<Catalogue, CatalogueError>) -> Result<ListTable, Error> {
    match compiled {
        Ok(catalogue) => Ok(ListTable::Compiled(catalogue)),
        Err(error) if error.is_absence() => Ok(ListTable::Missing),
        Err(CatalogueError::Source { cause: cause @ SourceError::Unsupported(_), .. }) => {
            // libalpm reads it and checks the package itself, as it would after curl.
            lists.warn_once(&format!("[{repo}]: {cause}; nothing of it can be proven here"));
            Ok(ListTable::Unread(UnreadList::Packed))
        }
        Err(error) if error.is_too_large() => {
            lists.warn_once(&format!("[{repo}]: {error}; nothing of it can be proven here"));
            Ok(ListTable::Unread(UnreadList::TooLarge))
        }
        Err(error) if error.is_about_reading() => {
            lists.say_unread(&error);
            Ok(ListTable::Unread(UnreadList::List))
        }
        Err(error) => Err(Error::usage(format!("[{repo}]"), error).hint("`pacman -Syy` fetches it again")),
    }
}
