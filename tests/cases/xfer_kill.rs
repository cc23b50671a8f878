//! Killed at any instant: never a wrong or partial file at `%o`, and the work done so far is kept.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::install::install_script;
use crate::support::world::listing;
use crate::support::*;

const SIZE: usize = 1 << 20;

/// Counts bytes of this package that an ended run has left in the store, as a partial or complete.
fn kept(world: &World, package: &Package) -> u64 {
    let size = |part: &str| fs::metadata(world.path(part).join(package.sha256().to_string())).map(|found| found.len());
    size("store/files").or_else(|_| size("store/partial")).unwrap_or(0)
}

/// Asserts that the last run asked `mirror` for the missing bytes and for nothing else.
#[track_caller]
fn fetched_only_the_rest(mirror: &FakeMirror, runs_before: usize, kept: u64, when: &str) {
    let ranges: Vec<_> =
        mirror.requests()[runs_before..].iter().map(|r| r.header("range").map(str::to_owned)).collect();
    match kept as usize {
        0 => assert_eq!(ranges, [None], "{when}"),
        SIZE => assert!(ranges.is_empty(), "{when}: {ranges:?}"),
        kept => assert_eq!(ranges, [Some(format!("bytes={kept}-"))], "{when}"),
    }
}

/// Returns pseudo-random numbers, the same in every run (splitmix64).
fn random(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |i: u64| {
        let mut z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// Asserts that `out` is absent or the whole file, and that no other visible name exists.
#[track_caller]
fn nothing_or_everything(world: &World, out: &Path, package: &Package, when: &str) {
    let name = out.file_name().unwrap().to_str().unwrap();
    let visible: Vec<String> = listing(&world.path("out")).into_iter().filter(|n| !n.starts_with('.')).collect();
    assert!(visible.is_empty() || visible == [name], "{when}: {visible:?}");
    if let Ok(bytes) = fs::read(out) {
        assert!(bytes == package.bytes, "{when}: a wrong or partial file of {} bytes at %o", bytes.len());
    }
}

#[test]
fn killed_at_fifty_random_moments_leaves_nothing_wrong_and_resumes() {
    let mut resumed = 0;
    for (i, number) in random(20_250_602).take(50).enumerate() {
        let package = Package::new(&format!("victim{i}"), SIZE);
        // 4 MiB a second: pieces of 64 KiB, a quarter of a second in all.
        let mirror = FakeMirror::serving(&[package.file()]).slow(4 << 20);
        let world = if i % 2 == 0 { World::new() } else { World::new().run_by_user() };
        let world = world.repo("core", &[&package], &[&mirror]);
        let (url, out) = (mirror.url("core", &package.file_name()), world.out(&package.file_name()));
        let moment = number % (SIZE as u64 + 1);
        let when = format!("round {i}, killed after {moment} bytes");

        let running = world.start(&url, &out);
        mirror.server().wait_for_bytes(moment);
        running.kill();
        nothing_or_everything(&world, &out, &package, &when);
        mirror.server().wait_until_idle();
        let (kept, asked) = (kept(&world, &package), mirror.requests().len());
        resumed += usize::from(kept > 0);

        let mirror = mirror.honest();
        let _ = fs::remove_file(&out);
        let run = world.xfer(&url, &out);
        assert_eq!(run.code(), 0, "{when}: {}", run.stderr);
        world.has(&out, &package.bytes);
        fetched_only_the_rest(&mirror, asked, kept, &when);
    }
    assert!(resumed > 25, "most rounds had something to resume, not {resumed}");
}

#[test]
fn killed_while_the_file_is_being_placed_leaves_nothing_or_everything() {
    let package = Package::new("victim", 4 << 20);
    let mirror = FakeMirror::serving(&[package.file()]);
    for (i, number) in random(7).take(30).enumerate() {
        let world = if i % 2 == 0 { World::new() } else { World::new().run_by_user() };
        let world = world.repo("core", &[&package], &[&mirror]);
        let (url, out) = (mirror.url("core", &package.file_name()), world.out(&package.file_name()));
        let before = mirror.bytes();
        let running = world.start(&url, &out);
        mirror.server().wait_for_bytes(before + package.bytes.len() as u64);
        // The moment itself is random: some are before the proof, some in the copy, some after the end.
        let (begun, wait) = (Instant::now(), Duration::from_micros(number % 60_000));
        while begun.elapsed() < wait {
            std::thread::yield_now();
        }
        running.kill();
        nothing_or_everything(&world, &out, &package, &format!("round {i}, {wait:?} after the last byte"));
        let _ = fs::remove_file(&out);
        world.xfer(&url, &out).succeeds();
        world.has(&out, &package.bytes);
    }
}

#[test]
fn interrupted_by_a_signal_it_leaves_nothing_and_resumes_later() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let package = Package::new("victim", SIZE);
        // Slow, so that little is in the kernel's buffers when the signal comes.
        let mirror = FakeMirror::serving(&[package.file()]).slow(4 << 20).stall_after(500_000);
        let world = World::new().repo("core", &[&package], &[&mirror]).set("PKGSWARM_DOWNLOAD_PATIENCE", "60 s");
        let (url, out) = (mirror.url("core", &package.file_name()), world.out(&package.file_name()));
        let running = world.start(&url, &out);
        mirror.server().wait_for_bytes(500_000);
        running.signal(signal);
        let run = running.finish();
        assert_eq!(run.code(), code, "{signal:?}: {}", run.stderr);
        if signal == Signal::INT {
            let name = "victim-1.0-1-x86_64.pkg.tar.zst";
            assert_eq!(run.said, format!("error: {name}: interrupted; what has arrived is kept\n"));
        }
        world.has_no_output();

        mirror.server().wait_until_idle();
        let (mirror, asked, kept) = (mirror.honest(), 1, kept(&world, &package));
        if signal == Signal::INT {
            // pacman continues with the next server after ^C; the user meant all of it (doc/facts/pacman.md).
            assert_eq!(world.xfer(&url, &out).code(), 130, "the same transaction");
            assert_eq!(mirror.requests().len(), asked, "no source is asked any more");
        }
        world.xfer_of_another_pacman(&url, &out).succeeds();
        world.has(&out, &package.bytes);
        fetched_only_the_rest(&mirror, asked, kept, &format!("{signal:?}"));
    }
}

