//! The choice of the sources to ask for single blocks: one after the other, the next one as well when all that were
//! asked are silent.
//!
//! Silence counts, not duration: a source from which bytes of any block come is not silent, however long one block
//! takes. A source that missed the first block it was asked for, or two in a row, is asked last. One that breaks
//! off or is busy is asked again a few times, as late as it says.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::base::cid::Cid;
use crate::base::listener::{Listener, Unheard};
use crate::engine::source::{Local, Miss};

/// Requests to one source for one block, where it breaks off or is busy.
const TRIES: u32 = 4;

/// The same where it does not seem to be there at all, or sends something else.
const TRIES_IN_VAIN: u32 = 2;

/// The wait before the second try; twice as long before each further one.
const BACKOFF: Duration = Duration::from_millis(500);

/// Longest wait that is asked for (Retry-After) and kept. Kubo asks for a minute (config.md,
/// Gateway.MaxConcurrentRequests).
const REST_MOST: Duration = Duration::from_secs(120);

/// Longest time for one answer, whatever comes: two blocks of 2 MiB at the floor of 10 KiB/s, and half as much again.
const ANSWER_MOST: Duration = Duration::from_secs(600);

/// A source that may have single blocks.
pub(crate) trait BlockSource {
    /// Returns its name in the line of a delivered file.
    fn label(&self) -> String;
    /// Returns its name where it failed.
    fn line(&self, miss: &Miss) -> String;
    /// Returns true when bytes come here as it gets them; else a block comes whole, once it has it.
    fn is_flowing(&self) -> bool;
    /// Returns the block, proven. `moved` is told how many bytes have come, each time some do; 0 when they come to the source.
    fn block<'a>(&'a self, cid: Cid, moved: &'a dyn Fn(u64)) -> Local<'a, Result<Vec<u8>, Miss>>;
}

/// The clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Silence of all sources that were asked after which the next one is asked as well, and the time over which a
    /// rate is measured.
    pub(crate) stall: Duration,
    /// Silence of all sources that were asked after which a block is given up, when no other source is left.
    pub(crate) patience: Duration,
    /// Bytes a second below which a source counts as silent as long as another one can be asked.
    pub(crate) floor: u64,
}

/// A block, and when its first byte came, as far as that could be seen.
#[derive(Debug)]
pub(crate) struct Came {
    /// Its bytes.
    pub(crate) block: Vec<u8>,
    /// When it began to come; when it was asked for where that does not show.
    pub(crate) begun: Instant,
}

/// The reasons why a block came from no source, by index of the source.
pub(crate) type Misses = Vec<(usize, Miss)>;

/// The sources to ask, gateways among them, and the standing of each.
pub(crate) struct BlockSources<P> {
    pub(crate) list: Vec<P>,
    clocks: Clocks,
    standings: RefCell<Vec<BlockSourceStanding>>,
    /// The sources that have delivered, in the order of their first block.
    used: RefCell<Vec<usize>>,
    listener: Rc<dyn Listener>,
}

/// The record of one source.
struct BlockSourceStanding {
    /// When bytes last came from it.
    heard: Instant,
    /// Bytes from it, and the present measurement of its rate: since when, and from how many on.
    bytes: u64,
    window: (Instant, u64),
    is_slow: bool,
    /// Questions that are open.
    open: usize,
    /// Blocks in a row that it did not deliver.
    misses: u32,
    has_delivered: bool,
    has_lied: bool,
    /// It asked not to be asked before then.
    rests_until: Instant,
    /// Number of its answers that it is busy.
    refusals: u32,
}

impl<P: BlockSource> BlockSources<P> {
    /// Takes the sources in the order in which they are asked.
    pub(crate) fn new(list: Vec<P>, clocks: Clocks) -> Self {
        let now = Instant::now();
        let standing = || BlockSourceStanding {
            heard: now,
            bytes: 0,
            window: (now, 0),
            is_slow: false,
            open: 0,
            misses: 0,
            has_delivered: false,
            has_lied: false,
            rests_until: now,
            refusals: 0,
        };
        let standings = RefCell::new(list.iter().map(|_| standing()).collect());
        Self { list, clocks, standings, used: RefCell::default(), listener: Rc::new(Unheard) }
    }

    /// Tells `listener` of pauses.
    pub(super) fn telling(self, listener: Rc<dyn Listener>) -> Self {
        Self { listener, ..self }
    }

    /// Returns the sources that have delivered, in the order of their first block.
    pub(super) fn used(&self) -> Vec<usize> {
        self.used.borrow().clone()
    }

    /// Counts the answers of sources that they are busy.
    pub(super) fn refusals(&self) -> u32 {
        self.standings.borrow().iter().map(|standing| standing.refusals).sum()
    }

