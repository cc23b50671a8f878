//! The lists that decide what a file is: pacman's configuration, its sync databases, the tables of the indexes.
//!
//! pacman's own configuration depends on the run that called (`--config`, `--dbpath`, `--arch`), so lists belong to
//! one run. They are read when they are first asked for: `conf` reads the configuration, `knowledge` the rest.

use std::cell::{Cell, OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName};
use crate::config::SharePolicy;
use crate::lists::pacman::caller::Caller;
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo};
use crate::lists::pacman::pacman_run::PacmanRun;
use crate::lists::pacman::version;
use crate::machine::Machine;

mod conf;
mod knowledge;
mod once;

/// The lists of pacman and the indexes, as one run of pacman sees them.
pub struct Lists {
    machine: Rc<Machine>,
    pacman_run: Rc<PacmanRun>,
    conf: OnceCell<Result<PacmanConf, conf::NoConf>>,
    /// A replacement for pacman's DBPath.
    databases: Option<PathBuf>,
    /// Set for silent lists: true when a message was withheld.
    unsaid: Option<Cell<bool>>,
    /// The warnings so far; true for those that were taken.
    warnings: RefCell<Vec<(String, bool)>>,
}

impl Lists {
    /// Makes the lists for the run of pacman that this process works for. Reads none of them yet.
    pub fn of(machine: &Rc<Machine>) -> Self {
        let pacman_run = Rc::new(PacmanRun::of(&machine.env));
        let warnings = machine.warning().map(|text| (text, false)).into_iter().collect();
        Self {
            machine: Rc::clone(machine),
            pacman_run,
            conf: OnceCell::new(),
            databases: None,
            unsaid: None,
            warnings: RefCell::new(warnings),
        }
    }

    /// Has them keep no warnings: see [`Lists::has_unsaid`].
    pub fn silent(self) -> Self {
        Self { unsaid: Some(Cell::new(false)), ..self }
    }

    /// Uses the sync databases below `databases` in place of pacman's own.
    pub fn with_databases(self, databases: &Path) -> Self {
        Self { databases: Some(databases.to_owned()), conf: OnceCell::new(), ..self }
    }

    /// Keeps compiled lists on `machine` from now on, another view of the same one.
    pub fn move_to(&mut self, machine: &Rc<Machine>) {
        self.machine = Rc::clone(machine);
    }

    /// Returns the machine that has them.
    pub fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    /// Returns the run of pacman that sees them.
    pub fn pacman_run(&self) -> &Rc<PacmanRun> {
        &self.pacman_run
    }

    /// Returns true when silent lists have withheld a message.
    pub fn has_unsaid(&self) -> bool {
        self.unsaid.as_ref().is_some_and(Cell::get)
    }

    /// Returns a repository of pacman.conf.
    pub fn repo(&self, name: &RepoName) -> Option<&Repo> {
        self.conf()?.repo(name)
    }

    /// Returns the repositories of pacman.conf in their order, then those that only an index speaks for.
    pub fn repo_names(&self) -> Vec<RepoName> {
        let configured = self.conf().into_iter().flat_map(|conf| &conf.repos).map(|repo| repo.name.clone());
        let mut names: Vec<RepoName> = configured.collect();
        let indexed = self.machine.settings.indexes.iter().flat_map(|index| &index.repos);
        for name in indexed.filter_map(|name| name.value().ok().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the package caches.
    pub fn cache_dirs(&self) -> &[PathBuf] {
        self.conf().map_or(&[], |conf| &conf.cache_dirs)
    }

    /// Returns the architecture that `$arch` in `Server` lines stands for.
    pub fn arch(&self) -> String {
        let first = self.conf().and_then(|conf| conf.architectures.first().cloned());
        first.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
    }

    /// Returns pacman's path for the database called `name`, or its signature.
    pub fn database_path(&self, name: &FileName) -> Option<PathBuf> {
        Some(self.conf()?.db_path.join("sync").join(name.as_str()))
    }

    /// Returns the path of a file of ours that is about the database `name` of this pacman.
    pub fn beside_database(&self, name: &FileName, kind: &str) -> Option<PathBuf> {
        let key = &Sha256::of(self.database_path(name)?.as_os_str().as_encoded_bytes()).to_string()[..12];
        Some(self.machine.store.cache_dir().join(format!("{name}-{key}.{kind}")))
    }

    /// Returns the path at which the table of an index is kept while the database in use is a snapshot of it
    /// (`database::listed`).
    pub fn snapshot_table(&self, repo: &RepoName) -> Option<PathBuf> {
        self.beside_database(&FileName::new(format!("{repo}.db")).ok()?, "snapshot")
    }

    /// Returns true when pacman called: by what its process is called, or where `/proc` hides that, by what it
    /// tells in the environment.
    pub fn is_for_pacman(&self) -> bool {
        self.pacman_run.is_of_pacman() || version::of_caller(&self.machine.env).is_some()
    }

    /// Returns true when a source that sends nothing may be given up when no other is left: not where the user
    /// lifted that (`DisableDownloadTimeout` in pacman.conf, `--disable-download-timeout`).
    pub fn has_timeouts(&self) -> bool {
        let lifted = |caller: &Caller| caller.arguments.disable_download_timeout;
        let configured = || self.conf().is_some_and(|conf| conf.has_flag("DisableDownloadTimeout"));
        !self.pacman_run.caller.as_ref().is_some_and(lifted) && !configured()
    }

    /// Returns true when peers may be asked for files of `repo`, and so learn that they are wanted here.
    pub fn may_share(&self, repo: &RepoName) -> bool {
        let indexed = self.machine.settings.indexes.iter().any(|index| index.may_describe(repo.as_str()));
        let allowed = match &self.machine.settings.share {
            SharePolicy::Public => self.repo(repo).is_some_and(Repo::is_public),
            SharePolicy::Named(names) => names.contains(repo),
        };
        indexed || allowed
    }
}