#[test]
fn no_process_goes_on_working_after_the_caller_was_killed() {
    // As root, a child that has dropped its rights does the work; it must not outlive its parent.
    let package = Package::new("victim", SIZE);
    let mirror = FakeMirror::serving(&[package.file()]).stall_after(500_000);
    let world = World::new().repo("core", &[&package], &[&mirror]).set("PKGSWARM_DOWNLOAD_PATIENCE", "600 s");
    let running = world.start(&mirror.url("core", &package.file_name()), &world.out(&package.file_name()));
    mirror.server().wait_for_bytes(500_000);
    running.kill();
    // A client that is gone closes its end, which ends the stalled conversation.
    mirror.server().wait_until_idle();
}

/// Counts the processes with this word on their command line.
fn processes_with(word: &str) -> usize {
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|found| found == word.as_bytes())).count()
}

#[test]
fn when_pacman_is_killed_nothing_is_fetched_any_more_however_soon_that_was() {
    for world in [World::new(), World::new().run_by_user()] {
        let world = world.set("PKGSWARM_AHEAD_ENABLED", "false");
        let package = Package::new("orphan", SIZE);
        let mirror = FakeMirror::serving(&[package.file()]);
        let world = world.repo("core", &[&package], &[&mirror]);
        let (url, out) = (mirror.url("core", &package.file_name()), world.out(&package.file_name()));
        // It runs before anything is fetched, and is slow.
        let (conf, asked) = (world.path("bin/pacman-conf"), world.path("store/asked"));
        fs::rename(&conf, world.path("bin/answer")).unwrap();
        let slow = format!("#!/bin/sh\n: >{}\nsleep 1\nexec {}/bin/answer \"$@\"\n", asked.display(), world.base());
        install_script(&slow, &conf);

        let pacman = world.called_by_pacman(&url, &out);
        eventually("pacman-conf to be asked", || asked.exists());
        pacman.kill();
        eventually("all of it to end", || processes_with(&url) == 0);
        assert_eq!(mirror.requests().len(), 0, "no caller needs it any more");
        world.has_no_output();
    }
}
