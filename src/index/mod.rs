//! The signed index: its format, its proofs, its stored state, and its refresh.
//!
//! Not used during a download; a download reads the catalogue.

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
