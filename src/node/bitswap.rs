//! Bitswap 1.2 with every connected peer: their wants are answered from the shelf, and ours are answered to whoever
//! asked for them (`super::fetch`).
//!
//! What a peer can cost is bounded: the entries of its wantlist, its streams, the length of its messages (megabytes only
//! from a peer that a block is wanted of), the time a message takes, and the bytes that are sent to it. Blocks are read
//! only when the stream to the peer has room, so a peer that does not read holds one message.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::digest::Sha256;
use crate::node::limits::Rate;
use crate::node::message::{Ask, Draft, MOST, MOST_UNASKED, Message, Want};
use crate::node::shelf::Shelf;
use crate::node::streams::{Guard, Opener};

/// The only version that is spoken; Kubo offers it since 0.5.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/bitswap/1.2.0");

/// A message takes no more blocks once it holds this many bytes: with one more block it stays below [`MOST`].
const FULL: usize = 1 << 20;

/// Most wants of one peer that wait for their turn. Kubo keeps 1024 for a peer by default. Origin: chosen by us.
pub(super) const WANTS_MOST: usize = 2048;

/// Longest time for one message, either way: 4 MiB at 70 KB/s.
const MESSAGE_TIME: Duration = Duration::from_secs(60);

/// Entries that a peer may send in a second; Kubo asks for a few hundred at its fastest. Origin: chosen by us.
const ENTRIES_RATE: u64 = 4096;

/// Bytes that nobody asked for after which a peer is cut off. A block may come late or twice. Origin: chosen by us.
const JUNK_MOST: u64 = 16 << 20;

/// A peer with which bytes were exchanged in this time is there, whatever its ping says.
const STIRRED: Duration = Duration::from_secs(2);

/// Bytes that are written or read before this is noted.
const PIECE: usize = 64 << 10;

/// How long a peer that wasted time is not asked. Origin: a pacman run; chosen by us.
const SHUN: Duration = Duration::from_secs(30);

/// What a peer said about a block that was asked of it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The block. Its digest is the one asked for.
    Block(Bytes),
    /// It has it.
    Have,
    /// It does not have it.
    Absent,
    /// The connection is gone, or was cut.
    Gone,
}

/// An answer: who, about which block, what.
pub type Told = (PeerId, Sha256, Answer);

/// Upload limits in bytes a second; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upload {
    /// To all peers together.
    pub total: u64,
    /// To each.
    pub each: u64,
}

/// All peers. Cheap to clone.
#[derive(Clone)]
pub struct Bitswap(Arc<Inner>);

struct Inner {
    shelf: Arc<Shelf>,
    opener: Opener,
    /// Peers that are to be disconnected.
    cut: mpsc::UnboundedSender<PeerId>,
    upload: Upload,
    total: Rate,
    peers: Mutex<HashMap<PeerId, Arc<Peer>>>,
    /// Peers that wasted time, and until when others are asked instead.
    shunned: Mutex<HashMap<PeerId, Instant>>,
    transfers: AtomicUsize,
}

/// One connected peer.
struct Peer {
    wake: Notify,
    each: Rate,
    entries: Rate,
    state: Mutex<PeerState>,
    /// When bytes last came from it or went to it.
    stirred: Mutex<Instant>,
    sent: AtomicU64,
    received: AtomicU64,
    junk: AtomicU64,
}

#[derive(Default)]
struct PeerState {
    /// What it wants, in the order in which it asked.
    theirs: VecDeque<Want>,
    /// What is to be asked of it.
    to_ask: Vec<Want>,
    /// What was asked of it, and who waits for the answer.
    asked: HashMap<Sha256, Vec<mpsc::UnboundedSender<Told>>>,
    /// Asked and cancelled: may still come.
    late: VecDeque<Sha256>,
    gone: bool,
}

/// What is known about the traffic with a peer, in bytes of blocks since it connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// To it.
    pub sent: u64,
    /// From it.
    pub received: u64,
}

