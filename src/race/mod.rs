//! Gets one file from several sources: opens them in order, overlaps who is slow, resumes with the next, proves the end.
//!
//! One source streams at a time. Another takes over where the last one stopped: at the last byte, or, behind Kubo and
//! gateways, at the last proven leaf. The whole file is proven at the end; when that fails and several sources were
//! involved, nobody knows who lied: it starts again from zero on one source alone, and says who was involved.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt as _;

use crate::dag::CHUNK;
use crate::name::FileName;
use crate::plan::Expect;
use crate::report::Progress;
use crate::source::{Body, Kind, Miss, Offer, Question, Source};
use crate::verify::{self, Accepted};

pub mod leaves;
mod open;
mod runner;

pub use open::Opened;
use runner::Runner;

/// The clocks of a race.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What is left in this transaction of the head start of Kubo and gateways.
    pub head_start: Duration,
    /// Silence before an answer after which the next source is asked as well.
    pub overlap: Duration,
    /// Longest silence of a source while others are left, and the time over which its rate is measured.
    pub stall: Duration,
    /// Longest silence of the last source.
    pub patience: Duration,
    /// Bytes a second below which a source is left while others are left.
    pub floor: u64,
}

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
pub enum Outcome {
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
}

/// A race for one file.
pub struct Race<'a> {
    /// Sources in the order in which they are asked.
    pub sources: Vec<Box<dyn Source + 'a>>,
    /// The name, for looking at unproven files.
    pub name: &'a FileName,
    /// What the bytes must be.
    pub expect: Expect,
    /// The clocks.
    pub pace: Pace,
    /// Where to find the leaves, when the file's root is known.
    pub leaves: Option<leaves::LeafTable<'a>>,
    /// Only when newer than this.
    pub newer_than: Option<SystemTime>,
    /// Not when older than this.
    pub not_older_than: Option<SystemTime>,
    /// Shown while it runs.
    pub progress: &'a Progress,
}

/// Times that one source may be resumed after it broke off and had delivered something.
const RESUMES: u32 = 5;

/// Bytes that are distrusted at the end of a broken gateway stream when no leaf table is at hand: the error text that
/// Kubo writes into the body is about 100 bytes long.
const TAIL: u64 = 64 * 1024;

