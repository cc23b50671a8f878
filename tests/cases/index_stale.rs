//! An index whose publisher has stopped following its upstream: said once a day, and only when that is so.

use std::fs;

use serde_json::Value;

use crate::support::mirror::MODIFIED;
use crate::support::*;

const LINE: &str = "warning: index arch: it lacks what mirrors have of core, for ";

/// A mirror with a new `core.db`, and a machine whose index `arch` lists these bytes as that database, of this date.
fn scene(listed: &[u8], modified: u64) -> (FakeMirror, World) {
    let new = database(&[&Package::new("zlib", 3000)], Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &new)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let world = FakeIndex::called("arch").with_database("core.db", listed, modified).in_use(world);
    (mirror, world)
}

/// Returns the file with what is remembered of the index: with its state, or with the store of the user that downloads.
fn kept(world: &World) -> Option<std::path::PathBuf> {
    let all = |dir: &str| fs::read_dir(world.path(dir)).into_iter().flatten().flatten().map(|file| file.path());
    let in_store = all("store/cache").find(|path| path.extension().is_some_and(|end| end == "lag"));
    all("state/index/lag").next().or(in_store)
}

#[test]
fn an_index_that_stays_behind_the_mirror_is_said_once_a_day_and_doctor_finds_it() {
    let (mirror, world) = scene(b"an older database", MODIFIED - 60);
    let sync = || world.xfer(&mirror.url("core", "core.db"), &world.out("core.db"));
    let first = sync();
    assert!(first.code() == 0 && first.stderr.contains(LINE), "{first:?}");
    assert!(first.stderr.contains(": its publisher may have stopped\n"), "{first:?}");
    let again = sync();
    assert!(again.code() == 0 && !again.stderr.contains("publisher"), "{again:?}");
    let doctor = world.run(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("index arch: it lacks what mirrors have of core, for "), "{doctor:?}");
    let status: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    assert!(status["indexes"][0]["stale"].as_str().unwrap().starts_with("it lacks what mirrors have"), "{status}");
    // A day later it is said again.
    let file = kept(&world).expect("what is remembered");
    let text = fs::read_to_string(&file).unwrap();
    let (start, _) = text.split_once("\"told\":").expect("the time of the line");
    fs::write(&file, format!("{start}\"told\":1}}")).unwrap();
    assert!(sync().stderr.contains(LINE));
}

#[test]
fn an_index_that_has_what_the_mirror_has_or_newer_says_nothing() {
    let new = database(&[&Package::new("zlib", 3000)], Compression::Gzip);
    for (listed, modified) in [(new.as_slice(), MODIFIED - 60), (b"a newer one", MODIFIED), (b"newer", MODIFIED + 60)] {
        let (mirror, world) = scene(listed, modified);
        let run = world.xfer(&mirror.url("core", "core.db"), &world.out("core.db"));
        assert!(run.code() == 0 && !run.stderr.contains("publisher"), "{run:?}");
        assert_eq!(kept(&world), None, "and nothing is to be remembered");
    }
}

#[test]
fn an_expired_index_that_was_not_looked_for_since_says_nothing_about_its_publisher() {
    let new = database(&[&Package::new("zlib", 3000)], Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &new)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let world = FakeIndex::called("arch").with_database("core.db", b"old", 1).expired().in_use(world);
    let run = world.xfer(&mirror.url("core", "core.db"), &world.out("core.db"));
    assert!(run.code() == 0 && !run.stderr.contains("publisher"), "{run:?}");
}
