//! Ends a share: its pin goes, and its files with it, or they stay as the user's own.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::bring::failure;
use super::letgo;
use super::root::{self, ShareRoot};
use super::state::{KeeperPlace, KeptEntry};
use super::work::{bytes_of, pin_name, wanted_pin};
use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::net::kubo::Kubo;
use crate::pins::{KuboPins, PinError, PinMark, ReconcileLimits, reconcile};

/// Longest wait for the pin of what stays.
const PINNING: Duration = Duration::from_secs(600);
const LIMITS: ReconcileLimits = ReconcileLimits { changes: 100, time: Duration::from_secs(1200) };

/// The result of ending a share.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// Files that were kept.
    pub(crate) files: usize,
    /// Bytes that they took.
    pub(crate) bytes: u64,
    /// Files that came because of the keeper, and were removed.
    pub(crate) removed: usize,
}

/// Ends the share `name`. With `stays`, one pin of all its files stays under the name `NAME`, the user's from then on.
///
/// # Errors
/// Those of Kubo and of this machine; ending it again goes on.
pub(crate) async fn release(kubo: &Kubo, state_dir: &Path, name: &str, stays: bool) -> Result<Released, Error> {
    let place = KeeperPlace::of(state_dir, name);
    let Some(_alone) = place.enter()? else {
        return Err(Error::new(ErrorKind::NoSource, name, "a round of this share is at work")
            .hint(format!("`pkgswarm keep stop {name}` again when it has ended")));
    };
    let failed = |fault| match fault {
        PinError::Kubo(fault) => failure(kubo, &fault),
        other => Error::new(ErrorKind::NoSource, "kubo", other),
    };
    let state = place.read();
    let mut files: BTreeMap<Cid, KeptEntry> = state.as_ref().map(|state| state.files.clone()).unwrap_or_default();
    let roots = kubo.pins_named(&pin_name(name)).await.map_err(|e| failure(kubo, &e))?;
    for (root, _) in roots.iter().filter(|(_, found)| *found == pin_name(name)) {
        for (cid, file) in root::read(kubo, *root).await.map_err(|e| failure(kubo, &e))?.files {
            files.entry(cid).or_insert(file);
        }
    }
    let target = KuboPins { kubo, ledger: None, patience: PINNING };
    if stays && !files.is_empty() {
        // Another root than the keeper's: what is pinned is never pinned anew under another name.
        let plain = files.iter().map(|(cid, file)| (*cid, KeptEntry { ours: false, ..*file })).collect();
        let wanted = wanted_pin(ShareRoot::of(crate::base::digest::Sha256([0; 32]), &plain));
        let mark = PinMark::exactly(name);
        let done = crate::pins::extend(&[wanted], &target, &mark, &LIMITS).await.map_err(failed)?;
        if let Some(fault) = done.failed.into_iter().next() {
            return Err(failed(fault.error));
        }
    }
    reconcile(&[], &target, &PinMark::exactly(pin_name(name)), &LIMITS).await.map_err(failed)?;
    let mut ours: Vec<Cid> = files.iter().filter(|(_, file)| file.ours).map(|(cid, _)| *cid).collect();
    ours.extend(state.into_iter().flat_map(|state| state.leaving.into_keys()));
    ours.extend(place.coming());
    ours.extend(roots.iter().filter(|(_, found)| *found == pin_name(name)).map(|(root, _)| *root));
    let removed = if stays { 0 } else { files.values().filter(|file| file.ours).count() };
    if !stays {
        for group in ours.chunks(letgo::FILES_AT_ONCE) {
            letgo::remove(kubo, group, &HashSet::new()).await.map_err(failed)?;
        }
    }
    place.forget()?;
    Ok(Released { files: files.len(), bytes: bytes_of(&files), removed })
}
