//! pkgswarm.

pub mod cid;
pub mod config;
pub mod digest;
pub mod env;
pub mod error;
pub mod name;
