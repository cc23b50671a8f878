//! The wait for a Haiku package. pkgman has no time-out, so it may last as long as the package comes; and it asks again
//! for ever, so a source that sends next to nothing is an end.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::transfer::{RESERVE, Waited};
use crate::engine::hub::{HubProgress, Ticket};
use crate::haiku::take::LEAST_RATE;

/// Longest wait for a turn at the mirrors.
const TURN: Duration = Duration::from_secs(120);

/// Longest wait for all of a package. What has come is kept for the next request.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// The same with a size about which its servers disagree: one that lies must not hold it up for an hour.
pub(super) const DISPUTED: Duration = Duration::from_secs(300);

/// Waits until bytes from `at` on can be sent: all of it is proven, or with a root the leaf with them. Sources may send
/// nothing for as long as the race lets them, and less than [`LEAST_RATE`] for as long as `patience`; all may take `longest`.
pub(super) async fn wait(ticket: Ticket, at: u64, (patience, longest): (Duration, Duration)) -> Waited {
    let mut progress = ticket.progress();
    let begun = Instant::now();
    let enough = (patience.as_secs_f64() * LEAST_RATE as f64) as u64;
    // When the bytes were counted last, and how many there were.
    let mut counted: Option<(Instant, u64)> = None;
    loop {
        let HubProgress { is_begun, bytes, proven, is_withdrawn, is_over, .. } = *progress.borrow_and_update();
        let now = Instant::now();
        if is_over {
            return Waited::Over(ticket);
        }
        if !is_withdrawn && proven.saturating_sub(RESERVE) > at {
            return Waited::Growing(ticket);
        }
        let next = match counted {
            _ if !is_begun && now - begun >= TURN => return Waited::Silent,
            _ if now - begun >= longest => return Waited::Slow,
            _ if !is_begun => begun + TURN,
            // Until the first byte it is the race that gives its sources up.
            _ if bytes == 0 => now + patience,
            None => {
                counted = Some((now, bytes));
                now + patience
            }
            Some((since, before)) if now - since >= patience => {
                if bytes.saturating_sub(before) < enough {
                    return Waited::Slow;
                }
                counted = Some((now, bytes));
                now + patience
            }
            Some((since, _)) => since + patience,
        };
        tokio::select! {
            _ = progress.changed() => {}
            () = sleep_until(next) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::base::digest::Sha256;
    use crate::base::listener::{Listener as _, Unheard};
    use crate::engine::hub::Hub;

    #[tokio::test(start_paused = true)]
    async fn a_package_is_waited_for_while_it_comes_and_no_longer_when_it_trickles() {
        for (each, end) in [(100_000, None), (10, Some(60))] {
            let hub = Hub::new(1, CancellationToken::new());
            let (ticket, duty) = hub.join(Some(Sha256([1; 32]))).unwrap();
            let (duty, begun) = (duty.unwrap(), Instant::now());
            let sending = async {
                duty.begin();
                let listener = duty.listener(Unheard);
                for turn in 1..600_u64 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    listener.arrived(turn * each, "a mirror");
                }
                std::future::pending::<()>().await;
            };
            let waiting =
                tokio::time::timeout(Duration::from_secs(500), wait(ticket, 0, (Duration::from_secs(30), LONGEST)));
            let waited = tokio::select! {
                waited = waiting => waited.ok(),
                () = sending => None,
            };
            assert_eq!(matches!(waited, Some(Waited::Slow)), end.is_some());
            assert!(end.is_none_or(|end| begun.elapsed() < Duration::from_secs(end)), "{:?}", begun.elapsed());
        }
    }
}
