//! Real Kubo nodes: as publisher and reader that find each other only by multicast DNS, and as daemons that fail
//! in every way, which must never keep a file from arriving.

#[path = "support/real/mod.rs"]
mod real;

use real::{
    CURL, Host, Kubo, Lan, Mirror, PacmanRoot, Parts, Pkgbuild, Process, Release, Repo, Routing, Swarm, far_apart,
    scratch, until,
};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One machine with a daemon of its own.
struct Node {
    swarm: Swarm,
    kubo: Kubo,
    host: Host,
}

impl Node {
    fn new(parts: &Parts, lan: &Lan) -> Node {
        let host = lan.host();
        let kubo = Kubo::start_on(parts, &host, Routing::Dht);
        Node { swarm: Swarm::install().with_kubo(&kubo).on(&host), kubo, host }
    }
}

/// A publisher and a reader, and a mirror of the same repository on a third machine.
struct Scene {
    parts: Parts,
    reader: Node,
    publisher: Node,
    mirror: Mirror,
    // Dropped after the processes there.
    _mirror_host: Host,
    repo: Repo,
    _tree: TempDir,
}

/// The most rate of a connection to the mirror, so that there is a middle of a transfer to break.
const MIRROR_RATE: u64 = 8 * MIB;

impl Scene {
    /// Makes a scene with these packages published, and the reader using the publisher's index.
    fn publishing(packages: &[Pkgbuild]) -> Scene {
        let parts = Parts::demand();
        let lan = Lan::new();
        let (publisher, reader, mirror_host) = (Node::new(&parts, &lan), Node::new(&parts, &lan), lan.host());
        let tree = scratch("tree");
        let repo = Repo::new(&parts, tree.path(), "core");
        repo.add(packages);
        let mirror = Mirror::serve_on(&mirror_host, tree.path(), &format!("limit_rate {MIRROR_RATE};"));
        reader.kubo.meets(&publisher.kubo);
        let scene = Scene { parts, reader, publisher, mirror, _mirror_host: mirror_host, repo, _tree: tree };
        let key = scene.publish();
        scene.reader.swarm.run(&["index", "add", "tests", &key, "--yes", "--repo", "core"]).ok();
        scene.refresh();
        scene
    }

    /// Publishes the repository as it is; returns the name of the index.
    fn publish(&self) -> String {
        let said = self.publisher.swarm.run(&["publish", &self.repo.dir().display().to_string()]).ok();
        let key = said.stdout.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.starts_with("k51"));
        key.unwrap_or_else(|| panic!("no IPNS name in what publish printed:\n{said}")).to_owned()
    }

    fn refresh(&self) {
        self.reader.swarm.run(&["index", "refresh"]).ok();
    }

    /// Returns a pacman on the reader's machine.
    fn pacman(&self) -> PacmanRoot {
        let server = format!("{}/core", self.mirror.url());
        let pacman = PacmanRoot::new(&self.parts, Release::New, &self.reader.swarm.xfer_command());
        self.reader.swarm.around(pacman.repo(&self.repo, &[&server]))
    }

    /// Asserts that a transfer of one package of 24 MiB survives `trouble` in its middle, or before it.
    fn survives(when: When, trouble: impl FnOnce(&mut Scene)) {
        let package = Pkgbuild::new("big", "1-1").size(24 * MIB);
        let file = package.file_name();
        let mut scene = Scene::publishing(&[package]);
        scene.publisher.host.throttle(MIRROR_RATE);
        if let When::Amid = when {
            // The transfer must begin with the publisher, even on a busy machine.
            scene.reader.swarm.set("PKGSWARM_KUBO_HEAD_START", "5 s");
        }
        let pacman = scene.pacman();
        pacman.run(&["-Sy"]).ok();
        let transfer = match when {
            When::Before => {
                trouble(&mut scene);
                pacman.start(&["-Sw", "big"])
            }
            When::Amid => {
                let mut transfer = pacman.start(&["-Sw", "big"]);
                scene.wait_for_the_middle(&mut transfer);
                trouble(&mut scene);
                transfer
            }
        };
        let ran = transfer.wait().ok();
        // The mirror alone takes three seconds. The trouble may add a few, never a time-out of Kubo's.
        assert!(ran.took < Duration::from_secs(20), "{ran}");
        assert_eq!(pacman.cache_files(), std::slice::from_ref(&file), "{ran}");
        let (got, published) = (fs::read(pacman.cache().join(&file)), fs::read(scene.repo.dir().join(&file)));
        assert!(got.unwrap() == published.unwrap(), "other bytes than those published");
    }

    fn wait_for_the_middle(&self, transfer: &mut Process) {
        until("some of the file has come from the publisher", Duration::from_secs(30), || {
            assert!(transfer.runs(), "over before it could be disturbed:\n{}", transfer.said());
            (self.publisher.kubo.bytes_sent() > 4 * MIB).then_some(())
        });
    }
}

