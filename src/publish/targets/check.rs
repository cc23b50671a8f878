//! The publisher's check of its own work: read back as by a client, with every proof.

use std::time::Duration;

use futures_util::StreamExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::seal::Sealed;
use super::super::tree::TreeFile;
use super::super::{Phase, PublishError};
use crate::base::cid::Cid;
use crate::dag::build::FileDag;
use crate::index::ipns::Name;
use crate::net::kubo::{Kubo, KuboErrorKind};

/// The blocks come from the daemon's own disk.
const STEP: Duration = Duration::from_secs(60);
/// Longest wait for our own record.
const RECORD: Duration = Duration::from_secs(90);
const AT_ONCE: usize = 8;

/// Reads every block of manifest, tables and directories, and every file of `files` by its path below the root.
pub(super) async fn read_back(
    kubo: &Kubo,
    sealed: &Sealed<'_>,
    files: &[TreeFile],
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<(), PublishError> {
    let total = files.iter().map(|file| file.hashed.size).sum();
    progress(Phase::Check, 0, total);
    let blocks = futures_util::stream::iter(sealed.blocks.iter().map(|block| kubo.block(block.cid, STEP)));
    let mut blocks = blocks.buffer_unordered(AT_ONCE);
    while let Some(block) = blocks.next().await {
        block?;
    }
    let files = futures_util::stream::iter(files.iter().map(|file| read_file(kubo, sealed.root, file)));
    let (mut files, mut done) = (files.buffer_unordered(AT_ONCE), 0);
    while let Some(size) = files.next().await {
        done += size?;
        progress(Phase::Check, done, total);
    }
    Ok(())
}

/// Reads one file through the plain tree, which proves the path as well.
async fn read_file(kubo: &Kubo, root: Cid, file: &TreeFile) -> Result<u64, PublishError> {
    let wrong = |what: String| PublishError::ReadBack { what: file.path.clone(), why: what };
    let answer = kubo.file(&format!("/ipfs/{root}/{}", encode(&file.path)), STEP).await?;
    let (mut dag, mut stream) = (FileDag::new(), answer.bytes_stream());
    let mut size = 0u64;
    loop {
        let piece = tokio::time::timeout(STEP, stream.next()).await;
        match piece.map_err(|_| wrong("nothing came for 60 s".to_owned()))? {
            None => break,
            Some(piece) => {
                let piece = piece.map_err(|e| wrong(e.without_url().to_string()))?;
                size += piece.len() as u64;
                if size > file.hashed.size {
                    return Err(wrong(format!("more than {} bytes came", file.hashed.size)));
                }
                dag.update(&piece);
            }
        }
    }
    let built = dag.finish();
    match file.hashed.cid == built.root {
        true => Ok(size),
        false => Err(wrong(format!("{} came instead of {}", built.root, file.hashed.cid))),
    }
}

/// Checks that the daemon serves the record that was just published. `None`: it serves none, because its routing
/// is off.
pub(super) async fn record(
    kubo: &Kubo,
    name: &Name,
    sealed: &Sealed<'_>,
    now: u64,
) -> Result<Option<Vec<u8>>, PublishError> {
    let bytes = match kubo.record(&name.to_string(), RECORD).await {
        Ok(bytes) => bytes,
        Err(fault) if matches!(fault.kind, KuboErrorKind::Absent | KuboErrorKind::TooOld) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let wrong = |why: String| PublishError::ReadBack { what: format!("the IPNS record of {name}"), why };
    let record = name.verify(&bytes, now).map_err(|e| wrong(e.to_string()))?;
    let root = record.root().map_err(|e| wrong(e.to_string()))?;
    match (root == sealed.root, record.sequence == sealed.manifest.sequence) {
        (true, true) => Ok(Some(bytes)),
        (false, _) => Err(wrong(format!("it points at {root} instead of {}", sealed.root))),
        (_, false) => {
            Err(wrong(format!("it has sequence {} instead of {}", record.sequence, sealed.manifest.sequence)))
        }
    }
}

/// All characters except those that RFC 3986 allows in a path.
const NO_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// Encodes a path for a URL.
fn encode(path: &str) -> String {
    utf8_percent_encode(path, NO_PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_where_a_url_needs_it() {
        assert_eq!(encode("core/os/x86_64/a+b-1:2-1-any.pkg.tar.zst"), "core/os/x86_64/a+b-1:2-1-any.pkg.tar.zst");
        assert_eq!(encode("a b%?#ü"), "a%20b%25%3F%23%C3%BC");
    }
}