impl Race<'_> {
    /// Runs until the file is accepted or every source has failed. `partial` holds `have` bytes of an earlier run.
    pub async fn run(&self, partial: &File, have: u64, log: &mut Log) -> Outcome {
        let mut runner = match Runner::start(partial, have.min(self.expect.most())) {
            Ok(runner) => runner,
            Err(e) => return lost(log, 0, Miss::Local(e.to_string())),
        };
        let mut chances: Vec<u32> = self.sources.iter().map(|_| RESUMES + 1).collect();
        // Set after a mismatch of mixed bytes: from then on no two sources share a file.
        let mut alone = false;
        // Who answered a question for a part with nonsense, and whether they have been asked for the whole instead.
        let (mut partless, mut whole) = (Vec::<usize>::new(), false);
        // Who was convicted by leaves. These are only as right as the index that named their root.
        let mut convicted: Vec<usize> = Vec::new();
        if self.is_complete(&runner) {
            match self.judge(&mut runner, partial) {
                Ok(accepted) => return Outcome::Won(Won { accepted, modified: None, shares: Vec::new() }),
                Err(_) => runner.restart(partial),
            }
        }
        loop {
            let mut order = self.order(&chances);
            if order.is_empty() {
                // A server that cannot do parts must not be the end of it for as long as the partial lies here. What has
                // arrived is given up only when the whole file is on its way.
                let again = if !whole && !partless.is_empty() {
                    whole = true;
                    std::mem::take(&mut partless)
                } else if !convicted.is_empty() {
                    alone = true;
                    runner.restart(partial);
                    std::mem::take(&mut convicted)
                } else {
                    return Outcome::Lost;
                };
                again.iter().for_each(|index| chances[*index] = 1);
                continue;
            }
            if alone {
                order.truncate(1);
                if !runner.is_alone(order[0]) {
                    runner.restart(partial);
                }
            }
            let from = if whole { 0 } else { runner.at() };
            let question = Question { from, newer_than: self.newer_than };
            let before = log.misses.len();
            let opened = self.open_first(&order, question, &mut chances, log).await;
            if from > 0 {
                let nonsense = |why: &Miss| matches!(why, Miss::Broken(_) | Miss::Corrupt(_));
                partless.extend(log.misses[before..].iter().filter(|(_, why)| nonsense(why)).map(|(index, _)| *index));
            }
            let Some(opened) = opened else { continue };
            let index = opened.index;
            let (start, modified, body) = match opened.offer {
                Offer::Unchanged => return Outcome::Unchanged(index),
                Offer::Bytes { start, modified, body, .. } => (start, modified, body),
            };
            if let (Some(floor), Some(date)) = (self.not_older_than, modified)
                && date < floor
            {
                return Outcome::Older(index, date);
            }
            if start == 0 && runner.at() > 0 {
                runner.restart(partial);
            }
            if start != runner.at() {
                miss(log, &mut chances, index, Miss::Broken(format!("starts at byte {start} for no reason")), false);
                continue;
            }
            // Who was asked and did not answer while this one did is no reason to leave it.
            let others_left =
                chances.iter().enumerate().any(|(i, left)| i != index && *left > 0 && !opened.silent.contains(&i));
            let before = runner.at();
            let ended = self.stream(&mut runner, partial, index, body, others_left).await;
            let arrived = runner.at();
            let progressed = arrived > before;
            match ended {
                Ok(()) => match self.judge(&mut runner, partial) {
                    Ok(accepted) => {
                        return Outcome::Won(Won { accepted, modified, shares: runner.shares() });
                    }
                    Err(why) => {
                        let mixed = !runner.is_alone(index);
                        let involved = runner.involved();
                        let proven = self.proven_prefix(partial, arrived).await.unwrap_or(0);
                        // All leaves right and the file wrong: these are the leaves of another file.
                        let keep = if self.expect.size() == Some(proven) { 0 } else { proven };
                        // With leaves, it is known which one is wrong, and perhaps who sent it.
                        let liar = runner.sole_sender(keep, keep + CHUNK as u64);
                        runner.cut(partial, keep);
                        if let Some(liar) = liar.filter(|_| mixed && keep > 0) {
                            miss(log, &mut chances, liar, Miss::Corrupt(why), false);
                            convicted.push(liar);
                        } else if mixed && keep > 0 {
                            log.misses.push((index, Miss::Corrupt(format!("{why}, in a part that several have sent"))));
                            chances[index] -= 1;
                        } else if mixed {
                            alone = true;
                            let who = involved.iter().map(|i| self.sources[*i].place()).collect::<Vec<_>>().join(", ");
                            let why = Miss::Corrupt(format!("{why}, mixed from: an earlier run or {who}"));
                            log.misses.push((index, why));
                            chances[index] = chances[index].min(1);
                        } else {
                            miss(log, &mut chances, index, Miss::Corrupt(why), false);
                        }
                    }
                },
                Err(Miss::Local(why)) => return lost(log, index, Miss::Local(why)),
                Err(why) => {
                    if matches!(why, Miss::Corrupt(_)) {
                        runner.restart(partial);
                    } else if self.sources[index].kind() != Kind::Mirror {
                        self.cut_back(&mut runner, partial).await;
                    }
                    if self.expect.size().is_none() {
                        runner.restart(partial);
                    }
                    miss(log, &mut chances, index, why, progressed);
                }
            }
        }
    }

    /// Sources that may still be asked, in order; who failed after a good part comes after who was not asked yet.
    fn order(&self, chances: &[u32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.sources.len()).filter(|i| chances[*i] > 0).collect();
        order.sort_by_key(|i| RESUMES + 1 - chances[*i]);
        order
    }

    fn is_complete(&self, runner: &Runner) -> bool {
        self.expect.size() == Some(runner.at())
    }

    /// Compares what arrived with what is expected.
    fn judge(&self, runner: &mut Runner, partial: &File) -> Result<Accepted, String> {
        match self.expect {
            Expect::Exact { sha256, size } => {
                runner.take_verifier().finish(sha256, size).map(Accepted::Proven).map_err(|e| e.to_string())
            }
            Expect::Waived(why) => {
                verify::waive(why, self.name, partial).map(Accepted::Waived).map_err(|e| e.to_string())
            }
        }
    }

    /// Streams one body into the partial until it ends, fails, or is too slow.
    async fn stream(
        &self,
        runner: &mut Runner,
        partial: &File,
        index: usize,
        mut body: Body<'_>,
        others_left: bool,
    ) -> Result<(), Miss> {
        let place = self.sources[index].place();
        let silence = if others_left { self.pace.stall } else { self.pace.patience.max(self.pace.stall) };
        let most = self.expect.most();
        let (mut window, mut window_start) = (Instant::now(), runner.at());
        loop {
            let Ok(piece) = tokio::time::timeout(silence, body.next()).await else {
                return Err(Miss::Stalled(silence));
            };
            let Some(piece) = piece else { break };
            let piece = piece?;
            if runner.at() + piece.len() as u64 > most {
                return Err(Miss::Corrupt(format!("sends more than {most} bytes")));
            }
            runner.add(partial, index, &piece).map_err(|e| Miss::Local(e.to_string()))?;
            self.progress.at(runner.at(), &place);
            if others_left && window.elapsed() >= self.pace.stall {
                let rate = (runner.at() - window_start) as f64 / window.elapsed().as_secs_f64();
                let rate = rate as u64;
                if rate < self.pace.floor {
                    return Err(Miss::Slow(rate));
                }
                (window, window_start) = (Instant::now(), runner.at());
            }
            if self.is_complete(runner) {
                // One look for bytes beyond the end, without waiting for them.
                return match futures_util::FutureExt::now_or_never(body.next()) {
                    Some(Some(Ok(more))) if !more.is_empty() => {
                        Err(Miss::Corrupt(format!("sends more than {most} bytes")))
                    }
                    _ => Ok(()),
                };
            }
        }
        match self.expect.size() {
            Some(size) if runner.at() < size => Err(Miss::Broken(format!("ended at {} of {size} bytes", runner.at()))),
            _ => Ok(()),
        }
    }

    /// Keeps what the leaves prove; without leaves, keeps what is too early to be an error text.
    async fn cut_back(&self, runner: &mut Runner, partial: &File) {
        let keep = match self.proven_prefix(partial, runner.at()).await {
            Some(proven) => proven,
            None => runner.at().saturating_sub(TAIL),
        };
        runner.cut(partial, keep);
    }

    async fn proven_prefix(&self, partial: &File, len: u64) -> Option<u64> {
        self.leaves.as_ref()?.proven_prefix(partial, len).await
    }
}

fn lost(log: &mut Log, index: usize, why: Miss) -> Outcome {
    log.misses.push((index, why));
    Outcome::Lost
}

/// Records a miss. A source that delivered something and did not lie may be resumed; others are out.
fn miss(log: &mut Log, chances: &mut [u32], index: usize, why: Miss, progressed: bool) {
    let again = progressed && matches!(why, Miss::Broken(_) | Miss::Stalled(_) | Miss::Slow(_));
    chances[index] = if again { chances[index] - 1 } else { 0 };
    log.misses.push((index, why));
}
