//! A misbehaving local Kubo: the file arrives intact from the mirror, and soon.

use std::time::Duration;

use pkgswarm::base::cid::Cid;

use crate::support::*;

const SIZE: usize = 600_000;

/// Makes a machine with a Kubo that has the package, and one honest mirror.
fn scene(bend: BendKubo) -> (Package, FakeKubo, FakeMirror, World) {
    let zlib = Package::new("zlib", SIZE);
    let kubo = bend(FakeKubo::empty().holding(&zlib.bytes));
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
    (zlib, kubo, mirror, world)
}

#[test]
fn whatever_kubo_does_the_mirror_delivers() {
    let misdeeds: &[(&str, BendKubo)] = &[
        ("times out", |k| k.status(504)),
        ("is overrun", |k| k.status(429).retry_after(60)),
        ("forbids", |k| k.status(403)),
        ("has it not", |k| k.status(404)),
        ("has it not here", |k| k.status(412)),
        ("serves no files", |k| k.status(406)),
        ("fails", |k| k.status(500)),
        ("hangs", |k| k.hanging()),
        ("stalls at once", |k| k.stall_after(0)),
        ("stalls", |k| k.stall_after(300_000)),
        ("is killed", |k| k.cut_after(300_000)),
        ("resets", |k| k.reset_after(300_000)),
        ("writes junk and resets", |k| k.junk_and_reset_after(300_000)),
        ("ends early with an error trailer", |k| k.trailer_error_after(300_000)),
        ("lies", |k| k.lying()),
        ("sends more", |k| k.oversized(7)),
        ("sends more, untold", |k| k.oversized(7).without_content_length()),
        ("ignores Range", |k| k.ignoring_range().cut_after(300_000)),
        ("redirects in circles", |k| k.redirecting_in_circles()),
        ("is not Kubo at all", |k| k.captive_portal()),
    ];
    for (what, bend) in misdeeds {
        let (zlib, kubo, mirror, world) = scene(*bend);
        let world = world.set("PKGSWARM_KUBO_HEAD_START", "300 ms");
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "Kubo {what}: {}", run.stderr);
        run.succeeds().within(Duration::from_secs(3));
        world.has(&out, &zlib.bytes);
        world.store_is_settled();
        assert!(mirror.bytes() > 0, "Kubo {what}: the mirror helped");
        assert!(!kubo.requests().is_empty(), "Kubo {what}: it was asked");
    }
}

#[test]
fn an_absent_kubo_costs_next_to_nothing() {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let nowhere = format!("http://{}", dead_address());
    let world = World::new()
        .repo("core", &[&zlib], &[&mirror])
        .set("PKGSWARM_KUBO_ENABLED", "auto")
        .set("PKGSWARM_KUBO_GATEWAY", &nowhere)
        .set("PKGSWARM_KUBO_API", &nowhere);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds().within(Duration::from_secs(1));
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_kubo_without_other_sources_is_waited_for_by_one_budget_in_a_transaction() {
    let packages: Vec<Package> = (0..10).map(|i| Package::new(&format!("p{i}"), 1000)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let (mirror, kubo) = (FakeMirror::serving(&files), FakeKubo::empty());
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]).kubo(&kubo);
    let world = world.set("PKGSWARM_KUBO_HEAD_START", "2 s");
    let alone = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]);
    let all = |world: &World| {
        let run = |package: &Package| {
            let out = world.out(&package.file_name());
            let run = world.xfer(&mirror.url("core", &package.file_name()), &out);
            run.succeeds();
            run.took
        };
        packages.iter().map(run).sum::<Duration>()
    };
    let (with, without) = (all(&world), all(&alone));
    // Two seconds in all; paid for each of the ten files it would be twenty. The rest is for a busy machine.
    assert!(with < without + Duration::from_secs(10), "with an ignorant Kubo {with:?}, without one {without:?}");
}

#[test]
fn a_kubo_that_has_had_its_head_start_still_helps_where_mirrors_do_not() {
    let zlib = Package::new("zlib", SIZE);
    let kubo = FakeKubo::empty().finding(&zlib.bytes);
    let mirror = FakeMirror::serving(&[zlib.file()]).hanging();
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo).set("PKGSWARM_KUBO_HEAD_START", "0 s");
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds().within(Duration::from_secs(3));
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_kubo_that_has_had_its_head_start_asks_no_peer_for_what_a_near_mirror_sends() {
    let packages: Vec<Package> = (0..60).map(|i| Package::new(&format!("p{i}"), 1000)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    // Half of the time that the mirror has, and time enough to ask the daemon twice.
    let mirror = FakeMirror::serving(&files).answering_after(Duration::from_millis(5));
    let kubo = FakeKubo::empty();
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]).kubo(&kubo);
    let world = world.set("PKGSWARM_KUBO_HEAD_START", "0 s");
    // On a busy machine even a mirror on loopback is late now and then; not each time.
    let is_left_alone = |package: &Package| {
        let (out, before) = (world.out(&package.file_name()), kubo.gateway().requests().len());
        world.xfer(&mirror.url("core", &package.file_name()), &out).succeeds();
        let asked = kubo.gateway().requests().split_off(before);
        let asks_itself_alone = |request: &server::Request| {
            request.header("cache-control").is_some_and(|value| value.contains("only-if-cached"))
        };
        assert!(!asked.is_empty(), "it is asked whether it has them itself");
        asked.iter().all(asks_itself_alone)
    };
    assert!(packages.iter().any(is_left_alone), "it looked elsewhere for each of {} files", packages.len());
}

