//! A file that this machine has already: in pacman's package caches, in the endpoint's store, or in the store of what was
//! fetched ahead. Proven before a byte of it leaves, once for as long as it stays as it was.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::fsx::FileKey;
use crate::base::name::FileName;
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::trust::verify;

/// Files up to this size are proven at once: another thread would take as long to begin. Bytes.
const SMALL: u64 = 1 << 20;

/// States that are remembered. Origin: chosen by us; a store and a cache rarely hold more files.
const REMEMBERED: usize = 20_000;

/// The states in which files were proven, by their digest.
#[derive(Clone, Default)]
pub(super) struct ProvenHere(Arc<Mutex<HashMap<Sha256, FileKey>>>);

/// The places where a file may be, for another thread.
struct Places {
    paths: Vec<PathBuf>,
    /// The directory for private copies.
    store: PathBuf,
    uid: u32,
    sha256: Sha256,
    size: u64,
}

impl ProvenHere {
    /// Returns the proven file with this sha256 and size, called `name`, if this machine has it. One that a package
    /// cache has leaves the endpoint's store.
    pub(super) async fn find(
        &self,
        machine: &Machine,
        lists: &Lists,
        name: &FileName,
        (sha256, size): (Sha256, u64),
    ) -> Option<File> {
        let own = machine.store.files_dir().join(sha256.to_string());
        let caches: Vec<PathBuf> = lists.cache_dirs().iter().map(|dir| dir.join(name.as_str())).collect();
        let stores = machine.settings.share_stores.iter().map(|dir| dir.join("files").join(sha256.to_string()));
        let in_caches = caches.len();
        let mut paths = caches;
        paths.push(own.clone());
        paths.extend(stores.filter(|path| *path != own));
        let places = Places { paths, store: machine.store.dir().to_owned(), uid: machine.env.uid, sha256, size };
        let (place, file) = if size <= SMALL {
            places.first(self)
        } else {
            let this = self.clone();
            tokio::task::spawn_blocking(move || places.first(&this)).await.ok()?
        }?;
        if place < in_caches && machine.store.has(sha256, size) {
            machine.store.forget(sha256);
        }
        Some(file)
    }

    fn is_known(&self, sha256: Sha256, state: FileKey) -> bool {
        self.0.lock().expect("nothing panics while it is held").get(&sha256) == Some(&state)
    }

    fn note(&self, sha256: Sha256, state: FileKey) {
        let mut states = self.0.lock().expect("nothing panics while it is held");
        if states.len() >= REMEMBERED {
            states.clear();
        }
        states.insert(sha256, state);
    }
}

impl Places {
    /// Returns the first one that has it, and the position of that place.
    fn first(&self, known: &ProvenHere) -> Option<(usize, File)> {
        self.paths.iter().enumerate().find_map(|(place, path)| Some((place, self.at(path, known)?)))
    }

    fn at(&self, path: &Path, known: &ProvenHere) -> Option<File> {
        let file = fsx::open_read(path).ok()?;
        let state = FileKey::of(&file).ok().filter(|state| state.size == self.size)?;
        if !is_safe(&file, self.uid).ok()? {
            // Its owner could write to it while it is sent.
            let copy = fsx::unnamed(&self.store).ok()?;
            return verify::prove_copy(&file, &copy, self.sha256, self.size).ok()?.is_ok().then_some(copy);
        }
        if known.is_known(self.sha256, state) {
            return Some(file);
        }
        if path.starts_with(&self.store) {
            // Evicted last. Before its state is read: the date is a part of it.
            let _ = file.set_modified(SystemTime::now());
        }
        let state = FileKey::of(&file).ok()?;
        let is_proven = verify::prove(&file, self.sha256, self.size).is_ok();
        // What another process wrote meanwhile was not read.
        if !is_proven || FileKey::of(&file).ok()? != state {
            return None;
        }
        known.note(self.sha256, state);
        Some(file)
    }
}

/// Returns true for a file that root and this user alone may change.
fn is_safe(file: &File, uid: u32) -> io::Result<bool> {
    let meta = file.metadata()?;
    Ok((meta.uid() == 0 || meta.uid() == uid) && meta.mode() & 0o022 == 0)
}
