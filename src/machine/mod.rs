//! The means that all calls of a process share: the process itself, its settings, the store, the HTTP clients.
//!
//! A machine knows what may be asked here (Kubo, the daemon, gateways), and nothing of pacman: its lists are in
//! [`lists`](crate::machine::lists), the single call is in [`call`](crate::machine::call).
//!
//! # Room
//!
//! - In: the environment and the settings
//! - Out: what all calls of a process share, its lists, and one call
//! - May use: base, config, index, lists, net, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! conditions lists
//! call
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::env::{BESIDE, Env, HANDOVER};
use crate::base::error::Error;
use crate::base::public::is_public_url;
use crate::config::{self, AskPolicy, IndexConfig, Settings, SharePolicy};
use crate::net::http::Http;
use crate::net::http::shared::SharedConnections;
use crate::net::kubo::Kubo;
use crate::store::Store;

pub mod call;
pub(crate) mod conditions;
pub mod lists;

/// The means that all calls of one process share. Many calls may hold the same one.
pub struct Machine {
    /// The process.
    pub(crate) env: Env,
    /// The settings.
    pub(crate) settings: Settings,
    /// The staging area.
    pub store: Arc<Store>,
    /// The HTTP clients.
    pub(crate) http: Rc<Http>,
    /// The reason why the configured store cannot be used, where that is so. For the user.
    pub(crate) no_store: Option<String>,
}

impl Machine {
    /// Opens the store. A temporary one in `beside` replaces a lasting one that cannot be had.
    ///
    /// # Errors
    /// `Local` when there is no place for either; trying again does not help.
    pub fn open(env: &Env, settings: &Settings, beside: &Path) -> Result<Rc<Self>, Error> {
        Self::sharing(env, settings, beside, None)
    }

    /// Opens it for one of several threads that share these connections.
    ///
    /// # Errors
    /// As of [`Machine::open`].
    pub(crate) fn sharing(
        env: &Env,
        settings: &Settings,
        beside: &Path,
        connections: Option<&Arc<SharedConnections>>,
    ) -> Result<Rc<Self>, Error> {
        let (store, no_store) = open_store(env, settings, beside)?;
        Ok(Self::with_store(env, settings, Arc::new(store), no_store, connections))
    }

    /// Opens the lasting store or none, and prints nothing.
    pub(crate) fn open_lasting(env: &Env, settings: &Settings) -> Option<Rc<Self>> {
        let store = Store::open(settings.store_dir.as_ref()?, env.uid, settings.store_max).ok()?;
        Some(Self::with_store(env, settings, Arc::new(store), None, None))
    }

    /// Makes it for one of several threads that share the open store as well.
    pub(crate) fn of_store(
        env: &Env,
        settings: &Settings,
        store: &Arc<Store>,
        connections: Option<&Arc<SharedConnections>>,
    ) -> Rc<Self> {
        Self::with_store(env, settings, Arc::clone(store), None, connections)
    }

    fn with_store(
        env: &Env,
        settings: &Settings,
        store: Arc<Store>,
        no_store: Option<String>,
        connections: Option<&Arc<SharedConnections>>,
    ) -> Rc<Self> {
        let http = Http::new(settings.connect).in_environment(env);
        let http = Rc::new(match connections {
            Some(connections) => http.over(connections),
            None => http,
        });
        Rc::new(Self { env: env.clone(), settings: settings.clone(), store, http, no_store })
    }

    /// Returns the same machine with a temporary store in `beside` in place of the lasting one, which has failed.
    /// `None` when there is no other place, or no lasting one was in use.
    pub(crate) fn without_store(&self, beside: &Path) -> Option<Rc<Self>> {
        if self.store.is_passing() {
            return None;
        }
        let store = passing_store(&self.env, &self.settings, beside).ok()?;
        let Self { env, settings, http, .. } = self;
        Some(Rc::new(Self {
            env: env.clone(),
            settings: settings.clone(),
            store: Arc::new(store),
            http: Rc::clone(http),
            no_store: None,
        }))
    }

    /// Returns the same machine with other settings.
    pub(crate) fn with_settings(&self, settings: Settings) -> Rc<Self> {
        let Self { env, store, http, .. } = self;
        Rc::new(Self { env: env.clone(), settings, store: Arc::clone(store), http: Rc::clone(http), no_store: None })
    }

    /// Returns the warning that it goes on without the configured store, where that cannot be used.
    pub(crate) fn warning(&self) -> Option<String> {
        let (dir, why) = self.settings.store_dir.as_ref().zip(self.no_store.as_ref())?;
        Some(format!("{}: {why}; going on without a lasting store", dir.display()))
    }

    /// Returns true when Kubo may be asked at all.
    pub(crate) fn asks_kubo(&self) -> bool {
        self.allows(self.settings.kubo)
    }

    /// Returns true when there is a daemon that may be asked for the files of neighbours.
    pub(crate) fn asks_lan(&self) -> bool {
        self.allows(self.settings.lan) && rustix::fs::stat(&self.settings.socket).is_ok()
    }

    fn allows(&self, policy: AskPolicy) -> bool {
        match policy {
            AskPolicy::Yes => true,
            AskPolicy::No => false,
            AskPolicy::Auto => !self.env.has_proxy(),
        }
    }

    /// Returns the RPC and gateway of the Kubo daemon.
    pub(crate) fn kubo(&self) -> Kubo {
        Kubo::configured(&self.settings, &self.http)
    }

    /// Returns true when gateways may be asked at all.
    pub(crate) fn asks_gateways(&self) -> bool {
        !self.env.has_proxy() || self.settings.gateways_behind_proxy
    }

    /// Returns true when neighbours may be asked for an index, and so learn of it: it is public. One with a
    /// private copy is passed on where all of its repositories are named in `share.repos`.
    pub(crate) fn may_pass_on(&self, index: &IndexConfig) -> bool {
        let is_named = match &self.settings.share {
            SharePolicy::Public => false,
            SharePolicy::Named(names) => {
                index.repos.iter().all(|repo| repo.value().is_ok_and(|repo| names.contains(repo)))
            }
        };
        is_named || index.urls().all(|url| is_public_url(&url.to_string()))
    }
}

/// Returns the store, and the reason why the configured one cannot be used.
fn open_store(env: &Env, settings: &Settings, beside: &Path) -> Result<(Store, Option<String>), Error> {
    let passing = || {
        passing_store(env, settings, beside)
            .map_err(|e| Error::local(beside.display(), format!("no place for a store: {e}")))
    };
    if settings.storeless {
        return Ok((passing()?, None));
    }
    if let Some(dir) = &settings.store_dir {
        match Store::open(dir, env.uid, settings.store_max) {
            Ok(store) => return Ok((store, None)),
            Err(e) => {
                let store = passing().map_err(|none| none.tried(format!("{}: {e}", dir.display())))?;
                return Ok((store, Some(e.to_string())));
            }
        }
    }
    let own = config::homeless_store(env.uid);
    match Store::open(&own, env.uid, settings.store_max) {
        Ok(store) => Ok((store, None)),
        Err(_) => Ok((passing()?, None)),
    }
}

fn passing_store(env: &Env, settings: &Settings, beside: &Path) -> std::io::Result<Store> {
    let tried = |dir: &Path| Store::passing(dir, env.uid, settings.store_max);
    // Root's own directory is not its child's to write to; the one that root has made for it beside that is.
    let first = env.var(HANDOVER).and(env.var(BESIDE)).map_or(beside, Path::new);
    tried(first).or_else(|_| tried(Path::new("/var/tmp"))).or_else(|_| tried(&std::env::temp_dir()))
}
