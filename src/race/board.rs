//! The board of a race: what is missing, who is doing what, and what to do next. No clock, no socket, no file: times are
//! handed in, and what to do comes out as a [`Move`].
//!
//! The missing bytes are a list of stretches. Each is held by the one source that sends it, or by nobody; beside the
//! holder there may be others who were asked for the same bytes: before anybody has sent anything, or because the holder
//! is silent or slow. Whoever of them sends first becomes the holder, so nobody is left for one who does not deliver.
//! `hunt` says whom to ask for a stretch, `hold` who of them sends it, `share` how a stretch is divided.

use std::ops::Range;
use std::time::Duration;

use crate::health::record::SourceRecord;
use crate::race::Log;
use crate::race::pace::Pace;
use crate::race::stretch::{Lane, Stretch};
use crate::source::{Miss, SourceKind};

pub use crate::race::stretch::Time;

/// Times that one source may be asked again after it broke off and had delivered something.
const RESUMES: u32 = 5;

/// What is thought of one source.
#[derive(Debug)]
pub(super) struct SourceState {
    pub kind: SourceKind,
    pub record: SourceRecord,
    /// Asked only when all others have failed.
    pub is_last_resort: bool,
    /// How often it may still be asked.
    pub chances: u32,
    /// A leaf of it was not what the root says. Whether it lied is known when the whole file is.
    pub accused: bool,
    /// It answered a question for a part with nonsense.
    pub partless: bool,
    /// It was asked, and another one answered sooner.
    pub outrun: bool,
}

/// The state of a race.
#[derive(Debug)]
pub struct Board<'l> {
    pub(super) pace: Pace,
    /// Of the file, where known.
    pub(super) size: Option<u64>,
    pub(super) sources: Vec<SourceState>,
    pub(super) stretches: Vec<Stretch>,
    /// Set after a mismatch that nobody can be blamed for: from then on no two sources share a file.
    pub(super) alone: bool,
    /// Whether those who cannot send parts are asked for the whole file.
    pub(super) whole: bool,
    /// Whether single leaves can be proven.
    pub(super) has_leaves: bool,
    pub(super) next_id: u32,
    pub(super) log: &'l mut Log,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Ask a source.
    Ask {
        /// The number of the question.
        lane: u32,
        /// Index of the source.
        source: usize,
        /// The first byte wanted.
        from: u64,
        /// Where to stop; `None` for the end of the file.
        until: Option<u64>,
    },
    /// Wait for answers and bytes, at most until then.
    Wait(Time),
    /// Everything is here: compare it with what is expected.
    Judge,
    /// Nobody is left to ask.
    GiveUp,
}

/// What to do with bytes that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// Nobody waits for this answer any more.
    Late,
    /// Leave out the first `skip` bytes and write `len` at `at`.
    Write {
        /// Offset in the file.
        at: u64,
        /// Bytes that are here already.
        skip: usize,
        /// Bytes to write.
        len: usize,
    },
    /// More came than the file has: none of it is taken.
    TooMuch,
}

impl<'l> Board<'l> {
    /// A file of `size` bytes, of which `have` are here.
    pub fn new(
        pace: Pace,
        sources: impl IntoIterator<Item = (SourceKind, SourceRecord, bool)>,
        size: Option<u64>,
        have: u64,
        log: &'l mut Log,
    ) -> Self {
        let standing = |(kind, record, is_last_resort)| SourceState {
            kind,
            record,
            is_last_resort,
            chances: RESUMES + 1,
            accused: false,
            partless: false,
            outrun: false,
        };
        let mut board = Self {
            pace,
            size,
            sources: sources.into_iter().map(standing).collect(),
            stretches: Vec::new(),
            alone: false,
            whole: false,
            has_leaves: false,
            next_id: 0,
            log,
        };
        board.missing(have..size.unwrap_or(u64::MAX));
        board
    }

    /// What to do at the time `now`.
    pub fn next(&mut self, now: Time) -> Move {
        if self.stretches.is_empty() {
            return Move::Judge;
        }
        match self.hunt(now) {
            Move::Wait(until) => self.share(now).unwrap_or(Move::Wait(until)),
            other => other,
        }
    }

