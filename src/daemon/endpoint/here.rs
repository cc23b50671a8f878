//! A file that this machine has already: in pacman's package caches, in the endpoint's store, or in the store of what was
//! fetched ahead. Proven before a byte of it leaves, once for as long as it stays as it was.
//!
//! A file of another user's can change while it is sent, also without a change of its dates (by a shared mapping), so
//! its own bytes never leave. A small one is read into memory, and what was proven there is sent. A larger one is copied
//! into the endpoint's store once, as a reflink where that is possible, and the copy is proven: it counts for `store.max`,
//! and later requests find it (test `what_another_user_has_is_copied_once_and_only_proven_bytes_of_it_leave`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::SystemTime;
use std::{io, iter};

use bytes::Bytes;
use tokio::sync;

use super::HttpEndpoint;
use super::desk::Desk;
use super::means::{EndpointMeans, EndpointMemory};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::fsx::FileKey;
use crate::base::name::FileName;
use crate::store::Stay;
use crate::store::journal::FileOrigin;
use crate::trust::verify::{self, Verifier};

/// Files up to this size are proven at the desk: another thread would take as long to begin. Bytes.
const SMALL: u64 = 1 << 20;

/// Files that are hashed or copied at a time.
const HASHING: usize = 4;

/// The content of a file that is proven or accepted.
#[derive(Debug)]
pub(super) enum FileContent {
    /// Only root and this user can write to it.
    File(Arc<File>),
    Bytes(Bytes),
}

/// The result of a look at this machine.
pub(super) enum HereFile {
    Absent,
    Proven(FileContent),
    /// To be proven or copied by another thread, which takes its time.
    Unproven(UnprovenFile),
}

/// A file that may be here.
pub(super) struct UnprovenFile {
    means: Arc<EndpointMeans>,
    name: FileName,
    /// The places to look at, and the number of those that are caches of pacman's.
    paths: Vec<PathBuf>,
    in_caches: usize,
    uid: u32,
    sha256: Sha256,
    size: u64,
}

/// The files that are being proven, each once for all who want it.
pub(super) struct FilesInProof {
    turns: RefCell<HashMap<Sha256, Weak<sync::Mutex<()>>>>,
    threads: Arc<sync::Semaphore>,
}

impl Default for FilesInProof {
    fn default() -> Self {
        Self { turns: RefCell::default(), threads: Arc::new(sync::Semaphore::new(HASHING)) }
    }
}

impl FilesInProof {
    fn turn(&self, sha256: Sha256) -> Arc<sync::Mutex<()>> {
        let mut turns = self.turns.borrow_mut();
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&sha256).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(sha256, Arc::downgrade(&turn));
        turn
    }
}

impl Desk {
    /// Looks for the proven file with this sha256 and size, called `name`. Its bytes come along where they are wanted and
    /// few. One that a package cache has leaves the endpoint's store.
    pub(super) fn find(&self, name: &FileName, (sha256, size): (Sha256, u64), wants_bytes: bool) -> HereFile {
        let store = &self.machine.store;
        let own = store.files_dir().join(sha256.to_string());
        let stores = self.machine.settings.share_stores.iter().map(|dir| dir.join("files").join(sha256.to_string()));
        let mut paths: Vec<_> = self.lists.cache_dirs().iter().map(|dir| dir.join(name.as_str())).collect();
        let in_caches = paths.len();
        let stores: Vec<_> = stores.filter(|path| *path != own).collect();
        paths.extend(iter::once(own).chain(stores));
        let (means, uid) = (Arc::clone(&self.means), self.machine.env.uid);
        let here = UnprovenFile { means, name: name.clone(), paths, in_caches, uid, sha256, size };
        for (place, path) in here.paths.iter().enumerate() {
            match here.at_once(path, wants_bytes) {
                HereFile::Absent => {}
                HereFile::Proven(content) => {
                    here.leave_store(place);
                    return HereFile::Proven(content);
                }
                HereFile::Unproven(_) => return HereFile::Unproven(here),
            }
        }
        HereFile::Absent
    }
}

/// Proves or copies the file on another thread.
pub(super) async fn proven(endpoint: &HttpEndpoint, here: UnprovenFile) -> Option<FileContent> {
    // Those that come later find it proven. A client that leaves meanwhile makes no room: the work goes on.
    let turn = endpoint.proving.turn(here.sha256).lock_owned().await;
    let thread = Arc::clone(&endpoint.proving.threads).acquire_owned().await.ok()?;
    let prove = move || {
        let _held = (turn, thread);
        let (place, file) = here.paths.iter().enumerate().find_map(|(place, path)| Some((place, here.at(path)?)))?;
        here.leave_store(place);
        Some(FileContent::File(file))
    };
    tokio::task::spawn_blocking(prove).await.ok()?
}

impl UnprovenFile {
    /// Removes the copy of the endpoint's store, where the file was found in a cache of pacman's.
    fn leave_store(&self, place: usize) {
        if place < self.in_caches && self.means.store.has(self.sha256, self.size) {
            self.means.store.forget(self.sha256);
        }
    }

