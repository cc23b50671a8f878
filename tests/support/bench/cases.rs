//! The cases: what is measured against what, and the bar it must reach.

use std::fs;

use super::databases;
use super::measure::{Figures, Peak, in_turn, time};
use super::scene::{Scene, Who};
use crate::Bar;
use crate::real::Package;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One comparison.
pub struct Case {
    /// What `--case` calls it.
    pub name: &'static str,
    /// One line for `--list`.
    pub what: &'static str,
    /// Of ours and theirs.
    pub unit: &'static str,
    /// What must be reached.
    pub bar: Bar,
    /// Measures so many pairs.
    pub run: fn(usize) -> Figures,
}

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        name: "small-loopback",
        what: "pacman -Sw of 50 packages of 8 to 400 KiB, mirror on loopback, against curl as XferCommand",
        unit: "s",
        bar: Bar::RatioAtMost(1.0),
        run: small_loopback,
    },
    Case {
        name: "kubo-local",
        what: "fetch of a 200 MiB package that the local Kubo has, proven, against curl from its gateway",
        unit: "MB/s",
        bar: Bar::RatioAtLeast(0.9),
        run: |pairs| kubo_local(Who::User, pairs),
    },
    Case {
        name: "kubo-local-root",
        what: "the same as root, who proves a copy of his own once more",
        unit: "MB/s",
        bar: Bar::None,
        run: |pairs| kubo_local(Who::Root, pairs),
    },
    Case {
        name: "start",
        what: "xfer of a 64 KiB package that is in the store, start to exit, against curl from a mirror on loopback",
        unit: "ms",
        bar: Bar::OursBelow(5.0),
        run: |pairs| start(Who::User, pairs),
    },
    Case {
        name: "start-root",
        what: "the same as root, with the child that does the work",
        unit: "ms",
        bar: Bar::None,
        run: |pairs| start(Who::Root, pairs),
    },
    Case {
        name: "db-unchanged",
        what: "pacman -Sy with three unchanged databases of real size over 30 ms, against pacman's own downloader",
        unit: "s",
        bar: Bar::OursAtMostMore(0.1),
        run: databases::unchanged,
    },
    Case {
        name: "memory-mirror",
        what: "peak memory of the largest process for a 1 GiB package from a mirror, against curl's",
        unit: "MB",
        bar: Bar::OursBelow(30.0),
        run: |_| memory(false),
    },
    Case {
        name: "memory-kubo",
        what: "the same from the local Kubo",
        unit: "MB",
        bar: Bar::OursBelow(30.0),
        run: |_| memory(true),
    },
    Case {
        name: "index-lookup",
        what: "one name among 20,000 of an index, in a fresh process, against grep in the uncompressed table",
        unit: "ms",
        bar: Bar::OursBelow(1.0),
        run: super::index::lookup,
    },
    Case {
        name: "index-refresh",
        what: "bytes of a refresh after 2 % of 15,000 entries changed, against the compressed table",
        unit: "kB",
        bar: Bar::RatioAtMost(0.03),
        run: super::index::refresh,
    },
    Case {
        name: "lan-uplink",
        what: "package bytes over the uplink for three machines with daemons, against one machine",
        unit: "MB",
        bar: Bar::RatioAtMost(1.05),
        run: super::node::uplink,
    },
    Case {
        name: "node-lan",
        what: "a 200 MiB package from daemon to daemon over 1 Gbit/s, against curl from nginx over the same link",
        unit: "MB/s",
        bar: Bar::RatioAtLeast(0.9),
        run: super::node::shaped,
    },
    Case {
        name: "node-veth",
        what: "the same over an unshaped link, against Kubo to Kubo",
        unit: "MB/s",
        bar: Bar::RatioAtLeast(0.8),
        run: super::node::unshaped,
    },
    Case {
        name: "node-idle",
        what: "resident memory of an idle daemon with 2,000 packages of 10 MiB, against an empty Kubo's",
        unit: "MB",
        bar: Bar::OursBelow(25.0),
        run: super::node::idle,
    },
];

fn small_loopback(pairs: usize) -> Figures {
    const COUNT: u32 = 50;
    // Evenly spread on a logarithmic scale, as sizes of packages are.
    let size = |i: u32| (8.0 * 50_f64.powf(f64::from(i) / f64::from(COUNT - 1))) as u64 * KIB;
    let packages: Vec<Package> =
        (0..COUNT).map(|i| Package::new(&format!("small{i:02}"), "1-1").size(size(i))).collect();
    let scene = Scene::of(&packages);
    let with_curl = scene.pacman_with_curl();
    let names: Vec<String> = (0..COUNT).map(|i| format!("small{i:02}")).collect();
    let words: Vec<&str> = std::iter::once("-Sw").chain(names.iter().map(String::as_str)).collect();
    let download = |pacman: &crate::real::PacmanRoot| {
        pacman.clear_cache();
        let took = pacman.run(&words).ok().took;
        assert_eq!(pacman.cache_files().len(), packages.len());
        took.as_secs_f64()
    };
    let ours = || {
        scene.empty_store();
        download(&scene.pacman)
    };
    in_turn(pairs, ours, || download(&with_curl))
}

fn kubo_local(who: Who, pairs: usize) -> Figures {
    let package = Package::new("big", "1-1").size(200 * MIB);
    let scene = Scene::with_kubo(std::slice::from_ref(&package));
    let name = package.file_name();
    let url = format!("{}/ipfs/{}", scene.kubo.as_ref().expect("a node").gateway(), scene.cid(&package));
    let speed = |seconds: f64| 200.0 * MIB as f64 / 1e6 / seconds;
    in_turn(pairs, || speed(scene.fetch_from_kubo(who, &name)), || speed(scene.fetch_with_curl(who, &url)))
}

fn start(who: Who, pairs: usize) -> Figures {
    // One call is a few milliseconds: it takes many to see through the noise.
    const CALLS: usize = 20;
    let package = Package::new("tiny", "1-1").size(64 * KIB);
    let scene = Scene::of(std::slice::from_ref(&package));
    let url = scene.url(&package);
    let ours = || {
        let output = scene.output("ours").display().to_string();
        let (took, said) = time(&mut scene.ours(who, &["xfer", &url, &output]));
        (took.as_secs_f64() * 1e3, said)
    };
    ours();
    assert!(ours().1.contains("from store\n"), "{}", ours().1);
    in_turn(pairs * CALLS, || ours().0, || scene.fetch_with_curl(who, &url) * 1e3)
}

fn memory(through_kubo: bool) -> Figures {
    let package = Package::new("huge", "1-1").size(GIB);
    let packages = std::slice::from_ref(&package);
    let scene = if through_kubo { Scene::with_kubo(packages) } else { Scene::of(packages) };
    // As root, so that the process that places the file and the one that fetches it are both seen.
    let (who, url) = (Who::Root, scene.url(&package));
    scene.empty_store();
    let output = scene.output("ours").display().to_string();
    let peak = Peak::of(&scene.swarm.program());
    if through_kubo {
        scene.fetch_from_kubo(who, &package.file_name());
    } else {
        let said = time(&mut scene.ours(who, &["xfer", &url, &output])).1;
        assert!(said.contains("from 127.0.0.1"), "{said}");
    }
    let ours = peak.megabytes();
    let _ = fs::remove_file(output);
    let peak = Peak::of("/usr/bin/curl".as_ref());
    scene.fetch_with_curl(who, &url);
    let theirs = peak.megabytes();
    Figures { ours, theirs, ratio: ours / theirs }
}
