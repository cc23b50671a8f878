//! Machines that share what they have, in network namespaces with real multicast DNS and real pacmans: each update
//! crosses the uplink once, without Kubo, without a publisher.

#[path = "support/real/mod.rs"]
mod real;

use real::{Daemon, Host, Kubo, Lan, Mirror, Package, PacmanRoot, Parts, Release, Repo, Routing, Swarm, scratch};
use std::time::Duration;
use tempfile::TempDir;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One machine: a pacman, and a daemon that shares its cache.
struct Machine {
    daemon: Daemon,
    pacman: PacmanRoot,
    swarm: Swarm,
    host: Host,
}

/// A mirror behind the uplink, and machines.
struct Scene {
    machines: Vec<Machine>,
    mirror: Mirror,
    _uplink: Host,
    repo: Repo,
    parts: Parts,
    lan: Lan,
    _tree: TempDir,
}

impl Scene {
    fn new(packages: &[Package], machines: usize) -> Scene {
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

    fn add_machine(&mut self) {
        self.add_machine_trusting("any");
    }

    fn add_machine_trusting(&mut self, network: &str) {
        let host = self.lan.host();
        let swarm = Swarm::install().on(&host).sharing("core", network);
        let server = format!("{}/core", self.mirror.url());
        let pacman = PacmanRoot::new(&self.parts, Release::New, &swarm.xfer_command()).repo(&self.repo, &[&server]);
        let pacman = swarm.around(pacman);
        let daemon = swarm.daemon(&pacman);
        self.machines.push(Machine { daemon, pacman, swarm, host });
    }

    /// Bytes of packages that the mirror has sent.
    fn uplink(&self) -> u64 {
        let packages = self.mirror.requests();
        packages.iter().filter(|it| it.path.contains(".pkg.tar") && it.status < 300).map(|it| it.body).sum()
    }
}

fn packages() -> [Package; 4] {
    [
        Package::new("alpha", "1:1-1").size(300 * KIB),
        Package::new("beta", "1-1").size(MIB + 1).depends("alpha"),
        Package::new("g++x", "2-1").size(9 * MIB).depends("beta"),
        Package::new("tiny", "1-1").size(4 * KIB),
    ]
}

#[test]
fn three_machines_fetch_each_package_once_over_the_uplink() {
    let scene = Scene::new(&packages(), 3);
    for machine in &scene.machines {
        let took = machine.daemon.meets(2);
        assert!(took < Duration::from_secs(3), "found its neighbours after {took:?}");
    }
    let mut first = 0;
    for number in 0..3 {
        let machine = &scene.machines[number];
        let ran = machine.pacman.run(&["-Syu", "g++x", "tiny"]).ok();
        assert_eq!(machine.pacman.installed().len(), 4, "{ran}");
        machine.daemon.offers(4);
        if number == 0 {
            first = scene.uplink();
            assert!(first > 10 * MIB, "{first} bytes: {ran}");
        } else {
            // What was read ahead comes "from store (lan)".
            let of_neighbours = ran.stderr.lines().filter(|line| line.ends_with("from lan") || line.ends_with("(lan)"));
            assert_eq!(of_neighbours.count(), 4, "{ran}");
        }
    }
    let all = scene.uplink();
    assert!(all * 100 <= first * 105, "{all} bytes over the uplink, {first} for one machine");
    for machine in &scene.machines[1..] {
        let kept = machine.swarm.store_bytes() + machine.daemon.store_bytes();
        assert!(kept < MIB, "{kept} bytes are kept a second time");
    }
}

/// A machine with Kubo and no daemon, on the network of these.
fn kubo_beside(scene: &Scene) -> (Host, Kubo) {
    let host = scene.lan.host();
    let kubo = Kubo::start_on(&scene.parts, &host, Routing::None);
    (host, kubo)
}

#[test]
fn packages_come_from_a_kubo_on_the_network_whatever_its_chunks() {
    let packages = [Package::new("alpha", "1-1").size(300 * KIB), Package::new("beta", "1-1").size(9 * MIB)];
    let files = packages.each_ref().map(Package::file_name);
    let scene = Scene::new(&packages, 1);
    let (_host, kubo) = kubo_beside(&scene);
    let machine = &scene.machines[0];
    machine.daemon.meets(1);
    machine.pacman.run(&["-Sy"]).ok();
    for (chunk, file) in [(1 << 20, &files[1]), (1 << 18, &files[1]), (1 << 20, &files[0])] {
        let path = scene.repo.dir().join(file);
        let root = kubo.add_in_chunks(&path, chunk);
        let got = machine.daemon.get(&path, Some(&root));
        assert_eq!(got.as_deref(), Ok("done"), "{file} in chunks of {chunk}");
        machine.daemon.forget();
    }
    let ran = machine.pacman.run(&["-Sw", "alpha"]).ok();
    assert!(ran.stderr.contains("from lan"), "{ran}");
}

#[test]
fn kubo_fetches_what_is_in_a_package_cache() {
    let packages = [Package::new("alpha", "1-1").size(300 * KIB), Package::new("beta", "1-1").size(9 * MIB)];
    let files = packages.each_ref().map(Package::file_name);
    let scene = Scene::new(&packages, 1);
    let machine = &scene.machines[0];
    machine.pacman.run(&["-Sy"]).ok();
    machine.pacman.run(&["-Sw", "alpha", "beta"]).ok();
    machine.daemon.offers(2);
    let (_host, kubo) = kubo_beside(&scene);
    machine.daemon.meets(1);
    for file in &files {
        let path = machine.pacman.cache().join(file);
        let root = machine.swarm.run(&["cid", &path.display().to_string()]).ok().stdout;
        let root = root.split_whitespace().next().unwrap().to_owned();
        let into = scratch("got");
        let got = into.path().join("file");
        kubo.ipfs(&["get", &root, "-o", &got.display().to_string(), "--timeout", "30s"]).ok();
        assert!(std::fs::read(&got).unwrap() == std::fs::read(&path).unwrap(), "{file}");
    }
}

#[test]
fn a_neighbour_whose_cable_is_pulled_is_missed_and_found_again_within_ten_seconds() {
    let scene = Scene::new(&packages()[..1], 2);
    let (one, two) = (&scene.machines[0], &scene.machines[1]);
    one.daemon.meets(1);
    two.daemon.meets(1);
    two.host.unplug();
    let missed = one.daemon.misses_all();
    assert!(missed < Duration::from_secs(10), "missed after {missed:?}");
    two.host.plug();
    let found = one.daemon.meets(1);
    assert!(found < Duration::from_secs(10), "found again after {found:?}");
}

#[test]
fn a_neighbour_that_sleeps_is_missed_and_found_again_with_another_address() {
    let scene = Scene::new(&packages()[..1], 2);
    let (one, two) = (&scene.machines[0], &scene.machines[1]);
    one.daemon.meets(1);
    two.daemon.freeze();
    let missed = one.daemon.misses_all();
    assert!(missed < Duration::from_secs(10), "missed after {missed:?}");
    two.host.renumber("10.77.0.200");
    two.daemon.thaw();
    let found = one.daemon.meets(1);
    assert!(found < Duration::from_secs(10), "found again after {found:?}");
    let address = one.daemon.status()["peers"][0]["address"].as_str().unwrap_or_default().to_owned();
    assert!(address.contains("10.77.0.200"), "{address}");
}

#[test]
fn neighbours_that_hang_delay_a_transaction_by_no_more_than_0_3_s() {
    let names: Vec<String> = (0..8).map(|i| format!("small{i}")).collect();
    let packages: Vec<Package> = names.iter().map(|name| Package::new(name, "1-1").size(40 * KIB)).collect();
    let scene = Scene::new(&packages, 3);
    let machine = &scene.machines[0];
    machine.pacman.run(&["-Sy"]).ok();
    let words: Vec<&str> = std::iter::once("-Sw").chain(names.iter().map(String::as_str)).collect();
    let fetch = || {
        machine.pacman.clear_cache();
        machine.swarm.forget();
        machine.daemon.forget();
        machine.pacman.run(&words).ok().took
    };
    machine.daemon.meets(2);
    let plain = (0..3).map(|_| fetch()).min().unwrap();
    for other in &scene.machines[1..] {
        other.daemon.freeze();
    }
    let delayed = fetch();
    let more = delayed.saturating_sub(plain);
    // A tenth for the noise of a machine that does other things as well.
    assert!(more < Duration::from_millis(400), "{delayed:?} with neighbours that hang, {plain:?} without");
    machine.daemon.freeze();
    let delayed = fetch();
    assert!(delayed.saturating_sub(plain) < Duration::from_millis(400), "{delayed:?} with a daemon that hangs");
    machine.daemon.thaw();
}

#[test]
fn on_a_network_that_is_not_trusted_nothing_is_asked_and_nothing_answered() {
    let mut scene = Scene::new(&packages()[..1], 1);
    scene.add_machine_trusting("192.168.0.0/16");
    let (open, shut) = (&scene.machines[0], &scene.machines[1]);
    open.pacman.run(&["-Syu", "alpha"]).ok();
    open.daemon.offers(1);
    let ran = shut.pacman.run(&["-Syu", "alpha"]).ok();
    assert!(!ran.stderr.contains("from lan"), "{ran}");
    let status = shut.daemon.status();
    assert_eq!(
        (status["peers"].as_array().map(Vec::len), status["listening"].as_array().map(Vec::len)),
        (Some(0), Some(0))
    );
    assert_eq!(open.daemon.status()["known_peers"], 0);
    // Once it is trusted, the running daemon notices.
    shut.swarm.run(&["lan", "trust", "10.77.0.0/24"]).ok();
    shut.daemon.meets(1);
}

#[test]
fn another_local_user_who_floods_the_socket_is_the_only_one_who_waits() {
    let scene = Scene::new(&packages()[..1], 2);
    let (has, wants) = (&scene.machines[0], &scene.machines[1]);
    has.pacman.run(&["-Syu", "alpha"]).ok();
    has.daemon.offers(1);
    wants.daemon.meets(1);
    // This test is root; pacman's downloader is somebody else.
    let held = wants.daemon.flood(300);
    assert!(held <= 64, "{held} connections of one user are held");
    let ran = wants.pacman.run(&["-Syu", "alpha"]).ok();
    assert!(ran.stderr.contains("from lan"), "{ran}");
}
