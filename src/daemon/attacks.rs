//! Attacks of one user of this machine on the others: each test makes one, and asks for a file as another user.
//!
//! The server runs on the only thread of its test, as in the program: if something blocks that thread, no answer
//! comes.

use std::io::{IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType};
use serde_json::Value;
use tempfile::TempDir;

use crate::base::digest::Sha256;
use crate::base::fsx::FileKey;
use crate::base::size::CHUNK;
use crate::daemon::server::Server;
use crate::daemon::transfers::Transfers;
use crate::net::socket::{Connection, SocketListener, ask};
use crate::node::shelf::Shelved;
use crate::node::tests::{Started, until};
use crate::store::Store;

/// A served socket with its node, store and transfers.
struct Scene {
    dir: TempDir,
    started: Started,
    socket: PathBuf,
    store: &'static Store,
    transfers: Transfers,
}

impl Scene {
    async fn new(listen: fn(&Path) -> std::io::Result<SocketListener>) -> Self {
        Self::with(listen, Started::new(&[]).await, 1 << 30)
    }

    /// Starts a scene whose store may hold `most` bytes.
    fn with(listen: fn(&Path) -> std::io::Result<SocketListener>, started: Started, most: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let store: &'static Store = Box::leak(Box::new(Store::open(&dir.path().join("store"), uid, most).unwrap()));
        let socket = dir.path().join("socket");
        let listener = listen(&socket).unwrap();
        let transfers = Transfers::new(started.node.clone(), store);
        let (server, _) = Server::new(started.node.clone(), transfers.clone(), Vec::new());
        tokio::spawn(async move { server.run(&listener).await });
        Self { dir, started, socket, store, transfers }
    }

    /// Asks for a file, without reading an answer.
    async fn ask_for(&self, sha256: Sha256, size: u64) -> Connection {
        let connection = Connection::to(&self.socket).unwrap();
        connection.send(&format!("get {sha256} {size} - a-1-1-any.pkg.tar.zst"), None).await.unwrap();
        connection
    }

    async fn status(&self) -> Value {
        ask(&self.socket, "status").await.unwrap()
    }
}

/// Makes a TCP socket whose closing waits for a reader, and that reader.
fn lingering() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096).unwrap();
    let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (reader, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&sender, Some(Duration::from_secs(3600))).unwrap();
    rustix::net::sockopt::set_socket_send_buffer_size(&sender, 4096).unwrap();
    sender.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut &sender, &[0; 65536]).is_ok() {}
    sender.set_nonblocking(false).unwrap();
    (sender.into(), reader)
}

