//! The files that pkgswarm and Kubo keep stay within limits, and an unusable store is no failure.

use std::fs;

use crate::support::mount::Mounted;
use crate::support::world::{can_be_two_users, listing};
use crate::support::*;

/// Counts the bytes of all files below a directory.
fn held(world: &World, below: &str) -> u64 {
    let dir = world.path(below);
    listing(&dir).iter().map(|name| fs::metadata(dir.join(name)).map_or(0, |found| found.len())).sum()
}

#[test]
fn twenty_rounds_of_upgrades_stay_within_the_limits_of_store_and_kubo() {
    let packages: Vec<Package> =
        (0..20).map(|i| Package::new("zlib", 40_000 + i).version(&format!("1.{i}-1"))).collect();
    let before = Package::new("precious", 50_000);
    let kubo = packages.iter().fold(FakeKubo::empty().holding(&before.bytes), |kubo, p| kubo.finding(&p.bytes));
    let mut world = World::new().kubo(&kubo).set("PKGSWARM_STORE_MAX", "100 KiB").set("PKGSWARM_KUBO_KEEP", "100 KiB");
    let mirror = FakeMirror::serving(&packages.iter().map(Package::file).collect::<Vec<_>>());
    world = world.repo("core", &[], &[&mirror]);
    for package in &packages {
        world = world.sync_database("core", &database(&[package], Compression::Gzip));
        let out = world.out(&package.file_name());
        let run = world.xfer_of_another_pacman(&mirror.url("core", &package.file_name()), &out);
        run.succeeds();
        world.has(&out, &package.bytes);
        fs::remove_file(out).unwrap();
        assert!(held(&world, "store/files") + held(&world, "store/partial") <= 102_400 + 4_096, "names included");
    }
    eventually("Kubo to be trimmed", || kubo.kept() <= 102_400 + 50_000);
    let precious = pkgswarm::base::cid::Cid::raw(before.sha256()).to_string();
    assert!(kubo.has_block(&precious), "what was in Kubo before is never touched");
    assert_eq!(mirror.bytes(), 0, "all of it came from Kubo");
}

#[test]
fn a_file_that_the_user_copied_into_mfs_is_not_removed_to_keep_kubo_within_its_limit() {
    let packages = [1, 2, 3].map(|i| Package::new("zlib", 40_000 + i).version(&format!("1.{i}-1")));
    let cid = |package: &Package| pkgswarm::base::cid::Cid::raw(package.sha256()).to_string();
    let kubo = packages.iter().fold(FakeKubo::empty(), |kubo, package| kubo.finding(&package.bytes));
    let kubo = kubo.keeping_in_mfs(&cid(&packages[0]));
    let mut world = World::new().kubo(&kubo).set("PKGSWARM_KUBO_KEEP", "1 KiB");
    let mirror = FakeMirror::serving(&packages.each_ref().map(Package::file));
    world = world.repo("core", &[], &[&mirror]);
    for package in &packages {
        world = world.sync_database("core", &database(&[package], Compression::Gzip));
        let out = world.out(&package.file_name());
        world.xfer_of_another_pacman(&mirror.url("core", &package.file_name()), &out).succeeds();
    }
    eventually("Kubo to be trimmed", || !kubo.has_block(&cid(&packages[1])));
    assert!(kubo.has_block(&cid(&packages[0])), "what is in MFS is the user's");
}

#[test]
fn what_pacman_has_by_now_leaves_the_store() {
    let (zlib, xz) = (Package::new("zlib", 40_000), Package::new("xz", 40_000));
    let core = database(&[&zlib, &xz], Compression::Gzip);
    let mirror = FakeMirror::serving(&[zlib.file(), xz.file(), ("core.db".to_owned(), core)]);
    let world = World::new().repo("core", &[&zlib, &xz], &[&mirror]);
    let out = world.out(&zlib.file_name());
    world.xfer_of_another_pacman(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    assert!(held(&world, "store/files") >= 40_000);
    // pacman takes it over, and a later run begins, as they all do, with the database.
    fs::rename(&out, world.path("cache").join(zlib.file_name())).unwrap();
    let out = world.out("core.db");
    world.xfer_of_another_pacman(&mirror.url("core", "core.db"), &out).succeeds();
    fs::remove_file(out).unwrap();
    let out = world.out(&xz.file_name());
    world.xfer_of_another_pacman(&mirror.url("core", &xz.file_name()), &out).succeeds();
    let stored = || listing(&world.path("store/files"));
    eventually("the store to be swept", || !stored().contains(&zlib.sha256().to_string()));
    let stored = stored();
    assert!(stored.contains(&xz.sha256().to_string()), "{stored:?}");
}

/// A large file is hashed while it is copied.
#[test]
fn a_large_file_of_the_store_is_copied_once_and_the_copy_is_proven() {
    let big = Package::new("big", 3 << 20);
    let mirror = FakeMirror::serving(&[big.file()]);
    let world = World::new().repo("core", &[&big], &[&mirror]);
    let (out, url) = (world.out(&big.file_name()), mirror.url("core", &big.file_name()));
    world.xfer_of_another_pacman(&url, &out).succeeds();
    let stored = world.path("store/files").join(big.sha256().to_string());
    for _ in 0..2 {
        fs::remove_file(&out).unwrap();
        let run = world.xfer_of_another_pacman(&url, &out);
        run.succeeds();
        assert!(run.stderr.ends_with(", fetched ahead\n"), "{}", run.stderr);
        world.has(&out, &big.bytes);
        // Not the store's own: pacman may change it.
        fs::write(&out, "scratched").unwrap();
        assert_eq!(fs::metadata(&stored).unwrap().len(), big.bytes.len() as u64);
    }
    assert_eq!(mirror.bytes(), big.bytes.len() as u64, "it was fetched once");

    let mut damaged = big.bytes.clone();
    damaged[2_500_000] ^= 1;
    fs::write(&stored, damaged).unwrap();
    fs::remove_file(&out).unwrap();
    let run = world.xfer_of_another_pacman(&url, &out);
    run.succeeds();
    assert!(!run.stderr.contains("fetched ahead"), "{}", run.stderr);
    world.has(&out, &big.bytes);
    assert_eq!(fs::read(&stored).unwrap(), big.bytes, "what was damaged is replaced");
}

#[test]
fn a_full_store_is_no_reason_to_fail() {
    if !can_be_two_users("a_full_store_is_no_reason_to_fail") {
        return;
    }
    let zlib = Package::new("zlib", 400_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let options = format!("size=64k,mode=0755,uid={0},gid={0}", world::UNPRIVILEGED);
    let Some(_mounted) = Mounted::on(&world.path("store"), &options) else { return };
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    assert_eq!(run.code(), 0, "curl would have worked: {}", run.stderr);
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_read_only_store_is_no_reason_to_fail() {
    if !can_be_two_users("a_read_only_store_is_no_reason_to_fail") {
        return;
    }
    let zlib = Package::new("zlib", 400_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let options = format!("ro,mode=0755,uid={0},gid={0}", world::UNPRIVILEGED);
    let Some(_mounted) = Mounted::on(&world.path("store"), &options) else { return };
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    assert_eq!(run.code(), 0, "curl would have worked: {}", run.stderr);
    world.has(&out, &zlib.bytes);
}
