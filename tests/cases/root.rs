//! Root with less than root's usual rights, and the names that its child may send.
//!
//! Image builders are a large part of pacman's users. Root's rights in each, and its scenario:
//!
//! | builder | root there | scenario |
//! |---|---|---|
//! | Docker as it comes | all users, the right to change to them | every other one by root |
//! | Docker with `--cap-drop`, hardened pods | no `CAP_SETUID` | `..._without_the_right_to_change_users_...` |
//! | Podman rootless with subordinate ids, `pacstrap -N` (`unshare --map-auto`) | 65,536 users | `..._of_a_mapped_range_...` |
//! | Podman without subordinate ids, mkosi as a user (`mkosi-sandbox --become-root`), `unshare -r` | one user | `..._that_is_the_only_user_...` |
//! | Docker and systemd-nspawn on a minimal image | passwd with root alone | `..._whose_passwd_has_root_alone_...` |
//! | systemd-nspawn on a whole image, archiso (mkarchiso), pacstrap | as on a machine | every other one by root |

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::support::world::{UNPRIVILEGED, can_be_two_users, give, listing, loudly};
use crate::support::*;

const CANNOT: &str = "warning: root cannot become user";

/// Makes a package at a mirror, and a world whose store root must not touch if it is another user's.
fn scene() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[zlib.file(), ("README".to_owned(), b"read me".to_vec())]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    (zlib, mirror, world)
}

/// Asserts that everything below `path` belongs to `user`, and that it is not empty.
fn belongs_to(path: &Path, user: u32) {
    let mut open = vec![path.to_owned()];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.uid(), user, "{}", path.display());
        files += usize::from(found.is_file());
        if found.is_dir() {
            open.extend(listing(&path).into_iter().map(|name| path.join(name)));
        }
    }
    assert!(files > 0, "nothing is in {}", path.display());
}

