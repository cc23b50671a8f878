//! The means of one command: settings, store, HTTP clients, pacman's configuration, and the lists of files.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use crate::config::{self, IndexConfig, KuboPolicy, Settings, SharePolicy as Sharing};
use crate::digest::Sha256;
use crate::distro::caller::{Caller, CallerError, Transaction};
use crate::distro::pacman_conf::{PacmanConf, Repo};
use crate::distro::server;
use crate::distro::version;
use crate::env::{BESIDE, Env, HANDOVER};
use crate::error::Error;
use crate::fsx;
use crate::health::Health;
use crate::http::Http;
use crate::interrupt;
use crate::kubo::Kubo;
use crate::name::{FileName, RepoName};
use crate::report;
use crate::store::Store;

mod lists;
mod once;

/// The means of one command.
pub struct Session {
    /// The process.
    pub env: Env,
    /// The settings.
    pub settings: Settings,
    /// The staging area.
    pub store: Rc<Store>,
    /// The HTTP clients.
    pub http: Rc<Http>,
    /// The record of earlier calls.
    pub health: Health,
    /// The pacman that called, if one did.
    pub caller: Option<Caller>,
    /// True when a pacman has called whose command line cannot be read: `/proc` is not mounted, hides other users, or
    /// ends before it.
    pub is_hidden: bool,
    /// The name of this pacman run in the store: its process id and start time.
    pub run: String,
    conf: OnceCell<Result<PacmanConf, lists::NoConf>>,
    /// A replacement for pacman's DBPath.
    databases: Option<PathBuf>,
    /// The directory for a temporary store.
    beside: PathBuf,
    /// True when this process places the results there.
    places: bool,
    /// Set for a silent session: true when a message was withheld.
    unsaid: Option<Cell<bool>>,
}

impl Session {
    /// Opens the store and reads the record of earlier calls. A temporary store in `beside` replaces a lasting one
    /// that cannot be had.
    pub fn open(env: &Env, settings: &Settings, beside: &Path) -> Result<Self, Error> {
        Ok(Self::with_store(env, settings, open_store(env, settings, beside)?, beside))
    }

    /// Works as [`open`](Self::open) with the lasting store or not at all, and prints nothing: see
    /// [`Session::has_unsaid`].
    pub fn open_silent(env: &Env, settings: &Settings, beside: &Path) -> Option<Self> {
        let store = Store::open(settings.store_dir.as_ref()?, env.uid, settings.store_max).ok()?;
        Some(Self { unsaid: Some(Cell::new(false)), ..Self::with_store(env, settings, store, beside) })
    }

    fn with_store(env: &Env, settings: &Settings, store: Store, beside: &Path) -> Self {
        // For root's child the pacman is the grandparent, whose id root passed on.
        let parent = env.var(HANDOVER).and_then(|pid| pid.parse().ok()).unwrap_or(env.parent);
        let parent = i32::try_from(parent).unwrap_or(0);
        let found = Caller::above(parent, env.uid);
        // Where /proc hides it (hidepid), the process group alone has to tell runs apart: a wrapper has one parent a file.
        // Zero where its leader is outside of this process namespace, which rustix does not expect.
        let group = nix::unistd::getpgrp().as_raw();
        let is_cut_off = match &found {
            Err(CallerError::Gone(_) | CallerError::Unreadable { .. }) => true,
            // Behind a wrapper with a process namespace of its own.
            Err(CallerError::NotPacman { .. }) => group == 0,
            Ok(_) | Err(CallerError::Foreign { .. }) => false,
        };
        // pacman sets this variable for its downloader (`setuseragent` in src/pacman/pacman.c, 6.0 to 7.1).
        let is_hidden = is_cut_off && env.var("HTTP_USER_AGENT").is_some();
        let caller = found.ok();
        let transaction = caller.as_ref().map(|caller| caller.transaction).or_else(|| Transaction::of(parent).ok());
        let run = match transaction {
            Some(Transaction { pid, start_time }) => format!("{pid}-{start_time}"),
            None if is_hidden => format!("{group}-0"),
            None => format!("{parent}-0"),
        };
        let health = Health::read(&store.health_dir(), &run, env.uid, SystemTime::now());
        Self {
            env: env.clone(),
            settings: settings.clone(),
            store: Rc::new(store),
            http: Rc::new(Http::new(settings.connect).in_environment(env)),
            health,
            caller,
            is_hidden,
            run,
            conf: OnceCell::new(),
            databases: None,
            beside: beside.to_owned(),
            places: false,
            unsaid: None,
        }
    }

