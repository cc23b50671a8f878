//! Haiku's repositories that this endpoint serves: the snapshot in use of each, and what was learnt of their packages.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::clock;
use crate::base::digest::Sha256;
use crate::config::HaikuConfig;
use crate::haiku::kept::{KeptSnapshot, KeptSnapshots, SnapshotShelf};
use crate::haiku::state::SnapshotState;
use crate::haiku::take::RefusedLists;
use crate::machine::Machine;
use crate::report::log;

/// Sizes that are remembered.
const SIZES: usize = 4096;

/// Clients of which it is remembered which list they were given.
const CLIENTS: usize = 1024;

/// The repositories in use.
#[derive(Default)]
pub(super) struct HaikuRepos {
    repos: RefCell<BTreeMap<String, Rc<HaikuRepo>>>,
    /// Sizes of packages that were proven.
    pub(super) sizes: RefCell<BTreeMap<Sha256, u64>>,
    /// Sizes with which a package was asked for last.
    pub(super) tried: RefCell<BTreeMap<Sha256, u64>>,
    /// Sizes that servers told, and with which packages did not come.
    pub(super) doubted: RefCell<BTreeSet<(Sha256, u64)>>,
}

/// One of them.
pub(super) struct HaikuRepo {
    pub(super) config: HaikuConfig,
    /// Those of the disk to begin with.
    kept: OnceCell<RefCell<Option<Arc<KeptSnapshots>>>>,
    pub(super) looks: RefCell<ServerLooks>,
    /// Lists that were refused.
    pub(super) refused: RefusedLists,
    /// The list that each client was given last, by its sum.
    given: RefCell<BTreeMap<IpAddr, Sha256>>,
}

/// The looks at the servers of a repository: one at a time, for all clients that wait.
#[derive(Default)]
pub(super) struct ServerLooks {
    /// When the one that goes on began; its end closes the channel.
    pub(super) running: Option<(Instant, watch::Receiver<()>)>,
    /// The time before which there is no other.
    pub(super) next: Option<Instant>,
    /// How many before it found nothing, one after the other.
    pub(super) vain: u32,
}

impl HaikuRepos {
    /// Returns the repository that a path leads into, and the path below it.
    pub(super) fn find(&self, machine: &Machine, path: &[String]) -> Option<(Rc<HaikuRepo>, Vec<String>)> {
        let config = machine.settings.haiku.iter().filter(|config| {
            let of_repo: Vec<&str> = config.path.split('/').collect();
            path.len() > of_repo.len() && of_repo.iter().zip(path).all(|(wanted, part)| part == wanted)
        });
        let config = config.max_by_key(|config| config.path.len())?;
        let rest = path[config.path.split('/').count()..].to_vec();
        Some((self.of(config), rest))
    }

    /// Returns all that are configured.
    pub(super) fn all(&self, machine: &Machine) -> Vec<Rc<HaikuRepo>> {
        machine.settings.haiku.iter().map(|config| self.of(config)).collect()
    }

    fn of(&self, config: &HaikuConfig) -> Rc<HaikuRepo> {
        let mut repos = self.repos.borrow_mut();
        if let Some(known) = repos.get(&config.name).filter(|known| known.config == *config) {
            return Rc::clone(known);
        }
        let repo = Rc::new(HaikuRepo {
            config: config.clone(),
            kept: OnceCell::new(),
            looks: RefCell::default(),
            refused: RefusedLists::default(),
            given: RefCell::default(),
        });
        repos.insert(config.name.clone(), Rc::clone(&repo));
        repo
    }

    /// Remembers the size of a package that was proven.
    pub(super) fn remember(&self, sha256: Sha256, size: u64) {
        put(&mut self.sizes.borrow_mut(), sha256, size);
    }

    /// Remembers the size with which a package is asked for now.
    pub(super) fn tries(&self, sha256: Sha256, size: u64) {
        put(&mut self.tried.borrow_mut(), sha256, size);
    }

    /// Remembers a size that is to be tried last.
    pub(super) fn doubt(&self, sha256: Sha256, size: u64) {
        let mut doubted = self.doubted.borrow_mut();
        if doubted.len() >= SIZES {
            doubted.clear();
        }
        doubted.insert((sha256, size));
    }
}

