//! The running hash of a file: of a large one on a thread of its own, so that bytes are received while others are hashed.
//!
//! That thread reads what was written, and is told no more than how far it may go. Bytes that were received and handed to
//! it would keep the connection from receiving the next ones in the same memory, and memory that was not in use before is
//! what receiving then costs most (`tests/bench --case kubo-local`). And what is proven is what the file holds.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::verify::Verifier;

/// Files up to this size are hashed where they are received: to start a thread costs as much as to hash 100 KiB, and what a
/// small file would gain nobody notices. Bytes.
const LARGE: u64 = 8 << 20;

/// Pieces that may wait for being hashed, so that they are still in memory then. A piece is what one read of a connection
/// gave, at most some 400 KiB (hyper 1, `DEFAULT_MAX_BUFFER_SIZE`); more are not received until one was hashed.
const WAITING: usize = 32;

/// Hashes the beginning of a file.
pub(super) struct Hashing {
    /// Bytes that were handed in.
    size: u64,
    way: Way,
}

enum Way {
    Here(Verifier),
    Aside(SyncSender<u64>, JoinHandle<io::Result<Verifier>>),
}

impl Hashing {
    /// Goes on where `verifier` is, in the file `file` of `whole` bytes, when that is known.
    pub(super) fn new(verifier: Verifier, file: &File, whole: Option<u64>) -> Self {
        let size = verifier.size();
        match whole {
            Some(whole) if whole.saturating_sub(size) > LARGE => Self { size, way: Way::of_large(verifier, file) },
            _ => Self { size, way: Way::Here(verifier) },
        }
    }

    /// Bytes handed in so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next bytes, which are in the file already and stay there.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.way {
            Way::Here(verifier) => verifier.update(bytes),
            // One that could not read has ended, and says so at the end.
            Way::Aside(send, _) => drop(send.send(self.size)),
        }
    }

    /// Waits until everything that was handed in is hashed.
    ///
    /// # Errors
    /// When the file could not be read.
    pub(super) fn finish(self) -> io::Result<Verifier> {
        match self.way {
            Way::Here(verifier) => Ok(verifier),
            Way::Aside(send, thread) => {
                drop(send);
                thread.join().expect("hashing does not panic")
            }
        }
    }
}

impl Way {
    /// On a thread of its own; where this machine allows no more of them, here.
    fn of_large(verifier: Verifier, file: &File) -> Self {
        let Ok(file) = file.try_clone() else { return Self::Here(verifier) };
        let (give, given) = sync_channel::<Verifier>(1);
        let (send, receive) = sync_channel::<u64>(WAITING);
        let hash = move || {
            let mut verifier = given.recv().expect("it is given right after the start");
            receive.iter().try_for_each(|len| verifier.read(&file, len)).map(|()| verifier)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::digest::Sha256;

    fn hashed(whole: Option<u64>, pieces: &[&'static [u8]]) -> bool {
        let file = tempfile::tempfile().unwrap();
        let mut hashing = Hashing::new(Verifier::new(), &file, whole);
        for piece in pieces {
            file.write_all_at(piece, hashing.size()).unwrap();
            hashing.update(piece);
        }
        let all = pieces.concat();
        assert_eq!(hashing.size(), all.len() as u64);
        hashing.finish().unwrap().finish(Sha256::of(&all), all.len() as u64).is_ok()
    }

    #[test]
    fn a_large_file_is_hashed_in_its_order_as_a_small_one_is() {
        let pieces = [&b"one"[..], b"", b"two", b"three"].repeat(50);
        assert!(hashed(None, &pieces) && hashed(Some(1), &pieces) && hashed(Some(LARGE + 1), &pieces));
    }

    #[test]
    fn what_was_hashed_before_counts() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        let mut verifier = Verifier::new();
        verifier.update(b"ab");
        let mut hashing = Hashing::new(verifier, &file, Some(3 * LARGE));
        hashing.update(b"c");
        assert!(hashing.finish().unwrap().finish(Sha256::of(b"abc"), 3).is_ok());
    }

    #[test]
    fn a_file_that_was_cut_short_is_an_error_and_nobody_waits() {
        let file = tempfile::tempfile().unwrap();
        let mut hashing = Hashing::new(Verifier::new(), &file, Some(3 * LARGE));
        (0..2 * WAITING).for_each(|_| hashing.update(b"abc"));
        assert!(hashing.finish().is_err());
    }
}
