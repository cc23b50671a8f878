//! Keeps the shelf: the files of this machine that may be offered, hashed at low priority, and followed as they
//! come and go.
//!
//! A file is offered when a sync database, a proven index or a proven list of Haiku's of a repository that may be shared
//! lists it (`doc/design.md`, promise 13), and its bytes are as listed. A file listed once stays offered while it exists:
//! it is as public as before, and a neighbour that has not refreshed yet needs just that version.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::name::FileName;
use crate::config::{HaikuConfig, Settings};
use crate::daemon::indexes::{IndexesInUse, OfferedBySha256};
use crate::daemon::watch::{WatchEvent, Watcher};
use crate::haiku::kept::{KeptSnapshots, SnapshotShelf};
use crate::haiku::listed::may_share;
use crate::index::in_use;
use crate::lists::catalogue::Catalogue;
use crate::machine::Machine;
use crate::machine::lists::{self, Lists};
use crate::node::Node;
use crate::node::indexes::Indexes;
use crate::node::shelf::{Shelf, Shelved, saved};
use crate::report::log;
use crate::store::contents::name_at;
use crate::store::{Store, kept};

/// Interval between full scans; another follows a change of a database. Covers what inotify missed, for example.
const LOOK_AGAIN: Duration = Duration::from_secs(1800);

/// Delay of the first scan after pacman-conf did not answer; each further delay is longer.
const LOOK_SOON: Duration = Duration::from_secs(10);

/// Changes are saved after this long without another change.
const QUIET: Duration = Duration::from_secs(5);

/// Databases that keep changing are scanned after this time all the same.
const UNREST: Duration = Duration::from_secs(10);

/// The handle of the library thread.
pub(crate) struct Library {
    tell: Mutex<Sender<WatchEvent>>,
    shelf: Arc<Shelf>,
    indexes: Indexes,
    saved: PathBuf,
}

impl Library {
    /// Starts to fill the shelf of `node`, first with what was on it when it was last saved to `saved`.
    pub(crate) fn open(env: &Env, settings: &Settings, node: &Node, store: &'static Store, saved: PathBuf) -> Self {
        let shelf = Arc::clone(&node.shelf);
        if !settings.lan_share {
            shelf.close();
        }
        let (tell, told) = channel();
        let keeper = Keeper {
            env: env.clone(),
            settings: settings.clone(),
            shelf: Arc::clone(&shelf),
            indexes: node.indexes.clone(),
            saved: saved.clone(),
            store,
            watcher: Watcher::start(tell.clone()),
            said: HashSet::new(),
        };
        let spawned = thread::Builder::new().name("library".to_owned()).spawn(move || keeper.run(&told));
        if let Err(e) = spawned {
            log::warn(&format!("nothing is offered: {e}"));
        }
        Self { tell: Mutex::new(tell), shelf, indexes: node.indexes.clone(), saved }
    }

    /// Applies new settings from now on. What may not be offered any more is not offered when this returns; what may
    /// be offered follows once it is hashed.
    pub(crate) fn follow(&self, settings: Settings) {
        if settings.lan_share {
            self.shelf.open();
        } else {
            self.shelf.close();
            self.indexes.hold(HashMap::new());
        }
        let tell = self.tell.lock().expect("nothing panics while it is held");
        let _ = tell.send(WatchEvent::Settings(Box::new(settings)));
    }

    /// Saves the hashes.
    pub(crate) fn save(&self) {
        if let Err(e) = saved::save(&self.shelf, &self.saved) {
            log::warn(&format!("{}: {e}; the files are hashed again next time", self.saved.display()));
        }
    }
}

/// The state of the library thread.
struct Keeper {
    env: Env,
    settings: Settings,
    shelf: Arc<Shelf>,
    indexes: Indexes,
    saved: PathBuf,
    store: &'static Store,
    watcher: Option<Watcher>,
    /// The warnings so far: each scan may find the same again.
    said: HashSet<String>,
}

