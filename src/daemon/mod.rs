//! `pkgswarm daemon`: the one resident process, never required. Its part so far is the node, which shares packages with
//! the local network; the other commands ask it through [`crate::socket`].
//!
//! Without the cargo feature `node`, `disabled.rs` stands in for all of it and says so.

#[cfg(feature = "node")]
mod enabled;
#[cfg(feature = "node")]
mod library;
#[cfg(feature = "node")]
mod mend;
#[cfg(feature = "node")]
mod server;
#[cfg(feature = "node")]
mod status;
#[cfg(feature = "node")]
mod transfers;

#[cfg(feature = "node")]
pub use enabled::{here, network, run};

#[cfg(not(feature = "node"))]
mod disabled;
#[cfg(not(feature = "node"))]
pub use disabled::{here, network, run};
