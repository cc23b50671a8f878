//! The daemon's Unix socket: the form of a message and its descriptor, and the users permitted at the other end.
//!
//! A sequenced-packet socket keeps messages apart, so there is no framing to get wrong. Messages are a line of
//! words. The client's end is in `source/lan.rs` and `source/neighbours.rs`, the daemon's in `daemon/server.rs`:
//!
//! | sender | message | meaning |
//! |---|---|---|
//! | client | `get SHA256 SIZE CID NAME` | fetch this file; `-` for a CID that is not known |
//! | client | `obtain SHA256 SIZE CID NAME` | the same, with `from` among the answers; a daemon before 0.2 has `get` alone |
//! | client | `index KEY` | the neighbours' copies of this index |
//! | client | `block CID`, `block CID patient` | one block from a neighbour; which has seconds to say that it has it |
//! | client | `status`, `shared` | the state of the daemon; the files that it offers |
//! | client | `look` | read the configuration now, if it has changed; answered with `done` afterwards |
//! | daemon | `looking` | received; an answer follows. Again after `block` while a neighbour is sending |
//! | daemon | `coming` with a descriptor | the file, to be read from its beginning up to the length in `have` |
//! | daemon | `from ADDRESS...` | the neighbours that have sent any of it so far; only after `obtain` |
//! | daemon | `have BYTES` | so much of it is there; the same number again while more is coming |
//! | daemon | `done` | all of it is there, and the daemon proved it to be the requested file |
//! | daemon | `bytes LENGTH` | so many bytes follow in messages of their own: a block, or one neighbour's answer |
//! | daemon | `absent WHY`, `corrupt WHY`, `failed WHY` | it will not come |
//! | daemon | `busy WHY` | too many requests of this user; again in a second |
//! | daemon | `answer` with a descriptor | a file with one JSON document |
//!
//! Neither end trusts the other: the client proves the bytes that it reads, the daemon counts the cost of each
//! user. Both check the other's user id, which comes from the kernel (SO_PEERCRED). The daemon accepts no
//! descriptors (`rights.rs`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

mod passing;
mod rights;

pub(crate) use passing::{receive, send};

/// Longest message in bytes.
pub(crate) const MOST: usize = 1024;

/// Bytes in one message after `bytes LENGTH`. For a reader that does not read, the kernel keeps a few of them; a
/// descriptor would let it keep as much as it likes.
const PIECE: usize = 32 << 10;

/// One end of a connection. tokio's type is for streams, but only its readiness is used.
pub struct Connection {
    socket: UnixStream,
    takes: Takes,
}

/// The descriptors that may come over a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Takes {
    /// Requested ones: this is a client's end.
    Wanted,
    /// None; the kernel refuses them.
    None,
    /// None; each message is checked before it is received: the kernel cannot refuse descriptors, or the message
    /// may have been sent before it was told to.
    Unasked,
}

