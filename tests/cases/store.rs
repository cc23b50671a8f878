//! `pkgswarm store`: what is kept and why, and what a cleaning removes.

use std::fs;
use std::time::{Duration, SystemTime};

use pkgswarm::base::digest::Sha256;

use super::json::documented;
use super::prefetch::{mirror_of, world_of};
use crate::support::*;

/// Makes every file of a store's part two hours old.
fn age(world: &World, part: &str) {
    let old = SystemTime::now() - Duration::from_secs(7200);
    for entry in fs::read_dir(world.path("store").join(part)).unwrap() {
        fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
    }
}

/// A store with a pending update, a file that pacman has, one that is no longer pending, and a partial one.
fn full() -> (World, Package, Package, Package) {
    let [pending, cached, spare] = ["pending", "cached", "spare"].map(|name| Package::new(name, 300_000));
    let mirror = mirror_of(&[&pending, &cached, &spare]);
    let world = world_of(&mirror, &[&pending, &cached, &spare]);
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    fs::write(world.path("cache").join(cached.file_name()), &cached.bytes).unwrap();
    let local = world.path("root/var/lib/pacman/local");
    for one in ["cached", "spare"] {
        fs::rename(local.join(format!("{one}-0.9-1")), local.join(format!("{one}-1.0-1"))).unwrap();
    }
    fs::write(world.path("store/partial").join("0".repeat(64)), "half").unwrap();
    age(&world, "files");
    age(&world, "partial");
    (world, pending, cached, spare)
}

#[test]
fn a_cleaning_keeps_pending_updates_and_says_what_it_freed() {
    let (world, pending, cached, spare) = full();
    let listed = world.run(&["store", "ls"]);
    assert_eq!(listed.code(), 0, "{}", listed.stderr);
    for (name, why) in [
        (pending.file_name(), "a pending update"),
        (cached.file_name(), "pacman's cache has it too"),
        (spare.file_name(), "until the room is needed"),
        ("0".repeat(64), "not complete; the next fetch goes on"),
    ] {
        let line = listed.stdout.lines().find(|line| line.contains(&name)).unwrap_or_default();
        assert!(line.ends_with(why), "{name}: {}", listed.stdout);
    }
    assert!(listed.stdout.contains("4 files, 878.9 KiB of 4.0 GiB in "), "{}", listed.stdout);
    assert!(listed.stdout.contains("585.9 KiB could go   # pkgswarm store clean\n"), "{}", listed.stdout);
    let before = world::listing(&world.path("store"));
    let shown = world.run(&["store", "clean", "-n"]);
    assert!(shown.stdout.contains("3 files would go, 585.9 KiB; nothing was changed\n"), "{}", shown.stdout);
    assert_eq!(world::listing(&world.path("store")), before);
    let done = world.run(&["store", "clean"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stdout.contains("3 files removed, 585.9 KiB freed in "), "{}", done.stdout);
    assert!(done.stdout.contains("kept: 1 file, 293.0 KiB: a pending update\n"), "{}", done.stdout);
    let left = world::listing(&world.path("store/files"));
    assert!(left.iter().any(|name| name == &pending.sha256().to_string()), "{left:?}");
    assert!(!left.iter().any(|name| name == &spare.sha256().to_string()), "{left:?}");
    assert!(world.path("cache").join(cached.file_name()).exists(), "pacman's cache is pacman's");
}

#[test]
fn a_cleaning_keeps_the_signatures_of_pending_updates_and_packages_that_lack_theirs() {
    let [listed, unsigned] = ["listed", "unsigned"].map(|name| Package::new(name, 300_000));
    let signature = listed.signature().1;
    let mirror = FakeMirror::serving(&[listed.file(), listed.signature(), unsigned.file()]);
    mirror.publish("core.db", &database(&[&listed, &unsigned], Compression::Gzip));
    let world = world_of(&mirror, &[&listed, &unsigned]);
    let world = FakeIndex::called("arch").listing(&listed).signed(&signature).in_use(world);
    world.run(&["prefetch", "--now"]);
    let kept = || {
        let kept = world::listing(&world.path("store/files"));
        let keys = [listed.sha256(), Sha256::of(&signature), unsigned.sha256()].map(|key| key.to_string());
        keys.map(|key| kept.contains(&key))
    };
    assert_eq!(kept(), [true; 3], "an indexed signature has a key of its own");
    age(&world, "files");
    let done = world.run(&["store", "clean"]);
    assert!(done.stdout.contains("0 files removed"), "{}{}", done.stdout, done.stderr);
    assert_eq!(kept(), [true; 3]);
}

#[test]
fn what_came_within_the_last_hour_is_left_to_the_run_that_may_want_it() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]);
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    fs::write(world.path("store/partial").join("0".repeat(64)), "half").unwrap();
    let done = world.run(&["store", "clean"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(
        done.stdout.contains("0 files removed") && done.stdout.contains("came within the last hour"),
        "{}",
        done.stdout
    );
    assert!(world.path("store/partial").join("0".repeat(64)).exists());
}

#[test]
fn the_fields_of_the_store_are_in_its_manual() {
    let (world, ..) = full();
    documented(&world, "pkgswarm-store-ls", &["store", "ls"]);
    documented(&world, "pkgswarm-store-clean", &["store", "clean"]);
    let empty = World::new();
    fs::remove_dir(empty.path("store")).unwrap();
    assert_eq!(empty.run(&["store", "ls"]).stdout, "no store yet\n");
    assert_eq!(empty.run(&["store", "clean"]).stderr, "no store yet\n");
}
