//! pkgswarm.

pub mod cid;
pub mod config;
pub mod digest;
pub mod env;
pub mod error;
pub mod fsx;
pub mod look;
pub mod name;
pub mod output;
pub mod store;
pub mod verify;
