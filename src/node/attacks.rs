//! Attacks by a hostile peer, which must only waste its own time. Each test fails when the guard that it is about
//! is gone.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream};
use tokio::sync::mpsc;

use super::bitswap::BlockAnswer;
use super::blocks::{BlockFetch, SearchPatience};
use super::claims::ClaimQuestion;
use super::fetch::FetchError;
use super::frame;
use super::hostile::Hostile;
use super::indexes::{self, IndexAnswer};
use super::message::{BitswapMessage, Draft, WantEntry, WantKind};
use super::shelf::Shelved;
use super::streams::Opener;
use super::tests::{Started, content, eventually, until};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::protobuf::{ProtobufWriter, push_varint};
use crate::base::size::CHUNK;

/// A peer with a file, a peer that wants it, and a hostile peer, connected to both.
struct AttackScene {
    has: Started,
    wants: Started,
    hostile: Hostile,
    file: Shelved,
    bytes: Vec<u8>,
    dir: tempfile::TempDir,
}

impl AttackScene {
    async fn new() -> Self {
        let hostile = Hostile::new().await;
        let has = Started::among(vec![hostile.at()]).await;
        let wants = Started::among(vec![has.at(), hostile.at()]).await;
        let (dir, bytes) = (tempfile::tempdir().unwrap(), content(12 * CHUNK, 11));
        let file = has.shelve(&dir.path().join("file"), &bytes);
        Self { has, wants, hostile, file, bytes, dir }
    }

    /// Checks that the file still arrives, and that no honest peer is blamed.
    async fn goes_on(&self) {
        assert!(self.wants.fetch(&self.file).await == self.bytes);
        for (node, honest) in [(&self.wants, &self.has), (&self.has, &self.wants)] {
            assert!(node.node.bitswap.worth_asking().contains(&honest.node.id), "an honest peer was convicted");
        }
    }

    fn victims(&self) -> [PeerId; 2] {
        [self.has.node.id, self.wants.node.id]
    }
}

async fn opened(opener: &Opener, victim: PeerId) -> Stream {
    for _ in 0..400 {
        if let Some(stream) = opened_at_all(opener, victim).await {
            return stream;
        }
        // The victim can know of the connection a moment earlier.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no stream");
}

async fn opened_at_all(opener: &Opener, victim: PeerId) -> Option<Stream> {
    tokio::time::timeout(Duration::from_secs(2), opener.open(victim)).await.ok().flatten()
}

/// True if the other end closes or resets the stream within this time.
async fn is_ended(stream: &mut Stream, within: Duration) -> bool {
    tokio::time::timeout(within, stream.read_to_end(&mut Vec::new())).await.is_ok()
}

/// Encodes the length before a message.
fn length(len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, len as u64);
    out
}

#[tokio::test]
async fn nonsense_and_oversized_messages_end_their_streams_and_nothing_else() {
    let scene = AttackScene::new().await;
    let for_bitswap: [&[u8]; 5] = [
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], // a length without end
        &length(3 << 19),                      // longer than an unasked peer may send; none of it comes
        &length(5 << 20),
        &[0x04, 0x0a, 0x7f, 0x00, 0x00], // a field longer than its message
        &[0x03, 0x0b, 0x0b, 0x0b],       // undefined wire types
    ];
    let for_the_others: [&[u8]; 4] =
        [&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], &length(128), &[0x02, 0x0a, 0x7f], &[0x01, 0x0b]];
    let Hostile { bitswap, claims_opener, indexes_opener, .. } = &scene.hostile;
    // Any stream ends after a minute, and one with a question after 5 s.
    let (long, short) = (Duration::from_secs(50), Duration::from_millis(4500));
    let all = for_bitswap.map(|bytes| (bitswap, bytes, long)).into_iter();
    let all = all.chain(for_the_others.map(|bytes| (claims_opener, bytes, short)));
    for (opener, bytes, within) in all.chain(for_the_others.map(|bytes| (indexes_opener, bytes, short))) {
        for victim in scene.victims() {
            let mut stream = opened(opener, victim).await;
            stream.write_all(bytes).await.unwrap();
            stream.flush().await.unwrap();
            // Not ended from here, so that the other end does it.
            assert!(is_ended(&mut stream, within).await, "{bytes:x?}");
        }
    }
    scene.goes_on().await;
    assert!(scene.wants.node.bitswap.connected_peers().contains(&scene.hostile.id));
}

