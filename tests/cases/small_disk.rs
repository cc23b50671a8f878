//! On a small disk no file is stored twice, and files fetched earlier are evicted. `tests/real_pacman.rs` has
//! whole transactions, `tests/bench --case small-disk` the figures.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::support::mount::Mounted;
use crate::support::world::{UNPRIVILEGED, can_be_two_users, give, listing};
use crate::support::*;

const MIB: u64 = 1 << 20;

/// Makes a world whose store and output are on one disk of `bytes`, with a package and its mirror; the caller is
/// pacman's download user, or root.
fn on_a_disk_of(bytes: u64, by_user: bool) -> Option<(World, FakeMirror, Package, PathBuf, Mounted)> {
    if !can_be_two_users("on a small disk") {
        return None;
    }
    let zlib = Package::new("zlib", 3 << 20);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let world = if by_user { world.run_by_user() } else { world };
    let disk = world.path("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Mounted::on(&disk, &format!("size={bytes},mode=0755"))?;
    let out = disk.join("out");
    for (dir, user) in [(disk.join("store"), UNPRIVILEGED), (out.clone(), if by_user { UNPRIVILEGED } else { 0 })] {
        fs::create_dir(&dir).unwrap();
        give(&dir, user);
    }
    let world = world.set("PKGSWARM_STORE_DIR", disk.join("store").to_str().unwrap());
    Some((world, mirror, zlib, out.join("zlib.part"), mounted))
}

/// Writes bytes as a stored file of an earlier run.
fn store(world: &World, name: &str, sha256: &str, bytes: &[u8]) -> PathBuf {
    let files = world.path("disk/store/files");
    fs::create_dir_all(&files).unwrap();
    let (path, note) = (files.join(sha256), files.join(format!("{sha256}.name")));
    fs::write(&path, bytes).unwrap();
    fs::write(&note, format!("{name}\nlasting\nm.example\n")).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    for path in [&files, &path, &note] {
        give(path, UNPRIVILEGED);
    }
    path
}

/// Asserts that no part of the package is in the store.
fn holds_none_of_it(world: &World) {
    for part in ["files", "partial", "lock"] {
        assert_eq!(listing(&world.path("disk/store").join(part)), [""; 0], "{part}");
    }
}

#[test]
fn a_file_on_a_small_disk_takes_its_own_room_and_a_little_more() {
    for by_user in [true, false] {
        let Some((world, mirror, zlib, out, _disk)) = on_a_disk_of(3 * MIB + MIB + MIB / 2, by_user) else { return };
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        run.succeeds();
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        world.has(&out, &zlib.bytes);
        holds_none_of_it(&world);
        assert_eq!(mirror.bytes(), zlib.bytes.len() as u64);
    }
}

#[test]
fn a_file_that_is_not_listed_takes_its_own_room_and_a_little_more() {
    for by_user in [true, false] {
        let Some((world, mirror, _, out, _disk)) = on_a_disk_of(3 * MIB + MIB + MIB / 2, by_user) else { return };
        let other = Package::new("other", 3 << 20);
        mirror.publish(&other.file_name(), &other.bytes);
        let run = world.xfer(&mirror.url("elsewhere", &other.file_name()), &out);
        run.succeeds();
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        world.has(&out, &other.bytes);
        holds_none_of_it(&world);
    }
}

#[test]
fn a_file_of_the_store_leaves_it_where_there_is_no_room_for_two() {
    for by_user in [true, false] {
        let Some((world, mirror, zlib, out, _disk)) = on_a_disk_of(3 * MIB + MIB + MIB / 2, by_user) else { return };
        let stored = store(&world, &zlib.file_name(), &zlib.sha256().to_string(), &zlib.bytes);
        // Its fetcher may still have it open.
        let held = File::options().read(true).write(true).open(&stored).unwrap();
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        run.succeeds();
        assert!(run.stderr.contains("from m.example, fetched ahead"), "{}", run.stderr);
        world.has(&out, &zlib.bytes);
        holds_none_of_it(&world);
        assert_eq!(mirror.bytes(), 0);
        let (placed, fetched) = (fs::metadata(&out).unwrap(), held.metadata().unwrap());
        let caller = if by_user { UNPRIVILEGED } else { 0 };
        assert_eq!((placed.uid(), placed.nlink()), (caller, 1));
        // Root places a copy: the user's own file gets no second name.
        assert_eq!(placed.ino() == fetched.ino(), by_user);
        assert!(by_user || fetched.blocks() * 512 < MIB, "its room is given back");
    }
}

#[test]
fn a_damaged_file_of_the_store_is_fetched_where_there_is_no_room_for_two() {
    for by_user in [true, false] {
        let Some((world, mirror, zlib, out, _disk)) = on_a_disk_of(3 * MIB + MIB + MIB / 2, by_user) else { return };
        let mut damaged = zlib.bytes.clone();
        damaged[1_000_000] ^= 1;
        store(&world, &zlib.file_name(), &zlib.sha256().to_string(), &damaged);
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        holds_none_of_it(&world);
    }
}

#[test]
fn what_was_fetched_earlier_makes_room() {
    for by_user in [true, false] {
        let Some((world, mirror, zlib, out, _disk)) = on_a_disk_of(6 * MIB + MIB / 2, by_user) else { return };
        for i in 0..2_u8 {
            let old = vec![i; 2 << 20];
            let sha256 = pkgswarm::base::digest::Sha256::of(&old).to_string();
            store(&world, &format!("old{i}-1-1-any.pkg.tar.zst"), &sha256, &old);
        }
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        run.succeeds();
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        world.has(&out, &zlib.bytes);
        assert_eq!(listing(&world.path("disk/store/files")).len(), 2, "one of two, and its name: no more than needed");
        assert!(mirror.bytes() < 2 * zlib.bytes.len() as u64, "what had arrived was not fetched again");
    }
}

/// A failure for lack of room leaves no bytes behind: the next run finds the same disk.
#[test]
fn a_file_that_does_not_fit_fails_and_leaves_its_room() {
    let Some((world, mirror, zlib, out, _disk)) = on_a_disk_of(2 * MIB, false) else { return };
    // Nor is there room elsewhere.
    let script =
        ["/var/tmp", world.path("tmp").to_str().unwrap()].map(|dir| format!("mount -t tmpfs -o size=64k none {dir}"));
    let words = ["xfer", &mirror.url("core", &zlib.file_name()), out.to_str().unwrap()];
    let Some(run) = world.run_elsewhere(false, &script.join("\n"), &words) else { return };
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert_eq!(listing(out.parent().unwrap()), [""; 0]);
    holds_none_of_it(&world);
}
