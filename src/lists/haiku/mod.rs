//! Haiku's repositories: the file `repo` (HPKR), which lists the packages, and `repo.info`, which describes it.
//!
//! Everything here comes from a server, and is read before it is proven: each length in it is bounded. Sources of the
//! formats: Haiku's `docs/develop/packages/FileFormat.rst`, `headers/private/package/hpkg/HPKGDefsPrivate.h` and
//! `PackageAttributes.h`, and where these are silent its readers in `src/kits/package/hpkg` (commit 47136e7, 2026-08).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

mod attributes;
mod header;
mod heap;
pub mod hpkr;
mod package;
pub mod repo_info;

pub use header::{HpkrError, HpkrLimits};
pub(crate) use package::HaikuArch;
pub use package::HaikuPackage;
pub(crate) use package::is_file;
