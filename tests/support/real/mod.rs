//! Real programs for the tests: pacman, makepkg, repo-add, gpg, nginx, Kubo, hosts in network namespaces.
//!
//! Everything here owns what it starts: its own temporary directory, its own ports, its own processes, all gone when
//! the value is dropped. Nothing waits by sleeping for a guessed time; `until` polls for a fact with a limit.
#![allow(dead_code, unused_imports, reason = "each test crate uses a part of it")]

mod archive;
mod cluster;
#[path = "../compression.rs"]
mod compression;
mod daemon;
mod desktop;
mod disk;
mod endpoint;
mod far;
mod gpg;
mod index;
#[path = "../install.rs"]
mod install;
#[path = "../json_tree.rs"]
mod json_tree;
mod kubo;
mod lan;
mod live;
#[path = "../repo.rs"]
pub mod memory_repo;
mod mirror;
mod pacman;
mod parts;
mod pkgbuild;
#[path = "../port.rs"]
mod port;
mod process;
mod recorded;
mod repo;
mod scene;
mod swarm;
mod systemd;
mod trusted;

pub use archive::{Archive, Replica, Whole, lines as digest_of_lines};
pub use cluster::{CLUSTER_USER, ClusterPace, ClusterPeer};
pub use compression::Compression;
pub use daemon::DaemonProcess;
pub use desktop::{Desktop, NetworkManager};
pub use disk::{Disk, Inserted};
pub use endpoint::EndpointProcess;
pub use far::far_apart;
pub use gpg::Signer;
pub use index::SignedIndex;
pub use install::{install, install_script};
pub use kubo::{Kubo, Routing};
pub use lan::{Host, Lan};
pub use live::Live;
pub use mirror::Mirror;
pub use pacman::{CURL, PacmanRoot, Release};
pub use parts::{Parts, give_to_user, user};
pub use pkgbuild::{Pkgbuild, noise_file};
pub use port::free_port;
pub use process::{Process, Ran, command, run, running, until};
pub use recorded::{Recorded, assert_recorded, recorded};
pub use repo::Repo;
pub use scene::{Machine, Scene};
pub use swarm::{Swarm, bytes_below, copy_programs, programs, with_programs_of};
pub use systemd::Systemd;
pub use trusted::Trusted;

use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Makes a temporary directory that the download user can enter too.
pub fn scratch(what: &str) -> TempDir {
    tempfile::Builder::new()
        .prefix(&format!("pkgswarm-{what}-"))
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary directory")
}
