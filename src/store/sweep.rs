//! Keeps the store small: files that pacman has by now are removed, then the oldest, until `store.max` holds.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use crate::base::budget::{Budget, HeldItem};
use crate::base::fsx;
use crate::store::Store;

/// Age at which untouched partials are given up.
const PARTIAL_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Age at which compiled tables, answers of pacman-conf and left-over locks are removed; a process that needs one
/// makes it anew.
const LEFT_OVER_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// So many may be keeping files at the same time as this, each as much as this one: read-ahead's sixteen, prefetch's, the
/// daemon's. The store is measured again before together they could have gone beyond `store.max`; one of them that measured
/// it long ago may be wrong by a 48th of that, and the next that keeps something makes up for it.
const KEEPERS: u64 = 48;

impl Store {
    /// A file of `size` bytes was kept: makes room for it where there may be none. To measure the store means to look at
    /// every file, so it is done when that is due and not for every file.
    pub(super) fn kept(&self, path: &Path, size: u64) -> io::Result<()> {
        let all = size.saturating_mul(KEEPERS);
        match self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(all)) {
            Ok(_) => Ok(()),
            Err(_) => self.trim(Some(path)),
        }
    }

    /// Removes the oldest files until at most `store.max` bytes are left; `spare` goes last of all.
    pub(super) fn trim(&self, spare: Option<&Path>) -> io::Result<()> {
        let is_spare = |path: &Path| Some(path) == spare;
        let mut held = Vec::new();
        for part in ["files", "partial"] {
            let files = list(&self.dir().join(part))?.filter(|(path, _)| path.extension().is_none());
            held.extend(files.map(|(path, meta)| {
                let age = (is_spare(&path), meta.modified().ok());
                HeldItem::new(path, age, meta.len())
            }));
        }
        let budget = Budget::of(self.max);
        let total = budget.trim(
            held,
            || u64::MAX,
            |path| match is_spare(path) {
                true => remove(path).map(|()| true),
                false => self.unless_fetched(path, remove),
            },
        )?;
        self.room.store(budget.room(total, u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// Removes files proven to be in one of pacman's `cache_dirs`, old partials and left-over locks.
    ///
    /// Returns the bytes freed.
    pub(crate) fn sweep(&self, cache_dirs: &[PathBuf]) -> io::Result<u64> {
        let mut freed = self.leave_to(cache_dirs)?;
        let is_older = |meta: &Metadata, than| {
            let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            age.is_some_and(|age| age > than)
        };
        for (path, meta) in list(&self.dir().join("partial"))? {
            if is_older(&meta, PARTIAL_AGE) && self.unless_fetched(&path, remove)? {
                freed += meta.len();
            }
        }
        // Every DBPath that was ever used has files of its own here. The last delivered databases are small, and
        // are kept.
        for (path, meta) in
            list(&self.dir().join("cache"))?.filter(|(path, _)| path.extension() != Some("last".as_ref()))
        {
            if is_older(&meta, LEFT_OVER_AGE) {
                remove(&path)?;
                freed += meta.len();
            }
        }
        for (path, meta) in list(&self.dir().join("lock"))? {
            if is_older(&meta, LEFT_OVER_AGE) {
                self.unless_fetched(&path, remove)?;
            }
        }
        self.trim(None)?;
        Ok(freed)
    }

    /// True if the store holds anything that a sweep could remove.
    pub(crate) fn needs_sweep(&self) -> bool {
        ["files", "partial"].iter().any(|part| list(&self.dir().join(part)).is_ok_and(|mut held| held.next().is_some()))
    }

    /// Removes a file with `remove`, unless a process is fetching it now: none begins before it is gone. Tells whether
    /// it was done.
    ///
    /// A full disk may have no room for a lock. It is then only looked whether there is one.
    pub(super) fn unless_fetched(&self, path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<bool> {
        let key = path.file_name().and_then(|name| name.to_str());
        let _slot = match key.map(|key| self.try_lock(key)) {
            Some(Ok(Some(slot))) => Some(slot),
            Some(Ok(None)) => return Ok(false),
            Some(Err(_)) | None if self.is_locked(path) => return Ok(false),
            Some(Err(_)) | None => None,
        };
        remove(path).map(|()| true)
    }

    fn is_locked(&self, path: &Path) -> bool {
        let Some(key) = path.file_name() else { return false };
        let Ok(file) = fsx::open_read(&self.dir().join("lock").join(key)) else { return false };
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
    }
}

pub(super) fn list(dir: &Path) -> io::Result<impl Iterator<Item = (PathBuf, Metadata)> + use<>> {
    Ok(std::fs::read_dir(dir)?.filter_map(|entry| {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok()?;
        meta.is_file().then(|| (entry.path(), meta))
    }))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(path.with_extension("name"));
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, store};

    #[test]
    fn the_oldest_files_leave_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 250);
        let files: Vec<_> = (0..5_u8).map(|i| keep(&store, &[i; 100])).collect();
        let left: Vec<_> = files.iter().map(|sha| store.find(*sha, 100).is_some()).collect();
        assert_eq!(left, [false, false, false, true, true]);
        assert_eq!(std::fs::read_dir(dir.path().join("store/files")).unwrap().count(), 4, "two files, two names");
    }

    #[test]
    fn no_fetch_begins_while_its_file_is_being_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let key = keep(&store, b"package").to_string();
        let path = store.files_dir().join(&key);
        let is_gone = store.unless_fetched(&path, |path| {
            assert!(store.try_lock(&key).unwrap().is_none(), "a fetch has to wait");
            super::remove(path)
        });
        assert!(is_gone.unwrap() && !path.exists());
        assert_eq!(std::fs::read_dir(store.dir().join("lock")).unwrap().count(), 0, "no lock is left");
        let _fetch = store.try_lock(&key).unwrap().expect("free again");
        std::fs::write(&path, b"package").unwrap();
        assert!(!store.unless_fetched(&path, super::remove).unwrap() && path.exists());
    }

    #[test]
    fn many_processes_that_keep_files_at_the_same_time_stay_below_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let stores: Vec<_> = (0..super::KEEPERS).map(|_| store(dir.path(), 100_000)).collect();
        for round in 0..30_u8 {
            stores.iter().zip(0_u8..).for_each(|(store, i)| {
                keep(store, &[[i, round]; 50].concat());
            });
        }
        let held = crate::store::contents::usage(&dir.path().join("store")).unwrap();
        assert!(held.bytes <= 100_000, "{held:?}");
        assert!(held.files >= 900, "{held:?}");
    }

    #[test]
    fn a_file_that_was_not_needed_for_a_month_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let old = std::time::SystemTime::now() - super::LEFT_OVER_AGE * 2;
        for (name, is_old) in [
            ("cache/core-1.catalogue", true),
            ("cache/core-2.catalogue", false),
            ("cache/core.db-1.last", true),
            ("lock/1", true),
            ("lock/2", false),
        ] {
            let file = std::fs::File::create(store.dir().join(name)).unwrap();
            if is_old {
                file.set_modified(old).unwrap();
            }
        }
        store.sweep(&[]).unwrap();
        let mut left: Vec<_> = ["cache", "lock"]
            .iter()
            .flat_map(|part| std::fs::read_dir(store.dir().join(part)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["2", "core-2.catalogue", "core.db-1.last"]);
    }

    #[test]
    fn a_file_leaves_once_it_is_proven_in_a_cache_dir() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let sha256 = keep(&store, b"package");
        let cached = dir.path().join("a-1-1-any.pkg.tar.zst");
        std::fs::write(&cached, "damaged").unwrap();
        assert_eq!(store.sweep(&[dir.path().to_owned()]).unwrap(), 0);
        std::fs::write(&cached, "package").unwrap();
        assert_eq!(store.sweep(&[dir.path().to_owned()]).unwrap(), 7);
        assert!(store.find(sha256, 7).is_none());
    }
}
