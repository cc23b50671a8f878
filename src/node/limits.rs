//! Rates: a limit of units a second, without a task or a timer of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// Most credit after a rest: the units of this time.
const REST: Duration = Duration::from_secs(1);

/// Shorter waits are left out.
const SLACK: Duration = Duration::from_millis(5);

/// Most peers whose rates are kept. Peers come and go under new ids.
const PEERS_MOST: usize = 1024;

/// A limit of `rate` units a second, with up to a second's worth at once after a rest.
pub(crate) struct Rate {
    rate: u64,
    /// The time when everything that was let through is paid for.
    paid: Mutex<Instant>,
}

impl Rate {
    /// Creates a limit of `rate` units a second; 0 is no limit.
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate, paid: Mutex::new(Instant::now()) }
    }

    /// Creates the same, after a rest.
    pub(crate) fn rested(rate: u64) -> Self {
        let now = Instant::now();
        Self { rate, paid: Mutex::new(now.checked_sub(REST).unwrap_or(now)) }
    }

    /// Takes `units`, and returns how long to wait before using them.
    pub(crate) fn take(&self, units: u64) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let mut paid = self.paid.lock().expect("nothing panics while it is held");
        let from = (*paid).max(now.checked_sub(REST).unwrap_or(now));
        *paid = from + Duration::from_secs_f64(units as f64 / self.rate as f64);
        from.saturating_duration_since(now)
    }

    /// Waits until `units` may be used, and takes them.
    pub(crate) async fn wait(&self, units: u64) {
        pause(self.take(units)).await;
    }

    /// Takes `units` if they can be used at once.
    pub(crate) fn try_take(&self, units: u64) -> bool {
        let paid = *self.paid.lock().expect("nothing panics while it is held");
        (self.rate == 0 || paid <= Instant::now()) && self.take(units).is_zero()
    }
}

/// Sleeps, if that is worth a timer: one takes up to a millisecond even for nothing, and units let through early
/// are paid for by the next ones.
pub(crate) async fn pause(time: Duration) {
    if time >= SLACK {
        tokio::time::sleep(time).await;
    }
}

/// A rate for each peer.
pub(crate) struct Rates {
    rate: u64,
    peers: Mutex<HashMap<PeerId, Arc<Rate>>>,
}

impl Rates {
    /// Creates limits of `rate` units a second for each peer; 0 is no limit.
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate, peers: Mutex::default() }
    }

    /// Returns the rate of one peer.
    pub(crate) fn of(&self, peer: PeerId) -> Arc<Rate> {
        let mut peers = self.peers.lock().expect("nothing panics while it is held");
        if peers.len() > PEERS_MOST {
            peers.clear();
        }
        Arc::clone(peers.entry(peer).or_insert_with(|| Arc::new(Rate::new(self.rate))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rested_rate_gives_a_seconds_worth_at_once() {
        tokio::time::advance(Duration::from_secs(60)).await;
        let rate = Rate::rested(10);
        // The last one is paid for later.
        assert_eq!((0..20).filter(|_| rate.try_take(1)).count(), 11);
        assert!(Rate::new(10).try_take(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_is_free_after_a_rest_and_then_the_rate_counts() {
        let rate = Rate::new(1000);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(rate.take(1000), Duration::ZERO);
        assert_eq!(rate.take(500), Duration::ZERO);
        assert_eq!(rate.take(1), Duration::from_millis(500));
        assert!(!rate.try_take(1));
        assert_eq!(Rate::new(0).take(u64::MAX), Duration::ZERO);
    }
}
