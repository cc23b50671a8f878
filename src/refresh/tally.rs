//! What the sources of one refresh tell beside their bytes: how many there were, and what time it is there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::Clock;
use crate::base::listener::Listener;

/// Most seconds that a clock may differ and still count as right.
const CLOCK_MOST: u64 = 600;

/// The tally of one refresh.
pub(super) struct Tally {
    /// Unix seconds at the start.
    now: u64,
    pub(super) started: Instant,
    /// Bytes that came, proven or not.
    pub(super) moved: Cell<u64>,
    /// Evidence against this machine's clock.
    pub(super) clock: RefCell<Option<Clock>>,
}

impl Tally {
    /// Begins at `now`, in Unix seconds; `known` is a time that has certainly passed.
    pub(super) fn new(now: u64, known: u64) -> Self {
        let behind = known.saturating_sub(now);
        let clock = RefCell::new((behind > CLOCK_MOST).then_some(Clock::Behind(behind)));
        Self { now, started: Instant::now(), moved: Cell::new(0), clock }
    }

    pub(super) fn count(&self, bytes: u64) {
        self.moved.set(self.moved.get() + bytes);
    }

    /// Compares the clock with a server's date (Unix seconds).
    pub(super) fn heard(&self, host: &str, time: u64) {
        let by = (self.now + self.started.elapsed().as_secs()).cast_signed() - time.cast_signed();
        if by.unsigned_abs() > CLOCK_MOST {
            self.clock.borrow_mut().get_or_insert_with(|| Clock::Off { host: host.to_owned(), by });
        }
    }
}

/// The listener of one delivery that counts what arrives, also of one that does not end.
pub(super) struct Arrivals {
    tally: Rc<Tally>,
    at: Cell<u64>,
}

impl Arrivals {
    /// Counts in `tally`.
    pub(super) fn of(tally: &Rc<Tally>) -> Self {
        Self { tally: Rc::clone(tally), at: Cell::new(0) }
    }
}

impl Listener for Arrivals {
    fn kept(&self, bytes: u64) {
        self.at.set(bytes);
    }

    fn arrived(&self, bytes: u64, from: &str) {
        // From no source: another process fetches it.
        if !from.is_empty() {
            self.tally.count(bytes.saturating_sub(self.at.replace(bytes)));
        }
    }
}
