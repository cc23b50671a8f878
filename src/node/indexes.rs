//! Our own small protocol beside Bitswap for signed indexes: a neighbour's copy of the index with this key.
//!
//! A copy proves itself, so any peer may send it: the IPNS record, or the manifest's CID with its signature. Here
//! an answer is a few kilobytes that are not decoded; the caller judges them as if they came from a stranger
//! (`crate::index::passed`). The blocks that they lead to come over Bitswap. The format is in
//! pkgswarm-protocol(7).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::io::AsyncWriteExt as _;
use libp2p::{PeerId, Stream, StreamProtocol};

use crate::base::clock;
use crate::base::protobuf::{Fields, ProtobufError, ProtobufWriter};
use crate::node::frame;
use crate::node::limits::Rates;
use crate::node::streams::{Guard, Opener};

/// The protocol and its version.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/pkgswarm/index/1");

/// Longest request in bytes; a key takes 67.
pub(super) const REQUEST_MOST: usize = 127;

/// Longest answer in bytes: an IPNS record of 10 KiB, a signature of 16 KiB, a CID.
pub(crate) const ANSWER_MOST: usize = 32 << 10;

/// Longest time for one request and its answer, on both sides. No user waits for an index.
const PATIENCE: Duration = Duration::from_secs(1);
const SERVE: Duration = Duration::from_secs(5);

/// Requests that are answered to one peer in a second. Origin: chosen by us; a refresh asks once for each index.
pub(super) const RATE: u64 = 16;

/// Reads a request: field 1 is the key, `ipns:k51…` or `minisign:RW…`.
///
/// # Errors
/// Not protocol buffers. `Ok(None)` when the key is missing or no text.
pub fn read_request(bytes: &[u8]) -> Result<Option<&str>, ProtobufError> {
    let mut key = None;
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number == 1 {
            key = std::str::from_utf8(field.bytes()?).ok().filter(|key| !key.is_empty());
        }
    }
    Ok(key)
}

/// The answer about one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IndexAnswer {
    /// The answer, at most [`ANSWER_MOST`] bytes.
    pub(crate) answer: Bytes,
    /// Unix seconds after which it is not sent any more.
    pub(crate) expires: u64,
}

/// Both sides of the protocol. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Indexes {
    held: Arc<Mutex<HashMap<String, IndexAnswer>>>,
    opener: Opener,
    rates: Arc<Rates>,
}

impl Indexes {
    /// Creates both sides, without any answers yet.
    pub(crate) fn new(opener: Opener) -> Self {
        Self { held: Arc::default(), opener, rates: Arc::new(Rates::new(RATE)) }
    }

    /// Replaces the answers, by key.
    pub(crate) fn hold(&self, held: HashMap<String, IndexAnswer>) {
        *self.held.lock().expect("nothing panics while it is held") = held;
    }

    /// Asks these peers, all at once. Returns the distinct answers, not decoded.
    pub(crate) async fn ask(&self, peers: &[PeerId], key: &str) -> Vec<Bytes> {
        let asked = peers.iter().map(|peer| tokio::time::timeout(PATIENCE, self.ask_one(*peer, key)));
        let mut answers = Vec::new();
        for answer in join_all(asked).await.into_iter().flatten().flatten() {
            if !answer.is_empty() && !answers.contains(&answer) {
                answers.push(answer);
            }
        }
        answers
    }

    async fn ask_one(&self, peer: PeerId, key: &str) -> io::Result<Bytes> {
        let mut stream = self.opener.open(peer).await.ok_or(io::ErrorKind::NotConnected)?;
        let request = ProtobufWriter::default().bytes(1, key.as_bytes()).finish();
        frame::write(&mut stream, &frame::framed(&request), || {}).await?;
        let answer = frame::read(&mut stream, |len| len <= ANSWER_MOST, PATIENCE, || {}).await?;
        Ok(answer.unwrap_or_default())
    }

    /// Answers on a stream that a peer opened.
    pub(crate) async fn answer(&self, peer: PeerId, mut stream: Stream, _guard: Guard) {
        self.rates.of(peer).wait(1).await;
        let _ = tokio::time::timeout(SERVE, async {
            let request = frame::read(&mut stream, |len| len <= REQUEST_MOST, SERVE, || {}).await?.unwrap_or_default();
            let Ok(Some(key)) = read_request(&request) else { return Ok(()) };
            let answer = self.find(key).unwrap_or_default();
            frame::write(&mut stream, &frame::framed(&answer), || {}).await?;
            stream.close().await
        })
        .await;
    }

    fn find(&self, key: &str) -> Option<Bytes> {
        let now = clock::now();
        let held = self.held.lock().expect("nothing panics while it is held");
        held.get(key).filter(|held| held.expires >= now).map(|held| held.answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        let request = ProtobufWriter::default().bytes(1, b"ipns:k51").bytes(9, b"later").finish();
        assert_eq!(read_request(&request), Ok(Some("ipns:k51")));
        assert_eq!((read_request(b""), read_request(b"\x0a\x01\xff")), (Ok(None), Ok(None)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_request(&bytes);
        }
    }
}
