//! Partial files survive, and are never used without proof.

use std::fs;
use std::path::PathBuf;

use crate::support::world::{UNPRIVILEGED, give, listing};
use crate::support::*;

const SIZE: usize = 400_000;
const HALF: u64 = 200_000;

/// Makes a world after a run that got the first half: the mirror broke off and had no more for that run.
fn interrupted() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", SIZE);
    let name = zlib.file_name();
    // The file's own script is used up by the first request; then the general one applies.
    let mirror = FakeMirror::serving(&[zlib.file()]).status(404).on(&name).cut_after(HALF).times(1);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let run = world.xfer(&mirror.url("core", &name), &world.out(&name));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    world.has_no_output();
    assert_eq!(mirror.bytes() / HALF, 1, "half of it came");
    (zlib, mirror.honest(), world)
}

/// Returns the one partial in the store.
fn partial(world: &World) -> PathBuf {
    let names = listing(&world.path("store/partial"));
    assert_eq!(names.len(), 1, "{names:?}");
    world.path("store/partial").join(&names[0])
}

#[test]
fn the_next_run_goes_on_where_the_last_one_stopped() {
    let (zlib, mirror, world) = interrupted();
    let (name, sent) = (zlib.file_name(), mirror.bytes());
    let out = world.out(&name);
    world.xfer(&mirror.url("core", &name), &out).succeeds();
    world.has(&out, &zlib.bytes);
    world.store_is_settled();
    assert_eq!(mirror.requests().last().unwrap().header("range"), Some("bytes=200000-"));
    assert_eq!(mirror.bytes() - sent, HALF, "only the missing half");
}

#[test]
fn a_resume_starts_again_when_the_mirror_ignores_range() {
    let (zlib, mirror, world) = interrupted();
    let mirror = mirror.ignoring_range();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_wrong_content_range_is_not_written_into_the_file() {
    let (zlib, mirror, world) = interrupted();
    let second = FakeMirror::serving(&[zlib.file()]);
    let mirror = mirror.with_wrong_content_range();
    let world = world.servers("extra", &[second.repo("core")], &[]);
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    // Either it is asked again without a Range, or it is refused; the tail of another file is never appended.
    if run.code() == 0 {
        world.has(&world.out(&zlib.file_name()), &zlib.bytes);
    } else {
        assert_eq!(run.code(), 1, "{}", run.stderr);
        assert!(run.said.contains("broken: sent bytes from 1, asked from 200000"), "{}", run.said);
        world.has_no_output();
    }
}

#[test]
fn a_damaged_partial_is_noticed_and_the_file_arrives_right() {
    let (zlib, mirror, world) = interrupted();
    let partial = partial(&world);
    let mut bytes = fs::read(&partial).unwrap();
    bytes[1000] ^= 1;
    fs::write(&partial, bytes).unwrap();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    world.store_is_settled();
}

#[test]
fn a_partial_that_is_longer_than_the_file_is_no_obstacle() {
    let (zlib, mirror, world) = interrupted();
    fs::write(partial(&world), [zlib.bytes.as_slice(), b"and more"].concat()).unwrap();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_complete_partial_needs_no_mirror() {
    let (zlib, mirror, world) = interrupted();
    fs::write(partial(&world), &zlib.bytes).unwrap();
    let (asked, out) = (mirror.requests().len(), world.out(&zlib.file_name()));
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.requests().len(), asked);
}

#[test]
fn a_complete_but_wrong_partial_is_fetched_anew() {
    let (zlib, mirror, world) = interrupted();
    let mut bytes = zlib.bytes.clone();
    bytes[0] ^= 1;
    fs::write(partial(&world), bytes).unwrap();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_stored_file_that_was_damaged_is_not_used() {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    world.xfer(&url, &out).succeeds();
    let stored = world.path("store/files").join(zlib.sha256().to_string());
    let mut bytes = fs::read(&stored).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&stored, bytes).unwrap();
    give(&stored, UNPRIVILEGED);
    fs::remove_file(&out).unwrap();
    world.xfer(&url, &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.hits(&zlib.file_name()), 2);
}

#[test]
fn a_file_that_was_rebuilt_does_not_inherit_the_old_partial() {
    let (zlib, mirror, world) = interrupted();
    // The same name with other bytes, as after a rebuild: the database has the new one, the partial is of the old
    // one.
    let rebuilt = Package { bytes: Package::new("zlib-rebuilt", SIZE).bytes, ..zlib.clone() };
    mirror.publish(&rebuilt.file_name(), &rebuilt.bytes);
    let world = world.sync_database("core", &database(&[&rebuilt], Compression::Gzip));
    let out = world.out(&rebuilt.file_name());
    world.xfer(&mirror.url("core", &rebuilt.file_name()), &out).succeeds();
    world.has(&out, &rebuilt.bytes);
}

/// Adds a partial of this package to the world's store, as left by an earlier run.
fn with_partial(world: World, package: &Package, bytes: &[u8]) -> World {
    let dir = world.path("store/partial");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(package.sha256().to_string());
    fs::write(&path, bytes).unwrap();
    give(&dir, UNPRIVILEGED);
    give(&path, UNPRIVILEGED);
    world
}

#[test]
fn a_mirror_that_cannot_do_parts_is_asked_for_the_whole() {
    let bends: [(&str, Bend); 3] = [
        ("tells another part", |m| m.with_wrong_content_range()),
        ("fails with parts", |m| m.on("zlib-1.0-1-x86_64.pkg.tar.zst").status(500).times(1)),
        ("forbids parts", |m| m.on("zlib-1.0-1-x86_64.pkg.tar.zst").status(416).times(1)),
    ];
    for (what, bend) in bends {
        let zlib = Package::new("zlib", SIZE);
        let mirror = bend(FakeMirror::serving(&[zlib.file()]));
        let world = World::new().repo("core", &[&zlib], &[&mirror]);
        let world = with_partial(world, &zlib, &zlib.bytes[..200_000]);
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
    }
}

#[test]
fn after_a_mismatch_no_mirror_is_blamed_for_the_bytes_of_another() {
    let zlib = Package::new("zlib", SIZE);
    let name = zlib.file_name();
    // The first one breaks off twice and is then gone; the second one is honest.
    let first = FakeMirror::serving(&[zlib.file()]).status(404).on(&name).cut_after(100_000).times(2);
    let second = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&first, &second]);
    let mut damaged = zlib.bytes[..200_000].to_vec();
    damaged[1000] ^= 1;
    let world = with_partial(world, &zlib, &damaged);
    let out = world.out(&name);
    let run = world.xfer(&first.url("core", &name), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_damaged_partial_convicts_no_honest_mirror_where_leaves_are_known() {
    let linux = Package::new("linux", (3 << 20) + 5);
    // Kubo has the root block alone and finds no source of the rest.
    let mut last = Vec::new();
    let built = pkgswarm::dag::build::build_blocks(&*linux.bytes, |_, block| {
        last = block.to_vec();
        Ok(())
    });
    let kubo = FakeKubo::empty().holding_block(&built.unwrap().root.to_string(), &last);
    let mirror = FakeMirror::serving(&[linux.file()]);
    let world = World::new().repo("core", &[&linux], &[&mirror]).kubo(&kubo);
    Publisher::of(&world, &[&linux]).add_to(&world);
    let mut damaged = linux.bytes[..2 << 20].to_vec();
    damaged[(1 << 20) + 7] ^= 1;
    let world = with_partial(world, &linux, &damaged);
    let out = world.out(&linux.file_name());
    let run = world.xfer(&mirror.url("core", &linux.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &linux.bytes);
}
