//! Real pacman, mirrors and Kubo: prefetched updates are installed without a network, with their signatures
//! checked; neighbours get them from the first machine's Kubo; nothing accumulates; the statistics match the
//! servers'.

#[path = "support/real/mod.rs"]
mod real;

use pkgswarm::base::digest::Sha256;
use real::{
    Desktop, Host, Kubo, Lan, Mirror, NetworkManager, PacmanRoot, Parts, Pkgbuild, Process, Ran, Release, Repo,
    Routing, Signer, Swarm, run, scratch, until,
};
use std::fs;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Builds `pkgswarm WORDS` for this pacman, as called by its timer.
fn command(swarm: &Swarm, pacman: &PacmanRoot, words: &[&str]) -> Command {
    let mut command = swarm.command(words);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", pacman.bin().display()));
    command.env("PKGSWARM_PACMAN_CONF", pacman.config());
    // The machine that runs the tests may be on battery.
    command.env("PKGSWARM_PREFETCH_BATTERY", "true").env("PKGSWARM_PREFETCH_VPN", "true");
    command
}

fn prefetch(swarm: &Swarm, pacman: &PacmanRoot) -> Ran {
    run(&mut command(swarm, pacman, &["prefetch"]))
}

fn versions(pacman: &PacmanRoot) -> Vec<String> {
    pacman.installed().into_iter().map(|(name, version)| format!("{name} {version}")).collect()
}

/// A repository with signed packages, and a system that has their first versions.
struct Scene {
    swarm: Swarm,
    pacman: PacmanRoot,
    repo: Repo,
    mirror: Mirror,
    _tree: tempfile::TempDir,
}

impl Scene {
    fn new(parts: &Parts, release: Release, rate: &str) -> Scene {
        let tree = scratch("tree");
        let signer = Rc::new(Signer::new());
        let repo = Repo::new(parts, tree.path(), "core").signed(&signer);
        // 6.0.2 never asks for signature files, so they must be in its database.
        let repo = if release == Release::Old { repo.with_inline_signatures() } else { repo };
        repo.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1").depends("alpha")]);
        let mirror = Mirror::serve_with(tree.path(), rate);
        let swarm = Swarm::install();
        let pacman = PacmanRoot::new(parts, release, &swarm.xfer_command()).trusting(&signer);
        let pacman = swarm.around(pacman.sig_level("Required DatabaseNever").parallel(5));
        let pacman = pacman.repo(&repo, &[&format!("{}/core", mirror.url())]);
        pacman.run(&["-Sy", "alpha", "beta"]).ok();
        Scene { swarm, pacman, repo, mirror, _tree: tree }
    }

    /// Releases newer versions; beta needs a new package.
    fn release(&self) {
        let beta = Pkgbuild::new("beta", "1:1-1").size(5 * MIB).depends("gamma");
        self.repo.add(&[
            Pkgbuild::new("alpha", "2-1").size(700 * KIB),
            beta,
            Pkgbuild::new("gamma", "1-1").size(2 * MIB),
        ]);
    }

    /// Asserts that the upgrade completes with the network cut.
    fn upgrades_without_a_network(&mut self) {
        self.pacman.run(&["-Sy"]).ok();
        self.mirror.stop();
        let ran = self.pacman.run(&["-Su"]).ok();
        assert_eq!(versions(&self.pacman), ["alpha 2-1", "beta 1:1-1", "gamma 1-1"], "{ran}");
    }
}

#[test]
fn prefetched_updates_are_installed_without_a_network_and_their_signatures_are_checked() {
    let parts = Parts::demand();
    for release in Release::ALL {
        let mut scene = Scene::new(&parts, release, "");
        scene.release();
        let before = scene.pacman.sync_db_snapshot();
        let ran = prefetch(&scene.swarm, &scene.pacman).ok();
        assert_eq!(ran.stdout, "alpha 1-1 -> 2-1\ngamma 1-1\nbeta 1-1 -> 1:1-1\n", "{ran}");
        assert_eq!(scene.pacman.sync_db_snapshot(), before, "the system's own databases are never touched");
        scene.upgrades_without_a_network();
    }
}

