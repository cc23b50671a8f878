//! `fetch CID` block by block from a gateway that has its troubles: what can be had is had, and no block comes twice.

use std::time::Duration;

use pkgswarm::dag::build::build_blocks;

use crate::support::*;

const MIB: usize = 1 << 20;

/// A file of three leaves, and the CIDs of its blocks: leaves in their order, then the root.
fn file() -> (Vec<u8>, Vec<String>) {
    let bytes = Package::new("zlib", 2 * MIB + MIB / 2).bytes;
    let mut cids = Vec::new();
    build_blocks(&bytes[..], |cid, _| {
        cids.push(cid.to_string());
        Ok(())
    })
    .unwrap();
    assert_eq!(cids.len(), 4);
    (bytes, cids)
}

fn world(gateway: &FakeKubo) -> World {
    World::new().set("PKGSWARM_GATEWAYS_URLS", &gateway.gateway_url())
}

fn asked_for(gateway: &FakeKubo, cid: &str) -> usize {
    gateway.gateway().requests().iter().filter(|request| request.path().contains(cid)).count()
}

#[test]
fn one_refusal_reset_or_cut_of_a_block_does_not_end_a_fetch() {
    let (bytes, cids) = file();
    let (leaf, root) = (&cids[1], &cids[3]);
    let misdeeds: &[(&str, BendKubo)] = &[
        ("has no time for a second", |g| g.status(429).retry_after(1)),
        ("has no time", |g| g.status(503)),
        ("fails", |g| g.status(502)),
        ("resets", |g| g.reset_after(60)),
        ("resets at once", |g| g.reset_after(0)),
        ("cuts", |g| g.cut_after(60)),
        ("ends early", |g| g.chunked_ending_early(60)),
    ];
    for (what, bend) in misdeeds {
        for block in [leaf, root] {
            let gateway = FakeKubo::empty().holding(&bytes).on(&format!("block/{block}"));
            let gateway = bend(gateway).times(1);
            let world = world(&gateway);
            let out = world.out("file");
            let run = world.run(&["fetch", root, "--output", out.to_str().unwrap()]);
            assert_eq!(run.code(), 0, "the gateway {what}: {}", run.stderr);
            world.has(&out, &bytes);
            assert_eq!(asked_for(&gateway, block), 2, "the gateway {what}");
            assert_eq!(asked_for(&gateway, &cids[0]), 1, "the gateway {what}: the others do not come again");
        }
    }
}

#[test]
fn what_has_come_before_a_failure_does_not_come_again() {
    let (bytes, cids) = file();
    let gateway = FakeKubo::empty().holding(&bytes).on(&format!("block/{}", cids[2])).status(404);
    let world = world(&gateway);
    let out = world.out("file");
    let words = ["fetch", &cids[3], "--output", out.to_str().unwrap()];
    assert_eq!(world.run(&words).code(), 1);
    world.has_no_output();
    let gateway = gateway.honest();
    world.run(&words).succeeds();
    world.has(&out, &bytes);
    let counts: Vec<usize> = cids.iter().map(|cid| asked_for(&gateway, cid)).collect();
    assert_eq!(counts, [1, 1, 2, 2], "the root tells what is missing");
    world.store_is_settled();
}

#[test]
fn what_has_come_before_an_interrupt_does_not_come_again() {
    let (bytes, cids) = file();
    let gateway = FakeKubo::empty().holding(&bytes).on(&format!("block/{}", cids[2])).hanging();
    let world = world(&gateway).set("PKGSWARM_DOWNLOAD_PATIENCE", "60 s").set("PKGSWARM_DOWNLOAD_STALL", "60 s");
    let out = world.out("file");
    let words = ["fetch", &cids[3], "--output", out.to_str().unwrap()];
    let running = run::Running::start(world.command(&words), world.base());
    let partial = world.path("store/partial").join(&cids[3]);
    server::eventually("two leaves are in the store", || {
        std::fs::metadata(&partial).is_ok_and(|meta| meta.len() == 2 * MIB as u64)
    });
    running.signal(rustix::process::Signal::INT);
    let run = running.finish();
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert!(run.stderr.contains("what has arrived is kept"), "{}", run.stderr);
    world.has_no_output();
    let gateway = gateway.honest();
    world.run(&words).succeeds();
    world.has(&out, &bytes);
    let counts: Vec<usize> = cids.iter().map(|cid| asked_for(&gateway, cid)).collect();
    assert_eq!(counts[..2], [1, 1], "{counts:?}");
    world.store_is_settled();
}

#[test]
fn a_kubo_that_lacks_a_file_is_waited_for_once_and_not_for_every_block() {
    let (bytes, cids) = file();
    let (kubo, gateway) = (FakeKubo::empty(), FakeKubo::empty().holding(&bytes));
    let world = world(&gateway).kubo(&kubo).set("PKGSWARM_DOWNLOAD_STALL", "1 s");
    let out = world.out("file");
    world.run(&["fetch", &cids[3], "--output", out.to_str().unwrap()]).succeeds();
    world.has(&out, &bytes);
    let blocks = kubo.gateway().requests().iter().filter(|request| request.method == "GET").count();
    assert_eq!(blocks, 1, "it was asked for the root alone: {:?}", kubo.gateway().requests());
}

#[test]
fn bytes_that_flow_are_no_silence_however_long_a_block_takes() {
    let (bytes, cids) = file();
    // A leaf takes two seconds, and silence would be given up after one.
    let gateway = FakeKubo::empty().holding(&bytes).slow(MIB as u64 / 2);
    let world = world(&gateway).set("PKGSWARM_DOWNLOAD_PATIENCE", "1 s").set("PKGSWARM_DOWNLOAD_STALL", "1 s");
    let out = world.out("file");
    let run = world.run(&["fetch", &cids[3], "--output", out.to_str().unwrap()]);
    run.succeeds().within(Duration::from_secs(60));
    world.has(&out, &bytes);
}
