//! Pins in Kubo: pending files are added and pinned under their names, so that neighbours can fetch them; files
//! that are not pending any more are unpinned, and count against `kubo.keep` from then on.
//!
//! Only pins with our prefix are ever touched. A pin of the user keeps its name and stays.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::time::Duration;

use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::name::FileName;
use crate::dag::build::{build, build_blocks};
use crate::net::kubo::keep::Ledger;
use crate::net::kubo::{Kubo, KuboError, upload};

/// The prefix of our pins' names; the name of the file follows.
pub const PREFIX: &str = "pkgswarm-prefetch ";

/// Longest time to send a file over loopback: this and a second for each MiB.
const PATIENCE: Duration = Duration::from_secs(30);

/// The reason why a file is not pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The daemon failed. Trying again later may help.
    #[error(transparent)]
    Kubo(#[from] KuboError),
    /// The file in the store could not be read.
    #[error("{0}")]
    File(#[from] io::Error),
}

/// Lists our pins by CID, with their files.
///
/// # Errors
/// Those of the daemon.
pub async fn ours(kubo: &Kubo) -> Result<HashMap<Cid, FileName>, KuboError> {
    let all = kubo.pins_named(PREFIX).await?;
    let named = all.into_iter().filter_map(|(cid, name)| Some((cid, FileName::new(name.strip_prefix(PREFIX)?).ok()?)));
    Ok(named.collect())
}

/// Adds `file` to the daemon and pins it as `name`. `false` when it has a pin already, which stays as it is.
///
/// # Errors
/// [`PinError`].
pub async fn pin(kubo: &Kubo, ledger: &Ledger, file: File, name: &FileName) -> Result<bool, PinError> {
    let built = build(&file)?;
    if kubo.is_pinned(built.root).await? {
        return Ok(false);
    }
    // A file that was there before is the user's, and does not count as cached on our behalf.
    let was_there = kubo.local_block(built.root).await?.is_some();
    let deadline = PATIENCE + Duration::from_secs(built.size >> 20);
    let car = upload::car(built.root, move |block| {
        io::Seek::rewind(&mut &file)?;
        build_blocks(&file, block).map(drop)
    });
    kubo.import(car, built.root, deadline).await?;
    kubo.pin(built.root, &format!("{PREFIX}{name}"), deadline).await?;
    if !was_there {
        let now = clock::now();
        ledger.note(built.root, built.size, now)?;
    }
    Ok(true)
}
