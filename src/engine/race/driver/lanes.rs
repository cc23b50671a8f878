//! The open lanes of a race: which source each one asks, and what is still to come from it.

use std::collections::HashMap;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::engine::source::{Body, Local, Miss, SourceAnswer};

/// The open lanes.
pub(super) struct RaceLanes<'r> {
    /// By the board's numbers.
    pub(super) open: HashMap<u32, OpenLane>,
    /// Pending events: one answer or one piece of a body for each lane.
    pub(super) coming: FuturesUnordered<Abortable<Local<'r, LaneEvent<'r>>>>,
    /// The source that was heard last.
    pub(super) last: Option<usize>,
}

/// An open lane.
pub(super) struct OpenLane {
    pub(super) source: usize,
    stop: AbortHandle,
    /// The date that its answer gave.
    pub(super) modified: Option<SystemTime>,
}

/// An event of a source.
pub(super) enum LaneAnswer<'r> {
    Answer(Result<SourceAnswer<'r>, Miss>),
    Piece(Option<Result<Bytes, Miss>>, Body<'r>),
}

/// The number of the lane, and its event.
pub(super) type LaneEvent<'r> = (u32, LaneAnswer<'r>);

impl<'r> RaceLanes<'r> {
    /// Opens none yet.
    pub(super) fn new() -> Self {
        Self { open: HashMap::new(), coming: FuturesUnordered::new(), last: None }
    }

    /// Opens a lane, and waits for the `answer` of its source.
    pub(super) fn ask(&mut self, lane: u32, source: usize, answer: Local<'r, Result<SourceAnswer<'r>, Miss>>) {
        let (stop, stopped) = AbortHandle::new_pair();
        self.open.insert(lane, OpenLane { source, stop, modified: None });
        let said = answer.map(move |answer| (lane, LaneAnswer::Answer(answer))).boxed_local();
        self.coming.push(Abortable::new(said, stopped));
    }

    /// Waits for the next piece of this body.
    pub(super) fn listen(&mut self, lane: u32, body: Body<'r>) {
        let Some(open) = self.open.get_mut(&lane) else { return };
        let (stop, stopped) = AbortHandle::new_pair();
        open.stop = stop;
        let said = body.into_future().map(move |(piece, body)| (lane, LaneAnswer::Piece(piece, body))).boxed_local();
        self.coming.push(Abortable::new(said, stopped));
    }

    /// Closes the lanes that are not wanted any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(u32) -> bool) {
        self.open.retain(|lane, open| {
            let is_wanted = is_wanted(*lane);
            if !is_wanted {
                open.stop.abort();
            }
            is_wanted
        });
    }

    /// Returns the source of an open lane.
    pub(super) fn source(&self, lane: u32) -> Option<usize> {
        self.open.get(&lane).map(|open| open.source)
    }
}
