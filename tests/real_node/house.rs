//! The machines of a house: one runs the endpoint for the others, of which one asks it directly and one through an
//! endpoint of its own. Real pacmans with their own downloader, signatures required.

use super::real::{
    EndpointProcess, Host, Lan, Mirror, PacmanRoot, Parts, Pkgbuild, Recorded, Release, Repo, SignedIndex, Signer,
    Swarm, assert_recorded, command, recorded, run, scratch, until,
};
use super::{KIB, MIB};
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;

const PACKAGES: [(&str, u64); 3] = [("alpha", 90 * KIB), ("beta", 700 * KIB), ("gamma", 11 * MIB)];

pub const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Where the endpoint of the house is.
pub const AT_BOTH: &str = "127.0.0.1:4011 10.77.0.2:4011";
const AT_HOUSE: &str = "http://10.77.0.2:4011/$repo/os/$arch";
const ON_LOOPBACK: &str = "http://127.0.0.1:4011/$repo/os/$arch";

/// A repository behind the uplink, and the network of the machines.
pub struct House {
    parts: Parts,
    signer: Rc<Signer>,
    index: Option<SignedIndex>,
    tree: TempDir,
    repo: Repo,
    mirror: Mirror,
    pub uplink: Host,
    pub lan: Lan,
}

/// One machine.
pub struct Resident {
    pub host: Host,
    pub pacman: PacmanRoot,
    pub endpoint: Option<EndpointProcess>,
}

impl House {
    /// Makes one without a machine.
    pub fn new(index: Option<SignedIndex>) -> House {
        let (parts, signer, tree, lan) = (Parts::demand(), Rc::new(Signer::new()), scratch("tree"), Lan::new());
        let uplink = lan.host();
        let repo = Repo::new(&parts, tree.path(), "core").signed(&signer);
        let mirror = Mirror::serve_on(&uplink, tree.path(), "");
        House { parts, signer, index, tree, repo, mirror, uplink, lan }
    }

    /// Has the mirror offer every package in this version, by a database of then.
    pub fn release(&self, version: &str, then: &str) {
        let packages = PACKAGES.map(|(name, size)| Pkgbuild::new(name, version).size(size));
        self.repo.add(&packages);
        let database = self.repo.dir().join("core.db.tar.gz");
        run(command("touch").args(["--date", then]).arg(database)).ok();
        if let Some(index) = &self.index {
            index.publish(self.tree.path(), &self.repo);
        }
    }

    fn pacman(&self, host: &Host) -> PacmanRoot {
        PacmanRoot::new(&self.parts, Release::New, "")
            .repo(&self.repo, &[&format!("{}/core", self.mirror.url())])
            .sig_level("Required DatabaseNever")
            .trusting(&self.signer)
            .parallel(5)
            .through(&host.prefix())
    }

    /// Adds a machine without this program, which asks the mirror alone.
    fn plain(&self) -> Resident {
        let host = self.lan.host();
        Resident { pacman: self.pacman(&host), host, endpoint: None }
    }

    /// Adds a machine with an endpoint of these settings, which its own pacman asks.
    pub fn with_endpoint(&self, settings: &[(&str, &str)]) -> Resident {
        let mut resident = self.plain();
        resident.pacman.set_cache_server(ON_LOOPBACK);
        let mut swarm = Swarm::install().on(&resident.host).sharing("core", "any");
        if let Some(index) = &self.index {
            swarm.config_part("index-tests.toml", &index.config(&self.mirror.url()));
        }
        swarm.set("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:4011");
        // What comes ahead of pacman is in the middle of it when the cable is pulled.
        swarm.set("PKGSWARM_ENDPOINT_AHEAD", "false");
        // No mirror joins because this machine is busy.
        swarm.set("PKGSWARM_KUBO_HEAD_START", "10 s");
        settings.iter().for_each(|(name, value)| swarm.set(name, value));
        resident.endpoint = Some(EndpointProcess::with(&resident.pacman, swarm));
        resident
    }
}

impl Resident {
    /// Returns its installation of this program.
    pub fn swarm(&self) -> &Swarm {
        &self.endpoint.as_ref().expect("it has an endpoint").swarm
    }

    /// Runs pacman, after a refresh of the index where it has one.
    #[track_caller]
    pub fn upgrades(&self, house: &House, words: &[&str]) {
        if house.index.is_some() && self.endpoint.is_some() {
            self.swarm().run(&["index", "refresh"]).ok();
        }
        let ran = self.pacman.run(words).ok();
        assert!(!format!("{ran}").contains("error"), "{ran}\n{}", self.says());
    }

    /// Returns the log of its endpoint.
    pub fn says(&self) -> String {
        self.endpoint.as_ref().map(|endpoint| endpoint.process.said()).unwrap_or_default()
    }

    /// Runs a command of this program as the user of this machine would.
    pub fn asked(&self, words: &[&str]) -> String {
        let mut command = self.swarm().command(words);
        command.env("PKGSWARM_PACMAN_CONF", self.pacman.config()).env("PKGSWARM_ENDPOINT_ENABLED", "true");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.pacman.bin().display()));
        run(&mut command).stdout
    }
}

