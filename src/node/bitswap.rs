//! Bitswap 1.2 with every connected peer: their wants are answered from the shelf, and answers to ours go to the
//! transfer that asked (`super::fetch`).
//!
//! The cost of a peer is bounded: the entries of its wantlist, its streams, the length of all its messages in
//! transit (megabytes only from a peer that blocks are wanted of), the time for a message, and the bytes sent to
//! it. Blocks are read only when the stream to the peer has room, so a peer that does not read holds one message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::base::digest::Sha256;
use crate::node::frame;
use crate::node::limits::{self, Rate};
use crate::node::message::{BitswapMessage, Draft, WantEntry, WantKind};
use crate::node::peer::{ConnectedPeer, WANTS_MOST};
use crate::node::shelf::Shelf;
use crate::node::streams::{Guard, Opener};

pub(crate) use crate::node::peer::{BlockAnswer, PeerEvent, Traffic};

/// The only supported version; Kubo offers it since 0.5.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/bitswap/1.2.0");

/// Bytes after which a message takes no more blocks: with one more block it stays below
/// [`MOST`](crate::node::message::MOST).
const FULL: usize = 1 << 20;

/// Longest time for one message in either direction: 4 MiB at 70 KB/s.
const MESSAGE_TIME: Duration = Duration::from_secs(60);

/// Longest wait of a peer's reader for the rate of its entries; a peer beyond it is cut off. A Kubo that wants
/// 20,000 blocks sends them at once, and takes a second of this. Origin: chosen by us.
const WAIT_MOST: Duration = Duration::from_secs(2);

/// Unrequested bytes after which a peer is cut off. A block may come late or twice. Origin: chosen by us.
pub(super) const JUNK_MOST: u64 = 16 << 20;

/// Time for which a peer that wasted time is not asked. Origin: a pacman run; chosen by us.
const SHUN: Duration = Duration::from_secs(30);

/// Upload limits in bytes a second; 0 means none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UploadLimits {
    /// To all peers together.
    pub(crate) total: u64,
    /// To each.
    pub(crate) each: u64,
}

/// Bitswap with all peers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bitswap(Arc<BitswapInner>);

struct BitswapInner {
    shelf: Arc<Shelf>,
    opener: Opener,
    /// Peers that are to be disconnected.
    cut: mpsc::UnboundedSender<PeerId>,
    upload: UploadLimits,
    total: Rate,
    peers: Mutex<HashMap<PeerId, Arc<ConnectedPeer>>>,
    /// Peers that wasted time; until then, other peers are asked instead.
    shunned: Mutex<HashMap<PeerId, Instant>>,
    transfers: AtomicUsize,
    /// Bytes of blocks that were given to peers, all together.
    given: AtomicU64,
}

