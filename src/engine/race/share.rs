//! The division of a file among several sources, if that is worth it.
//!
//! Mirrors are asked sparingly: one of them a file, unless the user allows more (`mirrors.split`), and then each
//! is asked for at least `Pace::least` at a time. A mirror helps a peer only when the peer is far slower than the
//! mirror is known to be. Peers help if single leaves can be proven and much is left to fetch.

use std::time::Duration;

use crate::engine::race::board::{Board, Move};
use crate::engine::race::stretch::{Stretch, Time};
use crate::engine::source::SourceKind;

/// Least time for which a peer is asked to help: the request costs it something too.
const WORTH_HELP: Duration = Duration::from_secs(2);

/// A mirror helps a peer that is slower than the mirror's usual rate divided by this.
const FAR_SLOWER: u64 = 4;

impl Board<'_> {
    /// Lets one more source help with the stretch that would take longest.
    pub(super) fn share(&mut self, now: Time) -> Option<Move> {
        let settled = |stretch: &Stretch| stretch.holder.is_some() && stretch.asked.is_empty();
        if self.size.is_none() || self.alone || self.whole || !self.stretches.iter().all(settled) {
            return None;
        }
        let i = (0..self.stretches.len()).max_by_key(|i| self.time_left(*i, now))?;
        let helper = (0..self.sources.len()).find(|source| self.may_help(*source, i, now))?;
        let cut = self.cut(i, helper, now)?;
        let mut second = Stretch::new(cut..self.stretches[i].until);
        std::mem::swap(&mut second.asked, &mut self.stretches[i].asked);
        self.stretches[i].until = cut;
        self.stretches.insert(i + 1, second);
        Some(self.ask(i + 1, helper, now))
    }

    fn may_help(&self, helper: usize, i: usize, now: Time) -> bool {
        let standing = &self.sources[helper];
        let is_good = standing.is_left() && !standing.outrun && !standing.is_last_resort;
        if !is_good || self.is_busy(helper) {
            return false;
        }
        let holder = self.stretches[i].holder.as_ref().expect("every stretch is held");
        let helps_peer = !self.is_mirror(holder.source);
        let measured = holder.rate(now);
        let is_long = self.time_left(i, now) >= WORTH_HELP;
        match (self.is_mirror(helper), helps_peer) {
            (true, false) => self.mirrors_at_work() < self.pace.mirrors,
            (true, true) => {
                let usual = standing.record.rate.unwrap_or(0) / FAR_SLOWER;
                let is_slow = measured.is_some_and(|rate| rate < usual);
                self.has_leaves && is_slow && is_long && self.mirrors_at_work() < self.pace.mirrors
            }
            (false, _) => self.has_leaves && measured.is_some() && is_long,
        }
    }

    /// Returns where to cut stretch `i`, so that its holder and all helpers end at the same time.
    fn cut(&self, i: usize, helper: usize, now: Time) -> Option<u64> {
        let Stretch { at, until, holder, .. } = &self.stretches[i];
        let (at, until, holder) = (*at, *until, holder.as_ref()?);
        let rest = until - at;
        let is_split = self.is_mirror(helper) && self.is_mirror(holder.source);
        if is_split && rest < 2 * self.pace.least {
            return None;
        }
        let rates = holder.rate(now).zip(self.sources[helper].record.rate).unwrap_or((1, 1));
        let (theirs, ours) = (rates.0.max(1) as f64, rates.1.max(1) as f64);
        let coming = if is_split { self.mirrors_to_come() } else { 1 };
        let mut share = (rest as f64 * ours / (theirs + ours * coming as f64)) as u64;
        if self.is_mirror(helper) {
            share = share.max(self.pace.least);
        }
        let border = self.pace.border;
        // The leaf in transit stays with its sender.
        let first = (at / border + 1) * border;
        let cut = (until.saturating_sub(share) / border * border).max(first);
        (cut < until).then_some(cut)
    }

    fn mirrors_at_work(&self) -> usize {
        let lanes = self.stretches.iter().flat_map(Stretch::lanes);
        lanes.filter(|lane| self.is_mirror(lane.source)).count()
    }

    /// Counts the mirrors that can still join.
    fn mirrors_to_come(&self) -> usize {
        let is_free = |source: &usize| {
            let standing = &self.sources[*source];
            self.is_mirror(*source) && standing.is_left() && !standing.outrun && !self.is_busy(*source)
        };
        let free = (0..self.sources.len()).filter(is_free).count();
        free.min(self.pace.mirrors.saturating_sub(self.mirrors_at_work())).max(1)
    }

    /// True if it is one of pacman's servers, which nearly always have the file.
    pub(super) fn is_mirror(&self, source: usize) -> bool {
        matches!(self.sources[source].kind, SourceKind::Mirror | SourceKind::File)
    }

    /// Returns the time that the holder of stretch `i` still needs at its rate; unlimited when the rate is
    /// unknown.
    fn time_left(&self, i: usize, now: Time) -> Duration {
        let Stretch { at, until, holder, .. } = &self.stretches[i];
        let Some(holder) = holder else { return Duration::MAX };
        let rate = holder.rate(now).or(self.sources[holder.source].record.rate).unwrap_or(1).max(1);
        Duration::from_secs_f64((until - at) as f64 / rate as f64)
    }
}