    /// Returns true when a message was withheld.
    pub fn has_unsaid(&self) -> bool {
        self.unsaid.as_ref().is_some_and(Cell::get)
    }

    /// Marks `beside` as the directory in which files are placed. Not for root's child, which cannot write there.
    pub fn placing(self) -> Self {
        Self { places: self.env.var(HANDOVER).is_none(), ..self }
    }

    /// Makes an unnamed file for the download: where it will be placed, so that it can be placed itself, else in
    /// the store.
    ///
    /// # Errors
    /// When neither accepts a file; trying again does not help.
    pub fn scratch(&self) -> io::Result<File> {
        self.scratch_beside().map_or_else(|| self.store.scratch(), Ok)
    }

    /// Makes it where it will be placed; `None` when this process places nothing, or the file could not be given a
    /// name.
    pub fn scratch_beside(&self) -> Option<File> {
        self.places.then(|| fsx::unnamed_yet(&self.beside).ok()).flatten()
    }

    /// Returns true after a ^C in this run of pacman, or in this process.
    pub fn is_interrupted(&self) -> bool {
        self.health.is_interrupted() || interrupt::came()
    }

    /// Records a ^C that has just come.
    pub fn interrupted(&mut self) {
        self.health.interrupt(SystemTime::now());
    }

    /// Reads again, for what other processes have recorded meanwhile. For processes that live longer than one
    /// file.
    pub fn learn_from_others(&mut self) {
        self.health.learn_from_others(SystemTime::now());
    }

    /// Uses the sync databases below `databases` in place of pacman's own.
    pub fn with_databases(self, databases: &Path) -> Self {
        Self { databases: Some(databases.to_owned()), conf: OnceCell::new(), ..self }
    }

    /// Returns a repository of pacman.conf.
    pub fn repo(&self, name: &RepoName) -> Option<&Repo> {
        self.conf()?.repo(name)
    }

    /// Returns the repositories of pacman.conf in their order, then those that only an index speaks for.
    pub fn repo_names(&self) -> Vec<RepoName> {
        let configured = self.conf().into_iter().flat_map(|conf| &conf.repos).map(|repo| repo.name.clone());
        let mut names: Vec<RepoName> = configured.collect();
        let indexed = self.settings.indexes.iter().flat_map(|index| &index.repos);
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
        Some(self.store.cache_dir().join(format!("{name}-{key}.{kind}")))
    }

    /// Returns the path at which the table of an index is kept while the database in use is a snapshot of it
    /// (`database::listed`).
    pub fn snapshot_table(&self, repo: &RepoName) -> Option<PathBuf> {
        self.beside_database(&FileName::new(format!("{repo}.db")).ok()?, "snapshot")
    }

    /// Returns true when pacman called: by what its process is called, or where `/proc` hides that, by what it
    /// tells in the environment.
    pub fn is_for_pacman(&self) -> bool {
        self.caller.is_some() || self.is_hidden || version::of_caller(&self.env).is_some()
    }

    /// Returns true when a source that sends nothing may be given up when no other is left: not where the user
    /// lifted that (`DisableDownloadTimeout` in pacman.conf, `--disable-download-timeout`).
    pub fn has_timeouts(&self) -> bool {
        let lifted = |caller: &Caller| caller.arguments.disable_download_timeout;
        let configured = || self.conf().is_some_and(|conf| conf.has_flag("DisableDownloadTimeout"));
        !self.caller.as_ref().is_some_and(lifted) && !configured()
    }

