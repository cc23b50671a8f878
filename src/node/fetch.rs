//! Fetches one file from peers, block by block, in the order of its content: the part received so far is a growing
//! prefix.
//!
//! Several peers serve one file at once. A block that does not come is asked of another peer; an unrequested one,
//! for example a wrong one, never gets here. Memory is bounded by the blocks that are asked for ahead.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::ordered::Ordered;
use crate::dag::DagError;
use crate::dag::walk::Walk;
use crate::engine::source::window::RequestWindow;
use crate::node::bitswap::{Bitswap, BlockAnswer, PeerEvent};
use crate::node::clocks::{GIVE_UP, HEDGE, LONGEST, SEARCH, TICK};
use crate::node::message::{WantEntry, WantKind};
use crate::trust::verify::Verifier;

#[cfg(test)]
mod tests;

/// Most blocks that are asked of one peer at a time; fewer where its line is slow. With 8 and 16 a peer delivers
/// 460 to 600 MB/s, with 1 it is a third less.
const WINDOW: usize = 16;

/// Blocks that are requested or kept ahead of the first missing one, by all transfers together; each has at least
/// two.
const WANTED_MOST: usize = 48;

/// Time in which the blocks that are asked of one peer at once are expected.
const SPAN: Duration = Duration::from_secs(3);

/// Interval between notes that a block is coming.
const STILL: Duration = Duration::from_secs(1);

/// The reason why a file did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No connected peer has it, or none answers in time.
    #[error("no peer has it")]
    Absent,
    /// A peer had it, and nothing came for seconds.
    #[error("peers stopped sending at byte {0}")]
    Stalled(u64),
    /// The CID is not of such a file.
    #[error("{0}")]
    Content(DagError),
    /// The file could not be written.
    #[error("{0}")]
    Local(#[from] io::Error),
}

/// The progress of a transfer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TransferProgress {
    /// Bytes received so far, from the beginning; proven by the requested root.
    pub(crate) bytes: u64,
    /// Peers that have sent any of them, in no order.
    pub(crate) senders: Vec<PeerId>,
}

/// A file in transfer.
pub(crate) struct Arriving {
    walk: Walk,
    file: File,
    verifier: Verifier,
}

impl Arriving {
    /// Begins a transfer of the file `root`, of at most `most` bytes, to be written to `file` from its beginning.
    pub(crate) fn new(root: Cid, most: u64, file: File) -> Self {
        Self { walk: Walk::new(root, most), file, verifier: Verifier::new() }
    }

    /// Ends the transfer and returns the hash of all bytes.
    pub(crate) fn into_verifier(self) -> Verifier {
        self.verifier
    }

    fn push(&mut self, block: &[u8]) -> Result<(), FetchError> {
        let bytes = self.walk.push(block).map_err(FetchError::Content)?;
        self.file.write_all_at(&bytes, self.verifier.size())?;
        self.verifier.update(&bytes);
        Ok(())
    }
}

/// Fetches the file that `arriving` begins, from the peers `among`, and returns it whole. Its blocks are proven by
/// the root. Peers that connect meanwhile are not asked. Dropping the future ends the transfer; a write that is
/// under way then empties the file.
///
/// # Errors
/// [`FetchError`]; after `Absent` and `Stalled` other peers may have it later.
pub(crate) async fn fetch(
    bitswap: &Bitswap,
    arriving: Arriving,
    among: &[PeerId],
    progress: &watch::Sender<TransferProgress>,
) -> Result<Arriving, FetchError> {
    let root = arriving.walk.next_cid().expect("a new walk wants its root");
    let (tell, told) = mpsc::unbounded_channel();
    bitswap.transfer_begins();
    let mut transfer = BlockTransfer {
        bitswap,
        root,
        arriving: Some(arriving),
        tell,
        providers: HashMap::new(),
        silent: HashSet::new(),
        blocks: Ordered::default(),
        senders: HashSet::new(),
        dropped: Arc::default(),
    };
    for peer in among {
        transfer.silent.insert(*peer);
        bitswap.ask(*peer, WantEntry::new(root, WantKind::Have), &transfer.tell);
    }
    transfer.run(told, progress).await
}

