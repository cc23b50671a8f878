//! Our own staging area: proven files and resumable partials, keyed by sha256; not a second package cache.
//!
//! The store is the only meeting point of concurrent processes: one lock per key (`flock`). Its holder fetches,
//! the others wait and check again. A partial is hashed again when it is resumed. Exactly one user writes to a
//! store directory; others neither read nor write it here.
//!
//! ```text
//! <store>/lock/<key>       locked while a process fetches
//! <store>/partial/<key>    the bytes that have arrived so far
//! <store>/files/<key>      proven once, and proven again at each delivery
//! <store>/files/<key>.name pacman's name for it, and the source that delivered it
//! <store>/aside/<run>/     unproven files for one pacman run (`aside.rs`)
//! <store>/kept/, left/     files of shares, which stay (`kept.rs`)
//! <store>/health/, cache/  files of `health.rs` and `catalogue`
//! ```
//!
//! # Room
//!
//! - In: proven files and parts of files, lines of what happened
//! - Out: the same files, proven again; what is known of sources; the journal
//! - May use: base, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! aside health journal sweep tests
//! coming evict note stats
//! kept
//! contents held room
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use tempfile::TempPath;

use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::store::journal::FileOrigin;
use crate::trust::verify::{self, Verified};

mod aside;
pub(crate) mod coming;
pub(crate) mod contents;
mod evict;
pub mod health;
pub(crate) mod held;
pub mod journal;
pub(crate) mod kept;
mod note;
mod room;
pub(crate) mod stats;
mod sweep;

pub(crate) use aside::{Aside, SetAside, take_once};
use note::Note;

/// A store directory that belongs to the user of this process.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    uid: u32,
    max: u64,
    /// Bytes that may still be kept before the store has to be measured again, with those of all other processes.
    room: AtomicU64,
    /// Set when no lasting directory was available: removed at the end.
    _own: Option<tempfile::TempDir>,
}

/// The right to fetch one key. Released when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    store: &'a Store,
    key: String,
    _lock: File,
}

/// A stored file, not yet proven.
#[derive(Debug)]
pub(crate) struct StoredFile {
    /// The open file.
    pub(crate) file: File,
    /// Its origin: the source that delivered it to the store, if that was recorded.
    pub(crate) from: FileOrigin,
    /// Its stay, which decides whether handing it out removes it.
    pub(crate) stay: Stay,
}

/// A stored file, proven.
#[derive(Debug)]
pub struct ProvenFile {
    /// The file.
    pub(crate) kept: StoredFile,
    /// Its proof.
    pub(crate) proof: Verified,
}

/// The duration of a file's stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stay {
    /// Until pacman has it, or room is needed.
    Lasting,
    /// Until it is handed out once: this machine has it elsewhere, and needs no second copy.
    Passing,
}

/// The result of waiting for a slot.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// The slot, now ours.
    Ours(Slot<'a>),
    /// The holder of the slot makes no progress; go on without the store.
    Stuck,
}

/// Time for which a slot is polled at short intervals.
const SOON: Duration = Duration::from_millis(500);
const SHORT_NAP: Duration = Duration::from_millis(2);
const NAP: Duration = Duration::from_millis(15);

impl Store {
    /// Opens or makes the store in `dir`.
    pub fn open(dir: &Path, uid: u32, max: u64) -> io::Result<Self> {
        fsx::own_dir(dir, uid)?;
        for part in ["lock", "partial", "files", "health", "cache", "aside"] {
            fsx::own_dir(&dir.join(part), uid)?;
        }
        Ok(Self { dir: dir.to_owned(), uid, max, room: AtomicU64::new(0), _own: None })
    }

    /// Makes a store for this process alone, inside `parent`, removed at the end. Nothing is resumed from it.
    pub(crate) fn passing(parent: &Path, uid: u32, max: u64) -> io::Result<Self> {
        let own = tempfile::Builder::new().prefix(fsx::TEMPORARY).tempdir_in(parent)?;
        let mut store = Self::open(own.path(), uid, max)?;
        store._own = Some(own);
        Ok(store)
    }

