//! Bitswap's state for one connected peer: its wants, ours, and its cost.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::base::digest::Sha256;
use crate::base::size::CHUNK;
use crate::node::limits::Rate;
use crate::node::message::{MOST, MOST_UNASKED, WantEntry, WantKind};

/// Most wants of one peer that wait for their turn. Kubo keeps 1024 for a peer by default. Origin: chosen by us.
pub(super) const WANTS_MOST: usize = 2048;

/// Entries that a peer may send in a second; Kubo asks for a few hundred at its fastest, and for all its missing
/// blocks when it connects. Origin: chosen by us.
pub(super) const ENTRIES_RATE: u64 = 16_384;

/// Room for a block in transit with its overhead: one of our files, and more for the first one, because other
/// files have blocks of up to 2 MiB.
pub(super) const BLOCK_ROOM: usize = CHUNK + (CHUNK >> 3);

/// A peer with traffic within this time is present, even if its ping fails.
const STIRRED: Duration = Duration::from_secs(2);

/// The answer of a peer about a block.
#[derive(Clone, Debug)]
pub(crate) enum BlockAnswer {
    /// The block. Its digest is the requested one.
    Block(Bytes),
    /// The peer has it.
    Have,
    /// The peer does not have it.
    Absent,
    /// The connection is gone, or was cut.
    Gone,
}

/// An answer: the peer, the block, what it said.
pub(crate) type PeerEvent = (PeerId, Sha256, BlockAnswer);

/// The traffic with a peer, in bytes of blocks since it connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    /// Bytes to the peer.
    pub(crate) sent: u64,
    /// Bytes from the peer.
    pub(crate) received: u64,
}

/// One connected peer.
pub(super) struct ConnectedPeer {
    /// Wakes the writer when there is something to send.
    pub(super) wake: Notify,
    /// The rates at which it may receive and ask.
    pub(super) rates: PeerRates,
    state: Mutex<PeerState>,
    /// The time of the last bytes from it or to it.
    stirred: Mutex<Instant>,
    /// When thousands of bytes of a message last came from it.
    heard: Mutex<Option<Instant>>,
    /// The bytes that have passed.
    pub(super) counts: PeerCounts,
    /// Bytes of its messages in transit, by their promised lengths.
    coming: Arc<AtomicUsize>,
}

/// Bytes of blocks since the peer connected.
#[derive(Default)]
pub(super) struct PeerCounts {
    /// Bytes sent to it.
    pub(super) sent: AtomicU64,
    /// Bytes of requested blocks that came from it.
    pub(super) received: AtomicU64,
    /// Bytes of unrequested blocks.
    pub(super) junk: AtomicU64,
}

/// The bytes and entries that a peer may have and ask for in a second.
pub(super) struct PeerRates {
    /// Bytes that are sent to it.
    pub(super) sent: Rate,
    /// Entries of its wantlists.
    pub(super) entries: Rate,
}

/// The room for a message, held until drop.
pub(super) struct MessageRoom {
    len: usize,
    of: Arc<AtomicUsize>,
}

