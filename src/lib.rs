//! pkgswarm.

pub mod cid;
pub mod dag;
pub mod digest;
pub mod error;
pub mod name;
pub mod protobuf;