/// Connects as another user would and sends each message, some with a descriptor. Returns the connection, and true
/// if a descriptor was accepted.
fn pass(socket: &Path, messages: &[(&[u8], Option<&OwnedFd>)]) -> (OwnedFd, bool) {
    let mut is_taken = false;
    let connection = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::connect(&connection, &SocketAddrUnix::new(socket).unwrap()).unwrap();
    for (bytes, with) in messages {
        let fds = with.map(|fd| [fd.as_fd()]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = &fds {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        // EPERM where the other end refuses descriptors, EPIPE where it has hung up.
        let sent = rustix::net::sendmsg(&connection, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
        is_taken |= fds.is_some() && sent.is_ok();
    }
    (connection, is_taken)
}

/// Reads the remaining data if the test takes too long, so that it ends; returns true if that was necessary.
fn rescue(readers: Vec<TcpStream>) -> (Sender<()>, JoinHandle<bool>) {
    let (over, is_over) = channel();
    let wait = move || {
        let had_to = is_over.recv_timeout(Duration::from_secs(60)).is_err();
        for mut reader in readers.into_iter().filter(|_| had_to) {
            let _ = reader.set_read_timeout(Some(Duration::from_secs(1)));
            while reader.read(&mut [0; 65536]).is_ok_and(|got| got > 0) {}
        }
        had_to
    };
    (over, std::thread::spawn(wait))
}

/// Runs the attack in all its forms: the descriptor with a request, with nothing, behind a request, on connections
/// that stay and that close, and on more of them than one user may have.
async fn a_socket_that_lingers_keeps_no_user_waiting(listen: fn(&Path) -> std::io::Result<SocketListener>) {
    let scene = Scene::new(listen).await;
    assert!(scene.status().await["id"].is_string());
    let (mut readers, mut kept) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let (sender, reader) = lingering();
        let forms: [&[(&[u8], Option<&OwnedFd>)]; 4] = [
            &[(b"status", Some(&sender))],
            &[(b"", Some(&sender))],
            &[(b"status", None), (b"", None), (b"nonsense", Some(&sender))],
            &[(b"get", None), (b"\xff", None), (b"status", Some(&sender))],
        ];
        let (connection, is_taken) = pass(&scene.socket, forms[number % 4]);
        kept.extend((number % 8 < 4).then_some(connection));
        readers.push(reader);
        // The message in transit holds an accepted descriptor; closing a refused one here would block the test.
        kept.extend((!is_taken).then_some(sender));
        // The kernel's backlog for a server that does not accept.
        if number % 10 == 9 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (over, rescued) = rescue(readers);
    for _ in 0..10 {
        // Even the attacker is answered, once the attacker's connections are closed.
        let answered = loop {
            match ask(&scene.socket, "status").await {
                Ok(status) => break status,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(answered["id"], scene.started.node.id.to_string());
    }
    let _ = over.send(());
    assert!(!rescued.join().unwrap(), "the daemon stood still until the other end of the TCP connection was read");
}

#[tokio::test]
async fn a_socket_that_lingers_keeps_no_user_waiting_where_the_kernel_refuses_it() {
    a_socket_that_lingers_keeps_no_user_waiting(SocketListener::at).await;
}

#[tokio::test]
async fn a_socket_that_lingers_keeps_no_user_waiting_on_an_older_kernel() {
    a_socket_that_lingers_keeps_no_user_waiting(SocketListener::at_on_an_older_kernel).await;
}

#[tokio::test]
async fn shared_documents_that_are_kept_open_take_no_more_room_than_a_few() {
    let scene = Scene::new(SocketListener::at).await;
    for number in 0..100 {
        scene.started.shelve(&scene.dir.path().join(format!("file-{number}")), b"content");
    }
    let mut kept = Vec::new();
    // Uses up the requests of one second; further ones are refused.
    for _ in 0..150 {
        for what in ["status", "shared"] {
            let connection = Connection::to(&scene.socket).unwrap();
            connection.send(what, None).await.unwrap();
            let (text, file) = connection.receive().await.unwrap().unwrap();
            assert!(file.is_some() || text.starts_with("busy"), "{text}");
            kept.extend(file);
        }
    }
    let files: std::collections::BTreeMap<u64, u64> =
        kept.iter().map(|file| file.metadata().unwrap()).map(|meta| (meta.ino(), meta.len())).collect();
    assert!(kept.len() > 100 && files.len() <= 72, "{} files for {} answers", files.len(), kept.len());
    assert!(files.values().filter(|bytes| **bytes > 10_000).count() <= 8, "{files:?}");
}

/// Returns the answers up to the last one, and the descriptor that came with them.
async fn answers(connection: &Connection) -> (String, Option<std::fs::File>) {
    let mut given = None;
    loop {
        let (text, file) = connection.receive().await.unwrap().unwrap();
        given = file.or(given);
        if !["looking", "coming", "have"].contains(&text.split(' ').next().unwrap()) {
            return (text, given);
        }
    }
}

#[tokio::test]
async fn a_file_of_the_store_is_hashed_once_while_others_are_answered() {
    let scene = Scene::new(SocketListener::at).await;
    let bytes = vec![7; 64 << 20];
    let sha256 = Sha256::of(&bytes);
    std::fs::write(scene.store.files_dir().join(sha256.to_string()), &bytes).unwrap();
    let held_up = scene.transfers.hold_up_reading().await;
    let mut asking = Vec::new();
    for _ in 0..20 {
        asking.push(scene.ask_for(sha256, bytes.len() as u64).await);
    }
    for connection in &asking {
        assert_eq!(connection.receive().await.unwrap().unwrap().0, "looking");
    }
    // The transfer exists and waits; the requester's other calls and other files do not.
    assert_eq!(scene.status().await["transfers"], 1);
    let other = scene.ask_for(Sha256::of(b"another"), 7).await;
    assert_eq!(answers(&other).await.0, "absent no neighbour is connected");
    drop(held_up);
    for connection in &asking {
        assert_eq!(answers(connection).await.0, "done");
    }
    drop(asking);
    // A file that was proven and has not changed is not read again.
    let _held_up = scene.transfers.hold_up_reading().await;
    assert_eq!(answers(&scene.ask_for(sha256, bytes.len() as u64).await).await.0, "done");
}

#[tokio::test]
async fn a_file_of_the_store_that_is_damaged_is_never_handed_out() {
    let scene = Scene::new(SocketListener::at).await;
    let path = scene.store.files_dir().join(Sha256::of(b"content").to_string());
    std::fs::write(&path, b"damaged").unwrap();
    let (said, file) = answers(&scene.ask_for(Sha256::of(b"content"), 7).await).await;
    assert!(said.starts_with("absent ") && file.is_none() && !path.exists(), "{said}");
}

/// Counts bytes on disk: the files in `dir`, and the open files `held`.
fn on_disk(dir: &Path, held: &[std::fs::File]) -> u64 {
    let names = std::fs::read_dir(dir).unwrap().flatten().filter_map(|entry| entry.metadata().ok());
    let open = held.iter().filter_map(|file| file.metadata().ok());
    let each: std::collections::BTreeMap<u64, u64> =
        names.chain(open).map(|meta| (meta.ino(), meta.len().min(meta.blocks() * 512))).collect();
    each.values().sum()
}

#[tokio::test]
async fn what_neighbours_send_and_what_is_held_open_of_it_stays_within_the_store_that_is_allowed() {
    const MIB: u64 = 1 << 20;
    let has = Started::new(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> =
        (0..12_u8).map(|number| has.shelve(&dir.path().join(number.to_string()), &vec![number; 3 << 20])).collect();
    let scene = Scene::with(SocketListener::at, Started::new(&[&has]).await, 8 * MIB);
    let large = has.shelve(&dir.path().join("large"), &vec![100; 9 << 20]);
    let said = answers(&scene.ask_for(large.sha256, large.key.size).await).await.0;
    assert!(said.starts_with("absent ") && said.contains("store.max"), "{said}");
    let (mut held, mut done) = (Vec::new(), 0);
    for round in 0..3 {
        // All at once, then one after the other.
        let mut asking = Vec::new();
        for file in &files {
            asking.push(scene.ask_for(file.sha256, file.key.size).await);
            if round > 0 {
                let mut connection = asking.pop().unwrap();
                let given = loop {
                    let (said, given) = answers(&connection).await;
                    if said == "done" {
                        break given;
                    }
                    // On a busy machine a neighbour may answer late; but nothing else takes the room.
                    assert!(said.starts_with("absent no neighbour "), "{said}");
                    scene.started.node.bitswap.forgive(has.node.id);
                    connection = scene.ask_for(file.sha256, file.key.size).await;
                };
                done += 1;
                held.extend(given);
                let taken = on_disk(&scene.store.files_dir(), &held);
                assert!(taken <= 8 * MIB, "{taken} bytes in round {round}");
            }
        }
        for connection in asking {
            let (said, given) = answers(&connection).await;
            assert!(said == "done" || said.starts_with("absent "), "{said}");
            held.extend(given);
            let taken = on_disk(&scene.store.files_dir(), &held);
            assert!(taken <= 8 * MIB, "{taken} bytes in round {round}");
        }
    }
    assert_eq!(done, 24);
}

/// Puts a file of this size on a neighbour's shelf whose last leaf the neighbour cannot send.
fn shelve_in_part(has: &Started, path: &Path, size: usize) -> Shelved {
    // No two leaves are alike.
    let mut bytes: Vec<u8> = (0..size).map(|at| (at / CHUNK) as u8).collect();
    let whole = has.shelve(path, &bytes);
    bytes[size - CHUNK..].fill(255);
    std::fs::write(path, bytes).unwrap();
    // As if it had not changed: each leaf is hashed before it is sent, and the last one is wrong.
    has.node.shelf.add(Shelved { key: FileKey::at(path).unwrap(), ..whole.clone() });
    whole
}

#[tokio::test]
async fn what_had_come_of_a_file_that_its_caller_gave_up_takes_no_room_though_it_is_held_open() {
    let has = Started::new(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = shelve_in_part(&has, &dir.path().join("large"), 64 << 20);
    let scene = Scene::with(SocketListener::at, Started::new(&[&has]).await, 1 << 30);
    let (mut held, mut given_up, begun) = (Vec::new(), 0, Instant::now());
    while given_up < 5 {
        assert!(begun.elapsed() < Duration::from_secs(120), "{given_up} parts of the file came");
        let connection = scene.ask_for(file.sha256, file.key.size).await;
        // A busy machine may let it end before a part of it is here: as absent, or as stalled.
        loop {
            let (text, given) = connection.receive().await.unwrap().unwrap();
            held.extend(given);
            match text.split(' ').next().unwrap() {
                "looking" | "coming" => {}
                "have" => {
                    given_up += 1;
                    break;
                }
                "absent" | "failed" | "busy" => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    break;
                }
                _ => panic!("{text}"),
            }
        }
        drop(connection);
        scene.started.node.bitswap.forgive(has.node.id);
    }
    assert!(held.len() >= 5, "{} files were handed out", held.len());
    until(|| (scene.transfers.count() == 0 && on_disk(&scene.store.dir().join("partial"), &held) == 0).then_some(()))
        .await;
}