#[tokio::test]
async fn slow_drips_take_up_a_few_streams_of_their_sender_and_no_more() {
    let scene = AttackScene::new().await;
    for victim in scene.victims() {
        let mut dripping = Vec::new();
        for _ in 0..40 {
            let Some(mut stream) = opened_at_all(&scene.hostile.bitswap, victim).await else { continue };
            // 200 KiB are promised, and one byte comes.
            let _ = stream.write_all(&[length(200 << 10), vec![0x0a]].concat()).await;
            let _ = stream.flush().await;
            dripping.push(stream);
        }
        // They all end after a minute.
        let begun = Instant::now();
        while dripping.len() > 16 && begun.elapsed() < Duration::from_secs(40) {
            let mut held = Vec::new();
            for mut stream in dripping {
                if !is_ended(&mut stream, Duration::from_millis(50)).await {
                    held.push(stream);
                }
            }
            dripping = held;
        }
        assert!(dripping.len() <= 16, "{} streams are held open", dripping.len());
        std::mem::forget(dripping);
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn thousands_of_connections_from_one_address_do_not_keep_another_out() {
    let (dir, has) = (tempfile::tempdir().unwrap(), Started::new(&[]).await);
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], has.port()));
    let mut held = Vec::new();
    for _ in 0..2000 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), socket.connect(target)).await {
            held.push(stream);
        }
    }
    let bytes = content(3 * CHUNK, 1);
    let file = has.shelve(&dir.path().join("file"), &bytes);
    let wants = Started::new(&[&has]).await;
    assert!(wants.fetch(&file).await == bytes, "with {} connections made", held.len());
    // All but a few were disconnected at once.
    let is_open = |stream: &tokio::net::TcpStream| {
        let mut buffer = [0; 1024];
        loop {
            match stream.try_read(&mut buffer) {
                Ok(1..) => {}
                Ok(0) => return false,
                Err(e) => return e.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    };
    let few = until(|| (held.iter().filter(|stream| is_open(stream)).count() <= 8).then_some(()));
    // A connection that is not refused stays for the time that a peer has to identify itself, 10 s.
    tokio::time::timeout(Duration::from_secs(9), few).await.expect("they were hung up on");
}

#[tokio::test]
async fn no_more_peers_than_are_wanted_are_connected() {
    let crowd = [Hostile::new().await, Hostile::new().await, Hostile::new().await, Hostile::new().await];
    let victim = Started::taking(crowd.iter().map(Hostile::at).collect(), 1).await;
    until(|| (!victim.node.peers().is_empty()).then_some(())).await;
    // Each connection is tried again after a second, and refused.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(victim.node.peers().len() <= 2, "{:?}", victim.node.peers());
}

#[tokio::test]
async fn unrequested_blocks_cost_their_sender_the_connection() {
    let scene = AttackScene::new().await;
    let block = vec![7; CHUNK];
    let is_connected = || scene.wants.node.bitswap.connected_peers().contains(&scene.hostile.id);
    drop(opened(&scene.hostile.bitswap, scene.wants.node.id).await);
    let mut sent = 0;
    while sent < 200 {
        // While blocks are wanted of it, it may send megabytes.
        let (tell, _told) = mpsc::unbounded_channel();
        let cid = Cid::raw(scene.file.sha256);
        scene.wants.node.bitswap.ask(scene.hostile.id, WantEntry::new(cid, WantKind::Block), &tell);
        let Some(mut stream) = opened_at_all(&scene.hostile.bitswap, scene.wants.node.id).await else { break };
        let mut draft = Draft::default();
        draft.block(&WantEntry::new(cid, WantKind::Block), &block);
        let written = stream.write_all(&draft.finish()).await;
        let _ = stream.close().await;
        // It is dialled again soon.
        if written.is_err() || !is_connected() {
            break;
        }
        sent += 1;
    }
    assert!((1..200).contains(&sent), "{sent} MiB were taken");
    scene.goes_on().await;
}

/// The way in which a peer answers wants.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Lie {
    /// Has everything, and sends other blocks.
    OtherBlocks,
    /// Has everything, says so again and again, and sends nothing.
    Promises,
}

