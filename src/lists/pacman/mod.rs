//! The output of the distribution's own tools: the caller, pacman's configuration, the content of its databases.
//!
//! Everything here is read from this machine (`/proc`, `pacman-conf`, the sync directory). No code here uses the
//! network, and none trusts a file that another unprivileged user could have written ([`trusted`]).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

mod archive;
pub mod arguments;
pub mod caller;
mod desc;
pub(crate) mod entries;
mod kept;
pub mod names;
mod package;
pub mod pacman_conf;
pub(crate) mod pacman_run;
pub mod queries;
pub(crate) mod question;
pub mod syncdb;
pub(crate) mod vercmp;
pub(crate) mod version;