/// One scan: the listed files, and where files lie.
#[derive(Default)]
struct LibraryLists {
    /// The catalogues of each repository that may be shared.
    tables: Vec<(String, Vec<Catalogue>)>,
    dirs: Vec<PathBuf>,
    /// The lists of Haiku's repositories that may be shared, by name; each with its former ones.
    haiku: Vec<(String, KeptSnapshots)>,
    /// Files elsewhere: those that indexes in use consist of, and the databases that they list.
    files: Vec<OfferedBySha256>,
    /// True if the system's configuration is known.
    is_whole: bool,
}

impl LibraryLists {
    /// Lists the repositories that list a file of this name and size, with its sha256.
    fn find(&self, name: &FileName, size: u64) -> Vec<(&str, Sha256)> {
        let of_haiku = self.haiku.iter().flat_map(|(repo, kept)| kept.sums(name).map(move |sum| (&**repo, sum)));
        let mut found: Vec<(&str, Sha256)> = of_haiku.collect();
        let signed = lists::read(name).signed;
        for (repo, tables) in &self.tables {
            for table in tables {
                let listed =
                    table.find_content(name, signed.as_ref()).ok().flatten().filter(|listed| listed.size == size);
                found.extend(listed.map(|listed| (&**repo, listed.sha256)));
            }
        }
        found
    }

    /// True if a file may be offered from there: in a package directory, or listed by its path.
    fn offers_from(&self, path: &Path) -> bool {
        self.dirs.iter().any(|dir| path.parent() == Some(dir)) || self.files.iter().any(|file| file.path == path)
    }

    fn offers(&self, repo: &str) -> bool {
        self.tables.iter().any(|(name, _)| name == repo) || self.haiku.iter().any(|(name, _)| name == repo)
    }
}

