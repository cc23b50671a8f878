//! Nodes on loopback, in one process: the whole path of a block, without multicast.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};
use tokio::sync::watch;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::size::CHUNK;
use crate::node::bitswap::{BlockAnswer, UploadLimits};
use crate::node::blocks::{BlockFetch, SearchPatience};
use crate::node::claims::ClaimQuestion;
use crate::node::fetch::{Arriving, FetchError, TransferProgress, fetch};
use crate::node::indexes::IndexAnswer;
use crate::node::message::{WantEntry, WantKind};
use crate::node::networks::Allowed;
use crate::node::shelf::{Shelf, Shelved};
use crate::node::{Config, Node, start};

/// Makes a node that knows these peers.
fn node(peers: Vec<(PeerId, Multiaddr)>, peers_most: u32) -> Started {
    let config = Config {
        key: identity::Keypair::generate_ed25519(),
        port: 0,
        allowed: Allowed { networks: vec!["127.0.0.0/8".parse().unwrap()], interfaces: Vec::new() },
        peers,
        peers_most,
        upload: UploadLimits::default(),
        shelf: Arc::new(Shelf::default()),
    };
    let (node, runner) = start(config).unwrap();
    let (_, allowed) = watch::channel(Allowed::default());
    let task = tokio::spawn(async move { runner.run(allowed).await.unwrap() });
    Started { node, address: Multiaddr::empty(), task }
}

pub(crate) struct Started {
    pub(crate) node: Node,
    address: Multiaddr,
    task: tokio::task::JoinHandle<()>,
}

impl Started {
    /// Starts a node that listens, connected to all of these.
    pub(crate) async fn new(others: &[&Started]) -> Self {
        let others = others.iter().map(|other| (other.node.id, other.address.clone())).collect();
        Self::among(others).await
    }

    /// Starts the same with peers of other programs.
    pub(super) async fn among(others: Vec<(PeerId, Multiaddr)>) -> Self {
        let count = others.len();
        let this = Self::taking(others, 16).await;
        until(|| (this.node.peers().len() >= count).then_some(())).await;
        this
    }

    /// Starts a node that listens, knows these, and takes so many peers.
    pub(super) async fn taking(others: Vec<(PeerId, Multiaddr)>, peers_most: u32) -> Self {
        let mut this = node(others, peers_most);
        this.address = until(|| this.node.listening().first().cloned()).await;
        this
    }

    /// Returns its peer id and address.
    pub(super) fn at(&self) -> (PeerId, Multiaddr) {
        (self.node.id, self.address.clone())
    }

    /// Returns its listening port.
    pub(super) fn port(&self) -> u16 {
        let port = self.address.iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        port.unwrap()
    }

    /// Puts a file on its shelf.
    pub(crate) fn shelve(&self, path: &Path, content: &[u8]) -> Shelved {
        std::fs::write(path, content).unwrap();
        let file = Shelved::read(path, "core").unwrap();
        self.node.shelf.add(file.clone());
        file
    }

