//! The running hash of a file: of a large one on a thread of its own, so that bytes are received while others are
//! hashed.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use crate::trust::verify::Verifier;

/// Files up to this size are hashed where they are received: starting a thread costs as much as hashing 100 KiB,
/// and a small file gains too little. Bytes.
const LARGE: u64 = 8 << 20;

/// Pieces that may wait for hashing. A piece is one read of a connection, at most some 400 KiB (hyper 1,
/// `DEFAULT_MAX_BUFFER_SIZE`); no more are received until one is hashed.
const WAITING: usize = 8;

/// The hash of a file's beginning.
pub(super) struct Hashing {
    /// Bytes passed in so far.
    size: u64,
    mode: HashingMode,
}

enum HashingMode {
    Here(Verifier),
    Aside(SyncSender<Bytes>, JoinHandle<Verifier>),
}

impl Hashing {
    /// Continues from the state of `verifier`, in a file of `whole` bytes, if that is known.
    pub(super) fn new(verifier: Verifier, whole: Option<u64>) -> Self {
        let size = verifier.size();
        match whole {
            Some(whole) if whole.saturating_sub(size) > LARGE => Self { size, mode: HashingMode::of_large(verifier) },
            _ => Self { size, mode: HashingMode::Here(verifier) },
        }
    }

    /// Counts the bytes passed in so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        match &mut self.mode {
            HashingMode::Here(verifier) => verifier.update(&bytes),
            HashingMode::Aside(send, _) => send.send(bytes).expect("it listens for as long as there is a sender"),
        }
    }

    /// Waits until all bytes passed in are hashed.
    pub(super) fn finish(self) -> Verifier {
        match self.mode {
            HashingMode::Here(verifier) => verifier,
            HashingMode::Aside(send, thread) => {
                drop(send);
                thread.join().expect("hashing does not panic")
            }
        }
    }
}

impl HashingMode {
    /// Hashes on a thread of its own; if this machine allows no further thread, here.
    fn of_large(verifier: Verifier) -> Self {
        keep_freed_memory();
        let (give, given) = sync_channel::<Verifier>(1);
        let (send, receive) = sync_channel::<Bytes>(WAITING);
        let hash = move || {
            let mut verifier = given.recv().expect("it is given right after the start");
            receive.iter().for_each(|bytes| verifier.update(&bytes));
            verifier
        };
        match thread::Builder::new().spawn(hash) {
            Ok(thread) => {
                give.send(verifier).expect("the thread waits for it");
                Self::Aside(send, thread)
            }
            Err(_) => Self::Here(verifier),
        }
    }
}

/// Makes the allocator keep freed memory, up to twice [`KEPT`], for the next bytes.
///
/// While bytes wait for hashing their memory is in use, and the connection receives into other memory. glibc gives
/// memory at the end of the heap back to the kernel once it is more than 128 KiB, and taking it again costs a page
/// fault for each 4 KiB: 17,000 of them for 200 MiB, a sixth of the time. Freeing one large block raises that
/// limit to twice its size, as mallopt(3) describes for M_MMAP_THRESHOLD; the block itself is never touched. Other
/// allocators ignore this.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
}

/// Bytes: more than all pieces that wait.
const KEPT: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    fn hashed(whole: Option<u64>, pieces: &[&'static [u8]]) -> bool {
        let mut hashing = Hashing::new(Verifier::new(), whole);
        pieces.iter().for_each(|piece| hashing.update(Bytes::from_static(piece)));
        let all = pieces.concat();
        assert_eq!(hashing.size(), all.len() as u64);
        hashing.finish().finish(Sha256::of(&all), all.len() as u64).is_ok()
    }

    #[test]
    fn a_large_file_is_hashed_in_its_order_as_a_small_one_is() {
        let pieces = [&b"one"[..], b"", b"two", b"three"].repeat(50);
        assert!(hashed(None, &pieces) && hashed(Some(1), &pieces) && hashed(Some(LARGE + 1), &pieces));
    }

    #[test]
    fn what_was_hashed_before_counts() {
        let mut verifier = Verifier::new();
        verifier.update(b"ab");
        let mut hashing = Hashing::new(verifier, Some(3 * LARGE));
        hashing.update(Bytes::from_static(b"c"));
        assert!(hashing.finish().finish(Sha256::of(b"abc"), 3).is_ok());
    }
}
