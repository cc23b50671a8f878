//! Eviction from a store whose files are handed out: a descriptor keeps the bytes of a file without a name.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::sweep::{list, remove};
use super::{Slot, Store};
use crate::base::budget::{Budget, HeldItem};

impl Store {
    /// Returns the most bytes that it is to hold (`store.max`).
    pub(crate) fn most(&self) -> u64 {
        self.max
    }

    /// Removes the oldest proven files until at most `most` bytes of them are left, and returns how many are. A
    /// removed file is emptied: a process that has it open finds it empty, and has to fetch it elsewhere.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn shrink_to(&self, most: u64) -> io::Result<u64> {
        let held = list(&self.files_dir())?.filter(|(path, _)| path.extension().is_none());
        let held = held.map(|(path, meta)| HeldItem::new(path, meta.modified().ok(), meta.len()));
        Budget::of(most).trim(
            held.collect(),
            || u64::MAX,
            |path| {
                self.unless_fetched(path, |path| {
                    empty(path);
                    remove(path)
                })
            },
        )
    }
}

impl Slot<'_> {
    /// Makes an empty partial file, for bytes that others may read as they come.
    ///
    /// # Errors
    /// Those of the file system; trying again does not help.
    pub(crate) fn fresh_partial(&self) -> io::Result<File> {
        let partial = self.partial()?;
        partial.set_len(0)?;
        Ok(partial)
    }

    /// Removes the partial. A process that has it open finds it empty.
    pub(crate) fn discard_emptied(&self) {
        empty(&self.path("partial"));
        self.discard();
    }
}

/// Empties a file of this store, if there is one. Follows no link.
fn empty(path: &Path) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) {
        let _ = File::from(file).set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, store};
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn what_makes_room_takes_none_though_it_is_held_open() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let [old, young] = [1, 2].map(|byte| keep(&store, &[byte; 100]));
        let [held, other] = [old, young].map(|sha256| store.peek(sha256).unwrap());
        let path = store.files_dir().join(old.to_string());
        let past = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
        assert_eq!(store.shrink_to(150).unwrap(), 100);
        assert_eq!((held.metadata().unwrap().len(), other.metadata().unwrap().len()), (0, 100));
        assert!(store.find(old, 100).is_none() && store.find(young, 100).is_some());
        let slot = store.try_lock(&young.to_string()).unwrap().unwrap();
        assert_eq!(store.shrink_to(0).unwrap(), 100, "it is being fetched anew");
        slot.partial().unwrap().write_all_at(b"part", 0).unwrap();
        let partial = slot.partial().unwrap();
        slot.discard_emptied();
        assert_eq!((partial.metadata().unwrap().len(), slot.partial().unwrap().metadata().unwrap().len()), (0, 0));
    }
}
