//! The holder of a stretch: of the sources asked for it, the first to send, until it is in trouble or at its end.

use crate::engine::race::board::Board;
use crate::engine::race::stretch::{Lane, Time};
use crate::engine::source::Miss;
use crate::store::health::record::SHORTEST_WAIT;

impl Board<'_> {
    /// Handles a source that begins to send a stretch it was asked for. False when the holder is well, and goes
    /// on.
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
        // A promise is kept by the first byte.
        let sender = self.stretches[i].asked.pop();
        self.stretches[i].holder = sender.map(|lane| Lane { is_promised: false, ..lane });
        true
    }

    /// Keeps only `winner` of the sources that were asked for a stretch.
    pub(super) fn outrun_others(&mut self, i: usize, winner: u32, now: Time) {
        let asked = std::mem::take(&mut self.stretches[i].asked);
        for lane in asked {
            if lane.id == winner {
                self.stretches[i].asked.push(lane);
                continue;
            }
            self.sources[lane.source].outrun = true;
            let waited = now - lane.asked;
            // A source that had no time to answer is not slow, nor is one that fetches what another one has.
            if waited >= SHORTEST_WAIT && !lane.is_promised {
                self.log.misses.push((lane.source, Miss::Stalled(waited)));
            }
        }
    }

    /// Handles a holder at the end of its stretch. If no source has begun to send the next one, and its answer
    /// goes on, it becomes the holder of that too.
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

    /// Drops all lanes of this source.
    pub(super) fn dismiss(&mut self, source: usize, now: Time) {
        for i in 0..self.stretches.len() {
            let stretch = &mut self.stretches[i];
            let mut gone: Vec<Lane> = stretch.holder.take_if(|lane| lane.source == source).into_iter().collect();
            gone.extend(stretch.asked.extract_if(.., |lane| lane.source == source));
            gone.iter().for_each(|lane| self.seen(lane, now));
        }
    }
}
