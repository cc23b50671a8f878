//! The clocks and measures of a race. Three clocks are kept apart, because they mean different things: nothing in
//! flight (`stall`), a request open for too long (`overlap`, `head_start`), no source left to ask (`patience`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::Duration;

use crate::base::size::CHUNK;

/// The measures that hold for every source of a race. Those of one source are in its
/// [`Record`](crate::store::health::record::SourceRecord).
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Longest wait for one peer before mirrors are asked as well, while `budget` lasts.
    pub head_start: Duration,
    /// The rest of the head start of this pacman run: all waits for peers that send nothing come out of it.
    pub budget: Duration,
    /// Silence before an answer after which the next source is asked as well.
    pub overlap: Duration,
    /// Longest silence of a source that has begun to send, and the time over which its rate is measured. After it
    /// the next source is asked as well, and the silent one is dropped when that one sends.
    pub stall: Duration,
    /// Longest wait when no other source is left to ask, from the request on: a source that has sent less than
    /// [`Pace::LEAST_RATE`] on average over this time is given up.
    pub patience: Duration,
    /// Bytes a second below which a source is overlapped by the next one.
    pub floor: u64,
    /// Mirrors that may share one file at a time.
    pub mirrors: usize,
    /// Fewest bytes that one mirror is asked for when several share a file.
    pub least: u64,
    /// Borders between the parts of different sources are multiples of this, so that single leaves have single senders.
    pub border: u64,
}

impl Pace {
    /// Default of `least`: one request of this size costs a mirror as little as before (`doc/design.md`, promise
    /// 14).
    pub const LEAST: u64 = 16 << 20;
    /// Default of `border`: the chunk of our own profile.
    pub const BORDER: u64 = CHUNK as u64;
    /// Bytes a second below which even the last source is given up, as curl does for pacman (pacman 7.1, lib/libalpm/dload.c:
    /// `CURLOPT_LOW_SPEED_LIMIT`).
    pub(crate) const LEAST_RATE: u64 = 1;

    /// Returns the time that the last source has for [`Pace::worth`] bytes.
    pub(super) fn longest(&self) -> Duration {
        self.patience.max(self.stall)
    }

    /// Returns the bytes in that time that let it go on for as long again; at least one.
    pub(super) fn worth(&self) -> u64 {
        (self.longest().as_secs_f64().ceil() as u64).saturating_mul(Self::LEAST_RATE).max(1)
    }
}
