//! Decides which bytes are a file: what is expected, whether they are it, and when they appear. Read these four files
//! to check every claim about it.
//!
//! # Room
//!
//! - In: what lists and indexes say, and bytes of strangers
//! - Out: a plan; `Verified` or `Waived`; a file under its name
//! - May use: base, dag, lists
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! look
//! verify
//! output plan
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub mod look;
pub mod output;
pub mod plan;
pub mod verify;
