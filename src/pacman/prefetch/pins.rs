//! The pins of prefetch in Kubo: pending files are pinned under their names, so that neighbours can fetch them; files
//! that are not pending any more are unpinned, and count against `kubo.keep` from then on.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::cid::Cid;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::dag::build::build;
use crate::net::kubo::{Kubo, KuboError};
use crate::pins::keep::Ledger;
use crate::pins::{KuboPins, PinContent, PinError, PinMark, ReconcileLimits, WantedPin, reconcile};

/// The prefix of our pins' names; the name of the file follows.
const PREFIX: &str = "pkgswarm-prefetch ";

/// Longest time to send a file over loopback: this and a second for each MiB.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bounds of one run; the next one does the rest.
const LIMITS: ReconcileLimits = ReconcileLimits { changes: 10_000, time: Duration::from_secs(1800) };

/// Lists our pins by CID, with their files.
///
/// # Errors
/// Those of the daemon.
pub(crate) async fn ours(kubo: &Kubo) -> Result<HashMap<Cid, FileName>, KuboError> {
    let all = kubo.pins_named(PREFIX).await?;
    let named = all.into_iter().filter_map(|(cid, name)| Some((cid, FileName::new(name.strip_prefix(PREFIX)?).ok()?)));
    Ok(named.collect())
}

/// A pending file.
pub(super) struct PendingFile {
    pub(super) name: FileName,
    /// Its path in the store, if it is there and may be shared.
    pub(super) path: Option<PathBuf>,
}

/// The result of [`keep`].
#[derive(Default)]
pub(super) struct KeptPins {
    /// Files with a pin of ours.
    pub(super) pinned: Vec<FileName>,
    /// Failures, one a file.
    pub(super) failed: Vec<PinError>,
    /// Pins that are left to the next run.
    pub(super) left: usize,
}

/// Makes our pins those of the `pending` files. A file that is pinned already keeps its pin, also if it is not in
/// the store; one that is neither pinned nor in the store is left out.
///
/// # Errors
/// When the daemon does not say what it has pinned: then nothing was changed.
pub(super) async fn keep(kubo: &Kubo, ledger: &Ledger, pending: &[PendingFile]) -> Result<KeptPins, PinError> {
    let mut done = KeptPins::default();
    let at_hand: HashMap<FileName, Cid> = ours(kubo).await?.into_iter().map(|(cid, file)| (file, cid)).collect();
    let mut desired = Vec::new();
    for file in pending {
        let label = file.name.to_string();
        match (at_hand.get(&file.name), &file.path) {
            // Named by the file, which is not hashed again.
            (Some(cid), _) => desired.push(WantedPin { cid: *cid, label, content: None }),
            (None, Some(path)) => match content(path.clone()) {
                Ok((cid, content)) => desired.push(WantedPin { cid, label, content: Some(content) }),
                Err(e) => done.failed.push(e.into()),
            },
            (None, None) => {}
        }
    }
    let target = KuboPins { kubo, ledger: Some(ledger), patience: PATIENCE };
    let reconciled = reconcile(&desired, &target, &PinMark::beginning(PREFIX), &LIMITS).await?;
    let is_ours = |wanted: &&WantedPin| {
        let is_one_of = |roots: &[Cid]| roots.contains(&wanted.cid);
        wanted.content.is_none() || is_one_of(&reconciled.added)
    };
    done.pinned = desired.iter().filter(is_ours).filter_map(|wanted| FileName::new(&*wanted.label).ok()).collect();
    done.left = reconciled.left;
    done.failed.extend(reconciled.failed.into_iter().map(|failure| failure.error));
    Ok(done)
}

fn content(path: PathBuf) -> io::Result<(Cid, PinContent)> {
    let built = build(fsx::open_read(&path)?)?;
    Ok((built.root, PinContent::of_file(path, built.size)))
}