impl Keeper {
    fn run(mut self, told: &Receiver<WatchEvent>) {
        let mut remembered: HashMap<PathBuf, Shelved> =
            saved::load(&self.saved).into_iter().map(|file| (file.path.clone(), file)).collect();
        let mut lists = self.look(&mut remembered);
        let (mut looked, mut unsaved, mut soon) = (Instant::now(), true, LOOK_SOON);
        loop {
            let again = if lists.is_whole { LOOK_AGAIN } else { soon.min(LOOK_AGAIN) };
            let wait = if unsaved { QUIET } else { again.saturating_sub(looked.elapsed()) };
            match told.recv_timeout(wait) {
                Ok(WatchEvent::File(path)) => {
                    self.consider(&lists, &path, None);
                    unsaved = true;
                }
                Ok(WatchEvent::Settings(settings)) => {
                    self.settings = *settings;
                    (lists, looked, unsaved) = (self.look(&mut remembered), Instant::now(), true);
                }
                Ok(WatchEvent::Lists) => {
                    // pacman replaces one database after the other.
                    let begun = Instant::now();
                    while begun.elapsed() < UNREST
                        && let Ok(more) = told.recv_timeout(Duration::from_secs(1))
                    {
                        if let WatchEvent::Settings(settings) = more {
                            self.settings = *settings;
                        }
                    }
                    (lists, looked, unsaved) = (self.look(&mut remembered), Instant::now(), true);
                }
                Err(RecvTimeoutError::Timeout) if unsaved => {
                    unsaved = false;
                    if let Err(e) = saved::save(&self.shelf, &self.saved) {
                        log::warn(&format!("{}: {e}", self.saved.display()));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    soon = soon.saturating_mul(2);
                    (lists, looked, unsaved) = (self.look(&mut remembered), Instant::now(), true);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Scans everything.
    fn look(&mut self, remembered: &mut HashMap<PathBuf, Shelved>) -> LibraryLists {
        let lists = match self.lists() {
            Ok(lists) => lists,
            Err(e) => {
                log::warn(&format!("nothing new is offered: {e}"));
                LibraryLists { is_whole: false, ..LibraryLists::default() }
            }
        };
        for file in self.shelf.files() {
            if !lists.offers(&file.repo) || !lists.offers_from(&file.path) || !file.path.exists() {
                self.shelf.remove(&file.path);
            }
        }
        let mut paths = Vec::new();
        for dir in &lists.dirs {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            paths.extend(entries.map(|entry| entry.path()));
        }
        for path in paths {
            let known = remembered.remove(&path);
            self.consider(&lists, &path, known);
        }
        for file in &lists.files {
            self.consider_listed(file);
        }
        lists
    }

    fn lists(&mut self) -> Result<LibraryLists, Error> {
        if !self.settings.lan_share {
            self.indexes.hold(HashMap::new());
            return Ok(LibraryLists { is_whole: true, ..LibraryLists::default() });
        }
        let machine = Machine::open(&self.env, &self.settings, Path::new("/var/tmp"))?;
        let lists = Lists::of(&machine);
        let mut dirs = lists.cache_dirs().to_vec();
        dirs.push(self.store.files_dir());
        let mut watched = lists.places();
        let mut prefetched = Vec::new();
        for store in std::iter::once(self.store.dir()).chain(self.settings.share_stores.iter().map(PathBuf::as_path)) {
            // Where the first share of a store is not there yet, the directory above it tells.
            dirs.extend(kept::share_dirs(store));
            watched.extend([store.to_owned(), kept::shares_dir(store)]);
        }
        for store in &self.settings.share_stores {
            dirs.push(store.join("files"));
            // A database newer than the system's lists the files fetched ahead. Its state is written once all of
            // it has come.
            watched.push(store.join("prefetch"));
            let databases = store.join("prefetch/db");
            if databases.join("sync").exists() {
                prefetched.push(Lists::of(&machine).with_databases(&databases));
            }
        }
        let shelves = self.haiku_shelves(&machine);
        watched.extend(shelves.iter().map(|(_, dir, _)| dir.clone()));
        // Where the first list is not there yet.
        if self.settings.haiku.iter().any(|config| may_share(&machine, config)) {
            watched.extend(self.states().into_iter().flat_map(|state| [state.join("haiku"), state]));
        }
        // Before anything is read, so that changes from now on are reported.
        if let Some(watcher) = &mut self.watcher {
            watched.extend(copies_of_indexes(&self.settings));
            watcher.watch(&dirs, &watched);
        }
        let IndexesInUse { answers, files, tables: mut indexed } = IndexesInUse::of(&lists, &self.shelf, self.store);
        // Sharing may have ended while this was read.
        self.indexes.hold(if self.shelf.is_open() { answers } else { HashMap::new() });
        let mut tables = Vec::new();
        for repo in lists.repo_names() {
            if !lists.may_share(&repo) {
                continue;
            }
            let mut of_repo: Vec<Catalogue> =
                indexed.extract_if(.., |(of, _)| *of == repo).map(|(_, table)| table).collect();
            for lists in std::iter::once(&lists).chain(&prefetched) {
                if lists.repo(&repo).is_some() {
                    of_repo.extend(lists.table(&repo).ok().flatten());
                }
            }
            tables.push((repo.to_string(), of_repo));
        }
        let kept = |(config, _, shelf): (HaikuConfig, PathBuf, SnapshotShelf)| {
            Some((config.name.clone(), shelf.load_all(&config)?))
        };
        let haiku = shelves.into_iter().filter_map(kept).collect();
        for warning in std::iter::once(&lists).chain(&prefetched).flat_map(Lists::take_warnings) {
            if self.said.insert(warning.clone()) {
                log::warn(&warning);
            }
        }
        Ok(LibraryLists { tables, dirs, haiku, files, is_whole: lists.repos().is_ok() })
    }

    /// Returns the state directories of this user and of the users of the stores that are shared.
    fn states(&self) -> Vec<PathBuf> {
        let stores = self.settings.share_stores.iter().filter_map(|store| store.file_name());
        let others = stores.map(|name| Path::new("/var/lib").join(name));
        std::iter::once(self.settings.state_dir.clone()).chain(others).collect()
    }

    /// Returns where lists of Haiku's repositories that may be shared are kept: for this user, and for the users of the
    /// stores that are shared, whose units have state directories of the same names. Their keys prove them, whatever user
    /// wrote them.
    fn haiku_shelves(&self, machine: &Machine) -> Vec<(HaikuConfig, PathBuf, SnapshotShelf)> {
        let states = self.states();
        let mut shelves = Vec::new();
        for config in self.settings.haiku.iter().filter(|config| may_share(machine, config)) {
            for state in &states {
                let dir = state.join("haiku").join(&config.name);
                let Ok(meta) = dir.symlink_metadata() else { continue };
                shelves.push((config.clone(), dir, SnapshotShelf::of(state, &config.name, meta.uid())));
            }
        }
        shelves
    }

    /// Puts a file on the shelf if it may be there, and takes it away if not.
    fn consider(&self, lists: &LibraryLists, path: &Path, known: Option<Shelved>) {
        if let Some(file) = self.shelf.at(path) {
            if !lists.offers(&file.repo) {
                self.shelf.remove(path);
            }
            return;
        }
        self.shelf.remove(path);
        // A file that was hashed before and has not changed is not read again.
        let known = known.filter(|known| lists.offers(&known.repo) && known.is_current());
        if let Some(known) = known.filter(|known| !self.is_twice(path, known.sha256, known.key.size)) {
            self.shelf.add(known);
            return;
        }
        let Some(name) = self.name_of(path) else { return };
        let Ok(size) = path.symlink_metadata().map(|meta| meta.len()) else { return };
        let listed = lists.find(&name, size);
        let Some((repo, _)) = listed.first() else { return };
        let Ok(file) = at_leisure(path, repo) else { return };
        let Some((repo, _)) = listed.iter().find(|(_, sha256)| *sha256 == file.sha256) else { return };
        let sha256 = file.sha256;
        if self.is_twice(path, sha256, size) {
            self.store.forget(sha256);
            return;
        }
        self.shelf.add(Shelved { repo: (*repo).to_owned(), ..file });
        // Once it lies in a package cache, the daemon needs no copy of its own.
        if path.parent() != Some(&self.store.files_dir()) {
            self.shelf.remove(&self.store.files_dir().join(sha256.to_string()));
            self.store.forget(sha256);
        }
    }

    /// True for a file of the daemon's store that is offered from another place: the store keeps no second copy.
    fn is_twice(&self, path: &Path, sha256: Sha256, size: u64) -> bool {
        path.parent() == Some(&self.store.files_dir())
            && self.shelf.find(sha256, size).is_some_and(|other| other.path != path)
    }

    /// Puts a file on the shelf if it is as listed.
    fn consider_listed(&self, listed: &OfferedBySha256) {
        if self.shelf.at(&listed.path).is_some_and(|file| file.sha256 == listed.sha256) {
            return;
        }
        self.shelf.remove(&listed.path);
        if let Ok(file) = at_leisure(&listed.path, &listed.repo)
            && file.sha256 == listed.sha256
        {
            self.shelf.add(file);
        }
    }

    /// Returns pacman's name of a file: in the store, the name is kept beside it.
    fn name_of(&self, path: &Path) -> Option<FileName> {
        let name = path.file_name()?.to_str()?;
        let dir = path.parent()?;
        let is_kept = |store: &Path| dir.parent().is_some_and(|above| above == kept::shares_dir(store));
        let of_shares = |store: &PathBuf| dir == store.join("files") || is_kept(store);
        let is_own = dir == self.store.files_dir() || is_kept(self.store.dir());
        if is_own || self.settings.share_stores.iter().any(of_shares) {
            return name.parse::<Sha256>().ok().and_then(|_| name_at(path));
        }
        FileName::new(name).ok().filter(|name| {
            let reading = lists::read(name);
            reading.package.is_some() || reading.signed.is_some()
        })
    }
}

/// Hashes a file on a thread of the lowest priority. Only there: the library thread starts pacman-conf, which at
/// that priority did not answer in time on a busy machine, so that nothing was offered.
fn at_leisure(path: &Path, repo: &str) -> io::Result<Shelved> {
    let read = || {
        let _ = rustix::process::nice(19);
        Shelved::read(path, repo)
    };
    std::thread::scope(|scope| scope.spawn(read).join().expect("reading does not panic"))
}

/// Returns the paths where a newer index shows: the copy of each, and the directories above it, which may not
/// exist yet.
fn copies_of_indexes(settings: &Settings) -> Vec<PathBuf> {
    let state = in_use::state(settings);
    let copies = settings.indexes.iter().map(|index| state.copy_dir(&in_use::copy_name(index)));
    let mut dirs: Vec<PathBuf> =
        copies.flat_map(|copy| copy.ancestors().take(4).map(Path::to_owned).collect::<Vec<_>>()).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}
