//! Looks at this machine and changes it: what is misconfigured, what setup writes and undoes.
//!
//! # Room
//!
//! - In: the machine's files, units and daemons
//! - Out: findings with hints; changes with a record to undo them
//! - May use: base, config, daemon, dag, engine, index, lists, machine, net, pacman, pins, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! inspect networks
//! doctor
//! setup
//! ```

pub(crate) mod doctor;
pub(crate) mod inspect;
pub(crate) mod networks;
pub(crate) mod setup;