impl Bitswap {
    /// Serves from `shelf`. Peers that misbehave are sent to `cut`.
    pub fn new(shelf: Arc<Shelf>, opener: Opener, upload: Upload, cut: mpsc::UnboundedSender<PeerId>) -> Self {
        let total = Rate::new(upload.total);
        Self(Arc::new(Inner {
            shelf,
            opener,
            cut,
            upload,
            total,
            peers: Mutex::default(),
            shunned: Mutex::default(),
            transfers: AtomicUsize::new(0),
        }))
    }

    /// Opens streams of this protocol, for tests that speak nonsense on them.
    #[cfg(test)]
    pub(super) fn opener(&self) -> Opener {
        self.0.opener.clone()
    }

    /// A peer is connected.
    pub fn connected(&self, id: PeerId) {
        let mut peers = self.peers();
        if peers.contains_key(&id) {
            return;
        }
        let peer = Arc::new(Peer {
            wake: Notify::new(),
            each: Rate::new(self.0.upload.each),
            entries: Rate::new(ENTRIES_RATE),
            state: Mutex::default(),
            stirred: Mutex::new(Instant::now()),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            junk: AtomicU64::new(0),
        });
        peers.insert(id, Arc::clone(&peer));
        drop(peers);
        let this = self.clone();
        tokio::spawn(async move { this.write(id, &peer).await });
    }

    /// The last connection to a peer is gone.
    pub fn disconnected(&self, id: PeerId) {
        let Some(peer) = self.peers().remove(&id) else { return };
        let mut state = peer.state();
        state.gone = true;
        for (digest, waiting) in std::mem::take(&mut state.asked) {
            waiting.iter().for_each(|one| drop(one.send((id, digest, Answer::Gone))));
        }
        peer.wake.notify_one();
    }

    /// How many files are being fetched.
    pub fn transfers(&self) -> usize {
        self.0.transfers.load(Ordering::Relaxed)
    }

    /// A file is being fetched from now on.
    pub(super) fn transfer_begins(&self) {
        self.0.transfers.fetch_add(1, Ordering::Relaxed);
    }

