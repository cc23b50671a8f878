//! The signed index: its format, its proofs, its stored state.
//!
//! The download of a package reads one compiled table of it (`in_use::table`) and proves nothing again. Only a
//! refresh (`crate::refresh`) fetches an index and has it judged.
//!
//! | file | what |
//! |---|---|
//! | `manifest`, `table`, `diff`, `archive` | the format: the one signed file, a table, its changes, what has left it |
//! | `ipns`, `minisign` | the two proofs |
//! | `accept` | decides whether an offered index counts |
//! | `state` | on disk: the highest sequence of each key, the last good copy of each index |
//! | `in_use` | from the configuration to a copy: its name, its keys, its tables, whether a refresh is due |
//! | `stale` | whether the publisher of an index goes on |
//! | `passed` | the message about an index that neighbours send |
//! | `time` | points in time as texts |
//!
//! # Room
//!
//! - In: a signed manifest with its tables, and the keys of the configuration
//! - Out: accepted copies, and the tables that look-ups read
//! - May use: base, config, dag, lists
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! minisign table time
//! ipns manifest passed
//! archive diff stale
//! state
//! accept
//! in_use manual
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub mod accept;
pub mod archive;
pub mod diff;
pub mod in_use;
pub mod ipns;
pub mod manifest;
#[cfg(test)]
mod manual;
pub mod minisign;
pub mod passed;
pub(crate) mod stale;
pub mod state;
pub mod table;
pub mod time;