/// Answers every want of every peer for as long as the test runs.
fn lie(mut wants: mpsc::UnboundedReceiver<(PeerId, Stream)>, opener: Opener, lie: Lie) {
    tokio::spawn(async move {
        while let Some((peer, mut stream)) = wants.recv().await {
            let opener = opener.clone();
            tokio::spawn(async move {
                let patience = Duration::from_secs(60);
                while let Ok(Some(bytes)) = frame::read(&mut stream, |len| len <= 4 << 20, patience, || {}).await {
                    let mut draft = Draft::default();
                    for want in BitswapMessage::read(&bytes).unwrap().wants {
                        match (want.ask, lie) {
                            (WantKind::Cancel, _) => {}
                            (WantKind::Have, _) => draft.presence(&want, true),
                            (WantKind::Block, Lie::OtherBlocks) => draft.block(&want, b"another block"),
                            (WantKind::Block, Lie::Promises) => (0..100).for_each(|_| draft.presence(&want, true)),
                        }
                    }
                    let Some(mut back) = opener.open(peer).await else { return };
                    let _ = back.write_all(&draft.finish()).await;
                    let _ = back.close().await;
                }
            });
        }
    });
}

#[tokio::test]
async fn wrong_blocks_and_empty_promises_do_not_spoil_a_file_that_an_honest_peer_has() {
    for how in [Lie::OtherBlocks, Lie::Promises] {
        let mut scene = AttackScene::new().await;
        lie(scene.hostile.take_wants(), scene.hostile.bitswap.clone(), how);
        scene.goes_on().await;
        let mut blocks = BlockFetch::new(scene.wants.node.bitswap.clone());
        for leaf in scene.file.leaves.iter() {
            let get = async || {
                let got = blocks.get(Cid::raw(*leaf), SearchPatience::Brief, || ()).await;
                scene.wants.node.bitswap.forgive(scene.has.node.id);
                got.ok()
            };
            assert_eq!(Sha256::of(&eventually(get).await), *leaf, "{how:?}");
        }
        scene.goes_on().await;
    }
}

#[tokio::test]
async fn a_liar_alone_ends_a_transfer_and_is_not_asked_again_for_a_while() {
    let mut hostile = Hostile::new().await;
    let wants = Started::among(vec![hostile.at()]).await;
    lie(hostile.take_wants(), hostile.bitswap.clone(), Lie::Promises);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), content(3 * CHUNK, 1)).unwrap();
    let file = Shelved::read(&dir.path().join("file"), "core").unwrap();
    let begun = Instant::now();
    assert!(BlockFetch::new(wants.node.bitswap.clone()).get(file.root(), SearchPatience::Brief, || ()).await.is_err());
    // Not only because no block is waited for longer than two minutes.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(matches!(wants.fetch_once(&file).await, Err(FetchError::Absent)), "it is not asked again at once");
}

#[tokio::test]
async fn endless_wants_of_one_peer_do_not_keep_another_from_its_file() {
    let scene = AttackScene::new().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let floods = Started::new(&[&scene.has]).await;
    for i in 0..4_000u32 {
        let cid = Cid::raw(Sha256::of(&i.to_be_bytes()));
        floods.node.bitswap.ask(scene.has.node.id, WantEntry::new(cid, WantKind::Block), &tell);
    }
    scene.goes_on().await;
    drop(tell);
    while let Ok((_, _, answer)) = told.try_recv() {
        assert!(!matches!(answer, BlockAnswer::Block(_)));
    }
}

