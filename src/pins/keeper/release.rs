//! Ends a share: its pin goes, and its files with it, or they stay as the user's own.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::bring::{failure, is_whole};
use super::letgo;
use super::root::{self, ShareRoot};
use super::state::{KeeperPlace, KeptEntry};
use super::work::{bytes_of, pin_name, wanted_pin};
use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::net::kubo::Kubo;
use crate::pins::{KuboPins, PinError, PinMark, ReconcileLimits, Reconciled, reconcile};

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
    // Nothing may be forgotten before its pin is gone.
    let settled = |done: Reconciled| match done.failed.into_iter().next() {
        Some(fault) => Err(failed(fault.error)),
        None if done.left > 0 => Err(Error::new(ErrorKind::NoSource, "kubo", "did not change the share's pin in time")),
        None => Ok(()),
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
    let mut broken = Vec::new();
    if stays {
        // What lost a block would make the new pin wait for the network.
        for cid in files.keys().copied().collect::<Vec<_>>() {
            if !is_whole(kubo, cid).await.map_err(|e| failure(kubo, &e))? {
                broken.extend(files.remove(&cid).filter(|file| file.ours).map(|_| cid));
            }
        }
    }
    if stays && !files.is_empty() {
        // Another root than the keeper's: what is pinned is never pinned anew under another name.
        let plain = files.iter().map(|(cid, file)| (*cid, KeptEntry { ours: false, ..*file })).collect();
        let wanted = wanted_pin(ShareRoot::of(crate::base::digest::Sha256([0; 32]), &plain));
        let mark = PinMark::exactly(name);
        let done = crate::pins::extend(&[wanted], &target, &mark, &LIMITS).await.map_err(failed)?;
        settled(done)?;
    }
    let done = reconcile(&[], &target, &PinMark::exactly(pin_name(name)), &LIMITS).await.map_err(failed)?;
    settled(done)?;
    let of_share = |cid: &Cid| stays && files.contains_key(cid);
    let mut ours: Vec<Cid> = files.iter().filter(|(_, file)| file.ours && !stays).map(|(cid, _)| *cid).collect();
    let count = ours.len();
    ours.extend(broken);
    ours.extend(state.iter().flat_map(|state| state.leaving.keys()).filter(|cid| !of_share(cid)));
    ours.extend(place.coming().into_iter().filter(|cid| !of_share(cid)));
    ours.extend(roots.iter().filter(|(_, found)| *found == pin_name(name)).map(|(root, _)| *root));
    ours.extend(state.as_ref().and_then(|state| state.root));
    for group in ours.chunks(letgo::FILES_AT_ONCE) {
        letgo::remove(kubo, group, &HashSet::new()).await.map_err(failed)?;
    }
    let mut removed = 0;
    for cid in &ours[..count] {
        // What another pin or MFS has is there still.
        removed += usize::from(!kubo.has_block(*cid).await.map_err(|e| failure(kubo, &e))?);
    }
    place.forget()?;
    Ok(Released { files: files.len(), bytes: bytes_of(&files), removed })
}
