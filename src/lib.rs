//! pkgswarm.

pub mod catalogue;
pub mod cid;
pub mod config;
pub mod dag;
pub mod digest;
pub mod distro;
pub mod env;
pub mod error;
pub mod fsx;
pub mod look;
pub mod name;
pub mod output;
pub mod protobuf;
pub mod store;
pub mod verify;
