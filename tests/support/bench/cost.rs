//! The cost of one call by itself: time from start to exit, and memory.

use std::fs;
use std::process::Command;

use super::large::lonely_kubo;
use super::measure::{BenchRun, Figures, Outcome, Peak, Skipped, time};
use super::scene::{BenchScene, Setup, Who};
use crate::real::Pkgbuild;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One call is a few milliseconds: it takes many to see through the noise.
const CALLS: usize = 20;

/// Makes a scene with one package that is in the store; returns its URL too.
fn stored(who: Who, size: u64) -> (BenchScene, String) {
    let package = Pkgbuild::new("tiny", "1-1").size(size);
    let scene = Setup::of(std::slice::from_ref(&package)).build();
    let url = scene.url(&package);
    scene.xfer(who, &url);
    let said = scene.xfer(who, &url).1;
    // Older programs say `from store`.
    assert!(said.contains("fetched ahead") || said.contains("from store"), "{said}");
    (scene, url)
}

/// Measures milliseconds of a call for a small file in the store, against curl from a mirror on loopback.
pub fn store_hit(run: &BenchRun, who: Who) -> Vec<Outcome> {
    let (scene, url) = stored(who, 64 * KIB);
    run.times(CALLS).pairs(|| scene.xfer(who, &url).0 * 1e3, || scene.fetch_with_curl(who, &url) * 1e3)
}

/// Measures milliseconds for a further MiB, taken from a file of 65 MiB.
pub fn store_hit_more(run: &BenchRun) -> Vec<Outcome> {
    let ((small, one), (large, many)) = (stored(Who::User, MIB), stored(Who::User, 65 * MIB));
    let ours = || (large.xfer(Who::User, &many).0 - small.xfer(Who::User, &one).0) * 1e3 / 64.0;
    let curl = |scene: &BenchScene, url| scene.fetch_with_curl(Who::User, url);
    run.pairs(ours, || (curl(&large, &many) - curl(&small, &one)) * 1e3 / 64.0)
}

/// Measures megabytes of a call for a small file in the store: the most of many.
pub fn store_hit_memory() -> Result<Vec<Outcome>, Skipped> {
    let (mut scene, url) = stored(Who::User, 64 * KIB);
    let told = scene.start_through_time("%M")?;
    let most = |call: &dyn Fn() -> Command| {
        let megabytes = (0..CALLS).map(|_| {
            time(&mut call());
            let kib: f64 = fs::read_to_string(&told).expect("what time told").trim().parse().expect("a number");
            kib * 1024.0 / 1e6
        });
        megabytes.fold(0.0, f64::max)
    };
    let ours = most(&|| {
        let mut ours = scene.ours(Who::User, &["xfer", &url]);
        ours.arg(scene.output("ours"));
        ours
    });
    let theirs = most(&|| scene.curl(Who::User, &url, &scene.output("theirs")));
    Ok(vec![Ok(Figures::once(ours, theirs))])
}

/// Measures megabytes of the largest process of a call for a package of 1 GiB.
pub fn memory(through_kubo: bool) -> Vec<Outcome> {
    let package = Pkgbuild::new("huge", "1-1").size(GIB);
    // As root, so that the process that places the file and the one that fetches it are both measured.
    let (who, packages) = (Who::Root, std::slice::from_ref(&package));
    let kubo = through_kubo.then(lonely_kubo);
    let scene = match &kubo {
        Some(kubo) => Setup::of(packages).index().kubo(kubo).build(),
        None => Setup::of(packages).build(),
    };
    let peak = match &kubo {
        Some(kubo) => {
            kubo.add(&scene.file(&package));
            let peak = Peak::of(&scene.swarm.program().with_file_name("pkgswarm-full"));
            scene.fetch_from_kubo(who, &package);
            peak
        }
        None => {
            let peak = Peak::of(&scene.swarm.program().with_file_name("pkgswarm-full"));
            let said = scene.xfer(who, &scene.url(&package)).1;
            assert!(said.contains("from 127.0.0.1"), "{said}");
            peak
        }
    };
    let ours = peak.megabytes();
    let peak = Peak::of("/usr/bin/curl".as_ref());
    scene.fetch_with_curl(who, &scene.url(&package));
    vec![Ok(Figures::once(ours, peak.megabytes()))]
}