    /// Returns one block from the first source that delivers it.
    pub(crate) async fn block(&self, cid: Cid) -> Result<Came, Misses> {
        if let Some(block) = cid.inline() {
            return Ok(Came { block: block.to_vec(), begun: Instant::now() });
        }
        let tries =
            self.list.iter().map(|_| TriesLeft { left: TRIES, not_before: Instant::now(), is_late: false }).collect();
        let mut hunt = BlockHunt {
            sources: self,
            cid,
            tries,
            misses: Vec::new(),
            open: Vec::new(),
            coming: FuturesUnordered::new(),
        };
        loop {
            match hunt.next(Instant::now()) {
                NextStep::Ask(source) => hunt.ask(source),
                NextStep::Wait(until) => tokio::select! {
                    biased;
                    Some((source, begun, answer)) = hunt.coming.next(), if !hunt.coming.is_empty() => {
                        if let Some(block) = hunt.answered(source, answer) {
                            return Ok(Came { block, begun });
                        }
                    }
                    () = tokio::time::sleep_until(until) => {}
                },
                NextStep::GiveUp => return Err(hunt.misses),
            }
        }
    }

    fn with<T>(&self, source: usize, change: impl FnOnce(&mut BlockSourceStanding) -> T) -> T {
        change(&mut self.standings.borrow_mut()[source])
    }

    /// Bytes came from it, or come to it.
    fn moved(&self, source: usize, bytes: u64) {
        let (now, Clocks { stall, floor, .. }) = (Instant::now(), self.clocks);
        self.with(source, |it| {
            it.heard = now;
            it.bytes += bytes;
            let took = now - it.window.0;
            if bytes == 0 {
                // How many they are is not known.
                (it.window, it.is_slow) = ((now, it.bytes), false);
            } else if took >= stall {
                it.is_slow = ((it.bytes - it.window.1) as f64) < floor as f64 * took.as_secs_f64();
                it.window = (now, it.bytes);
            }
        });
    }

    /// It is asked, one time more.
    fn opened(&self, source: usize) -> OpenQuestion<'_, P> {
        let now = Instant::now();
        self.with(source, |it| {
            if it.open == 0 {
                (it.heard, it.window, it.is_slow) = (now, (now, it.bytes), false);
            }
            it.open += 1;
        });
        OpenQuestion { sources: self, source }
    }

    /// In which order it is asked.
    fn rank(&self, source: usize) -> (bool, bool, usize) {
        self.with(source, |it| (it.has_lied, it.misses >= 2 || (it.misses == 1 && !it.has_delivered), source))
    }
}

/// Counts a question as open until it is dropped.
struct OpenQuestion<'a, P: BlockSource> {
    sources: &'a BlockSources<P>,
    source: usize,
}

impl<P: BlockSource> Drop for OpenQuestion<'_, P> {
    fn drop(&mut self) {
        self.sources.with(self.source, |it| it.open -= 1);
    }
}

/// The tries that one source has left for one block.
struct TriesLeft {
    left: u32,
    not_before: Instant,
    /// It was too silent, and that has been counted.
    is_late: bool,
}

enum NextStep {
    Ask(usize),
    Wait(Instant),
    GiveUp,
}

/// An answer: the source, when its first byte came, and the block.
type Said = (usize, Instant, Result<Vec<u8>, Miss>);

/// The search for one block.
struct BlockHunt<'a, P: BlockSource> {
    sources: &'a BlockSources<P>,
    cid: Cid,
    tries: Vec<TriesLeft>,
    misses: Misses,
    /// The sources that are being asked, and since when.
    open: Vec<(usize, Instant)>,
    coming: FuturesUnordered<Local<'a, Said>>,
}

impl<'a, P: BlockSource> BlockHunt<'a, P> {
    fn ask(&mut self, source: usize) {
        let now = Instant::now();
        self.open.push((source, now));
        let (sources, cid) = (self.sources, self.cid);
        self.coming.push(Box::pin(async move {
            let _open = sources.opened(source);
            let first = std::cell::Cell::new(None);
            let moved = |bytes: u64| {
                sources.moved(source, bytes);
                first.set(first.get().or(Some(Instant::now())));
            };
            let it = &sources.list[source];
            let answer = it.block(cid, &moved).await;
            (source, first.get().filter(|_| it.is_flowing()).unwrap_or(now), answer)
        }));
    }

