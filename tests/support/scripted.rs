//! A source whose behaviour follows from a seed, on the runtime's paused clock: no socket, no thread, no wall
//! clock.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use pkgswarm::base::miss::Miss;
use pkgswarm::dag::proof::Leaves;
use pkgswarm::engine::race::Roots;
use pkgswarm::engine::source::{FetchRequest, Local, Source, SourceAnswer, SourceKind};
use tokio::time::sleep;

/// SplitMix64 (Steele, Lea, Flood 2014): every seed gives another course of events, and always the same one.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// True in `chance` of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }

    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[(self.roll() % all.len() as u64) as usize].clone()
    }

    /// Returns noise of this length.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.roll().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// The fault of one answer.
#[derive(Clone, Debug)]
pub enum Fault {
    None,
    Absent,
    Unreachable,
    Busy,
    Broken,
    WrongSize,
    /// Never answers.
    Hangs,
    /// Starts at another offset than the requested one.
    StartsElsewhere,
    /// After so many bytes: an error, with or without a text in the body before it.
    Cut(u64, bool),
    /// After so many bytes: a clean end.
    EndsEarly(u64),
    /// After so many bytes: silence for ever.
    Stalls(u64),
    /// After so many bytes: silence for so long, then on.
    Pauses(u64, Duration),
    /// Sends one byte each time, after so long.
    Drips(Duration),
    /// Goes on after the end of the file.
    SendsMore,
}

/// The behaviour of one source.
#[derive(Clone, Debug)]
pub struct Manner {
    pub kind: SourceKind,
    pub latency: Duration,
    /// Bytes a second.
    pub rate: u64,
    pub piece: u64,
    pub ignores_range: bool,
    /// The faults of its answers, one after the other; the last one holds for all later ones.
    pub faults: Vec<Fault>,
}

/// A source that serves `bytes` with its behaviour.
pub struct Scripted {
    pub name: usize,
    pub bytes: Rc<Vec<u8>>,
    pub manner: Manner,
    pub opened: Cell<usize>,
    /// Bytes that were sent.
    pub sent: Rc<Cell<u64>>,
}

impl Scripted {
    async fn answer(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        let count = self.opened.replace(self.opened.get() + 1);
        let fault = self.manner.faults[count.min(self.manner.faults.len() - 1)].clone();
        sleep(self.manner.latency).await;
        match fault {
            Fault::Absent => return Err(Miss::Absent("HTTP 404".to_owned())),
            Fault::Unreachable => return Err(Miss::Unreachable("refused".to_owned())),
            Fault::Busy => return Err(Miss::Busy("HTTP 503".to_owned(), Duration::from_secs(60))),
            Fault::Broken => return Err(Miss::Broken("HTTP 500".to_owned())),
            Fault::WrongSize => return Err(Miss::Corrupt("has 7 bytes".to_owned())),
            Fault::Hangs => std::future::pending().await,
            _ => {}
        }
        let size = self.bytes.len() as u64;
        let start = match fault {
            Fault::StartsElsewhere => question.from + 1,
            _ if self.manner.ignores_range => 0,
            _ => question.from,
        };
        let end = if start == 0 { size } else { question.until.unwrap_or(size).min(size) };
        let body = stream::unfold((start.min(size), 0, false), move |(at, sent, over)| {
            let fault = fault.clone();
            async move { if over { None } else { self.piece(at, sent, end, &fault).await } }
        });
        Ok(SourceAnswer::Bytes { start, size: Some(size), modified: None, body: body.boxed_local() })
    }

    /// Returns the next piece, and the state after it: offset, bytes sent in this answer, true if it is over.
    async fn piece(
        &self,
        at: u64,
        sent: u64,
        end: u64,
        fault: &Fault,
    ) -> Option<(Result<Bytes, Miss>, (u64, u64, bool))> {
        let limit = match fault {
            Fault::Cut(limit, _) | Fault::EndsEarly(limit) | Fault::Stalls(limit) | Fault::Pauses(limit, _) => *limit,
            _ => u64::MAX,
        };
        if sent >= limit {
            match fault {
                Fault::Cut(_, true) => {
                    return Some((Ok(Bytes::from_static(b"[Gateway Error: truncated]")), (at, u64::MAX, false)))
                        .filter(|_| sent < u64::MAX)
                        .or_else(|| Some((Err(Miss::Broken("reset".to_owned())), (at, sent, true))));
                }
                Fault::Cut(_, false) => return Some((Err(Miss::Broken("reset".to_owned())), (at, sent, true))),
                Fault::EndsEarly(_) => return None,
                Fault::Stalls(_) => std::future::pending().await,
                // Once: afterwards fewer bytes were sent than the limit for a long time.
                Fault::Pauses(_, pause) if sent < u64::MAX / 2 => sleep(*pause).await,
                _ => {}
            }
        }
        if at >= end {
            let more = matches!(fault, Fault::SendsMore) && end == self.bytes.len() as u64 && sent < u64::MAX / 2;
            return more.then(|| (Ok(Bytes::from_static(b"and more")), (at, u64::MAX / 2, false)));
        }
        let paused = matches!(fault, Fault::Pauses(..)) && sent >= limit;
        let room = if sent < limit { limit - sent } else { u64::MAX };
        let (len, takes) = match fault {
            Fault::Drips(each) => (1, *each),
            _ => {
                let len = self.manner.piece.min(end - at).min(room);
                (len, Duration::from_secs_f64(len as f64 / self.manner.rate as f64))
            }
        };
        sleep(takes).await;
        self.sent.set(self.sent.get() + len);
        let bytes = Bytes::copy_from_slice(&self.bytes[at as usize..(at + len) as usize]);
        let sent = if paused { u64::MAX / 2 } else { sent + len };
        Some((Ok(bytes), (at + len, sent, false)))
    }
}

impl Source for Scripted {
    fn kind(&self) -> SourceKind {
        self.manner.kind
    }
    fn location(&self) -> String {
        format!("source {}", self.name)
    }
    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.answer(question).boxed_local()
    }
}

/// Leaves that come after a while, or not.
pub struct ScriptedRoot {
    pub leaves: Option<Arc<Leaves>>,
    pub after: Duration,
}

impl Roots for ScriptedRoot {
    fn leaves(&self) -> Local<'_, Option<Arc<Leaves>>> {
        async move {
            sleep(self.after).await;
            self.leaves.clone()
        }
        .boxed_local()
    }
}
