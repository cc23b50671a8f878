//! Nodes on loopback, in one process: the whole way of a block, without multicast.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};
use tokio::sync::{mpsc, watch};

use crate::dag::CHUNK;
use crate::node::bitswap::{Answer, Upload};
use crate::node::claims::Question;
use crate::node::fetch::{Arriving, Failed, Progress, fetch};
use crate::node::message::{Ask, Want};
use crate::node::networks::Allowed;
use crate::node::shelf::{Shelf, Shelved};
use crate::node::{Config, Node, start};

/// A node that knows these others.
fn node(others: &[&Started]) -> Started {
    let config = Config {
        key: identity::Keypair::generate_ed25519(),
        port: 0,
        allowed: Allowed { networks: vec!["127.0.0.0/8".parse().unwrap()], interfaces: Vec::new() },
        peers: others.iter().map(|other| (other.node.id, other.address.clone())).collect(),
        peers_most: 16,
        upload: Upload::default(),
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
    /// A node that listens, connected to all of these.
    pub(crate) async fn new(others: &[&Started]) -> Self {
        let mut this = node(others);
        this.address = until(|| this.node.listening().first().cloned()).await;
        until(|| (this.node.peers().len() >= others.len()).then_some(())).await;
        this
    }

    /// Puts a file on its shelf.
    pub(crate) fn shelve(&self, path: &Path, content: &[u8]) -> Shelved {
        std::fs::write(path, content).unwrap();
        let file = Shelved::read(path, "core").unwrap();
        self.node.shelf.add(file.clone());
        file
    }

    /// Fetches a file and returns its bytes.
    async fn fetch(&self, file: &Shelved) -> Result<Vec<u8>, Failed> {
        let into = tempfile::tempfile().unwrap();
        let arriving = Arriving::new(file.root(), file.key.size, into.try_clone().unwrap());
        let (tell, told) = watch::channel(Progress::default());
        let among = self.node.bitswap.worth_asking();
        let arrived = fetch(&self.node.bitswap, arriving, &among, &tell).await?;
        assert!(arrived.into_verifier().finish(file.sha256, file.key.size).is_ok());
        assert_eq!(told.borrow().bytes, file.key.size);
        let mut bytes = vec![0; usize::try_from(file.key.size).unwrap()];
        into.read_exact_at(&mut bytes, 0).unwrap();
        Ok(bytes)
    }
}

/// Polls until there is a value; the test fails after ten seconds.
async fn until<T>(mut fact: impl FnMut() -> Option<T>) -> T {
    for _ in 0..2000 {
        if let Some(value) = fact() {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not so within ten seconds");
}

fn content(len: usize, seed: usize) -> Vec<u8> {
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
    assert!(matches!(wants.fetch(&file).await, Err(Failed::Absent)));
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_peer_that_goes_away_amid_a_transfer_is_replaced_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (dies, stays) = (Started::new(&[]).await, Started::new(&[]).await);
    let wants = Started::new(&[&dies, &stays]).await;
    let bytes = content(60 * CHUNK, 5);
    let file = dies.shelve(&dir.path().join("one"), &bytes);
    stays.shelve(&dir.path().join("two"), &bytes);
    let fetching = wants.fetch(&file);
    let killing = async {
        until(|| (wants.node.bitswap.traffic(dies.node.id).received > 0).then_some(())).await;
        dies.task.abort();
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
    let question = Question { sha256: file.sha256, size: file.key.size };
    let claims = wants.node.claims.ask(&ours, question).await;
    assert_eq!(claims, [(file.root(), vec![has.node.id])]);
    assert_eq!(wants.node.claims.ask(&ours, Question { size: 1, ..question }).await, []);
}

#[tokio::test]
async fn endless_wants_of_one_peer_do_not_keep_another_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let has = Started::new(&[]).await;
    let (floods, wants) = (Started::new(&[&has]).await, Started::new(&[&has]).await);
    let bytes = content(20 * CHUNK, 7);
    let file = has.shelve(&dir.path().join("file"), &bytes);
    let (tell, mut told) = mpsc::unbounded_channel();
    for i in 0..4_000u32 {
        let cid = crate::cid::Cid::raw(crate::digest::Sha256::of(&i.to_be_bytes()));
        floods.node.bitswap.ask(has.node.id, Want::new(cid, Ask::Block), &tell);
    }
    assert!(wants.fetch(&file).await.unwrap() == bytes);
    drop(tell);
    while let Ok((_, _, answer)) = told.try_recv() {
        assert!(!matches!(answer, Answer::Block(_)));
    }
}

#[tokio::test]
async fn a_peer_outside_of_the_trusted_networks_is_not_let_in() {
    let inside = Started::new(&[]).await;
    let port = inside.address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    // The node listens on the address of the trusted network alone.
    let elsewhere = std::net::SocketAddr::from(([127, 0, 0, 2], port.unwrap()));
    assert!(std::net::TcpStream::connect_timeout(&elsewhere, Duration::from_secs(1)).is_err());
    let known: Vec<PeerId> = inside.node.known().into_iter().map(|(id, _)| id).collect();
    assert!(known.is_empty());
}

/// Who has a file, who wants it, and who means no good, connected to both.
async fn with_attacker(dir: &Path) -> (Started, Started, Started, Shelved, Vec<u8>) {
    let has = Started::new(&[]).await;
    let wants = Started::new(&[&has]).await;
    let attacks = Started::new(&[&has, &wants]).await;
    let bytes = content(12 * CHUNK, 11);
    let file = has.shelve(&dir.join("file"), &bytes);
    (has, wants, attacks, file, bytes)
}

#[tokio::test]
async fn nonsense_on_streams_ends_the_streams_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (has, wants, attacks, file, bytes) = with_attacker(dir.path()).await;
    let nonsense: [&[u8]; 5] = [
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], // a length without end
        &[0xff, 0xff, 0xff, 0x01],             // 4 MiB, of which no block is wanted
        &[0x04, 0x0a, 0x7f, 0x00, 0x00],       // a field longer than its message
        &[0x03, 0x0b, 0x0b, 0x0b],             // wire types that do not exist
        &[0x00],                               // an empty message is fine, and followed by nothing
    ];
    for (round, bytes) in nonsense.iter().cycle().take(40).enumerate() {
        for victim in [&has, &wants] {
            let opener = match round % 2 {
                0 => attacks.node.bitswap.opener(),
                _ => attacks.node.claims.opener(),
            };
            let Some(mut stream) = opener.open(victim.node.id).await else { continue };
            let _ = futures_util::AsyncWriteExt::write_all(&mut stream, bytes).await;
            let _ = futures_util::AsyncWriteExt::close(&mut stream).await;
        }
    }
    assert!(wants.fetch(&file).await.unwrap() == bytes);
    assert!(has.node.bitswap.connected_peers().contains(&wants.node.id));
}

#[tokio::test]
async fn slow_drips_on_every_stream_hold_up_only_their_sender() {
    let dir = tempfile::tempdir().unwrap();
    let (has, wants, attacks, file, bytes) = with_attacker(dir.path()).await;
    let mut open = Vec::new();
    for victim in [&has, &wants] {
        for _ in 0..40 {
            let opener = attacks.node.bitswap.opener();
            let opened = tokio::time::timeout(Duration::from_secs(2), opener.open(victim.node.id));
            let Ok(Some(mut stream)) = opened.await else { continue };
            // 200 KiB are promised, and one byte comes.
            let _ = futures_util::AsyncWriteExt::write_all(&mut stream, &[0x80, 0xc8, 0x0c, 0x0a]).await;
            open.push(stream);
        }
    }
    assert!(open.len() >= 16);
    assert!(wants.fetch(&file).await.unwrap() == bytes);
}

#[tokio::test]
async fn thousands_of_connections_from_one_address_do_not_keep_another_out() {
    let dir = tempfile::tempdir().unwrap();
    let has = Started::new(&[]).await;
    let port = has.address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], port.unwrap()));
    let mut held = Vec::new();
    for _ in 0..1000 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), socket.connect(target)).await {
            held.push(stream);
        }
    }
    let bytes = content(3 * CHUNK, 1);
    let file = has.shelve(&dir.path().join("file"), &bytes);
    let wants = Started::new(&[&has]).await;
    assert!(wants.fetch(&file).await.unwrap() == bytes, "with {} connections held", held.len());
}

