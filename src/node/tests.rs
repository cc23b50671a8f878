//! Nodes on loopback, in one process: the whole path of a block, without multicast.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};
use tokio::sync::watch;

use crate::cid::Cid;
use crate::digest::Sha256;
use crate::node::bitswap::UploadLimits;
use crate::node::blocks::BlockFetch;
use crate::node::claims::ClaimQuestion;
use crate::node::fetch::{Arriving, FetchError, TransferProgress, fetch};
use crate::node::indexes::IndexAnswer;
use crate::node::networks::Allowed;
use crate::node::shelf::{Shelf, Shelved};
use crate::node::{Config, Node, start};
use crate::size::CHUNK;

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

    /// Fetches a file and returns its bytes.
    pub(super) async fn fetch(&self, file: &Shelved) -> Result<Vec<u8>, FetchError> {
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

/// Polls until there is a value; the test fails after two minutes, which a busy machine does not need.
pub(super) async fn until<T>(mut fact: impl FnMut() -> Option<T>) -> T {
    for _ in 0..24_000 {
        if let Some(value) = fact() {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not so within two minutes");
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
        assert!(wants.fetch(&file).await.unwrap() == bytes, "{len}");
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
    assert!(wants.fetch(&file).await.unwrap() == bytes);
    for peer in [one.node.id, two.node.id] {
        assert!(wants.node.bitswap.traffic(peer).received > 0, "one did it all");
    }
    let received: u64 = [one.node.id, two.node.id].map(|id| wants.node.bitswap.traffic(id).received).iter().sum();
    assert!(received < 42 * CHUNK as u64, "{received} bytes for 40 MiB");
}

#[tokio::test]
async fn what_nobody_has_is_said_to_be_absent_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let other = Started::new(&[]).await;
    let wants = Started::new(&[&other]).await;
    let path = dir.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    let file = Shelved::read(&path, "core").unwrap();
    let begun = std::time::Instant::now();
    assert!(matches!(wants.fetch(&file).await, Err(FetchError::Absent)));
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
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
    assert!(fetched.unwrap() == bytes);
}

#[tokio::test]
async fn a_file_that_changes_amid_a_transfer_is_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let has = Started::new(&[]).await;
    let wants = Started::new(&[&has]).await;
    let path = dir.path().join("file");
    let file = has.shelve(&path, &content(3 * CHUNK, 1));
    std::fs::write(&path, content(3 * CHUNK, 2)).unwrap();
    assert!(wants.fetch(&file).await.is_err());
}

#[tokio::test]
async fn the_root_of_a_file_is_told_by_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (has, lacks) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&has, &lacks]).await;
    let file = has.shelve(&dir.path().join("file"), &content(2 * CHUNK, 9));
    let ours = until(|| Some(wants.node.ours()).filter(|ours| ours.len() == 2)).await;
    let question = ClaimQuestion { sha256: file.sha256, size: file.key.size };
    let claims = wants.node.claims.ask(&ours, question).await;
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
    assert_eq!(wants.node.indexes.ask(&ours, "ipns:k51a").await, [&b"record"[..]]);
    for nothing in ["ipns:k51b", "minisign:RW", ""] {
        assert_eq!(wants.node.indexes.ask(&ours, nothing).await, [] as [Bytes; 0], "{nothing}");
    }
    // Two equal answers are one.
    lacks.node.indexes.hold([("ipns:k51a".to_owned(), held(b"record", u64::MAX))].into());
    assert_eq!(wants.node.indexes.ask(&ours, "ipns:k51a").await.len(), 1);
}

#[tokio::test]
async fn single_blocks_come_from_whoever_has_them() {
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
            let block = blocks.get(Cid::raw(digest), || ()).await.unwrap();
            assert_eq!(Sha256::of(&block), digest);
        }
    }
    let begun = std::time::Instant::now();
    assert!(blocks.get(Cid::raw(Sha256::of(b"nobody has it")), || ()).await.is_none());
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
}
