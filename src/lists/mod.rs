//! What a system says exists: its repositories' files, with name, size and digest, and their servers.
//!
//! # Room
//!
//! - In: a system's configuration and lists; pacman's are read by pacman's own programs where they can
//! - Out: entries, repositories, the run of pacman that called, compiled tables
//! - May use: base
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! system
//! catalogue
//! haiku
//! pacman
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub mod catalogue;
pub mod haiku;
pub mod pacman;
pub mod system;
