//! What is known of the life of the connections to one host: requests without an end, and when something was heard.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The activity at one host.
pub(super) struct GateActivity {
    stall: Duration,
    made: Instant,
    /// Milliseconds from `made` until something was heard last, or until a request was sent while none was open.
    busy_at: AtomicU64,
    /// Requests without an end so far.
    open: AtomicUsize,
    /// True once its connection says nothing any more.
    is_left: AtomicBool,
}

impl GateActivity {
    pub(super) fn new(stall: Duration) -> Self {
        let (busy_at, open, is_left) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        Self { stall, made: Instant::now(), busy_at, open, is_left }
    }

    /// Counts a request. Silence is counted from the first one on; more of them say nothing about those that wait, and
    /// one that is given up is asked for again at once.
    pub(super) fn begins(&self) {
        if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
            self.hears();
        }
    }

    /// Counts the end of one.
    pub(super) fn ends(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn hears(&self) {
        self.busy_at.fetch_max(self.now(), Ordering::Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// Has the connection left when no open request has heard anything for nearly as long as a source may be silent.
    pub(super) fn leave_if_silent(&self) {
        let silence = Duration::from_millis(self.now().saturating_sub(self.busy_at.load(Ordering::Relaxed)));
        if self.open.load(Ordering::Relaxed) > 0 && silence >= self.stall * 3 / 4 {
            self.is_left.store(true, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_request_that_is_sent_again_breaks_no_silence() {
        let activity = GateActivity::new(Duration::from_millis(40));
        activity.begins();
        sleep(Duration::from_millis(40));
        activity.begins();
        activity.leave_if_silent();
        assert!(activity.is_left());
    }

    #[test]
    fn the_time_without_requests_is_no_silence() {
        let activity = GateActivity::new(Duration::from_secs(600));
        activity.begins();
        activity.ends();
        let activity =
            GateActivity { made: Instant::now().checked_sub(Duration::from_secs(3600)).unwrap(), ..activity };
        activity.begins();
        activity.leave_if_silent();
        assert!(!activity.is_left());
    }
}
