//! Sync database and indexes disagree about a file: reported, and no side is declared right.

use crate::support::*;

const SIGNED: [&str; 2] = ["PackageRequired", "DatabaseOptional"];

/// Makes a package as in the database, and two indexes of which the second lists other bytes under its name.
fn scene(levels: &[&str], in_database: bool) -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", 4000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let packages: &[&Package] = if in_database { &[&zlib] } else { &[] };
    let world = World::new().sync_database("core", &database(packages, Compression::Gzip)).servers(
        "core",
        &[mirror.repo("core")],
        levels,
    );
    let world = FakeIndex::called("honest").listing(&zlib).in_use(world);
    let world = FakeIndex::called("other").saying(&zlib.file_name(), b"other bytes").in_use(world);
    (zlib, mirror, world)
}

#[test]
fn where_pacman_checks_signatures_the_database_decides_and_one_line_names_both_sides() {
    let (zlib, mirror, world) = scene(&SIGNED, true);
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    let warning = run.stderr.lines().next().unwrap();
    let start = format!("warning: {}: the sync database and index honest say sha256 ", zlib.file_name());
    assert!(warning.starts_with(&start) && warning.contains(", index other says sha256 "), "{warning}");
    assert!(warning.ends_with("; the database decides, as it would with curl"), "{warning}");
    std::fs::remove_file(out).unwrap();
    let run = world.run(&["fetch", "zlib"]);
    run.succeeds();
    assert!(run.stderr.starts_with(&start), "{}", run.stderr);
}

#[test]
fn where_pacman_checks_none_the_file_is_refused() {
    for in_database in [true, false] {
        let (zlib, mirror, world) = scene(&[], in_database);
        let name = zlib.file_name();
        for run in [world.xfer(&mirror.url("core", &name), &world.out(&name)), world.run(&["fetch", &name])] {
            assert_eq!(run.code(), 3, "{}", run.stderr);
            let who = if in_database { "the sync database and index honest say" } else { "index honest says" };
            assert!(run.stderr.starts_with(&format!("error: {name}: {who} sha256 ")), "{}", run.stderr);
            assert!(run.stderr.contains(", index other says sha256 "), "{}", run.stderr);
        }
        world.has_no_output();
        assert_eq!(mirror.requests().len(), 0, "nothing was fetched");
    }
}

#[test]
fn indexes_that_differ_about_a_signed_file_are_a_warning() {
    let (zlib, mirror, world) = scene(&SIGNED, false);
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    let warning = run.stderr.lines().next().unwrap();
    assert!(warning.ends_with("; the first of them is followed, and pacman checks the signature"), "{warning}");
}

#[test]
fn indexes_that_differ_about_a_root_cost_the_cid_alone() {
    let big = Package::new("big", 3 << 20);
    let (mirror, kubo) = (FakeMirror::serving(&[big.file()]), FakeKubo::empty().holding(&big.bytes));
    let world = World::new().repo("core", &[&big], &[&mirror]).kubo(&kubo);
    let wrong = pkgswarm::base::cid::Cid::dag_pb(big.sha256());
    let world = FakeIndex::called("honest").listing(&big).in_use(world);
    let world = FakeIndex::called("other").listing(&big).under(wrong).in_use(world);
    let out = world.out(&big.file_name());
    let run = world.xfer(&mirror.url("core", &big.file_name()), &out);
    run.succeeds();
    world.has(&out, &big.bytes);
    assert!(run.stderr.contains("; it is not asked for by CID\n"), "{}", run.stderr);
    assert!(kubo.requests().is_empty());
}
