//! Clients of other programs, without a decision: HTTP, Kubo's RPC and gateway, the socket of our daemon.
//!
//! # Room
//!
//! - In: addresses and questions
//! - Out: answers as bounded streams of bytes that are not proven
//! - May use: base, config, dag
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! http socket
//! kubo pinning
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub mod http;
pub mod kubo;
pub mod pinning;
pub mod socket;
