//! Our own small protocol beside Bitswap: the root of a file, by its sha256 and size.
//!
//! Bitswap needs a CID, and above 1 MiB it does not follow from the sha256. A neighbour with the file knows it.
//! Its answer is a claim: a daemon that follows it proves the whole file by the sha256 at the end. One request a
//! stream, one answer; the format is in pkgswarm-protocol(7).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::io::AsyncWriteExt as _;
use libp2p::{PeerId, Stream, StreamProtocol};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::protobuf::{Fields, ProtobufError, ProtobufWriter};
use crate::node::frame;
use crate::node::limits::Rates;
use crate::node::shelf::Shelf;
use crate::node::streams::{Guard, Opener};

/// The protocol and its version.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/pkgswarm/root/1");

/// Longest request and longest answer, in bytes: the length before them takes one byte.
pub(super) const MOST: usize = 127;

/// Longest time for one request and its answer, on both sides.
const PATIENCE: Duration = Duration::from_millis(250);
const SERVE: Duration = Duration::from_secs(5);

/// Requests that are answered to one peer in a second. Origin: chosen by us; a large update has a few hundred.
pub(super) const RATE: u64 = 256;

/// A question: the file's sha256 and size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimQuestion {
    /// Of the whole file.
    pub(crate) sha256: Sha256,
    /// In bytes.
    pub(crate) size: u64,
}

impl ClaimQuestion {
    /// Reads a request: field 1 is the sha256, 2 the size.
    ///
    /// # Errors
    /// Not protocol buffers. `Ok(None)` when the sha256 is missing or malformed.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ProtobufError> {
        let (mut sha256, mut size) = (None, 0);
        for field in Fields::of(bytes) {
            let field = field?;
            match field.number {
                1 => sha256 = field.bytes()?.try_into().ok().map(Sha256),
                2 => size = field.varint()?,
                _ => {}
            }
        }
        Ok(sha256.map(|sha256| Self { sha256, size }))
    }

    fn write(&self) -> Vec<u8> {
        ProtobufWriter::default().bytes(1, &self.sha256.0).varint(2, self.size).finish()
    }
}

/// Reads an answer: field 1 is the CID of the root; without it the peer does not have the file.
///
/// # Errors
/// Not protocol buffers.
pub fn read_answer(bytes: &[u8]) -> Result<Option<Cid>, ProtobufError> {
    let mut root = None;
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number == 1 {
            root = Cid::from_bytes(field.bytes()?).ok();
        }
    }
    Ok(root)
}

/// Both sides of the protocol. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Claims {
    shelf: Arc<Shelf>,
    opener: Opener,
    rates: Arc<Rates>,
}

impl Claims {
    /// Serves answers from `shelf`.
    pub(crate) fn new(shelf: Arc<Shelf>, opener: Opener) -> Self {
        Self { shelf, opener, rates: Arc::new(Rates::new(RATE)) }
    }

    /// Asks these peers, all at once. Returns each root that a peer named, with those peers, the most often named
    /// first.
    pub(crate) async fn ask(&self, peers: &[PeerId], question: ClaimQuestion) -> Vec<(Cid, Vec<PeerId>)> {
        let asked = peers.iter().map(|peer| async move {
            let answer = tokio::time::timeout(PATIENCE, self.ask_one(*peer, question)).await;
            (*peer, answer.ok().and_then(Result::ok).flatten())
        });
        let mut roots: Vec<(Cid, Vec<PeerId>)> = Vec::new();
        for (peer, root) in join_all(asked).await {
            let Some(root) = root else { continue };
            match roots.iter_mut().find(|(other, _)| *other == root) {
                Some((_, claimants)) => claimants.push(peer),
                None => roots.push((root, vec![peer])),
            }
        }
        roots.sort_by_key(|(_, claimants)| std::cmp::Reverse(claimants.len()));
        roots
    }

    async fn ask_one(&self, peer: PeerId, question: ClaimQuestion) -> io::Result<Option<Cid>> {
        let mut stream = self.opener.open(peer).await.ok_or(io::ErrorKind::NotConnected)?;
        frame::write(&mut stream, &frame::framed(&question.write()), || {}).await?;
        let answer = frame::read(&mut stream, |len| len <= MOST, PATIENCE, || {}).await?;
        read_answer(&answer.unwrap_or_default()).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Answers on a stream that a peer opened.
    pub(crate) async fn answer(&self, peer: PeerId, mut stream: Stream, _guard: Guard) {
        self.rates.of(peer).wait(1).await;
        let _ = tokio::time::timeout(SERVE, async {
            let request = frame::read(&mut stream, |len| len <= MOST, SERVE, || {}).await?;
            let Ok(Some(question)) = ClaimQuestion::read(&request.unwrap_or_default()) else { return Ok(()) };
            let shelf = Arc::clone(&self.shelf);
            let find = move || shelf.find(question.sha256, question.size).map(|file| file.root());
            let root = tokio::task::spawn_blocking(find).await.ok().flatten();
            let mut answer = ProtobufWriter::default();
            if let Some(root) = root {
                answer.bytes(1, &root.to_bytes());
            }
            frame::write(&mut stream, &frame::framed(&answer.finish()), || {}).await?;
            stream.close().await
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_are_read_as_written() {
        let question = ClaimQuestion { sha256: Sha256::of(b"x"), size: 1 << 40 };
        assert_eq!(ClaimQuestion::read(&question.write()), Ok(Some(question)));
        assert_eq!(ClaimQuestion::read(b"\x0a\x01x\x10\x05"), Ok(None), "a sha256 has 32 bytes");
        let root = Cid::raw(question.sha256);
        let answer = ProtobufWriter::default().bytes(1, &root.to_bytes()).finish();
        assert_eq!((read_answer(&answer), read_answer(b"")), (Ok(Some(root)), Ok(None)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (ClaimQuestion::read(&bytes), read_answer(&bytes));
        }
    }
}
