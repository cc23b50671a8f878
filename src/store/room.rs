//! Room on the disk: detects that it is short, and makes some.
//!
//! A transaction needs no more room than with curl and a constant. So on a disk with little room no file is kept
//! twice: a file leaves the store for its output, and files fetched earlier make room for the present one
//! (`tests/cases/small_disk.rs`, `tests/bench --case small-disk`).

use std::convert::Infallible;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::budget::{Budget, HeldItem};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::store::sweep::{list, remove};
use crate::store::{Note, Store};
use crate::trust::verify;

/// Bytes that stay free when room is made: for directories, notes and the journal.
const SPARE: u64 = 256 << 10;

impl Store {
    /// Returns the bytes that may still be written on the store's disk.
    pub(crate) fn room(&self) -> u64 {
        fsx::room(self.dir())
    }

    /// True if little room is left beside a second copy of a file of `size` bytes.
    pub(crate) fn is_short(&self, size: u64) -> bool {
        self.room() < size.saturating_add(fsx::LITTLE_ROOM)
    }

    /// Makes room for `size` bytes, if there is none, by removing the files fetched longest ago. Files being
    /// fetched stay. Returns whether it made any.
    ///
    /// Files are handed out in the order in which they were fetched: the oldest have been, or are of an earlier run.
    pub(crate) fn make_room(&self, size: u64) -> bool {
        let held = ["files", "partial"]
            .iter()
            .filter_map(|part| list(&self.dir().join(part)).ok())
            .flatten()
            .filter(|(path, _)| path.extension().is_none() && !is_being_handed_out(path))
            .map(|(path, meta)| HeldItem::new(path, meta.modified().ok(), meta.len()));
        let mut freed = false;
        // What other processes write counts as well, so the disk itself is asked.
        let trimmed = Budget::leaving(size.saturating_add(SPARE)).trim(
            held.collect(),
            || self.room(),
            |path| {
                let goes = self.unless_fetched(path, remove).is_ok_and(|is_gone| is_gone);
                freed |= goes;
                Ok::<_, Infallible>(goes)
            },
        );
        let Ok(_left) = trimmed;
        freed
    }

    /// Removes each file that is proven to be in one of pacman's `cache_dirs`. Returns the bytes freed.
    ///
    /// # Errors
    /// When the store cannot be read, or one of the files cannot be removed.
    pub(crate) fn leave_to(&self, cache_dirs: &[PathBuf]) -> io::Result<u64> {
        let mut freed = 0;
        for (path, meta) in list(&self.files_dir())?.filter(|(path, _)| path.extension().is_none()) {
            if self.is_in(&path, &meta, cache_dirs) && self.unless_fetched(&path, remove)? {
                freed += meta.len();
            }
        }
        Ok(freed)
    }

    fn is_in(&self, path: &Path, meta: &Metadata, cache_dirs: &[PathBuf]) -> bool {
        let sha256: Option<Sha256> = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let Some((sha256, name)) = sha256.zip(Note::beside(path).name) else { return false };
        let mut cached = cache_dirs.iter().filter_map(|dir| fsx::open_read(&dir.join(&name)).ok());
        cached.any(|file| verify::prove(&file, sha256, meta.len()).is_ok())
    }
}

/// True if a process has taken the file out of the store, to place it at once. A killed process leaves it to
/// [`Store::sweep`].
fn is_being_handed_out(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().contains(&b'-'))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, store};
    use std::time::{Duration, SystemTime};

    #[test]
    fn room_is_made_by_the_oldest_and_only_where_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let (first, second) = (keep(&store, b"first"), keep(&store, b"second"));
        let old = SystemTime::now() - Duration::from_secs(60);
        store.peek(first).unwrap().set_modified(old).unwrap();
        assert!(!store.make_room(0) && store.has(first, 5), "there is room enough");
        let slot = store.try_lock(&first.to_string()).unwrap().expect("free");
        // More than any disk has: every file that is not in use is removed.
        assert!(store.make_room(u64::MAX));
        assert!(store.has(first, 5) && !store.has(second, 6));
        drop(slot);
        assert!(store.make_room(u64::MAX) && !store.has(first, 5));
        assert!(!store.make_room(u64::MAX), "nothing is left");
    }

    #[test]
    fn a_file_is_taken_out_once_and_can_be_emptied_while_it_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let sha256 = keep(&store, b"package");
        let (kept, _name) = store.take_out(sha256).unwrap();
        kept.file.set_len(0).unwrap();
        assert!(store.take_out(sha256).is_none() && !store.has(sha256, 7));
        assert_eq!(kept.from.to_string(), "store (m.example)");
    }
}
