//! Serves a run of pacman: hits, databases, the rest of its transaction ahead of it, updates before it.
//!
//! # Room
//!
//! - In: the URL and path of pacman's call, or its pending updates
//! - Out: the file in its place, and one line
//! - May use: base, config, dag, engine, index, lists, machine, net, pins, report, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! background database handover
//! gather
//! prefetch
//! ahead installed
//! hit
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub(crate) mod ahead;
pub(crate) mod background;
pub(crate) mod database;
pub mod gather;
pub mod handover;
pub mod hit;
pub(crate) mod installed;
pub mod prefetch;