impl Drop for MessageRoom {
    fn drop(&mut self) {
        self.of.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(super) struct PeerState {
    /// Its wants, in the order in which it asked.
    pub(super) theirs: VecDeque<WantEntry>,
    /// Questions still to be sent to it.
    pub(super) to_ask: Vec<WantEntry>,
    /// Questions sent to it, and the transfers that wait for the answers.
    pub(super) asked: HashMap<Sha256, Vec<mpsc::UnboundedSender<PeerEvent>>>,
    /// The blocks that were asked of it.
    pub(super) owed: HashSet<Sha256>,
    /// When a block was last asked of it.
    pub(super) owes_since: Option<Instant>,
    /// Asked and cancelled; may still come.
    pub(super) late: VecDeque<Sha256>,
    pub(super) gone: bool,
}

impl ConnectedPeer {
    /// Creates the state of a peer that has just connected, with `upload` bytes a second for it; 0 is no limit.
    pub(super) fn new(upload: u64) -> Self {
        Self {
            wake: Notify::new(),
            rates: PeerRates { sent: Rate::new(upload), entries: Rate::new(ENTRIES_RATE) },
            state: Mutex::default(),
            stirred: Mutex::new(Instant::now()),
            heard: Mutex::default(),
            counts: PeerCounts::default(),
            coming: Arc::default(),
        }
    }

    /// Reserves room for a message of this length; none when that is more, with all others in transit, than the
    /// peer has reason to send: the requested blocks, and a wantlist. A message that waited for room would block
    /// those that have some.
    pub(super) fn admit(&self, len: usize) -> Option<MessageRoom> {
        let owed = self.state().owed.len();
        let of_blocks = if owed > 0 { (owed + 1) * BLOCK_ROOM } else { 0 };
        let of = Arc::clone(&self.coming);
        let room = MessageRoom { len, of };
        let all = room.of.fetch_add(len, Ordering::Relaxed) + len;
        (len <= MOST && all <= MOST_UNASKED + of_blocks).then_some(room)
    }

    /// Records that bytes came from it or went to it.
    pub(super) fn stir(&self) {
        *self.stirred.lock().expect("nothing panics while it is held") = Instant::now();
    }

    /// Notes that thousands of bytes of a message have come from it.
    pub(super) fn hear(&self) {
        self.stir();
        *self.heard.lock().expect("nothing panics while it is held") = Some(Instant::now());
    }

    /// True if that happened in the last seconds: it is sending.
    pub(super) fn is_sending(&self) -> bool {
        let heard = *self.heard.lock().expect("nothing panics while it is held");
        heard.is_some_and(|heard| heard.elapsed() < STIRRED)
    }

    /// True if bytes have come from it or gone to it in the last seconds.
    pub(super) fn is_stirring(&self) -> bool {
        self.stirred.lock().expect("nothing panics while it is held").elapsed() < STIRRED
    }

    /// Returns the bytes of blocks to and from it.
    pub(super) fn traffic(&self) -> Traffic {
        let PeerCounts { sent, received, .. } = &self.counts;
        Traffic { sent: sent.load(Ordering::Relaxed), received: received.load(Ordering::Relaxed) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl PeerState {
    /// True if it owes a block that was asked of it in the last seconds. After that, some of it should have come.
    pub(super) fn owes_lately(&self) -> bool {
        !self.owed.is_empty() && self.owes_since.is_some_and(|since| since.elapsed() < STIRRED)
    }

    /// Updates the peer's wants. Those beyond the limit are not answered.
    pub(super) fn note(&mut self, full: bool, wants: Vec<WantEntry>) {
        if full {
            self.theirs.clear();
        }
        let cancelled: HashSet<Bytes> =
            wants.iter().filter(|want| want.ask == WantKind::Cancel).map(|want| want.cid.clone()).collect();
        if !cancelled.is_empty() {
            self.theirs.retain(|want| !cancelled.contains(&want.cid));
        }
        let room = WANTS_MOST.saturating_sub(self.theirs.len());
        self.theirs.extend(wants.into_iter().filter(|want| want.ask != WantKind::Cancel).take(room));
    }

    /// Passes an answer on. False when no transfer asked, also not recently.
    pub(super) fn answer(&mut self, id: PeerId, digest: Sha256, answer: &BlockAnswer) -> bool {
        // A peer that has it is asked for the block next; any other answer is the last one.
        let waiting = match answer {
            BlockAnswer::Have => self.asked.get(&digest).cloned(),
            _ => {
                self.owed.remove(&digest);
                self.asked.remove(&digest)
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cid::Cid;

    fn wants(range: std::ops::Range<u32>, ask: WantKind) -> Vec<WantEntry> {
        range.map(|i| WantEntry::new(Cid::raw(Sha256::of(&i.to_be_bytes())), ask)).collect()
    }

    #[test]
    fn of_endless_wants_the_first_few_are_kept() {
        let mut state = PeerState::default();
        for round in 0..10 {
            state.note(false, wants(round * 1000..(round + 1) * 1000, WantKind::Block));
            assert!(state.theirs.len() <= WANTS_MOST);
        }
        assert_eq!(state.theirs.len(), WANTS_MOST);
        state.note(false, wants(0..1000, WantKind::Cancel));
        assert_eq!(state.theirs.len(), WANTS_MOST - 1000);
        state.note(true, wants(7..9, WantKind::Have));
        assert_eq!(state.theirs, wants(7..9, WantKind::Have));
    }

    #[test]
    fn what_was_not_asked_for_is_known_as_such() {
        let (mut state, (tell, mut told)) = (PeerState::default(), mpsc::unbounded_channel());
        let (asked, other) = (Sha256::of(b"asked"), Sha256::of(b"other"));
        state.asked.insert(asked, vec![tell]);
        let (peer, block) = (PeerId::random(), BlockAnswer::Block(Bytes::new()));
        assert!(!state.answer(peer, other, &block));
        assert!(state.answer(peer, asked, &block) && told.try_recv().is_ok());
        // It was wanted once, not twice.
        assert!(!state.answer(peer, asked, &block));
        state.late.push_back(other);
        assert!(state.answer(peer, other, &block) && !state.answer(peer, other, &block));
    }
}