    /// One is not any more.
    pub(super) fn transfer_ends(&self) {
        self.0.transfers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Everybody who is connected.
    pub fn connected_peers(&self) -> Vec<PeerId> {
        self.peers().keys().copied().collect()
    }

    /// Everybody who is connected and has not wasted time lately.
    pub fn worth_asking(&self) -> Vec<PeerId> {
        let mut shunned = self.0.shunned.lock().expect("nothing panics while it is held");
        shunned.retain(|_, until| *until > Instant::now());
        self.connected_peers().into_iter().filter(|peer| !shunned.contains_key(peer)).collect()
    }

    /// Does not ask this peer for a while: it did not answer, or not with what it promised.
    pub fn shun(&self, id: PeerId) {
        let mut shunned = self.0.shunned.lock().expect("nothing panics while it is held");
        shunned.insert(id, Instant::now() + SHUN);
    }

    /// Whether bytes have come from this peer, or gone to it, in the last seconds.
    pub fn is_stirring(&self, id: PeerId) -> bool {
        self.peers().get(&id).is_some_and(|peer| {
            let stirred = peer.stirred.lock().expect("nothing panics while it is held");
            stirred.elapsed() < STIRRED
        })
    }

    /// Bytes of blocks to and from a peer.
    pub fn traffic(&self, id: PeerId) -> Traffic {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.peers()
            .get(&id)
            .map_or(Traffic::default(), |peer| Traffic { sent: load(&peer.sent), received: load(&peer.received) })
    }

    /// Asks a peer; the answer goes to `tell`. Says `Gone` at once when it is not connected.
    pub fn ask(&self, id: PeerId, want: Want, tell: &mpsc::UnboundedSender<Told>) {
        let Some(digest) = want.digest() else { return };
        let peer = self.peers().get(&id).cloned();
        let Some(peer) = peer else {
            let _ = tell.send((id, digest, Answer::Gone));
            return;
        };
        let mut state = peer.state();
        if state.gone {
            let _ = tell.send((id, digest, Answer::Gone));
            return;
        }
        let waiting = state.asked.entry(digest).or_default();
        if !waiting.iter().any(|other| other.same_channel(tell)) {
            waiting.push(tell.clone());
        }
        state.to_ask.push(want);
        drop(state);
        peer.wake.notify_one();
    }

    /// Does not want a block of a peer any more. Others may still wait for the same one.
    pub fn cancel(&self, id: PeerId, want: Want, tell: &mpsc::UnboundedSender<Told>) {
        let Some(digest) = want.digest() else { return };
        let Some(peer) = self.peers().get(&id).cloned() else { return };
        let mut state = peer.state();
        let Some(waiting) = state.asked.get_mut(&digest) else { return };
        waiting.retain(|other| !other.same_channel(tell) && !other.is_closed());
        if waiting.is_empty() {
            state.asked.remove(&digest);
            state.to_ask.push(Want { ask: Ask::Cancel, tell_absence: false, ..want });
            state.late.push_back(digest);
            if state.late.len() > WANTS_MOST {
                state.late.pop_front();
            }
        }
        drop(state);
        peer.wake.notify_one();
    }

    /// Reads a stream that a peer opened, until it ends or breaks the rules.
    pub async fn read(&self, id: PeerId, mut stream: Stream, _guard: Guard) {
        // The connection's own task hands streams over, at times before the swarm's loop has told of the connection.
        self.connected(id);
        loop {
            let peer = self.peers().get(&id).cloned();
            let Some(peer) = peer else { return };
            match read_message(&mut stream, &peer).await {
                Ok(Some(bytes)) => match Message::read(&bytes) {
                    Ok(message) => self.take(id, &peer, message).await,
                    Err(_) => return,
                },
                _ => return,
            }
        }
    }

    async fn take(&self, id: PeerId, peer: &Arc<Peer>, message: Message) {
        if message.full || !message.wants.is_empty() {
            // A flood is read no faster than this, and its sender waits.
            tokio::time::sleep(peer.entries.take(message.wants.len() as u64)).await;
            peer.state().note(message.full, message.wants);
            peer.wake.notify_one();
        }
        for (digest, has) in message.presences {
            let answer = if has { Answer::Have } else { Answer::Absent };
            peer.state().answer(id, digest, &answer);
        }
        for block in message.blocks {
            let proven = tokio::task::spawn_blocking(move || (Sha256::of(&block), block)).await;
            let Ok((digest, block)) = proven else { continue };
            let len = block.len() as u64;
            if peer.state().answer(id, digest, &Answer::Block(block)) {
                peer.received.fetch_add(len, Ordering::Relaxed);
            } else if peer.junk.fetch_add(len, Ordering::Relaxed) + len > JUNK_MOST {
                let _ = self.0.cut.send(id);
            }
        }
    }

    /// Sends to a peer what it wants and what is wanted of it, for as long as it is connected.
    async fn write(&self, id: PeerId, peer: &Arc<Peer>) {
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
            // A stream can have ended while it was idle: once, another one is opened.
            let mut sent = false;
            for _ in 0..2 {
                if stream.is_none() {
                    stream = self.0.opener.open(id).await;
                }
                let Some(open) = &mut stream else { break };
                match tokio::time::timeout(MESSAGE_TIME, send(open, &bytes, peer)).await {
                    Ok(Ok(())) => {
                        sent = true;
                        break;
                    }
                    Ok(Err(_)) => stream = None,
                    // It does not read. A second message would fare no better.
                    Err(_) => {
                        stream = None;
                        break;
                    }
                }
            }
            if sent {
                peer.sent.fetch_add(blocks, Ordering::Relaxed);
            } else {
                // Nothing asked here would be answered; whoever waits goes to another peer.
                let _ = self.0.cut.send(id);
                self.disconnected(id);
                return;
            }
        }
    }

