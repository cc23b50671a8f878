//! The files to serve: the position of each block in the files of this machine. No second copy of anything.
//!
//! A file is on the shelf with the digests of its leaves, 32 bytes for each MiB; nodes above the leaves are made
//! again when a peer asks for one. **Every block is hashed when it is read to be sent**, so a file that changed is
//! never served as what it was (test `a_changed_file_is_not_served_as_what_it_was`); a file whose size, times or
//! inode changed leaves the shelf at the next use.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::base::cid::{Cid, Codec};
use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey};
use crate::base::size::{CHUNK, WIDTH};
use crate::dag::build::build_blocks;
use crate::dag::unixfs::{self, Piece};

pub mod saved;

/// A hashed file: its state then, and its digests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shelved {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its state when it was hashed; with another state it has to be hashed again.
    pub key: FileKey,
    /// The digest of the whole file.
    pub(crate) sha256: Sha256,
    /// The repository that lists it.
    pub(crate) repo: String,
    /// The digests of its leaves of 1 MiB, in order.
    pub leaves: Arc<[Sha256]>,
}

impl Shelved {
    /// Hashes the file at `path`.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` when it was written to meanwhile. Trying again may help.
    pub(crate) fn read(path: &Path, repo: &str) -> io::Result<Self> {
        let file = fsx::open_read(path)?;
        let key = FileKey::of(&file)?;
        let mut leaves = Vec::new();
        let built = build_blocks(&file, |cid, _| {
            if cid.codec() == Codec::Raw {
                leaves.push(cid.digest());
            }
            Ok(())
        })?;
        if FileKey::of(&file)? != key || built.size != key.size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "changed while it was read"));
        }
        Ok(Self { path: path.to_owned(), key, sha256: built.sha256, repo: repo.to_owned(), leaves: leaves.into() })
    }

    /// Returns the CID of the file.
    pub(crate) fn root(&self) -> Cid {
        match self.nodes().last() {
            Some((digest, _)) => Cid::dag_pb(*digest),
            None => Cid::raw(self.leaves[0]),
        }
    }

    /// Makes the nodes above the leaves, the root last; none when the file is one leaf.
    fn nodes(&self) -> Vec<(Sha256, Vec<u8>)> {
        let sizes = (0..self.leaves.len()).map(|i| self.leaf_size(i));
        let leaf = |(digest, size): (&Sha256, u64)| Piece { cid: Cid::raw(*digest), size, tsize: size };
        let mut level: Vec<Piece> = self.leaves.iter().zip(sizes).map(leaf).collect();
        let mut nodes = Vec::new();
        while level.len() > 1 {
            let above = level.chunks(WIDTH).map(|pieces| {
                let block = unixfs::file(pieces);
                let digest = Sha256::of(&block);
                let tsize = block.len() as u64 + pieces.iter().map(|piece| piece.tsize).sum::<u64>();
                nodes.push((digest, block));
                Piece { cid: Cid::dag_pb(digest), size: pieces.iter().map(|piece| piece.size).sum(), tsize }
            });
            level = above.collect();
        }
        nodes
    }

    fn leaf_size(&self, i: usize) -> u64 {
        (self.key.size - (i * CHUNK) as u64).min(CHUNK as u64)
    }

    /// True if the file still is the one that was hashed, by its state.
    pub(crate) fn is_current(&self) -> bool {
        FileKey::at(&self.path).is_ok_and(|key| key == self.key)
    }
}

/// The files that can be served. Shared between threads; calls that read files block for that time.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<ShelfState>);

#[derive(Default)]
struct ShelfState {
    /// True while nothing may be offered.
    is_closed: bool,
    files: BTreeMap<u32, Shelved>,
    next: u32,
    paths: HashMap<PathBuf, u32>,
    digests: BTreeSet<(Sha256, u32)>,
    /// The beginning of a block's digest, the file, and the block's position in it: leaves first, then nodes.
    blocks: BTreeSet<(u64, u32, u32)>,
}

