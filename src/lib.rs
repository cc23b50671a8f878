//! pkgswarm.

pub mod catalogue;
pub mod cid;
pub mod digest;
pub mod distro;
pub mod error;
pub mod name;
