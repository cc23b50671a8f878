//! The daemon's end of its socket: the requests of local users, and the answers.
//!
//! Any user of this machine may connect. The cost of one user is bounded: connections, requests in a second,
//! transfers, and the time in which a request must come. Descriptors are handed over for reading only.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::base::cid::Cid;
use crate::base::name::FileName;
use crate::daemon::closers::Closers;
use crate::daemon::documents::Documents;
use crate::daemon::ended::refusal;
use crate::daemon::status;
use crate::daemon::transfers::{Request, Transfers};
use crate::engine::deliver::Delivery;
use crate::engine::hub::HubProgress;
use crate::net::socket::{Connection, SocketListener};
use crate::node::Node;
use crate::node::blocks::{BlockFetch, BlockMiss, SearchPatience};
use crate::node::limits::Rate;

/// Most connections of one user, and of all. Origin: chosen by us; one pacman run has one, a read-ahead a few.
const CONNECTIONS: usize = 64;
const CONNECTIONS_OF_ALL: usize = 256;

/// Requests of one user in a second.
const REQUESTS: u64 = 200;

/// Blocks that one user may ask for in a second: 256 MB in pieces of 256 KiB.
const BLOCKS: u64 = 1000;

/// Number of files in which `status` and `shared` are handed out, and the most age of their contents. Origin:
/// chosen by us: a reader has more than a second until its file is rewritten while others ask without pause;
/// `shared` takes milliseconds to make.
const STATUS: (usize, Duration) = (64, Duration::from_millis(25));
const SHARED: (usize, Duration) = (8, Duration::from_millis(200));

/// Most time that a connection may stay without a request, and a message without a reader.
const IDLE: Duration = Duration::from_secs(10);

/// Most requests that wait for a look at the configuration; further callers are told to ask again.
const LOOKS: usize = 16;

/// A request to read the configuration now, if it has changed. Answered once that was done.
pub(crate) type LookRequest = oneshot::Sender<()>;

/// Most neighbours that are named as senders of one file.
const SENDERS_MOST: usize = 8;

/// Interval between messages that a block is still coming.
const STILL: Duration = Duration::from_secs(1);

/// The connections and rates of one local user. Transfers are counted in `transfers.rs`.
struct UserState {
    connections: usize,
    rate: Arc<Rate>,
    blocks: Arc<Rate>,
}

/// The server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server(Arc<ServerInner>);

struct ServerInner {
    node: Node,
    transfers: Transfers,
    users: Mutex<HashMap<u32, UserState>>,
    closers: Closers,
    status: Documents,
    shared: Documents,
    looks: mpsc::Sender<LookRequest>,
    /// The stores whose files are offered.
    stores: Vec<PathBuf>,
}

/// A connection, counted until drop.
struct CountedConnection {
    server: Server,
    user: u32,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut users = self.server.0.users.lock().expect("nothing panics while it is held");
        if let Some(user) = users.get_mut(&self.user) {
            user.connections -= 1;
        }
        // The rates of users who left are dropped once there are many.
        if users.len() > 64 {
            users.retain(|_, user| user.connections > 0);
        }
    }
}

/// A connection of a user. However it ends, no other user waits while it is closed: a peer may have sent it
/// something that makes closing slow (tests `a_socket_that_lingers_keeps_no_user_waiting…`).
struct Served {
    /// Present until drop.
    connection: Option<Connection>,
    /// Counted until closed, unless it was one too many.
    counted: Option<CountedConnection>,
    user: u32,
    closers: Closers,
}

impl Drop for Served {
    fn drop(&mut self) {
        let ended = (self.connection.take(), self.counted.take());
        if ended.0.as_ref().is_some_and(|connection| !connection.end()) {
            self.closers.close(self.user, ended);
        }
    }
}

impl Server {
    /// Creates a server for `node`, and the receiver of its requests to look at the configuration.
    pub(crate) fn new(node: Node, transfers: Transfers, stores: Vec<PathBuf>) -> (Self, mpsc::Receiver<LookRequest>) {
        let [status, shared] = [STATUS, SHARED].map(|(most, fresh)| Documents::new(most, fresh));
        let (users, closers) = Default::default();
        let (looks, asked) = mpsc::channel(LOOKS);
        (Self(Arc::new(ServerInner { node, transfers, users, closers, status, shared, looks, stores })), asked)
    }

