//! pkgswarm.

pub mod cid;
pub mod digest;
pub mod error;
pub mod index;
pub mod name;