/// Lets root through `prefix` fetch a package, asserts one warning a transaction that root reads network data
/// itself, and that another user's store stays empty.
fn goes_on_as_it_is(prefix: &[&str]) {
    if !can_be_two_users(&format!("root by way of {prefix:?}")) {
        return;
    }
    if !World::can_run_through(prefix) {
        return loudly(&format!("root by way of {prefix:?}"));
    }
    let (zlib, mirror, world) = scene();
    let (out, url) = (world.out(&zlib.file_name()), mirror.url("core", &zlib.file_name()));
    let run = world.run_through(prefix, &["xfer", &url, out.to_str().unwrap()]);
    run.succeeds();
    assert_eq!(run.stderr.matches(CANNOT).count(), 1, "{}", run.stderr);
    world.has(&out, &zlib.bytes);
    assert_eq!(listing(&world.path("store")), [""; 0], "another user's store is not used");
    fs::remove_file(&out).unwrap();

    // A missing store is not made: root's would block its later owner.
    let nowhere = world.path("none").display().to_string();
    let world = world.set("PKGSWARM_STORE_DIR", &nowhere).set("PKGSWARM_STATE_DIR", &nowhere);
    let files = vec![(url.clone(), world.out("a")), (url.clone(), world.out("b")), (url, world.out("c"))];
    for _ in 0..2 {
        let run = world.transaction_through(prefix, &files);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert_eq!(run.stderr.matches(CANNOT).count(), 1, "once a transaction: {}", run.stderr);
        assert_eq!(run.stderr.matches("warning: ").count(), 1, "{}", run.stderr);
        assert_eq!(listing(&world.path("out")), ["a.part", "b.part", "c.part"]);
        assert!(!world.path("none").exists());
        assert_eq!(listing(&world.path("tmp")), [""; 0], "nothing is left behind");
    }

    // Root's own store is used.
    fs::create_dir(world.path("own")).unwrap();
    let own = world.path("own").display().to_string();
    let world = world.set("PKGSWARM_STORE_DIR", &own);
    assert_eq!(world.transaction_through(prefix, &files).code(), 0);
    belongs_to(&world.path("own"), 0);

    // A failure that has nothing to do with users stays the same.
    let run = world.run_through(prefix, &["xfer", &mirror.url("core", "zlib-9-9-any.pkg.tar.zst"), "x.part"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
}

#[test]
fn root_that_is_the_only_user_of_its_namespace_goes_on_as_it_is_and_says_so_once() {
    goes_on_as_it_is(&["unshare", "--user", "--map-root-user"]);
}

#[test]
fn root_without_the_right_to_change_users_goes_on_as_it_is_and_says_so_once() {
    goes_on_as_it_is(&["setpriv", "--bounding-set", "-setuid,-setgid", "--"]);
    goes_on_as_it_is(&["setpriv", "--bounding-set", "-setuid", "--"]);
}

#[test]
fn root_of_a_mapped_range_of_users_has_a_child_do_the_work() {
    let prefix = ["unshare", "--user", "--map-users=0,0,65536", "--map-groups=0,0,65536", "--setuid=0", "--setgid=0"];
    if !can_be_two_users("root of a mapped range") {
        return;
    }
    if !World::can_run_through(&prefix) {
        return loudly("root of a mapped range of users");
    }
    let (zlib, mirror, world) = scene();
    let out = world.out(&zlib.file_name());
    let run = world.run_through(&prefix, &["xfer", &mirror.url("core", &zlib.file_name()), out.to_str().unwrap()]);
    run.succeeds();
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    world.has(&out, &zlib.bytes);
    belongs_to(&world.path("store"), UNPRIVILEGED);
}

#[test]
fn root_whose_passwd_has_root_alone_works_through_the_number_that_no_user_has_and_keeps_nothing() {
    if !can_be_two_users("root whose passwd has root alone") {
        return;
    }
    let (zlib, mirror, world) = scene();
    fs::write(world.path("passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    let script = format!("mount --bind {}/passwd /etc/passwd", world.base());
    let out = world.out(&zlib.file_name());
    let words = ["xfer", &mirror.url("core", &zlib.file_name()), out.to_str().unwrap()];
    let before = listing(Path::new("/var/tmp"));
    let Some(run) = world.run_elsewhere(false, &script, &words) else { return };
    run.succeeds();
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    world.has(&out, &zlib.bytes);
    assert_eq!(listing(&world.path("store")), [""; 0], "nothing is kept for the shared number");
    let after = listing(Path::new("/var/tmp"));
    assert!(after.iter().all(|name| before.contains(name) || !name.contains("65534")), "{after:?}");
    // Nor is there another directory that it could write to.
    fs::remove_file(&out).unwrap();
    let closed =
        ["/var/tmp", world.path("tmp").to_str().unwrap()].map(|dir| format!("mount -t tmpfs -o ro none {dir}"));
    let run =
        world.run_elsewhere(false, &[std::slice::from_ref(&script), &closed[..]].concat().join("\n"), &words).unwrap();
    run.succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_download_user_that_does_not_exist_is_told_and_stops_no_package() {
    if !can_be_two_users("a download user that does not exist") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let world = world.set("PKGSWARM_DOWNLOAD_USER", "ghost");
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(run.stderr.matches("warning: download.user: there is no user \"ghost\"").count(), 1, "{}", run.stderr);
    // What came from a mirror passed through the hands of the store's owner, not of root.
    let owner = std::os::unix::fs::MetadataExt::uid(&world.path("store").metadata().unwrap());
    assert_ne!(owner, 0);
    belongs_to(&world.path("store/files"), owner);
    // The other commands wait for an answer.
    let run = world.run(&["fetch", &zlib.file_name()]);
    assert_eq!(run.code(), 2, "{}", run.stderr);
    assert!(run.stderr.contains("download.user") && run.stderr.contains("ghost"), "{}", run.stderr);
}

#[test]
fn root_that_is_told_to_work_itself_does_so_in_its_own_store() {
    if !can_be_two_users("root that is told to work itself") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let world = world.set("PKGSWARM_DOWNLOAD_USER", "root");
    give(&world.path("store"), 0);
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    world.has(&out, &zlib.bytes);
    belongs_to(&world.path("store/files"), 0);
}

#[test]
fn a_program_that_its_user_may_not_start_is_an_error_and_no_reason_to_go_on_as_root() {
    if !can_be_two_users("a program that its user may not start") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let closed = world.path("closed");
    fs::create_dir(&closed).unwrap();
    let copy =
        format!("cp \"$0\" \"$0-full\" {0}/ && chmod 700 {0} {0}/* && exec {0}/pkgswarm \"$@\"", closed.display());
    let out = world.out(&zlib.file_name());
    let words = ["xfer", &mirror.url("core", &zlib.file_name()), out.to_str().unwrap()];
    let run = world.run_through(&["sh", "-c", &copy], &words);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("must be executable for that user"), "{}", run.stderr);
    world.has_no_output();
}

/// `src/pacman/handover/receive.rs` tests the names that a compromised child could send.
#[test]
fn root_fetches_into_a_directory_what_was_asked_for_and_replaces_nothing_of_its_own() {
    if !can_be_two_users("root fetches into a directory") {
        return;
    }
    let (zlib, mirror, world) = scene();
    mirror.publish(".bashrc", b"evil");
    let into = world.path("home");
    fs::create_dir(&into).unwrap();
    let dir = into.to_str().unwrap();
    let fetch = |what: &[&str]| world.run(&[&["fetch", "--directory", dir], what].concat());
    let (readme, hidden) = (mirror.url("docs", "README"), mirror.url("docs", ".bashrc"));
    fetch(&[&zlib.file_name()]).succeeds();
    fetch(&[&zlib.file_name()]).succeeds();
    fetch(&[&readme]).succeeds();
    assert_eq!(fs::read(into.join(zlib.file_name())).unwrap(), zlib.bytes);

    fs::write(into.join("README"), "my own").unwrap();
    let run = fetch(&[&readme]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("is there already") && run.stderr.contains("--output"), "{}", run.stderr);
    assert_eq!(fs::read(into.join("README")).unwrap(), b"my own");
    let run = fetch(&[&hidden]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert_eq!(listing(&into), ["README".to_owned(), zlib.file_name()]);
    // Root replaces a file that it names itself, as always.
    world.run(&["fetch", &readme, "--output", into.join("README").to_str().unwrap()]).succeeds();
    assert_eq!(fs::read(into.join("README")).unwrap(), b"read me");

    let run = world.run(&["fetch", "--json", "--directory", dir, "zlib"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let line: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let cid = pkgswarm::base::cid::Cid::raw(zlib.sha256()).to_string();
    assert_eq!((&line["what"], &line["name"]), (&"zlib".into(), &zlib.file_name().into()));
    assert_eq!((&line["cid"], &line["size"]), (&cid.into(), &zlib.bytes.len().into()));
    assert_eq!(line["path"], into.join(zlib.file_name()).to_str().unwrap());
}

#[test]
fn adding_an_index_as_root_leaves_the_store_to_its_user() {
    if !can_be_two_users("adding_an_index_as_root_leaves_the_store_to_its_user") {
        return;
    }
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let world = world.set("PKGSWARM_DOWNLOAD_USER", "nobody");
    let publisher = Publisher::of(&world, &[&zlib]);
    fs::remove_dir_all(world.path("store")).unwrap();
    let url = format!("http://{}/index", publisher.copy.address());
    let run = world.run(&["index", "add", "test", &publisher.key, "--url", &url, "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(fs::metadata(world.path("store")).unwrap().uid(), UNPRIVILEGED);
    for show in [&["index", "ls"][..], &["index", "show", "test", "--entries"]] {
        let run = world.run(show);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert!(run.stdout.contains("core"), "{}", run.stdout);
    }
    assert!(!run.stderr.contains("without a lasting store"), "{}", run.stderr);
}