/// Remembers one more, and no more than [`SIZES`].
fn put(sizes: &mut BTreeMap<Sha256, u64>, sha256: Sha256, size: u64) {
    if sizes.len() >= SIZES {
        sizes.clear();
    }
    sizes.insert(sha256, size);
}

impl HaikuRepo {
    /// Returns the snapshots in use, if they were read already.
    pub(super) fn loaded(&self) -> Option<Arc<KeptSnapshots>> {
        self.kept.get().and_then(|kept| kept.borrow().clone())
    }

    /// Returns the snapshots in use, however old.
    pub(super) async fn known(&self, machine: &Machine) -> Option<Arc<KeptSnapshots>> {
        self.kept(machine).await.borrow().clone()
    }

    /// Takes a snapshot into use that was proven, unless a newer one is by now: it was held against the one before.
    pub(super) async fn accept(&self, machine: &Machine, newest: KeptSnapshot) {
        let kept = self.kept(machine).await;
        let known = kept.borrow().clone();
        let used = known.as_ref().map(|known| known.newest.snapshot.precursor());
        if let Some(Err(why)) = used.map(|used| used.precedes(newest.snapshot.sha256, newest.snapshot.signed)) {
            log::info(|| format!("haiku {}: {why}", self.config.name));
            return;
        }
        let all = match known.map(Arc::unwrap_or_clone) {
            Some(known) => known.followed_by(newest),
            None => KeptSnapshots { newest, former: Vec::new() },
        };
        let all = Arc::new(all);
        *kept.borrow_mut() = Some(Arc::clone(&all));
        let (shelf, config) = (self.shelf(machine), self.config.clone());
        let keeping = move || match shelf.keep(&config, &all.newest) {
            // Another process had a newer one.
            Ok(false) => Ok(shelf.load_all(&config)),
            kept => kept.map(|_| None),
        };
        match tokio::task::spawn_blocking(keeping).await {
            Ok(Ok(Some(newer))) => *kept.borrow_mut() = Some(Arc::new(newer)),
            Ok(Err(e)) => {
                log::warn(&format!("haiku {}: the snapshot is not kept for the next start: {e}", self.config.name));
            }
            Ok(Ok(None)) | Err(_) => {}
        }
    }

    pub(super) fn shelf(&self, machine: &Machine) -> SnapshotShelf {
        SnapshotShelf::of(&machine.settings.state_dir, &self.config.name, machine.env.uid)
    }

    /// Returns the place of the snapshots in use, with those of the disk in it at first.
    async fn kept(&self, machine: &Machine) -> &RefCell<Option<Arc<KeptSnapshots>>> {
        if self.kept.get().is_none() {
            let shelf = self.shelf(machine);
            let config = self.config.clone();
            let loaded = tokio::task::spawn_blocking(move || shelf.load_all(&config)).await.ok().flatten();
            // Another request may have been faster.
            let _first = self.kept.set(RefCell::new(loaded.map(Arc::new)));
        }
        self.kept.get_or_init(RefCell::default)
    }

    /// Returns the snapshots in use; `None` where there is none, or no server has confirmed the newest for too long.
    pub(super) async fn in_use(&self, machine: &Machine) -> Option<Arc<KeptSnapshots>> {
        let kept = self.kept(machine).await.borrow().clone()?;
        let age = clock::now().saturating_sub(kept.newest.checked);
        (age <= self.config.max_age.as_secs()).then_some(kept)
    }

    /// Remembers that a client was told of the list with this sum.
    pub(super) fn give(&self, client: IpAddr, sha256: Sha256) {
        let mut given = self.given.borrow_mut();
        if given.len() >= CLIENTS && !given.contains_key(&client) {
            given.clear();
        }
        given.insert(client, sha256);
    }

    /// Returns the sum of the list that a client was told of last.
    pub(super) fn given(&self, client: IpAddr) -> Option<Sha256> {
        self.given.borrow().get(&client).copied()
    }

    /// Describes it, for the doctor and the status.
    pub(super) async fn state(&self, machine: &Machine) -> SnapshotState {
        let kept = self.kept(machine).await.borrow().clone();
        let (shelf, config) = (self.shelf(machine), self.config.clone());
        let state = move || SnapshotState::of(&config, kept.as_deref(), shelf.servers());
        tokio::task::spawn_blocking(state).await.unwrap_or_default()
    }
}
