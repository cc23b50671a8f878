//! Proof of a file leaf by leaf: once its root block is known, every leaf can be proven alone, from any source and in
//! any order, a mirror that answers Range requests included.
//!
//! Proof of the whole file tells only at the end that it is wrong, and not where. With leaves, a source that sends
//! wrong bytes or breaks off costs one leaf, and a partial file is cut back to its last proven leaf and continued.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::ops::Range;
use std::sync::Arc;

use crate::base::cid::{Cid, Codec};
use crate::base::digest::{Hasher, Sha256};
use crate::base::size::BLOCK_MOST;

use super::DagError;
use super::unixfs::DagNode;

/// The position and the hash of each leaf of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    digests: Vec<Sha256>,
    /// The offset after each leaf, ascending.
    ends: Vec<u64>,
}

impl Leaves {
    /// Reads the leaves of the file `root` out of its block, from whatever source.
    ///
    /// `expected_size` is the file's size in bytes where it is known (index, sync database).
    ///
    /// # Errors
    /// `NotTheBlock`, `TooLong`: another source may have the right block. `Size`: the CID and `expected_size`
    /// are not of the same file. `NotFlat`: more than one level (over 1 GiB, or published by others), which
    /// [`super::walk::Walk`] reads. `Directory` and the rest: the CID is not a file's.
    pub fn from_root(root: Cid, block: &[u8], expected_size: Option<u64>) -> Result<Self, DagError> {
        let DagNode::File { inline, pieces, size } = super::open(root, block)? else { return Err(DagError::Directory) };
        if let Some(declared) = expected_size.filter(|declared| *declared != size) {
            return Err(DagError::Size { declared, found: size });
        }
        if root.codec() == Codec::Raw {
            return Ok(Self { digests: vec![root.digest()], ends: vec![size] });
        }
        if !inline.is_empty() || pieces.iter().any(|piece| piece.cid.codec() != Codec::Raw) {
            return Err(DagError::NotFlat);
        }
        let mut leaves = Self { digests: Vec::with_capacity(pieces.len()), ends: Vec::with_capacity(pieces.len()) };
        let mut end = 0;
        for piece in &pieces {
            // An empty leaf would make two leaves begin at one offset. No chunker makes any.
            if piece.size == 0 {
                return Err(DagError::Malformed("a leaf without content among others"));
            }
            if piece.size > BLOCK_MOST as u64 {
                return Err(DagError::Limit { what: "bytes in a leaf", limit: BLOCK_MOST as u64 });
            }
            end += piece.size; // The sum was checked with the node.
            leaves.digests.push(piece.cid.digest());
            leaves.ends.push(end);
        }
        Ok(leaves)
    }

    /// Returns the number of leaves: at least one, except in an empty file of foreign make.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Returns the range of leaf `i` in the file.
    ///
    /// # Panics
    /// When there is no leaf `i`, as with the others that take one.
    pub fn range(&self, i: usize) -> Range<u64> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        start..self.ends[i]
    }

    /// Returns the CID of leaf `i`, to ask for it as a block.
    pub(crate) fn cid(&self, i: usize) -> Cid {
        Cid::raw(self.digests[i])
    }

    /// Returns the leaf that holds the byte at `offset`; `None` at the end of the file and beyond.
    pub fn leaf_at(&self, offset: u64) -> Option<usize> {
        Some(self.ends.partition_point(|end| *end <= offset)).filter(|i| *i < self.count())
    }

    /// Returns true when `bytes` are leaf `i`.
    pub fn proves(&self, i: usize, bytes: &[u8]) -> bool {
        let range = self.range(i);
        bytes.len() as u64 == range.end - range.start && Sha256::of(bytes) == self.digests[i]
    }
}

/// The reason why bytes are not the file's. Trying again at another source helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// This leaf is not the one that the root names. It is unknown which of its bytes are wrong.
    #[error("leaf {leaf} (bytes {} to {}) is not what the CID says", range.start, range.end)]
    Leaf {
        /// Its number, counted from 0.
        leaf: usize,
        /// Its range in the file.
        range: Range<u64>,
    },
    /// More bytes than the file has.
    #[error("more bytes came than the file has ({size})")]
    Excess {
        /// Bytes of the file.
        size: u64,
    },
}

/// A prover of bytes that arrive in pieces of any length, from the beginning of a leaf onwards.
///
/// Test: `any_splitting_gives_the_same_verdict`.
#[derive(Clone)]
pub struct LeafProver {
    leaves: Arc<Leaves>,
    leaf: usize,
    /// Bytes of the open leaf received so far.
    filled: u64,
    hasher: Hasher,
    failed: Option<ProofError>,
}