/// The moment of the trouble.
enum When {
    Before,
    Amid,
}

#[test]
fn packages_come_from_a_publisher_known_only_by_multicast_dns() {
    let packages = [
        Pkgbuild::new("alpha", "1:1-1").size(300 * KIB),
        Pkgbuild::new("beta", "1-1").size(MIB + 1).depends("alpha"),
        Pkgbuild::new("g++x", "2-1").size(9 * MIB).depends("beta"),
    ];
    let scene = Scene::publishing(&packages);
    let with_curl = PacmanRoot::new(&scene.parts, Release::New, CURL).through(&scene.reader.host.prefix());
    let with_curl = with_curl.repo(&scene.repo, &[&format!("{}/core", scene.mirror.url())]);
    with_curl.run(&["-Sy", "g++x"]).ok();
    let asked_by_curl = packages.each_ref().map(|package| scene.mirror.requests_for(&package.file_name()).len());

    let ours = scene.pacman();
    ours.run(&["-Sy"]).ok();
    let ran = ours.run(&["-S", "g++x"]).ok();
    assert_eq!(ours.local_db_snapshot(), with_curl.local_db_snapshot(), "{ran}");
    let asked = packages.each_ref().map(|package| scene.mirror.requests_for(&package.file_name()).len());
    assert_eq!(asked, asked_by_curl, "the mirror was asked for packages that the publisher has:\n{ran}");
    let sent = scene.publisher.kubo.bytes_sent();
    assert!(sent > 10 * MIB, "the publisher sent {sent} bytes");
}

#[test]
fn a_published_file_is_fetched_by_its_name_without_any_mirror() {
    let package = Pkgbuild::new("alpha", "1-1").size(3 * MIB);
    let mut scene = Scene::publishing(std::slice::from_ref(&package));
    scene.mirror.stop();
    let into = scratch("fetched");
    let into_text = into.path().display().to_string();
    scene.reader.swarm.run(&["fetch", &package.file_name(), "-d", &into_text]).ok();
    let got = fs::read(into.path().join(package.file_name())).unwrap();
    assert!(got == fs::read(scene.repo.dir().join(package.file_name())).unwrap(), "other bytes than those published");
}

