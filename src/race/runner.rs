//! What has arrived so far: the partial file, its running hash, and who sent which part.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::verify::Verifier;

/// The state of a partial file. The hash always covers exactly the first [`Runner::at`] bytes.
pub(super) struct Runner {
    verifier: Verifier,
    /// (source, from, to); bytes of an earlier run belong to [`EARLIER`].
    parts: Vec<(usize, u64, u64)>,
}

/// Stands for an earlier run, whose sources are not known any more.
const EARLIER: usize = usize::MAX;

impl Runner {
    /// Hashes the `have` bytes of an earlier run again.
    pub(super) fn start(partial: &File, have: u64) -> io::Result<Self> {
        let verifier = Verifier::resume(partial, have).or_else(|_| Verifier::resume(partial, 0))?;
        // Not when nothing is to be cut: ext4 takes a cut to zero for a rewrite, and closing the file then waits for the
        // disk (fs/ext4/inode.c, EXT4_STATE_DA_ALLOC_CLOSE).
        if partial.metadata()?.len() != verifier.size() {
            partial.set_len(verifier.size())?;
        }
        let parts = if verifier.size() > 0 { vec![(EARLIER, 0, verifier.size())] } else { Vec::new() };
        Ok(Self { verifier, parts })
    }

    /// Bytes that have arrived.
    pub(super) fn at(&self) -> u64 {
        self.verifier.size()
    }

    /// Adds bytes from a source.
    pub(super) fn add(&mut self, partial: &File, index: usize, bytes: &[u8]) -> io::Result<()> {
        let at = self.at();
        partial.write_all_at(bytes, at)?;
        self.verifier.update(bytes);
        let end = self.at();
        match self.parts.last_mut() {
            Some((who, _, to)) if *who == index => *to = end,
            _ => self.parts.push((index, at, end)),
        }
        Ok(())
    }

    /// Keeps the first `keep` bytes and hashes them again.
    pub(super) fn cut(&mut self, partial: &File, keep: u64) {
        let keep = keep.min(partial.metadata().map_or(0, |meta| meta.len()));
        let resumed = partial.set_len(keep).and_then(|()| Verifier::resume(partial, keep));
        match resumed {
            Ok(verifier) => self.verifier = verifier,
            Err(_) => {
                self.verifier = Verifier::new();
                let _ = partial.set_len(0);
            }
        }
        let at = self.at();
        self.parts.retain(|(_, from, _)| *from < at);
        if let Some((_, _, to)) = self.parts.last_mut() {
            *to = at;
        }
    }

    /// Throws everything away.
    pub(super) fn restart(&mut self, partial: &File) {
        self.cut(partial, 0);
    }

    /// Ends the hashing; [`Runner::cut`] must come next when the result is not the expected one.
    pub(super) fn take_verifier(&mut self) -> Verifier {
        std::mem::take(&mut self.verifier)
    }

    /// Whether every byte came from this source in this run.
    pub(super) fn is_alone(&self, index: usize) -> bool {
        self.parts.iter().all(|(who, ..)| *who == index)
    }

    /// The only source of this run that sent anything between two offsets; `None` when there are several, or an earlier
    /// run had a part in it.
    pub(super) fn sole_sender(&self, from: u64, to: u64) -> Option<usize> {
        let mut senders = self.parts.iter().filter(|(_, start, end)| *start < to && *end > from).map(|(who, ..)| *who);
        let first = senders.next().filter(|who| *who != EARLIER)?;
        senders.all(|who| who == first).then_some(first)
    }

    /// The sources of this run that have a part in what is there.
    pub(super) fn involved(&self) -> Vec<usize> {
        self.shares().into_iter().map(|(who, _)| who).collect()
    }

    /// Bytes by source of this run.
    pub(super) fn shares(&self) -> Vec<(usize, u64)> {
        let mut shares: Vec<(usize, u64)> = Vec::new();
        for (who, from, to) in self.parts.iter().filter(|(who, ..)| *who != EARLIER) {
            match shares.iter_mut().find(|(other, _)| other == who) {
                Some((_, bytes)) => *bytes += to - from,
                None => shares.push((*who, to - from)),
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn parts_follow_what_is_cut_and_added() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abcdef", 0).unwrap();
        let mut runner = Runner::start(&file, 4).unwrap();
        runner.add(&file, 0, b"ef").unwrap();
        runner.add(&file, 1, b"gh").unwrap();
        assert_eq!((runner.at(), runner.shares(), runner.is_alone(1)), (8, vec![(0, 2), (1, 2)], false));
        let senders = [(3, 5), (4, 6), (5, 7), (6, 100)].map(|(from, to)| runner.sole_sender(from, to));
        assert_eq!(senders, [None, Some(0), None, Some(1)]);
        runner.cut(&file, 5);
        assert_eq!((runner.at(), runner.shares()), (5, vec![(0, 1)]));
        runner.add(&file, 1, b"fgh").unwrap();
        assert!(runner.take_verifier().finish(Sha256::of(b"abcdefgh"), 8).is_ok());
        runner.restart(&file);
        assert_eq!((runner.at(), runner.is_alone(7)), (0, true));
    }
}
