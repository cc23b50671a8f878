//! Carries out the board's moves: asks sources, listens to them, writes their bytes, and has the end judged.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Aborted, Fuse, FusedFuture as _, FutureExt as _};
use futures_util::stream::StreamExt as _;
use tokio::time::Instant;

use crate::dag::proof::Leaves;
use crate::engine::race::board::{Board, Move, Take, Time};
use crate::engine::race::sheet::Sheet;
use crate::engine::race::trial::Trial;
use crate::engine::race::{Log, Race, RaceOutcome, RaceSource};
use crate::engine::source::{Body, FetchRequest, Local, Miss, SourceAnswer, SourceKind};

mod early;
mod lanes;
mod verdict;

use early::EarlyLeaves;
use lanes::{LaneAnswer, RaceLanes};

/// Bytes that are distrusted at the end of a broken stream of Kubo's when no leaves are known: the error text that
/// it writes into the body is about 100 bytes long.
const TAIL: u64 = 64 * 1024;

/// A running race.
pub(super) struct RaceDriver<'r, 'f, 'l> {
    race: &'r Race<'r>,
    board: Board<'l>,
    sheet: Sheet<'f>,
    trial: Trial,
    begun: Instant,
    lanes: RaceLanes<'r>,
    root: PendingRoot<'r>,
    locations: Vec<String>,
}

/// The root block, which is asked for once.
struct PendingRoot<'r> {
    leaves: Fuse<Local<'r, Option<Arc<Leaves>>>>,
    is_asked: bool,
    /// Told to a listener that reads its leaves.
    early: EarlyLeaves,
}

/// The reason why a race ends early.
enum RaceEnd {
    Done(RaceOutcome),
    Failed(io::Error),
}

impl From<io::Error> for RaceEnd {
    fn from(e: io::Error) -> Self {
        RaceEnd::Failed(e)
    }
}

impl<'r, 'f, 'l> RaceDriver<'r, 'f, 'l> {
    /// Takes over the bytes of an earlier run.
    pub(super) fn start(
        race: &'r Race<'_>,
        partial: &'f File,
        have: u64,
        log: &'l mut Log,
    ) -> Result<Self, (&'l mut Log, io::Error)> {
        let sheet = match Sheet::start(partial, have.min(race.expect.most()), race.expect.size()) {
            Ok(sheet) => sheet,
            Err(e) => return Err((log, e)),
        };
        race.progress.asks();
        let standing =
            |RaceSource { source, record }: &RaceSource<'_>| (source.kind(), *record, source.is_last_resort());
        let mut board =
            Board::new(race.pace, race.sources.iter().map(standing), race.expect.size(), sheet.front(), log);
        race.sources.iter().enumerate().for_each(|(i, racing)| board.give(i, racing.source.own_time()));
        Ok(Self {
            race,
            board,
            sheet,
            trial: Trial::default(),
            begun: Instant::now(),
            lanes: RaceLanes::new(),
            root: PendingRoot { leaves: Fuse::terminated(), is_asked: false, early: EarlyLeaves::default() },
            locations: race.sources.iter().map(|racing| racing.source.location()).collect(),
        })
    }

