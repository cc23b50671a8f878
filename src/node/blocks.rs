//! Fetches single blocks from any peer that has them, for callers that walk a DAG themselves to prove it and read
//! its nodes.
//!
//! The peer that had the last block is asked for the next one at once; all peers are asked only if it does not
//! have that. Silence counts, not duration: over a slow line a block takes long, and an answer waits behind the
//! blocks that come, or that the peer is about to send.

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::base::cid::Cid;
use crate::node::bitswap::{Bitswap, BlockAnswer, PeerEvent};
use crate::node::clocks::{GIVE_UP, HEDGE, LONGEST, SEARCH, TICK};
use crate::node::message::{WantEntry, WantKind};

/// The reason why a block did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BlockMiss {
    /// No connected peer has it: each said so, or none is connected.
    Absent,
    /// A peer that may have it did not answer in time. Asking again may help.
    Late,
}

/// The peers that are asked for a block, and the time that they have to say that they have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SearchPatience {
    /// Those that were not late recently, a quarter of a second: other sources can be asked.
    Brief,
    /// All, seconds: there is no other source, and a busy line delays an answer.
    Patient,
}

/// A sequence of block fetches that belong together.
pub(crate) struct BlockFetch {
    bitswap: Bitswap,
    /// The peer that had the last block.
    last: Option<PeerId>,
}

impl BlockFetch {
    /// Fetches from the peers of `bitswap`.
    pub(crate) fn new(bitswap: Bitswap) -> Self {
        Self { bitswap, last: None }
    }

    /// Returns the block `cid`, its digest checked. `coming` is called again and again while the peer
    /// that was asked for it is sending.
    ///
    /// # Errors
    /// [`BlockMiss`].
    pub(crate) async fn get(
        &mut self,
        cid: Cid,
        patience: SearchPatience,
        coming: impl FnMut(),
    ) -> Result<Bytes, BlockMiss> {
        let (tell, told) = mpsc::unbounded_channel();
        let mut search = BlockSearch {
            bitswap: &self.bitswap,
            cid,
            patience,
            tell,
            asked: Vec::new(),
            has: Vec::new(),
            without: Vec::new(),
            is_late: false,
            of: None,
            all_asked: None,
        };
        let (peer, block) = search.run(told, self.last, coming).await?;
        drop(search);
        self.last = Some(peer);
        Ok(block)
    }
}

/// The search for one block. All its wants are cancelled on drop.
struct BlockSearch<'a> {
    bitswap: &'a Bitswap,
    cid: Cid,
    patience: SearchPatience,
    tell: mpsc::UnboundedSender<PeerEvent>,
    /// Peers that were asked anything and have not said no.
    asked: Vec<PeerId>,
    /// Peers that said that they have it, and were not asked for the block yet.
    has: Vec<PeerId>,
    /// Peers that said no, or have gone.
    without: Vec<PeerId>,
    /// True once a peer was left that had not said no.
    is_late: bool,
    /// The peer that was asked for the block last, and when.
    of: Option<(PeerId, Instant)>,
    /// The time when all peers were asked.
    all_asked: Option<Instant>,
}

