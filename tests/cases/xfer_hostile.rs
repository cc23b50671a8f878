//! Traps of another local user: nothing outside is written, nothing unproven is used, nothing hangs.
//!
//! Scenarios that need a second user report when they cannot have one; CI runs as root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::world::{UNPRIVILEGED, can_be_two_users, give, listing};
use crate::support::*;

/// The other user.
const MALLORY: u32 = 65_533;

const SIZE: usize = 40_000;

fn scene() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    (zlib, mirror, world)
}

/// Makes a file that must stay as it is.
fn victim(world: &World) -> PathBuf {
    let path = world.path("victim");
    fs::write(&path, "mine").unwrap();
    path
}

#[track_caller]
fn is_untouched(victim: &Path) {
    assert_eq!(fs::read(victim).unwrap(), b"mine");
    assert_eq!(fs::symlink_metadata(victim).unwrap().uid(), rustix::process::getuid().as_raw());
}

fn fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::from(0o666)).unwrap();
}

#[test]
fn a_link_at_the_output_path_is_replaced_and_not_followed() {
    for dangling in [false, true] {
        let (zlib, mirror, world) = scene();
        let (victim, out) = (victim(&world), world.out(&zlib.file_name()));
        symlink(if dangling { world.path("nowhere") } else { victim.clone() }, &out).unwrap();
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        is_untouched(&victim);
        assert!(!world.path("nowhere").exists());
    }
}

#[test]
fn a_hard_link_at_the_output_path_is_replaced() {
    let (zlib, mirror, world) = scene();
    let (victim, out) = (victim(&world), world.out(&zlib.file_name()));
    fs::hard_link(&victim, &out).unwrap();
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    is_untouched(&victim);
}

#[test]
fn a_fifo_at_the_output_path_is_replaced_and_not_waited_for() {
    let (zlib, mirror, world) = scene();
    let out = world.out(&zlib.file_name());
    fifo(&out);
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_directory_at_the_output_path_is_an_error() {
    let (zlib, mirror, world) = scene();
    let out = world.out(&zlib.file_name());
    fs::create_dir(&out).unwrap();
    world
        .xfer(&mirror.url("core", &zlib.file_name()), &out)
        .fails(4, "error: $WORLD/out/zlib-1.0-1-x86_64.pkg.tar.zst.part: the output path is a directory\n");
    assert_eq!(listing(&out), [""; 0]);
}

#[test]
fn a_file_of_another_user_at_the_output_path_is_replaced() {
    if !can_be_two_users("a_file_of_another_user_at_the_output_path_is_replaced") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let out = world.out(&zlib.file_name());
    fs::write(&out, "theirs").unwrap();
    give(&out, MALLORY);
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(fs::metadata(&out).unwrap().uid(), 0, "a fresh file");
}

#[test]
fn a_file_that_cannot_be_replaced_is_an_error_and_stays() {
    if !can_be_two_users("a_file_that_cannot_be_replaced_is_an_error_and_stays") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let world = world.run_by_user();
    let (dir, out) = (world.path("out"), world.out(&zlib.file_name()));
    // Like /tmp: any user may add files, only the owner may remove them.
    give(&dir, 0);
    fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
    fs::write(&out, "theirs").unwrap();
    give(&out, MALLORY);
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.said.contains("cannot be written: Operation not permitted"), "{}", run.said);
    assert_eq!(fs::read(&out).unwrap(), b"theirs");
    assert_eq!(listing(&dir).len(), 1, "no strays");
}

#[test]
fn links_in_the_store_are_not_followed() {
    for part in ["partial", "files", "lock"] {
        let (zlib, mirror, world) = scene();
        let victim = victim(&world);
        let dir = world.path("store").join(part);
        fs::create_dir(&dir).unwrap();
        give(&dir, UNPRIVILEGED);
        let planted = dir.join(zlib.sha256().to_string());
        symlink(&victim, &planted).unwrap();
        give(&planted, UNPRIVILEGED);
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{part}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
        is_untouched(&victim);
    }
}

#[test]
fn fifos_in_the_store_are_not_waited_for() {
    for part in ["partial", "files", "lock"] {
        let (zlib, mirror, world) = scene();
        let dir = world.path("store").join(part);
        fs::create_dir(&dir).unwrap();
        give(&dir, UNPRIVILEGED);
        let planted = dir.join(zlib.sha256().to_string());
        fifo(&planted);
        give(&planted, UNPRIVILEGED);
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{part}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
    }
}

#[test]
fn hard_links_in_the_store_are_not_written_through() {
    for part in ["partial", "files", "lock"] {
        let (zlib, mirror, world) = scene();
        let victim = victim(&world);
        let dir = world.path("store").join(part);
        fs::create_dir(&dir).unwrap();
        give(&dir, UNPRIVILEGED);
        fs::hard_link(&victim, dir.join(zlib.sha256().to_string())).unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o666)).unwrap();
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{part}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
        is_untouched(&victim);
    }
}

