//! The beginning of a file that an earlier run left in the store: its blocks need not come again.
//!
//! The partial holds the file's bytes and nothing else. A block is made from them again and proven by its CID, as
//! one from elsewhere is; no byte that lies there is believed. Blocks of links alone, a thousandth of a file, come
//! again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::base::cid::{Cid, Codec};
use crate::base::size::BLOCK_MOST;
use crate::dag::unixfs;
use crate::store::{Slot, Store};

/// Where a file grows from its beginning.
pub(super) struct PartialFile<'a> {
    file: File,
    /// Bytes of an earlier run.
    had: u64,
    /// `None` where another process fetches the same, and nothing can be kept.
    slot: Option<Slot<'a>>,
}

impl<'a> PartialFile<'a> {
    /// That of the file `cid`.
    ///
    /// # Errors
    /// When the store cannot be written to; trying again does not help.
    pub(super) fn of(store: &'a Store, cid: Cid) -> io::Result<Self> {
        let Some(slot) = store.try_lock(&cid.to_string())? else {
            return Ok(Self { file: store.scratch()?, had: 0, slot: None });
        };
        let file = slot.partial()?;
        let had = file.metadata()?.len();
        Ok(Self { file, had, slot: Some(slot) })
    }

    /// The block `cid` with the `size` bytes of the file from `at` on, if an earlier run left them.
    pub(super) fn block(&self, cid: Cid, at: u64, size: u64) -> Option<Vec<u8>> {
        let len = usize::try_from(size).ok().filter(|len| *len <= BLOCK_MOST)?;
        if len == 0 || at.checked_add(size)? > self.had {
            return None;
        }
        let mut content = vec![0; len];
        self.file.read_exact_at(&mut content, at).ok()?;
        match cid.codec() {
            Codec::Raw => Some(content).filter(|block| cid.proves(block)),
            Codec::DagPb => unixfs::leaves(&content).into_iter().find(|block| cid.proves(block)),
        }
    }

    /// Adds bytes at `at`.
    pub(super) fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Returns true when the next run would find anything of the file.
    pub(super) fn is_kept(&self, store: &Store) -> bool {
        self.slot.is_some() && !store.is_passing() && self.file.metadata().is_ok_and(|meta| meta.len() > 0)
    }

    /// Ends with the whole file of `size` bytes. Its name in the store is gone.
    pub(super) fn finish(self, size: u64) -> io::Result<File> {
        self.file.set_len(size)?;
        if let Some(slot) = &self.slot {
            slot.discard();
        }
        Ok(self.file)
    }

    /// Ends without the file. What has come stays for the next run.
    pub(super) fn leave(self) {
        if let Some(slot) = &self.slot
            && self.file.metadata().is_ok_and(|meta| meta.len() == 0)
        {
            slot.discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    #[test]
    fn blocks_of_an_earlier_run_are_found_again_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), rustix::process::getuid().as_raw(), 1 << 20).unwrap();
        let root = Cid::dag_pb(Sha256::of(b"root"));
        let (one, two) = (vec![1; 100], vec![2; 50]);
        let raw = Cid::raw(Sha256::of(&one));
        let [file, old] = unixfs::leaves(&two).map(|block| (Cid::dag_pb(Sha256::of(&block)), block));
        let partial = PartialFile::of(&store, root).unwrap();
        assert!(partial.block(raw, 0, 100).is_none() && !partial.is_kept(&store));
        partial.write(&one, 0).unwrap();
        partial.write(&two, 100).unwrap();
        // While one process fetches it, another one keeps nothing.
        assert!(!PartialFile::of(&store, root).unwrap().is_kept(&store));
        partial.leave();
        let partial = PartialFile::of(&store, root).unwrap();
        assert!(partial.is_kept(&store));
        assert_eq!(partial.block(raw, 0, 100), Some(one));
        for (cid, block) in [file, old] {
            assert_eq!(partial.block(cid, 100, 50), Some(block));
        }
        for (at, size) in [(1, 100), (0, 99), (60, 100), (u64::MAX, 2), (0, u64::MAX), (0, 0)] {
            assert_eq!(partial.block(raw, at, size), None, "{at} {size}");
        }
        drop(partial.finish(150).unwrap());
        assert_eq!(std::fs::read_dir(dir.path().join("store/partial")).unwrap().count(), 0);
    }
}
