//! The indexes in use: their keys, their copies on this disk, and the last refresh. Fetches nothing.

use std::time::{Duration, SystemTime};

use crate::base::clock;
use crate::config::{IndexConfig, Settings};
use crate::index::in_use;
use crate::index::manifest::Manifest;
use crate::index::stale::{self, LagMemory, Staleness};
use crate::index::state::{RouteRecord, SeenSequence};

/// One index, as it is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct IndexFacts {
    /// Its declaration.
    pub(crate) config: IndexConfig,
    /// The error in its keys.
    pub(crate) bad_key: Option<String>,
    /// The manifest of its copy; an error when it cannot be read by this user.
    pub(crate) copy: Result<Option<Manifest>, String>,
    /// What was last seen under its keys, maybe of another index with the same ones; an error as above.
    pub(crate) seen: Result<Option<SeenSequence>, String>,
    /// Age at which it is due (`index.refresh`).
    pub(crate) refresh: Duration,
    /// True if it was last confirmed longer ago than that, or never.
    pub(crate) is_due: bool,
    /// The routes of the last refresh.
    pub(crate) routes: Vec<RouteRecord>,
    /// The reason to think that its publisher has stopped.
    pub(crate) stale: Option<Staleness>,
}

impl IndexFacts {
    /// Looks at one index.
    pub(crate) fn of(settings: &Settings, index: &IndexConfig, now: SystemTime) -> Self {
        let (state, name, grant) = (in_use::state(settings), in_use::copy_name(index), in_use::grant(index));
        let seen = grant.as_ref().map_or(Ok(None), |grant| state.seen(&grant.keys()));
        let copy = state.held(&name).map(|held| held.map(|held| held.manifest)).map_err(|e| e.to_string());
        let (confirmed, tried) = in_use::asked(settings, index);
        let kept = settings.store_dir.as_ref().map(|dir| dir.join("cache").join(format!("{name}.lag")));
        let lag = [Some(state.lag_path(&name)), kept].iter().flatten().find_map(|path| LagMemory::read(path));
        let lag = lag.unwrap_or_default();
        let manifest = copy.as_ref().ok().and_then(Option::as_ref);
        let stale = manifest.and_then(|it| stale::staleness(it, &lag, confirmed, tried, clock::unix(now)));
        Self {
            config: index.clone(),
            bad_key: grant.as_ref().err().map(ToString::to_string),
            copy,
            stale,
            seen: seen.map_err(|e| e.to_string()),
            refresh: settings.index_refresh,
            is_due: in_use::is_due(settings, index, now),
            routes: state.asked(&name),
        }
    }

    /// Returns when a source last confirmed its copy; `None` when there is no copy.
    ///
    /// # Errors
    /// The reason why this user cannot read it.
    pub(crate) fn confirmed(&self) -> Result<Option<SeenSequence>, &String> {
        let has_copy = self.copy.as_ref()?.is_some();
        Ok(self.seen.as_ref()?.clone().filter(|_| has_copy))
    }

    /// Returns the manifest of its copy, where it can be read.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.copy.as_ref().ok()?.as_ref()
    }
}

/// Looks at all indexes of the settings.
pub(crate) fn look(settings: &Settings, now: SystemTime) -> Vec<IndexFacts> {
    settings.indexes.iter().map(|index| IndexFacts::of(settings, index, now)).collect()
}
