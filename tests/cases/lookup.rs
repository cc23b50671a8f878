//! Files by content: sha256 and CID, looked up in sync databases and indexes.

use pkgswarm::base::cid::Cid;
use pkgswarm::dag::build::build;

use crate::support::run::Run;
use crate::support::*;

fn cid(package: &Package) -> String {
    build(&package.bytes[..]).unwrap().root.to_string()
}

#[track_caller]
fn delivers(world: &World, what: &str, package: &Package) -> Run {
    let run = world.run(&["fetch", what]);
    run.succeeds();
    let out = world.path("out").join(package.file_name());
    world.has(&out, &package.bytes);
    std::fs::remove_file(out).unwrap();
    run
}

/// Sizes on both sides of one chunk.
const SIZES: [usize; 2] = [5000, 3 << 20];

#[test]
fn a_sha256_that_only_an_index_lists_is_fetched_from_the_mirror() {
    for size in SIZES {
        let (known, lonely) = (Package::new("known", 100), Package::new("lonely", size));
        let mirror = FakeMirror::serving(&[known.file(), lonely.file()]);
        let world = World::new().repo("core", &[&known], &[&mirror]);
        let world = FakeIndex::called("arch").listing(&lonely).in_use(world);
        delivers(&world, &lonely.sha256().to_string(), &lonely);
        delivers(&world, &known.sha256().to_string(), &known);
    }
}

#[test]
fn a_sha256_of_the_database_comes_from_peers_by_the_root_that_an_index_knows() {
    let big = Package::new("big", 3 << 20);
    let (mirror, kubo) = (FakeMirror::serving(&[big.file()]), FakeKubo::empty().holding(&big.bytes));
    let world = World::new().repo("core", &[&big], &[&mirror]).kubo(&kubo);
    let world = FakeIndex::called("arch").listing(&big).in_use(world);
    delivers(&world, &big.sha256().to_string(), &big);
    assert_eq!(mirror.bytes(), 0);
}

#[test]
fn a_repo_that_only_an_index_has_needs_no_pacman_and_no_mirror() {
    for size in SIZES {
        let lonely = Package::new("lonely", size);
        let kubo = FakeKubo::empty().holding(&lonely.bytes);
        let world = World::new().kubo(&kubo);
        let world = FakeIndex::called("arch").listing(&lonely).in_use(world);
        for what in [lonely.sha256().to_string(), cid(&lonely), "lonely".to_owned(), lonely.file_name()] {
            delivers(&world, &what, &lonely);
        }
    }
}

#[test]
fn a_cid_that_is_listed_comes_from_mirrors_when_no_peer_has_it() {
    for size in SIZES {
        let package = Package::new("zlib", size);
        let mirror = FakeMirror::serving(&[package.file()]);
        let world = World::new().repo("core", &[&package], &[&mirror]);
        let world = FakeIndex::called("arch").listing(&package).in_use(world);
        delivers(&world, &cid(&package), &package);
        delivers(&world, &format!("ipfs://{}", cid(&package)), &package);
        let kubo = FakeKubo::empty();
        delivers(&world.kubo(&kubo), &cid(&package), &package);
        assert!(mirror.bytes() >= size as u64);
    }
}

#[test]
fn a_cid_under_which_an_index_lists_something_else_is_still_that_cid() {
    let (wanted, other) = (Package::new("wanted", 2 << 20), Package::new("other", 3 << 20));
    let root: Cid = cid(&wanted).parse().unwrap();
    let mirror = FakeMirror::serving(&[other.file()]);
    let kubo = FakeKubo::empty().holding(&wanted.bytes);
    let world = World::new().repo("core", &[], &[&mirror]).kubo(&kubo);
    let world = FakeIndex::called("arch").listing(&other).under(root).in_use(world);
    let run = world.run(&["fetch", &root.to_string()]);
    run.succeeds();
    world.has(&world.path("out").join(root.to_string()), &wanted.bytes);
    assert!(run.stderr.contains("which is the CID of something else"), "{}", run.stderr);
}

#[test]
fn a_sha256_is_that_file_whatever_is_said_about_its_name() {
    // The index has an older build of the same name, and the user asks for exactly that.
    let (new, old) =
        (Package::new("zlib", 5000), Package { bytes: Package::new("old", 6000).bytes, ..Package::new("zlib", 1) });
    let kubo = FakeKubo::empty().holding(&old.bytes);
    let mirror = FakeMirror::serving(&[new.file()]);
    let world = World::new().repo("core", &[&new], &[&mirror]).kubo(&kubo);
    let world = FakeIndex::called("arch").listing(&old).in_use(world);
    delivers(&world, &old.sha256().to_string(), &old);
    delivers(&world, &new.sha256().to_string(), &new);
    let run = world.run(&["fetch", "zlib"]);
    assert_eq!(run.code(), 3, "the name alone does not tell which: {}", run.stderr);
}