impl Bitswap {
    /// Serves from `shelf`. Misbehaving peers are sent to `cut`.
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        opener: Opener,
        upload: UploadLimits,
        cut: mpsc::UnboundedSender<PeerId>,
    ) -> Self {
        let total = Rate::new(upload.total);
        Self(Arc::new(BitswapInner {
            shelf,
            opener,
            cut,
            upload,
            total,
            peers: Mutex::default(),
            shunned: Mutex::default(),
            transfers: AtomicUsize::new(0),
            given: AtomicU64::new(0),
        }))
    }

    /// Starts Bitswap with a peer that has connected.
    pub(crate) fn connected(&self, id: PeerId) {
        let mut peers = self.peers();
        if peers.contains_key(&id) {
            return;
        }
        let peer = Arc::new(ConnectedPeer::new(self.0.upload.each));
        peers.insert(id, Arc::clone(&peer));
        drop(peers);
        let this = self.clone();
        tokio::spawn(async move { this.write(id, &peer).await });
    }

    /// Drops a peer whose last connection is gone.
    pub(crate) fn disconnected(&self, id: PeerId) {
        let Some(peer) = self.peers().remove(&id) else { return };
        let mut state = peer.state();
        state.gone = true;
        for (digest, waiting) in std::mem::take(&mut state.asked) {
            waiting.iter().for_each(|one| drop(one.send((id, digest, BlockAnswer::Gone))));
        }
        peer.wake.notify_one();
    }

    /// Counts the files that are being fetched.
    pub(crate) fn transfers(&self) -> usize {
        self.0.transfers.load(Ordering::Relaxed)
    }

    /// Counts the bytes of blocks that were given since the start, also to peers that have gone.
    pub(crate) fn given(&self) -> u64 {
        self.0.given.load(Ordering::Relaxed)
    }

    /// Counts a transfer that begins.
    pub(super) fn transfer_begins(&self) {
        self.0.transfers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a transfer that has ended.
    pub(super) fn transfer_ends(&self) {
        self.0.transfers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lists all connected peers.
    pub(crate) fn connected_peers(&self) -> Vec<PeerId> {
        self.peers().keys().copied().collect()
    }

    /// Lists the connected peers that have not wasted time recently.
    pub(crate) fn worth_asking(&self) -> Vec<PeerId> {
        let mut shunned = self.0.shunned.lock().expect("nothing panics while it is held");
        shunned.retain(|_, until| *until > Instant::now());
        self.connected_peers().into_iter().filter(|peer| !shunned.contains_key(peer)).collect()
    }

    /// Stops asking this peer for a while: it did not answer, or not with what it promised.
    pub(crate) fn shun(&self, id: PeerId) {
        let mut shunned = self.0.shunned.lock().expect("nothing panics while it is held");
        shunned.insert(id, Instant::now() + SHUN);
    }

    /// Asks this peer again: on a busy machine an honest one may have been late.
    #[cfg(test)]
    pub(crate) fn forgive(&self, id: PeerId) {
        self.0.shunned.lock().expect("nothing panics while it is held").remove(&id);
    }

    /// True if bytes came from this peer, or went to it, in the last seconds.
    pub(crate) fn is_stirring(&self, id: PeerId) -> bool {
        self.peers().get(&id).is_some_and(|peer| peer.is_stirring())
    }

    /// True if thousands of bytes of a message have come from this peer in the last seconds. On a slow line an answer waits
    /// behind the blocks that come.
    pub(crate) fn is_sending(&self, id: PeerId) -> bool {
        self.peers().get(&id).is_some_and(|peer| peer.is_sending())
    }

    /// True if an answer of this peer may wait behind blocks: it is sending, or was asked for one a moment ago. What two
    /// callers ask for goes over one line, and of a large block nothing may have come yet.
    pub(crate) fn answers_may_wait(&self, id: PeerId) -> bool {
        self.peers().get(&id).is_some_and(|peer| peer.is_sending() || peer.state().owes_lately())
    }

    /// Returns the bytes of blocks to and from a peer.
    pub(crate) fn traffic(&self, id: PeerId) -> Traffic {
        self.peers().get(&id).map_or(Traffic::default(), |peer| peer.traffic())
    }

    /// Asks a peer; the answer goes to `tell`. Answers `Gone` at once when the peer is not connected.
    pub(crate) fn ask(&self, id: PeerId, want: WantEntry, tell: &mpsc::UnboundedSender<PeerEvent>) {
        let Some(digest) = want.digest() else { return };
        let peer = self.peers().get(&id).cloned();
        let Some(peer) = peer else {
            let _ = tell.send((id, digest, BlockAnswer::Gone));
            return;
        };
        let mut state = peer.state();
        if state.gone {
            let _ = tell.send((id, digest, BlockAnswer::Gone));
            return;
        }
        let waiting = state.asked.entry(digest).or_default();
        if !waiting.iter().any(|other| other.same_channel(tell)) {
            waiting.push(tell.clone());
        }
        if want.ask == WantKind::Block {
            state.owed.insert(digest);
            state.owes_since = Some(Instant::now());
        }
        state.to_ask.push(want);
        drop(state);
        peer.wake.notify_one();
    }

    /// Cancels a want. Other transfers may still wait for the same block.
    pub(crate) fn cancel(&self, id: PeerId, want: WantEntry, tell: &mpsc::UnboundedSender<PeerEvent>) {
        let Some(digest) = want.digest() else { return };
        let Some(peer) = self.peers().get(&id).cloned() else { return };
        let mut state = peer.state();
        let Some(waiting) = state.asked.get_mut(&digest) else { return };
        waiting.retain(|other| !other.same_channel(tell) && !other.is_closed());
        if waiting.is_empty() {
            state.asked.remove(&digest);
            state.owed.remove(&digest);
            state.to_ask.push(WantEntry { ask: WantKind::Cancel, tell_absence: false, ..want });
            state.late.push_back(digest);
            if state.late.len() > WANTS_MOST {
                state.late.pop_front();
            }
        }
        drop(state);
        peer.wake.notify_one();
    }

    /// Reads a stream that a peer opened, until it ends or breaks the rules.
    pub(crate) async fn read(&self, id: PeerId, mut stream: Stream, _guard: Guard) {
        // The connection's own task hands streams over, at times before the swarm's loop has reported the
        // connection.
        self.connected(id);
        loop {
            let peer = self.peers().get(&id).cloned();
            let Some(peer) = peer else { return };
            let mut room = None;
            let admit = |len| {
                room = peer.admit(len);
                room.is_some()
            };
            match frame::read(&mut stream, admit, MESSAGE_TIME, || peer.hear()).await {
                Ok(Some(bytes)) => match BitswapMessage::read(&bytes) {
                    Ok(message) => {
                        peer.stir();
                        self.take(id, &peer, message).await;
                    }
                    Err(_) => return,
                },
                _ => return,
            }
        }
    }

    async fn take(&self, id: PeerId, peer: &Arc<ConnectedPeer>, message: BitswapMessage) {
        // An empty message costs work as well.
        let entries = 1 + message.wants.len() + message.presences.len() + message.blocks.len();
        if message.full || !message.wants.is_empty() {
            peer.state().note(message.full, message.wants);
            peer.wake.notify_one();
        }
        for (digest, has) in message.presences {
            let answer = if has { BlockAnswer::Have } else { BlockAnswer::Absent };
            peer.state().answer(id, digest, &answer);
        }
        for block in message.blocks {
            let proven = tokio::task::spawn_blocking(move || (Sha256::of(&block), block)).await;
            let Ok((digest, block)) = proven else { continue };
            let len = block.len() as u64;
            if peer.state().answer(id, digest, &BlockAnswer::Block(block)) {
                peer.counts.received.fetch_add(len, Ordering::Relaxed);
            } else if peer.counts.junk.fetch_add(len, Ordering::Relaxed) + len > JUNK_MOST {
                let _ = self.0.cut.send(id);
            }
        }
        // A flood is read no faster than this: its sender waits, and none of its messages is kept meanwhile.
        let wait = peer.rates.entries.take(entries as u64);
        if wait > WAIT_MOST {
            let _ = self.0.cut.send(id);
        }
        limits::pause(wait.min(WAIT_MOST)).await;
    }

    /// Sends our wants to a peer, and the blocks that it wants, for as long as it is connected.
    async fn write(&self, id: PeerId, peer: &Arc<ConnectedPeer>) {
        let mut stream: Option<Stream> = None;
        loop {
            let draft = self.draft(peer).await;
            if peer.state().gone {
                return;
            }
            if draft.is_empty() {
                peer.wake.notified().await;
                continue;
            }
            let blocks = draft.len() as u64;
            let bytes = draft.finish();
            // A stream can have ended while it was idle: one retry opens another.
            let mut sent = false;
            for _ in 0..2 {
                if stream.is_none() {
                    stream = self.0.opener.open(id).await;
                }
                let Some(open) = &mut stream else { break };
                match tokio::time::timeout(MESSAGE_TIME, frame::write(open, &bytes, || peer.stir())).await {
                    Ok(Ok(())) => {
                        sent = true;
                        break;
                    }
                    Ok(Err(_)) => stream = None,
                    // It does not read. A second message would not pass either.
                    Err(_) => {
                        stream = None;
                        break;
                    }
                }
            }
            if sent {
                peer.counts.sent.fetch_add(blocks, Ordering::Relaxed);
                self.0.given.fetch_add(blocks, Ordering::Relaxed);
            } else {
                // Questions to this peer would stay unanswered; the waiting transfers go to another peer.
                let _ = self.0.cut.send(id);
                self.disconnected(id);
                return;
            }
        }
    }

    /// Drafts the next message: questions first, then answers up to a full message.
    async fn draft(&self, peer: &Arc<ConnectedPeer>) -> Draft {
        let mut draft = Draft::default();
        std::mem::take(&mut peer.state().to_ask).iter().for_each(|want| draft.want(want));
        while draft.len() < FULL {
            let next = peer.state().theirs.pop_front();
            let Some(want) = next else { break };
            let block = match (want.digest(), want.ask) {
                (Some(digest), WantKind::Block) => self.load(digest).await,
                (Some(digest), _) if self.0.shelf.has(digest) => {
                    draft.presence(&want, true);
                    continue;
                }
                _ => None,
            };
            match block {
                Some(block) => {
                    let len = block.len() as u64;
                    limits::pause(self.0.total.take(len).max(peer.rates.sent.take(len))).await;
                    draft.block(&want, &block);
                }
                None if want.tell_absence => draft.presence(&want, false),
                None => {}
            }
        }
        draft
    }

    async fn load(&self, digest: Sha256) -> Option<Bytes> {
        let shelf = Arc::clone(&self.0.shelf);
        tokio::task::spawn_blocking(move || shelf.block(digest)).await.ok().flatten()
    }

    /// Returns the state of a connected peer.
    #[cfg(test)]
    pub(super) fn peer(&self, id: PeerId) -> Arc<ConnectedPeer> {
        Arc::clone(&self.peers()[&id])
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<ConnectedPeer>>> {
        self.0.peers.lock().expect("nothing panics while it is held")
    }
}