    /// A source says that it sends from `start` on. False when that is of no use: then it is not listened to any more.
    pub fn answered(&mut self, id: u32, start: u64, now: Time) -> bool {
        let (is_only, end) = (self.stretches.len() == 1, self.size.unwrap_or(u64::MAX));
        let Some((_, lane)) = self.lane(id) else { return false };
        // Who cannot start in the middle is listened to from the beginning, unless others are at work.
        let is_useful = start == lane.at || (start == 0 && is_only);
        if is_useful {
            (lane.at, lane.answered, lane.heard) = (start, true, now);
            if start == 0 {
                lane.until = end;
            }
        } else {
            let wanted = lane.at;
            self.failed(id, Miss::Broken(format!("sends from byte {start}, was asked from {wanted}")), now);
        }
        is_useful
    }

    /// `len` bytes of an answer came.
    pub fn arrived(&mut self, id: u32, len: u64, now: Time) -> Take {
        let Some(i) = self.stretches.iter().position(|stretch| stretch.lanes().any(|lane| lane.id == id)) else {
            return Take::Late;
        };
        if self.stretches[i].holder.as_ref().is_none_or(|holder| holder.id != id) {
            if !self.promote(i, id, now) {
                return Take::Late;
            }
            if self.size.is_none() {
                // Another answer may be another file: what is here of an earlier one is written over.
                self.stretches[i].at = 0;
            }
        }
        let pace = self.pace;
        let stretch = &mut self.stretches[i];
        let lane = stretch.holder.as_mut().expect("who sends was made the holder");
        lane.measure(len, now, &pace);
        let from = lane.at;
        lane.at += len;
        if lane.at >= stretch.until {
            self.go_on(i, now);
        }
        let stretch = &mut self.stretches[i];
        let lane = stretch.holder.as_ref().expect("it is the same as before");
        let (start, end) = (from.max(stretch.at), lane.at.min(stretch.until).max(stretch.at));
        if self.size.is_some_and(|size| lane.at > size) {
            return Take::TooMuch;
        }
        if end <= start {
            return Take::Write { at: start, skip: 0, len: 0 };
        }
        stretch.at = end;
        if stretch.at == stretch.until {
            let done = self.stretches.remove(i);
            done.into_lanes().for_each(|lane| self.seen(&lane, now));
        }
        Take::Write { at: start, skip: (start - from) as usize, len: (end - start) as usize }
    }

    /// An answer ended as if that were all. True when it may have been all.
    pub fn ended(&mut self, id: u32, now: Time) -> bool {
        let size = self.size;
        let Some((i, lane)) = self.lane(id) else { return false };
        match size {
            None => {
                let lane = lane.id;
                self.outrun_others(i, lane, now);
                self.stretches.clear();
                true
            }
            Some(size) => {
                let why = format!("ended at {} of {size} bytes", lane.at);
                self.failed(id, Miss::Broken(why), now);
                false
            }
        }
    }

    /// A question or its answer came to nothing.
    pub fn failed(&mut self, id: u32, why: Miss, now: Time) {
        let Some(i) = self.stretches.iter().position(|stretch| stretch.lanes().any(|lane| lane.id == id)) else {
            return;
        };
        let stretch = &mut self.stretches[i];
        let lane = match stretch.holder.take_if(|holder| holder.id == id) {
            Some(holder) => holder,
            None => {
                let at = stretch.asked.iter().position(|lane| lane.id == id).expect("found above");
                let is_last = at + 1 == stretch.asked.len();
                let lane = stretch.asked.remove(at);
                if is_last && stretch.holder.is_none() {
                    self.spend(lane.source, now - lane.asked);
                }
                lane
            }
        };
        let nonsense = matches!(why, Miss::Broken(_) | Miss::Corrupt(_));
        let standing = &mut self.sources[lane.source];
        if nonsense && lane.is_part && lane.first.is_none() {
            standing.partless = true;
        }
        // A source that drips would drip on.
        let again = lane.got > 0
            && !matches!(why, Miss::Slow(0))
            && matches!(why, Miss::Broken(_) | Miss::Stalled(_) | Miss::Slow(_));
        standing.chances = if again { standing.chances.saturating_sub(1) } else { 0 };
        self.log.misses.push((lane.source, why));
        self.seen(&lane, now);
    }

