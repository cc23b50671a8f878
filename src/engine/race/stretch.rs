//! Adjacent missing bytes, and the sources that work on them.

use std::ops::Range;
use std::time::Duration;

use crate::engine::race::pace::Pace;
use crate::engine::source::Miss;

/// Least time of measuring before a rate counts.
const MEASURED: Duration = Duration::from_secs(1);

/// Time since the race began.
pub(crate) type Time = Duration;

/// A request to one source, and the bytes that answer it.
#[derive(Debug)]
pub(super) struct Lane {
    /// Unique in a race.
    pub(crate) id: u32,
    /// Index of the source.
    pub(crate) source: usize,
    /// Offset of the next byte.
    pub(crate) at: u64,
    /// Where the answer ends.
    pub(crate) until: u64,
    /// True if it asked for something else than the whole file.
    pub(crate) is_part: bool,
    /// Time of the request.
    pub(crate) asked: Time,
    /// True once the source has answered that it will send.
    pub(crate) answered: bool,
    /// True where it said that it fetches the file first.
    pub(crate) is_promised: bool,
    /// Time of the last sign of life.
    pub(crate) heard: Time,
    /// Time of its first byte.
    pub(crate) first: Option<Time>,
    /// Bytes received.
    pub(crate) got: u64,
    /// Start of the present measurement of its rate, and the bytes then.
    pub(crate) window: (Time, u64),
    /// Its rate, when that is below the floor.
    pub(crate) slow: Option<u64>,
    /// Time when it last had sent enough to be waited for, from the request on, and the bytes sent until then.
    pub(crate) worth: (Time, u64),
}

/// Adjacent missing bytes.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The first missing byte.
    pub(crate) at: u64,
    /// The first byte that belongs to the next stretch.
    pub(crate) until: u64,
    /// The lane that sends it.
    pub(crate) holder: Option<Lane>,
    /// The other lanes, in the order of asking.
    pub(crate) asked: Vec<Lane>,
}

impl Stretch {
    pub(super) fn new(range: Range<u64>) -> Self {
        Self { at: range.start, until: range.end, holder: None, asked: Vec::new() }
    }

    /// Lists all lanes.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.holder.iter().chain(&self.asked)
    }

    pub(super) fn into_lanes(self) -> impl Iterator<Item = Lane> {
        self.holder.into_iter().chain(self.asked)
    }
}

impl Lane {
    /// Counts received bytes, and checks the rate once in `stall`.
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

    /// Returns the reason to give it up, even as the last source: it sent next to nothing in the time that such a source
    /// has.
    pub(super) fn hopeless(&self, now: Time, pace: &Pace) -> Option<Miss> {
        let silent = now.saturating_sub(self.heard);
        let is_over = now.saturating_sub(self.worth.0) >= pace.longest();
        let why = if self.got == self.worth.1 { Miss::Stalled(silent) } else { Miss::Slow(0) };
        is_over.then_some(why)
    }

    /// Returns bytes a second since its first byte, once that was long enough ago.
    pub(super) fn rate(&self, now: Time) -> Option<u64> {
        let took = now.saturating_sub(self.first?);
        (took >= MEASURED).then(|| (self.got as f64 / took.as_secs_f64()) as u64)
    }
}