#[test]
fn a_first_look_up_on_another_host_needs_no_dht_but_the_name_one_copy_and_one_peer() {
    let parts = Parts::demand();
    // Two hosts, with the round trip of another country where this machine can delay packets.
    let [near, far] = far_apart(Duration::from_millis(50)).unwrap_or_else(|why| {
        println!("without a delay: {why}");
        let lan = Lan::new();
        [lan.host(), lan.host()]
    });
    // The reader has no routing at all: what it finds, it finds without a DHT.
    let theirs = Kubo::start_alone_on(&parts, &far, Routing::Dht);
    let ours = Kubo::start_alone_on(&parts, &near, Routing::None);
    let publisher = Swarm::install().with_kubo(&theirs).on(&far);
    let reader = Swarm::install().with_kubo(&ours).on(&near);
    let (tree, copy, into) = (scratch("tree"), scratch("copy"), scratch("fetched"));
    let [package, other] = ["big", "other"].map(|name| Pkgbuild::new(name, "1-1").size(3 * MIB));
    let repo = Repo::new(&parts, tree.path(), "core");
    repo.add(&[package.clone(), other]);
    let text = |path: &std::path::Path| path.display().to_string();
    let said = publisher.run(&["publish", &text(repo.dir()), "--out", &text(copy.path())]).ok();
    let name = said.stdout.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.starts_with("k51"));
    let name = name.unwrap_or_else(|| panic!("no IPNS name in what publish printed:\n{said}"));
    let address = format!("/ip4/{}/tcp/4001/p2p/{}", far.address(), theirs.id());
    let plain = Mirror::serve_on(&far, copy.path(), "");
    assert_eq!(ours.peers(), [""; 0]);

    let begun = Instant::now();
    let words = ["tests", name, "--url", &plain.url(), "--peer", &address, "--repo", "core", "--yes"];
    println!("{}", reader.run(&[&["index", "add"][..], &words].concat()).ok());
    let added = begun.elapsed();
    let file = package.file_name();
    let before = theirs.bytes_sent();
    let fetch = Process::start(&mut reader.command(&["fetch", &file, "-d", &text(into.path())]));
    // The first bytes of it that are here, and not those of the program's own files.
    until("the first byte has come", Duration::from_secs(60), || (theirs.bytes_sent() > before).then_some(()));
    let first = begun.elapsed();
    let ran = fetch.wait().ok();
    println!(
        "added in {added:.2?}, the first byte was on its way after {first:.2?}, all 3 MiB were here after {:.2?}",
        begun.elapsed()
    );
    let got = fs::read(into.path().join(&file)).expect("the package");
    assert!(got == fs::read(repo.dir().join(&file)).expect("the package"), "other bytes than those published");
    // What it cost: of the copy the record, and what else of the index the peer did not send before, each part once; of the
    // peer the package; and nothing of others.
    let asked: Vec<String> = plain.requests().into_iter().map(|request| request.path).collect();
    let table = format!("/tables/core-{}.ndjson.zst", std::env::consts::ARCH);
    let index = ["/pkgswarm.ipns-record", "/pkgswarm.root", "/pkgswarm.json", &table];
    let times = |part: &str| asked.iter().filter(|path| *path == part).count();
    assert!(times(index[0]) == 1 && index.iter().all(|part| times(part) <= 1), "{asked:?}");
    assert!(asked.iter().all(|path| index.contains(&path.as_str())), "{asked:?}");
    let sent = theirs.bytes_sent() - before;
    assert!((3 * MIB..4 * MIB).contains(&sent), "the peer that was named sent {sent} bytes: {ran}");
    assert_eq!(ours.peers(), [theirs.id()], "and no other was needed");
    reader.run(&["index", "rm", "tests"]).ok();
    let kept = ours.ipfs(&["swarm", "peering", "ls"]).ok().stdout;
    assert!(!kept.contains(&theirs.id()), "{kept}");
}

#[test]
fn content_ids_are_those_that_kubo_gives() {
    let parts = Parts::demand();
    let (kubo, swarm, dir) = (Kubo::start(&parts), Swarm::install(), scratch("files"));
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7] {
        let file = dir.path().join(size.to_string());
        real::noise_file(&file, size);
        let said = swarm.run(&["cid", &file.display().to_string()]).ok().stdout;
        assert!(said.starts_with(&kubo.add(&file)), "for {size} bytes: {said}");
    }
}

#[test]
fn a_daemon_that_is_gone_does_not_keep_a_file_from_arriving() {
    Scene::survives(When::Before, |scene| scene.reader.kubo.kill());
}