impl LeafProver {
    /// Expects the bytes of `leaf` first; at `leaves.count()` nothing more.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn new(leaves: Arc<Leaves>, leaf: usize) -> Self {
        let mut prover = Self { leaves, leaf, filled: 0, hasher: Hasher::default(), failed: None };
        prover.close_if_full(); // The only leaf of an empty file is full from the start.
        prover
    }

    /// Adds bytes. Those before [`proven`](Self::proven) are proven also when this fails.
    ///
    /// # Errors
    /// The first error, and the same at each later call.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ProofError> {
        while !bytes.is_empty() && self.failed.is_none() {
            if self.is_done() {
                self.failed = Some(ProofError::Excess { size: self.leaves.size() });
                break;
            }
            let range = self.leaves.range(self.leaf);
            let room = range.end - range.start - self.filled;
            let (now, rest) = bytes.split_at(usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len())));
            self.hasher.update(now);
            self.filled += now.len() as u64;
            bytes = rest;
            self.close_if_full();
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Returns the offset in the file up to which all bytes since the start are proven: a border between leaves.
    pub fn proven(&self) -> u64 {
        if self.leaf == 0 { 0 } else { self.leaves.range(self.leaf - 1).end }
    }

    /// Returns true once the last leaf is proven.
    pub fn is_done(&self) -> bool {
        self.leaf == self.leaves.count()
    }

    /// Returns the number of bytes that are missing until the end of the file.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn missing(&self) -> u64 {
        self.leaves.size() - self.proven() - self.filled
    }

    fn close_if_full(&mut self) {
        if self.is_done() {
            return;
        }
        let range = self.leaves.range(self.leaf);
        if range.end - range.start > self.filled {
            return;
        }
        if std::mem::take(&mut self.hasher).finish() == self.leaves.digests[self.leaf] {
            self.leaf += 1;
            self.filled = 0;
        } else {
            self.failed = Some(ProofError::Leaf { leaf: self.leaf, range });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::unixfs::{self, Piece};
    use super::*;
    use crate::base::size::CHUNK;
    use proptest::prelude::*;

    /// Returns a file of leaves of 100 bytes, so that many fit into a test.
    fn file(len: usize) -> (Vec<u8>, Arc<Leaves>) {
        let file: Vec<u8> = (0..len).map(|i| (i * 7 / 3) as u8).collect();
        let piece = |leaf: &[u8]| Piece { cid: Cid::raw(Sha256::of(leaf)), size: leaf.len() as u64, tsize: 0 };
        let root = unixfs::file(&file.chunks(100).map(piece).collect::<Vec<_>>());
        let leaves = Leaves::from_root(Cid::dag_pb(Sha256::of(&root)), &root, Some(len as u64)).unwrap();
        (file, Arc::new(leaves))
    }

    #[test]
    fn every_leaf_is_found_and_proven_by_itself() {
        let (file, leaves) = file(950);
        assert_eq!((leaves.count(), leaves.size()), (10, 950));
        assert_eq!((leaves.range(0), leaves.range(9)), (0..100, 900..950));
        assert_eq!((leaves.leaf_at(0), leaves.leaf_at(99), leaves.leaf_at(100)), (Some(0), Some(0), Some(1)));
        assert_eq!((leaves.leaf_at(949), leaves.leaf_at(950), leaves.leaf_at(u64::MAX)), (Some(9), None, None));
        for i in 0..10 {
            let range = leaves.range(i);
            let bytes = &file[range.start as usize..range.end as usize];
            assert!(leaves.proves(i, bytes) && leaves.cid(i).proves(bytes));
            assert!(!leaves.proves(i, &bytes[1..]) && !leaves.proves((i + 1) % 10, bytes));
        }
    }

    /// Returns the length of the proven beginning of a partial file: always a border between leaves.
    fn proven_prefix(leaves: &Arc<Leaves>, partial: &[u8]) -> u64 {
        let mut prover = LeafProver::new(Arc::clone(leaves), 0);
        let most = usize::try_from(prover.missing()).unwrap();
        let _ = prover.push(&partial[..partial.len().min(most)]);
        prover.proven()
    }

    #[test]
    fn our_own_files_have_a_table_from_their_root() {
        let bytes = vec![3; 2 * CHUNK + 1];
        let mut last = Vec::new();
        let built = build::build_blocks(&bytes[..], |_, block| {
            last = block.to_vec();
            Ok(())
        })
        .unwrap();
        let leaves = Arc::new(Leaves::from_root(built.root, &last, Some(built.size)).unwrap());
        assert_eq!((leaves.count(), leaves.range(2)), (3, 2 * CHUNK as u64..2 * CHUNK as u64 + 1));
        assert_eq!(proven_prefix(&leaves, &bytes), built.size);
    }

    #[test]
    fn a_single_block_is_its_own_table() {
        let cid = Cid::raw(Sha256::of(b"abc"));
        let leaves = Arc::new(Leaves::from_root(cid, b"abc", None).unwrap());
        assert_eq!((leaves.count(), leaves.range(0), leaves.cid(0)), (1, 0..3, cid));
        assert!(!LeafProver::new(leaves, 0).is_done(), "three bytes are not proven by none");
        let empty = Arc::new(Leaves::from_root(Cid::raw(Sha256::of(b"")), b"", None).unwrap());
        assert!(LeafProver::new(Arc::clone(&empty), 0).is_done());
        assert_eq!(empty.leaf_at(0), None);
    }

    #[test]
    fn a_root_that_is_wrong_foreign_or_of_another_file_is_told_apart() {
        let cid = Cid::raw(Sha256::of(b"abc"));
        assert_eq!(Leaves::from_root(cid, b"abd", None), Err(DagError::NotTheBlock(cid.into())));
        assert_eq!(Leaves::from_root(cid, b"abc", Some(4)), Err(DagError::Size { declared: 4, found: 3 }));
        assert_eq!(Leaves::from_root(cid, &vec![0; BLOCK_MOST + 1], None), Err(DagError::TooLong(BLOCK_MOST + 1)));
        let of = |block: &[u8]| Leaves::from_root(Cid::dag_pb(Sha256::of(block)), block, None);
        assert_eq!(of(&unixfs::directory([])), Err(DagError::Directory));
        let inner = Piece { cid: Cid::dag_pb(Sha256::of(b"")), size: 5, tsize: 5 };
        assert_eq!(of(&unixfs::file(&[inner])), Err(DagError::NotFlat));
        let long = Piece { cid, size: BLOCK_MOST as u64 + 1, tsize: 5 };
        assert!(matches!(of(&unixfs::file(&[long])), Err(DagError::Limit { .. })));
        assert!(matches!(of(&unixfs::file(&[Piece { size: 0, ..long }])), Err(DagError::Malformed(_))));
    }

    #[test]
    fn a_partial_file_is_cut_back_to_its_last_proven_leaf() {
        let (file, leaves) = file(950);
        for (len, proven) in [(0, 0), (99, 0), (100, 100), (949, 900), (950, 950)] {
            assert_eq!(proven_prefix(&leaves, &file[..len]), proven);
        }
        let mut junk = file.clone();
        junk[730] ^= 1;
        assert_eq!(proven_prefix(&leaves, &junk), 700);
        junk = [&file[..], b"<html>"].concat();
        assert_eq!(proven_prefix(&leaves, &junk), 950);
    }

    #[test]
    fn more_bytes_than_the_file_has_are_refused() {
        let (file, leaves) = file(950);
        let mut prover = LeafProver::new(Arc::clone(&leaves), 9);
        assert_eq!(prover.missing(), 50);
        assert_eq!(prover.push(&file[900..]), Ok(()));
        assert!(prover.is_done());
        assert_eq!(prover.push(b"x"), Err(ProofError::Excess { size: 950 }));
        assert_eq!(prover.proven(), 950);
    }

    proptest! {
        #[test]
        fn any_splitting_gives_the_same_verdict(
            cuts in proptest::collection::vec(1usize..250, 1..40),
            start in 0usize..10,
            wrong in proptest::option::of(0usize..950),
        ) {
            let (mut file, leaves) = file(950);
            if let Some(at) = wrong {
                file[at] ^= 0x10;
            }
            let mut prover = LeafProver::new(Arc::clone(&leaves), start);
            let mut rest = &file[start * 100..];
            let mut verdict = Ok(());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                rest = later;
                verdict = prover.push(now);
                if verdict.is_err() || rest.is_empty() {
                    break;
                }
            }
            match wrong.map(|at| at / 100).filter(|leaf| *leaf >= start) {
                Some(leaf) => {
                    prop_assert_eq!(verdict, Err(ProofError::Leaf { leaf, range: leaves.range(leaf) }));
                    prop_assert_eq!(prover.proven(), leaves.range(leaf).start);
                }
                None => {
                    prop_assert_eq!(verdict, Ok(()));
                    prop_assert!(prover.is_done());
                }
            }
        }
    }
}