impl Connection {
    /// Connects to the daemon at `path`, if it runs as root, as this user, or as the owner of the socket's
    /// directory, which no other user can write to.
    ///
    /// # Errors
    /// `NotFound` and `ConnectionRefused` when no daemon runs; `PermissionDenied` when another user's process
    /// answers there.
    pub fn to(path: &Path) -> io::Result<Self> {
        let socket = seqpacket()?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        let dir = rustix::fs::stat(path.parent().unwrap_or(Path::new("/")))?;
        let owner_alone = dir.st_mode & 0o022 == 0 || dir.st_mode & 0o1000 != 0;
        let own = rustix::process::getuid().as_raw();
        let server = user_of(socket.as_fd())?;
        if !(server == 0 || server == own || (owner_alone && server == dir.st_uid)) {
            let why = format!("user {server} answers there, who does not own its directory");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Self::over(socket)
    }

    /// Makes a connection over an existing socket. Must be called within a runtime.
    pub(crate) fn over(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: UnixStream::from_std(socket.into())?, takes: Takes::Wanted })
    }

    /// Returns the user at the other end.
    pub(crate) fn user(&self) -> io::Result<u32> {
        user_of(self.socket.as_fd())
    }

    /// Sends a message, with a descriptor if there is one.
    pub async fn send(&self, message: &str, file: Option<&File>) -> io::Result<()> {
        loop {
            self.socket.writable().await?;
            let bytes = &message.as_bytes()[..message.len().min(MOST)];
            match self.socket.try_io(Interest::WRITABLE, || send(&self.socket, bytes, file)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
    }

    /// Sends bytes, their length first.
    pub async fn send_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.send(&format!("bytes {}", bytes.len()), None).await?;
        for piece in bytes.chunks(PIECE) {
            loop {
                self.socket.writable().await?;
                match self.socket.try_io(Interest::WRITABLE, || send(&self.socket, piece, None)) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    sent => break sent?,
                }
            }
        }
        Ok(())
    }

    /// Receives the bytes whose length `text` announces; `None` when it announces none. At most `most` of them.
    ///
    /// # Errors
    /// `InvalidData` when there are more, or when they do not come as announced.
    pub(crate) async fn receive_bytes(&self, text: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let bad = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
        let Some(len) = text.strip_prefix("bytes ") else { return Ok(None) };
        let len: usize = len.parse().map_err(|_| bad("announced no number"))?;
        if len > most {
            return Err(bad("announced more than was asked for"));
        }
        let mut bytes = Vec::with_capacity(len);
        let mut piece = vec![0; PIECE.min(len)];
        while bytes.len() < len {
            self.socket.readable().await?;
            let room = piece.len().min(len - bytes.len());
            match self.socket.try_io(Interest::READABLE, || receive(&self.socket, &mut piece[..room])) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((got, _)) => bytes.extend_from_slice(&piece[..got]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Some(bytes))
    }

    /// Receives the next message; `None` when the other end has closed.
    ///
    /// # Errors
    /// `InvalidData` for a message that is no text, and for an unrequested descriptor, which stays in the queue.
    pub async fn receive(&self) -> io::Result<Option<(String, Option<File>)>> {
        let mut line = [0; MOST];
        loop {
            self.socket.readable().await?;
            match self.socket.try_io(Interest::READABLE, || self.take(&mut line)) {
                Ok((0, _)) => return Ok(None),
                Ok((got, file)) => {
                    let text = std::str::from_utf8(&line[..got]);
                    let text = text.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                    return Ok(Some((text.to_owned(), file)));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Receives one message, unless it comes with an unrequested descriptor.
    fn take(&self, into: &mut [u8]) -> io::Result<(usize, Option<File>)> {
        if self.takes == Takes::Unasked && rights::look(&self.socket)? == rights::Waiting::Descriptor {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "passed a descriptor"));
        }
        receive(&self.socket, into)
    }

    /// Ends the connection: no more is read from it. Returns false when dropping it can block: then a descriptor
    /// is in its queue, and the thread that drops it waits for as long as the peer likes.
    pub(crate) fn end(&self) -> bool {
        self.takes == Takes::None || rights::is_free_of_them(&self.socket)
    }
}

/// Longest document that is read.
const DOCUMENT_MOST: u64 = 64 << 20;

/// Asks the daemon at `path` for a document: `status` or `shared`. Waits without a limit.
///
/// # Errors
/// Those of [`Connection::to`], `NotFound` and `ConnectionRefused` among them; `InvalidData` for a malformed
/// answer.
pub(crate) async fn ask(path: &Path, what: &str) -> io::Result<serde_json::Value> {
    let connection = Connection::to(path)?;
    connection.send(what, None).await?;
    let Some((_, Some(mut file))) = connection.receive().await? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "empty reply"));
    };
    // The writer's position is not the beginning.
    file.rewind()?;
    let mut text = String::new();
    file.take(DOCUMENT_MOST).read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Has the daemon at `path` read its configuration, if that has changed, and waits until it has. Waits without a limit.
///
/// # Errors
/// Those of [`Connection::to`]; `InvalidData` for a daemon that does not know this request, or is busy.
pub(crate) async fn look(path: &Path) -> io::Result<()> {
    let connection = Connection::to(path)?;
    connection.send("look", None).await?;
    match connection.receive().await? {
        Some((text, _)) if text == "done" => Ok(()),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, other.map_or_else(String::new, |(text, _)| text))),
    }
}

/// The listening end. Its connections accept no descriptors.
pub struct SocketListener {
    socket: UnixListener,
    /// True when the kernel is asked to refuse them; false in tests of older kernels.
    asks_kernel: bool,
}

