//! The received bytes: the partial file, its running hash, and the sender of each part.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use rustix::fs::SeekFrom;

use crate::engine::race::hashing::Hashing;
use crate::trust::verify::Verifier;

/// The partial file. Its parts may have gaps between them; the hash covers a part of the beginning and is brought up to
/// date by [`Sheet::finish_hash`].
pub(super) struct Sheet<'f> {
    file: &'f File,
    hashing: Hashing,
    /// Size of the whole file, when it is known.
    size: Option<u64>,
    /// In order, without overlaps.
    parts: Vec<SentRange>,
}

/// Bytes from one sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SentRange {
    source: usize,
    from: u64,
    to: u64,
}

/// The index for an earlier run, whose sources are unknown.
pub(super) const EARLIER: usize = usize::MAX;

/// Bytes before a hole that a killed run may have left unwritten: the rest of its last page.
const PAGE: u64 = 64 * 1024;

impl<'f> Sheet<'f> {
    /// Takes over the first `have` bytes of an earlier run, as far as they were written without a gap. They are
    /// hashed again: no record of them exists that could be ahead of the data.
    pub(super) fn start(file: &'f File, have: u64, size: Option<u64>) -> io::Result<Self> {
        let have = without_holes(file, have.min(file.metadata()?.len()));
        let hashing = Hashing::new(Verifier::resume(file, have)?, size);
        // Only if there is something to cut: ext4 takes a cut to zero for a rewrite, and closing the file then
        // waits for the disk (fs/ext4/inode.c, EXT4_STATE_DA_ALLOC_CLOSE).
        if file.metadata()?.len() != have {
            file.set_len(have)?;
        }
        let parts = if have > 0 { vec![SentRange { source: EARLIER, from: 0, to: have }] } else { Vec::new() };
        Ok(Self { file, hashing, size, parts })
    }

    /// Returns the end of the part from the beginning without a gap.
    pub(super) fn front(&self) -> u64 {
        self.parts
            .iter()
            .try_fold(0, |at, part| if part.from == at { Ok(part.to) } else { Err(at) })
            .unwrap_or_else(|at| at)
    }

    /// Counts the received bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.to - part.from).sum()
    }

    /// True if bytes of several senders are here.
    pub(super) fn is_mixed(&self) -> bool {
        self.parts.windows(2).any(|two| two[0].source != two[1].source)
    }

    /// Returns the file itself.
    pub(super) fn file(&self) -> &'f File {
        self.file
    }

    /// Adds bytes that are not here yet.
    pub(super) fn add(&mut self, source: usize, at: u64, bytes: Bytes) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&bytes, at)?;
        let to = at + bytes.len() as u64;
        if at == self.hashing.size() {
            self.hashing.update(bytes);
        }
        let next = self.parts.partition_point(|part| part.from < at);
        match next.checked_sub(1).map(|last| &mut self.parts[last]) {
            Some(last) if last.source == source && last.to == at => last.to = to,
            _ => self.parts.insert(next, SentRange { source, from: at, to }),
        }
        Ok(())
    }

    /// True if all of `range` is here.
    pub(super) fn has(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        for part in self.parts.iter().skip_while(|part| part.to <= range.start) {
            if part.from > at || at >= range.end {
                break;
            }
            at = part.to;
        }
        at >= range.end
    }

    /// Reads a part that is here.
    pub(super) fn read(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("a leaf fits into memory")];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    /// Forgets `range`.
    pub(super) fn erase(&mut self, range: &Range<u64>) {
        let kept = self.parts.iter().flat_map(|part| {
            let before = SentRange { to: part.to.min(range.start), ..*part };
            let after = SentRange { from: part.from.max(range.end), ..*part };
            [before, after].into_iter().filter(|part| part.from < part.to)
        });
        self.parts = kept.collect();
        if range.start < self.hashing.size() && range.start < range.end {
            self.hashing = Hashing::new(Verifier::new(), self.size);
        }
        let end = self.parts.last().map_or(0, |part| part.to);
        if self.file.metadata().is_ok_and(|meta| meta.len() > end) {
            // A file that cannot be cut is too long at the end, and then it is not accepted.
            let _ = self.file.set_len(end);
        }
    }

    /// Lists the ranges that `source` has sent.
    pub(super) fn parts_of(&self, source: usize) -> impl Iterator<Item = Range<u64>> + '_ {
        self.parts.iter().filter(move |part| part.source == source).map(|part| part.from..part.to)
    }

    /// Hashes the bytes that the running hash does not cover yet, and returns it. All bytes must be here.
    pub(super) fn finish_hash(&mut self) -> io::Result<Verifier> {
        let hashing = std::mem::replace(&mut self.hashing, Hashing::new(Verifier::new(), None));
        let mut verifier = hashing.finish();
        verifier.read(self.file, self.front())?;
        Ok(verifier)
    }

    /// Lists the senders of bytes in `range`, without repetition.
    pub(super) fn senders(&self, range: &Range<u64>) -> Vec<usize> {
        let parts = self.parts.iter().filter(|part| part.from < range.end && part.to > range.start);
        let mut senders: Vec<usize> = parts.map(|part| part.source).collect();
        senders.sort_unstable();
        senders.dedup();
        senders
    }

    /// Lists bytes by source of this run, in the order of the file.
    pub(super) fn shares(&self) -> Vec<(usize, u64)> {
        let mut shares: Vec<(usize, u64)> = Vec::new();
        for part in self.parts.iter().filter(|part| part.source != EARLIER) {
            match shares.iter_mut().find(|(source, _)| *source == part.source) {
                Some((_, bytes)) => *bytes += part.to - part.from,
                None => shares.push((part.source, part.to - part.from)),
            }
        }
        shares
    }
}

