//! Gets one file from the nearest source that has it: wants, sources, the race between them, the hub in which
//! transfers of one process meet. It prints nothing and knows no signal.
//!
//! # Room
//!
//! - In: a want and the call that it is for
//! - Out: a proven file, or misses; a receipt either way
//! - May use: base, config, dag, lists, machine, net, report, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! address find source
//! race
//! deliver
//! content hub want
//! asked
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub mod address;
pub(crate) mod asked;
pub(crate) mod content;
pub mod deliver;
pub mod find;
pub mod hub;
pub mod race;
pub mod source;
pub mod want;
