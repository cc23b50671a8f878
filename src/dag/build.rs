//! The content id of a file, and on request its blocks, in one pass over its bytes.
//!
//! A second pass for the whole file's sha256 would read the disk twice, so both come out together. Memory does not
//! grow with the file: one open node for each level (two levels hold 1 TiB).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, Read};

use crate::base::cid::Cid;
use crate::base::digest::{Hasher, Sha256};

use super::unixfs::{self, Piece};
use crate::base::size::{CHUNK, WIDTH};

/// The CID and the size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltFile {
    /// The file's CID: of its only leaf, else of the node over all.
    pub root: Cid,
    /// Bytes of the file.
    pub size: u64,
    /// Of the whole file, as `sha256sum` prints it.
    pub sha256: Sha256,
    /// Bytes of all its blocks, nodes included, as a directory's link to it states them.
    pub(crate) dag_size: u64,
}

/// Reads a file to its end and returns its CID.
///
/// # Errors
/// Those of `reader` (trying again may help).
pub fn build(mut reader: impl Read) -> io::Result<BuiltFile> {
    let mut dag = FileDag::new();
    let mut buffer = vec![0; CHUNK / 8];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(dag.finish()),
            Ok(read) => dag.update(&buffer[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Works as [`build`], and hands out every block with its CID, children before parents, the root last.
///
/// The bytes are lent, not copied: a leaf is the buffer it was read into. A leaf that occurs twice is handed out twice.
///
/// # Errors
/// Those of `reader` and `on_block`, which ends the reading.
pub fn build_blocks(
    mut reader: impl Read,
    mut on_block: impl FnMut(Cid, &[u8]) -> io::Result<()>,
) -> io::Result<BuiltFile> {
    let mut dag = FileDag::new();
    let mut leaf = Vec::with_capacity(CHUNK);
    loop {
        leaf.clear();
        reader.by_ref().take(CHUNK as u64).read_to_end(&mut leaf)?;
        if leaf.is_empty() && dag.size > 0 {
            return dag.finish_blocks(&mut on_block);
        }
        dag.update(&leaf);
        on_block(dag.open_leaf(), &leaf)?;
        dag.flush(&mut on_block)?;
        if leaf.len() < CHUNK {
            return dag.finish_blocks(&mut on_block);
        }
    }
}

/// Returns the bytes of all blocks of a file of `size` bytes, which need not be here: digests have one length.
pub(crate) fn dag_size(size: u64) -> u64 {
    let mut dag = FileDag { size, whole: Some(Hasher::default()), ..FileDag::default() };
    let cid = Cid::raw(Sha256([0; 32]));
    let mut left = size;
    while left > 0 {
        let size = left.min(CHUNK as u64);
        left -= size;
        dag.add(0, Piece { cid, size, tsize: size }, &mut |_, _| Ok(())).expect("nothing is written that could fail");
    }
    if size == 0 { 0 } else { dag.finish().dag_size }
}

/// A file whose bytes arrive in pieces of any length.
///
/// Can be cloned to learn the CID of what has arrived so far.
#[derive(Clone, Default)]
pub(crate) struct FileDag {
    size: u64,
    /// Hash of the whole file; `None` within the first leaf, whose hash it is.
    whole: Option<Hasher>,
    leaf: Hasher,
    leaf_len: usize,
    /// Pieces without a parent yet, leaves first; at most [`WIDTH`] in each.
    levels: Vec<Vec<Piece>>,
}

type OnBlock<'a> = &'a mut dyn FnMut(Cid, &[u8]) -> io::Result<()>;

impl FileDag {
    /// Begins a file without bytes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds bytes to the file.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.leaf_len == CHUNK {
                self.close_leaf(&mut |_, _| Ok(())).expect("nothing is written that could fail");
            }
            let (now, rest) = bytes.split_at(bytes.len().min(CHUNK - self.leaf_len));
            if let Some(whole) = &mut self.whole {
                whole.update(now);
            }
            self.leaf.update(now);
            self.leaf_len += now.len();
            self.size += now.len() as u64;
            bytes = rest;
        }
    }

    /// Ends the file.
    pub(crate) fn finish(self) -> BuiltFile {
        self.finish_blocks(&mut |_, _| Ok(())).expect("nothing is written that could fail")
    }

    fn open_leaf(&self) -> Cid {
        Cid::raw(self.leaf.clone().finish())
    }

    /// Closes a full leaf now rather than with the byte after it, so that a full node is handed out in its place.
    fn flush(&mut self, on_block: OnBlock) -> io::Result<()> {
        if self.leaf_len == CHUNK { self.close_leaf(on_block) } else { Ok(()) }
    }

    fn close_leaf(&mut self, on_block: OnBlock) -> io::Result<()> {
        let leaf = std::mem::take(&mut self.leaf);
        if self.whole.is_none() {
            self.whole = Some(leaf.clone());
        }
        let size = self.leaf_len as u64;
        self.leaf_len = 0;
        self.add(0, Piece { cid: Cid::raw(leaf.finish()), size, tsize: size }, on_block)
    }

    /// Adds a piece at `level`. A full level goes below a node first: only then is it certain that it is not the last.
    fn add(&mut self, level: usize, piece: Piece, on_block: OnBlock) -> io::Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == WIDTH {
            self.wrap(level, on_block)?;
        }
        self.levels[level].push(piece);
        Ok(())
    }

    fn wrap(&mut self, level: usize, on_block: OnBlock) -> io::Result<()> {
        let pieces = std::mem::take(&mut self.levels[level]);
        let block = unixfs::file(&pieces);
        let cid = Cid::dag_pb(Sha256::of(&block));
        on_block(cid, &block)?;
        let size = pieces.iter().map(|piece| piece.size).sum();
        let below: u64 = pieces.iter().map(|piece| piece.tsize).sum();
        self.add(level + 1, Piece { cid, size, tsize: block.len() as u64 + below }, on_block)
    }

    fn finish_blocks(mut self, on_block: OnBlock) -> io::Result<BuiltFile> {
        // An empty file is one empty leaf.
        if self.leaf_len > 0 || self.size == 0 {
            self.close_leaf(on_block)?;
        }
        // Every level goes below nodes, a last child that is alone too, until one piece is left.
        let mut level = 0;
        while level + 1 < self.levels.len() || self.levels[level].len() > 1 {
            self.wrap(level, on_block)?;
            level += 1;
        }
        let root = self.levels[level][0];
        let whole = self.whole.expect("a leaf was closed").finish();
        Ok(BuiltFile { root: root.cid, size: self.size, sha256: whole, dag_size: root.tsize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(file: &[u8]) -> (BuiltFile, Vec<(Cid, Vec<u8>)>) {
        let mut out = Vec::new();
        let built = build_blocks(file, |cid, block| {
            out.push((cid, block.to_vec()));
            Ok(())
        });
        (built.unwrap(), out)
    }

    #[test]
    fn a_file_up_to_one_chunk_is_its_own_block_and_a_longer_one_is_not() {
        for len in [0, 1, CHUNK, CHUNK + 1] {
            let built = build(&vec![7; len][..]).unwrap();
            let own = crate::base::size::own_block(built.size, built.sha256);
            assert_eq!(own, Some(built.root).filter(|_| len <= CHUNK), "{len}");
        }
    }

    #[test]
    fn the_size_of_all_blocks_follows_from_that_of_the_file() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            assert_eq!(dag_size(len as u64), build(&vec![7; len][..]).unwrap().dag_size, "{len}");
        }
        let whole = (WIDTH * CHUNK) as u64;
        assert!(dag_size(whole + 1) > dag_size(whole) + 1);
    }

    #[test]
    fn an_empty_file_is_one_empty_leaf() {
        let (built, blocks) = blocks(b"");
        // The empty raw block of the trustless gateway specification; Kubo gives the same for `ipfs add --raw-leaves`.
        assert_eq!(built.root.to_string(), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
        assert_eq!((built.size, built.dag_size, built.sha256), (0, 0, Sha256::of(b"")));
        assert_eq!(blocks, [(built.root, Vec::new())]);
        assert_eq!(build(&b""[..]).unwrap(), built);
    }

    #[test]
    fn blocks_come_children_first_and_prove_their_cids() {
        for (len, count) in [(1, 1), (CHUNK, 1), (CHUNK + 1, 3), (2 * CHUNK, 3)] {
            let file = vec![7; len];
            let (built, blocks) = blocks(&file);
            assert_eq!(blocks.len(), count, "{len}");
            assert!(blocks.iter().all(|(cid, block)| cid.proves(block)));
            assert_eq!(blocks.last().unwrap().0, built.root);
            assert_eq!(built.dag_size, blocks.iter().map(|(_, block)| block.len() as u64).sum::<u64>());
            assert_eq!((built.size, built.sha256), (len as u64, Sha256::of(&file)));
            assert_eq!(build(&file[..]).unwrap(), built);
        }
    }

    #[test]
    fn an_error_of_the_receiver_ends_the_reading() {
        let refused = build_blocks(&[0; 10][..], |_, _| Err(io::Error::other("full")));
        assert_eq!(refused.unwrap_err().to_string(), "full");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn the_pieces_in_which_a_file_arrives_do_not_matter(len in 0..3 * CHUNK, piece in 1..2 * CHUNK) {
            let file: Vec<u8> = (0..len).map(|i| (i / 1000) as u8).collect();
            let mut dag = FileDag::new();
            file.chunks(piece).for_each(|piece| dag.update(piece));
            prop_assert_eq!(dag.finish(), build(&file[..]).unwrap());
        }
    }
}
