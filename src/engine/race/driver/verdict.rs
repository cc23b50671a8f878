//! The end of a race: all bytes are here and are the file or not, or no source is left to ask.

use futures_util::future::{Fuse, FusedFuture as _};

use crate::engine::race::driver::{RaceDriver, RaceEnd};
use crate::engine::race::sheet::EARLIER;
use crate::engine::race::{RaceOutcome, Won};
use crate::engine::source::{Miss, SourceKind};
use crate::trust::plan::Expect;
use crate::trust::verify::{self, Accepted};

impl RaceDriver<'_, '_, '_> {
    /// Compares the received bytes with the expectation.
    pub(super) async fn judge(&mut self) -> Result<(), RaceEnd> {
        let verdict = match self.race.expect {
            Expect::Exact { sha256, size } => {
                let hash = self.sheet.finish_hash()?;
                hash.finish(sha256, size).map(Accepted::Proven).map_err(|e| e.to_string())
            }
            Expect::Waived(why) => {
                let waived = verify::waive(why, self.race.shape, self.sheet.file());
                waived.map(Accepted::Waived).map_err(|e| e.to_string())
            }
        };
        match verdict {
            Ok(accepted) => Err(RaceEnd::Done(self.won(accepted)?)),
            Err(why) => self.mismatch(why).await,
        }
    }

    fn won(&mut self, accepted: Accepted) -> Result<RaceOutcome, RaceEnd> {
        for (source, why) in std::mem::take(&mut self.trial).convicted(&self.sheet)? {
            self.board.log.misses.push((source, Miss::Corrupt(why)));
            self.board.log.liars.push(source);
        }
        let mut shares = self.sheet.shares();
        if self.sheet.bytes() == 0 {
            // A source that reported nothing to send has delivered the file.
            shares.extend(self.lanes.last.map(|source| (source, 0)));
        }
        let dates = self.lanes.open.values().filter(|open| shares.iter().any(|(source, _)| *source == open.source));
        let modified = dates.filter_map(|open| open.modified).max();
        Ok(RaceOutcome::Won(Won { accepted, modified, shares }))
    }

    /// Handles complete bytes that are not the file.
    async fn mismatch(&mut self, why: String) -> Result<(), RaceEnd> {
        if !self.root.is_asked && !self.board.keeps_apart() {
            self.ask_for_root();
        }
        if !self.root.leaves.is_terminated() {
            let leaves = (&mut self.root.leaves).await;
            self.got_root(leaves)?;
        }
        if self.trial.has_leaves() && self.check(0..u64::MAX)? {
            return Ok(());
        }
        let senders = self.sheet.senders(&(0..u64::MAX));
        let now = self.now();
        if self.trial.has_leaves() {
            // All leaves are right and the file is wrong: these are the leaves of another file.
            for source in 0..self.race.sources.len() {
                if matches!(self.race.sources[source].source.kind(), SourceKind::Kubo | SourceKind::Gateway) {
                    self.board.exclude(source, Miss::Broken("its CID is that of another file".to_owned()), now);
                }
            }
            self.drop_the_claim();
            return Ok(());
        }
        match senders.as_slice() {
            [] => match self.lanes.last.take() {
                Some(source) => self.board.exclude(source, Miss::Corrupt(why), now),
                // The file should not be empty, and is.
                None => return Err(RaceEnd::Done(RaceOutcome::Lost)),
            },
            [EARLIER] => {}
            [source] => {
                self.board.exclude(*source, Miss::Corrupt(why), now);
                self.board.log.liars.push(*source);
            }
            several => {
                let known = several.iter().filter(|source| **source != EARLIER);
                let locations: Vec<&str> = known.map(|source| self.locations[*source].as_str()).collect();
                let why = format!("{why}, mixed from: an earlier run or {}", locations.join(", "));
                self.board.log.unattributed.push(self.board.log.misses.len());
                self.board.log.misses.push((several[0], Miss::Corrupt(why)));
                self.board.keep_apart();
            }
        }
        self.restart();
        Ok(())
    }

    /// Handles a race without sources left, as long as all exclusions hold.
    pub(super) fn give_up(&mut self) -> Result<(), RaceEnd> {
        if self.board.ask_for_the_whole() {
            return Ok(());
        }
        if self.board.has_accused() {
            // The failure of all other sources may be the fault of a wrong root.
            self.drop_the_claim();
            return Ok(());
        }
        Err(RaceEnd::Done(RaceOutcome::Lost))
    }

    fn drop_the_claim(&mut self) {
        self.trial.drop_the_claim();
        self.root.leaves = Fuse::terminated();
        self.board.leaves(false);
        self.board.acquit();
        self.board.keep_apart();
        self.restart();
    }
}
