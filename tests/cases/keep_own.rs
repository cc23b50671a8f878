//! `pkgswarm keep` without Kubo: a share in the store, which our daemon serves.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use serde_json::Value;

use super::json::documented;
use super::keep::{cid, keeping, mirror_with, packages, status};
use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::world::listing;
use crate::support::*;

const WHOLE: &[&str] = &["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"];
const ROUND: &[&str] = &["keep", "run", "--now"];

/// A machine without Kubo, with an index of these packages in use and a daemon.
fn without_kubo(packages: &[Package], daemon: &FakeDaemon, mirror: &FakeMirror) -> World {
    let world = keeping(packages, &FakeKubo::empty(), mirror).set("PKGSWARM_KUBO_ENABLED", "false");
    world.set("PKGSWARM_LAN_ENABLED", "true").set("PKGSWARM_DAEMON_SOCKET", daemon.socket().to_str().unwrap())
}

fn serving() -> FakeDaemon {
    FakeDaemon::holding(b"bytes", Daemon::Serving)
}

fn key(package: &Package) -> String {
    Sha256::of(&package.bytes).to_string()
}

/// Lists the packages that lie whole in this directory of the store, each with its note.
fn held(world: &World, directory: &str, packages: &[Package]) -> Vec<usize> {
    let dir = world.path(directory);
    let is_whole = |n: &usize| {
        let package = &packages[*n];
        let is_there = fs::read(dir.join(key(package))).is_ok_and(|bytes| bytes == package.bytes);
        is_there && fs::read_to_string(dir.join(key(package) + ".name")).unwrap().starts_with(&package.file_name())
    };
    (0..packages.len()).filter(is_whole).collect()
}

fn kept(world: &World, packages: &[Package]) -> Vec<usize> {
    let found = held(world, "store/kept/arch", packages);
    let count = listing(&world.path("store/kept/arch")).len();
    assert_eq!(count, 2 * found.len(), "nothing else: {:?}", listing(&world.path("store/kept/arch")));
    found
}

fn all(packages: &[Package]) -> Vec<usize> {
    (0..packages.len()).collect()
}

/// Counts the bytes that files below take on the disk.
fn taken(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(|meta| meta.is_file())
        .map(|meta| meta.blocks() * 512)
        .sum()
}

#[test]
fn a_share_without_kubo_is_proven_and_kept_once_in_the_store_and_status_says_where() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror);
    let run = world.run(WHOLE);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.said.contains("arch: 12 files kept, ") && run.said.contains("12 new ("), "{run:?}");
    assert!(run.said.contains("store/kept/arch, served by pkgswarm daemon"), "{run:?}");
    assert_eq!(kept(&world, &packages), all(&packages));
    world.store_is_settled();
    assert_eq!(listing(&world.path("store/files")), [""; 0], "one copy: that of the share");

    let asked = mirror.requests().len();
    let again = world.run(&["keep", "run", "--now", "--json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["taken"], &again["came"], &again["files"]), (&0.into(), &0.into(), &12.into()), "{again}");
    assert_eq!(mirror.requests().len(), asked);
    let told = status(&world);
    assert_eq!((&told["kept_in"], &told["files"]), (&"store".into(), &12.into()), "{told}");
    assert_eq!(told["networks"], serde_json::json!(["10.78.0.0/24@fa:36:00:00:00:01"]), "{told}");
    assert!(told["unserved"].is_null() && told["dir"].as_str().unwrap().ends_with("store/kept/arch"), "{told}");
    let page = world.run(&["keep", "status"]).stdout;
    assert!(page.contains("offered by pkgswarm daemon, to 10.78.0.0/24@fa:36:00:00:00:01"), "{page}");
    documented(&world, "pkgswarm-keep-status", &["keep", "status"]);
    documented(&world, "pkgswarm-keep-ls", &["keep", "ls"]);
}

#[test]
fn a_share_in_the_store_stays_within_its_quota_at_any_moment_and_shrinks_with_it() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror);
    let most_during = |quota: &str| {
        let words = ["keep", "arch", "--quota", quota, "--mirrors", "--min-free", "0%"];
        let running = RefCell::new(run::Running::start(world.command(&words), world.base()));
        let most = Cell::new(0);
        eventually("the end of the round", || {
            let now = taken(&world.path("store/kept/arch")) + taken(&world.path("store/partial"));
            most.set(most.get().max(now));
            running.borrow_mut().has_ended()
        });
        let run = running.into_inner().finish();
        assert_eq!(run.code(), 0, "{run:?}");
        (most.get(), taken(&world.path("store/kept/arch")))
    };
    let (most, two) = most_during("2M");
    assert!(most <= 2 << 20 && two > 300_000, "{most} {two}");
    let some = kept(&world, &packages);
    let (_, one) = most_during("400K");
    assert!(one <= 400 << 10 && one > 0, "{one}");
    let fewer = kept(&world, &packages);
    assert!(fewer.len() < some.len() && fewer.iter().all(|n| some.contains(n)), "{fewer:?} {some:?}");
    most_during("1G");
    assert_eq!(kept(&world, &packages), all(&packages));
}

