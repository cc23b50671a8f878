//! Haiku machines of a house: two machines run the endpoint, each for a Haiku machine of its own, and a package crosses
//! the uplink for the first of them alone.

use super::haiku_repository::{HaikuRepository, file_of, hpkg};
use super::hpkr::HpkrPackage;
use super::pkgman::Pkgman;
use super::real::{Host, Lan, Mirror, Process, Swarm, scratch, until};
use super::{KIB, MIB};
use std::fs;
use std::time::Duration;

/// The path of the repository.
const PATH: &str = "haiku/demo/current";

/// A machine that runs the endpoint.
struct Served {
    host: Host,
    process: Process,
    _swarm: Swarm,
}

impl Served {
    fn new(lan: &Lan, server: &Mirror, key: &str, settings: &[(&str, &str)]) -> Served {
        let host = lan.host();
        let config = format!("[haiku.Demo]\nurls = [\"{}/{PATH}\"]\nminisign = \"{key}\"\n", server.url());
        let mut swarm = Swarm::install().on(&host).config(&config);
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
        let served = Served { host, process, _swarm: swarm };
        served.says("the endpoint listens on");
        served
    }

    fn says(&self, what: &str) {
        until(what, Duration::from_secs(60), || self.process.said().contains(what).then_some(()));
    }

    /// Has a Haiku machine of its own, on another host, install these packages.
    fn installs(&self, haiku: &Host, listed: &[(HpkrPackage, Vec<u8>)]) {
        let at = format!("{}:4011", self.host.address()).parse().expect("an address");
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

#[test]
fn the_second_endpoint_of_a_house_gets_every_haiku_package_from_the_first_where_that_is_shared() {
    let listed =
        [hpkg("Haze", 90 * KIB as usize), hpkg("vision", 700 * KIB as usize), hpkg("large", 11 * MIB as usize)];
    let (repository, tree, lan) = (HaikuRepository::new(), scratch("tree"), Lan::new());
    let dir = tree.path().join(PATH);
    fs::create_dir_all(dir.join("packages")).expect("a directory");
    for (package, bytes) in &listed {
        fs::write(dir.join("packages").join(file_of(package)), bytes).expect("a file");
    }
    for (name, bytes) in repository.files(&listed, 1_790_000_000) {
        fs::write(dir.join(name), bytes).expect("a file");
    }
    let uplink = lan.host();
    let server = Mirror::serve_on(&uplink, tree.path(), "");
    let shared = ("PKGSWARM_SHARE_REPOS", "Demo");
    let first = Served::new(&lan, &server, &repository.key(), &[shared]);
    let peers = format!("{}:4011", first.host.address());
    let second = Served::new(&lan, &server, &repository.key(), &[shared, ("PKGSWARM_ENDPOINT_PEERS", &peers)]);
    second.says("packages are asked of");
    let haikus = [lan.host(), lan.host()];
    let before = uplink.bytes_sent();
    first.installs(&haikus[0], &listed);
    let for_one = uplink.bytes_sent() - before;
    assert!(for_one > 11 * MIB, "{for_one} bytes");
    second.installs(&haikus[1], &listed);
    let for_two = uplink.bytes_sent() - before;
    println!("{for_one} bytes over the uplink for one machine, {for_two} for two");
    assert!(for_two * 100 <= for_one * 102, "{for_two} bytes for two machines, {for_one} for one");

    // What is not to be shared is not asked of others, nor given to them.
    let alone = Served::new(&lan, &server, &repository.key(), &[("PKGSWARM_ENDPOINT_PEERS", &peers)]);
    alone.says("packages are asked of");
    let at = format!("{}:4011", alone.host.address()).parse().expect("an address");
    let refused = haikus[0].inside(move || Pkgman::at(at, PATH).add_repo());
    assert!(refused.join().expect("an answer").is_err(), "{}", alone.process.said());
}