    /// Decides the next step at the time `now`.
    fn next(&mut self, now: Instant) -> NextStep {
        let Clocks { stall, patience, .. } = self.sources.clocks;
        let waits =
            |source: &usize| self.sources.with(*source, |it| it.rests_until).max(self.tries[*source].not_before);
        let is_open = |source: &usize| self.open.iter().any(|(open, _)| open == source);
        let left: Vec<usize> = (0..self.tries.len())
            .filter(|source| self.tries[*source].left > 0 && !is_open(source) && waits(source) <= now + REST_MOST)
            .collect();
        let ready = left.iter().copied().filter(|source| waits(source) <= now).min_by_key(|it| self.sources.rank(*it));
        let later = left.iter().map(waits).filter(|until| *until > now).min();
        // Until when all sources that were asked have been silent for long enough.
        let silent = |since: Instant, span: Duration, source: usize| {
            self.sources.with(source, |it| if it.is_slow { since } else { it.heard.max(since) + span })
        };
        let next = self.open.iter().map(|(source, since)| silent(*since, stall, *source)).max();
        match (next, ready, later) {
            (None, Some(source), _) => NextStep::Ask(source),
            (None, None, Some(later)) => NextStep::Wait(later),
            (None, None, None) => NextStep::GiveUp,
            (Some(next), ..) if next > now => NextStep::Wait(next),
            (Some(_), Some(source), _) => {
                self.are_late();
                NextStep::Ask(source)
            }
            (Some(_), None, later) => {
                let heard = |(source, since): &(usize, Instant)| {
                    let heard = self.sources.with(*source, |it| it.heard.max(*since));
                    (heard + patience.max(stall)).min(*since + ANSWER_MOST)
                };
                let end = self.open.iter().map(heard).max().expect("a source is asked").max(later.unwrap_or(now));
                if end > now {
                    return NextStep::Wait(later.map_or(end, |later| later.min(end)));
                }
                self.are_late();
                let open = std::mem::take(&mut self.open);
                self.misses.extend(open.into_iter().map(|(source, _)| (source, Miss::Stalled(patience.max(stall)))));
                NextStep::GiveUp
            }
        }
    }

    /// Counts the silence of the sources that are asked, once.
    fn are_late(&mut self) {
        for (source, _) in &self.open {
            if !std::mem::replace(&mut self.tries[*source].is_late, true) {
                self.sources.with(*source, |it| it.misses += 1);
            }
        }
    }

    /// Takes note of an answer; the block, when it is one.
    fn answered(&mut self, source: usize, answer: Result<Vec<u8>, Miss>) -> Option<Vec<u8>> {
        self.open.retain(|(open, _)| *open != source);
        let (now, tries) = (Instant::now(), &mut self.tries[source]);
        let miss = match answer {
            Ok(block) => {
                self.sources.with(source, |it| (it.misses, it.has_delivered) = (0, true));
                let mut used = self.sources.used.borrow_mut();
                if !used.contains(&source) {
                    used.push(source);
                }
                return Some(block);
            }
            Err(miss) => miss,
        };
        let has_delivered = self.sources.with(source, |it| it.has_delivered);
        let most = match &miss {
            Miss::Busy(..) | Miss::Broken(_) => TRIES,
            Miss::Unreachable(_) | Miss::Stalled(_) if has_delivered => TRIES,
            Miss::Unreachable(_) | Miss::Corrupt(_) => TRIES_IN_VAIN,
            _ => 0,
        };
        let done = TRIES - tries.left + 1;
        tries.left = (most.saturating_sub(done)).min(tries.left - 1);
        tries.not_before = now + BACKOFF * 2_u32.pow(done.min(8) - 1);
        if let Miss::Busy(_, rest) = &miss {
            self.rests(source, *rest, now);
        } else if !std::mem::replace(&mut self.tries[source].is_late, false) {
            self.sources.with(source, |it| it.misses += 1);
        }
        if matches!(miss, Miss::Corrupt(_)) {
            self.sources.with(source, |it| it.has_lied = true);
        }
        // Of several tries the last one is told.
        self.misses.retain(|(other, _)| *other != source);
        self.misses.push((source, miss));
        None
    }

    fn rests(&self, source: usize, rest: Duration, now: Instant) {
        let is_news = self.sources.with(source, |it| {
            it.refusals += 1;
            let is_news = it.rests_until <= now;
            it.rests_until = it.rests_until.max(now + rest);
            is_news
        });
        if is_news && rest >= Duration::from_secs(5) && self.tries[source].left > 0 && rest <= REST_MOST {
            self.sources.listener.waits(&format!(
                "{} has no time, and is asked again in {} s",
                self.sources.list[source].label(),
                rest.as_secs()
            ));
        }
    }
}

#[cfg(test)]
#[path = "block_sources_tests.rs"]
pub(super) mod tests;