#[tokio::test]
async fn floods_of_every_kind_are_read_at_a_steady_rate() {
    let scene = AttackScene::new().await;
    let want = WantEntry::new(Cid::raw(Sha256::of(b"x")), WantKind::Have);
    let mut presences = Draft::default();
    (0..16_000).for_each(|_| presences.presence(&want, true));
    let mut wants = Draft::default();
    (0..16_000).for_each(|_| wants.want(&want));
    let floods =
        [vec![0; 48_000], [presences.finish(), vec![0; 32_000]].concat(), [wants.finish(), vec![0; 32_000]].concat()];
    for flood in floods {
        // The one block that is wanted comes after 48,000 entries, of which 16,384 a second are processed.
        let mut hostile = Hostile::new().await;
        let victim = Started::among(vec![hostile.at()]).await;
        let file = victim.shelve(&scene.dir.path().join("small"), b"small");
        let mut stream = opened(&hostile.bitswap, victim.node.id).await;
        let mut last = Draft::default();
        last.want(&WantEntry::new(file.root(), WantKind::Block));
        let begun = Instant::now();
        stream.write_all(&[flood, last.finish()].concat()).await.unwrap();
        stream.flush().await.unwrap();
        let (_, mut answers) = hostile.wants.recv().await.unwrap();
        let is_block = |bytes: Bytes| !BitswapMessage::read(&bytes).unwrap().blocks.is_empty();
        let mut next = async || frame::read(&mut answers, |len| len <= 4 << 20, Duration::from_secs(60), || {}).await;
        while !is_block(next().await.unwrap().unwrap()) {}
        assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn answers_that_are_too_long_or_never_end_are_no_answers() {
    let mut scene = AttackScene::new().await;
    let answer = IndexAnswer { answer: Bytes::from_static(b"record"), expires: u64::MAX };
    scene.has.node.indexes.hold([("ipns:k51".to_owned(), answer)].into());
    let root = ProtobufWriter::default().bytes(1, &Cid::raw(Sha256::of(b"x")).to_bytes()).bytes(9, &[0; 200]).finish();
    let too_long = [frame::framed(&vec![1; indexes::ANSWER_MOST + 1]), frame::framed(&root)];
    // Too long; promised and not sent; not even promised.
    let answers = [too_long, [length(100), length(100)], [Vec::new(), Vec::new()]];
    let peers = [scene.has.node.id, scene.hostile.id];
    for [of_index, of_root] in answers {
        let (indexes, claims) = (&mut scene.hostile.indexes, &mut scene.hostile.claims);
        let answering = async {
            let mut held_open = Vec::new();
            while let Some((answer, mut stream)) = tokio::select! {
                asked = indexes.recv() => asked.map(|(_, stream)| (&of_index, stream)),
                asked = claims.recv() => asked.map(|(_, stream)| (&of_root, stream)),
            } {
                let _ = stream.write_all(answer).await;
                let _ = stream.flush().await;
                held_open.push(stream);
            }
        };
        let (node, question) =
            (&scene.wants.node, ClaimQuestion { sha256: scene.file.sha256, size: scene.file.key.size });
        let asking = eventually(async || {
            let (told, roots) = tokio::join!(node.indexes.ask(&peers, "ipns:k51"), node.claims.ask(&peers, question));
            (!told.is_empty() && !roots.is_empty()).then_some((told, roots))
        });
        let (told, roots) = tokio::select! {
            asked = tokio::time::timeout(Duration::from_secs(60), asking) => asked.expect("an answer has its time"),
            () = answering => panic!("the streams have no end"),
        };
        assert_eq!(told, [&b"record"[..]]);
        assert_eq!(roots, [(scene.file.root(), vec![scene.has.node.id])]);
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn questions_about_indexes_are_answered_at_a_steady_rate() {
    let scene = AttackScene::new().await;
    let request = frame::framed(&ProtobufWriter::default().bytes(1, b"ipns:k51").finish());
    let begun = Instant::now();
    for _ in 0..48 {
        let mut stream = opened(&scene.hostile.indexes_opener, scene.has.node.id).await;
        stream.write_all(&request).await.unwrap();
        assert!(is_ended(&mut stream, Duration::from_secs(60)).await);
    }
    // The first second's worth is free.
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    scene.goes_on().await;
}
