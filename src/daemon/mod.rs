//! `pkgswarm daemon`: the one resident process, never required. It shares packages with the local network; the
//! other commands reach it through [`crate::socket`].
//!
//! Without the cargo feature `node`, `disabled.rs` replaces all of it and reports that.

#[cfg(all(test, feature = "node"))]
mod attacks;
#[cfg(feature = "node")]
mod closers;
#[cfg(feature = "node")]
mod documents;
#[cfg(feature = "node")]
mod enabled;
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
#[cfg(feature = "node")]
mod status;
#[cfg(feature = "node")]
mod transfers;
#[cfg(feature = "node")]
mod watch;

use crate::config::network::Network;

/// A private network that this machine is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nearby {
    /// The interface of the network.
    pub interface: String,
    /// The network.
    pub network: Network,
    /// This machine's address there.
    pub address: String,
    /// True if `lan.networks` contains it.
    pub is_trusted: bool,
    /// True if `lan.interfaces` contains the interface.
    pub is_chosen: bool,
    /// The resulting standing, in words.
    pub stands: &'static str,
}

#[cfg(feature = "node")]
pub use enabled::{here, network, run};
#[cfg(feature = "node")]
pub use server::request;

#[cfg(not(feature = "node"))]
mod disabled;
#[cfg(not(feature = "node"))]
pub use disabled::{here, network, run};
