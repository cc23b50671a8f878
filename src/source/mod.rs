//! Where bytes can come from: one trait, one implementation a file, and what a source answers.
//!
//! A source never judges bytes; it hands them over from an offset and says why it cannot. Proof is the race's business.

use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use futures_util::stream::LocalBoxStream;

pub use crate::miss::Miss;

pub mod file;
pub mod gateway;
pub mod kubo;
pub mod metered;
pub mod mirror;
pub mod neighbours;
pub mod node;

/// Bytes on their way, in order.
pub type Body<'a> = LocalBoxStream<'a, Result<bytes::Bytes, Miss>>;

/// A source's answer.
pub enum SourceAnswer<'a> {
    /// Bytes from an offset on.
    Bytes {
        /// Offset of the first byte: the one asked for, or 0 where the source cannot start elsewhere.
        start: u64,
        /// Size of the whole file, when told, whatever part of it was asked for.
        size: Option<u64>,
        /// Date of the file at the source: a hint, never proof.
        modified: Option<SystemTime>,
        /// The bytes.
        body: Body<'a>,
    },
    /// Not newer than what was named in the question.
    Unchanged,
}

/// What is asked of a source.
#[derive(Clone, Copy, Default, Debug)]
pub struct FetchRequest {
    /// First byte wanted.
    pub from: u64,
    /// Where to stop, after `from`; `None` for the end of the file.
    pub until: Option<u64>,
    /// Only when newer.
    pub newer_than: Option<SystemTime>,
}

/// A future that stays on this thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What kind of place a source is; decides order and pacing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SourceKind {
    /// A directory of this machine (`file://`).
    File,
    /// The daemon of this program, and so the machines of the local network.
    Node,
    /// The local Kubo daemon.
    Kubo,
    /// A trustless HTTP gateway.
    Gateway,
    /// A mirror of the package manager.
    Mirror,
}

impl SourceKind {
    /// One word for people and for `--source`.
    pub fn word(self) -> &'static str {
        match self {
            SourceKind::File => "file",
            SourceKind::Node => "lan",
            SourceKind::Kubo => "kubo",
            SourceKind::Gateway => "gateway",
            SourceKind::Mirror => "mirror",
        }
    }
}

/// A place that may have one certain file.
///
/// Contract (`tests/cases/contract.rs` runs it over every implementation and the fakes):
/// - `open` gives the file's bytes from `from` or from 0, or says why not; it never waits without bound on its own
///   account beyond the connection, the race sets the clocks;
/// - bytes from `from` on end at `until`, where that is named; bytes from 0 may go on to the end of the file;
/// - the body ends cleanly only when the source believes that it has delivered everything;
/// - dropping the future or the body ends the transfer.
pub trait Source {
    /// What kind of place it is.
    fn kind(&self) -> SourceKind;
    /// Where: host and port, or a path. For people, without secrets.
    fn place(&self) -> String;
    /// Whether it is asked only when everybody else has failed.
    fn is_last_resort(&self) -> bool {
        false
    }
    /// Asks for the file.
    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>>;
}