impl Drop for Sheet<'_> {
    /// The next run cannot tell bytes behind a gap from the gap.
    fn drop(&mut self) {
        let front = self.front();
        if self.parts.last().is_some_and(|last| last.to > front) {
            let _ = self.file.set_len(front);
        }
    }
}

/// Counts how many of the first `len` bytes were surely written. A run that was killed while several sources
/// shared the file leaves holes; they end the part that is kept. If the file system does not report them, the
/// proof at the end does.
fn without_holes(file: &File, len: u64) -> u64 {
    let hole = rustix::fs::seek(file, SeekFrom::Hole(0));
    // Restores the position for later readers of the file.
    let _ = rustix::fs::seek(file, SeekFrom::Start(0));
    hole.ok().filter(|hole| *hole < len).map_or(len, |hole| hole.saturating_sub(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    fn sheet(file: &File, have: u64) -> Sheet<'_> {
        Sheet::start(file, have, None).unwrap()
    }

    #[test]
    fn parts_follow_what_is_added_and_erased() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abcdef", 0).unwrap();
        let mut sheet = sheet(&file, 4);
        sheet.add(0, 4, Bytes::from_static(b"ef")).unwrap();
        sheet.add(1, 8, Bytes::from_static(b"ij")).unwrap();
        assert_eq!((sheet.front(), sheet.bytes(), sheet.shares()), (6, 8, vec![(0, 2), (1, 2)]));
        assert!(sheet.has(&(0..6)) && !sheet.has(&(5..7)) && sheet.has(&(8..10)) && !sheet.has(&(6..8)));
        sheet.add(0, 6, Bytes::from_static(b"")).unwrap();
        sheet.add(1, 6, Bytes::from_static(b"gh")).unwrap();
        assert_eq!((sheet.front(), sheet.senders(&(3..7))), (10, vec![0, 1, EARLIER]));
        sheet.erase(&(5..7));
        assert_eq!((sheet.front(), sheet.shares()), (5, vec![(0, 1), (1, 3)]));
        assert_eq!(sheet.parts_of(1).collect::<Vec<_>>(), [7..8, 8..10]);
        sheet.erase(&(7..10));
        assert_eq!((sheet.front(), file.metadata().unwrap().len()), (5, 5), "what is erased at the end is cut");
    }

    #[test]
    fn the_hash_covers_what_came_out_of_order_and_what_was_erased_and_came_again() {
        let file = tempfile::tempfile().unwrap();
        let mut sheet = sheet(&file, 0);
        sheet.add(0, 0, Bytes::from_static(b"ab")).unwrap();
        sheet.add(1, 4, Bytes::from_static(b"ef")).unwrap();
        sheet.add(0, 2, Bytes::from_static(b"xx")).unwrap();
        sheet.erase(&(2..4));
        sheet.add(1, 2, Bytes::from_static(b"cd")).unwrap();
        assert!(sheet.finish_hash().unwrap().finish(Sha256::of(b"abcdef"), 6).is_ok());
    }

    #[test]
    fn what_lies_behind_a_gap_is_not_left_for_the_next_run() {
        let file = tempfile::tempfile().unwrap();
        let mut first = sheet(&file, 0);
        first.add(0, 0, Bytes::from_static(b"ab")).unwrap();
        first.add(1, 4, Bytes::from_static(b"ef")).unwrap();
        drop(first);
        assert_eq!(file.metadata().unwrap().len(), 2);
    }

    #[test]
    fn a_hole_that_a_killed_run_left_ends_what_is_kept() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 300_000], 0).unwrap();
        file.write_all_at(&[1; 10], 9_000_000).unwrap();
        let kept = sheet(&file, 9_000_010).front();
        assert!(kept <= 300_000, "{kept} bytes kept, 300000 were written");
        assert!(kept >= 200_000, "{kept} bytes kept of 300000");
    }
}
