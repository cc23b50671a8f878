//! The bytes of small files that were read in one go and wait for their clients: so many and no more, whatever the number
//! of clients. Where there is no room for more of them, a file is sent in pieces, as large ones are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Most bytes of all of them. 200 clients that read slowly leave the process below 60 MB.
const MOST: usize = 12 << 20;

/// Most bytes of one: most packages, and all signatures, have less.
pub(super) const MOST_EACH: u64 = 256 << 10;

/// The bytes that are held. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct HeldBytes(Arc<AtomicUsize>);

/// Room for the bytes of one file, until it is dropped.
struct HeldRoom {
    all: HeldBytes,
    bytes: usize,
}

/// Bytes in their room.
struct HeldFile {
    bytes: Vec<u8>,
    _room: HeldRoom,
}

impl AsRef<[u8]> for HeldFile {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldRoom {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl HeldBytes {
    /// Has `read` read a file of `size` bytes; `None` where it is too large, there is no room, or it fails.
    pub(super) fn hold(&self, size: u64, read: impl FnOnce(usize) -> Option<Vec<u8>>) -> Option<Bytes> {
        let bytes = usize::try_from(size).ok().filter(|_| size <= MOST_EACH)?;
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let room = HeldRoom { all: self.clone(), bytes };
        (before + bytes <= MOST).then_some(())?;
        let bytes = read(bytes)?;
        Some(Bytes::from_owner(HeldFile { bytes, _room: room }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_there_is_room_for_and_what_was_sent_makes_room() {
        let held = HeldBytes::default();
        let one = || held.hold(MOST_EACH, |size| Some(vec![7; size]));
        let mut all: Vec<Bytes> = std::iter::from_fn(one).take(10_000).collect();
        assert_eq!(all.iter().map(Bytes::len).sum::<usize>(), MOST);
        let part = all.pop().map(|bytes| bytes.slice(5..9)).unwrap();
        assert!(one().is_none(), "a part of it waits still");
        drop(part);
        assert!(one().is_some() && held.hold(MOST_EACH + 1, |size| Some(vec![7; size])).is_none());
        assert!(held.hold(9, |_| None).is_none());
        drop(all);
        assert_eq!(held.0.load(Ordering::Relaxed), 0);
    }
}