#[test]
fn a_round_in_the_store_that_is_killed_is_continued() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    for files in 0..8 {
        let world = without_kubo(&packages, &daemon, &mirror);
        let running = RefCell::new(run::Running::start(world.command(WHOLE), world.base()));
        let arrived = || listing(&world.path("store/kept/arch")).len();
        eventually("some files, or the end", || arrived() > files || running.borrow_mut().has_ended());
        running.into_inner().kill();
        // Root's child ends a moment after it, and has the lock until then.
        eventually("the end of the next round", || {
            let run = world.run(ROUND);
            assert_eq!(run.code(), 0, "after {files}: {run:?}");
            status(&world)["files"] == 12
        });
        assert_eq!(kept(&world, &packages), all(&packages), "after {files}");
        assert_eq!(world.run(&["keep", "stop", "arch"]).code(), 0);
        assert!(!world.path("store/kept/arch").exists() && held(&world, "store/files", &packages).is_empty());
    }
}

#[test]
fn nothing_that_makes_room_takes_a_kept_file_and_the_machine_itself_uses_it() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror).set("PKGSWARM_STORE_MAX", "1 MiB");
    assert_eq!(world.run(WHOLE).code(), 0);
    let other = Package::new("other", 900_000);
    mirror.publish(&format!("core/os/x86_64/{}", other.file_name()), &other.bytes);
    let out = world.out(&other.file_name());
    assert_eq!(world.xfer(&mirror.url("core", &other.file_name()), &out).code(), 0);
    assert_eq!(world.run(&["store", "clean"]).code(), 0);
    assert_eq!(kept(&world, &packages), all(&packages));
    mirror.clear();
    for package in [&packages[0], &packages[1]] {
        let out = world.out(&package.file_name());
        let run = world.xfer(&mirror.url("core", &package.file_name()), &out);
        assert_eq!(run.code(), 0, "{run:?}");
        assert_eq!(fs::read(&out).unwrap(), package.bytes);
    }
    assert_eq!(kept(&world, &packages), all(&packages), "handed out, and still there");
}

#[test]
fn what_the_user_had_fetched_is_kept_without_a_second_copy_and_stays_when_the_share_ends() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror);
    let out = world.out(&packages[1].file_name());
    assert_eq!(world.xfer(&mirror.url("core", &packages[1].file_name()), &out).code(), 0);
    assert_eq!(held(&world, "store/files", &packages), [1]);
    assert_eq!(world.run(WHOLE).code(), 0);
    assert_eq!(kept(&world, &packages), all(&packages));
    assert_eq!(held(&world, "store/files", &packages), [0; 0], "one copy");
    assert_eq!(mirror.hits(&packages[1].file_name()), 1, "it was not fetched again");
    let run = world.run(&["keep", "stop", "arch"]);
    assert!(run.code() == 0 && run.said.contains("11 of them came because of the share"), "{run:?}");
    assert_eq!(held(&world, "store/files", &packages), [1]);
    assert!(!world.path("store/kept/arch").exists() && !world.path("state/keep/arch").exists());
    world.has(&out, &packages[1].bytes);
}

#[test]
fn with_leave_the_files_of_a_share_stay_under_their_names() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror);
    assert_eq!(world.run(WHOLE).code(), 0);
    let run = world.run(&["keep", "stop", "arch", "--leave"]);
    assert!(run.code() == 0 && run.said.contains("12 files, ") && run.said.contains("store/left/arch"), "{run:?}");
    let mut names: Vec<String> = packages.iter().map(Package::file_name).collect();
    names.sort();
    assert_eq!(listing(&world.path("store/left/arch")), names);
    assert_eq!(fs::read(world.path("store/left/arch").join(packages[0].file_name())).unwrap(), packages[0].bytes);
    assert!(!world.path("store/kept/arch").exists());
    assert_eq!(world.run(&["store", "clean"]).code(), 0);
    assert_eq!(listing(&world.path("store/left/arch")), names, "the user's own");
}

#[test]
fn where_neither_kubo_nor_the_daemon_can_serve_a_share_the_command_that_helps_is_named() {
    let packages = packages();
    let mirror = mirror_with(&packages);
    let idle = FakeDaemon::holding(b"bytes", Daemon::Idle);
    let world = without_kubo(&packages, &idle, &mirror);
    let run = world.run(WHOLE);
    assert!(run.code() == 2 && run.stderr.contains("pkgswarm daemon trusts no network"), "{run:?}");
    assert!(run.stderr.contains("sudo pkgswarm lan trust; or run Kubo"), "{run:?}");
    let world = world.set("PKGSWARM_DAEMON_SOCKET", "/nonexistent/socket");
    let run = world.run(ROUND);
    assert!(run.code() == 2 && run.stderr.contains("pkgswarm daemon does not answer"), "{run:?}");
    assert!(run.stderr.contains("systemctl enable --now pkgswarm-daemon.service"), "{run:?}");
    assert!(!world.path("store/kept/arch").exists());
    assert_eq!(mirror.requests().len(), 0);
}