    /// Accepts connections for ever.
    pub(crate) async fn run(self, listener: &SocketListener) {
        loop {
            let connection = match listener.accept().await {
                Ok(connection) => connection,
                // The other end has gone already, or descriptors have run out for a moment.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            // The kernel always reports the user.
            let user = connection.user().unwrap_or(u32::MAX);
            let counted = self.count(user);
            let is_one_too_many = counted.is_none();
            let closers = self.0.closers.clone();
            let served = Served { connection: Some(connection), counted, user, closers };
            if is_one_too_many {
                continue;
            }
            let this = self.clone();
            tokio::spawn(async move {
                if let Some(connection) = &served.connection {
                    let _ = this.serve(connection, user).await;
                }
            });
        }
    }

    /// Counts a connection, if the user may have one more.
    fn count(&self, user: u32) -> Option<CountedConnection> {
        let mut users = self.0.users.lock().expect("nothing panics while it is held");
        let all: usize = users.values().map(|user| user.connections).sum();
        let new = || UserState {
            connections: 0,
            rate: Arc::new(Rate::rested(REQUESTS)),
            blocks: Arc::new(Rate::rested(BLOCKS)),
        };
        let known = users.entry(user).or_insert_with(new);
        if known.connections >= CONNECTIONS || all >= CONNECTIONS_OF_ALL {
            return None;
        }
        known.connections += 1;
        Some(CountedConnection { server: self.clone(), user })
    }

    async fn serve(&self, connection: &Connection, user: u32) -> io::Result<()> {
        let mut blocks = BlockFetch::new(self.0.node.bitswap.clone());
        loop {
            let Ok(heard) = tokio::time::timeout(IDLE, connection.receive()).await else { return Ok(()) };
            let Some((text, _)) = heard? else { return Ok(()) };
            // Blocks come by the thousand: the caller waits for the next one.
            let is_block = text.starts_with("block ");
            if !is_block && self.rate(user, |user| &user.rate).is_some_and(|rate| !rate.take(1).is_zero()) {
                say(connection, "busy too many requests", None).await?;
                continue;
            }
            match text.split(' ').next() {
                Some(verb @ ("get" | "obtain")) => match request(&text) {
                    Some(request) => self.get(connection, user, request, verb == "obtain").await?,
                    None => say(connection, "failed malformed request", None).await?,
                },
                Some("index" | "block") => self.pass_on(connection, user, &text, &mut blocks).await?,
                Some("look") => {
                    let (look, looked) = oneshot::channel();
                    match self.0.looks.try_send(look) {
                        Ok(()) if looked.await.is_ok() => {
                            self.0.status.expire();
                            self.0.shared.expire();
                            say(connection, "done", None).await?;
                        }
                        _ => say(connection, "busy looking at the configuration", None).await?,
                    }
                }
                Some("status") => {
                    let status = || status::status(&self.0.node, self.0.transfers.count(), &self.0.stores);
                    say(connection, "answer", Some(&self.0.status.get(status)?)).await?;
                }
                Some("shared") => {
                    let shared = self.0.shared.get(|| status::shared(&self.0.node))?;
                    say(connection, "answer", Some(&shared)).await?;
                }
                _ => say(connection, "failed there is no such request", None).await?,
            }
        }
    }

    /// Returns one of a user's rates.
    fn rate(&self, user: u32, which: impl Fn(&UserState) -> &Arc<Rate>) -> Option<Arc<Rate>> {
        let users = self.0.users.lock().expect("nothing panics while it is held");
        users.get(&user).map(|user| Arc::clone(which(user)))
    }

    /// Answers `index` and `block`: passes on what neighbours send, as it arrives.
    async fn pass_on(&self, connection: &Connection, user: u32, text: &str, blocks: &mut BlockFetch) -> io::Result<()> {
        say(connection, "looking", None).await?;
        let node = &self.0.node;
        match text.split_once(' ') {
            Some(("index", key)) => {
                for answer in node.indexes.ask(&node.ours(), key).await {
                    say_bytes(connection, &answer).await?;
                }
                say(connection, "done", None).await
            }
            Some(("block", rest)) => match block_request(rest) {
                Some((cid, patience)) => {
                    if let Some(rate) = self.rate(user, |user| &user.blocks) {
                        rate.wait(1).await;
                    }
                    let (tell, mut told) = mpsc::channel(1);
                    // A note that waits already says it.
                    let coming = move || {
                        let _ = tell.try_send(());
                    };
                    let block = self.block(cid, patience, blocks, coming);
                    tokio::pin!(block);
                    let mut said = Instant::now();
                    let block = loop {
                        tokio::select! {
                            biased;
                            block = &mut block => break block,
                            Some(()) = told.recv() => if said.elapsed() >= STILL {
                                said = Instant::now();
                                say(connection, "looking", None).await?;
                            }
                        }
                    };
                    match block {
                        Ok(block) => say_bytes(connection, &block).await,
                        Err(BlockMiss::Absent) => say(connection, "absent no neighbour has it", None).await,
                        Err(BlockMiss::Late) => say(connection, "absent no neighbour answered in time", None).await,
                    }
                }
                None => say(connection, "failed malformed CID", None).await,
            },
            _ => say(connection, "failed malformed request", None).await,
        }
    }

    /// Returns a block that is offered here, or that a neighbour has. `coming` is called while one is sending.
    async fn block(
        &self,
        cid: Cid,
        patience: SearchPatience,
        blocks: &mut BlockFetch,
        coming: impl FnMut(),
    ) -> Result<Bytes, BlockMiss> {
        let (shelf, digest) = (Arc::clone(&self.0.node.shelf), cid.digest());
        match tokio::task::spawn_blocking(move || shelf.block(digest)).await {
            Ok(Some(block)) => Ok(block),
            _ => blocks.get(cid, patience, coming).await,
        }
    }

    /// Answers `get`: hands over a descriptor of the growing file, and reports its length until it is whole. With
    /// `names_senders` it also says which neighbours send it, which older clients do not understand.
    async fn get(&self, connection: &Connection, user: u32, request: Request, names_senders: bool) -> io::Result<()> {
        say(connection, "looking", None).await?;
        let (senders, mut named) = (self.0.transfers.senders(request.sha256), Vec::new());
        let mut name_senders = async || {
            let now = senders.lock().expect("nothing panics while it is held").clone();
            if names_senders && !now.is_empty() && now != named {
                let list: Vec<String> = now.iter().take(SENDERS_MOST).map(ToString::to_string).collect();
                say(connection, &format!("from {}", list.join(" ")), None).await?;
                named = now;
            }
            Ok::<(), io::Error>(())
        };
        let Some(ticket) = self.0.transfers.get(user, request) else {
            return say(connection, "absent too many transfers are running", None).await;
        };
        let mut progress = ticket.progress();
        let (mut has_file, mut told) = (false, 0);
        loop {
            let HubProgress { proven, is_over, .. } = *progress.borrow_and_update();
            if is_over {
                break;
            }
            // Once there is a part, the same number says that more is coming (test `a_block_that_takes_long_is_life…`).
            if has_file || proven > told {
                if !std::mem::replace(&mut has_file, true) {
                    say(connection, "coming", ticket.partial().as_ref()).await?;
                }
                name_senders().await?;
                told = proven.max(told);
                say(connection, &format!("have {told}"), None).await?;
            }
            tokio::select! {
                _ = progress.changed() => {}
                // The caller has gone, or sent out of turn: no process waits for this any more.
                _ = connection.receive() => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let file = ticket.partial();
        let told = match ticket.result().await {
            Some(Delivery { result: Ok(Some(obtained)), .. }) => {
                if !has_file {
                    say(connection, "coming", file.as_ref()).await?;
                }
                name_senders().await?;
                say(connection, &format!("have {}", obtained.accepted.size()), None).await?;
                "done".to_owned()
            }
            Some(Delivery { result: Err(error), .. }) => refusal(&error),
            Some(Delivery { result: Ok(None), .. }) | None => "failed the transfer ended".to_owned(),
        };
        say(connection, &told, None).await
    }
}

/// Sends a message, to a caller that may have left.
async fn say(connection: &Connection, text: &str, file: Option<&std::fs::File>) -> io::Result<()> {
    let said = tokio::time::timeout(IDLE, connection.send(text, file)).await;
    said.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn say_bytes(connection: &Connection, bytes: &[u8]) -> io::Result<()> {
    let said = tokio::time::timeout(IDLE, connection.send_bytes(bytes)).await;
    said.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads what follows `block`: the CID, and how neighbours are asked for it.
fn block_request(words: &str) -> Option<(Cid, SearchPatience)> {
    let (cid, patience) = match words.split_once(' ') {
        Some((cid, "patient")) => (cid, SearchPatience::Patient),
        Some(_) => return None,
        None => (words, SearchPatience::Brief),
    };
    cid.parse().ok().map(|cid| (cid, patience))
}

/// Reads `get SHA256 SIZE CID NAME`, or the same with `obtain`. A caller that knows nothing but the CID asks for blocks
/// instead.
pub fn request(text: &str) -> Option<Request> {
    let words: Vec<&str> = text.splitn(5, ' ').collect();
    let [_, sha256, size, cid, name] = words[..] else { return None };
    let cid = if cid == "-" { None } else { Some(cid.parse().ok()?) };
    let name = FileName::new(name).ok()?;
    Some(Request { sha256: sha256.parse().ok()?, size: size.parse().ok()?, cid, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    #[test]
    fn requests_are_read_and_nonsense_is_not() {
        let sha256 = Sha256::of(b"x");
        let read = request(&format!("get {sha256} 5 - a-1-1-any.pkg.tar.zst")).unwrap();
        assert_eq!((read.sha256, read.size, read.cid), (sha256, 5, None));
        let obtain = request(&format!("obtain {sha256} 5 - a-1-1-any.pkg.tar.zst")).unwrap();
        assert_eq!((obtain.sha256, obtain.size), (sha256, 5));
        for bad in ["get", "get x 5 - a", &format!("get {sha256} -1 - a"), &format!("get {sha256} 1 - ../a")] {
            assert!(request(bad).is_none(), "{bad}");
        }
    }
}