    /// Returns true when Kubo may be asked at all.
    pub fn asks_kubo(&self) -> bool {
        match self.settings.kubo {
            KuboPolicy::Yes => true,
            KuboPolicy::No => false,
            KuboPolicy::Auto => !self.env.has_proxy(),
        }
    }

    /// Returns true when there is a daemon that may be asked for the files of neighbours.
    pub fn asks_node(&self) -> bool {
        let may = match self.settings.lan {
            KuboPolicy::Yes => true,
            KuboPolicy::No => false,
            KuboPolicy::Auto => !self.env.has_proxy(),
        };
        may && rustix::fs::stat(&self.settings.socket).is_ok()
    }

    /// Returns the RPC and gateway of the Kubo daemon.
    pub fn kubo(&self) -> Kubo {
        Kubo::configured(&self.settings, &self.http)
    }

    /// Returns true when gateways may be asked at all.
    pub fn asks_gateways(&self) -> bool {
        !self.env.has_proxy() || self.settings.gateways_behind_proxy
    }

    /// Returns true when peers may be asked for files of `repo`, and so learn that they are wanted here.
    pub fn may_share(&self, repo: &RepoName) -> bool {
        let name = repo.as_str();
        let indexed = self.settings.indexes.iter().any(|index| index.may_describe(name));
        let allowed = match &self.settings.share {
            Sharing::Public => self.repo(repo).is_some_and(Repo::is_public),
            Sharing::Named(names) => names.contains(repo),
        };
        indexed || allowed
    }

    /// Returns true when neighbours may be asked for an index, and so learn of it: it is public. One with a
    /// private copy is passed on where all of its repositories are named in `share.repos`.
    pub fn may_pass_on(&self, index: &IndexConfig) -> bool {
        let is_named = match &self.settings.share {
            Sharing::Public => false,
            Sharing::Named(names) => index.repos.iter().all(|repo| repo.value().is_ok_and(|repo| names.contains(repo))),
        };
        is_named || index.url.as_ref().is_none_or(|url| server::is_public(&url.to_string()))
    }

    /// Goes on without the lasting store, after it failed. False when there is no other place, or none was in use.
    pub fn without_store(&mut self) -> bool {
        if self.store.is_passing() {
            return false;
        }
        let Ok(store) = passing_store(&self.env, &self.settings, &self.beside) else { return false };
        self.store = Rc::new(store);
        true
    }
}

fn open_store(env: &Env, settings: &Settings, beside: &Path) -> Result<Store, Error> {
    let passing = || {
        passing_store(env, settings, beside)
            .map_err(|e| Error::local(beside.display(), format!("no place for a store: {e}")))
    };
    if settings.storeless {
        return passing();
    }
    if let Some(dir) = &settings.store_dir {
        match Store::open(dir, env.uid, settings.store_max) {
            Ok(store) => return Ok(store),
            Err(e) => report::say(&format!("warning: {}: {e}; going on without a lasting store", dir.display())),
        }
    }
    let own = config::homeless_store(env.uid);
    let lasting = settings.store_dir.is_none().then(|| Store::open(&own, env.uid, settings.store_max));
    match lasting {
        Some(Ok(store)) => Ok(store),
        _ => passing(),
    }
}

fn passing_store(env: &Env, settings: &Settings, beside: &Path) -> std::io::Result<Store> {
    let tried = |dir: &Path| Store::passing(dir, env.uid, settings.store_max);
    // Root's own directory is not its child's to write to; the one that root has made for it beside that is.
    let first = env.var(HANDOVER).and(env.var(BESIDE)).map_or(beside, Path::new);
    tried(first).or_else(|_| tried(Path::new("/var/tmp"))).or_else(|_| tried(&std::env::temp_dir()))
}
