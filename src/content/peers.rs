//! The choice of the places to ask for single blocks: one after the other, the next one as well when all that were
//! asked are silent.
//!
//! Silence counts, not duration: a place from which bytes of any block come is not silent, however long one block
//! takes. A place that missed the first block it was asked for, or two in a row, is asked last. One that breaks
//! off or is busy is asked again a few times, as late as it says.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::cid::Cid;
use crate::report;
use crate::source::{Local, Miss};

/// Requests to one place for one block, where it breaks off or is busy.
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

/// A place that may have single blocks.
pub(super) trait BlockPlace {
    /// Returns its name in the line of a delivered file.
    fn label(&self) -> String;
    /// Returns its name where it failed.
    fn line(&self, miss: &Miss) -> String;
    /// Returns true when bytes come here as it gets them; else a block comes whole, once it has it.
    fn is_flowing(&self) -> bool;
    /// The block, proven. `moved` is told how many bytes have come, each time some do; 0 when they come to the place.
    fn block<'a>(&'a self, cid: Cid, moved: &'a dyn Fn(u64)) -> Local<'a, Result<Vec<u8>, Miss>>;
}

/// The clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// Silence of all who were asked after which the next one is asked as well, and the time over which a rate is measured.
    pub stall: Duration,
    /// Silence of all who were asked after which a block is given up, when no other place is left.
    pub patience: Duration,
    /// Bytes a second below which a place counts as silent as long as another one can be asked.
    pub floor: u64,
}

/// A block, and when its first byte came, as far as that could be seen.
#[derive(Debug)]
pub(super) struct Came {
    /// Its bytes.
    pub block: Vec<u8>,
    /// When it began to come; when it was asked for where that does not show.
    pub begun: Instant,
}

/// The reasons why a block came from no place, by index of the place.
pub(super) type Misses = Vec<(usize, Miss)>;

/// The places to ask, gateways among them, and the standing of each.
pub(super) struct Peers<P> {
    pub list: Vec<P>,
    clocks: Clocks,
    standings: RefCell<Vec<PlaceStanding>>,
    /// The places that have delivered, in the order of their first block.
    used: RefCell<Vec<usize>>,
}

/// The record of one place.
struct PlaceStanding {
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

impl<P: BlockPlace> Peers<P> {
    /// Takes the places in the order in which they are asked.
    pub(super) fn new(list: Vec<P>, clocks: Clocks) -> Self {
        let now = Instant::now();
        let standing = || PlaceStanding {
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
        Self { list, clocks, standings, used: RefCell::default() }
    }

    /// Returns the places that have delivered, in the order of their first block.
    pub(super) fn used(&self) -> Vec<usize> {
        self.used.borrow().clone()
    }

    /// Counts the answers of places that they are busy.
    pub(super) fn refusals(&self) -> u32 {
        self.standings.borrow().iter().map(|standing| standing.refusals).sum()
    }

    /// One block from the first who delivers it.
    pub(super) async fn block(&self, cid: Cid) -> Result<Came, Misses> {
        if let Some(block) = cid.inline() {
            return Ok(Came { block: block.to_vec(), begun: Instant::now() });
        }
        let tries =
            self.list.iter().map(|_| TriesLeft { left: TRIES, not_before: Instant::now(), is_late: false }).collect();
        let mut hunt = BlockHunt {
            peers: self,
            cid,
            tries,
            misses: Vec::new(),
            open: Vec::new(),
            coming: FuturesUnordered::new(),
        };
        loop {
            match hunt.next(Instant::now()) {
                NextStep::Ask(place) => hunt.ask(place),
                NextStep::Wait(until) => tokio::select! {
                    biased;
                    Some((place, begun, answer)) = hunt.coming.next(), if !hunt.coming.is_empty() => {
                        if let Some(block) = hunt.answered(place, answer) {
                            return Ok(Came { block, begun });
                        }
                    }
                    () = tokio::time::sleep_until(until) => {}
                },
                NextStep::GiveUp => return Err(hunt.misses),
            }
        }
    }

    fn with<T>(&self, place: usize, change: impl FnOnce(&mut PlaceStanding) -> T) -> T {
        change(&mut self.standings.borrow_mut()[place])
    }

    /// Bytes came from it, or come to it.
    fn moved(&self, place: usize, bytes: u64) {
        let (now, Clocks { stall, floor, .. }) = (Instant::now(), self.clocks);
        self.with(place, |it| {
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
    fn opened(&self, place: usize) -> OpenQuestion<'_, P> {
        let now = Instant::now();
        self.with(place, |it| {
            if it.open == 0 {
                (it.heard, it.window, it.is_slow) = (now, (now, it.bytes), false);
            }
            it.open += 1;
        });
        OpenQuestion { peers: self, place }
    }

    /// In which order it is asked.
    fn rank(&self, place: usize) -> (bool, bool, usize) {
        self.with(place, |it| (it.has_lied, it.misses >= 2 || (it.misses == 1 && !it.has_delivered), place))
    }
}

/// Counts a question as open until it is dropped.
struct OpenQuestion<'a, P: BlockPlace> {
    peers: &'a Peers<P>,
    place: usize,
}

impl<P: BlockPlace> Drop for OpenQuestion<'_, P> {
    fn drop(&mut self) {
        self.peers.with(self.place, |it| it.open -= 1);
    }
}

/// The tries that one place has left for one block.
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

/// An answer: the place, when its first byte came, and the block.
type Said = (usize, Instant, Result<Vec<u8>, Miss>);

/// The search for one block.
struct BlockHunt<'a, P: BlockPlace> {
    peers: &'a Peers<P>,
    cid: Cid,
    tries: Vec<TriesLeft>,
    misses: Misses,
    /// The places that are being asked, and since when.
    open: Vec<(usize, Instant)>,
    coming: FuturesUnordered<Local<'a, Said>>,
}

impl<'a, P: BlockPlace> BlockHunt<'a, P> {
    fn ask(&mut self, place: usize) {
        let now = Instant::now();
        self.open.push((place, now));
        let (peers, cid) = (self.peers, self.cid);
        self.coming.push(Box::pin(async move {
            let _open = peers.opened(place);
            let first = std::cell::Cell::new(None);
            let moved = |bytes: u64| {
                peers.moved(place, bytes);
                first.set(first.get().or(Some(Instant::now())));
            };
            let it = &peers.list[place];
            let answer = it.block(cid, &moved).await;
            (place, first.get().filter(|_| it.is_flowing()).unwrap_or(now), answer)
        }));
    }

