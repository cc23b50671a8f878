//! A signed index: big files by content id, leaf by leaf, and the results of a contradiction with the database.

use std::time::Duration;

use crate::support::*;

const SIZE: usize = (5 << 20) + 12_345;
const MIB: usize = 1 << 20;

/// Makes a machine with a big package, an index that names its root, one mirror, and a misbehaving Kubo.
fn scene(bend: BendKubo) -> (Package, FakeKubo, FakeMirror, World) {
    let linux = Package::new("linux", SIZE);
    // Only the file itself is bent: its root block is available and proven.
    let root = pkgswarm::dag::build::build(&*linux.bytes).expect("memory can be read").root;
    let kubo = bend(FakeKubo::empty().holding(&linux.bytes).on(&format!("ipfs/{root}")));
    let mirror = FakeMirror::serving(&[linux.file()]);
    let world = World::new().repo("core", &[&linux], &[&mirror]).kubo(&kubo);
    Publisher::of(&world, &[&linux]).add_to(&world);
    (linux, kubo, mirror, world)
}

#[test]
fn a_big_package_comes_from_kubo_by_the_root_that_the_index_names() {
    let (linux, _kubo, mirror, world) = scene(|k| k);
    let out = world.out(&linux.file_name());
    world.xfer(&mirror.url("core", &linux.file_name()), &out).succeeds();
    world.has(&out, &linux.bytes);
    assert_eq!(mirror.bytes(), 0);
}

#[test]
fn what_a_broken_kubo_delivered_is_kept_up_to_the_last_proven_leaf() {
    let breaks: [(&str, BendKubo); 5] = [
        ("is killed", |k| k.cut_after(3 * MIB as u64 + 1000)),
        ("resets", |k| k.reset_after(3 * MIB as u64 + 1000)),
        ("stalls", |k| k.stall_after(3 * MIB as u64 + 1000)),
        ("writes junk and resets", |k| k.junk_and_reset_after(3 * MIB as u64 + 1000)),
        ("ends early with an error trailer", |k| k.trailer_error_after(3 * MIB as u64 + 1000)),
    ];
    for (what, bend) in breaks {
        // Slow, so that all sent bytes have also been read when the connection dies.
        let (linux, kubo, mirror, world) = scene(|k| k.slow(20 << 20));
        let kubo = bend(kubo);
        let out = world.out(&linux.file_name());
        let run = world.xfer(&mirror.url("core", &linux.file_name()), &out);
        assert_eq!(run.code(), 0, "Kubo {what}: {}", run.stderr);
        world.has(&out, &linux.bytes);
        world.store_is_settled();
        let from_mirror = mirror.bytes() as usize;
        assert!(
            from_mirror <= SIZE - 2 * MIB,
            "Kubo {what}: the mirror sent {from_mirror} bytes; {:?}",
            mirror.requests()
        );
        assert!(!kubo.requests().is_empty());
    }
}

#[test]
fn a_lie_in_a_late_leaf_costs_that_leaf() {
    let (linux, _kubo, mirror, world) = scene(|k| k.lying());
    let out = world.out(&linux.file_name());
    world.xfer(&mirror.url("core", &linux.file_name()), &out).succeeds();
    world.has(&out, &linux.bytes);
    let from_mirror = mirror.bytes() as usize;
    assert!(from_mirror > 0 && from_mirror <= 2 * MIB, "only the last leaf lied; the mirror sent {from_mirror} bytes");
}

