//! `pkgswarm daemon`: the one resident process, never required. Its part so far is the node, which shares packages with
//! the local network; the other commands ask it through [`crate::socket`].
//!
//! Without the cargo feature `node`, `disabled.rs` stands in for all of it and says so.

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

/// A private network that this machine is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nearby {
    /// The interface that leads there.
    pub interface: String,
    /// How `lan.networks` would call it.
    pub network: String,
    /// This machine's address there.
    pub address: String,
    /// Whether `lan.networks` has it.
    pub is_trusted: bool,
    /// Whether `lan.interfaces` has the interface.
    pub is_chosen: bool,
    /// What that comes to, in words.
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