/// All that happens to a house in some days.
fn days(index: Option<SignedIndex>) {
    let house = House::new(index);
    let what = if house.index.is_some() { "with an index" } else { "without an index" };
    house.release("1-1", "6 hours ago");
    let cellar =
        house.with_endpoint(&[("PKGSWARM_ENDPOINT_LISTEN", AT_BOTH), ("PKGSWARM_ENDPOINT_ALLOW", "10.77.0.0/24")]);
    let mut desk = house.plain();
    desk.pacman.set_servers(&house.repo, &[AT_HOUSE, &format!("{}/core", house.mirror.url())]);
    desk.pacman.set_cache_server(AT_HOUSE);
    let laptop = house.with_endpoint(&[("PKGSWARM_ENDPOINT_PEERS", "10.77.0.2")]);
    // Beside the mirror, so that its bytes cross no cable.
    let plain = house.pacman(&house.uplink);
    let plainly = |words: &[&str]| -> Recorded {
        plain.run(words).ok();
        recorded(&plain)
    };
    for (version, words) in [("1-1", [&["-Syu"], &NAMES[..]].concat()), ("2-1", vec!["-Syu"])] {
        if version != "1-1" {
            house.release(version, "5 hours ago");
        }
        let reference = plainly(&words);
        let before = house.uplink.bytes_sent();
        let order = if version == "1-1" {
            [&cellar, &desk, &laptop]
        } else {
            // No machine has it yet: what the laptop asks for is fetched by the one that serves.
            cellar.upgrades(&house, &["-Sy"]);
            [&laptop, &desk, &cellar]
        };
        order[0].upgrades(&house, &words);
        let first = house.uplink.bytes_sent() - before;
        assert!(first > 11 * MIB, "{what}, {version}: {first} bytes");
        for resident in &order[1..] {
            resident.upgrades(&house, &words);
        }
        let all = house.uplink.bytes_sent() - before;
        println!("{what}, {version}: {first} bytes over the uplink for one machine, {all} for three");
        assert!(all * 100 <= first * 102, "{what}, {version}: {all} bytes for three machines, {first} for one");
        for (name, resident) in [("cellar", &cellar), ("desk", &desk), ("laptop", &laptop)] {
            assert_recorded(&format!("{what}, {version}, {name}"), &resident.pacman, &reference);
        }
    }

    // The uplink is cut after one machine has had the news, and another has seen the database.
    house.release("3-1", "3 hours ago");
    let reference = plainly(&["-Syu"]);
    cellar.upgrades(&house, &["-Syu"]);
    laptop.upgrades(&house, &["-Sy"]);
    assert_eq!(cellar.asked(&["status"]).matches("no mirror delivers it").count(), 0);
    house.uplink.unplug();
    let ran = desk.pacman.run(&["-Syu"]).ok();
    assert_recorded(&format!("{what}, without an uplink, desk"), &desk.pacman, &reference);
    // That is all that pacman shows; so the machine that knows it says it.
    assert!(!format!("{ran}").contains("error"), "{ran}");
    let said = cellar.says();
    assert!(said.contains("core.db: no mirror delivers it; 10.77.0.3 gets the one of 3 h ago"), "{said}");
    for (words, told) in [
        (&["status"][..], "core.db is 3 h old, and no mirror delivers it"),
        (&["doctor"], "no mirror of core delivers its database: other machines get the one of 3 h ago"),
        (&["status", "--json"], r#""aged":[{"at":"#),
    ] {
        let shown = cellar.asked(words);
        assert!(shown.contains(told), "{what}, {words:?}: {shown}\n{said}");
    }
    // On a busy machine two endpoints in a row may answer later than the first of them waits.
    until("the packages come from the house", Duration::from_secs(150), || {
        laptop.pacman.run(&["-Su"]).status.success().then_some(())
    });
    assert_recorded(&format!("{what}, without an uplink, laptop"), &laptop.pacman, &reference);
    house.uplink.plug();

    // The machine of the house is stopped: its port is closed, then its cable is pulled.
    house.release("4-1", "now");
    let reference = plainly(&["-Syu"]);
    desk.upgrades(&house, &["-Sy"]);
    assert!(!cellar.asked(&["status"]).contains("no mirror delivers it"), "a mirror has delivered it since");
    let Resident { endpoint, host, .. } = cellar;
    drop(endpoint);
    // Named as a `Server` as well, it costs a line that it is gone, once for each file.
    desk.pacman.run(&["-Su"]).ok();
    assert_recorded(&format!("{what}, alone, desk"), &desk.pacman, &reference);
    host.unplug();
    laptop.upgrades(&house, &["-Syu"]);
    assert_recorded(&format!("{what}, alone, laptop"), &laptop.pacman, &reference);
}

#[test]
fn three_machines_of_a_house_fetch_once_go_on_without_an_uplink_and_without_the_one_that_serves() {
    days(None);
}

#[test]
fn three_machines_of_a_house_do_so_with_an_index() {
    days(Some(SignedIndex::new()));
}
