//! The figures of `stats` match the servers' own counts.

use std::fs;

use crate::support::*;

/// Runs `pkgswarm stats --json` in this world.
fn stats(world: &World) -> serde_json::Value {
    let run = world.run(&["stats", "--json"]);
    assert_eq!((run.code(), run.stderr.as_str()), (0, ""));
    serde_json::from_str(&run.stdout).expect("one JSON object")
}

/// Returns the bytes of one source.
fn of(stats: &serde_json::Value, source: &str) -> u64 {
    let sources = stats["sources"].as_array().expect("a list");
    sources.iter().find(|row| row["source"] == source).map_or(0, |row| row["bytes"].as_u64().expect("a number"))
}

fn place(mirror: &FakeMirror) -> String {
    format!("mirror {}", mirror.address())
}

#[test]
fn stats_of_a_known_mix_of_transfers_equal_the_counters_of_the_servers() {
    let packages: Vec<Package> = ["alone", "cut", "lied", "peer", "again"]
        .iter()
        .zip(1..)
        .map(|(name, i)| Package::new(name, 150_000 * i))
        .collect();
    let [alone, cut, lied, peer, again] = packages.as_slice() else { unreachable!() };
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let first = FakeMirror::serving(&files).on(&cut.file_name()).cut_after(100_000).on(&lied.file_name()).lying();
    let second = FakeMirror::serving(&files);
    let kubo = FakeKubo::empty().holding(&peer.bytes);
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&first, &second]).kubo(&kubo);
    let mut delivered = 0;
    for package in [alone, peer, cut, lied, again, again] {
        let out = world.out(&package.file_name());
        let run = world.xfer_of_another_pacman(&first.url("core", &package.file_name()), &out);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        fs::remove_file(out).unwrap();
        delivered += package.bytes.len() as u64;
    }
    let stats = stats(&world);
    assert_eq!(of(&stats, &place(&first)), first.bytes(), "{stats}");
    assert_eq!(of(&stats, &place(&second)), second.bytes(), "{stats}");
    assert_eq!(of(&stats, "kubo"), peer.bytes.len() as u64, "{stats}");
    assert_eq!((stats["files"].as_u64(), stats["delivered"].as_u64()), (Some(6), Some(delivered)));
    let mirrors = first.bytes() + second.bytes();
    assert!(mirrors > delivered - peer.bytes.len() as u64 - again.bytes.len() as u64, "some bytes came in vain");
    assert_eq!(stats["saved"]["mirror_bytes"].as_u64(), Some(delivered - mirrors));
    let days = stats["days"].as_array().unwrap();
    let on_days: u64 = days.iter().map(|day| day["received"]["mirror"].as_u64().unwrap()).sum();
    assert_eq!(on_days, mirrors);
}

#[test]
fn what_failed_and_what_a_person_fetched_is_counted_too() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 200_000));
    let mirror = FakeMirror::serving(&[zlib.file(), xz.file()]).on(&zlib.file_name()).lying();
    let world = World::new().repo("core", &[&zlib, &xz], &[&mirror]);
    assert_eq!(world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).code(), 3);
    let failed = stats(&world);
    assert_eq!((failed["files"].as_u64(), of(&failed, &place(&mirror))), (Some(0), mirror.bytes()));
    assert_eq!(world.run(&["fetch", "xz"]).code(), 0);
    let fetched = stats(&world);
    assert_eq!((fetched["files"].as_u64(), of(&fetched, &place(&mirror))), (Some(1), mirror.bytes()));
}

#[test]
fn concurrent_calls_lose_no_record() {
    let packages: Vec<Package> = (0..24).map(|i| Package::new(&format!("p{i}"), 2000 + i)).collect();
    let mirror = FakeMirror::serving(&packages.iter().map(Package::file).collect::<Vec<_>>());
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]);
    let running: Vec<_> = packages
        .iter()
        .map(|package| world.start(&mirror.url("core", &package.file_name()), &world.out(&package.file_name())))
        .collect();
    running.into_iter().for_each(|run| {
        run.finish().succeeds();
    });
    let stats = stats(&world);
    assert_eq!((stats["files"].as_u64(), of(&stats, &place(&mirror))), (Some(24), mirror.bytes()));
}

#[test]
fn stats_for_people_say_what_was_saved_and_how_that_is_known() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let empty = world.run(&["stats"]);
    assert_eq!((empty.code(), empty.stdout.as_str()), (0, "Last 30 days: nothing was fetched or delivered\n"));
    for _ in 0..2 {
        world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).succeeds();
    }
    let run = world.run(&["stats", "--days", "0"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[..2], ["Saved 293.0 KiB of mirror traffic (50 %)", "Ever: 2 files delivered, 585.9 KiB"]);
    assert!(run.stdout.contains("here already") && run.stdout.contains("  293.0 KiB   50 %"), "{run:?}");
    assert!(run.stdout.contains("Time saved: ") && run.stdout.contains("over 1 file)"), "{run:?}");
    assert!(!run.stdout.contains('░'), "a chart is for terminals");
}
