//! Missing bytes next to each other, and who works on them.

use std::ops::Range;
use std::time::Duration;

use crate::race::pace::Pace;
use crate::source::Miss;

/// How long a rate is measured before it counts.
const MEASURED: Duration = Duration::from_secs(1);

/// Time since the race began.
pub type Time = Duration;

/// A question to one source, and the bytes that answer it.
#[derive(Debug)]
pub(super) struct Lane {
    /// Never used twice in a race.
    pub id: u32,
    /// Index of the source.
    pub source: usize,
    /// Offset of the byte that comes next.
    pub at: u64,
    /// Where the answer ends.
    pub until: u64,
    /// Whether it was asked for something else than the whole file.
    pub is_part: bool,
    /// When it was asked.
    pub asked: Time,
    /// Whether it has said that it will send.
    pub answered: bool,
    /// When it last showed that it lives.
    pub heard: Time,
    /// When its first byte came.
    pub first: Option<Time>,
    /// Bytes that came.
    pub got: u64,
    /// Where the present measurement of its rate began, and with how many bytes.
    pub window: (Time, u64),
    /// Its rate, when that is below the floor.
    pub slow: Option<u64>,
    /// When it last had sent enough to be waited for, from the question on, and how much it had sent then.
    pub worth: (Time, u64),
}

/// Missing bytes next to each other.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The first missing byte.
    pub at: u64,
    /// The first byte that belongs to the next stretch.
    pub until: u64,
    /// Who sends it.
    pub holder: Option<Lane>,
    /// Who was asked as well, in the order of asking.
    pub asked: Vec<Lane>,
}

impl Stretch {
    pub(super) fn new(range: Range<u64>) -> Self {
        Self { at: range.start, until: range.end, holder: None, asked: Vec::new() }
    }

    /// Everybody who works on it.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.holder.iter().chain(&self.asked)
    }

    pub(super) fn into_lanes(self) -> impl Iterator<Item = Lane> {
        self.holder.into_iter().chain(self.asked)
    }
}

impl Lane {
    /// Counts bytes that came, and looks at the rate once in `stall`.
    pub(super) fn measure(&mut self, len: u64, now: Time, pace: &Pace) {
        if self.first.is_none() {
            (self.first, self.window) = (Some(now), (now, 0));
        }
        self.got += len;
        self.heard = now;
        if self.got - self.worth.1 >= pace.worth() {
            self.worth = (now, self.got);
        }
        let took = now - self.window.0;
        if took >= pace.stall {
            let rate = ((self.got - self.window.1) as f64 / took.as_secs_f64()) as u64;
            self.slow = (rate < pace.floor).then_some(rate);
            self.window = (now, self.got);
        }
    }

    /// Why it is not waited for any longer, whoever else is left: it sent next to nothing in the time that the last source
    /// has.
    pub(super) fn hopeless(&self, now: Time, pace: &Pace) -> Option<Miss> {
        let silent = now.saturating_sub(self.heard);
        let is_over = now.saturating_sub(self.worth.0) >= pace.longest();
        let why = if self.got == self.worth.1 { Miss::Stalled(silent) } else { Miss::Slow(0) };
        is_over.then_some(why)
    }

    /// Bytes a second since its first byte, once that was long enough ago.
    pub(super) fn rate(&self, now: Time) -> Option<u64> {
        let took = now.saturating_sub(self.first?);
        (took >= MEASURED).then(|| (self.got as f64 / took.as_secs_f64()) as u64)
    }
}