    /// Fetches a file that its peers have. On a busy machine they may answer later than one attempt waits.
    pub(super) async fn fetch(&self, file: &Shelved) -> Vec<u8> {
        let begun = Instant::now();
        loop {
            match self.fetch_once(file).await {
                Ok(bytes) => return bytes,
                Err(FetchError::Absent | FetchError::Stalled(_)) if begun.elapsed() < PATIENCE => {
                    self.node.bitswap.connected_peers().into_iter().for_each(|peer| self.node.bitswap.forgive(peer));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// Makes one attempt to fetch a file, and returns its bytes.
    pub(super) async fn fetch_once(&self, file: &Shelved) -> Result<Vec<u8>, FetchError> {
        let into = tempfile::tempfile().unwrap();
        let arriving = Arriving::new(file.root(), file.key.size, into.try_clone().unwrap());
        let (tell, told) = watch::channel(TransferProgress::default());
        let among = self.node.bitswap.worth_asking();
        let arrived = fetch(&self.node.bitswap, arriving, &among, &tell).await?;
        assert!(arrived.into_verifier().finish(file.sha256, file.key.size).is_ok());
        assert_eq!(told.borrow().bytes, file.key.size);
        let mut bytes = vec![0; usize::try_from(file.key.size).unwrap()];
        into.read_exact_at(&mut bytes, 0).unwrap();
        Ok(bytes)
    }
}

/// Longest wait for an event that must happen, which a busy machine does not need.
const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until there is a value; the test fails after two minutes.
pub(crate) async fn until<T>(mut fact: impl FnMut() -> Option<T>) -> T {
    eventually(async || fact()).await
}

/// Asks until there is a value: on a busy machine a peer may answer later than a question waits.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not so within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn content(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| ((i / 777 + i + seed) % 251) as u8).collect()
}

#[tokio::test]
async fn files_of_every_size_come_from_a_peer_that_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let has = Started::new(&[]).await;
    let wants = Started::new(&[&has]).await;
    for (seed, len) in [0, 1, CHUNK, CHUNK + 1, 9 * CHUNK + 5].into_iter().enumerate() {
        let bytes = content(len, seed);
        let file = has.shelve(&dir.path().join(len.to_string()), &bytes);
        assert!(wants.fetch(&file).await == bytes, "{len}");
    }
    let traffic = until(|| Some(wants.node.bitswap.traffic(has.node.id)).filter(|t| t.received > 0)).await;
    assert!(traffic.received > 11 * CHUNK as u64 && traffic.sent == 0);
}

#[tokio::test]
async fn two_peers_share_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&one, &two]).await;
    let bytes = content(40 * CHUNK, 3);
    let file = one.shelve(&dir.path().join("one"), &bytes);
    two.shelve(&dir.path().join("two"), &bytes);
    let received = || [one.node.id, two.node.id].map(|id| wants.node.bitswap.traffic(id).received);
    // On a busy machine one may have sent the whole file before the other has answered, or both be late: then again.
    for _ in 0..50 {
        let before = received();
        [one.node.id, two.node.id].into_iter().for_each(|peer| wants.node.bitswap.forgive(peer));
        let Ok(fetched) = wants.fetch_once(&file).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        assert!(fetched == bytes);
        let now = received();
        let sent = [now[0] - before[0], now[1] - before[1]];
        if sent.iter().all(|sent| *sent > 0) {
            let both: u64 = sent.iter().sum();
            assert!(both < 42 * CHUNK as u64, "{both} bytes for 40 MiB");
            return;
        }
    }
    panic!("one peer sent everything each time");
}

#[tokio::test]
async fn a_file_that_no_peer_has_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let other = Started::new(&[]).await;
    let wants = Started::new(&[&other]).await;
    let path = dir.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    let file = Shelved::read(&path, "core").unwrap();
    assert!(matches!(wants.fetch_once(&file).await, Err(FetchError::Absent)));
    // The peer says so, and is not just silent.
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    wants.node.bitswap.ask(other.node.id, WantEntry::new(file.root(), WantKind::Have), &tell);
    let (peer, digest, answer) = told.recv().await.unwrap();
    assert_eq!((peer, digest), (other.node.id, file.root().digest()));
    assert!(matches!(answer, BlockAnswer::Absent));
}

#[tokio::test]
async fn a_peer_that_goes_away_amid_a_transfer_is_replaced_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&one, &two]).await;
    let bytes = content(60 * CHUNK, 5);
    let file = one.shelve(&dir.path().join("one"), &bytes);
    two.shelve(&dir.path().join("two"), &bytes);
    let fetching = wants.fetch(&file);
    // The first that sends is stopped: on a busy machine one of them may otherwise send all of it.
    let killing = async {
        let sends = |peer: &&Started| wants.node.bitswap.traffic(peer.node.id).received > 0;
        until(|| [&one, &two].into_iter().find(sends)).await.task.abort();
    };
    let (fetched, ()) = tokio::join!(fetching, killing);
    assert!(fetched == bytes);
}

