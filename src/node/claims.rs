//! Our own small protocol beside Bitswap: which root belongs to a file of this sha256 and size.
//!
//! Bitswap needs a CID, and above 1 MiB it does not follow from the sha256. A neighbour that has the file knows it. Its
//! answer is a claim: who follows it proves the whole file by the sha256 at the end. One request a stream, one answer;
//! the format is in pkgswarm-protocol(7).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};

use crate::cid::Cid;
use crate::digest::Sha256;
use crate::node::limits::Rate;
use crate::node::shelf::Shelf;
use crate::node::streams::{Guard, Opener};
use crate::protobuf::{BadProtobuf, Fields, Writer};

/// The protocol and its version.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/pkgswarm/root/1");

/// Longest request and longest answer, in bytes, after the byte that tells the length.
pub(super) const MOST: usize = 127;

/// Longest time for one request and its answer, for who asks and for who answers.
const PATIENCE: Duration = Duration::from_millis(250);
const SERVE: Duration = Duration::from_secs(5);

/// Requests that are answered to one peer in a second. Origin: chosen by us; a large update has a few hundred.
pub(super) const RATE: u64 = 256;

/// What a peer asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Of the whole file.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
}

impl Question {
    /// Reads a request: 1 is the sha256, 2 the size.
    ///
    /// # Errors
    /// Not protocol buffers. `Ok(None)` when the sha256 is missing or not one.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, BadProtobuf> {
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
        Writer::default().bytes(1, &self.sha256.0).varint(2, self.size).finish()
    }
}

/// Reads an answer: 1 is the CID of the root; without it the peer does not have the file.
///
/// # Errors
/// Not protocol buffers.
pub fn read_answer(bytes: &[u8]) -> Result<Option<Cid>, BadProtobuf> {
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
pub struct Claims {
    shelf: Arc<Shelf>,
    opener: Opener,
    rates: Arc<Mutex<HashMap<PeerId, Arc<Rate>>>>,
}

impl Claims {
    /// Answers from `shelf`.
    pub fn new(shelf: Arc<Shelf>, opener: Opener) -> Self {
        Self { shelf, opener, rates: Arc::default() }
    }

    /// Opens streams of this protocol, for tests that speak nonsense on them.
    #[cfg(test)]
    pub(super) fn opener(&self) -> Opener {
        self.opener.clone()
    }

    /// Asks these peers, all at once. Returns each root that anybody named, with who named it, the most often named first.
    pub async fn ask(&self, peers: &[PeerId], question: Question) -> Vec<(Cid, Vec<PeerId>)> {
        let asked = peers.iter().map(|peer| async move {
            let answer = tokio::time::timeout(PATIENCE, self.ask_one(*peer, question)).await;
            (*peer, answer.ok().and_then(Result::ok).flatten())
        });
        let mut roots: Vec<(Cid, Vec<PeerId>)> = Vec::new();
        for (peer, root) in join_all(asked).await {
            let Some(root) = root else { continue };
            match roots.iter_mut().find(|(other, _)| *other == root) {
                Some((_, who)) => who.push(peer),
                None => roots.push((root, vec![peer])),
            }
        }
        roots.sort_by_key(|(_, who)| std::cmp::Reverse(who.len()));
        roots
    }

    async fn ask_one(&self, peer: PeerId, question: Question) -> io::Result<Option<Cid>> {
        let mut stream = self.opener.open(peer).await.ok_or(io::ErrorKind::NotConnected)?;
        write_short(&mut stream, &question.write()).await?;
        let answer = read_short(&mut stream).await?;
        read_answer(&answer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Answers on a stream that a peer opened.
    pub async fn answer(&self, peer: PeerId, mut stream: Stream, _guard: Guard) {
        let rate = {
            let mut rates = self.rates.lock().expect("nothing panics while it is held");
            // Peers come and go under new names.
            if rates.len() > 1024 {
                rates.clear();
            }
            Arc::clone(rates.entry(peer).or_insert_with(|| Arc::new(Rate::new(RATE))))
        };
        tokio::time::sleep(rate.take(1)).await;
        let _ = tokio::time::timeout(SERVE, async {
            let request = read_short(&mut stream).await?;
            let Ok(Some(question)) = Question::read(&request) else { return Ok(()) };
            let shelf = Arc::clone(&self.shelf);
            let find = move || shelf.find(question.sha256, question.size).map(|file| file.root());
            let root = tokio::task::spawn_blocking(find).await.ok().flatten();
            let mut answer = Writer::default();
            if let Some(root) = root {
                answer.bytes(1, &root.to_bytes());
            }
            write_short(&mut stream, &answer.finish()).await?;
            stream.close().await
        })
        .await;
    }
}

async fn write_short(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let len = u8::try_from(bytes.len()).ok().filter(|len| usize::from(*len) <= MOST);
    let len = len.expect("requests and answers are shorter than that");
    stream.write_all(&[&[len], bytes].concat()).await?;
    stream.flush().await
}

async fn read_short(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut len = [0];
    stream.read_exact(&mut len).await?;
    if usize::from(len[0]) > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::from(len[0])];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_are_read_as_written() {
        let question = Question { sha256: Sha256::of(b"x"), size: 1 << 40 };
        assert_eq!(Question::read(&question.write()), Ok(Some(question)));
        assert_eq!(Question::read(b"\x0a\x01x\x10\x05"), Ok(None), "a sha256 has 32 bytes");
        let root = Cid::raw(question.sha256);
        let answer = Writer::default().bytes(1, &root.to_bytes()).finish();
        assert_eq!((read_answer(&answer), read_answer(b"")), (Ok(Some(root)), Ok(None)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Question::read(&bytes), read_answer(&bytes));
        }
    }
}