    /// What is to be sent next: questions first, then answers up to a full message.
    async fn draft(&self, peer: &Arc<Peer>) -> Draft {
        let mut draft = Draft::default();
        std::mem::take(&mut peer.state().to_ask).iter().for_each(|want| draft.want(want));
        while draft.len() < FULL {
            let next = peer.state().theirs.pop_front();
            let Some(want) = next else { break };
            let block = match (want.digest(), want.ask) {
                (Some(digest), Ask::Block) => self.load(digest).await,
                (Some(digest), _) if self.0.shelf.has(digest) => {
                    draft.presence(&want, true);
                    continue;
                }
                _ => None,
            };
            match block {
                Some(block) => {
                    let len = block.len() as u64;
                    tokio::time::sleep(self.0.total.take(len).max(peer.each.take(len))).await;
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

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Peer>>> {
        self.0.peers.lock().expect("nothing panics while it is held")
    }
}

impl Peer {
    fn stir(&self) {
        *self.stirred.lock().expect("nothing panics while it is held") = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl PeerState {
    /// Takes note of what the peer wants, or does not want any more. What is beyond the limit is not answered.
    fn note(&mut self, full: bool, wants: Vec<Want>) {
        if full {
            self.theirs.clear();
        }
        let cancelled: HashSet<Bytes> =
            wants.iter().filter(|want| want.ask == Ask::Cancel).map(|want| want.cid.clone()).collect();
        if !cancelled.is_empty() {
            self.theirs.retain(|want| !cancelled.contains(&want.cid));
        }
        let room = WANTS_MOST.saturating_sub(self.theirs.len());
        self.theirs.extend(wants.into_iter().filter(|want| want.ask != Ask::Cancel).take(room));
    }

    /// Passes an answer on. False when nobody asked, also not lately.
    fn answer(&mut self, id: PeerId, digest: Sha256, answer: &Answer) -> bool {
        // Who has it is asked for the block next; any other answer is the last one.
        let waiting = match answer {
            Answer::Have => self.asked.get(&digest).cloned(),
            _ => self.asked.remove(&digest),
        };
        match waiting {
            Some(waiting) => {
                waiting.iter().for_each(|one| drop(one.send((id, digest, answer.clone()))));
                true
            }
            None => match self.late.iter().position(|late| *late == digest) {
                Some(at) => self.late.remove(at).is_some(),
                None => false,
            },
        }
    }
}

async fn send(stream: &mut Stream, bytes: &[u8], peer: &Peer) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        stream.write_all(piece).await?;
        peer.stir();
    }
    stream.flush().await
}

/// The next message; `None` when the peer ended the stream between two.
async fn read_message(stream: &mut Stream, peer: &Peer) -> io::Result<Option<Bytes>> {
    let bad = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let Some(len) = read_length(stream).await? else { return Ok(None) };
    let most = if peer.state().asked.is_empty() { MOST_UNASKED } else { MOST };
    if len > most {
        return Err(bad("longer than a message may be"));
    }
    // The buffer grows with what arrives, not with what is promised.
    let mut buffer = BytesMut::with_capacity(len.min(64 << 10));
    let body = async {
        while buffer.len() < len {
            let at = buffer.len();
            buffer.resize(len.min((at * 2).max(64 << 10)), 0);
            for piece in buffer[at..].chunks_mut(PIECE) {
                stream.read_exact(piece).await?;
                peer.stir();
            }
        }
        Ok::<_, io::Error>(())
    };
    tokio::time::timeout(MESSAGE_TIME, body).await.map_err(|_| bad("too slow"))??;
    Ok(Some(buffer.freeze()))
}

/// The varint before a message. `None` at the end of the stream.
async fn read_length(stream: &mut Stream) -> io::Result<Option<usize>> {
    let mut len = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return if shift == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        len |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some(len));
        }
    }
    // Five bytes would be more than 256 MiB.
    Err(io::Error::new(io::ErrorKind::InvalidData, "the length has no end"))
}
