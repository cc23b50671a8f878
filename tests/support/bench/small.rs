//! Fifty small packages, as in an update after a few days: the cost of each file counts, not of each byte.

use std::cell::Cell;

use super::measure::{BenchRun, Outcome, Rival, Skipped};
use super::scene::{BenchScene, Setup};
use super::wire;
use crate::real::{Kubo, Lan, Mirror, PacmanRoot, Parts, Pkgbuild, Routing, command, scratch};

const KIB: u64 = 1 << 10;

/// aria2c as in the Arch Linux wiki.
const ARIA2C: &str = "/usr/bin/aria2c --allow-overwrite=true --continue=true --file-allocation=none \
                      --log-level=error --max-tries=2 --max-connection-per-server=2 --max-file-not-found=5 \
                      --min-split-size=5M --no-conf --remote-time=true --summary-interval=60 --timeout=5 --dir=/ \
                      --out %o %u";

/// Makes packages of 8 to 400 KiB, evenly spread on a logarithmic scale, like sizes of real packages.
pub fn packages(count: u32) -> Vec<Pkgbuild> {
    let size = |i: u32| (8.0 * 50_f64.powf(f64::from(i) / f64::from(count - 1))) as u64 * KIB;
    (0..count).map(|i| Pkgbuild::new(&format!("small{i:03}"), "1-1").size(size(i))).collect()
}

/// Makes the packages of most cases here.
pub fn fifty() -> Vec<Pkgbuild> {
    packages(50)
}

/// Makes as many as in an update after months, of which each costs a round trip more than its bytes.
pub fn five_hundred() -> Vec<Pkgbuild> {
    (0..500).map(|i| Pkgbuild::new(&format!("small{i:03}"), "1-1").size((8 + i % 40) * KIB)).collect()
}

/// Measures seconds of `-Sw` of 500 packages, with a distant mirror that speaks HTTP/2.
pub fn far_multiplexed(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let packages = five_hundred();
    let scene = Setup::of(&packages).between(&client, &server).over_http_2().build();
    let own = scene.pacman_with("", &scene.server());
    let before = Cell::new(0);
    let ours = || {
        before.set(scene.mirror.connections());
        let seconds = scene.count(run, || scene.download(scene.pacman(), &packages));
        // That of the read-ahead, and those of the calls until it knows what is coming, one after the other.
        let connections = scene.mirror.connections() - before.get();
        assert!(connections <= 5, "{connections} connections to the mirror");
        seconds
    };
    Ok(run.pairs(ours, || scene.download(&own, &packages)))
}

/// Measures seconds of `-Sw`, everything on loopback.
pub fn loopback(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let packages = fifty();
    Ok(against_downloaders(run, &Setup::of(&packages).signed().build(), &packages))
}

/// Measures seconds of `-Sw` of 500 packages on loopback, against the limit of any XferCommand: a static program that
/// copies each file from the mirror's disk. Beside it, ours without the small program in front.
pub fn floor(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let packages = five_hundred();
    let scene = Setup::of(&packages).build();
    let made = scratch("floor");
    let program = made.path().join("floor");
    let mut compiler = command("cc");
    compiler.args(["-O2", "-static", "-o"]).arg(&program).arg("tests/support/bench/floor.c");
    compiler.arg(format!("-DTREE=\"{}\"", scene.tree().display()));
    crate::real::run(&mut compiler).ok();
    let copying = scene.pacman_with(&format!("{} %u %o", program.display()), &scene.server());
    let full = scene.ours_without_launcher();
    let ours = || scene.count(run, || scene.download(scene.pacman(), &packages));
    let without = || {
        scene.empty_store();
        scene.download(&full, &packages)
    };
    Ok(run.in_turn(ours, vec![Ok(rival(|| scene.download(&copying, &packages))), Ok(rival(without))]))
}

/// Measures seconds of `-Sw`, with a distant mirror.
pub fn far(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let packages = fifty();
    Ok(against_downloaders(run, &Setup::of(&packages).signed().between(&client, &server).build(), &packages))
}

/// Compares with pacman's own downloader, curl and aria2c.
fn against_downloaders(run: &BenchRun, scene: &BenchScene, packages: &[Pkgbuild]) -> Vec<Outcome> {
    let own = scene.pacman_with("", &scene.server());
    let curl = scene.pacman_with_curl();
    let aria2c: Rival = aria2c(scene).map(|pacman| rival(move || scene.download(&pacman, packages)));
    let ours = || scene.count(run, || scene.download(scene.pacman(), packages));
    let rivals =
        vec![Ok(rival(|| scene.download(&own, packages))), Ok(rival(|| scene.download(&curl, packages))), aria2c];
    run.in_turn(ours, rivals)
}

fn aria2c(scene: &BenchScene) -> Result<PacmanRoot, Skipped> {
    if !std::path::Path::new("/usr/bin/aria2c").exists() {
        return Err(Skipped("no aria2c here: run tests/parts".into()));
    }
    Ok(scene.pacman_with(ARIA2C, &scene.server()))
}

/// Measures seconds of `-Sw` if a neighbour has everything: in its Kubo, or in a cache that pacman asks instead of
/// mirrors.
pub fn lan(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let (parts, lan, packages) = (Parts::demand(), Lan::new(), fifty());
    let (client, neighbour, server) = (lan.host(), lan.host(), lan.host());
    let here = Kubo::start_on(&parts, &client, Routing::Dht);
    let there = Kubo::start_on(&parts, &neighbour, Routing::Dht);
    here.meets(&there);
    let scene = Setup::of(&packages).kubo(&here).between(&client, &server).build();
    packages.iter().for_each(|package| drop(there.add(&scene.file(package))));
    let cache = Mirror::serve_cache(&neighbour, &scene.mirror.url());
    let with_cache = scene.pacman_with("", &format!("{}/core", cache.url()));
    let ours = || {
        scene.empty_store();
        here.ipfs(&["repo", "gc", "--quiet"]).ok();
        scene.download(scene.pacman(), &packages)
    };
    Ok(run.pairs(ours, || scene.download(&with_cache, &packages)))
}

/// Measures seconds of `-Sw` if the local Kubo has everything: asked by pkgswarm, or its gateway as pacman's
/// server.
pub fn gateway(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let (kubo, packages) = (Kubo::start(&Parts::demand()), fifty());
    let scene = Setup::of(&packages).kubo(&kubo).build();
    let cid = kubo.add(scene.repo.dir());
    let with_gateway = scene.pacman_with("", &format!("{}/ipfs/{cid}", kubo.gateway()));
    let ours = || {
        scene.empty_store();
        scene.download(scene.pacman(), &packages)
    };
    Ok(run.pairs(ours, || scene.download(&with_gateway, &packages)))
}

fn rival<'a>(run: impl FnMut() -> f64 + 'a) -> Box<dyn FnMut() -> f64 + 'a> {
    Box::new(run)
}