impl SocketListener {
    /// Listens at `path`, to which every user may connect. Replaces the socket of a daemon that has ended.
    ///
    /// # Errors
    /// `AddrInUse` when a daemon answers there; else those of the file system.
    pub fn at(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        match rustix::net::connect(seqpacket()?, &address) {
            Ok(()) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(Errno::CONNREFUSED) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
        Self::bound(&address, path, true)
    }

    /// Listens at `path` like on a kernel that cannot refuse descriptors: Linux before 6.16.
    #[cfg(all(test, feature = "node"))]
    pub(crate) fn at_on_an_older_kernel(path: &Path) -> io::Result<Self> {
        Self::bound(&SocketAddrUnix::new(path)?, path, false)
    }

    fn bound(address: &SocketAddrUnix, path: &Path, asks_kernel: bool) -> io::Result<Self> {
        let socket = seqpacket()?;
        if asks_kernel {
            rights::refuse(&socket);
        }
        rustix::net::bind(&socket, address)?;
        rustix::fs::chmod(path, rustix::fs::Mode::from(0o666))?;
        rustix::net::listen(&socket, 64)?;
        Ok(Self { socket: UnixListener::from_std(socket.into())?, asks_kernel })
    }

    /// Returns standard input, when it is a listening socket: systemd passes it so with `StandardInput=socket`.
    pub(crate) fn from_stdin() -> Option<Self> {
        let stdin = io::stdin();
        if !sockopt::socket_acceptconn(stdin.as_fd()).ok()? {
            return None;
        }
        let socket = stdin.as_fd().try_clone_to_owned().ok()?;
        rustix::io::ioctl_fionbio(&socket, true).ok()?;
        // Clients that have connected by now, which is why this was started, did so before it refused descriptors.
        rights::refuse(&socket);
        UnixListener::from_std(socket.into()).ok().map(|socket| Self { socket, asks_kernel: true })
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// When the other end has gone already, or descriptors have run out; trying again helps.
    pub async fn accept(&self) -> io::Result<Connection> {
        let (socket, _) = self.socket.accept().await?;
        if self.asks_kernel && rights::are_refused(&socket) {
            return Ok(Connection { socket, takes: Takes::None });
        }
        // From here on, where the kernel can; messages in its queue were sent before.
        if self.asks_kernel {
            rights::refuse(&socket);
        }
        // Any Unix socket can do this. If one could not, its messages would look like its end.
        let _ = rights::prepare(&socket);
        Ok(Connection { socket, takes: Takes::Unasked })
    }
}

fn seqpacket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

fn user_of(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(socket)?.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

    #[tokio::test]
    async fn messages_stay_apart_and_a_descriptor_goes_along() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = SocketListener::at(&path).unwrap();
        let client = Connection::to(&path).unwrap();
        let server = listener.accept().await.unwrap();
        assert_eq!(server.user().unwrap(), rustix::process::getuid().as_raw());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"bytes").unwrap();
        server.send("looking", None).await.unwrap();
        server.send("coming", Some(&file)).await.unwrap();
        assert_eq!(client.receive().await.unwrap().unwrap().0, "looking");
        let (text, file) = client.receive().await.unwrap().unwrap();
        let mut bytes = [0; 5];
        file.unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((&*text, &bytes), ("coming", b"bytes"));
        drop(server);
        assert!(client.receive().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn bytes_come_whole_and_never_more_than_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = SocketListener::at(&path).unwrap();
        let client = Connection::to(&path).unwrap();
        let server = listener.accept().await.unwrap();
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|i| (i % 251) as u8).collect();
        let sending = async {
            for len in [bytes.len(), 0] {
                server.send_bytes(&bytes[..len]).await.unwrap();
            }
            // A client that has read enough disconnects.
            let _ = server.send_bytes(&bytes).await;
        };
        let receiving = async {
            for len in [bytes.len(), 0] {
                let (text, _) = client.receive().await.unwrap().unwrap();
                assert!(client.receive_bytes(&text, bytes.len()).await.unwrap().unwrap() == bytes[..len]);
            }
            let (text, _) = client.receive().await.unwrap().unwrap();
            let refused = client.receive_bytes(&text, bytes.len() - 1).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
            drop(client);
        };
        let (sent, ()) = tokio::join!(tokio::time::timeout(std::time::Duration::from_secs(10), sending), receiving);
        assert!(sent.is_ok(), "the sender was not told");
    }

    #[tokio::test]
    async fn what_a_dead_daemon_left_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        assert_eq!(Connection::to(&path).err().unwrap().kind(), io::ErrorKind::NotFound);
        let first = SocketListener::at(&path).unwrap();
        assert_eq!(SocketListener::at(&path).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert_eq!(Connection::to(&path).err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
        let again = SocketListener::at(&path);
        assert!(again.is_ok());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    }
}
