//! Looks at this machine and changes it: what is misconfigured, an overview of all of it, what setup writes and undoes.
//!
//! # Room
//!
//! - In: the machine's files, units and daemons
//! - Out: findings with hints; pages and figures about all of it; changes with a record to undo them
//! - May use: base, config, daemon, dag, engine, haiku, index, lists, machine, net, pacman, pins,
//!   report, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! group inspect networks
//! doctor
//! overview
//! setup
//! ```

pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod inspect;
pub(crate) mod networks;
pub(crate) mod overview;
pub(crate) mod setup;