    /// Runs until there is an outcome.
    pub(super) async fn finish(&mut self) -> RaceOutcome {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(RaceEnd::Done(outcome)) => return outcome,
                // This machine cannot write: no other source can help.
                Err(RaceEnd::Failed(e)) => {
                    self.board.log.misses.push((0, Miss::Local(e.to_string())));
                    return RaceOutcome::Lost;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), RaceEnd> {
        match self.board.next(self.now()) {
            Move::Ask { lane, source, from, until } => {
                self.ask(lane, source, from, until);
                Ok(())
            }
            Move::Wait(until) => self.wait(until).await,
            Move::Judge => self.judge().await,
            Move::GiveUp => self.give_up(),
        }
    }

    fn now(&self) -> Time {
        self.begun.elapsed()
    }

    fn ask(&mut self, lane: u32, source: usize, from: u64, until: Option<u64>) {
        // Alone means alone: bytes of other sources are given up.
        if self.board.keeps_apart() && self.sheet.senders(&(0..u64::MAX)).iter().any(|sender| *sender != source) {
            return self.restart();
        }
        let question = FetchRequest { from, until, newer_than: self.race.newer_than };
        self.lanes.ask(lane, source, self.race.sources[source].source.open(question));
    }

    async fn wait(&mut self, until: Time) -> Result<(), RaceEnd> {
        let board = &self.board;
        self.lanes.retain(|lane| board.is_wanted(lane));
        if !self.root.is_asked
            && !board.keeps_apart()
            && (board.wants_leaves() || self.is_mixed() || self.is_read_early())
        {
            self.ask_for_root();
        }
        if self.catch_up()? {
            return Ok(());
        }
        // A year is as good as never, and does not overflow the clock.
        let until = self.begun + until.min(Duration::from_secs(365 * 24 * 3600));
        tokio::select! {
            biased;
            leaves = &mut self.root.leaves, if !self.root.leaves.is_terminated() => self.got_root(leaves),
            heard = self.lanes.coming.next(), if !self.lanes.coming.is_empty() => match heard {
                Some(Ok((lane, LaneAnswer::Answer(answer)))) => self.answered(lane, answer),
                Some(Ok((lane, LaneAnswer::Piece(piece, body)))) => self.arrived(lane, piece, body),
                Some(Err(Aborted)) | None => Ok(()),
            },
            () = tokio::time::sleep_until(until) => Ok(()),
        }
    }

    fn ask_for_root(&mut self) {
        self.root.is_asked = true;
        if let Some(roots) = &self.race.roots {
            self.root.leaves = roots.leaves().fuse();
        }
    }

    fn got_root(&mut self, leaves: Option<Arc<Leaves>>) -> Result<(), RaceEnd> {
        if let Some(leaves) = leaves.filter(|_| !self.board.keeps_apart()) {
            self.trial.begin(leaves);
            self.board.leaves(true);
        }
        Ok(())
    }

    fn answered(&mut self, lane: u32, answer: Result<SourceAnswer<'r>, Miss>) -> Result<(), RaceEnd> {
        let Some(open) = self.lanes.open.get_mut(&lane) else { return Ok(()) };
        let (source, now) = (open.source, self.begun.elapsed());
        match answer {
            Ok(SourceAnswer::Unchanged) => Err(RaceEnd::Done(RaceOutcome::Unchanged(source))),
            Ok(SourceAnswer::Bytes { start, modified, body, .. }) => {
                if let (Some(floor), Some(date)) = (self.race.not_older_than, modified)
                    && date < floor
                {
                    return Err(RaceEnd::Done(RaceOutcome::Older(source, date)));
                }
                open.modified = modified;
                if self.board.answered(lane, start, now) {
                    self.lanes.listen(lane, body);
                }
                Ok(())
            }
            Ok(SourceAnswer::Promised { start, body }) => {
                if self.board.promised(lane, start, now) {
                    self.race.progress.promised(true);
                    self.lanes.listen(lane, body);
                }
                Ok(())
            }
            Err(why) => self.failed(lane, why),
        }
    }

    fn arrived(&mut self, lane: u32, piece: Option<Result<Bytes, Miss>>, mut body: Body<'r>) -> Result<(), RaceEnd> {
        let Some(source) = self.lanes.source(lane) else { return Ok(()) };
        let now = self.now();
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(why)) => return self.failed(lane, why),
            None if self.board.ended(lane, now) => {
                self.lanes.last = Some(source);
                return Ok(());
            }
            None => return self.broke_off(source),
        };
        let (at, skip, len) = match self.board.arrived(lane, piece.len() as u64, now) {
            Take::Late => return Ok(()),
            Take::Write { at, skip, len } if at + len as u64 <= self.race.expect.most() => (at, skip, len),
            Take::Write { .. } | Take::TooMuch => return self.sent_too_much(lane, source),
        };
        if at == 0 && self.race.expect.size().is_none() {
            // Another answer began, which may be another file.
            self.sheet.erase(&(0..u64::MAX));
        }
        self.lanes.last = Some(source);
        self.sheet.add(source, at, piece.slice(skip..skip + len))?;
        self.race.progress.promised(self.board.is_promised());
        self.race.progress.arrived(self.sheet.bytes(), &self.locations[source]);
        if self.is_mixed() || self.is_read_early() {
            self.check(at..at + len as u64)?;
            self.tell_proven();
        }
        let is_last = self.race.expect.size() == Some(at + len as u64);
        // Checks once for bytes beyond the end, without waiting for them.
        if is_last && matches!(body.next().now_or_never(), Some(Some(Ok(more))) if !more.is_empty()) {
            return self.sent_too_much(lane, source);
        }
        self.lanes.listen(lane, body);
        Ok(())
    }

    fn failed(&mut self, lane: u32, why: Miss) -> Result<(), RaceEnd> {
        let Some(source) = self.lanes.source(lane) else { return Ok(()) };
        if let Miss::Local(why) = why {
            return Err(RaceEnd::Failed(io::Error::other(why)));
        }
        let is_wrong = matches!(why, Miss::Corrupt(_));
        self.board.failed(lane, why, self.now());
        self.race.progress.promised(self.board.is_promised());
        if is_wrong { self.erase_of(source) } else { self.broke_off(source) }
    }

    /// Handles a source that stopped before the end. Its last bytes may be an error text.
    fn broke_off(&mut self, source: usize) -> Result<(), RaceEnd> {
        if self.race.expect.size().is_none() {
            // The next source may have another file.
            self.restart();
            return Ok(());
        }
        let last = self.sheet.parts_of(source).last();
        if let Some(last) = last.filter(|_| self.race.sources[source].source.kind() == SourceKind::Kubo) {
            let tail = last.start.max(last.end.saturating_sub(TAIL))..last.end;
            // A source that breaks off is not accused of its last bytes.
            drop(self.trial.look(&self.sheet, tail.clone())?);
            for doubtful in self.trial.doubtful(tail) {
                self.erase(doubtful.start.max(last.start)..doubtful.end.min(last.end));
            }
        }
        Ok(())
    }

    fn sent_too_much(&mut self, lane: u32, source: usize) -> Result<(), RaceEnd> {
        let why = Miss::Corrupt(format!("sends more than {} bytes", self.race.expect.most()));
        if self.board.is_wanted(lane) {
            self.board.failed(lane, why, self.now());
        } else {
            self.board.exclude(source, why, self.now());
        }
        self.board.log.liars.push(source);
        self.erase_of(source)
    }

    fn erase_of(&mut self, source: usize) -> Result<(), RaceEnd> {
        if self.race.expect.size().is_none() {
            self.restart();
        }
        let theirs: Vec<Range<u64>> = self.sheet.parts_of(source).collect();
        theirs.into_iter().for_each(|range| self.erase(range));
        Ok(())
    }

    fn erase(&mut self, range: Range<u64>) {
        // What a listener may be reading is proven.
        let range = range.start.max(self.root.early.told)..range.end;
        if range.is_empty() {
            return;
        }
        self.sheet.erase(&range);
        self.trial.forget(&range);
        self.board.missing(range);
    }

    fn restart(&mut self) {
        self.withdraw();
        self.sheet.erase(&(0..u64::MAX));
        self.trial.forget(&(0..u64::MAX));
        self.board.restart(self.now());
    }

    /// True if bytes of several senders are here: then leaves are checked as they come.
    fn is_mixed(&self) -> bool {
        self.sheet.is_mixed()
    }

    /// Checks the leaves that may have become complete in `range`. Returns whether any was wrong.
    fn check(&mut self, range: Range<u64>) -> Result<bool, RaceEnd> {
        let wrong = self.trial.check(&self.sheet, range)?;
        let now = self.now();
        for leaf in &wrong {
            if let Some(sender) = leaf.sender {
                self.board.accuse(sender, now);
            }
            self.erase(leaf.range.clone());
        }
        Ok(!wrong.is_empty())
    }
}
