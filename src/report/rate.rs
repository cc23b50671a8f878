//! The rate at which a file arrives, over the last seconds: what pacman's user expects of a number on a bar.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Time over which the rate is measured.
const SPAN: Duration = Duration::from_secs(3);

/// Shortest time over which it is worth showing.
const SHORTEST: Duration = Duration::from_millis(200);

/// Least time between two samples that are kept.
const APART: Duration = Duration::from_millis(100);

/// The bytes that arrived, with their times. Pure: times are passed in.
#[derive(Debug)]
pub(super) struct ArrivalRate {
    samples: VecDeque<(Instant, u64)>,
    last: (Instant, u64),
}

impl ArrivalRate {
    /// Begins to measure, with `bytes` here already: they do not count.
    pub(super) fn new(now: Instant, bytes: u64) -> Self {
        Self { samples: VecDeque::from([(now, bytes)]), last: (now, bytes) }
    }

    /// Records that `bytes` are here. Fewer than before begin anew.
    pub(super) fn at(&mut self, now: Instant, bytes: u64) {
        if bytes < self.last.1 {
            *self = Self::new(now, bytes);
            return;
        }
        self.last = (now, bytes);
        if self.samples.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= APART) {
            self.samples.push_back(self.last);
        }
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= SPAN) {
            self.samples.pop_front();
        }
    }

    /// Returns the bytes a second over the last three seconds; `None` while that would be a guess.
    pub(super) fn per_second(&self, now: Instant) -> Option<u64> {
        let old = self.samples.iter().take_while(|(at, _)| now.saturating_duration_since(*at) >= SPAN).last();
        let (since, before) = *old.or_else(|| self.samples.front())?;
        // What came before the span began is not counted, however long nothing has come since.
        let took = now.saturating_duration_since(since);
        (took >= SHORTEST).then(|| ((self.last.1 - before) as f64 / took.as_secs_f64()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn bytes_of_an_earlier_run_are_no_speed() {
        let begun = Instant::now();
        let mut rate = ArrivalRate::new(begun, 14 << 20);
        assert_eq!(rate.per_second(begun + ms(100)), None);
        for tenth in 1..=20 {
            rate.at(begun + ms(tenth * 100), (14 << 20) + tenth * 100_000);
        }
        assert_eq!(rate.per_second(begun + ms(2000)), Some(1_000_000));
    }

    #[test]
    fn a_line_that_slows_down_is_shown_so_within_three_seconds() {
        let begun = Instant::now();
        let mut rate = ArrivalRate::new(begun, 0);
        let mut bytes = 0;
        for tenth in 1..=60 {
            bytes += if tenth <= 20 { 1_000_000 } else { 100_000 };
            rate.at(begun + ms(tenth * 100), bytes);
        }
        assert_eq!(rate.per_second(begun + ms(6000)), Some(1_000_000));
        assert!(rate.per_second(begun + ms(7000)).unwrap() < 800_000);
        assert_eq!(rate.per_second(begun + ms(20_000)), Some(0), "nothing has come since");
    }

    #[test]
    fn a_file_that_begins_anew_is_measured_anew() {
        let begun = Instant::now();
        let mut rate = ArrivalRate::new(begun, 0);
        rate.at(begun + ms(1000), 9_000_000);
        rate.at(begun + ms(1100), 10);
        rate.at(begun + ms(2100), 1_000_010);
        assert_eq!(rate.per_second(begun + ms(2100)), Some(1_000_000));
    }
}