#[test]
fn a_hung_kubo_is_paid_for_once() {
    let packages: Vec<Package> = (0..5).map(|i| Package::new(&format!("p{i}"), 1000)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let (mirror, kubo) = (FakeMirror::serving(&files), FakeKubo::empty().hanging());
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]).kubo(&kubo);
    let world = world.set("PKGSWARM_KUBO_HEAD_START", "3 s");
    let took: Vec<Duration> = packages
        .iter()
        .map(|package| {
            let out = world.out(&package.file_name());
            let run = world.xfer(&mirror.url("core", &package.file_name()), &out);
            run.succeeds();
            run.took
        })
        .collect();
    // Three seconds once; paid for each of the five files it would be fifteen.
    assert!(took.iter().sum::<Duration>() < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_kubo_that_has_but_the_root_is_paid_for_once() {
    const MIB: usize = 1 << 20;
    let packages: Vec<Package> = (0..4).map(|i| Package::new(&format!("p{i}"), 2 * MIB)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let mirror = FakeMirror::serving(&files);
    // The root is there; a request for the file gets no answer.
    let kubo = packages.iter().fold(FakeKubo::empty(), |kubo, package| {
        let cid = pkgswarm::dag::build::build(&package.bytes[..]).unwrap().root;
        kubo.holding(&package.bytes).on(&format!("ipfs/{cid}")).stall_after(0)
    });
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]).kubo(&kubo);
    let world = packages.iter().fold(FakeIndex::called("arch"), FakeIndex::listing).in_use(world);
    let world = world.set("PKGSWARM_KUBO_HEAD_START", "3 s").set("PKGSWARM_DOWNLOAD_STALL", "60 s");
    let took: Vec<Duration> = packages
        .iter()
        .map(|package| {
            let out = world.out(&package.file_name());
            let run = world.xfer(&mirror.url("core", &package.file_name()), &out);
            run.succeeds();
            world.has(&out, &package.bytes);
            std::fs::remove_file(&out).unwrap();
            run.took
        })
        .collect();
    assert!(!kubo.requests().is_empty());
    // Three seconds once; paid for each of the four files it would be twelve.
    assert!(took.iter().sum::<Duration>() < Duration::from_secs(10), "{took:?}");
}

#[test]
fn localhost_is_read_as_its_address() {
    let (zlib, kubo, mirror, world) = scene(|k| k);
    let port = kubo.gateway_address().port();
    let world = world.set("PKGSWARM_KUBO_GATEWAY", &format!("http://localhost:{port}"));
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.bytes(), 0, "Kubo redirects the name; asked by address it delivers");
}

#[test]
fn a_kubo_that_lies_is_found_out_even_without_mirrors() {
    let (zlib, _kubo, mirror, world) = scene(|k| k.lying());
    let mirror = mirror.status(404);
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert!(run.said.contains("kubo") && run.said.contains("corrupt: "), "{}", run.said);
    world.has_no_output();
}

#[test]
fn a_disabled_kubo_is_left_alone() {
    let (zlib, kubo, mirror, world) = scene(|k| k);
    let world = world.set("PKGSWARM_KUBO_ENABLED", "false");
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert!(kubo.requests().is_empty());
}

#[test]
fn files_that_are_not_public_are_no_business_of_kubo() {
    let zlib = Package::new("zlib", SIZE);
    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let gateway = FakeKubo::empty().holding(&zlib.bytes);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let private = mirror.repo("core");
    let with_password = private.replace("http://", "http://user:hunter2@");
    for server in [private, with_password] {
        let world = World::new()
            .sync_database("core", &database(&[&zlib], Compression::Gzip))
            .servers("core", &[&server], &[])
            .kubo(&kubo)
            .unset("PKGSWARM_SHARE_REPOS")
            .set("PKGSWARM_GATEWAYS_URLS", &gateway.gateway_url());
        let out = world.out(&zlib.file_name());
        world.xfer(&format!("{server}/{}", zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        assert!(kubo.requests().is_empty() && gateway.requests().is_empty(), "{server}");
    }
}

#[test]
fn databases_and_signatures_are_no_business_of_kubo() {
    let (zlib, kubo, mirror, world) = scene(|k| k);
    let (name, signature) = zlib.signature();
    mirror.publish(&name, &signature);
    let out = world.out(&name);
    world.xfer(&mirror.url("core", &name), &out).succeeds();
    world.has(&out, &signature);
    assert!(kubo.gateway().requests().is_empty(), "no CID follows for them");
}

#[test]
fn gateways_deliver_single_blocks_and_are_not_believed() {
    let zlib = Package::new("zlib", SIZE);
    let cid = Cid::raw(zlib.sha256()).to_string();
    let misdeeds: &[(&str, bool, BendKubo)] = &[
        ("is honest", true, |g| g),
        ("lies", false, |g| g.lying()),
        ("cuts", false, |g| g.cut_after(1000)),
        ("hangs", false, |g| g.hanging()),
        ("is overrun", false, |g| g.status(429).retry_after(60)),
        ("is a captive portal", false, |g| g.captive_portal()),
    ];
    for (what, delivers, bend) in misdeeds {
        let gateway = bend(FakeKubo::empty().holding_block(&cid, &zlib.bytes));
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let world = World::new()
            .repo("core", &[&zlib], &[&mirror])
            .set("PKGSWARM_GATEWAYS_URLS", &gateway.gateway_url())
            .set("PKGSWARM_SHARE_REPOS", "core");
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "the gateway {what}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
        assert_eq!(mirror.bytes() == 0, *delivers, "the gateway {what}: {:?}", gateway.requests());
        assert!(!gateway.requests().is_empty(), "the gateway {what}: it was asked");
    }
}
