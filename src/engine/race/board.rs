//! The board of a race: the missing bytes, the work of each source, and the next move. No clock, no socket, no
//! file: times are passed in, and the next action comes out as a [`Move`].
//!
//! The missing bytes are a list of stretches. One source holds and sends each stretch, or none does; beside the
//! holder, other sources may have been asked for the same bytes: before any has sent bytes, or because the holder
//! is silent or slow. The first of them to send becomes the holder, so a working source is never dropped for one
//! that does not deliver. `hunt` chooses the source to ask for a stretch, `hold` the one that sends it, `share`
//! divides stretches.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::ops::Range;
use std::time::Duration;

use crate::engine::race::Log;
use crate::engine::race::pace::Pace;
use crate::engine::race::stretch::{Lane, Stretch};
use crate::engine::source::{Miss, SourceKind};
use crate::store::health::record::SourceRecord;

pub(crate) use crate::engine::race::stretch::Time;

/// Times that one source may be asked again after it broke off and had delivered something.
const RESUMES: u32 = 5;

/// The race's current view of one source.
#[derive(Debug)]
pub(super) struct SourceStanding {
    pub(crate) kind: SourceKind,
    pub(crate) record: SourceRecord,
    /// Asked only when all others have failed.
    pub(crate) is_last_resort: bool,
    /// Least time before the next one is asked as well.
    pub(crate) own_time: Duration,
    /// Number of times that it may still be asked.
    pub(crate) chances: u32,
    /// True if a leaf from it did not match the root. Proving the whole file tells which of the two was wrong.
    pub(crate) accused: bool,
    /// True if it answered a request for a part with something else.
    pub(crate) partless: bool,
    /// True if it was asked, and another source answered sooner.
    pub(crate) outrun: bool,
}

/// The state of a race.
#[derive(Debug)]
pub struct Board<'l> {
    pub(super) pace: Pace,
    /// Size of the file, if known.
    pub(super) size: Option<u64>,
    pub(super) sources: Vec<SourceStanding>,
    pub(super) stretches: Vec<Stretch>,
    /// Set after a mismatch that cannot be attributed to a source: from then on no two sources share a file.
    pub(super) alone: bool,
    /// True once sources that cannot send parts are asked for the whole file.
    pub(super) whole: bool,
    /// True if single leaves can be proven.
    pub(super) has_leaves: bool,
    pub(super) next_id: u32,
    pub(super) log: &'l mut Log,
}

/// The next action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Ask a source.
    Ask {
        /// The number of the request.
        lane: u32,
        /// Index of the source.
        source: usize,
        /// The first byte to fetch.
        from: u64,
        /// The end; `None` for the end of the file.
        until: Option<u64>,
    },
    /// Wait for answers and bytes, at most until then.
    Wait(Time),
    /// All bytes are here: compare them with the expectation.
    Judge,
    /// No source is left to ask.
    GiveUp,
}

/// The use of received bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// No stretch waits for this answer any more.
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
    /// More bytes came than the file has: none of them is used.
    TooMuch,
}

