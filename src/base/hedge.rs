//! Hedging: where one source takes long, the next one is asked as well, and the first good answer counts.
//!
//! A slow or hanging source then costs a wait and not the whole request, and a quick one is asked alone. The race of
//! a delivery (`race`) decides by rates and leaves and has a board of its own.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// The waits after which a second source is asked as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hedge {
    /// Since the request, while nothing comes.
    pub(crate) silent: Duration,
    /// Since the request, while something comes.
    pub(crate) slow: Duration,
}

impl Hedge {
    /// Returns true when another source is due, `waited` after the request to one that sends or does not.
    pub(crate) fn is_due(&self, waited: Duration, is_sending: bool) -> bool {
        waited >= if is_sending { self.slow } else { self.silent }
    }
}

/// Returns the first success of `attempts`. The first attempt begins at once; the next one after each failure, and
/// when nothing has happened for `wait`. The others are dropped then.
///
/// # Errors
/// All failures, with the numbers of their attempts from 0, in the order in which they came, when no attempt is left.
pub(crate) async fn hedged<F, T, E>(attempts: impl IntoIterator<Item = F>, wait: Duration) -> Result<T, Vec<(usize, E)>>
where
    F: Future<Output = Result<T, E>>,
{
    let numbered = |(at, attempt): (usize, F)| async move { (at, attempt.await) };
    let mut rest: VecDeque<_> = attempts.into_iter().enumerate().map(numbered).collect();
    let (mut running, mut failed) = (FuturesUnordered::new(), Vec::new());
    running.extend(rest.pop_front());
    loop {
        tokio::select! {
            biased;
            ended = running.next() => match ended {
                Some((_, Ok(success))) => return Ok(success),
                Some((at, Err(failure))) => {
                    failed.push((at, failure));
                    running.extend(rest.pop_front());
                }
                None => return Err(failed),
            },
            () = tokio::time::sleep(wait), if !rest.is_empty() => running.extend(rest.pop_front()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const WAIT: Duration = Duration::from_secs(1);

    /// Runs attempts, each with its duration in milliseconds and its end. Returns the result, when it came, and when
    /// each attempt began.
    async fn run(
        attempts: &[(u64, Result<u8, &'static str>)],
    ) -> (Result<u8, Vec<(usize, &'static str)>>, u128, String) {
        let (start, begun) = (Instant::now(), std::cell::RefCell::new(String::new()));
        let begun = &begun;
        let attempts = attempts.iter().map(|(took, end)| async move {
            *begun.borrow_mut() += &format!("{} ", start.elapsed().as_millis());
            sleep(Duration::from_millis(*took)).await;
            *end
        });
        let result = hedged(attempts, WAIT).await;
        (result, start.elapsed().as_millis(), begun.borrow().trim_end().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_source_is_asked_alone() {
        assert_eq!(run(&[(999, Ok(1)), (1, Ok(2))]).await, (Ok(1), 999, "0".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_source_joins_a_slow_one_and_the_first_answer_counts() {
        assert_eq!(run(&[(9000, Ok(1)), (500, Ok(2))]).await, (Ok(2), 1500, "0 1000".to_owned()));
        assert_eq!(run(&[(1200, Ok(1)), (500, Ok(2))]).await, (Ok(1), 1200, "0 1000".to_owned()));
        assert_eq!(run(&[(9000, Ok(1)), (9000, Ok(2)), (10, Ok(3))]).await, (Ok(3), 2010, "0 1000 2000".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_source_is_asked_at_once_after_a_failure() {
        assert_eq!(run(&[(100, Err("a")), (50, Ok(2))]).await, (Ok(2), 150, "0 100".to_owned()));
        // A failure of the second while the first is still asked brings the third.
        let all = [(5000, Ok(1)), (10, Err("b")), (10, Ok(3))];
        assert_eq!(run(&all).await, (Ok(3), 1020, "0 1000 1010".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn all_failures_are_told_in_their_order() {
        let all = [(1500, Err("a")), (100, Err("b"))];
        assert_eq!(run(&all).await, (Err(vec![(1, "b"), (0, "a")]), 1500, "0 1000".to_owned()));
        assert_eq!(run(&[]).await.0, Err(Vec::new()));
    }

    #[test]
    fn a_source_that_sends_is_waited_for_longer() {
        let hedge = Hedge { silent: WAIT, slow: WAIT * 6 };
        let due = |millis, is_sending| hedge.is_due(Duration::from_millis(millis), is_sending);
        assert!(!due(999, false) && due(1000, false) && !due(5999, true) && due(6000, true));
    }
}