#[test]
fn an_index_that_has_a_copy_does_not_wait_for_a_kubo_that_searches_in_vain() {
    let linux = Package::new("linux", SIZE);
    let kubo = FakeKubo::empty();
    let mirror = FakeMirror::serving(&[linux.file()]);
    let world = World::new().repo("core", &[&linux], &[&mirror]).kubo(&kubo);
    let publisher = Publisher::of(&world, &[&linux]);
    let url = format!("http://{}/index", publisher.copy.address());
    let run = world.run(&["index", "add", "test", &publisher.key, "--url", &url, "--repo", "core", "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    run.within(Duration::from_secs(5));
}

#[test]
fn a_flag_holds_for_the_refresh_that_adding_an_index_starts() {
    let zlib = Package::new("zlib", 40_000);
    let kubo = FakeKubo::empty();
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
    let publisher = Publisher::of(&world, &[&zlib]);
    let url = format!("http://{}/index", publisher.copy.address());
    let add = ["index", "add", "test", &publisher.key, "--url", &url, "--repo", "core", "--yes"];
    let run = world.run(&[&["--set", "kubo.enabled=false"], &add[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let asked = kubo.requests();
    assert!(asked.is_empty(), "Kubo is off: {asked:?}");
}

/// Makes a package about which database and index disagree.
fn disagreement(sig_level: &[&str]) -> (Package, FakeMirror, FakeKubo, World) {
    let (ours, theirs) = (Package::new("zlib", 40_000), Package::new("zlib-forged", 40_000));
    let theirs = Package { name: "zlib".into(), ..theirs };
    let mirror = FakeMirror::serving(&[ours.file()]);
    let kubo = FakeKubo::empty().holding(&ours.bytes).holding(&theirs.bytes);
    let world = World::new()
        .sync_database("core", &database(&[&ours], Compression::Gzip))
        .servers("core", &[mirror.repo("core")], sig_level)
        .kubo(&kubo);
    Publisher::of(&world, &[&theirs]).add_to(&world);
    (ours, mirror, kubo, world)
}

#[test]
fn where_pacman_checks_no_signatures_a_contradicted_file_is_refused() {
    let (ours, mirror, kubo, world) = disagreement(&[]);
    let asked = || mirror.requests().len() + kubo.requests().len();
    let before = asked();
    let run = world.xfer(&mirror.url("core", &ours.file_name()), &world.out(&ours.file_name()));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert!(run.said.contains("the sync database says sha256"), "{}", run.said);
    assert!(run.said.contains("index test says"), "both sides are named: {}", run.said);
    world.has_no_output();
    assert_eq!(asked(), before, "nothing is fetched");
}

#[test]
fn where_pacman_requires_signatures_the_database_decides_and_the_contradiction_is_told() {
    let (ours, mirror, _kubo, world) = disagreement(&["PackageRequired", "PackageTrustedOnly", "DatabaseOptional"]);
    let out = world.out(&ours.file_name());
    let run = world.xfer(&mirror.url("core", &ours.file_name()), &out);
    run.succeeds();
    world.has(&out, &ours.bytes);
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("index test says"), "{}", run.stderr);
}

#[test]
fn an_index_speaks_only_for_the_repos_it_was_added_for() {
    let (ours, theirs) = (Package::new("zlib", 40_000), Package::new("zlib-forged", 40_000));
    let theirs = Package { name: "zlib".into(), ..theirs };
    let mirror = FakeMirror::serving(&[ours.file()]);
    let world = World::new().repo("extra", &[&ours], &[&mirror]).repo("core", &[], &[&mirror]);
    Publisher::of(&world, &[&theirs]).add_to(&world);
    let out = world.out(&ours.file_name());
    world.xfer(&mirror.url("extra", &ours.file_name()), &out).succeeds();
    world.has(&out, &ours.bytes);
}

#[test]
fn an_index_whose_signature_is_wrong_is_not_taken() {
    let linux = Package::new("linux", SIZE);
    let mirror = FakeMirror::serving(&[linux.file()]);
    let world = World::new().repo("core", &[&linux], &[&mirror]);
    let (one, other) = (Publisher::of(&world, &[&linux]), Publisher::of(&World::new(), &[&linux]));
    let url = format!("http://{}/index", one.copy.address());
    let add = world.run(&["index", "add", "test", &other.key, "--url", &url, "--repo", "core", "--yes"]);
    let refresh = world.run(&["index", "refresh", "test"]);
    assert!(add.code() != 0 || refresh.code() != 0, "{} {}", add.stderr, refresh.stderr);
    // And the package still arrives, as without an index.
    let out = world.out(&linux.file_name());
    world.xfer(&mirror.url("core", &linux.file_name()), &out).succeeds();
    world.has(&out, &linux.bytes);
}

#[test]
fn of_repos_that_share_a_server_a_later_database_outranks_an_earlier_index() {
    let (wanted, other) = (Package::new("zlib", 5000), Package::new("elsewhere", 6000));
    let mirror = FakeMirror::serving(&[wanted.file()]);
    let shared = [mirror.repo("core")];
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip)).servers("core", &shared, &[]);
    let extra = database(&[&wanted], Compression::Gzip);
    let world = world.sync_database("extra", &extra).servers("extra", &shared, &[]);
    let world = FakeIndex::called("arch").saying(&wanted.file_name(), &other.bytes).in_use(world);
    let out = world.out(&wanted.file_name());
    world.xfer(&mirror.url("core", &wanted.file_name()), &out).succeeds();
    world.has(&out, &wanted.bytes);
}