#[tokio::test]
async fn blocks_that_nobody_asked_for_cost_their_sender_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (has, wants, attacks, file, bytes) = with_attacker(dir.path()).await;
    let block = vec![7; CHUNK];
    let mut cut = false;
    for _ in 0..40 {
        // While something is wanted of it, it may send megabytes.
        let (tell, _told) = mpsc::unbounded_channel();
        let cid = crate::cid::Cid::raw(file.sha256);
        wants.node.bitswap.ask(attacks.node.id, Want::new(cid, Ask::Have), &tell);
        let opener = attacks.node.bitswap.opener();
        let opened = tokio::time::timeout(Duration::from_secs(1), opener.open(wants.node.id));
        let Ok(Some(mut stream)) = opened.await else { break };
        let mut draft = crate::node::message::Draft::default();
        draft.block(&Want::new(cid, Ask::Block), &block);
        let sent = futures_util::AsyncWriteExt::write_all(&mut stream, &draft.finish()).await;
        let _ = futures_util::AsyncWriteExt::close(&mut stream).await;
        cut = sent.is_err() || !wants.node.bitswap.connected_peers().contains(&attacks.node.id);
        if cut {
            break;
        }
    }
    until(|| (cut || !wants.node.bitswap.connected_peers().contains(&attacks.node.id)).then_some(())).await;
    assert!(wants.fetch(&file).await.unwrap() == bytes);
    assert!(wants.node.bitswap.connected_peers().contains(&has.node.id), "an honest peer was cut off");
}
