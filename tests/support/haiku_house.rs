//! Machines of a house that run the endpoint for Haiku machines, in network namespaces.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::haiku_repository::{HaikuRepository, file_of};
use super::hpkr::HpkrPackage;
use super::pkgman::Pkgman;
use super::real::{Host, Mirror, Process, Swarm, until};

/// The path of the repository.
pub const PATH: &str = "haiku/demo/current";

/// A machine that runs the endpoint.
pub struct HaikuEndpoint {
    pub host: Host,
    pub process: Process,
    _swarm: Swarm,
}

impl HaikuEndpoint {
    /// Starts one on this host for the repository of this server, with these settings.
    pub fn on(host: Host, swarm: Swarm, (server, key): (&Mirror, &str), settings: &[(&str, &str)]) -> HaikuEndpoint {
        let config = format!("[haiku.Demo]\nurls = [\"{}/{PATH}\"]\nminisign = \"{key}\"\n", server.url());
        let mut swarm = swarm.on(&host).config(&config);
        let listen = format!("{}:4011", host.address());
        for (name, value) in [
            ("PKGSWARM_ENDPOINT_ENABLED", "true"),
            ("PKGSWARM_ENDPOINT_LISTEN", &listen),
            ("PKGSWARM_ENDPOINT_ALLOW", "10.77.0.0/24"),
            ("PKGSWARM_LAN_NETWORKS", "any"),
            ("PKGSWARM_DAEMON_LOG", "info"),
            // No mirror joins because this machine is busy.
            ("PKGSWARM_KUBO_HEAD_START", "10 s"),
        ] {
            swarm.set(name, value);
        }
        settings.iter().for_each(|(name, value)| swarm.set(name, value));
        let process = Process::start(&mut swarm.command_as_user(&["endpoint"]));
        let served = HaikuEndpoint { host, process, _swarm: swarm };
        served.says("the endpoint listens on");
        served
    }

    /// Returns the address at which Haiku machines reach it.
    pub fn at(&self) -> String {
        format!("{}:4011", self.host.address())
    }

    /// Waits until this is in its log.
    pub fn says(&self, what: &str) {
        until(what, Duration::from_secs(60), || self.process.said().contains(what).then_some(()));
    }

    /// Has a Haiku machine of its own, on another host, install these packages.
    pub fn installs(&self, haiku: &Host, listed: &[(HpkrPackage, Vec<u8>)]) {
        let at = self.at().parse().expect("an address");
        let listed = listed.to_vec();
        let installing = haiku.inside(move || {
            let mut pkgman = Pkgman::at(at, PATH);
            pkgman.add_repo().expect("a repository");
            for (package, bytes) in &listed {
                assert!(pkgman.install(&file_of(package)).expect("a package") == *bytes);
            }
        });
        assert!(installing.join().is_ok(), "{}", self.process.said());
    }
}

/// Writes a repository of these packages below `tree`.
pub fn publish(repository: &HaikuRepository, listed: &[(HpkrPackage, Vec<u8>)], tree: &Path) {
    let dir = tree.join(PATH);
    fs::create_dir_all(dir.join("packages")).expect("a directory");
    for (package, bytes) in listed {
        fs::write(dir.join("packages").join(file_of(package)), bytes).expect("a file");
    }
    for (name, bytes) in repository.files(listed, 1_790_000_000) {
        fs::write(dir.join(name), bytes).expect("a file");
    }
}
