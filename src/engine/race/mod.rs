//! Fetches one file from several sources: opens them in order, overlaps slow ones, changes over in the middle,
//! shares the file leaf by leaf if that helps, and proves the result.
//!
//! | part | what it is |
//! |---|---|
//! | [`board`] | the missing bytes, the work of each source, the next move; pure, on times that are passed in |
//! | [`pace`] | the clocks and measures |
//! | `stretch` | adjacent missing bytes, and the sources that work on them |
//! | `hunt`, `hold`, `share` | more of the board: the source to ask for a stretch; its sender; its division |
//! | `sheet`, `hashing` | the received bytes and their senders; their running hash |
//! | `trial` | which leaves are right, and the senders of wrong ones |
//! | `leaves` | fetches the root block, from which the leaves are known |
//! | `driver` | carries out the board's moves: asks, listens, writes |
//! | `driver/lanes`, `driver/verdict` | the open requests; the judgement at the end |
//!
//! The whole file is always proven at the end. Leaves are checked only when bytes of several senders are mixed, or
//! when the proof fails: with one honest source every byte is hashed once. Leaves tell the sender of wrong bytes
//! and the bytes to fetch again; without them a mixed file that is wrong starts again from zero on one source
//! alone.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::base::listener::Listener;
use crate::engine::source::{Miss, Source};
use crate::store::health::record::SourceRecord;
use crate::trust::look::FileShape;
use crate::trust::plan::Expect;
use crate::trust::verify::Accepted;

pub mod board;
mod driver;
mod hashing;
mod hold;
mod hunt;
pub(crate) mod leaves;
pub(crate) mod pace;
mod share;
mod sheet;
mod stretch;
mod trial;

pub use leaves::Roots;
pub use pace::Pace;

/// The result of a race that was won.
#[derive(Debug)]
pub struct Won {
    /// The proof or waiver.
    pub accepted: Accepted,
    /// Date of the file at the source.
    pub modified: Option<SystemTime>,
    /// Bytes that each source delivered in this run, by index of the source.
    pub shares: Vec<(usize, u64)>,
}

/// The end of a race.
#[derive(Debug)]
pub enum RaceOutcome {
    /// The partial file holds the whole, accepted file.
    Won(Won),
    /// A source reports that the caller's file is still current.
    Unchanged(usize),
    /// A source has an older file than is accepted, of this date.
    Older(usize, SystemTime),
    /// No source delivered. The partial keeps what arrived.
    Lost,
}

/// The events of a race, for the error's lines and for the health of sources.
#[derive(Debug, Default)]
pub struct Log {
    /// Misses in order, with the index of the source.
    pub misses: Vec<(usize, Miss)>,
    /// Positions in `misses` of wrong bytes of which no single source is known to be the sender.
    pub unattributed: Vec<usize>,
    /// Part of the head start that was spent without a result.
    pub(crate) head_start_spent: Duration,
    /// Answers: source, time to the first byte, bytes, time from the first to the last byte.
    pub heard: Vec<(usize, Duration, u64, Duration)>,
    /// Sources that certainly sent something else than the file. A root alone is no proof of that.
    pub liars: Vec<usize>,
}

/// A source to try, with its record from earlier transfers.
pub struct RaceSource<'a> {
    /// The source.
    pub source: Box<dyn Source + 'a>,
    /// Its record.
    pub record: SourceRecord,
}

/// A race for one file.
pub struct Race<'a> {
    /// Sources in the order in which they are asked.
    pub sources: Vec<RaceSource<'a>>,
    /// What a file that comes without a proof looks like.
    pub shape: FileShape,
    /// The expectation on the bytes.
    pub expect: Expect,
    /// The clocks.
    pub pace: Pace,
    /// The provider of the leaves, when the file's root is known.
    pub roots: Option<Box<dyn Roots + 'a>>,
    /// Only when newer than this.
    pub newer_than: Option<SystemTime>,
    /// Not when older than this.
    pub not_older_than: Option<SystemTime>,
    /// Told of the bytes while it runs.
    pub progress: &'a dyn Listener,
}

impl Race<'_> {
    /// Runs until the file is accepted or every source has failed. `partial` holds `have` bytes of an earlier run.
    pub async fn run(&self, partial: &File, have: u64, log: &mut Log) -> RaceOutcome {
        match driver::RaceDriver::start(self, partial, have, log) {
            Ok(mut driver) => driver.finish().await,
            Err((log, e)) => {
                log.misses.push((0, Miss::Local(e.to_string())));
                RaceOutcome::Lost
            }
        }
    }
}