#[test]
fn a_signature_that_is_none_of_ours_is_refused_by_pacman_after_a_prefetch_as_well() {
    let parts = Parts::demand();
    let scene = Scene::new(&parts, Release::New, "");
    scene.release();
    let stranger = Signer::new();
    stranger.sign(&scene.repo.dir().join("alpha-2-1-any.pkg.tar.zst"));
    prefetch(&scene.swarm, &scene.pacman).ok();
    let ran = scene.pacman.run(&["-Syu"]).failed();
    assert!(ran.stderr.contains("alpha"), "{ran}");
    assert!(versions(&scene.pacman).contains(&"alpha 1-1".to_owned()));
}

/// Returns ten moments from 0 to `longest`, from `seed`.
fn moments(seed: u64, longest: Duration) -> [Duration; 10] {
    std::array::from_fn(|turn| {
        let digest = Sha256::of(format!("{seed} {turn}").as_bytes());
        longest.mul_f64(f64::from(u16::from_be_bytes([digest.0[0], digest.0[1]])) / 65_536.0)
    })
}

/// Repeats the moments of a run with
/// `PKGSWARM_KILLS_SEED=N cargo test --test real_prefetch killed -- --nocapture`.
#[test]
fn a_prefetch_killed_at_ten_random_moments_is_gone_on_with() {
    let parts = Parts::demand();
    let fresh = || std::time::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as u64;
    let seed = std::env::var("PKGSWARM_KILLS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
    println!("PKGSWARM_KILLS_SEED={seed}");
    for release in Release::ALL {
        let mut scene = Scene::new(&parts, release, &format!("limit_rate {};", 2 * MIB));
        scene.release();
        // The time that it takes here and now, into another store.
        let took = prefetch(&Swarm::install(), &scene.pacman).ok().took;
        let (whole, before) = (7 * MIB + 700 * KIB, scene.mirror.bytes_served());
        let mut finished = 0;
        // Each after a third of the time on average, so that the ten kills spread over starts, transfers and ends.
        for moment in moments(seed, took * 2 / 3) {
            let begun = Instant::now();
            let mut process = Process::start(&mut command(&scene.swarm, &scene.pacman, &["prefetch"]));
            until("the moment has come", Duration::from_secs(60), || {
                (begun.elapsed() >= moment || !process.runs()).then_some(())
            });
            finished += usize::from(!process.runs());
            process.kill();
            println!("{release:?}: killed after {moment:?}, {} bytes are here", scene.swarm.store_bytes());
        }
        assert!(finished < 10, "none of them was killed");
        prefetch(&scene.swarm, &scene.pacman).ok();
        // Each kill may cost the bytes in flight, no more.
        let served = scene.mirror.bytes_served() - before;
        assert!(served < 3 * whole, "{served} bytes for {whole}");
        scene.upgrades_without_a_network();
    }
}

/// Makes a machine with a Kubo, on which the packages of `core` may be shared.
fn machine(parts: &Parts, lan: &Lan) -> (Host, Kubo, Swarm) {
    let host = lan.host();
    let kubo = Kubo::start_on(parts, &host, Routing::Dht);
    let mut swarm = Swarm::install().with_kubo(&kubo).on(&host);
    swarm.set("PKGSWARM_SHARE_REPOS", "core");
    (host, kubo, swarm)
}

/// Lists prefetch's pins.
fn pins(kubo: &Kubo) -> Vec<String> {
    let listing = kubo.ipfs(&["pin", "ls", "--type=recursive", "--names"]).ok().stdout;
    let mut names: Vec<String> =
        listing.lines().filter_map(|line| Some(line.split_once("pkgswarm-prefetch ")?.1.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn what_one_machine_prefetched_comes_to_the_next_one_from_its_kubo() {
    let parts = Parts::demand();
    let lan = Lan::new();
    let ((_a, first_kubo, first), (_b, second_kubo, second), mirrors) =
        (machine(&parts, &lan), machine(&parts, &lan), lan.host());
    let tree = scratch("tree");
    let repo = Repo::new(&parts, tree.path(), "core");
    repo.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1")]);
    let mirror = Mirror::serve_on(&mirrors, tree.path(), "");
    second_kubo.meets(&first_kubo);
    let pacman = |swarm: &Swarm| {
        let pacman = PacmanRoot::new(&parts, Release::New, &swarm.xfer_command());
        swarm.around(pacman.repo(&repo, &[&format!("{}/core", mirror.url())]))
    };
    let (here, there) = (pacman(&first), pacman(&second));
    for pacman in [&here, &there] {
        pacman.run(&["-Sy", "alpha", "beta"]).ok();
    }
    let packages = [Pkgbuild::new("alpha", "2-1").size(900 * KIB), Pkgbuild::new("beta", "2-1").size(300 * KIB)];
    repo.add(&packages);
    prefetch(&first, &here).ok();
    let files = packages.each_ref().map(Pkgbuild::file_name);
    assert_eq!(pins(&first_kubo), files, "pinned by name");
    let ran = there.run(&["-Syu"]).ok();
    assert_eq!(versions(&there), ["alpha 2-1", "beta 2-1"]);
    let asked = files.each_ref().map(|file| mirror.requests_for(file).len());
    assert_eq!(asked, [1, 1], "the first machine asked the mirror once, the second one its neighbour:\n{ran}");
    assert!(first_kubo.bytes_sent() > MIB);
    // Once it is installed, the first machine keeps no pin.
    here.run(&["-Syu"]).ok();
    prefetch(&first, &here);
    assert_eq!(pins(&first_kubo), [""; 0]);
}

#[test]
fn what_one_machine_prefetched_comes_to_the_next_one_from_its_daemon() {
    let parts = Parts::demand();
    let lan = Lan::new();
    let mirrors = lan.host();
    let tree = scratch("tree");
    let repo = Repo::new(&parts, tree.path(), "core");
    repo.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1")]);
    let mirror = Mirror::serve_on(&mirrors, tree.path(), "");
    let machine = |host: &Host| {
        let mut swarm = Swarm::install().on(host).sharing("core", "any");
        swarm.set("PKGSWARM_SHARE_STORES", &swarm.store().display().to_string());
        let pacman = PacmanRoot::new(&parts, Release::New, &swarm.xfer_command());
        let pacman = swarm.around(pacman.repo(&repo, &[&format!("{}/core", mirror.url())]));
        pacman.run(&["-Sy", "alpha", "beta"]).ok();
        let daemon = swarm.daemon(&pacman);
        (swarm, pacman, daemon)
    };
    let (a, b) = (lan.host(), lan.host());
    let ((first, here, first_daemon), (_second, there, second_daemon)) = (machine(&a), machine(&b));
    second_daemon.meets(1);
    let packages = [Pkgbuild::new("alpha", "2-1").size(900 * KIB), Pkgbuild::new("beta", "2-1").size(3 * MIB)];
    repo.add(&packages);
    prefetch(&first, &here).ok();
    let offers = |package: &Pkgbuild| {
        let bytes = fs::read(repo.dir().join(package.file_name())).expect("a package");
        let sha256 = Sha256::of(&bytes).to_string();
        until("it is offered", Duration::from_secs(30), || {
            let shared = first_daemon.shared();
            shared["files"].as_array()?.iter().any(|file| file["sha256"] == sha256.as_str()).then_some(())
        });
    };
    packages.iter().for_each(offers);
    let ran = there.run(&["-Syu"]).ok();
    assert_eq!(versions(&there), ["alpha 2-1", "beta 2-1"]);
    let asked = packages.each_ref().map(|package| mirror.requests_for(&package.file_name()).len());
    assert_eq!(asked, [1, 1], "the first machine asked the mirror once, the second one its neighbour:\n{ran}");
    assert_eq!(versions(&here), ["alpha 1-1", "beta 1-1"], "before the first machine has installed them");
    // Once it has, they are offered from pacman's cache.
    here.run(&["-Syu"]).ok();
    prefetch(&first, &here);
    packages.iter().for_each(offers);
}

#[test]
fn twenty_rounds_of_updates_leave_nothing_pinned_and_the_store_within_its_quota() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let repo = Repo::new(&parts, tree.path(), "core");
    let round = |round: u64| {
        repo.add(&["alpha", "beta", "gamma"].map(|name| Pkgbuild::new(name, &format!("{round}-1")).size(300 * KIB)));
    };
    round(1);
    let mirror = Mirror::serve(tree.path());
    let kubo = Kubo::start(&parts);
    let mut swarm = Swarm::install().with_kubo(&kubo);
    swarm.set("PKGSWARM_SHARE_REPOS", "core");
    // Room for two of the three.
    let quota = 700 * KIB;
    swarm.set("PKGSWARM_PREFETCH_MAX", &quota.to_string());
    swarm.set("PKGSWARM_KUBO_KEEP", &MIB.to_string());
    let pacman = swarm.around(PacmanRoot::new(&parts, Release::New, &swarm.xfer_command()));
    let pacman = pacman.repo(&repo, &[&format!("{}/core", mirror.url())]);
    pacman.run(&["-Sy", "alpha", "beta", "gamma"]).ok();
    let files = || real::bytes_below(&swarm.store().join("files"));
    for at in 2..=20 {
        round(at);
        let ran = prefetch(&swarm, &pacman).ok();
        assert!(ran.stderr.contains("2 of 3 updates are here"), "{ran}");
        assert!(files() <= quota + 64 * KIB, "{} bytes in the store", files());
        assert_eq!(pins(&kubo), [format!("alpha-{at}-1-any.pkg.tar.zst"), format!("beta-{at}-1-any.pkg.tar.zst")]);
        // Every other round is skipped, and superseded.
        if at % 2 == 0 {
            pacman.run(&["-Syu"]).ok();
        }
    }
    pacman.run(&["-Syu"]).ok();
    prefetch(&swarm, &pacman);
    assert_eq!(pins(&kubo), [""; 0]);
    assert!(files() <= 64 * KIB, "{} bytes in the store", files());
}

#[test]
fn stats_are_the_counters_of_mirror_neighbour_and_kubo() {
    let parts = Parts::demand();
    let lan = Lan::new();
    let (a, b, mirrors) = (lan.host(), lan.host(), lan.host());
    let tree = scratch("tree");
    let repo = Repo::new(&parts, tree.path(), "core");
    let sizes = [("near", 700 * KIB), ("nearer", 3 * MIB), ("kubo", 600 * KIB), ("far", 2 * MIB)];
    let packages = sizes.map(|(name, size)| Pkgbuild::new(name, "1-1").size(size));
    repo.add(&packages);
    let path = |package: &Pkgbuild| repo.dir().join(package.file_name());
    // The neighbour has two of them, from a mirror of its own.
    let other = Mirror::serve(tree.path());
    let elsewhere = PacmanRoot::new(&parts, Release::New, "").repo(&repo, &[&format!("{}/core", other.url())]);
    elsewhere.run(&["-Sy"]).ok();
    elsewhere.run(&["-Sw", "near", "nearer"]).ok();
    let its_swarm = Swarm::install().on(&a).sharing("core", "any");
    let neighbour = its_swarm.daemon(&elsewhere);
    neighbour.offers(2);
    // This machine's Kubo has one, and asks no other peer.
    let mut kubo = Kubo::start_on(&parts, &b, Routing::None);
    kubo.stop();
    kubo.configure(|config| config["Discovery"]["MDNS"]["Enabled"] = false.into());
    kubo.start_again();
    kubo.add(&path(&packages[2]));
    let mirror = Mirror::serve_on(&mirrors, tree.path(), "");
    let swarm = Swarm::install().on(&b).sharing("core", "any").with_kubo(&kubo);
    let pacman = PacmanRoot::new(&parts, Release::New, &swarm.xfer_command());
    let pacman = swarm.around(pacman.repo(&repo, &[&format!("{}/core", mirror.url())]));
    let daemon = swarm.daemon(&pacman);
    daemon.meets(1);
    let ran = pacman.run(&["-Sy", "near", "nearer", "kubo", "far"]).ok();
    // Fetched ahead and then installed, from the mirror and from local sources.
    repo.add(&[Pkgbuild::new("far", "2-1").size(MIB)]);
    prefetch(&swarm, &pacman).ok();
    pacman.run(&["-Syu"]).ok();
    let said = swarm.run(&["stats", "--json"]).ok().stdout;
    let stats: serde_json::Value = serde_json::from_str(&said).expect("one JSON object");
    let of = |kind: &str| -> u64 {
        let all = stats["sources"].as_array().expect("a list").iter();
        all.filter(|row| row["source"].as_str().is_some_and(|source| source.starts_with(kind)))
            .map(|row| row["bytes"].as_u64().expect("bytes"))
            .sum()
    };
    assert_eq!(of("mirror"), mirror.bytes_served(), "{said}{ran}");
    assert_eq!(of("kubo"), kubo.bytes_of_gateway(), "{said}{ran}");
    let sent: u64 = neighbour.status()["peers"]
        .as_array()
        .expect("peers")
        .iter()
        .filter_map(|peer| peer["bytes_sent"].as_u64())
        .sum();
    // It counts blocks, including those with the leaves of the larger file; they are no bytes of files.
    let about_them = sent.checked_sub(of("lan")).expect("no more came than was sent");
    assert!((1..KIB).contains(&about_them), "{about_them} bytes: {said}{ran}");
    let files = [0, 1].map(|at: usize| fs::metadata(path(&packages[at])).expect("a package").len());
    assert_eq!(of("lan"), files.iter().sum::<u64>(), "{said}{ran}");
}

#[test]
fn a_real_network_manager_postpones_it_on_a_metered_line() {
    let parts = Parts::demand();
    let Some(manager) = NetworkManager::start(&parts) else { return };
    let mut scene = Scene::new(&parts, Release::New, "");
    scene.release();
    scene.swarm.set("DBUS_SYSTEM_BUS_ADDRESS", &manager.bus());
    let before = scene.mirror.requests().len();
    manager.connect("yes");
    let ran = prefetch(&scene.swarm, &scene.pacman);
    assert_eq!(ran.status.code(), Some(2), "{ran}");
    assert_eq!(ran.stderr, "not now: the connection is metered (prefetch.metered); --now does it anyway\n", "{ran}");
    assert_eq!(scene.mirror.requests().len(), before);
    manager.connect("no");
    let ran = prefetch(&scene.swarm, &scene.pacman).ok();
    assert!(ran.stderr.contains("3 of 3 updates are here"), "{ran}");
}

#[test]
fn a_real_desktop_shows_one_notification_for_each_set_of_updates() {
    let parts = Parts::demand();
    let Some(desktop) = Desktop::start() else { return };
    let scene = Scene::new(&parts, Release::New, "");
    let notify = || {
        let ran = run(&mut desktop.equip(scene.swarm.command_as_user(&["prefetch", "--notify"]))).ok();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{ran}");
        desktop.shown()
    };
    assert_eq!(notify(), []);
    scene.release();
    prefetch(&scene.swarm, &scene.pacman).ok();
    notify();
    let one = notify();
    let text = |size: &str| format!("{size} are on this machine: pacman -Syu needs to fetch nothing for that.");
    assert_eq!(one, [("3 updates ready".to_owned(), text("7.7 MiB"))], "told once");
    scene.repo.add(&[Pkgbuild::new("alpha", "3-1").size(300 * KIB)]);
    prefetch(&scene.swarm, &scene.pacman).ok();
    notify();
    assert_eq!(notify(), [one[0].clone(), ("3 updates ready".to_owned(), text("7.3 MiB"))], "told when it changed");
    // No notification daemon is there.
    drop(desktop);
    let ran = run(scene.swarm.command_as_user(&["prefetch", "--notify"]).env("HOME", scene.swarm.store())).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{ran}");
}
