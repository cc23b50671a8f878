//! One large package: from this machine's Kubo, from a neighbour's Kubo.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Instant;

use serde_json::json;

use super::measure::{BenchRun, Outcome, Skipped};
use super::scene::{Setup, Who};
use crate::real::{Kubo, Lan, Parts, Pkgbuild, Routing};

const MIB: u64 = 1 << 20;
/// Size of its one file, which does not compress.
pub const SIZE: u64 = 200 * MIB;

/// Makes the package.
pub fn package() -> Pkgbuild {
    Pkgbuild::new("big", "1-1").size(SIZE)
}

/// Starts a node that is alone: as in a real network there is a routing system, and this node is all of it.
pub fn lonely_kubo() -> Kubo {
    let mut kubo = Kubo::start(&Parts::demand());
    kubo.stop();
    kubo.configure(|config| {
        config["Routing"]["Type"] = json!("dht");
        config["Routing"]["LoopbackAddressesOnLanDHT"] = json!(true);
    });
    kubo.start_again();
    kubo
}

/// Measures megabytes a second from the local Kubo.
pub fn kubo_local(run: &BenchRun, who: Who) -> Vec<Outcome> {
    let (package, kubo) = (package(), lonely_kubo());
    let scene = Setup::of(std::slice::from_ref(&package)).index().kubo(&kubo).build();
    let url = format!("{}/ipfs/{}", kubo.gateway(), kubo.add(&scene.file(&package)));
    run.pairs(|| speed(scene.fetch_from_kubo(who, &package)), || speed(scene.fetch_with_curl(who, &url)))
}

/// Measures seconds of processor time of the same, which explains the distance between us and curl.
pub fn kubo_local_cpu(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let (package, kubo) = (package(), lonely_kubo());
    let mut scene = Setup::of(std::slice::from_ref(&package)).index().kubo(&kubo).build();
    let url = format!("{}/ipfs/{}", kubo.gateway(), kubo.add(&scene.file(&package)));
    let told = scene.start_through_time("%U %S")?;
    let used = || {
        let text = fs::read_to_string(&told).expect("what time told");
        text.split_whitespace().map(|seconds| seconds.parse::<f64>().expect("seconds")).sum::<f64>()
    };
    let ours = || {
        scene.fetch_from_kubo(Who::User, &package);
        used()
    };
    let theirs = || {
        scene.fetch_with_curl(Who::User, &url);
        used()
    };
    Ok(run.pairs(ours, theirs))
}

/// Measures megabytes a second from a neighbour's Kubo through ours, which has nothing yet.
pub fn kubo_lan(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let (parts, lan, package) = (Parts::demand(), Lan::new(), package());
    let (client, neighbour, server) = (lan.host(), lan.host(), lan.host());
    let here = Kubo::start_on(&parts, &client, Routing::Dht);
    let there = Kubo::start_on(&parts, &neighbour, Routing::Dht);
    here.meets(&there);
    let scene = Setup::of(std::slice::from_ref(&package)).index().kubo(&here).between(&client, &server).build();
    let cid = there.add(&scene.file(&package));
    let forget = || drop(here.ipfs(&["repo", "gc", "--quiet"]).ok());
    let ours = || {
        forget();
        speed(scene.fetch_from_kubo(Who::User, &package))
    };
    let theirs = || {
        forget();
        let output = scene.output("theirs");
        let mut cat = here.call(&["cat", &cid]);
        cat.stdout(File::create(&output).expect("our directory")).stderr(Stdio::null());
        let start = Instant::now();
        assert!(cat.status().expect("ipfs").success(), "ipfs cat");
        let took = start.elapsed().as_secs_f64();
        assert!(output.metadata().expect("what was fetched").len() > SIZE);
        speed(took)
    };
    Ok(run.pairs(ours, theirs))
}

/// Converts to megabytes a second.
pub fn speed(seconds: f64) -> f64 {
    SIZE as f64 / 1e6 / seconds
}