    /// Returns the directory for compiled tables.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// Returns the directory for the health of sources.
    pub(crate) fn health_dir(&self) -> PathBuf {
        self.dir.join("health")
    }

    /// True if it is for this process alone.
    pub(crate) fn is_passing(&self) -> bool {
        self._own.is_some()
    }

    /// Returns the directory of proven files, each under its sha256.
    pub(crate) fn files_dir(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// Removes the proven file of `sha256`, of which another copy exists elsewhere.
    pub(crate) fn forget(&self, sha256: Sha256) {
        let path = self.files_dir().join(sha256.to_string());
        let _ = std::fs::remove_file(path.with_extension("name"));
        let _ = std::fs::remove_file(path);
    }

    /// Returns the store's own directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens an unnamed file in the store, for content without a key.
    pub(crate) fn scratch(&self) -> io::Result<File> {
        fsx::unnamed(&self.dir)
    }

    /// Waits until no other process fetches `key`.
    ///
    /// While the holder's partial is written to, waiting goes on; `patience` without that gives [`Turn::Stuck`].
    /// `waiting` is called repeatedly with the bytes of it that are here.
    pub(crate) async fn lock(
        &self,
        key: &str,
        patience: Duration,
        mut waiting: impl FnMut(u64),
    ) -> io::Result<Turn<'_>> {
        let (mut seen, mut since, begun) = (None, Instant::now(), Instant::now());
        loop {
            if let Some(slot) = self.try_lock(key)? {
                return Ok(Turn::Ours(slot));
            }
            let partial = std::fs::symlink_metadata(self.dir.join("partial").join(key)).ok();
            // Not its length: pieces may come in any order.
            let written = partial.as_ref().and_then(|meta| meta.modified().ok());
            if written != seen {
                (seen, since) = (written, Instant::now());
            }
            if since.elapsed() > patience {
                return Ok(Turn::Stuck);
            }
            waiting(partial.as_ref().map_or(0, arrived_of));
            // A small file takes one round trip, a large one seconds.
            tokio::time::sleep(if begun.elapsed() < SOON { SHORT_NAP } else { NAP }).await;
        }
    }

