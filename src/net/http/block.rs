//! A raw block by HTTP, from a trustless gateway or from Kubo's own: its URL, and its bytes, bounded and proven.
//!
//! Spec: trustless gateway, `GET /ipfs/{cid}?format=raw` (ipfs/specs, src/http-gateways/trustless-gateway.md).

use reqwest::Url;

use crate::base::cid::Cid;
use crate::base::size::BLOCK_MOST;
use crate::config::url::below;
use crate::net::http::answer::HttpAnswer;

/// The media type to ask for. A gateway takes it or `format`; both are sent, as the specification advises.
pub(crate) const BLOCK_TYPE: &str = "application/vnd.ipld.raw";

/// The reason why an answer is not the block.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    /// More than [`BLOCK_MOST`] bytes.
    #[error("a block of more than {BLOCK_MOST} bytes")]
    TooLong,
    /// Other bytes than the CID names.
    #[error("sent another block than {0}")]
    Other(Box<Cid>),
    /// It broke off.
    #[error(transparent)]
    Transport(#[from] reqwest::Error),
}

/// Returns the URL of a block at a gateway.
pub(crate) fn block_url(gateway: &Url, cid: Cid) -> Url {
    below(gateway, &format!("/ipfs/{cid}?format=raw"))
}

/// Reads the block from an answer that began well, and proves it. `moved` is told how many bytes have come, each time
/// some do.
///
/// # Errors
/// [`BlockError`]; another gateway may have the block.
pub(crate) async fn read_block(
    answer: impl Into<HttpAnswer>,
    cid: Cid,
    moved: impl FnMut(u64),
) -> Result<Vec<u8>, BlockError> {
    let block = read_body(answer, BLOCK_MOST, moved).await?.ok_or(BlockError::TooLong)?;
    if cid.proves(&block) { Ok(block) } else { Err(BlockError::Other(Box::new(cid))) }
}

/// Reads a whole answer; `None` when it has more than `most` bytes. `moved` is told how many bytes have come, each
/// time some do.
///
/// # Errors
/// When it breaks off.
pub(crate) async fn read_body(
    answer: impl Into<HttpAnswer>,
    most: usize,
    mut moved: impl FnMut(u64),
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let (mut answer, mut bytes) = (answer.into(), Vec::new());
    while let Some(piece) = answer.chunk().await? {
        moved(piece.len() as u64);
        if bytes.len() + piece.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}
