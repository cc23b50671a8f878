//! `haiku`: the repositories of Haiku's pkgman, each as one snapshot that was proven as a whole.
//!
//! pkgman checks no signature: the list of packages, and the sum that it holds it against, come from the same server. Here
//! a list counts only with the signature of the repository's key (minisign), and never goes back behind one that was in
//! use before; each package is proven by the sum in that list (`tests/cases/haiku_snapshot.rs`).
//!
//! ```text
//! take                ->  snapshot            ->  kept                  ->  listed
//! what a server sends     proven, or refused      what is served until      a package of it, with its
//!                                                 a newer one is proven     sources; its size: sizes
//! ```
//!
//! # Room
//!
//! - In: base URLs and a minisign key; what servers send
//! - Out: snapshots: the files that pkgman asks for, and the sum of each package; what to fetch for one
//! - May use: base, config, engine, index, lists, machine, net, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! snapshot
//! kept
//! state take
//! listed sizes
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub(crate) mod kept;
pub(crate) mod listed;
pub(crate) mod sizes;
pub mod snapshot;
pub(crate) mod state;
pub(crate) mod take;