    /// Takes the slot, if it is free.
    ///
    /// # Errors
    /// When the lock file cannot be made; trying again does not help.
    pub(crate) fn try_lock(&self, key: &str) -> io::Result<Option<Slot<'_>>> {
        let path = self.dir.join("lock").join(key);
        loop {
            let file = self.open_own(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The holder removes the file before it unlocks, so check that the path still means this file.
                Ok(()) if same_file(&file, &path) => {
                    return Ok(Some(Slot { store: self, key: key.to_owned(), _lock: file }));
                }
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Opens or makes a file of this store. A link, a FIFO or a file with a second name is replaced by a fresh
    /// one.
    fn open_own(&self, path: &Path) -> io::Result<File> {
        fsx::open_own(path, self.uid).or_else(|_| {
            std::fs::remove_file(path)?;
            fsx::open_own(path, self.uid)
        })
    }

    /// Returns the proven file of `sha256`, if the store has it. A file that fails the proof is removed.
    pub fn find(&self, sha256: Sha256, size: u64) -> Option<ProvenFile> {
        let kept = self.open_unproven(sha256)?;
        match verify::prove(&kept.file, sha256, size) {
            Ok(proof) => Some(ProvenFile { kept, proof }),
            Err(_) => {
                let _ = std::fs::remove_file(self.place_of(sha256));
                None
            }
        }
    }

    /// Opens the file of `sha256`, if the store has it, for a caller that proves it or a copy of it.
    pub(crate) fn open_unproven(&self, sha256: Sha256) -> Option<StoredFile> {
        let path = self.place_of(sha256);
        let file = fsx::open_read(&path).ok()?;
        let Note { from, stay, .. } = Note::beside(&path);
        Some(StoredFile { file, from: FileOrigin { is_stored: true, ..from }, stay })
    }

    /// True if the store has a file of this name and size, not proven here.
    pub fn has(&self, sha256: Sha256, size: u64) -> bool {
        std::fs::symlink_metadata(self.place_of(sha256)).is_ok_and(|meta| meta.is_file() && meta.len() == size)
    }

    /// Counts the bytes of this file that are here, whole or as a beginning. For people: nothing is proven.
    pub(crate) fn arrived(&self, sha256: Sha256, size: u64) -> u64 {
        let partial = || std::fs::symlink_metadata(self.dir.join("partial").join(sha256.to_string())).ok();
        if self.has(sha256, size) { size } else { partial().as_ref().map_or(0, arrived_of).min(size) }
    }

    /// True if the file of `sha256` is kept for passing on.
    pub(crate) fn is_passing_on(&self, sha256: Sha256) -> bool {
        Note::beside(&self.dir.join("files").join(sha256.to_string())).stay == Stay::Passing
    }

    /// Takes out a file that was kept for passing on; its temporary name is removed on drop. `None` for any other
    /// file, and when another process took it first.
    pub(crate) fn take_passing(&self, sha256: Sha256) -> Option<TempPath> {
        self.is_passing_on(sha256).then(|| self.rename_out(sha256)).flatten()
    }

    /// Takes out any file, not yet proven, open for writing too; its temporary name is removed on drop. `None` when
    /// there is none, or when another process took it first.
    pub(crate) fn take_out(&self, sha256: Sha256) -> Option<(StoredFile, TempPath)> {
        let kept = self.open_unproven(sha256)?;
        let file = fsx::reopen_own(&self.files_dir().join(sha256.to_string()), self.uid).ok()?;
        Some((StoredFile { file, ..kept }, self.rename_out(sha256)?))
    }

    fn rename_out(&self, sha256: Sha256) -> Option<TempPath> {
        let path = self.files_dir().join(sha256.to_string());
        let to = self.passing_name(&sha256.to_string());
        std::fs::rename(&path, &to).ok()?;
        let _ = std::fs::remove_file(path.with_extension("name"));
        TempPath::try_from_path(to).ok()
    }
}

impl Store {
    /// Makes a name for a file that has left the store: several deliveries of a process may have one of each key.
    fn passing_name(&self, key: &str) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.dir.join("partial").join(format!("{key}-{}-{count}", std::process::id()))
    }
}

impl Slot<'_> {
    /// Opens the partial file, made if there is none.
    pub(crate) fn partial(&self) -> io::Result<File> {
        self.store.open_own(&self.path("partial"))
    }

    /// Turns the partial into a stored file, in exchange for its proof. `from` is its origin, for people.
    pub(crate) fn keep(&self, name: &FileName, proof: &Verified, stay: Stay, from: &FileOrigin) -> io::Result<()> {
        let to = self.store.dir.join("files").join(proof.sha256().to_string());
        Note::write(&to, name, stay, from)?;
        std::fs::rename(self.path("partial"), &to)?;
        self.store.kept(&to, proof.size())
    }

    /// Takes the complete partial out of the store: no other process finds it, and its name there is removed on
    /// drop.
    pub(crate) fn release(&self) -> io::Result<TempPath> {
        let to = self.store.passing_name(&self.key);
        std::fs::rename(self.path("partial"), &to)?;
        TempPath::try_from_path(to)
    }

    /// Removes the partial.
    pub(crate) fn discard(&self) {
        let _ = std::fs::remove_file(self.path("partial"));
    }

    fn path(&self, part: &str) -> PathBuf {
        self.store.dir.join(part).join(&self.key)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Removed while still locked; a waiter that holds the old file notices and opens the path again.
        let _ = std::fs::remove_file(self.path("lock"));
    }
}

/// Counts the written bytes of a partial file, whose pieces may come in any order.
fn arrived_of(partial: &std::fs::Metadata) -> u64 {
    partial.len().min(partial.blocks() * 512)
}

fn same_file(file: &File, path: &Path) -> bool {
    let here = rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    let there = rustix::fs::lstat(path).map(|stat| (stat.st_dev, stat.st_ino));
    here.is_ok() && here.ok() == there.ok()
}

#[cfg(test)]
mod tests;
