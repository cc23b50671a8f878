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
    /// Who was asked before it and has not answered yet.
    pub silent: Vec<usize>,
}

impl Race<'_> {
    /// Asks the sources in `order` until one answers; `None` when all of them failed.
    ///
    /// The wait for Kubo and gateways is paid from the head start of the whole transaction: once that is used up, the
    /// next source is asked at the same time, and a daemon that has the file still wins by being near.
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
        // The last one that was asked has as long as the first one had.
        let mut latest = begun;
        // The last one that was asked, and since when: who comes next waits for it.
        let mut asked: Option<(usize, Instant)> = None;
        loop {
            if opening.is_empty() || asked.is_none_or(|(index, since)| since.elapsed() >= self.wait_for(index, log)) {
                if let Some(index) = queue.next() {
                    if let Some((before, since)) = asked.replace((index, Instant::now()))
                        && self.has_head_start(before)
                    {
                        log.head_start_spent += since.elapsed();
                    }
                    latest = Instant::now();
                    opening.push(self.sources[index].open(question).map(move |answer| (index, answer)));
                } else if opening.is_empty() {
                    return None;
                }
            }
            let until = match (queue.peek(), asked) {
                (Some(_), Some((index, since))) => since + self.wait_for(index, log),
                (_, asked) => latest + self.patience_for(asked.map(|(index, _)| index)),
            };
            tokio::select! {
                Some((index, answer)) = opening.next() => match answer {
                    Ok(offer) => {
                        // Who was asked before and has not answered yet is known as slow.
                        let before = order.iter().copied().take_while(|other| *other != index);
                        let silent: Vec<usize> = before.filter(|i| chances[*i] > 0).collect();
                        log.misses.extend(silent.iter().map(|slow| (*slow, Miss::Stalled(begun.elapsed()))));
                        return Some(Opened { index, offer, silent });
                    }
                    Err(why) => {
                        miss(log, chances, index, why, false);
                        // Nobody waits for a source that has failed.
                        if let Some((last, since)) = asked.filter(|(last, _)| *last == index) {
                            if self.has_head_start(last) {
                                log.head_start_spent += since.elapsed();
                            }
                            asked = None;
                        }
                    }
                },
                () = tokio::time::sleep_until(until.into()) => {
                    let patience = self.patience_for(asked.map(|(index, _)| index));
                    if queue.peek().is_none() && latest.elapsed() >= patience {
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
        if !self.has_head_start(index) {
            self.pace.overlap
        } else if self.sources[index].is_promising() {
            self.pace.stall
        } else {
            self.pace.head_start.saturating_sub(log.head_start_spent)
        }
    }

    /// Whether waiting for it is paid from the head start: it may not have the file, which mirrors nearly always do.
    fn has_head_start(&self, index: usize) -> bool {
        matches!(self.sources[index].kind(), Kind::Node | Kind::Kubo | Kind::Gateway)
    }
}
