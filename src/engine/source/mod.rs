//! The sources of bytes: one trait, [`Source`], and the answers of a source.
//!
//! A source never judges bytes; it yields them from an offset on, or the reason why it cannot. The race proves
//! them.
//!
//! | file | what |
//! |---|---|
//! | `file`, `lan`, `house`, `kubo`, `gateway`, `mirror` | one implementation each; `lan` asks the daemon, `house` another machine's endpoint |
//! | `metered` | counts the bytes of another source, and slows it |
//! | `neighbours` | no `Source`: blocks and indexes through the daemon |
//! | `window` | no `Source`: how many blocks are asked for at a time |

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use futures_util::stream::LocalBoxStream;

pub(crate) use crate::base::miss::Miss;

pub mod file;
pub mod gateway;
pub(crate) mod house;
pub mod kubo;
pub mod lan;
pub(crate) mod metered;
pub mod mirror;
pub(crate) mod neighbours;
pub(crate) mod window;

/// A stream of bytes, in order. An empty piece means that more are coming, where they come in blocks that are
/// proven one by one.
pub(crate) type Body<'a> = LocalBoxStream<'a, Result<bytes::Bytes, Miss>>;

/// A source's answer.
pub enum SourceAnswer<'a> {
    /// Bytes from an offset on.
    Bytes {
        /// Offset of the first byte: the requested one, or 0 if the source cannot start elsewhere.
        start: u64,
        /// Size of the whole file, if told, for requests of a part too.
        size: Option<u64>,
        /// Date of the file at the source: a hint, never proof.
        modified: Option<SystemTime>,
        /// The bytes.
        body: Body<'a>,
    },
    /// The source fetches the file itself, and sends it from this offset on once it has it: one that joined meanwhile
    /// would fetch it a second time.
    Promised {
        /// Offset of the first byte: the requested one.
        start: u64,
        /// The bytes.
        body: Body<'a>,
    },
    /// Not newer than the date in the request.
    Unchanged,
}

/// A request to a source.
#[derive(Clone, Copy, Default, Debug)]
pub struct FetchRequest {
    /// First byte to send.
    pub from: u64,
    /// The end, after `from`; `None` for the end of the file.
    pub until: Option<u64>,
    /// Only when newer.
    pub newer_than: Option<SystemTime>,
}

/// A future that stays on this thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The kind of a source; decides order and pacing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SourceKind {
    /// A directory of this machine (`file://`).
    File,
    /// The neighbours on the local network: by the daemon of this program, or by their endpoints.
    Lan,
    /// The local Kubo daemon.
    Kubo,
    /// A trustless HTTP gateway.
    Gateway,
    /// A mirror of the package manager.
    Mirror,
}

impl SourceKind {
    /// Returns one word for people and for `--source`.
    pub fn word(self) -> &'static str {
        match self {
            SourceKind::File => "file",
            SourceKind::Lan => "lan",
            SourceKind::Kubo => "kubo",
            SourceKind::Gateway => "gateway",
            SourceKind::Mirror => "mirror",
        }
    }
}

/// A source that may have one certain file.
///
/// Contract (`tests/cases/contract.rs` runs it over every implementation and the fakes):
/// - `open` gives the file's bytes from `from` or from 0, or the reason why not; by itself it never waits without
///   bound beyond the connection, the race sets the clocks;
/// - bytes from `from` on end at `until`, if set; bytes from 0 may go on to the end of the file;
/// - the body ends cleanly only when the source has delivered everything, as far as it knows;
/// - dropping the future or the body ends the transfer.
pub trait Source {
    /// Returns its kind.
    fn kind(&self) -> SourceKind;
    /// Returns host and port, or a path. For people, without secrets.
    fn location(&self) -> String;
    /// True if it is asked only after all other sources have failed.
    fn is_last_resort(&self) -> bool {
        false
    }
    /// Returns the time that it has before the next source is asked as well, however little is left of the head start of
    /// peers.
    fn own_time(&self) -> Duration {
        Duration::ZERO
    }
    /// Asks for the file.
    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>>;
}