#[tokio::test]
async fn a_file_that_changes_amid_a_transfer_is_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let has = Started::new(&[]).await;
    let wants = Started::new(&[&has]).await;
    let path = dir.path().join("file");
    let file = has.shelve(&path, &content(3 * CHUNK, 1));
    std::fs::write(&path, content(3 * CHUNK, 2)).unwrap();
    assert!(wants.fetch_once(&file).await.is_err());
}

#[tokio::test]
async fn the_root_of_a_file_is_told_by_the_peer_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (has, lacks) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&has, &lacks]).await;
    let file = has.shelve(&dir.path().join("file"), &content(2 * CHUNK, 9));
    let ours = until(|| Some(wants.node.ours()).filter(|ours| ours.len() == 2)).await;
    let question = ClaimQuestion { sha256: file.sha256, size: file.key.size };
    let asking = async || Some(wants.node.claims.ask(&ours, question).await).filter(|claims| !claims.is_empty());
    let claims = eventually(asking).await;
    assert_eq!(claims, [(file.root(), vec![has.node.id])]);
    assert_eq!(wants.node.claims.ask(&ours, ClaimQuestion { size: 1, ..question }).await, []);
}

#[tokio::test]
async fn a_peer_outside_of_the_trusted_networks_is_not_let_in() {
    let inside = Started::new(&[]).await;
    // The node listens on the address of the trusted network alone.
    let elsewhere = std::net::SocketAddr::from(([127, 0, 0, 2], inside.port()));
    assert!(std::net::TcpStream::connect_timeout(&elsewhere, Duration::from_secs(1)).is_err());
    let known: Vec<PeerId> = inside.node.known().into_iter().map(|(id, _)| id).collect();
    assert!(known.is_empty());
}

#[tokio::test]
async fn what_a_neighbour_has_of_an_index_is_told_by_its_key_until_its_time_is_over() {
    let (has, lacks) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&has, &lacks]).await;
    let held = |answer: &'static [u8], expires| IndexAnswer { answer: Bytes::from_static(answer), expires };
    let all = [("ipns:k51a", held(b"record", u64::MAX)), ("ipns:k51b", held(b"of yesterday", 1_700_000_000))];
    has.node.indexes.hold(all.into_iter().map(|(key, held)| (key.to_owned(), held)).collect());
    let ours = until(|| Some(wants.node.ours()).filter(|ours| ours.len() == 2)).await;
    let asking = async || Some(wants.node.indexes.ask(&ours, "ipns:k51a").await).filter(|told| !told.is_empty());
    assert_eq!(eventually(asking).await, [&b"record"[..]]);
    for nothing in ["ipns:k51b", "minisign:RW", ""] {
        assert_eq!(wants.node.indexes.ask(&ours, nothing).await, [] as [Bytes; 0], "{nothing}");
    }
    // Two equal answers are one.
    lacks.node.indexes.hold([("ipns:k51a".to_owned(), held(b"record", u64::MAX))].into());
    assert_eq!(eventually(asking).await.len(), 1);
}

#[tokio::test]
async fn single_blocks_come_from_the_peer_that_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&one, &two]).await;
    let files = [
        one.shelve(&dir.path().join("one"), &content(2 * CHUNK, 1)),
        two.shelve(&dir.path().join("two"), &content(3 * CHUNK, 2)),
    ];
    let mut blocks = BlockFetch::new(wants.node.bitswap.clone());
    for file in &files {
        for digest in [&[file.root().digest()][..], &file.leaves].concat() {
            let get = async || {
                let got = blocks.get(Cid::raw(digest), SearchPatience::Brief, || ()).await;
                [one.node.id, two.node.id].into_iter().for_each(|peer| wants.node.bitswap.forgive(peer));
                got.ok()
            };
            assert_eq!(Sha256::of(&eventually(get).await), digest);
        }
    }
    assert!(blocks.get(Cid::raw(Sha256::of(b"no peer has it")), SearchPatience::Brief, || ()).await.is_err());
}