    /// These bytes are missing again, or for the first time.
    pub fn missing(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let next = self.stretches.partition_point(|stretch| stretch.at < range.start);
        self.stretches.insert(next, Stretch::new(range));
        // Nobody is doing anything about it, so it may as well be asked for together with what comes after it.
        if let Some(after) = self.stretches.get(next + 1)
            && after.at == self.stretches[next].until
            && after.lanes().next().is_none()
        {
            let after = self.stretches.remove(next + 1);
            self.stretches[next].until = after.until;
        }
        if let Some(before) = next.checked_sub(1)
            && self.stretches[before].until == self.stretches[next].at
            && self.stretches[before].lanes().next().is_none()
        {
            let after = self.stretches.remove(next);
            self.stretches[before].until = after.until;
        }
    }

    /// Everything is missing, and nobody is asked any more.
    pub fn restart(&mut self, now: Time) {
        for stretch in std::mem::take(&mut self.stretches) {
            stretch.into_lanes().for_each(|lane| self.seen(&lane, now));
        }
        self.missing(0..self.size.unwrap_or(u64::MAX));
    }

    /// From now on no two sources share the file.
    pub fn keep_apart(&mut self) {
        self.alone = true;
    }

    /// Whether no two sources share the file any more.
    pub fn keeps_apart(&self) -> bool {
        self.alone
    }

    /// Single leaves can be proven, or not any more.
    pub fn leaves(&mut self, known: bool) {
        self.has_leaves = known;
    }

    /// A leaf of this source was wrong: it is not asked while that is open.
    pub fn accuse(&mut self, source: usize, now: Time) {
        self.sources[source].accused = true;
        self.dismiss(source, now);
    }

    /// Those who were accused may be asked once more.
    pub fn acquit(&mut self) {
        for standing in self.sources.iter_mut().filter(|standing| standing.accused) {
            (standing.accused, standing.chances) = (false, 1);
        }
    }

    /// Whether anybody is accused.
    pub fn has_accused(&self) -> bool {
        self.sources.iter().any(|standing| standing.accused)
    }

    /// This source cannot deliver the file.
    pub fn exclude(&mut self, source: usize, why: Miss, now: Time) {
        self.dismiss(source, now);
        self.sources[source].chances = 0;
        self.log.misses.push((source, why));
    }

    /// Those who cannot send parts get their only chance to send the whole. False when there is nobody like that.
    pub fn ask_for_the_whole(&mut self) -> bool {
        let mut anybody = false;
        if !std::mem::replace(&mut self.whole, true) {
            for standing in self.sources.iter_mut().filter(|standing| standing.partless) {
                (standing.partless, standing.chances, anybody) = (false, 1, true);
            }
        }
        anybody
    }

    /// Whether anybody still waits for this answer.
    pub fn is_wanted(&self, id: u32) -> bool {
        self.stretches.iter().any(|stretch| stretch.lanes().any(|lane| lane.id == id))
    }

    /// Whether somebody sends who may need to be helped, or several do: then the root block is worth a question.
    pub fn wants_leaves(&self) -> bool {
        let holders = || self.stretches.iter().filter_map(|stretch| stretch.holder.as_ref());
        let is_peer = |lane: &Lane| !self.is_mirror(lane.source);
        let trouble = self.log.misses.iter().any(|(_, miss)| !matches!(miss, Miss::Absent(_)));
        holders().next().is_some() && (trouble || self.pace.mirrors > 1 || holders().any(is_peer))
    }

    fn lane(&mut self, id: u32) -> Option<(usize, &mut Lane)> {
        let mut all = self.stretches.iter_mut().enumerate();
        all.find_map(|(i, stretch)| {
            let Stretch { holder, asked, .. } = stretch;
            holder.iter_mut().chain(asked).find(|lane| lane.id == id).map(|lane| (i, lane))
        })
    }

    /// Takes note of what a lane has shown about its source.
    pub(super) fn seen(&mut self, lane: &Lane, now: Time) {
        let Some(first) = lane.first else { return };
        let standing = &mut self.sources[lane.source];
        standing.record.answered(first - lane.asked);
        // Without the time after the last byte, which says nothing about the rate.
        standing.record.delivered(lane.got, lane.heard.min(now) - first);
        self.log.heard.push((lane.source, first - lane.asked, lane.got, lane.heard.min(now) - first));
    }

    /// Counts what was waited for a peer that brought nothing.
    pub(super) fn spend(&mut self, source: usize, waited: Duration) {
        if self.has_head_start(source) {
            self.log.head_start_spent += waited;
        }
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
