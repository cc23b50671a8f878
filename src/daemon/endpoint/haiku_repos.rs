//! Haiku's repositories that this endpoint serves: the snapshot in use of each, and what was learnt of their packages.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::public::is_public_url;
use crate::config::{HaikuConfig, SharePolicy};
use crate::haiku::kept::{KeptSnapshot, SnapshotShelf};
use crate::haiku::take::{Taken, take};
use crate::machine::Machine;
use crate::report::log;

/// Time for which a look at the servers is not repeated.
const FRESH: Duration = Duration::from_secs(60);

/// Sizes that are remembered.
const SIZES: usize = 4096;

/// The repositories in use.
#[derive(Default)]
pub(super) struct HaikuRepos {
    repos: RefCell<BTreeMap<String, Rc<HaikuRepo>>>,
    /// Sizes of packages that were proven.
    pub(super) sizes: RefCell<BTreeMap<Sha256, u64>>,
}

/// One of them.
pub(super) struct HaikuRepo {
    pub(super) config: HaikuConfig,
    /// The one of the disk to begin with.
    kept: OnceCell<RefCell<Option<Arc<KeptSnapshot>>>>,
    /// When its servers were asked last.
    asked: Mutex<Option<Instant>>,
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
        let mut repos = self.repos.borrow_mut();
        let known = repos.get(&config.name).filter(|known| known.config == *config);
        if let Some(known) = known {
            return Some((Rc::clone(known), rest));
        }
        let repo = Rc::new(HaikuRepo { config: config.clone(), kept: OnceCell::new(), asked: Mutex::default() });
        repos.insert(config.name.clone(), Rc::clone(&repo));
        Some((repo, rest))
    }

    /// Remembers the size of a package that was proven.
    pub(super) fn remember(&self, sha256: Sha256, size: u64) {
        let mut sizes = self.sizes.borrow_mut();
        if sizes.len() >= SIZES {
            sizes.clear();
        }
        sizes.insert(sha256, size);
    }
}

impl HaikuRepo {
    /// Asks the servers for a newer snapshot, unless that was done a moment ago. The one in use stays where they have none
    /// that is proven; the log says why.
    pub(super) async fn renew(&self, machine: &Machine) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            return;
        }
        let kept = self.kept(machine).await;
        let known = kept.borrow().clone();
        let Taken { snapshot, failures } = take(machine, &self.config, known.as_deref()).await;
        for failure in &failures {
            log::warn(&format!("haiku {}: {}: {}", self.config.name, failure.host, failure.why));
        }
        // One that came is good for a while; after failures the next request asks again.
        *asked = snapshot.as_ref().map(|_| Instant::now());
        if let Some(newest) = snapshot {
            self.accept(machine, newest).await;
        }
    }

    /// Returns the snapshot in use, however old.
    pub(super) async fn known(&self, machine: &Machine) -> Option<Arc<KeptSnapshot>> {
        self.kept(machine).await.borrow().clone()
    }

    /// Takes a snapshot into use that was proven.
    pub(super) async fn accept(&self, machine: &Machine, newest: KeptSnapshot) {
        let newest = Arc::new(newest);
        *self.kept(machine).await.borrow_mut() = Some(Arc::clone(&newest));
        let shelf = SnapshotShelf::of(&machine.settings.state_dir, &self.config.name, machine.env.uid);
        if let Ok(Err(e)) = tokio::task::spawn_blocking(move || shelf.keep(&newest)).await {
            log::warn(&format!("haiku {}: the snapshot is not kept for the next start: {e}", self.config.name));
        }
    }

    /// Returns the place of the snapshot in use, with the one of the disk in it at first.
    async fn kept(&self, machine: &Machine) -> &RefCell<Option<Arc<KeptSnapshot>>> {
        if self.kept.get().is_none() {
            let shelf = SnapshotShelf::of(&machine.settings.state_dir, &self.config.name, machine.env.uid);
            let config = self.config.clone();
            let loaded = tokio::task::spawn_blocking(move || shelf.load(&config)).await.ok().flatten();
            // Another request may have been faster.
            let _first = self.kept.set(RefCell::new(loaded.map(Arc::new)));
        }
        self.kept.get_or_init(RefCell::default)
    }

    /// Returns the snapshot in use; `None` where there is none, or no server has confirmed it for too long.
    pub(super) async fn in_use(&self, machine: &Machine) -> Option<Arc<KeptSnapshot>> {
        let kept = self.kept(machine).await.borrow().clone()?;
        let age = clock::now().saturating_sub(kept.checked);
        (age <= self.config.max_age.as_secs()).then_some(kept)
    }

    /// Returns true where its packages may be asked of neighbours and gateways.
    pub(super) fn may_share(&self, machine: &Machine) -> bool {
        match &machine.settings.share {
            SharePolicy::Public => self.config.urls.iter().all(|url| is_public_url(&url.to_string())),
            SharePolicy::Named(names) => names.iter().any(|name| name.as_str() == self.config.name),
        }
    }
}
