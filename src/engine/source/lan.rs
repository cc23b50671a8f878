//! A file of the local network, by the daemon on this machine: the daemon fetches it from neighbours and hands
//! over a descriptor of the growing file, which is read here as far as the daemon says that it has come.
//!
//! The other end is `daemon/server.rs`; the messages are in [`crate::net::socket`].

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::engine::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};
use crate::net::socket::Connection;

/// Time for the daemon to acknowledge a request; after it the daemon is skipped (`doc/design.md`, promise 5).
const SILENCE: Duration = Duration::from_millis(50);

/// An older daemon's answer to a request that it does not know.
const NO_SUCH_REQUEST: &str = "there is no such request";

/// Bytes in one piece.
const PIECE: u64 = 256 * 1024;

/// Most neighbours that are named as senders of one file.
const SENDERS_MOST: usize = 8;

/// What the daemon tells about a file beside its bytes. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub(crate) struct LanTold(Rc<LanTelling>);

#[derive(Default, Debug)]
struct LanTelling {
    has_answered: Cell<bool>,
    senders: RefCell<Vec<IpAddr>>,
}

impl LanTold {
    /// Returns the addresses of the neighbours that have sent any of the file, as far as the daemon named them.
    pub(crate) fn senders(&self) -> Vec<IpAddr> {
        self.0.senders.borrow().clone()
    }

    /// Tells, for people, that the file did not come in time, and from where: `10.78.0.1 was too slow`.
    pub(crate) fn slow_one(&self) -> String {
        match (self.senders().as_slice(), self.0.has_answered.get()) {
            ([one], _) => format!("{one} was too slow"),
            (_, true) => "the neighbours were too slow".to_owned(),
            (_, false) => "the daemon here was too slow".to_owned(),
        }
    }

    fn name(&self, addresses: &str) {
        let addresses = addresses.split(' ').take(SENDERS_MOST).filter_map(|address| address.parse().ok());
        *self.0.senders.borrow_mut() = addresses.collect();
    }
}

/// One file in the daemon's reach.
pub struct LanFile {
    socket: PathBuf,
    sha256: Sha256,
    cid: Option<Cid>,
    name: String,
    /// Bytes of the file.
    size: u64,
    told: LanTold,
}

impl LanFile {
    /// Makes a source of the file with this sha256 and size through the daemon at `socket`. `name` is the daemon's
    /// name for it.
    pub fn new(socket: &Path, sha256: Sha256, cid: Option<Cid>, size: u64, name: &str) -> Self {
        Self { socket: socket.to_owned(), sha256, cid, name: name.to_owned(), size, told: LanTold::default() }
    }

    /// Has it leave in `told` what the daemon says beside the bytes.
    pub(crate) fn telling(self, told: &LanTold) -> Self {
        Self { told: told.clone(), ..self }
    }

    async fn ask(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        let connection = connect(&self.socket)?;
        let cid = self.cid.map_or_else(|| "-".to_owned(), |cid| cid.to_string());
        let request = |verb: &str| format!("{verb} {} {} {cid} {}", self.sha256, self.size, self.name);
        match ask(&connection, &request("obtain")).await {
            // A daemon that was started before this program was updated.
            Err(Miss::Broken(why)) if why == NO_SUCH_REQUEST => ask(&connection, &request("get")).await?,
            asked => asked?,
        }
        self.told.0.has_answered.set(true);
        let file = match said(connection.receive().await)? {
            (text, Some(file)) if text == "coming" => file,
            (text, _) => return Err(refusal(&text)),
        };
        fsx::regular(&file).map_err(|e| Miss::Broken(e.to_string()))?;
        // The file grows from its beginning, so it can be read from any offset that has come.
        let start = question.from.min(self.size);
        let until = question.until.unwrap_or(u64::MAX);
        let told = self.told.clone();
        let coming = GrowingFile { connection, file, at: start, until, there: 0, is_done: false, told };
        let body = stream::try_unfold(coming, GrowingFile::next);
        Ok(SourceAnswer::Bytes { start, size: Some(self.size), modified: None, body: body.boxed_local() })
    }
}

impl Source for LanFile {
    fn kind(&self) -> SourceKind {
        SourceKind::Lan
    }

    fn location(&self) -> String {
        "lan".to_owned()
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.ask(question).boxed_local()
    }
}

/// A file that the daemon is writing.
struct GrowingFile {
    connection: Connection,
    file: File,
    at: u64,
    until: u64,
    there: u64,
    is_done: bool,
    told: LanTold,
}

impl GrowingFile {
    async fn next(mut self) -> Result<Option<(bytes::Bytes, Self)>, Miss> {
        loop {
            let end = self.there.min(self.until);
            if self.at < end {
                let len = (end - self.at).min(PIECE);
                let piece = fsx::read_part(&self.file, self.at, len).map_err(|e| Miss::Broken(e.to_string()))?;
                self.at += len;
                return Ok(Some((piece.into(), self)));
            }
            if self.is_done || self.at >= self.until {
                return Ok(None);
            }
            let (text, _) = said(self.connection.receive().await)?;
            match text.split_once(' ') {
                None if text == "done" => self.is_done = true,
                Some(("from", addresses)) => self.told.name(addresses),
                Some(("have", count)) => {
                    let there = count.parse().map_err(|_| Miss::Broken("said no number".to_owned()))?;
                    if there <= self.there {
                        return Ok(Some((bytes::Bytes::new(), self)));
                    }
                    self.there = there;
                }
                _ => return Err(refusal(&text)),
            }
        }
    }
}

/// A connection to the daemon.
pub(super) fn connect(socket: &Path) -> Result<Connection, Miss> {
    Connection::to(socket).map_err(|e| Miss::Unreachable(e.to_string()))
}

/// Sends a request, and waits until the daemon acknowledges it.
pub(super) async fn ask(connection: &Connection, request: &str) -> Result<(), Miss> {
    let heard = async {
        connection.send(request, None).await?;
        connection.receive().await
    };
    let heard = tokio::time::timeout(SILENCE, heard).await.map_err(|_| Miss::Stalled(SILENCE))?;
    match said(heard)? {
        (text, _) if text == "looking" => Ok(()),
        (text, _) => Err(refusal(&text)),
    }
}

/// Returns the message, or the miss for its absence.
pub(super) fn said(received: std::io::Result<Option<(String, Option<File>)>>) -> Result<(String, Option<File>), Miss> {
    match received {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Miss::Broken("the daemon hung up".to_owned())),
        Err(e) => Err(Miss::Broken(e.to_string())),
    }
}

/// Maps the daemon's refusal to a miss.
pub(super) fn refusal(text: &str) -> Miss {
    match text.split_once(' ') {
        Some(("absent", why)) => Miss::Absent(why.to_owned()),
        Some(("corrupt", why)) => Miss::Corrupt(why.to_owned()),
        Some(("busy", why)) => Miss::Busy(why.to_owned(), Duration::from_secs(1)),
        Some(("failed", why)) => Miss::Broken(why.to_owned()),
        _ => Miss::Broken("malformed reply from the daemon".to_owned()),
    }
}