/// A peer that has the file.
struct Provider {
    asked: usize,
    window: RequestWindow,
    heard: Instant,
    lacks: HashSet<Sha256>,
}

/// A block that was asked for.
struct PendingBlock {
    cid: Cid,
    of: Vec<PeerId>,
    since: Instant,
}

struct BlockTransfer<'a> {
    bitswap: &'a Bitswap,
    root: Cid,
    arriving: Option<Arriving>,
    tell: mpsc::UnboundedSender<PeerEvent>,
    providers: HashMap<PeerId, Provider>,
    /// Peers that were asked whether they have it, and have not answered yet.
    silent: HashSet<PeerId>,
    blocks: Ordered<Sha256, PendingBlock, Bytes>,
    senders: HashSet<PeerId>,
    /// True once the transfer is dropped, perhaps while a thread writes its blocks.
    dropped: Arc<AtomicBool>,
}

impl BlockTransfer<'_> {
    async fn run(
        mut self,
        mut told: mpsc::UnboundedReceiver<PeerEvent>,
        progress: &watch::Sender<TransferProgress>,
    ) -> Result<Arriving, FetchError> {
        let begun = Instant::now();
        // When the last block came, when a peer that owes one last sent anything, when that was last told.
        let (mut heard, mut stirred, mut still) = (begun, begun, begun);
        let mut tick = tokio::time::interval(TICK);
        loop {
            self.ask_for_more();
            // With no request pending, no known peer has the next block.
            if self.blocks.asked.is_empty() && !self.ready_is_next() {
                let late = begun.elapsed() >= SEARCH && heard.elapsed() >= SEARCH;
                // An answer waits behind what comes for others.
                let may_wait = |peer: &PeerId| self.bitswap.answers_may_wait(*peer);
                let waits = heard.elapsed() < GIVE_UP && self.silent.iter().any(may_wait);
                if self.silent.is_empty() || (late && !waits) {
                    self.silent.iter().for_each(|peer| self.bitswap.shun(*peer));
                    return Err(FetchError::Absent);
                }
            }
            tokio::select! {
                biased;
                Some((peer, digest, answer)) = told.recv() => {
                    let is_block = matches!(answer, BlockAnswer::Block(_));
                    self.hear(peer, digest, answer);
                    if is_block {
                        (heard, stirred) = (Instant::now(), Instant::now());
                        self.put_together(progress).await?;
                    }
                    if self.arriving().walk.is_done() {
                        return Ok(self.arriving.take().expect("it is there between two steps"));
                    }
                }
                _ = tick.tick() => {
                    self.overtake();
                    if self.is_coming() {
                        stirred = Instant::now();
                        if still.elapsed() >= STILL {
                            still = Instant::now();
                            progress.send_modify(|_| ());
                        }
                    }
                    if stirred.elapsed() >= GIVE_UP || heard.elapsed() >= LONGEST {
                        self.providers.keys().chain(&self.silent).for_each(|peer| self.bitswap.shun(*peer));
                        let is_nowhere = self.providers.is_empty();
                        let at = self.arriving().verifier.size();
                        return Err(if is_nowhere { FetchError::Absent } else { FetchError::Stalled(at) });
                    }
                }
            }
        }
    }

    /// True if a peer that owes a block is sending, that one or another.
    fn is_coming(&self) -> bool {
        self.blocks.asked.values().flat_map(|pending| &pending.of).any(|peer| self.bitswap.is_sending(*peer))
    }

    fn ready_is_next(&self) -> bool {
        self.arriving().walk.next_cid().is_some_and(|cid| self.blocks.ready.contains_key(&cid.digest()))
    }

    fn arriving(&self) -> &Arriving {
        self.arriving.as_ref().expect("it is there between two steps")
    }

    /// Asks for the next blocks, each of the peer with the fewest pending ones.
    fn ask_for_more(&mut self) {
        if self.providers.is_empty() {
            return;
        }
        let most = (WANTED_MOST / self.bitswap.transfers().max(1)).clamp(2, WANTED_MOST / 2);
        let wanted: Vec<Cid> = self.arriving().walk.wants().take(most).collect();
        for digest in self.blocks.due(wanted.iter().map(Cid::digest), most) {
            let cid = *wanted.iter().find(|cid| cid.digest() == digest).expect("it is one of them");
            let Some(peer) = self.idlest(digest, &[]) else { return };
            self.blocks.asked.insert(digest, PendingBlock { cid, of: Vec::new(), since: Instant::now() });
            self.ask(peer, cid);
        }
    }

    /// Returns the peer to ask for a block: one with room, with the fewest pending blocks, and none of `but`.
    fn idlest(&self, digest: Sha256, but: &[PeerId]) -> Option<PeerId> {
        let fit = self.providers.iter().filter(|(peer, provider)| {
            provider.asked < provider.window.count() && !provider.lacks.contains(&digest) && !but.contains(peer)
        });
        fit.min_by_key(|(_, provider)| provider.asked).map(|(peer, _)| *peer)
    }

    fn ask(&mut self, peer: PeerId, cid: Cid) {
        if let (Some(provider), Some(pending)) =
            (self.providers.get_mut(&peer), self.blocks.asked.get_mut(&cid.digest()))
        {
            if provider.asked == 0 {
                provider.heard = Instant::now();
            }
            provider.asked += 1;
            pending.of.push(peer);
            pending.since = Instant::now();
            self.bitswap.ask(peer, WantEntry::new(cid, WantKind::Block), &self.tell);
        }
    }

    fn hear(&mut self, peer: PeerId, digest: Sha256, answer: BlockAnswer) {
        let now = Instant::now();
        if digest == self.root.digest() {
            self.silent.remove(&peer);
        }
        if let Some(provider) = self.providers.get_mut(&peer) {
            provider.heard = now;
        }
        match answer {
            // Kubo sends a block of at most 1 KiB at once when it is asked whether it has it.
            BlockAnswer::Have | BlockAnswer::Block(_) if digest == self.root.digest() => {
                let window = || RequestWindow::new(WINDOW, SPAN);
                let new = || Provider { asked: 0, window: window(), heard: now, lacks: HashSet::new() };
                self.providers.entry(peer).or_insert_with(new);
            }
            _ => {}
        }
        match answer {
            BlockAnswer::Have => {}
            BlockAnswer::Block(block) => {
                self.senders.insert(peer);
                if let Some(pending) = self.blocks.asked.remove(&digest) {
                    // The root is small, and comes at once.
                    if let Some(provider) = self.providers.get_mut(&peer).filter(|_| digest != self.root.digest()) {
                        provider.window.arrived(pending.since, now);
                    }
                    self.answered(&pending, peer);
                }
                self.blocks.ready.insert(digest, block);
            }
            BlockAnswer::Absent => {
                if let Some(provider) = self.providers.get_mut(&peer) {
                    provider.lacks.insert(digest);
                }
                self.not_of(peer, digest);
                if digest == self.root.digest() {
                    self.providers.remove(&peer);
                }
            }
            BlockAnswer::Gone => {
                self.silent.remove(&peer);
                self.providers.remove(&peer);
                let lost: Vec<Sha256> = self
                    .blocks
                    .asked
                    .iter()
                    .filter(|(_, pending)| pending.of.contains(&peer))
                    .map(|(d, _)| *d)
                    .collect();
                lost.into_iter().for_each(|digest| self.not_of(peer, digest));
            }
        }
    }

    /// Handles a block from `peer`: no other peer needs to send it.
    fn answered(&mut self, pending: &PendingBlock, peer: PeerId) {
        for other in &pending.of {
            if let Some(provider) = self.providers.get_mut(other) {
                provider.asked = provider.asked.saturating_sub(1);
            }
            if *other != peer {
                self.bitswap.cancel(*other, WantEntry::new(pending.cid, WantKind::Block), &self.tell);
            }
        }
    }

    /// Handles a block that will not come from `peer`. If no other peer was asked for it, it is asked for anew.
    fn not_of(&mut self, peer: PeerId, digest: Sha256) {
        let Some(pending) = self.blocks.asked.get_mut(&digest) else { return };
        pending.of.retain(|other| *other != peer);
        if pending.of.is_empty() {
            self.blocks.asked.remove(&digest);
        }
        if let Some(provider) = self.providers.get_mut(&peer) {
            provider.asked = provider.asked.saturating_sub(1);
        }
    }

    /// Asks another peer for the blocks that a silent peer owes, and for the next block when that peer alone
    /// blocks the transfer.
    fn overtake(&mut self) {
        let next = self.arriving().walk.next_cid().map(|cid| cid.digest());
        let is_silent = |peer: &PeerId| {
            let heard = |provider: &Provider| provider.heard.elapsed() < HEDGE.silent;
            !self.providers.get(peer).is_some_and(heard) && !self.bitswap.is_sending(*peer)
        };
        let late = self.blocks.asked.iter().filter(|(digest, pending)| {
            let is_sending = !pending.of.iter().all(is_silent);
            // A slow peer keeps the others waiting only where they have all up to its block.
            HEDGE.is_due(pending.since.elapsed(), is_sending) && (!is_sending || Some(**digest) == next)
        });
        let late: Vec<(Cid, Vec<PeerId>)> = late.map(|(_, pending)| (pending.cid, pending.of.clone())).collect();
        for (cid, of) in late {
            if let Some(peer) = self.idlest(cid.digest(), &of) {
                self.ask(peer, cid);
            }
        }
    }

    /// Writes the next blocks, as far as they are here.
    async fn put_together(&mut self, progress: &watch::Sender<TransferProgress>) -> Result<(), FetchError> {
        let mut arriving = self.arriving.take().expect("it is there between two steps");
        let (ready, dropped) = (std::mem::take(&mut self.blocks.ready), Arc::clone(&self.dropped));
        // Hashing and writing would block all other tasks.
        let done = tokio::task::spawn_blocking(move || {
            let mut ready = ready;
            let result = loop {
                let Some(cid) = arriving.walk.next_cid() else { break Ok(()) };
                let Some(block) = ready.remove(&cid.digest()) else { break Ok(()) };
                if let Err(e) = arriving.push(&block) {
                    break Err(e);
                }
            };
            // The caller has emptied the file, perhaps before the last write. Another process may hold it open.
            if dropped.load(Ordering::SeqCst) {
                let _ = arriving.file.set_len(0);
            }
            (arriving, ready, result)
        });
        let (arriving, ready, result) = done.await.map_err(|e| FetchError::Local(io::Error::other(e)))?;
        progress.send_replace(TransferProgress {
            bytes: arriving.verifier.size(),
            senders: self.senders.iter().copied().collect(),
        });
        self.blocks.ready = ready;
        self.arriving = Some(arriving);
        result
    }
}

impl Drop for BlockTransfer<'_> {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
        self.bitswap.transfer_ends();
        for pending in self.blocks.asked.values() {
            for peer in &pending.of {
                self.bitswap.cancel(*peer, WantEntry::new(pending.cid, WantKind::Block), &self.tell);
            }
        }
        for peer in self.providers.keys().chain(&self.silent) {
            self.bitswap.cancel(*peer, WantEntry::new(self.root, WantKind::Have), &self.tell);
        }
    }
}
