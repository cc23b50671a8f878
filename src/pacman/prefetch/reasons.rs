//! The reasons why the files of a store are kept: a pending update, a run of pacman that may still want them, pacman's
//! own cache; and the removal of files that have no such reason.

use std::io;
use std::path::{Path, PathBuf};

use super::state::{PendingUpdate, PrefetchState};
use crate::base::name::FileName;
use crate::machine::lists;
use crate::store::Store;
use crate::store::held::{KeptFile, KeptState, held};

/// Seconds for which a file is left to the run of pacman that it may have been fetched for.
const FRESH: u64 = 3600;

/// The reason why a file is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeepReason {
    /// An update that is pending.
    Pending,
    /// It came within the last hour.
    Fresh,
    /// pacman's cache has a file of its name and size by now.
    InCache,
    /// There is room, and a later run may want it.
    Room,
    /// It is not complete.
    Partial,
}

impl KeepReason {
    /// True if a cleaning leaves the file.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::Pending | Self::Fresh)
    }
}

/// A file of a store, and why it is there.
pub(crate) type KeptWhy = (KeptFile, KeepReason);

/// The result of a cleaning.
#[derive(Debug)]
pub(crate) struct Cleaned {
    /// The files that went, or would go.
    pub(crate) gone: Vec<KeptWhy>,
    /// The files that stay.
    pub(crate) kept: Vec<KeptWhy>,
    /// Bytes of remains that went with them.
    pub(crate) swept: u64,
}

/// Lists the files of the store in `dir` with the reasons, the largest first. `caches` are pacman's.
///
/// # Errors
/// As of [`held`].
pub(crate) fn reasons(dir: &Path, caches: &[PathBuf]) -> io::Result<Vec<KeptWhy>> {
    let mut pending = PrefetchState::now(dir).updates;
    pending.retain(|update| !update.is_let_go());
    let of_one = |file| {
        let why = why(&file, &pending, caches);
        (file, why)
    };
    Ok(held(dir)?.into_iter().map(of_one).collect())
}

/// Removes what has no reason to stay, or with `only_looks` only tells what would go.
///
/// # Errors
/// Those of the file system.
pub(crate) fn clean(store: &Store, caches: &[PathBuf], only_looks: bool) -> io::Result<Cleaned> {
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for (file, why) in reasons(store.dir(), caches)? {
        let goes = !why.keeps() && (only_looks || store.remove(&file)?);
        if goes { &mut gone } else { &mut kept }.push((file, why));
    }
    let swept = if only_looks { 0 } else { store.sweep(caches)? };
    Ok(Cleaned { gone, kept, swept })
}

fn why(file: &KeptFile, pending: &[PendingUpdate], caches: &[PathBuf]) -> KeepReason {
    let is_in = |dir: &PathBuf| {
        let Some(name) = file.name.as_deref().filter(|name| !name.contains('/')) else { return false };
        dir.join(name).metadata().is_ok_and(|meta| meta.len() == file.size)
    };
    match file.state {
        _ if is_pending(file, pending) => KeepReason::Pending,
        KeptState::Whole | KeptState::Passing if caches.iter().any(is_in) => KeepReason::InCache,
        _ if file.age < FRESH => KeepReason::Fresh,
        KeptState::Partial => KeepReason::Partial,
        KeptState::Whole | KeptState::Passing => KeepReason::Room,
    }
}

/// True for a file of a pending update: the package, whatever its standing, and a signature that an index lists, which
/// has a key of its own.
fn is_pending(file: &KeptFile, pending: &[PendingUpdate]) -> bool {
    let name = file.name.as_deref().and_then(|name| FileName::new(name).ok());
    let signed = name.map(|name| lists::read(&name).signed.unwrap_or(name));
    pending.iter().any(|update| {
        update.sha256.is_some_and(|sha256| sha256.to_string() == file.key)
            || signed.as_ref().is_some_and(|signed| signed.as_str() == update.file)
    })
}
