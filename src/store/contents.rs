//! Views of a store that take no file out of it: for processes that keep files there, and for others.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::store::note::Note;
use crate::store::{Store, kept};

/// The contents of a store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Use {
    /// Proven files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes of incomplete files.
    pub(crate) partial: u64,
}

/// True if the store in `dir`, which may be another user's, has a file of this name and size. It is not proven
/// here, but by the process that takes it.
pub(crate) fn holds(dir: &Path, sha256: Sha256, size: u64) -> bool {
    let usual = dir.join("files").join(sha256.to_string());
    let is_whole = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size);
    is_whole(&usual) || kept::find(dir, sha256).is_some_and(|path| is_whole(&path))
}

/// Returns pacman's name of the proven file at `path`, in any store.
pub(crate) fn name_at(path: &Path) -> Option<FileName> {
    FileName::new(Note::beside(path).name?).ok()
}

/// Measures the store in `dir`.
///
/// # Errors
/// When it does not exist, or may not be read.
pub(crate) fn usage(dir: &Path) -> io::Result<Use> {
    let sizes = |part: &str| -> io::Result<Vec<u64>> {
        let entries = fs::read_dir(dir.join(part))?.filter_map(|entry| {
            let entry = entry.ok()?;
            let meta = entry.metadata().ok().filter(|meta| meta.is_file())?;
            entry.path().extension().is_none().then_some(meta.len())
        });
        Ok(entries.collect())
    };
    let files = sizes("files")?;
    Ok(Use { files: files.len() as u64, bytes: files.iter().sum(), partial: sizes("partial")?.iter().sum() })
}

/// An incomplete file that a process is writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ArrivingFile {
    /// The digest that is expected of the whole.
    pub(crate) sha256: Sha256,
    /// The bytes that are here.
    pub(crate) bytes: u64,
}

/// Lists the incomplete files in `dir`, which may be another user's store, that were written to within `lately`; none
/// where that cannot be read.
pub(crate) fn arriving(dir: &Path, now: SystemTime, lately: Duration) -> Vec<ArrivingFile> {
    let entries = fs::read_dir(dir.join("partial")).into_iter().flatten().flatten();
    let arriving = entries.filter_map(|entry| {
        let sha256 = entry.file_name().to_str()?.parse().ok()?;
        let meta = entry.metadata().ok()?;
        // A file of a moment that is still to come was written just now.
        let is_new =
            now.duration_since(meta.modified().ok()?).is_ok_and(|age| age <= lately) || meta.modified().ok()? > now;
        is_new.then(|| ArrivingFile { sha256, bytes: held(&meta) })
    });
    arriving.collect()
}

/// Counts the bytes of an incomplete file: pieces may come in any order.
fn held(meta: &fs::Metadata) -> u64 {
    meta.len().min(meta.blocks() * 512)
}

impl Store {
    /// Makes a file young again, so that it is evicted last.
    pub(crate) fn freshen(&self, sha256: Sha256) {
        // Its owner may do this without write access; opened for writing, a missing one would be made.
        if let Ok(file) = self.peek(sha256) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Lists incomplete files, each with its bytes so far.
    pub fn arriving(&self) -> Vec<(Sha256, u64)> {
        let entries = fs::read_dir(self.dir().join("partial")).into_iter().flatten().flatten();
        let arriving = entries.filter_map(|entry| {
            let sha256 = entry.file_name().to_str()?.parse().ok()?;
            let meta = entry.metadata().ok()?;
            Some((sha256, held(&meta)))
        });
        arriving.collect()
    }

    /// Opens a file without proving it; the reader does that.
    pub(crate) fn peek(&self, sha256: Sha256) -> io::Result<File> {
        fsx::open_read(&self.dir().join("files").join(sha256.to_string()))
    }

    /// Lets every user of this machine read a file: the daemon has a user of its own.
    pub(crate) fn open_to_all(&self, sha256: Sha256) {
        if let Ok(file) = self.peek(sha256) {
            let _ = rustix::fs::fchmod(file, rustix::fs::Mode::from(0o644));
        }
    }

    /// Removes a file and its partial, unless a process is fetching it now.
    pub(crate) fn let_go(&self, sha256: Sha256) {
        for part in ["files", "partial"] {
            let path = self.dir().join(part).join(sha256.to_string());
            let _ = self.unless_fetched(&path, super::sweep::remove);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, store};
    use super::*;

    #[test]
    fn a_store_tells_from_outside_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let sha256 = keep(&store, b"package");
        fs::write(store.dir().join("partial/x"), b"abc").unwrap();
        assert!(holds(store.dir(), sha256, 7) && !holds(store.dir(), sha256, 8));
        assert_eq!(usage(store.dir()).unwrap(), Use { files: 1, bytes: 7, partial: 3 });
        store.let_go(sha256);
        assert_eq!(usage(store.dir()).unwrap(), Use { files: 0, bytes: 0, partial: 3 });
        assert_eq!(fs::read_dir(store.dir().join("files")).unwrap().count(), 0, "its name is gone too");
        assert!(usage(&dir.path().join("none")).is_err());
    }

    #[test]
    fn only_what_is_being_written_is_arriving() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let partial = |sha256: Sha256| store.dir().join("partial").join(sha256.to_string());
        let (new, old, now) = (Sha256::of(b"new"), Sha256::of(b"old"), SystemTime::now());
        for sha256 in [new, old] {
            fs::write(partial(sha256), b"half").unwrap();
        }
        fs::write(store.dir().join("partial/no-digest"), b"half").unwrap();
        File::options().write(true).open(partial(old)).unwrap().set_modified(now - Duration::from_secs(60)).unwrap();
        let found = arriving(store.dir(), now, Duration::from_secs(10));
        assert_eq!(found, [ArrivingFile { sha256: new, bytes: 4 }]);
        assert_eq!(arriving(&dir.path().join("none"), now, Duration::from_secs(10)), []);
    }

    #[test]
    fn a_file_made_young_again_outlives_a_younger_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 250);
        let first = keep(&store, &[1; 100]);
        let second = keep(&store, &[2; 100]);
        let old = SystemTime::now() - std::time::Duration::from_secs(60);
        for sha256 in [first, second] {
            File::options()
                .write(true)
                .open(store.dir().join("files").join(sha256.to_string()))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        store.freshen(first);
        keep(&store, &[3; 100]);
        assert!(holds(store.dir(), first, 100) && !holds(store.dir(), second, 100));
        store.freshen(second);
        assert!(!holds(store.dir(), second, 0), "nothing is made of nothing");
    }
}
