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
        let mut queue = order.iter().copied();
        let mut opening = FuturesUnordered::new();
        let mut asked_kubo: Option<Instant> = None;
        let mut kubo_open = false;
        let begun = Instant::now();
        let mut next_at = begun;
        loop {
            let now = Instant::now();
            if opening.is_empty() || now >= next_at {
                match queue.next() {
                    Some(index) => {
                        let is_kubo = self.sources[index].kind() == Kind::Kubo;
                        if is_kubo {
                            asked_kubo = Some(now);
                            kubo_open = true;
                        } else if let Some(since) = asked_kubo.take() {
                            log.head_start_spent += now - since;
                        }
                        let wait = if is_kubo { self.pace.head_start } else { self.pace.overlap };
                        next_at =
                            now + wait.saturating_sub(if is_kubo { log.head_start_spent } else { Duration::ZERO });
                        opening.push(self.sources[index].open(question).map(move |answer| (index, answer)));
                    }
                    None if opening.is_empty() => return None,
                    None => next_at = begun + self.pace.patience.max(now - begun + Duration::from_millis(1)),
                }
            }
            tokio::select! {
                Some((index, answer)) = opening.next() => match answer {
                    Ok(offer) => {
                        if self.sources[index].kind() != Kind::Kubo && kubo_open {
                            log.misses.push((self.kubo_index(), Miss::Stalled(asked_for(begun))));
                        }
                        return Some(Opened { index, offer });
                    }
                    Err(why) => {
                        kubo_open &= self.sources[index].kind() != Kind::Kubo;
                        miss(log, chances, index, why, false);
                        next_at = Instant::now();
                    }
                },
                () = tokio::time::sleep_until(next_at.into()) => {
                    if queue.len() == 0 && begun.elapsed() >= self.pace.patience {
                        for index in order.iter().filter(|index| chances[**index] > 0).copied().collect::<Vec<_>>() {
                            miss(log, chances, index, Miss::Stalled(self.pace.patience), false);
                        }
                        return None;
                    }
                }
            }
        }
    }

    fn kubo_index(&self) -> usize {
        self.sources.iter().position(|source| source.kind() == Kind::Kubo).unwrap_or(0)
    }
}

fn asked_for(begun: Instant) -> Duration {
    begun.elapsed()
}