    /// Decides the next step at the time `now`.
    fn next(&mut self, now: Instant) -> NextStep {
        let Clocks { stall, patience, .. } = self.peers.clocks;
        let waits = |place: &usize| self.peers.with(*place, |it| it.rests_until).max(self.tries[*place].not_before);
        let is_open = |place: &usize| self.open.iter().any(|(open, _)| open == place);
        let left: Vec<usize> = (0..self.tries.len())
            .filter(|place| self.tries[*place].left > 0 && !is_open(place) && waits(place) <= now + REST_MOST)
            .collect();
        let ready = left.iter().copied().filter(|place| waits(place) <= now).min_by_key(|it| self.peers.rank(*it));
        let later = left.iter().map(waits).filter(|until| *until > now).min();
        // Until when all who were asked have been silent for long enough.
        let silent = |since: Instant, span: Duration, place: usize| {
            self.peers.with(place, |it| if it.is_slow { since } else { it.heard.max(since) + span })
        };
        let next = self.open.iter().map(|(place, since)| silent(*since, stall, *place)).max();
        match (next, ready, later) {
            (None, Some(place), _) => NextStep::Ask(place),
            (None, None, Some(later)) => NextStep::Wait(later),
            (None, None, None) => NextStep::GiveUp,
            (Some(next), ..) if next > now => NextStep::Wait(next),
            (Some(_), Some(place), _) => {
                self.are_late();
                NextStep::Ask(place)
            }
            (Some(_), None, later) => {
                let heard = |(place, since): &(usize, Instant)| {
                    let heard = self.peers.with(*place, |it| it.heard.max(*since));
                    (heard + patience.max(stall)).min(*since + ANSWER_MOST)
                };
                let end = self.open.iter().map(heard).max().expect("a place is asked").max(later.unwrap_or(now));
                if end > now {
                    return NextStep::Wait(later.map_or(end, |later| later.min(end)));
                }
                self.are_late();
                let open = std::mem::take(&mut self.open);
                self.misses.extend(open.into_iter().map(|(place, _)| (place, Miss::Stalled(patience.max(stall)))));
                NextStep::GiveUp
            }
        }
    }

    /// Counts the silence of who is asked, once.
    fn are_late(&mut self) {
        for (place, _) in &self.open {
            if !std::mem::replace(&mut self.tries[*place].is_late, true) {
                self.peers.with(*place, |it| it.misses += 1);
            }
        }
    }

    /// Takes note of an answer; the block, when it is one.
    fn answered(&mut self, place: usize, answer: Result<Vec<u8>, Miss>) -> Option<Vec<u8>> {
        self.open.retain(|(open, _)| *open != place);
        let (now, tries) = (Instant::now(), &mut self.tries[place]);
        let miss = match answer {
            Ok(block) => {
                self.peers.with(place, |it| (it.misses, it.has_delivered) = (0, true));
                let mut used = self.peers.used.borrow_mut();
                if !used.contains(&place) {
                    used.push(place);
                }
                return Some(block);
            }
            Err(miss) => miss,
        };
        let has_delivered = self.peers.with(place, |it| it.has_delivered);
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
            self.rests(place, *rest, now);
        } else if !std::mem::replace(&mut self.tries[place].is_late, false) {
            self.peers.with(place, |it| it.misses += 1);
        }
        if matches!(miss, Miss::Corrupt(_)) {
            self.peers.with(place, |it| it.has_lied = true);
        }
        // Of several tries the last one is told.
        self.misses.retain(|(other, _)| *other != place);
        self.misses.push((place, miss));
        None
    }

    fn rests(&self, place: usize, rest: Duration, now: Instant) {
        let is_news = self.peers.with(place, |it| {
            it.refusals += 1;
            let is_news = it.rests_until <= now;
            it.rests_until = it.rests_until.max(now + rest);
            is_news
        });
        if is_news && rest >= Duration::from_secs(5) && self.tries[place].left > 0 && rest <= REST_MOST {
            report::say(&format!(
                "{} has no time, and is asked again in {} s",
                self.peers.list[place].label(),
                rest.as_secs()
            ));
        }
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
pub(super) mod tests;