/// Returns the part of a digest that is kept in memory for each block; the rest is compared when the block is
/// used.
fn head(digest: Sha256) -> u64 {
    u64::from_be_bytes(digest.0[..8].try_into().expect("eight bytes"))
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, ShelfState> {
        self.0.lock().expect("nothing panics while it is held")
    }

    /// Takes every file off, and adds none before it is opened again. The thread that hashes files for it may be busy
    /// with a large one: it is not waited for.
    pub(crate) fn close(&self) {
        *self.state() = ShelfState { is_closed: true, ..ShelfState::default() };
    }

    /// Lets files be added again.
    pub(crate) fn open(&self) {
        self.state().is_closed = false;
    }

    /// True while files may be added.
    pub(crate) fn is_open(&self) -> bool {
        !self.state().is_closed
    }

    /// Adds a file, in place of the former one at its path; on a closed shelf, does nothing.
    pub(crate) fn add(&self, file: Shelved) {
        let nodes = file.nodes();
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        state.remove(&file.path);
        let id = state.next;
        state.next += 1;
        let digests = file.leaves.iter().chain(nodes.iter().map(|(digest, _)| digest));
        for (block, digest) in (0..).zip(digests) {
            state.blocks.insert((head(*digest), id, block));
        }
        state.digests.insert((file.sha256, id));
        state.paths.insert(file.path.clone(), id);
        state.files.insert(id, file);
    }

    /// Removes a file. Returns whether it was there.
    pub(crate) fn remove(&self, path: &Path) -> bool {
        self.state().remove(path)
    }

    /// Returns the file at `path`, if it is on the shelf and has not changed since.
    pub(crate) fn at(&self, path: &Path) -> Option<Shelved> {
        let state = self.state();
        let found = state.paths.get(path).and_then(|id| state.files.get(id)).cloned();
        drop(state);
        found.filter(Shelved::is_current)
    }

    /// Lists every file, by path.
    pub(crate) fn files(&self) -> Vec<Shelved> {
        let mut files: Vec<Shelved> = self.state().files.values().cloned().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// Counts the files and their bytes.
    pub(crate) fn size(&self) -> (usize, u64) {
        let state = self.state();
        (state.files.len(), state.files.values().map(|file| file.key.size).sum())
    }

    /// Returns the file with this sha256 and size.
    pub(crate) fn find(&self, sha256: Sha256, size: u64) -> Option<Shelved> {
        let state = self.state();
        let ids = state.digests.range((sha256, 0)..=(sha256, u32::MAX));
        let found: Vec<Shelved> = ids.filter_map(|(_, id)| state.files.get(id).cloned()).collect();
        drop(state);
        found.into_iter().find(|file| file.key.size == size && file.is_current())
    }

    /// True if the block with this digest can be served. Checks the file's state, not its bytes.
    pub(crate) fn has(&self, digest: Sha256) -> bool {
        self.positions(digest).iter().any(|(file, block)| {
            let same = match file.leaves.get(*block) {
                Some(leaf) => *leaf == digest,
                None => file.nodes().get(*block - file.leaves.len()).is_some_and(|(found, _)| *found == digest),
            };
            same && (file.is_current() || !self.remove(&file.path))
        })
    }

    /// Reads and hashes the block with this digest.
    pub(crate) fn block(&self, digest: Sha256) -> Option<Bytes> {
        self.positions(digest).into_iter().find_map(|(file, block)| {
            let bytes = match block.checked_sub(file.leaves.len()) {
                None => read_leaf(&file, block),
                Some(node) => file.nodes().into_iter().nth(node).map(|(_, bytes)| bytes),
            };
            if bytes.is_none() || !file.is_current() {
                self.remove(&file.path);
            }
            bytes.filter(|bytes| Sha256::of(bytes) == digest).map(Bytes::from)
        })
    }

    /// Lists the possible positions of a block.
    fn positions(&self, digest: Sha256) -> Vec<(Shelved, usize)> {
        let state = self.state();
        let head = head(digest);
        let found = state.blocks.range((head, 0, 0)..=(head, u32::MAX, u32::MAX));
        found.filter_map(|(_, id, block)| Some((state.files.get(id)?.clone(), *block as usize))).collect()
    }
}

impl ShelfState {
    fn remove(&mut self, path: &Path) -> bool {
        let Some(id) = self.paths.remove(path) else { return false };
        let Some(file) = self.files.remove(&id) else { return false };
        self.digests.remove(&(file.sha256, id));
        let nodes = file.nodes();
        for (block, digest) in (0..).zip(file.leaves.iter().chain(nodes.iter().map(|(digest, _)| digest))) {
            self.blocks.remove(&(head(*digest), id, block));
        }
        true
    }
}

/// Reads a leaf, if the file still is the one that was hashed.
fn read_leaf(file: &Shelved, leaf: usize) -> Option<Vec<u8>> {
    let opened: File = fsx::open_read(&file.path).ok()?;
    if FileKey::of(&opened).ok()? != file.key {
        return None;
    }
    fsx::read_part(&opened, (leaf * CHUNK) as u64, file.leaf_size(leaf)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::build::build;

    fn shelved(dir: &Path, name: &str, bytes: &[u8]) -> Shelved {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        Shelved::read(&path, "core").unwrap()
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i / 1000 % 251) as u8).collect()
    }

    #[test]
    fn every_block_of_a_file_is_served_from_it() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let content = bytes(len);
            let shelf = Shelf::default();
            let file = shelved(dir.path(), "file", &content);
            assert_eq!(file.root(), build(&content[..]).unwrap().root, "{len}");
            shelf.add(file.clone());
            let mut count = 0;
            build_blocks(&content[..], |cid, block| {
                count += 1;
                assert!(shelf.has(cid.digest()));
                assert!(shelf.block(cid.digest()).unwrap() == block);
                Ok(())
            })
            .unwrap();
            assert_eq!(shelf.find(file.sha256, len as u64).unwrap(), file);
            assert_eq!(shelf.find(file.sha256, len as u64 + 1), None);
            assert!(shelf.remove(&file.path) && !shelf.has(file.root().digest()));
            assert!(shelf.state().blocks.is_empty() && shelf.state().digests.is_empty(), "{count} blocks");
        }
    }

    #[test]
    fn a_changed_file_is_not_served_as_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::default();
        let file = shelved(dir.path(), "file", &bytes(2 * CHUNK));
        let leaf = file.leaves[1];
        // Even if every time stamp and the size are forged: the block itself is hashed.
        let mut forged = file.clone();
        std::fs::write(&file.path, vec![9; 2 * CHUNK]).unwrap();
        forged.key = FileKey::at(&file.path).unwrap();
        shelf.add(forged);
        assert!(shelf.has(leaf) && shelf.block(leaf).is_none());
        // And with true time stamps it leaves the shelf at the next use.
        shelf.add(file.clone());
        assert!(!shelf.has(leaf));
        assert_eq!(shelf.files(), []);
    }

    #[test]
    fn a_file_that_is_gone_is_forgotten_and_its_twin_serves() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::default();
        let content = bytes(CHUNK + 5);
        let (one, two) = (shelved(dir.path(), "one", &content), shelved(dir.path(), "two", &content));
        let root = one.root().digest();
        shelf.add(one.clone());
        shelf.add(two);
        std::fs::remove_file(&one.path).unwrap();
        assert!(shelf.block(one.leaves[0]).is_some() && shelf.has(root));
        assert_eq!(shelf.size().0, 1);
    }

    #[test]
    fn a_closed_shelf_has_nothing_and_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, file) = (Shelf::default(), shelved(dir.path(), "a", &bytes(10)));
        shelf.add(file.clone());
        shelf.close();
        // The thread that was hashing it meanwhile.
        shelf.add(file.clone());
        assert!(shelf.files().is_empty() && !shelf.has(file.leaves[0]) && shelf.block(file.leaves[0]).is_none());
        shelf.open();
        shelf.add(file.clone());
        assert!(shelf.is_open() && shelf.has(file.leaves[0]));
    }
}