#[test]
fn a_share_whose_daemon_is_gone_grows_no_more_and_makes_room_all_the_same() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "2M", "--mirrors", "--min-free", "0"]).code(), 0);
    let before = kept(&world, &packages);
    let world = world.set("PKGSWARM_DAEMON_SOCKET", "/nonexistent/socket");
    let run = world.run(&["keep", "arch", "--quota", "1G"]);
    assert!(run.code() == 1 && run.stderr.contains("no machine gets anything of the share in the store"), "{run:?}");
    assert_eq!(kept(&world, &packages), before);
    assert!(status(&world)["unserved"].as_str().unwrap().contains("does not answer"));
    let doctor = world.run(&["doctor"]).stdout;
    assert!(doctor.contains("no machine gets anything of the share of arch in the store"), "{doctor}");
    assert_eq!(world.run(&["keep", "arch", "--quota", "200K"]).code(), 1);
    let fewer = kept(&world, &packages);
    assert!(fewer.len() < before.len() && taken(&world.path("store/kept/arch")) <= 200 << 10, "{fewer:?}");
    let run = world.run(&["keep", "arch", "--min-free", "99%", "--quota", "1G"]);
    assert_eq!(run.code(), 1, "{run:?}");
    assert_eq!(kept(&world, &packages), [0; 0], "the room comes first");
}

#[test]
fn a_damaged_or_lost_file_of_a_share_comes_again_and_a_lost_state_takes_over_what_is_there() {
    let packages = packages();
    let (daemon, mirror) = (serving(), mirror_with(&packages));
    let world = without_kubo(&packages, &daemon, &mirror);
    assert_eq!(world.run(WHOLE).code(), 0);
    let path = |n: usize| world.path("store/kept/arch").join(key(&packages[n]));
    fs::remove_file(path(1)).unwrap();
    fs::write(path(2), b"short").unwrap();
    let same_length = vec![0; packages[3].bytes.len()];
    fs::write(path(3), same_length).unwrap();
    let run = world.run(ROUND);
    assert!(run.code() == 0 && run.said.contains("2 of 12 files were no longer in the store"), "{run:?}");
    // Another part is read each round: the next one reads that of this file.
    let path = world.path("state/keep/arch/state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["round"] = (u32::from(cid(&packages[3]).parse::<Cid>().unwrap().digest().0[0]) + 63).into();
    fs::write(&path, state.to_string()).unwrap();
    let run = world.run(ROUND);
    assert!(run.code() == 0 && run.said.contains("1 files were damaged on the disk, and come again"), "{run:?}");
    assert_eq!(kept(&world, &packages), all(&packages));
    let asked = mirror.requests().len();
    fs::remove_dir_all(world.path("state/keep")).unwrap();
    assert_eq!(world.run(ROUND).code(), 0);
    assert_eq!((kept(&world, &packages), mirror.requests().len()), (all(&packages), asked));
}

#[test]
fn a_share_stays_where_it_was_begun_whatever_comes_later() {
    let packages = packages();
    let (daemon, mirror, kubo) = (serving(), mirror_with(&packages), FakeKubo::empty());
    let world = without_kubo(&packages, &daemon, &mirror);
    assert_eq!(world.run(WHOLE).code(), 0);
    let world = world.kubo(&kubo);
    assert_eq!(world.run(ROUND).code(), 0);
    assert_eq!((kept(&world, &packages), kubo.pins().len()), (all(&packages), 0));
    assert_eq!(world.run(&["keep", "stop", "arch"]).code(), 0);
    assert_eq!(world.run(WHOLE).code(), 0);
    assert_eq!((status(&world)["kept_in"].as_str().unwrap(), kubo.pins().len()), ("kubo", 1));
    let world = world.set("PKGSWARM_KUBO_ENABLED", "false");
    let run = world.run(ROUND);
    assert!(run.code() == 2 && run.stderr.contains("its share is in Kubo"), "{run:?}");
}

#[test]
fn where_kubo_may_be_asked_and_does_not_run_the_daemon_serves_a_new_share() {
    let packages = packages();
    let (daemon, mirror, kubo) = (serving(), mirror_with(&packages), FakeKubo::empty());
    let auto = |world: World| world.set("PKGSWARM_KUBO_ENABLED", "auto");
    let runs = auto(without_kubo(&packages, &daemon, &mirror).kubo(&kubo));
    assert_eq!(runs.run(WHOLE).code(), 0);
    assert_eq!(status(&runs)["kept_in"], "kubo");
    let world = auto(without_kubo(&packages, &daemon, &mirror).kubo(&kubo));
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    assert_eq!(world.run(WHOLE).code(), 0);
    assert_eq!((kept(&world, &packages), status(&world)["kept_in"].as_str().unwrap()), (all(&packages), "store"));
}
