//! The number of blocks to ask for at a time: many where they come quickly, few where the line is slow. Not the
//! read-ahead of a run ([`crate::pacman::ahead`]).
//!
//! Blocks that are under way at once share the line. Eight of 1 MiB over 1.6 Mbit/s would each take 42 s, all of
//! them would look as if they did not come, and those under way when the user interrupts are lost. So no more are
//! asked for than come within a short time; at least one always is.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Before anything is known: enough that the next one is on its way while one comes.
const AT_FIRST: usize = 2;

/// Blocks over which the rate is measured.
const MEASURED: usize = 8;

/// The number of blocks to ask for at a time, learned from those that came.
#[derive(Debug)]
pub(crate) struct RequestWindow {
    most: usize,
    span: Duration,
    count: usize,
    /// When each of the last blocks began to come.
    begun: VecDeque<Instant>,
}

impl RequestWindow {
    /// Allows at most `most`, and about as many as come within `span`. Nothing is known yet.
    pub(crate) fn new(most: usize, span: Duration) -> Self {
        Self { most, span, count: AT_FIRST.min(most), begun: VecDeque::new() }
    }

    /// Returns the number of blocks that may be under way, from one on.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Counts a block of the file's content that is there. `begun` is when its first byte came, or when it was
    /// asked for where that cannot be seen.
    pub(crate) fn arrived(&mut self, begun: Instant, now: Instant) {
        self.begun.push_back(begun);
        if self.begun.len() > MEASURED {
            self.begun.pop_front();
        }
        let first = self.begun.iter().min().expect("one was just added");
        let took = now.saturating_duration_since(*first).as_secs_f64();
        let fit = self.begun.len() as f64 * self.span.as_secs_f64() / took.max(1e-3);
        self.count = (fit as usize).clamp(1, self.most);
    }

    /// A source said that it was asked too much: from now on half as much.
    pub(crate) fn refused(&mut self) {
        self.most = (self.most / 2).max(1);
        self.count = self.count.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(4);

    /// Fetches so many blocks over a line that brings one in `each`.
    fn over_a_line(each: Duration, blocks: usize) -> RequestWindow {
        let (mut window, start) = (RequestWindow::new(8, SPAN), Instant::now());
        let (mut asked, mut done) = (VecDeque::new(), Duration::ZERO);
        for _ in 0..blocks {
            while asked.len() < window.count() {
                asked.push_back(start + done);
            }
            done += each;
            window.arrived(asked.pop_front().expect("one at least"), start + done);
        }
        window
    }

    #[test]
    fn over_a_slow_line_one_block_is_under_way_and_over_a_fast_one_many() {
        // 1 MiB over 1.6, 4, 16 and 50 Mbit/s, and over 1 Gbit/s.
        for (each, least, most) in [(5243, 1, 1), (2097, 1, 2), (524, 3, 6), (168, 7, 8), (8, 8, 8)] {
            let count = over_a_line(Duration::from_millis(each), 40).count();
            assert!((least..=most).contains(&count), "{each} ms: {count}");
        }
    }

    #[test]
    fn a_line_that_becomes_fast_again_is_used_again() {
        let (mut window, mut now) =
            (over_a_line(Duration::from_secs(5), 20), Instant::now() + Duration::from_secs(200));
        for _ in 0..20 {
            let begun = now;
            now += Duration::from_millis(50);
            window.arrived(begun, now);
        }
        assert_eq!(window.count(), 8);
    }

    #[test]
    fn a_source_that_is_asked_too_much_is_asked_less() {
        let mut window = over_a_line(Duration::from_millis(5), 20);
        window.refused();
        window.refused();
        assert_eq!(window.count(), 2);
        window.arrived(Instant::now(), Instant::now());
        assert_eq!(window.count(), 2, "it does not grow back");
        (0..9).for_each(|_| window.refused());
        assert_eq!(window.count(), 1);
    }
}
