//! Haiku's repositories on fake mirrors, and machines that serve them to a stand-in of pkgman.

use super::endpoint::Endpoint;
use super::haiku_repository::unsigned;
pub use super::haiku_repository::{HaikuRepository, file_of, hpkg};
use super::hpkr::HpkrPackage;
use super::mirror::FakeMirror;
pub use super::pkgman::{Pkgman, PkgmanError};
use super::server::eventually;
use super::world::World;

/// The path of the repository of the tests, at its server and at the endpoint.
pub const PATH: &str = "haiku/demo/x86_64/current";

/// A time at which lists are signed.
pub const SIGNED: u64 = 1_790_000_000;

impl HaikuRepository {
    /// Puts the list of these packages on a mirror, signed at `time`, and the packages themselves.
    pub fn publish_on(&self, mirror: &FakeMirror, listed: &[(HpkrPackage, Vec<u8>)], time: u64) {
        for (package, bytes) in listed {
            mirror.publish(&file_of(package), bytes);
        }
        self.files(listed, time).iter().for_each(|(name, bytes)| mirror.publish(name, bytes));
    }

    /// Puts a list on a mirror with its right sum, and leaves the signature as it is.
    pub fn replace_on(&self, mirror: &FakeMirror, list: &[u8]) {
        unsigned(list).iter().for_each(|(name, bytes)| mirror.publish(name, bytes));
    }
}

/// Makes a small package and one of two leaves.
pub fn listed() -> Vec<(HpkrPackage, Vec<u8>)> {
    vec![hpkg("Haze++", 3000), hpkg("vision", 1_300_000)]
}

/// Makes a machine that serves a repository of these mirrors, called Demo.
pub fn scene(repository: &HaikuRepository, mirrors: &[&FakeMirror], more: &str) -> World {
    let urls: Vec<String> = mirrors.iter().map(|mirror| format!("\"http://{}/{PATH}\"", mirror.address())).collect();
    let config = format!("[haiku.Demo]\nurls = [{}]\nminisign = \"{}\"\n{more}", urls.join(", "), repository.key());
    World::new().run_by_user().config(&config)
}

/// Makes a mirror of the repository with these packages.
pub fn mirror(repository: &HaikuRepository, listed: &[(HpkrPackage, Vec<u8>)], signed: u64) -> FakeMirror {
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    repository.publish_on(&mirror, listed, signed);
    mirror
}

/// Waits until this is in the log, which another thread reads.
#[track_caller]
pub fn logged(endpoint: &Endpoint, said: &str) {
    eventually(said, || endpoint.log().contains(said));
}