impl BlockSearch<'_> {
    async fn run(
        &mut self,
        mut told: mpsc::UnboundedReceiver<PeerEvent>,
        last: Option<PeerId>,
        mut coming: impl FnMut(),
    ) -> Result<(PeerId, Bytes), BlockMiss> {
        let begun = Instant::now();
        let mut heard = begun;
        let mut tick = tokio::time::interval(TICK);
        if let Some(peer) = last.filter(|peer| self.peers().contains(peer)) {
            self.want_of(peer);
        }
        loop {
            if self.of.is_none() {
                match (self.has.pop(), self.all_asked) {
                    (Some(peer), _) => self.want_of(peer),
                    (None, None) => self.ask_all(),
                    (None, Some(_)) if self.asked.is_empty() => {
                        let is_without = |peer| self.without.contains(peer);
                        let is_absent = self.bitswap.connected_peers().iter().all(is_without);
                        return Err(if is_absent && !self.is_late { BlockMiss::Absent } else { BlockMiss::Late });
                    }
                    (None, Some(since)) if since.elapsed() >= self.limit() && !self.answers_may_wait() => {
                        self.asked.iter().for_each(|silent| self.bitswap.shun(*silent));
                        return Err(BlockMiss::Late);
                    }
                    (None, Some(_)) => {}
                }
            }
            tokio::select! {
                biased;
                Some((peer, _, answer)) = told.recv() => match answer {
                    BlockAnswer::Block(block) => return Ok((peer, block)),
                    BlockAnswer::Have => self.is_with(peer),
                    BlockAnswer::Absent | BlockAnswer::Gone => self.is_without(peer),
                },
                _ = tick.tick() => {
                    if self.asked.iter().any(|peer| self.bitswap.is_sending(*peer)) {
                        heard = Instant::now();
                    }
                    if self.of.is_some_and(|(of, _)| self.bitswap.is_sending(of)) {
                        coming();
                    }
                    self.overtake();
                }
            }
            if heard.elapsed() >= GIVE_UP || begun.elapsed() >= LONGEST {
                return Err(BlockMiss::Late);
            }
        }
    }

    /// True if the answer of a peer may wait behind bytes of this block or of others.
    fn answers_may_wait(&self) -> bool {
        self.asked.iter().any(|peer| self.bitswap.answers_may_wait(*peer))
    }

    /// Returns the peers to ask.
    fn peers(&self) -> Vec<PeerId> {
        match self.patience {
            SearchPatience::Brief => self.bitswap.worth_asking(),
            SearchPatience::Patient => self.bitswap.connected_peers(),
        }
    }

    /// Returns the most time for peers to say that they have it.
    fn limit(&self) -> Duration {
        match self.patience {
            SearchPatience::Brief => SEARCH,
            SearchPatience::Patient => GIVE_UP,
        }
    }

    fn ask_all(&mut self) {
        self.all_asked = Some(Instant::now());
        for peer in self.peers() {
            if !self.asked.contains(&peer) && !self.without.contains(&peer) {
                self.asked.push(peer);
                self.bitswap.ask(peer, WantEntry::new(self.cid, WantKind::Have), &self.tell);
            }
        }
    }

    fn want_of(&mut self, peer: PeerId) {
        if !self.asked.contains(&peer) {
            self.asked.push(peer);
        }
        self.of = Some((peer, Instant::now()));
        self.bitswap.ask(peer, WantEntry::new(self.cid, WantKind::Block), &self.tell);
    }

    /// Records that a peer has the block. The peer may repeat that.
    fn is_with(&mut self, peer: PeerId) {
        if !self.has.contains(&peer) && self.of.is_none_or(|(of, _)| of != peer) {
            self.has.push(peer);
        }
    }

    fn is_without(&mut self, peer: PeerId) {
        self.bitswap.cancel(peer, WantEntry::new(self.cid, WantKind::Block), &self.tell);
        self.asked.retain(|other| *other != peer);
        self.has.retain(|other| *other != peer);
        self.without.push(peer);
        if self.of.is_some_and(|(of, _)| of == peer) {
            self.of = None;
        }
    }

    /// Asks another peer as well when a block does not come, and leaves a peer that sends nothing at all, unless there is
    /// no other source.
    fn overtake(&mut self) {
        let Some((peer, since)) = self.of else { return };
        if !HEDGE.is_due(since.elapsed(), self.bitswap.is_sending(peer)) {
            return;
        }
        if self.all_asked.is_none() {
            self.ask_all();
        } else if let Some(next) = self.has.pop() {
            self.want_of(next);
        } else if self.patience == SearchPatience::Brief && !self.bitswap.is_stirring(peer) {
            self.is_late = true;
            self.bitswap.shun(peer);
            self.is_without(peer);
        }
    }
}

impl Drop for BlockSearch<'_> {
    fn drop(&mut self) {
        for peer in &self.asked {
            self.bitswap.cancel(*peer, WantEntry::new(self.cid, WantKind::Block), &self.tell);
        }
    }
}
