//! `pkgswarm daemon`: the one resident process, never required. It is a program of its own (`resident.rs`), and shares
//! packages with the local network; the other commands reach it through [`crate::net::socket`]. Its peer of the
//! network, which fetches and serves blocks, is `crate::node`.
//!
//! | file | what |
//! |---|---|
//! | `enabled` | the life of the process: start, main loop, end |
//! | `server` | local requests in, answers out |
//! | `transfers` | files on their way from neighbours, one transfer for all callers of a file |
//! | `proven`, `room` | stored files, proven again before they are handed out; room for those that are coming |
//! | `documents`, `status` | `status` and `shared`: as files for reading only; their content |
//! | `closers` | closes that may block |
//! | `library`, `watch`, `indexes` | what is offered to neighbours: listed files, their directories, the indexes |
//! | `mend` | gaps of Kubo on the local network |
//! | `endpoint` | packages over HTTP: a process of its own, `pkgswarm endpoint` |
//! | `supervisor` | messages to systemd |
//!
//! Without the cargo feature `node`, `disabled` replaces all of it but the endpoint, and reports that.
//!
//! # Room
//!
//! - In: requests at the socket, and over HTTP
//! - Out: files from neighbours, the state of sharing
//! - May use: base, config, engine, haiku, index, lists, machine, net, node, pacman,
//!   report, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! closers disabled documents ended indexes mend proven room status supervisor watch
//! endpoint library transfers
//! server
//! attacks enabled slow
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

#[cfg(all(test, feature = "node"))]
mod attacks;
#[cfg(feature = "node")]
mod closers;
#[cfg(feature = "node")]
mod documents;
#[cfg(feature = "node")]
mod enabled;
#[cfg(feature = "node")]
mod ended;
pub mod endpoint;
#[cfg(feature = "node")]
mod indexes;
#[cfg(feature = "node")]
mod library;
#[cfg(feature = "node")]
mod mend;
#[cfg(feature = "node")]
mod proven;
#[cfg(feature = "node")]
mod room;
#[cfg(feature = "node")]
mod server;
#[cfg(all(test, feature = "node"))]
mod slow;
#[cfg(feature = "node")]
mod status;
mod supervisor;
#[cfg(feature = "node")]
mod transfers;
#[cfg(feature = "node")]
mod watch;

use crate::config::network::Network;

/// A private network that this machine is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Nearby {
    /// The interface of the network.
    pub(crate) interface: String,
    /// The network.
    pub(crate) network: Network,
    /// This machine's address there.
    pub(crate) address: String,
    /// True if `lan.networks` contains it.
    pub(crate) is_trusted: bool,
    /// True if `lan.interfaces` contains the interface.
    pub(crate) is_chosen: bool,
    /// The resulting standing, in words.
    pub(crate) stands: &'static str,
    /// The reason why only its range could be trusted, which other networks have as well; `None` where a router tells
    /// it from these.
    pub(crate) doubt: Option<String>,
    /// The entries of `lan.networks` that mean it, or may while its router is not seen; without `any`.
    pub(crate) entries: Vec<String>,
}

#[cfg(feature = "node")]
pub(crate) use enabled::{here, network, run};
#[cfg(all(feature = "node", feature = "testing"))]
pub use server::request;

#[cfg(not(feature = "node"))]
mod disabled;
#[cfg(not(feature = "node"))]
pub(crate) use disabled::{here, missing, network};
