//! Machines on a network that share what they have, and a mirror behind the uplink.

use super::{Daemon, Host, Lan, Mirror, Package, PacmanRoot, Parts, Release, Repo, Swarm, scratch};
use tempfile::TempDir;

/// One machine: a pacman, and a daemon that shares its cache.
pub struct Machine {
    pub daemon: Daemon,
    pub pacman: PacmanRoot,
    pub swarm: Swarm,
    pub host: Host,
}

/// A mirror behind the uplink, and machines.
pub struct Scene {
    pub machines: Vec<Machine>,
    pub mirror: Mirror,
    _uplink: Host,
    pub repo: Repo,
    pub parts: Parts,
    pub lan: Lan,
    _tree: TempDir,
}

impl Scene {
    /// So many machines that trust any network, and what the mirror has.
    pub fn new(packages: &[Package], machines: usize) -> Scene {
        let parts = Parts::demand();
        let lan = Lan::new();
        let uplink = lan.host();
        let tree = scratch("tree");
        let repo = Repo::new(&parts, tree.path(), "core");
        repo.add(packages);
        let mirror = Mirror::serve_on(&uplink, tree.path(), "");
        let mut scene = Scene { machines: Vec::new(), mirror, _uplink: uplink, repo, parts, lan, _tree: tree };
        for _ in 0..machines {
            scene.add_machine();
        }
        scene
    }

    /// One more.
    pub fn add_machine(&mut self) {
        self.add_machine_trusting("any");
    }

    /// One more, which trusts this network.
    pub fn add_machine_trusting(&mut self, network: &str) {
        let host = self.lan.host();
        let swarm = Swarm::install().on(&host).sharing("core", network);
        let server = format!("{}/core", self.mirror.url());
        let pacman = PacmanRoot::new(&self.parts, Release::New, &swarm.xfer_command()).repo(&self.repo, &[&server]);
        let pacman = swarm.around(pacman);
        let daemon = swarm.daemon(&pacman);
        self.machines.push(Machine { daemon, pacman, swarm, host });
    }

    /// Bytes of packages that the mirror has sent.
    pub fn uplink(&self) -> u64 {
        let packages = self.mirror.requests();
        packages.iter().filter(|it| it.path.contains(".pkg.tar") && it.status < 300).map(|it| it.body).sum()
    }
}
