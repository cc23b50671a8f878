//! Who sends a stretch: of those who were asked the one who sends first, until it has trouble or is at its end.

use crate::health::record::SHORTEST_WAIT;
use crate::race::board::Board;
use crate::race::stretch::{Lane, Time};
use crate::source::Miss;

impl Board<'_> {
    /// Somebody who was asked for a stretch begins to send it. False when its holder is well, and goes on.
    pub(super) fn promote(&mut self, i: usize, id: u32, now: Time) -> bool {
        let trouble = self.stretches[i].holder.as_ref().map(|holder| self.trouble(holder, now));
        match trouble {
            Some(None) => {
                let asked = std::mem::take(&mut self.stretches[i].asked);
                asked.iter().for_each(|lane| self.seen(lane, now));
                return false;
            }
            Some(Some(why)) => {
                let holder = self.stretches[i].holder.as_ref().expect("it has trouble").id;
                self.failed(holder, why, now);
            }
            None => {}
        }
        self.outrun_others(i, id, now);
        self.stretches[i].holder = self.stretches[i].asked.pop();
        true
    }

    /// Of those who were asked for a stretch only `winner` goes on.
    pub(super) fn outrun_others(&mut self, i: usize, winner: u32, now: Time) {
        let asked = std::mem::take(&mut self.stretches[i].asked);
        for lane in asked {
            if lane.id == winner {
                self.stretches[i].asked.push(lane);
                continue;
            }
            self.sources[lane.source].outrun = true;
            let waited = now - lane.asked;
            // Who had no time to answer is not slow.
            if waited >= SHORTEST_WAIT {
                self.log.misses.push((lane.source, Miss::Stalled(waited)));
            }
        }
    }

    /// The holder of a stretch is at its end. Where nobody has begun to send what comes next, and its answer goes on, it
    /// goes on itself.
    pub(super) fn go_on(&mut self, i: usize, now: Time) {
        let goes_to = self.stretches[i].holder.as_ref().map_or(0, |holder| holder.until);
        while let Some(next) = self.stretches.get(i + 1)
            && next.at == self.stretches[i].until
            && next.holder.is_none()
            && goes_to > next.at
        {
            let next = self.stretches.remove(i + 1);
            self.stretches[i].until = next.until;
            next.into_lanes().for_each(|lane| self.seen(&lane, now));
        }
    }

    /// Nobody listens to this source any more.
    pub(super) fn dismiss(&mut self, source: usize, now: Time) {
        for i in 0..self.stretches.len() {
            let stretch = &mut self.stretches[i];
            let mut gone: Vec<Lane> = stretch.holder.take_if(|lane| lane.source == source).into_iter().collect();
            gone.extend(stretch.asked.extract_if(.., |lane| lane.source == source));
            gone.iter().for_each(|lane| self.seen(lane, now));
        }
    }
}
