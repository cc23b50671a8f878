//! Gets one file from several sources: opens them in order, overlaps who is slow, changes over in the middle, shares the
//! file leaf by leaf where that helps, and proves the end.
//!
//! | part | what it is |
//! |---|---|
//! | [`board`] | what is missing, who is doing what, what to do next; pure, on times that are handed in |
//! | [`pace`] | the clocks and measures |
//! | `stretch` | missing bytes next to each other, and who works on them |
//! | `hunt`, `hold`, `share` | whom to ask for a stretch; who sends it; how to divide one. More of the board |
//! | `sheet`, `hashing` | what has arrived, and from whom; its running hash |
//! | `trial` | which leaves are right, and who sent those that are not |
//! | `run` | carries out what the board says: asks, listens, writes; `run/verdict` judges the end |
//!
//! The whole file is always proven at the end. Leaves are looked at only when bytes of several senders are mixed, or when
//! the proof fails: with one honest source every byte is hashed once. Leaves say who sent something wrong and what to
//! fetch again; without them a file that was mixed and is wrong starts again from zero on one source alone.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::health::record::SourceRecord;
use crate::name::FileName;
use crate::plan::Expect;
use crate::report::ProgressLine;
use crate::source::{Miss, Source};
use crate::verify::Accepted;

pub mod board;
mod hashing;
mod hold;
mod hunt;
pub mod leaves;
pub mod pace;
mod run;
mod share;
mod sheet;
mod stretch;
mod trial;

pub use leaves::Roots;
pub use pace::Pace;

/// How a race was won.
#[derive(Debug)]
pub struct Won {
    /// The proof or waiver.
    pub accepted: Accepted,
    /// Date of the file at the source.
    pub modified: Option<SystemTime>,
    /// Who delivered how many bytes in this run, by index of the source.
    pub shares: Vec<(usize, u64)>,
}

/// How a race ended.
#[derive(Debug)]
pub enum RaceOutcome {
    /// The partial file holds the whole, accepted file.
    Won(Won),
    /// A source says that what the caller has is still current.
    Unchanged(usize),
    /// A source has an older one than is taken, of this date.
    Older(usize, SystemTime),
    /// No source delivered. The partial keeps what arrived.
    Lost,
}

/// What happened, for the error's lines and for the health of sources.
#[derive(Debug, Default)]
pub struct Log {
    /// Misses in order, with the index of the source.
    pub misses: Vec<(usize, Miss)>,
    /// Part of the head start that was spent for nothing.
    pub head_start_spent: Duration,
    /// Answers: source, time to the first byte, bytes, time from the first to the last byte.
    pub heard: Vec<(usize, Duration, u64, Duration)>,
    /// Who certainly sent something else than the file. Nobody stands here because of a root alone.
    pub liars: Vec<usize>,
}

/// Somebody to ask, and what earlier transfers showed about it.
pub struct Contender<'a> {
    /// The source.
    pub source: Box<dyn Source + 'a>,
    /// What it was like.
    pub record: SourceRecord,
}

/// A race for one file.
pub struct Race<'a> {
    /// Sources in the order in which they are asked.
    pub entrants: Vec<Contender<'a>>,
    /// The name, for looking at unproven files.
    pub name: &'a FileName,
    /// What the bytes must be.
    pub expect: Expect,
    /// The clocks.
    pub pace: Pace,
    /// Where to find the leaves, when the file's root is known.
    pub roots: Option<Box<dyn Roots + 'a>>,
    /// Only when newer than this.
    pub newer_than: Option<SystemTime>,
    /// Not when older than this.
    pub not_older_than: Option<SystemTime>,
    /// Shown while it runs.
    pub progress: &'a ProgressLine,
}

impl Race<'_> {
    /// Runs until the file is accepted or every source has failed. `partial` holds `have` bytes of an earlier run.
    pub async fn run(&self, partial: &File, have: u64, log: &mut Log) -> RaceOutcome {
        match run::RaceRun::start(self, partial, have, log) {
            Ok(mut run) => run.finish().await,
            Err((log, e)) => {
                log.misses.push((0, Miss::Local(e.to_string())));
                RaceOutcome::Lost
            }
        }
    }
}
