//! The signed index: its format, its proofs, what is kept of it, and how it is refreshed.
//!
//! Nothing here is on the path of a download; that path reads the catalogue.

pub mod accept;
pub mod diff;
pub mod in_use;
pub mod ipns;
pub mod manifest;
#[cfg(test)]
mod manual;
pub mod minisign;
pub mod passed;
pub mod refresh;
pub mod state;
pub mod table;
pub mod time;