#[test]
fn a_store_that_is_a_link_is_not_used() {
    let (zlib, mirror, world) = scene();
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    give(&elsewhere, UNPRIVILEGED);
    fs::remove_dir(world.path("store")).unwrap();
    symlink(&elsewhere, world.path("store")).unwrap();
    give(&world.path("store"), UNPRIVILEGED);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(listing(&elsewhere), [""; 0]);
}

#[test]
fn a_store_that_others_may_write_to_is_not_used() {
    let (zlib, mirror, world) = scene();
    fs::set_permissions(world.path("store"), Permissions::from_mode(0o777)).unwrap();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(listing(&world.path("store")), [""; 0], "nothing is put into a store that is not ours alone");
}

#[test]
fn the_store_of_another_user_is_not_used() {
    if !can_be_two_users("the_store_of_another_user_is_not_used") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let world = world.run_by_user();
    let files = world.path("store/files");
    fs::create_dir(&files).unwrap();
    let planted = files.join(zlib.sha256().to_string());
    fs::write(&planted, vec![0; SIZE]).unwrap();
    for path in [&world.path("store"), &files, &planted] {
        give(path, MALLORY);
    }
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(listing(&world.path("store")), ["files"], "nothing was added");
}

#[test]
fn a_store_directory_that_cannot_be_made_is_no_reason_to_fail() {
    let (zlib, mirror, world) = scene();
    let world = world.run_by_user().set("PKGSWARM_STORE_DIR", "/proc/pkgswarm-cannot-be-here");
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_lock_that_another_process_holds_for_ever_is_no_reason_to_fail() {
    let (zlib, mirror, world) = scene();
    let dir = world.path("store/lock");
    fs::create_dir(&dir).unwrap();
    give(&dir, UNPRIVILEGED);
    let path = dir.join(zlib.sha256().to_string());
    let held = fs::File::create(&path).unwrap();
    give(&path, UNPRIVILEGED);
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn what_stands_in_a_cache_dir_is_proven_and_never_followed() {
    type Plant = fn(&World, &Path);
    let plants: [(&str, Plant); 5] = [
        ("wrong bytes", |_, path| fs::write(path, vec![0; SIZE]).unwrap()),
        ("a link to a secret", |world, path| {
            let secret = world.path("secret");
            fs::write(&secret, "root:$6$secret").unwrap();
            fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
            symlink(secret, path).unwrap();
        }),
        ("a FIFO", |_, path| fifo(path)),
        ("a directory", |_, path| fs::create_dir(path).unwrap()),
        ("a device", |_, path| symlink("/dev/zero", path).unwrap()),
    ];
    for user in [false, true] {
        for (what, plant) in plants {
            let (zlib, mirror, world) = scene();
            let world = if user { world.run_by_user() } else { world };
            let cached = world.path("cache").join(zlib.file_name());
            plant(&world, &cached);
            let out = world.out(&zlib.file_name());
            let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
            assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
            assert!(!run.stderr.contains("$6$"), "{what}: {}", run.stderr);
            world.has(&out, &zlib.bytes);
            assert_eq!(mirror.bytes(), SIZE as u64, "{what}");
            assert!(fs::symlink_metadata(&cached).is_ok(), "{what}: the cache is pacman's");
        }
    }
}

#[test]
fn a_link_to_the_right_bytes_in_a_cache_dir_cannot_do_harm() {
    let (zlib, mirror, world) = scene();
    let real = world.path("elsewhere.pkg");
    fs::write(&real, &zlib.bytes).unwrap();
    symlink(&real, world.path("cache").join(zlib.file_name())).unwrap();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(fs::read(&real).unwrap(), zlib.bytes);
}

#[test]
fn the_store_belongs_to_its_user_even_after_a_run_as_root() {
    if !can_be_two_users("the_store_belongs_to_its_user_even_after_a_run_as_root") {
        return;
    }
    let (zlib, mirror, world) = scene();
    world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).succeeds();
    let mut open = vec![world.path("store"), world.path("state")];
    while let Some(path) = open.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.uid(), UNPRIVILEGED, "{}: root must not write here", path.display());
        if found.is_dir() {
            open.extend(listing(&path).into_iter().map(|name| path.join(name)));
        }
    }
}

#[test]
fn what_pacman_conf_said_is_for_no_other_user_to_read() {
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).succeeds();
    let cache = world.path("store/cache");
    let kept: Vec<_> = listing(&cache).into_iter().filter(|name| name.starts_with("pacman-conf-")).collect();
    assert_eq!(kept.len(), 1, "{:?}", listing(&cache));
    assert_eq!(fs::metadata(cache.join(&kept[0])).unwrap().mode() & 0o777, 0o600);
}
