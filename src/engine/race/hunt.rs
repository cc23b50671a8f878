//! The choice of a source for a stretch without a sender, or whose holder is in trouble: one source after the
//! other, the next one when the last has failed or is slow to answer.

use std::time::Duration;

use crate::engine::race::board::{Board, Move, SourceStanding};
use crate::engine::race::stretch::{Lane, Stretch, Time};
use crate::engine::source::{Miss, SourceKind};

/// Longest wait for a source that fetches the file itself, until one is asked as well whose bytes cross the uplink once
/// more. The endpoint of a house says yes or no before that (`src/daemon/endpoint/transfer.rs`); another one may have the
/// file meanwhile.
const PROMISED: Duration = Duration::from_secs(10);

/// The result of examining one stretch.
enum Look {
    Ask(Move),
    /// Nothing to do before then.
    Until(Time),
    /// No source works on it, and none can be asked while all others are busy.
    Idle,
    /// A lane was given up: examine the stretch again.
    Again,
}

impl Board<'_> {
    /// Examines every stretch.
    pub(super) fn hunt(&mut self, now: Time) -> Move {
        let mut wake = Time::MAX;
        let mut i = 0;
        while i < self.stretches.len() {
            match self.look(i, now) {
                Look::Ask(ask) => return ask,
                Look::Until(time) => wake = wake.min(time),
                Look::Idle => {}
                Look::Again => {
                    (i, wake) = (0, Time::MAX);
                    continue;
                }
            }
            i += 1;
        }
        if self.stretches.iter().any(|stretch| stretch.lanes().next().is_some()) {
            Move::Wait(wake)
        } else {
            Move::GiveUp
        }
    }

    fn look(&mut self, i: usize, now: Time) -> Look {
        let stretch = &self.stretches[i];
        if let Some(holder) = &stretch.holder
            && self.trouble(holder, now).is_none()
        {
            return Look::Until((holder.heard + self.pace.stall).min(holder.worth.0 + self.pace.longest()));
        }
        let promised = stretch.asked.iter().filter(|lane| lane.is_promised).map(|lane| lane.heard + PROMISED);
        let held = promised.max().filter(|time| now < *time);
        let last = stretch.asked.last();
        if let Some(time) = last.map(|last| self.next_after(last)).filter(|time| now < *time) {
            return Look::Until(time);
        }
        let last = last.map(|last| (last.source, last.asked));
        let (begins, has_promised) = (stretch.holder.is_none(), stretch.asked.iter().any(|lane| lane.is_promised));
        if let Some(source) = self.source_for(i, held.is_some()) {
            if let Some((before, asked)) = last.filter(|_| begins && !has_promised) {
                self.spend(before, now - asked);
            }
            return Look::Ask(self.ask(i, source, now));
        }
        if let Some(time) = held {
            return Look::Until(time);
        }
        self.out_of_patience(i, now)
    }

    /// Handles a stretch without further candidates: the sources asked have as long as the last one needs.
    fn out_of_patience(&mut self, i: usize, now: Time) -> Look {
        let stretch = &self.stretches[i];
        // That it says it will send is no reason to wait longer for its first byte.
        if let Some(last) = stretch.asked.iter().map(|lane| lane.asked).max() {
            if now < last + self.pace.patience {
                return Look::Until(last + self.pace.patience);
            }
            let late: Vec<u32> = stretch.asked.iter().map(|lane| lane.id).collect();
            late.into_iter().for_each(|id| self.failed(id, Miss::Stalled(self.pace.patience), now));
            return Look::Again;
        }
        if let Some(holder) = &stretch.holder {
            let id = holder.id;
            let Some(why) = holder.hopeless(now, &self.pace) else {
                return Look::Until(holder.worth.0 + self.pace.longest());
            };
            self.failed(id, why, now);
            return Look::Again;
        }
        if self.give_back(i) { Look::Again } else { Look::Idle }
    }

    /// Gives a stretch that no source took over back to the one that was sending it: its answer goes on there.
    fn give_back(&mut self, i: usize) -> bool {
        let Some(before) = i.checked_sub(1) else { return false };
        let at = self.stretches[i].at;
        let goes_on = self.stretches[before].holder.as_ref().is_some_and(|holder| holder.until > at);
        if self.stretches[before].until != at || !goes_on {
            return false;
        }
        let Stretch { until, .. } = self.stretches.remove(i);
        self.stretches[before].until = until;
        true
    }

    /// Returns the next source to ask for stretch `i`: in the given order, but sources that failed or were outrun
    /// come later. Only one of the local network where another one fetches the file, so that it `is_held`.
    fn source_for(&self, i: usize, is_held: bool) -> Option<usize> {
        let is_near = |source: &usize| self.sources[*source].kind == SourceKind::Lan;
        let all = (0..self.sources.len()).filter(|source| !is_held || is_near(source));
        if self.alone {
            // The first one with a chance, and no other beside it. One that was too slow or broke off comes later: none
            // would take its place.
            let first = all.filter(|source| self.may_be_asked(*source, i)).min_by_key(|source| {
                let standing = &self.sources[*source];
                (standing.is_last_resort, !self.is_mirror(*source), u32::MAX - standing.chances)
            });
            return first.filter(|_| self.stretches.iter().all(|stretch| stretch.lanes().next().is_none()));
        }
        let free = all.filter(|source| !self.is_busy(*source) && self.may_be_asked(*source, i));
        let next = free.min_by_key(|source| {
            let standing = &self.sources[*source];
            (standing.is_last_resort, standing.outrun, u32::MAX - standing.chances)
        })?;
        // The last resort is for when all others have failed, not for when they are busy.
        let others = || self.sources.iter().any(|standing| !standing.is_last_resort && standing.is_left());
        (!self.sources[next].is_last_resort || !others()).then_some(next)
    }

    fn may_be_asked(&self, source: usize, i: usize) -> bool {
        let standing = &self.sources[source];
        // A second mirror may back up the first on its stretch; other stretches have at most `pace.mirrors`.
        let elsewhere = self.stretches.iter().enumerate().filter(|(other, _)| *other != i);
        let at_work = elsewhere.flat_map(|(_, stretch)| stretch.lanes()).filter(|lane| self.is_mirror(lane.source));
        standing.is_left() && (!self.is_mirror(source) || at_work.count() < self.pace.mirrors)
    }

    /// True if it has a lane.
    pub(super) fn is_busy(&self, source: usize) -> bool {
        self.stretches.iter().flat_map(Stretch::lanes).any(|lane| lane.source == source)
    }

    /// Asks `source` for stretch `i`.
    pub(super) fn ask(&mut self, i: usize, source: usize, now: Time) -> Move {
        let stretch = &mut self.stretches[i];
        let end = self.size.unwrap_or(u64::MAX);
        // Where nothing is known of the file, nothing says that two answers are parts of the same one.
        let is_whole = self.whole || self.size.is_none();
        let (at, until) = if is_whole { (0, end) } else { (stretch.at, stretch.until) };
        self.next_id += 1;
        stretch.asked.push(Lane {
            id: self.next_id,
            source,
            at,
            until,
            is_part: at > 0 || until < end,
            asked: now,
            answered: false,
            is_promised: false,
            heard: now,
            first: None,
            got: 0,
            window: (now, 0),
            slow: None,
            worth: (now, 0),
        });
        Move::Ask { lane: self.next_id, source, from: at, until: Some(until).filter(|until| *until < end) }
    }

    /// Returns the trouble of a sending source, if any.
    pub(super) fn trouble(&self, holder: &Lane, now: Time) -> Option<Miss> {
        let silent = now - holder.heard;
        if silent >= self.pace.stall {
            return Some(Miss::Stalled(silent));
        }
        holder.slow.map(Miss::Slow).or_else(|| holder.hopeless(now, &self.pace))
    }

    /// Returns when the next source is asked as well, unless this one sends before. A peer has no more than its
    /// head start for that, even after an answer: a peer with only the beginning of a file answers the same.
    fn next_after(&self, lane: &Lane) -> Time {
        let SourceStanding { record, own_time, .. } = &self.sources[lane.source];
        if self.has_head_start(lane.source) {
            let left = self.pace.budget.saturating_sub(self.log.head_start_spent);
            lane.asked + record.head_start(self.pace.head_start).min(left).max(*own_time)
        } else {
            lane.heard + record.overlap(self.pace.overlap)
        }
    }

    /// True if waiting for it is paid from the head start: it may lack the file, which mirrors nearly always have.
    pub(super) fn has_head_start(&self, source: usize) -> bool {
        !self.is_mirror(source)
    }
}

impl SourceStanding {
    /// True if it may be asked at all.
    pub(super) fn is_left(&self) -> bool {
        self.chances > 0 && !self.accused
    }
}
