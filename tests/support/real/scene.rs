//! Machines on a network that share their files, and a mirror behind the uplink.

use super::{
    DaemonProcess, Host, Lan, Mirror, PacmanRoot, Parts, Pkgbuild, Release, Repo, SignedIndex, Signer, Swarm, scratch,
};
use std::process::Command;
use std::rc::Rc;
use tempfile::TempDir;

/// The signer of packages, and the publisher of an index beside them on the mirror.
struct Signed {
    packages: Rc<Signer>,
    index: Option<SignedIndex>,
}

/// One machine: a pacman, and a daemon that shares its cache.
pub struct Machine {
    pub daemon: DaemonProcess,
    pub pacman: PacmanRoot,
    pub swarm: Swarm,
    pub host: Host,
}

impl Machine {
    /// Builds a call of the endpoint of this machine, as the user of its unit.
    pub fn endpoint(&self) -> Command {
        let path = format!("{}:{}", self.pacman.bin().display(), std::env::var("PATH").unwrap_or_default());
        let mut endpoint = self.swarm.command_as_user(&["endpoint"]);
        endpoint.env("PKGSWARM_PACMAN_CONF", self.pacman.config()).env("PATH", path);
        endpoint
    }
}

/// A mirror behind the uplink, and machines.
pub struct Scene {
    pub machines: Vec<Machine>,
    pub mirror: Mirror,
    _uplink: Host,
    pub repo: Repo,
    pub parts: Parts,
    pub lan: Lan,
    signed: Option<Signed>,
    tree: TempDir,
}

impl Scene {
    /// Makes so many machines that trust any network, and a mirror of these packages.
    pub fn new(packages: &[Pkgbuild], machines: usize) -> Scene {
        Scene::with(packages, machines, None)
    }

    /// Makes the same with signatures beside the packages, and an index that the first machine alone can fetch.
    pub fn indexed(packages: &[Pkgbuild], machines: usize) -> Scene {
        let index = Some(SignedIndex::new());
        Scene::with(packages, machines, Some(Signed { packages: Rc::new(Signer::new()), index }))
    }

    /// Makes the same with signatures beside the packages alone.
    pub fn signed(packages: &[Pkgbuild], machines: usize) -> Scene {
        Scene::with(packages, machines, Some(Signed { packages: Rc::new(Signer::new()), index: None }))
    }

    /// Returns true where there is an index.
    pub fn has_index(&self) -> bool {
        self.signed.as_ref().is_some_and(|signed| signed.index.is_some())
    }

    /// Has a pacman demand the signatures that there are.
    pub fn trusted(&self, pacman: PacmanRoot) -> PacmanRoot {
        match &self.signed {
            Some(signed) => pacman.sig_level("Required DatabaseNever").trusting(&signed.packages),
            None => pacman,
        }
    }

    fn with(packages: &[Pkgbuild], machines: usize, signed: Option<Signed>) -> Scene {
        let parts = Parts::demand();
        let lan = Lan::new();
        let uplink = lan.host();
        let tree = scratch("tree");
        let repo = Repo::new(&parts, tree.path(), "core");
        let repo = match &signed {
            Some(signed) => repo.signed(&signed.packages),
            None => repo,
        };
        repo.add(packages);
        let mirror = Mirror::serve_on(&uplink, tree.path(), "");
        let mut scene = Scene { machines: Vec::new(), mirror, _uplink: uplink, repo, parts, lan, signed, tree };
        scene.publish();
        for _ in 0..machines {
            scene.add_machine();
        }
        scene
    }

    /// Adds a machine.
    pub fn add_machine(&mut self) {
        self.add_machine_trusting("any");
    }

    /// Adds a machine that trusts this network.
    pub fn add_machine_trusting(&mut self, network: &str) {
        let host = self.lan.host();
        let swarm = Swarm::install().on(&host).sharing("core", network);
        let server = format!("{}/core", self.mirror.url());
        let pacman = PacmanRoot::new(&self.parts, Release::New, &swarm.xfer_command()).repo(&self.repo, &[&server]);
        let pacman = self.trusted(swarm.around(pacman));
        if let Some(index) = self.signed.as_ref().and_then(|signed| signed.index.as_ref()) {
            // For all but the first one, no host at that address has it.
            let place = if self.machines.is_empty() { self.mirror.url() } else { "http://10.77.0.250".to_owned() };
            swarm.config_part("index-tests.toml", &index.config(&place));
        }
        let daemon = swarm.daemon(&pacman);
        self.machines.push(Machine { daemon, pacman, swarm, host });
    }

    /// Signs an index of the repository in its present state, if there is one, and puts it on the mirror.
    pub fn publish(&self) {
        if let Some(index) = self.signed.as_ref().and_then(|signed| signed.index.as_ref()) {
            index.publish(self.tree.path(), &self.repo);
        }
    }

    /// Counts the mirror's successful answers for paths that contain this.
    pub fn requests_for(&self, part: &str) -> usize {
        self.mirror.requests().iter().filter(|it| it.path.contains(part) && it.status < 300).count()
    }

    /// Removes packages and their signatures from the mirror, whose databases still list them.
    pub fn take_packages_from_mirror(&self) {
        for entry in std::fs::read_dir(self.repo.dir()).expect("the repository") {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().contains(".pkg.tar") {
                std::fs::remove_file(path).expect("a package");
            }
        }
    }

    /// Counts bytes of packages that the mirror has sent.
    pub fn uplink(&self) -> u64 {
        let packages = self.mirror.requests();
        packages.iter().filter(|it| it.path.contains(".pkg.tar") && it.status < 300).map(|it| it.body).sum()
    }
}
