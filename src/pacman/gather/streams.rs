//! How many small files are fetched at a time over one connection: many where they come quickly, few where the line is
//! slow. There all share it, and each would look as if it did not come.

use std::time::Duration;

/// At first: what comes in one round trip doubles with each one.
const AT_FIRST: usize = 16;

/// Even over a slow line: beside them, other files go on one by one.
const LEAST: usize = 2;

/// A file that took less lets one more come.
const QUICK: Duration = Duration::from_secs(1);

/// A file that took more halves their number: before an answer is waited for so long, another mirror is asked as well.
const SLOW: Duration = Duration::from_millis(1500);

/// The number of files at a time, learned from those that came.
#[derive(Debug)]
pub(super) struct StreamWindow {
    most: usize,
    count: usize,
    /// Files that were begun before the last change, which tell nothing about it.
    earlier: usize,
}

impl StreamWindow {
    pub(super) fn new(most: usize) -> Self {
        Self { most, count: AT_FIRST.min(most), earlier: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Counts a file that came; `running` others are under way.
    pub(super) fn came(&mut self, took: Duration, running: usize) {
        let is_earlier = self.earlier > 0;
        self.earlier -= usize::from(is_earlier);
        if took < QUICK {
            self.count = (self.count + 1).min(self.most);
        } else if took > SLOW && !is_earlier {
            self.count = (self.count / 2).max(LEAST);
            self.earlier = running;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches so many files of 200 kB over a line of `rate` bytes a second that answers in 30 ms.
    fn over_a_line(rate: f64, files: usize) -> usize {
        let mut window = StreamWindow::new(32);
        for _ in 0..files {
            let took = 0.03 + 200e3 * window.count() as f64 / rate;
            window.came(Duration::from_secs_f64(took), window.count() - 1);
        }
        window.count()
    }

    #[test]
    fn over_a_fast_line_there_are_many_and_over_a_slow_one_few() {
        assert_eq!(over_a_line(12.5e6, 40), 32);
        let slow = over_a_line(500e3, 100);
        assert!((2..=4).contains(&slow), "{slow}");
        assert_eq!(over_a_line(50e3, 100), LEAST);
    }

    #[test]
    fn files_that_were_under_way_at_a_change_halve_it_once() {
        let mut window = StreamWindow::new(32);
        for running in (0..16).rev() {
            window.came(Duration::from_secs(3), running);
        }
        assert_eq!(window.count(), 8, "they were begun together");
        window.came(Duration::from_millis(40), 7);
        assert_eq!(window.count(), 9, "and it grows back");
    }
}