#[test]
fn a_daemon_that_accepts_and_never_answers_does_not_keep_a_file_from_arriving() {
    Scene::survives(When::Before, |scene| scene.reader.kubo.freeze());
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_transfer_is_replaced_by_the_mirror() {
    Scene::survives(When::Amid, |scene| scene.reader.kubo.kill());
}

#[test]
fn a_daemon_that_hangs_in_the_middle_of_a_transfer_is_replaced_by_the_mirror() {
    Scene::survives(When::Amid, |scene| scene.reader.kubo.freeze());
}

#[test]
fn a_publisher_that_hangs_before_a_transfer_is_replaced_by_the_mirror() {
    Scene::survives(When::Before, |scene| scene.publisher.kubo.freeze());
}

#[test]
fn a_publisher_whose_cable_is_pulled_in_the_middle_of_a_transfer_is_replaced_by_the_mirror() {
    Scene::survives(When::Amid, |scene| scene.publisher.host.unplug());
}

#[test]
fn twenty_rounds_of_upgrades_keep_what_kubo_cached_for_us_within_its_limit() {
    let package = |round: u64| Pkgbuild::new("alpha", &format!("{round}-1")).size(3 * MIB);
    let mut scene = Scene::publishing(&[package(1)]);
    let before = scene.reader.kubo.bytes_kept();
    let keep = 12 * MIB;
    scene.reader.swarm.set("PKGSWARM_KUBO_KEEP", &keep.to_string());
    let pacman = scene.pacman();
    for round in 1..=20 {
        if round > 1 {
            scene.repo.add(&[package(round)]);
            scene.publish();
            scene.refresh();
        }
        pacman.run(&["-Syu", "alpha"]).ok();
        assert_eq!(pacman.installed(), [("alpha".to_owned(), format!("{round}-1"))]);
        // One file more than allowed exists while it is in use.
        let kept = scene.reader.kubo.bytes_kept() - before;
        assert!(kept <= keep + 4 * MIB, "Kubo keeps {kept} bytes of ours after round {round}");
    }
}

#[test]
fn a_file_copied_into_mfs_survives_the_limit_on_what_kubo_caches_for_us() {
    let file = |round: u64| Pkgbuild::new("alpha", &format!("{round}-1")).size(3 * MIB);
    let mut scene = Scene::publishing(&[file(1)]);
    let root = |scene: &Scene, round: u64| {
        let said =
            scene.reader.swarm.run(&["cid", &scene.repo.dir().join(file(round).file_name()).display().to_string()]);
        said.ok().stdout.split_whitespace().next().expect("a CID").to_owned()
    };
    let is_whole = |scene: &Scene, cid: &str| {
        scene.reader.kubo.ipfs(&["--offline", "dag", "stat", "--progress=false", cid]).status.success()
    };
    scene.pacman().run(&["-Syu", "alpha"]).ok();
    let mut roots = vec![root(&scene, 1)];
    let kubo = &scene.reader.kubo;
    kubo.ipfs(&["files", "mkdir", "--parents", "/mine/deep"]).ok();
    kubo.ipfs(&["files", "cp", &format!("/ipfs/{}", roots[0]), "/mine/deep/alpha"]).ok();
    scene.reader.swarm.set("PKGSWARM_KUBO_KEEP", &MIB.to_string());
    let pacman = scene.pacman();
    pacman.run(&["-Sy"]).ok();
    for round in 2..=4 {
        scene.repo.add(&[file(round)]);
        scene.publish();
        scene.refresh();
        roots.push(root(&scene, round));
        pacman.run(&["-Syu", "alpha"]).ok();
    }
    until("what is not kept is removed", Duration::from_secs(60), || (!is_whole(&scene, &roots[1])).then_some(()));
    assert!(is_whole(&scene, &roots[0]), "what is in MFS is the user's");
}

#[test]
fn a_daemon_that_asks_for_a_token_or_listens_on_a_socket_is_used() {
    let parts = Parts::demand();
    let mut kubo = Kubo::start(&parts);
    kubo.stop();
    let dir = scratch("door");
    let socket = dir.path().join("api.sock").display().to_string();
    kubo.configure(|config| {
        let guard = serde_json::json!({"AuthSecret": "bearer:hush", "AllowedPaths": ["/api/v0"]});
        config["API"]["Authorizations"] = serde_json::json!({"pkgswarm": guard});
        config["Addresses"]["API"] = serde_json::json!(["/ip4/127.0.0.1/tcp/0", format!("/unix{socket}")]);
    });
    kubo.start_again();
    let token = dir.path().join("token");
    fs::write(&token, "bearer:hush\n").unwrap();
    let mut swarm = Swarm::install().with_kubo(&kubo);
    let version = |swarm: &Swarm| {
        let said = swarm.run(&["status", "--json"]).ok().stdout;
        serde_json::from_str::<serde_json::Value>(&said).expect("one object")["kubo"]["version"].clone()
    };
    assert!(version(&swarm).is_null(), "it is guarded");
    swarm.set("PKGSWARM_KUBO_TOKEN_FILE", &token.display().to_string());
    assert!(version(&swarm).is_string(), "with its token");
    // Kubo makes it for its own user alone.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    swarm.set("PKGSWARM_KUBO_API", &format!("/unix{socket}"));
    assert!(version(&swarm).is_string(), "over its socket");
}
