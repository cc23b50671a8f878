//! The shares that are kept, and the timer that makes their rounds.

use super::units::{self, UnitState};
use crate::config::{KeepConfig, Settings};
use crate::pins::keeper::state::{KeeperPlace, KeeperState};

/// A share.
#[derive(Clone, Debug)]
pub(crate) struct ShareFacts {
    /// Its declaration.
    pub(crate) keep: KeepConfig,
    /// Its state; `None` before the first round, and where this user cannot read it.
    pub(crate) state: Option<KeeperState>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeepFacts {
    /// In the order of their names.
    pub(crate) shares: Vec<ShareFacts>,
    /// The state of the timer, where it was asked for and any share is kept.
    pub(crate) timer: Option<UnitState>,
}

impl KeepFacts {
    /// Reads the states.
    pub(crate) fn glance(settings: &Settings) -> Self {
        let of_one = |keep: &KeepConfig| ShareFacts {
            keep: keep.clone(),
            state: KeeperPlace::of(&settings.state_dir, &keep.name).read(),
        };
        Self { shares: settings.keeps.iter().map(of_one).collect(), timer: None }
    }

    /// Reads them, and asks for the timer.
    pub(crate) fn examine(settings: &Settings) -> Self {
        let facts = Self::glance(settings);
        let timer = (!facts.shares.is_empty()).then(|| units::glance("pkgswarm-keep.timer"));
        Self { timer, ..facts }
    }
}