    fn opened(&self, path: &Path) -> Option<(File, FileKey, bool)> {
        let file = fsx::open_read(path).ok()?;
        let state = FileKey::of(&file).ok().filter(|state| state.size == self.size)?;
        let is_safe = is_safe(&file, self.uid).ok()?;
        Some((file, state, is_safe))
    }

    /// Looks at one place without the work of a large file.
    fn at_once(&self, path: &Path, wants_bytes: bool) -> HereFile {
        let Some((file, state, is_safe)) = self.opened(path) else { return HereFile::Absent };
        let EndpointMemory { proven, held, .. } = &self.means.memory;
        let read = |size: usize| {
            let mut bytes = vec![0; size];
            file.read_exact_at(&mut bytes, 0).ok()?;
            Some(bytes)
        };
        if is_safe && proven.is_known(self.sha256, state) {
            let bytes = wants_bytes.then(|| held.hold(self.size, read)).flatten();
            return HereFile::Proven(bytes.map_or_else(|| FileContent::File(Arc::new(file)), FileContent::Bytes));
        }
        if self.size > SMALL {
            return HereFile::Unproven(self.again());
        }
        let state = if is_safe { self.freshen(path, &file).unwrap_or(state) } else { state };
        let Some(bytes) = read(usize::try_from(self.size).unwrap_or(usize::MAX)) else { return HereFile::Absent };
        let mut verifier = Verifier::new();
        verifier.update(&bytes);
        if verifier.finish(self.sha256, self.size).is_err() {
            return HereFile::Absent;
        }
        // What another process wrote meanwhile was not read.
        if is_safe && FileKey::of(&file).is_ok_and(|now| now == state) {
            proven.note(self.sha256, state);
            if !wants_bytes {
                return HereFile::Proven(FileContent::File(Arc::new(file)));
            }
        }
        match held.hold(self.size, |_| Some(bytes)) {
            Some(bytes) => HereFile::Proven(FileContent::Bytes(bytes)),
            // Another look finds it known, or copies it.
            None => HereFile::Unproven(self.again()),
        }
    }

    fn again(&self) -> Self {
        let (means, name, paths) = (Arc::clone(&self.means), self.name.clone(), self.paths.clone());
        Self { means, name, paths, ..*self }
    }

    /// Has the file in the endpoint's store evicted last; returns its state from then on, of which the date is a part.
    fn freshen(&self, path: &Path, file: &File) -> Option<FileKey> {
        if path.starts_with(self.means.store.dir()) {
            let _ = file.set_modified(SystemTime::now());
        }
        FileKey::of(file).ok()
    }

    /// Proves the file at one place, or a copy of it.
    fn at(&self, path: &Path) -> Option<Arc<File>> {
        let (file, state, is_safe) = self.opened(path)?;
        if !is_safe {
            return self.copied(&file);
        }
        if self.means.memory.proven.is_known(self.sha256, state) {
            return Some(Arc::new(file));
        }
        let state = self.freshen(path, &file)?;
        let is_proven = verify::prove(&file, self.sha256, self.size).is_ok();
        // What another process wrote meanwhile was not read.
        if !is_proven || FileKey::of(&file).ok()? != state {
            return None;
        }
        self.means.memory.proven.note(self.sha256, state);
        Some(Arc::new(file))
    }

    /// Copies the file into the store, and proves the copy. Where it has no place there, or a part of the file has come
    /// there already, the copy lives as long as the answers that have it. `None` also where the disk has no room for it.
    fn copied(&self, from: &File) -> Option<Arc<File>> {
        let Self { means, name, sha256, size, .. } = self;
        let store = &means.store;
        if store.is_short(*size) {
            return None;
        }
        let has_place = *size <= store.most() && store.arrived(*sha256, *size) == 0;
        let slot = if has_place { store.try_lock(&sha256.to_string()).ok().flatten() } else { None };
        let Some(slot) = slot else {
            let copies = &means.memory.copies;
            if let Some(copy) = copies.get(*sha256) {
                return Some(copy);
            }
            let copy = store.scratch().ok()?;
            verify::prove_copy(from, &copy, *sha256, *size).ok()?.ok()?;
            return Some(copies.share(*sha256, copy));
        };
        let kept = slot.fresh_partial().ok().and_then(|copy| {
            let proof = verify::prove_copy(from, &copy, *sha256, *size).ok()?.ok()?;
            let origin = FileOrigin { is_stored: true, ..FileOrigin::default() };
            slot.keep(name, &proof, Stay::Lasting, &origin).ok()?;
            means.memory.proven.note(*sha256, FileKey::of(&copy).ok()?);
            Some(Arc::new(copy))
        });
        if kept.is_none() {
            slot.discard();
        }
        kept
    }
}

/// Returns true for a file that root and this user alone may change.
fn is_safe(file: &File, uid: u32) -> io::Result<bool> {
    let meta = file.metadata()?;
    Ok((meta.uid() == 0 || meta.uid() == uid) && meta.mode() & 0o022 == 0)
}
