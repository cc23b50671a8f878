//! What one user of this machine does to the others: each test does it, and asks as another would.
//!
//! The server runs on the only thread of its test, as in the program: where something holds that up, no answer comes.

use std::io::{IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::server::Server;
use crate::daemon::transfers::Transfers;
use crate::node::tests::Started;
use crate::socket::{Connection, Listener, ask};
use crate::store::Store;

/// A served socket, and what belongs to it.
struct Scene {
    dir: TempDir,
    started: Started,
    socket: PathBuf,
}

impl Scene {
    async fn new(listen: fn(&Path) -> std::io::Result<Listener>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let started = Started::new(&[]).await;
        let uid = rustix::process::getuid().as_raw();
        let store = Box::leak(Box::new(Store::open(&dir.path().join("store"), uid, 1 << 30).unwrap()));
        let socket = dir.path().join("socket");
        let listener = listen(&socket).unwrap();
        let server = Server::new(started.node.clone(), Transfers::new(started.node.clone(), store));
        tokio::spawn(async move { server.run(&listener).await });
        Self { dir, started, socket }
    }

    async fn status(&self) -> Value {
        ask(&self.socket, "status").await.unwrap()
    }
}

/// A TCP socket whose closing waits for a reader, and that reader.
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

/// Connects as a stranger would, and sends each of these, some with a descriptor. Returns the connection, and whether a
/// descriptor was taken.
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

/// Reads what was sent if the test is not over in time, so that it ends; tells whether it had to.
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

/// The attack in all its forms: the descriptor with a request, with nothing, behind a request, on connections that stay
/// and that go, and on more of them than one user may have.
async fn a_socket_that_lingers_keeps_nobody_waiting(listen: fn(&Path) -> std::io::Result<Listener>) {
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
        // What is under way is the last one; or closing this one would keep this test waiting.
        kept.extend((!is_taken).then_some(sender));
        // As many as the kernel keeps for a server that does not come to accept them.
        if number % 10 == 9 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (over, rescued) = rescue(readers);
    for _ in 0..10 {
        // Even the attacker himself is answered, as soon as his connections are closed.
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
async fn a_socket_that_lingers_keeps_nobody_waiting_where_the_kernel_refuses_it() {
    a_socket_that_lingers_keeps_nobody_waiting(Listener::at).await;
}

#[tokio::test]
async fn a_socket_that_lingers_keeps_nobody_waiting_on_an_older_kernel() {
    a_socket_that_lingers_keeps_nobody_waiting(Listener::at_on_an_older_kernel).await;
}

#[tokio::test]
async fn shared_documents_that_are_kept_open_take_no_more_room_than_a_few() {
    let scene = Scene::new(Listener::at).await;
    for number in 0..100 {
        scene.started.shelve(&scene.dir.path().join(format!("file-{number}")), b"content");
    }
    let mut kept = Vec::new();
    // A second's worth of requests; more are told off.
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
