//! Whose a share is: an ordinary user sees what root keeps and leaves it alone. Two keepers of one name would take each
//! other's pin.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::env::{Env, HANDOVER};
use crate::base::error::Error;
use crate::config::layers::{self, Layers, Origin};
use crate::config::{SYSTEM_STATE, Settings, own_state_dir};

/// The shares that root keeps, as an ordinary user sees them; none for root and for the user who works for it.
pub(super) struct RootsShares {
    names: BTreeSet<String>,
    state_dir: PathBuf,
}

impl RootsShares {
    /// Finds them in the system's configuration.
    pub(super) fn of(env: &Env, settings: &Settings) -> Self {
        let is_own = own_state_dir(env).is_some_and(|own| own == settings.state_dir);
        let state_dir = if is_own { PathBuf::from(SYSTEM_STATE) } else { settings.state_dir.clone() };
        let works_for_root = || {
            let is_owner = state_dir.metadata().is_ok_and(|found| found.uid() == env.uid);
            layers::may_change_system(env) || env.var(HANDOVER).is_some() || is_owner
        };
        if works_for_root() {
            return Self { names: BTreeSet::new(), state_dir };
        }
        let system = layers::system_dir(env);
        let is_systems = |origin: &Origin| matches!(origin, Origin::File(path, _) if path.starts_with(&system));
        let keeps = Layers::read_leniently(env, &[]).0.keeps;
        let names = keeps.into_iter().filter(|(_, (_, origin))| is_systems(origin)).map(|(name, _)| name);
        Self { names: names.collect(), state_dir }
    }

    /// True if this user may only look at the share.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns the directory with its state.
    pub(super) fn state_dir<'s>(&'s self, settings: &'s Settings, name: &str) -> &'s Path {
        if self.has(name) { &self.state_dir } else { &settings.state_dir }
    }

    /// Refuses what would change the share; `words` are those of the command.
    ///
    /// # Errors
    /// `Usage`, with the command for root.
    pub(super) fn refuse(&self, name: &str, words: &str) -> Result<(), Error> {
        if !self.has(name) {
            return Ok(());
        }
        Err(Error::usage(name, "root keeps this share").hint(format!("sudo pkgswarm keep {words}")))
    }
}
