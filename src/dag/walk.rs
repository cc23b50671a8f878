//! A file of any shape put together from its blocks: CIDv0, small chunks, several levels, content within nodes.
//!
//! The publishers of the files that `fetch CID` names choose the shape. The walk does no I/O, so the same code
//! runs over a gateway, Bitswap and a scripted fake.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;

use crate::base::cid::Cid;

use super::unixfs::DagNode;
use super::{DagError, MAX_DEPTH, MAX_NODES};

/// A file's blocks in the order of their content, each proven before a byte of it is handed on.
pub struct Walk {
    /// The steps left, the next one last.
    stack: Vec<Step>,
    max_size: u64,
    size: Option<u64>,
    nodes: u64,
}

#[derive(Clone, Copy)]
struct Step {
    cid: Cid,
    /// File bytes below it, as its parent declares them; only the root has none.
    size: Option<u64>,
    depth: usize,
}

impl Walk {
    /// Begins a walk over the file `root`, if it has at most `max_size` bytes.
    pub fn new(root: Cid, max_size: u64) -> Self {
        Self { stack: vec![Step { cid: root, size: None, depth: 1 }], max_size, size: None, nodes: 0 }
    }

    /// Returns all blocks known to be needed, [`next_cid`](Self::next_cid) first, to fetch several ahead. The
    /// blocks below one of them come before its successors once it was pushed, so blocks fetched ahead stay
    /// useful. The same CID can occur more than once. A CID that holds its block itself occurs only as the root.
    pub fn wants(&self) -> impl Iterator<Item = Cid> + '_ {
        let wanted = self.stack.iter().rev().filter(|step| step.depth == 1 || step.cid.inline().is_none());
        wanted.map(|step| step.cid)
    }

    /// Returns the CID of the block to push next; `None` when the walk is done.
    pub fn next_cid(&self) -> Option<Cid> {
        self.stack.last().map(|step| step.cid)
    }

    /// Bytes of the file below the block to push next, as its parent says; `None` for the root.
    pub(crate) fn next_size(&self) -> Option<u64> {
        self.stack.last().and_then(|step| step.size)
    }

    /// Takes the block of [`next_cid`](Self::next_cid) and returns the file's next bytes, often none. Pieces that their CIDs
    /// hold themselves are among them: only a root of that kind is ever asked for.
    ///
    /// # Errors
    /// The walk is unchanged then. `NotTheBlock`, `TooLong`: push the same block from another source. All other
    /// errors are in the content that the CID names: `Directory`, `Limit` (of `max_size` as well), `Size`,
    /// `Foreign` and malformed nodes.
    ///
    /// # Panics
    /// When the walk [is done](Self::is_done): it needs no block then.
    pub fn push<'b>(&mut self, block: &'b [u8]) -> Result<Cow<'b, [u8]>, DagError> {
        let step = *self.stack.last().expect("a block is pushed only when one is wanted");
        // The steps left are read from the end on, and changed only when all is well.
        let (mut left, mut fresh, mut nodes) = (self.stack.len() - 1, Vec::new(), self.nodes + 1);
        let (inline, size) = self.read(step, block, nodes + left as u64, &mut fresh)?;
        let mut content = Cow::Borrowed(inline);
        while let Some(next) = fresh.last().or(self.stack[..left].last()).copied() {
            let Some(block) = next.cid.inline() else { break };
            if fresh.pop().is_none() {
                left -= 1;
            }
            nodes += 1;
            let (inline, _) = self.read(next, block, nodes + left as u64, &mut fresh)?;
            content.to_mut().extend_from_slice(inline);
        }
        self.stack.truncate(left);
        self.stack.append(&mut fresh);
        self.nodes = nodes;
        self.size.get_or_insert(size);
        Ok(content)
    }

    /// Returns the content within one block, and the bytes of the file in and below it. Pushes its pieces onto
    /// `fresh`, beside which `used` blocks of the file are known.
    fn read<'b>(
        &self,
        step: Step,
        block: &'b [u8],
        used: u64,
        fresh: &mut Vec<Step>,
    ) -> Result<(&'b [u8], u64), DagError> {
        let DagNode::File { inline, pieces, size } = super::open(step.cid, block)? else {
            return Err(DagError::Directory);
        };
        if let Some(declared) = step.size.filter(|declared| *declared != size) {
            return Err(DagError::Size { declared, found: size });
        }
        // Below the root every size is part of one that was checked.
        if size > self.max_size {
            return Err(DagError::Limit { what: "bytes", limit: self.max_size });
        }
        if !pieces.is_empty() && step.depth == MAX_DEPTH {
            return Err(DagError::Limit { what: "levels", limit: MAX_DEPTH as u64 });
        }
        if used + (fresh.len() + pieces.len()) as u64 > MAX_NODES {
            return Err(DagError::Limit { what: "blocks", limit: MAX_NODES });
        }
        let below =
            |piece: &super::unixfs::Piece| Step { cid: piece.cid, size: Some(piece.size), depth: step.depth + 1 };
        fresh.extend(pieces.iter().rev().map(below));
        Ok((inline, size))
    }

    /// Returns true after all bytes were handed out.
    pub fn is_done(&self) -> bool {
        self.stack.is_empty()
    }

    /// Returns the size of the file in bytes, known once the root was pushed.
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::unixfs::{self, Piece};
    use super::super::vectors::Stream;
    use super::*;
    use crate::base::digest::Sha256;
    use crate::base::protobuf::ProtobufWriter;
    use proptest::prelude::*;

    /// Blocks as `ipfs add` of the profile `unixfs-v0-2015` makes them: CIDv0 and content within dag-pb leaves.
    #[derive(Default)]
    struct Foreign {
        blocks: HashMap<Cid, Vec<u8>>,
    }

    impl Foreign {
        fn put(&mut self, block: Vec<u8>) -> Cid {
            let cid = Cid::from_bytes(&[&[0x12, 0x20], &Sha256::of(&block).0[..]].concat()).unwrap();
            self.blocks.insert(cid, block);
            cid
        }

        fn add(&mut self, file: &[u8], chunk: usize, width: usize) -> Cid {
            let mut level: Vec<Piece> = file.chunks(chunk).map(|leaf| self.leaf(leaf)).collect();
            while level.len() > 1 {
                level = level.chunks(width).map(|pieces| self.node(pieces)).collect();
            }
            level[0].cid
        }

        fn leaf(&mut self, content: &[u8]) -> Piece {
            let size = content.len() as u64;
            let data = ProtobufWriter::default().varint(1, 2).bytes(2, content).varint(3, size).finish();
            let block = ProtobufWriter::default().bytes(1, &data).finish();
            let tsize = block.len() as u64;
            Piece { cid: self.put(block), size, tsize }
        }

        fn node(&mut self, pieces: &[Piece]) -> Piece {
            let block = unixfs::file(pieces);
            let tsize = block.len() as u64 + pieces.iter().map(|piece| piece.tsize).sum::<u64>();
            Piece { cid: self.put(block), size: pieces.iter().map(|piece| piece.size).sum(), tsize }
        }

        fn read(&self, root: Cid, max_size: u64) -> Result<Vec<u8>, DagError> {
            let (mut walk, mut out) = (Walk::new(root, max_size), Vec::new());
            while let Some(cid) = walk.next_cid() {
                out.extend_from_slice(&walk.push(&self.blocks[&cid])?);
            }
            assert!(walk.is_done());
            assert_eq!(walk.size(), Some(out.len() as u64));
            Ok(out)
        }
    }

    #[test]
    fn files_in_the_old_shape_of_kubo_are_read_whole() {
        // `kubo:test/cli/cid_profiles_test.go`, 0.43.1, unixfs-v0-2015.
        for (seed, len, root) in [
            ("chunk-v0-seed", 262_144, "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"),
            ("chunk-v0-seed", 262_145, "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
            ("v0-seed", 174 * 262_144, "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"),
            ("v0-seed", 174 * 262_144 + 1, "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"),
        ] {
            let file = Stream::new(seed).take(len);
            let mut blocks = Foreign::default();
            let cid = blocks.add(&file, 262_144, 174);
            assert_eq!(cid.to_string(), root, "{len}");
            assert!(blocks.read(cid, len as u64).unwrap() == file, "{len}");
            assert_eq!(blocks.read(cid, len as u64 - 1), Err(DagError::Limit { what: "bytes", limit: len as u64 - 1 }));
        }
    }

    #[test]
    fn wanted_blocks_are_named_ahead_and_in_order() {
        let mut blocks = Foreign::default();
        let root = blocks.add(b"abcdefgh", 1, 3);
        let mut walk = Walk::new(root, 8);
        assert_eq!((walk.wants().count(), walk.size()), (1, None));
        assert_eq!(walk.push(&blocks.blocks[&root]).as_deref(), Ok(&b""[..]));
        assert_eq!((walk.wants().count(), walk.size()), (3, Some(8)));
        let first = walk.wants().next().unwrap();
        let after = walk.wants().nth(1).unwrap();
        walk.push(&blocks.blocks[&first]).unwrap();
        assert_eq!((walk.wants().count(), walk.wants().nth(3)), (5, Some(after)));
    }

    #[test]
    fn a_wrong_block_changes_nothing_and_the_right_one_is_taken_after_it() {
        let mut walk = Walk::new(Cid::raw(Sha256::of(b"abc")), 3);
        assert!(matches!(walk.push(b"abd"), Err(DagError::NotTheBlock(_))));
        assert!(!walk.is_done());
        assert_eq!(walk.push(b"abc").as_deref(), Ok(&b"abc"[..]));
        assert!(walk.is_done());
    }

    #[test]
    fn pieces_that_their_cids_hold_are_read_with_the_block_before_them() {
        let mut blocks = Foreign::default();
        let inlined = |content: &[u8]| {
            let cid = Cid::of_link(&[&[1, 0x55, 0, content.len() as u8], content].concat()).unwrap();
            Piece { cid, size: content.len() as u64, tsize: 0 }
        };
        let (first, last) = (blocks.leaf(b"cd"), blocks.leaf(b"gh"));
        let below = blocks.node(&[inlined(b"e"), inlined(b"f")]);
        let root = blocks.node(&[inlined(b"a"), inlined(b"b"), first, below, last, inlined(b"ij")]);
        assert_eq!(blocks.read(root.cid, 10), Ok(b"abcdefghij".to_vec()));
        let mut walk = Walk::new(root.cid, 10);
        assert_eq!(walk.push(&blocks.blocks[&root.cid]).as_deref(), Ok(&b"ab"[..]));
        assert!(walk.wants().all(|cid| cid.inline().is_none()));
        let lie = blocks.node(&[first, Piece { size: 3, ..inlined(b"e") }]);
        let mut walk = Walk::new(lie.cid, 10);
        walk.push(&blocks.blocks[&lie.cid]).unwrap();
        assert_eq!(walk.push(&blocks.blocks[&first.cid]), Err(DagError::Size { declared: 3, found: 1 }));
        assert_eq!(walk.next_cid(), Some(first.cid), "an error changes nothing");
        // A whole file may be of that kind.
        let (whole, mut blocks) = (inlined(b"whole").cid, Foreign::default());
        blocks.blocks.insert(whole, b"whole".to_vec());
        assert_eq!(blocks.read(whole, 10), Ok(b"whole".to_vec()));
    }

    #[test]
    fn a_part_of_another_length_than_its_parent_says_is_refused() {
        let mut blocks = Foreign::default();
        let leaf = blocks.leaf(b"abc");
        let root = blocks.node(&[leaf, Piece { size: 4, ..leaf }]);
        assert_eq!(blocks.read(root.cid, 100), Err(DagError::Size { declared: 4, found: 3 }));
    }

    #[test]
    fn depth_and_number_of_blocks_are_bounded() {
        let mut blocks = Foreign::default();
        let mut piece = blocks.leaf(b"");
        for level in 2..=MAX_DEPTH + 1 {
            piece = blocks.node(&[piece]);
            assert_eq!(blocks.read(piece.cid, 0).is_ok(), level <= MAX_DEPTH, "{level}");
        }
        // 8000^2 empty leaves in three blocks.
        piece = blocks.leaf(b"");
        piece = blocks.node(&vec![piece; 8000]);
        piece = blocks.node(&vec![piece; 8000]);
        assert_eq!(blocks.read(piece.cid, 0), Err(DagError::Limit { what: "blocks", limit: MAX_NODES }));
    }

    #[test]
    fn a_directory_is_named_as_one() {
        let mut blocks = Foreign::default();
        let root = blocks.put(unixfs::directory([]));
        assert_eq!(blocks.read(root, 100), Err(DagError::Directory));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_shape_gives_the_file_back(
            file in proptest::collection::vec(any::<u8>(), 1..200),
            chunk in 1usize..20,
            width in 4usize..9,
        ) {
            let mut blocks = Foreign::default();
            let root = blocks.add(&file, chunk, width);
            prop_assert_eq!(blocks.read(root, 200).unwrap(), file);
        }

        #[test]
        fn a_flipped_bit_in_any_block_is_noticed(which: prop::sample::Index, at: prop::sample::Index, bit in 0u8..8) {
            let mut blocks = Foreign::default();
            let root = blocks.add(b"the same file in several blocks", 5, 3);
            let mut cids: Vec<Cid> = blocks.blocks.keys().copied().collect();
            cids.sort();
            let cid = *which.get(&cids);
            let block = blocks.blocks.get_mut(&cid).unwrap();
            let at = at.index(block.len());
            block[at] ^= 1 << bit;
            prop_assert_eq!(blocks.read(root, 200), Err(DagError::NotTheBlock(cid.into())));
        }
    }
}
