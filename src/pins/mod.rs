//! Keeps the pins of a target as they should be: adds what is missing, removes what is over, and touches nothing
//! that is not ours.
//!
//! Publishing pins its roots in this way, in Kubo, in clusters and at pinning services, prefetch its pending files, and
//! `kubo.keep` removes what is over. A target that takes its time (a cluster, a pinning service) answers
//! [`Addition::Pending`] and is asked again by the next run; until then the predecessor stays.
//!
//! # Room
//!
//! - In: what is wanted ([`WantedPin`]), a target ([`PinTarget`]), the mark of our pins ([`PinMark`])
//! - Out: what was done, and what was not ([`Reconciled`])
//! - May use: base, config, dag, engine, index, lists, machine, net, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! mark mfs patient removing
//! reconcile
//! keep
//! cluster kubo service
//! keeper
//! tests
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;

use crate::base::cid::Cid;
use crate::base::fsx;
use crate::dag::build::build_blocks;
use crate::net::kubo::{KuboError, KuboErrorKind};
use crate::net::pinning::{RemoteError, RemoteErrorKind, RemoteState};

mod cluster;
pub mod keep;
pub mod keeper;
mod kubo;
mod mark;
mod mfs;
mod patient;
mod reconcile;
mod removing;
mod service;

pub use cluster::ClusterPins;
pub use kubo::KuboPins;
pub use mark::PinMark;
pub use reconcile::{ReconcileLimits, Reconciled, extend, reconcile};
pub use service::ServicePins;

/// Takes one block after the other; an error ends the writing.
pub type BlockSink<'a> = dyn FnMut(Cid, &[u8]) -> io::Result<()> + 'a;

/// Passes the blocks of a root to its argument.
pub(crate) type BlockWriter = dyn Fn(&mut BlockSink) -> io::Result<()> + Send + Sync;

/// A root that a target shall hold.
#[derive(Clone)]
pub struct WantedPin {
    /// The root; everything below it is held too.
    pub cid: Cid,
    /// The part of its name after the mark ([`PinMark::name`]).
    pub label: String,
    /// Its blocks, where the target has to be given them. `None`: the target has them or fetches them.
    pub content: Option<PinContent>,
}

/// The blocks of a root that is to be pinned, made while they are sent.
#[derive(Clone)]
pub struct PinContent {
    /// Bytes of all blocks, about; decides how long the target is waited for.
    pub size: u64,
    /// True if the caller has written the root down ([`PinMark::with_roots`]) before. Then the target may pin it
    /// while its blocks arrive, which keeps the collector of the target away, and before it has its name: what a
    /// crash leaves there is still known as ours.
    pub is_claimed: bool,
    /// Passes each block to its argument, children before parents, the root last. Called on another thread.
    pub write: Arc<BlockWriter>,
}

impl PinContent {
    /// Makes the content of a file of `size` bytes, which is opened when its blocks are sent.
    pub(crate) fn of_file(path: PathBuf, size: u64) -> Self {
        let write = move |put: &mut BlockSink| build_blocks(fsx::open_read(&path)?, put).map(drop);
        Self { size, is_claimed: false, write: Arc::new(write) }
    }
}

/// A pin that a target has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentPin {
    /// The root.
    pub cid: Cid,
    /// Its name; empty if it has none.
    pub(crate) name: String,
    /// The progress of the target.
    pub(crate) state: PinState,
    /// Copies of everything below it that the target has: those of a cluster's peers, else one at most.
    pub(crate) copies: u32,
}

/// The progress of a target with one pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinState {
    /// It holds everything below the root.
    Held,
    /// It is at work.
    Pending,
    /// It gave up. Adding the pin again tries again.
    Failed,
}

impl From<RemoteState> for PinState {
    fn from(state: RemoteState) -> Self {
        match state {
            RemoteState::Held => Self::Held,
            RemoteState::AtWork => Self::Pending,
            RemoteState::Failed => Self::Failed,
        }
    }
}

/// The result of adding a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addition {
    /// The target holds it, under our name.
    Held,
    /// The target has accepted it and is at work.
    Pending,
    /// The target holds it already under another name: the user pinned it. It stays as it is, and is never removed.
    OfUser,
}

/// The result of removing a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, or was not there.
    Gone,
    /// The user keeps it by other means; it stays.
    KeptByUser,
}

/// The reason why a pin was not listed, added or removed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The Kubo daemon failed. Trying again later may help.
    #[error(transparent)]
    Kubo(#[from] KuboError),
    /// A cluster or a pinning service failed. Trying again later may help, unless it refuses the secret.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A file of this machine could not be read or written.
    #[error("{0}")]
    File(#[from] io::Error),
}

impl PinError {
    /// True if the target would refuse every further change in the same way.
    pub(crate) fn is_of_target(&self) -> bool {
        let kinds = [KuboErrorKind::Unreachable, KuboErrorKind::Forbidden, KuboErrorKind::TooOld];
        match self {
            Self::Kubo(fault) => kinds.contains(&fault.kind),
            Self::Remote(fault) => !matches!(fault.kind, RemoteErrorKind::Absent | RemoteErrorKind::Refused),
            Self::File(_) => false,
        }
    }

    /// True if it would refuse to take in further blocks: its disk is full, or it does not keep up.
    pub(crate) fn is_of_intake(&self) -> bool {
        let kinds = [KuboErrorKind::NoSpace, KuboErrorKind::Deadline];
        matches!(self, Self::Kubo(fault) if kinds.contains(&fault.kind))
    }
}

/// A service that holds roots and all that is below them.
///
/// Contract (`tests/support/pins.rs` runs it over the fake in `src/pins/tests.rs`, over the client of Kubo with the
/// fake daemon and with the real one, and over those of clusters and pinning services):
/// - each call is bounded in time by itself;
/// - `list` names every pin that may be ours, and may name others;
/// - `add` of what it holds already changes nothing, and a pin of the user keeps the user's name;
/// - a failed `add` leaves every other pin as it is;
/// - `remove` of what is not there is no error.
pub trait PinTarget {
    /// Lists the pins that may be ours by `mark`, in the order in which they go if they have to.
    fn list<'a>(&'a self, mark: &'a PinMark) -> LocalBoxFuture<'a, Result<Vec<PresentPin>, PinError>>;
    /// Has it hold `wanted` under `name`.
    fn add<'a>(&'a self, wanted: &'a WantedPin, name: &'a str) -> LocalBoxFuture<'a, Result<Addition, PinError>>;
    /// Removes these pins, in this order, until `until`; returns a result for each one that it came to.
    fn remove<'a>(
        &'a self,
        pins: &'a [PresentPin],
        until: Instant,
    ) -> LocalBoxFuture<'a, Vec<(PresentPin, Result<Removal, PinError>)>>;
}

#[cfg(test)]
mod tests;
