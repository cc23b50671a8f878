//! Basics that any room may use: values, this machine's clock and files, the process itself.
//!
//! Nothing here knows pacman, IPFS or a network. What is a value (`cid`, `digest`, `name`, `size`) checks itself when it
//! is made; what touches the machine (`fsx`, `program`, `env`) does it in one place for all.
//!
//! # Room
//!
//! - In: plain values, the environment, files by path
//! - Out: checked values, errors with a kind and a hint, files that are whole or absent
//! - May use: nothing of ours
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! budget clock digest env fsx hedge interrupt listener miss name ordered own_address protobuf public users
//! cid error program runtime
//! size
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub(crate) mod budget;
pub mod cid;
pub(crate) mod clock;
pub mod digest;
pub mod env;
pub mod error;
pub mod fsx;
pub(crate) mod hedge;
pub mod interrupt;
pub mod listener;
pub mod miss;
pub mod name;
pub(crate) mod ordered;
pub(crate) mod own_address;
pub(crate) mod program;
pub mod protobuf;
pub mod public;
pub mod runtime;
pub mod size;
pub mod users;