impl<'l> Board<'l> {
    /// Creates the board of a file of `size` bytes, of which `have` are here.
    pub fn new(
        pace: Pace,
        sources: impl IntoIterator<Item = (SourceKind, SourceRecord, bool)>,
        size: Option<u64>,
        have: u64,
        log: &'l mut Log,
    ) -> Self {
        let standing = |(kind, record, is_last_resort)| SourceStanding {
            kind,
            record,
            is_last_resort,
            own_time: Duration::ZERO,
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

    /// Gives a source this time before the next one is asked as well, whatever is left of the head start.
    pub(crate) fn give(&mut self, source: usize, own_time: Duration) {
        self.sources[source].own_time = own_time;
    }

    /// Returns the action at the time `now`.
    pub fn next(&mut self, now: Time) -> Move {
        if self.stretches.is_empty() {
            return Move::Judge;
        }
        match self.hunt(now) {
            Move::Wait(until) => self.share(now).unwrap_or(Move::Wait(until)),
            other => other,
        }
    }

    /// Records that a source sends from `start` on. False when that is useless: then the answer is dropped.
    pub fn answered(&mut self, id: u32, start: u64, now: Time) -> bool {
        let (is_only, end) = (self.stretches.len() == 1, self.size.unwrap_or(u64::MAX));
        let Some((_, lane)) = self.lane(id) else { return false };
        // A source that cannot start in the middle is read from the beginning, unless others are at work.
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

    /// Records that a source fetches the file itself, and sends it from `start` on then. False as of
    /// [`answered`](Self::answered).
    pub(crate) fn promised(&mut self, id: u32, start: u64, now: Time) -> bool {
        let is_useful = self.answered(id, start, now);
        if let Some((_, lane)) = self.lane(id) {
            lane.is_promised = true;
        }
        is_useful
    }

    /// True while a source that fetches the file itself is waited for.
    pub(crate) fn is_promised(&self) -> bool {
        self.stretches.iter().flat_map(Stretch::lanes).any(|lane| lane.is_promised)
    }

    /// Handles `len` received bytes of an answer; zero when all that is known is that more are coming.
    pub fn arrived(&mut self, id: u32, len: u64, now: Time) -> Take {
        let Some(i) = self.stretches.iter().position(|stretch| stretch.lanes().any(|lane| lane.id == id)) else {
            return Take::Late;
        };
        if len == 0 {
            // It is not silent, and that is all: a block that is proven as a whole is on its way to it.
            let at = self.stretches[i].at;
            if let Some((_, lane)) = self.lane(id) {
                lane.heard = now;
            }
            return Take::Write { at, skip: 0, len: 0 };
        }
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
        let lane = stretch.holder.as_mut().expect("the sender was made the holder");
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

    /// Handles the regular end of an answer. True when the answer may be complete.
    pub(crate) fn ended(&mut self, id: u32, now: Time) -> bool {
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

    /// Handles a request or an answer that failed.
    pub(crate) fn failed(&mut self, id: u32, why: Miss, now: Time) {
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
                // A promise is no wait for a peer that may have nothing.
                let is_promised = lane.is_promised || stretch.asked.iter().any(|other| other.is_promised);
                if is_last && stretch.holder.is_none() && !is_promised {
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

    /// Adds missing bytes, lost again or new.
    pub(crate) fn missing(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let next = self.stretches.partition_point(|stretch| stretch.at < range.start);
        self.stretches.insert(next, Stretch::new(range));
        // No source works on them, so they may be requested together with the bytes after them.
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

    /// Marks everything as missing, and drops all requests.
    pub(crate) fn restart(&mut self, now: Time) {
        for stretch in std::mem::take(&mut self.stretches) {
            stretch.into_lanes().for_each(|lane| self.seen(&lane, now));
        }
        self.missing(0..self.size.unwrap_or(u64::MAX));
    }

    /// Lets no two sources share the file from now on.
    pub(crate) fn keep_apart(&mut self) {
        self.alone = true;
    }

    /// True if no two sources share the file any more.
    pub(crate) fn keeps_apart(&self) -> bool {
        self.alone
    }

    /// Records that single leaves can be proven, or not any more.
    pub fn leaves(&mut self, known: bool) {
        self.has_leaves = known;
    }

    /// Accuses a source of a wrong leaf: it is not asked while that is open.
    pub(crate) fn accuse(&mut self, source: usize, now: Time) {
        self.sources[source].accused = true;
        self.dismiss(source, now);
    }

    /// Lets the accused sources be asked once more.
    pub(crate) fn acquit(&mut self) {
        for standing in self.sources.iter_mut().filter(|standing| standing.accused) {
            (standing.accused, standing.chances) = (false, 1);
        }
    }

    /// True if a source is accused.
    pub(crate) fn has_accused(&self) -> bool {
        self.sources.iter().any(|standing| standing.accused)
    }

    /// Excludes a source that cannot deliver the file.
    pub(crate) fn exclude(&mut self, source: usize, why: Miss, now: Time) {
        self.dismiss(source, now);
        self.sources[source].chances = 0;
        self.log.misses.push((source, why));
    }

    /// Gives sources that cannot send parts their only chance to send the whole file. False when there is no such
    /// source.
    pub(crate) fn ask_for_the_whole(&mut self) -> bool {
        let mut is_any_left = false;
        if !std::mem::replace(&mut self.whole, true) {
            for standing in self.sources.iter_mut().filter(|standing| standing.partless) {
                (standing.partless, standing.chances, is_any_left) = (false, 1, true);
            }
        }
        is_any_left
    }

    /// True if a stretch still waits for this answer.
    pub(crate) fn is_wanted(&self, id: u32) -> bool {
        self.stretches.iter().any(|stretch| stretch.lanes().any(|lane| lane.id == id))
    }

    /// True if a sending source may need help, or several send: then the root block is worth a request.
    pub(crate) fn wants_leaves(&self) -> bool {
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

    /// Records what a lane has shown about its source.
    pub(super) fn seen(&mut self, lane: &Lane, now: Time) {
        let Some(first) = lane.first else { return };
        let standing = &mut self.sources[lane.source];
        standing.record.answered(first - lane.asked);
        // Without the time after the last byte, which tells nothing about the rate.
        standing.record.delivered(lane.got, lane.heard.min(now) - first);
        self.log.heard.push((lane.source, first - lane.asked, lane.got, lane.heard.min(now) - first));
    }

    /// Counts the time spent waiting for a peer that sent nothing.
    pub(super) fn spend(&mut self, source: usize, waited: Duration) {
        if self.has_head_start(source) {
            self.log.head_start_spent += waited;
        }
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
