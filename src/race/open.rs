//! Opening sources: in order, each next one when the last has failed or is slow to answer; the first answer wins.

use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::race::{Log, Race, miss};
use crate::source::{Kind, Miss, Offer, Question};

/// The answer that came first.
pub struct Opened<'a> {
    /// Which source.
    pub index: usize,
    /// What it offers.
    pub offer: Offer<'a>,
}

impl Race<'_> {
    /// Asks the sources in `order` until one answers; `None` when all of them failed.
    ///
    /// Kubo's wait is paid from the head start of the whole transaction: once that is used up, the next source is
    /// asked at the same time, and a daemon that has the file still wins by being near.
    pub(super) async fn open_first(
        &self,
        order: &[usize],
        question: Question,
        chances: &mut [u32],
        log: &mut Log,
    ) -> Option<Opened<'_>> {
        let mut queue = order.iter().copied().peekable();
        let mut opening = FuturesUnordered::new();
        let begun = Instant::now();
        // The last one that was asked, and since when: who comes next waits for it.
        let mut asked: Option<(usize, Instant)> = None;
        loop {
            if opening.is_empty() || asked.is_none_or(|(index, since)| since.elapsed() >= self.wait_for(index, log)) {
                if let Some(index) = queue.next() {
                    if let Some((before, since)) = asked.replace((index, Instant::now()))
                        && self.sources[before].kind() == Kind::Kubo
                    {
                        log.head_start_spent += since.elapsed();
                    }
                    opening.push(self.sources[index].open(question).map(move |answer| (index, answer)));
                } else if opening.is_empty() {
                    return None;
                }
            }
            let until = match (queue.peek(), asked) {
                (Some(_), Some((index, since))) => since + self.wait_for(index, log),
                (_, asked) => begun + self.patience_for(asked.map(|(index, _)| index)),
            };
            tokio::select! {
                Some((index, answer)) = opening.next() => match answer {
                    Ok(offer) => {
                        // Who was asked before and has not answered yet is known as slow.
                        for slow in order.iter().take_while(|other| **other != index).filter(|i| chances[**i] > 0) {
                            log.misses.push((*slow, Miss::Stalled(begun.elapsed())));
                        }
                        return Some(Opened { index, offer });
                    }
                    Err(why) => {
                        miss(log, chances, index, why, false);
                        // Nobody waits for a source that has failed.
                        if let Some((last, since)) = asked.filter(|(last, _)| *last == index) {
                            if self.sources[last].kind() == Kind::Kubo {
                                log.head_start_spent += since.elapsed();
                            }
                            asked = None;
                        }
                    }
                },
                () = tokio::time::sleep_until(until.into()) => {
                    let patience = self.patience_for(asked.map(|(index, _)| index));
                    if queue.peek().is_none() && begun.elapsed() >= patience {
                        for index in order.iter().copied().filter(|i| chances[*i] > 0).collect::<Vec<_>>() {
                            miss(log, chances, index, Miss::Stalled(patience), false);
                        }
                        return None;
                    }
                }
            }
        }
    }

    /// How long the last source may take to answer: longer when it has shown that it has the file.
    fn patience_for(&self, last: Option<usize>) -> Duration {
        let promising = last.is_some_and(|index| self.sources[index].is_promising());
        if promising { self.pace.patience.max(self.pace.stall) } else { self.pace.patience }
    }

    /// How long a source that was asked may take to answer before the next one is asked as well.
    fn wait_for(&self, index: usize, log: &Log) -> Duration {
        let source = &self.sources[index];
        match source.kind() {
            Kind::Kubo if source.is_promising() => self.pace.stall,
            Kind::Kubo => self.pace.head_start.saturating_sub(log.head_start_spent),
            _ => self.pace.overlap,
        }
    }
}
