//! One small file of a mirror, whole: `lastupdate`, a database, a signature. It comes without an expectation, so a
//! redirect from https to http is not followed.

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt as _;
use reqwest::Url;

use crate::base::clock;
use crate::engine::source::mirror::Mirror;
use crate::engine::source::{FetchRequest, Miss, Source as _, SourceAnswer};
use crate::machine::Machine;

/// An answer that counts.
pub(super) enum MirrorAnswer {
    /// The file, and its date in Unix seconds, where the mirror told one.
    File(Vec<u8>, Option<u64>),
    /// It is not newer than the date in the question.
    Unchanged,
}

/// Asks for the file at `url`, of `most` bytes at most, only if it is newer than `newer_than` (Unix seconds).
///
/// # Errors
/// The reason why the mirror did not deliver it.
pub(super) async fn ask(
    machine: &Machine,
    url: &Url,
    newer_than: Option<u64>,
    most: u64,
) -> Result<MirrorAnswer, Miss> {
    let mirror = Mirror::new(&machine.http, url.clone(), None, most).unproven(&Rc::default());
    let patience = machine.settings.patience;
    let silent = |_| Miss::Stalled(patience);
    let newer_than = newer_than.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let question = FetchRequest { newer_than, ..FetchRequest::default() };
    let (size, modified, mut body) =
        match tokio::time::timeout(patience, mirror.open(question)).await.map_err(silent)?? {
            SourceAnswer::Unchanged => return Ok(MirrorAnswer::Unchanged),
            SourceAnswer::Bytes { size, modified, body, .. } => (size, modified, body),
        };
    let mut bytes = Vec::new();
    while let Some(piece) = tokio::time::timeout(patience, body.next()).await.map_err(silent)? {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > most {
            return Err(Miss::Corrupt(format!("more than {most} bytes")));
        }
    }
    if size.is_some_and(|size| size != bytes.len() as u64) {
        return Err(Miss::Broken("ended too early".to_owned()));
    }
    Ok(MirrorAnswer::File(bytes, modified.and_then(clock::checked_unix)))
}
