//! Read-ahead with fakes: its own files, its descriptors of others, and that its death harms no call.
//!
//! `tests/real_ahead.rs` has the transactions of real pacman.

use std::fs;

use crate::support::install::install_script;
use crate::support::world::listing;
use crate::support::*;

/// Makes the world's pacman answer `-p` for these packages: they need nothing, and 7.1.0 prints the same line.
fn knowing(world: World, mirror: &FakeMirror, packages: &[&Package]) -> World {
    let coming: String = packages
        .iter()
        .map(|package| {
            let file = package.file_name();
            let name = file.split('-').next().unwrap();
            format!(
                "printf 'pkgswarm:coming\\tcore\\t%s\\t1.0-1\\t%s\\t\\t\\t\\t\\n' '{name}' '{}'\n",
                mirror.url("core", &file)
            )
        })
        .collect();
    let script = format!("#!/bin/sh\ncase \"$*\" in *--print-format*) ;; *) exit 1 ;; esac\n{coming}");
    install_script(&script, &world.path("bin/pacman"));
    world
}

fn stored(package: &Package) -> String {
    format!("until [ -e \"$PKGSWARM_STORE_DIR/files/{}\" ]; do sleep 0.01; done", package.sha256())
}

/// Finds the process that reads ahead for this shell.
const AHEAD: &str =
    "until ahead=$(grep -lzs \"^$$-\" /proc/[0-9]*/cmdline | head -n 1) && [ \"$ahead\" ]; do sleep 0.01; done
    ahead=${ahead%/cmdline}";

#[test]
fn ahead_hands_on_what_the_local_kubo_has_and_keeps_none_of_it() {
    let (first, second, third) =
        (Package::new("first", 9_000), Package::new("second", 90_000), Package::new("third", 99));
    let kubo = FakeKubo::empty().holding(&first.bytes).holding(&second.bytes).holding(&third.bytes);
    let mirror = FakeMirror::serving(&[first.file(), second.file(), third.file()]);
    let world = World::new().repo("core", &[&first, &second, &third], &[&mirror]).kubo(&kubo);
    let world = knowing(world, &mirror, &[&first, &second, &third]);
    let files =
        [&first, &second].map(|package| (mirror.url("core", &package.file_name()), world.out(&package.file_name())));
    assert_eq!(world.transaction(&files, &format!("{}; {}", stored(&second), stored(&third))).code(), 0);
    for (package, (_, out)) in [&first, &second].iter().zip(&files) {
        assert!(fs::read(out).unwrap() == package.bytes, "{}", out.display());
    }
    eventually("the rest to be cleared away", || listing(&world.path("store/files")).is_empty());
    eventually("what was set aside to go", || listing(&world.path("store/aside")).is_empty());
    let cid = pkgswarm::base::cid::Cid::raw(second.sha256()).to_string();
    let read = kubo.requests().into_iter().filter(|request| request.method == "GET" && request.path().contains(&cid));
    assert_eq!(read.count(), 1, "read once, ahead of its call");
    assert_eq!(mirror.bytes(), 0);
}

#[test]
fn a_read_ahead_that_is_killed_is_not_missed() {
    let (first, second) = (Package::new("first", 9_000), Package::new("second", 400_000));
    let mirror = FakeMirror::serving(&[first.file(), second.file()]).on(&second.file_name()).slow(800_000);
    let world = World::new().repo("core", &[&first, &second], &[&mirror]);
    let world = knowing(world, &mirror, &[&first, &second]);
    let files =
        [&first, &second].map(|package| (mirror.url("core", &package.file_name()), world.out(&package.file_name())));
    let partial = format!("until [ -s \"$PKGSWARM_STORE_DIR/partial/{}\" ]; do sleep 0.01; done", second.sha256());
    assert_eq!(world.transaction(&files, &format!("{partial}; {AHEAD}; kill -9 ${{ahead#/proc/}}")).code(), 0);
    assert!(fs::read(&files[1].1).unwrap() == second.bytes);
    assert!(mirror.bytes() < 9_000 + 2 * 400_000, "what it had fetched is kept");
    assert_eq!(mirror.hits(&second.file_name()), 2);
}

#[test]
fn ahead_runs_in_a_session_of_its_own_and_holds_nothing_of_pacmans() {
    let (first, second) = (Package::new("first", 9_000), Package::new("second", 400_000));
    let mirror = FakeMirror::serving(&[first.file(), second.file()]).on(&second.file_name()).slow(200_000);
    let world = World::new().repo("core", &[&first, &second], &[&mirror]);
    let world = knowing(world, &mirror, &[&first, &second]);
    let files =
        [&first, &second].map(|package| (mirror.url("core", &package.file_name()), world.out(&package.file_name())));
    let secret = world.path("out/secret");
    fs::write(&secret, "").unwrap();
    let look = format!(
        "until [ -s \"$PKGSWARM_STORE_DIR/partial/{}\" ]; do sleep 0.01; done
        {AHEAD}
        ls -l $ahead/fd >fds; cut -d ' ' -f 6 $ahead/stat >session; echo ${{ahead#/proc/}} >pid; cat $ahead/status >status",
        second.sha256()
    );
    assert_eq!(world.transaction(&files, &look).code(), 0);
    let seen = |name: &str| fs::read_to_string(world.path("out").join(name)).unwrap();
    assert_eq!(seen("session"), seen("pid"), "it leads a session");
    let fds = seen("fds");
    assert!(!fds.contains("secret") && fds.matches("/dev/null").count() == 3, "{fds}");
    if rustix::process::getuid().is_root() {
        assert!(!seen("status").contains("Uid:\t0\t"), "{}", seen("status"));
    }
}
