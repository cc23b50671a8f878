//! Leaves that are proven before the file is whole, for a listener that reads them.
//!
//! It may read from the beginning of the file up to the first leaf that is not proven yet. Nothing is written there
//! any more, unless the root turns out to be another file's: then the listener is told first.

use crate::engine::race::driver::{RaceDriver, RaceEnd};

impl RaceDriver<'_, '_, '_> {
    /// True if a listener reads leaves before the file is whole.
    pub(super) fn is_read_early(&self) -> bool {
        self.race.progress.wants_leaves()
    }

    /// Proves the leaves that came before the first listener who reads them. Returns true when one was wrong.
    pub(super) fn catch_up(&mut self) -> Result<bool, RaceEnd> {
        if !self.is_read_early()
            || !self.trial.has_leaves()
            || std::mem::replace(&mut self.root.early.is_caught_up, true)
        {
            return Ok(false);
        }
        let was_wrong = self.check(0..u64::MAX)?;
        self.tell_proven();
        Ok(was_wrong)
    }

    /// Tells the end of the leaves that are proven without a gap.
    pub(super) fn tell_proven(&mut self) {
        let proven = if self.is_read_early() { self.trial.front() } else { 0 };
        if proven > self.root.early.told {
            self.root.early.told = proven;
            self.race.progress.proven(proven);
        }
    }

    /// Tells that leaves are no longer those of the file, before anything is written over them.
    pub(super) fn withdraw(&mut self) {
        if std::mem::take(&mut self.root.early.told) > 0 {
            self.race.progress.withdrawn();
        }
    }
}

/// The state of what a listener may read.
#[derive(Default)]
pub(super) struct EarlyLeaves {
    /// The end of the leaves that it was told of.
    pub(super) told: u64,
    /// True once leaves are proven as they come.
    is_caught_up: bool,
}
