//! Attacks on an index, named as in The Update Framework, and the index that stays in use.

use std::fs;
use std::time::Duration;

use pkgswarm::index::manifest::MANIFEST_MOST;

use crate::support::daemon::{Daemon, FakeDaemon, Stock};
use crate::support::keys::now;
use crate::support::run::Run;
use crate::support::*;

const LIFE: u64 = 172_800;

/// A user of an index that was fetched once, an hour old and with one package in it.
struct Scene {
    publisher: Keys,
    mirror: FakeMirror,
    world: World,
    first: Index,
    zlib: Package,
}

fn scene() -> Scene {
    let (publisher, zlib) = (Keys::new(1), Package::new("zlib", 40_000));
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    let first = publisher.index(&[&zlib], now() - 3605, LIFE);
    first.publish_on(&mirror);
    let world = World::new().config(&publisher.config(Some(&mirror)));
    let scene = Scene { publisher, mirror, world, first, zlib };
    let run = scene.refresh();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    scene
}

impl Scene {
    fn refresh(&self) -> Run {
        self.world.run(&["index", "refresh"])
    }

    /// Makes an index of another package, `seconds` younger than the first.
    fn later(&self, seconds: u64) -> Index {
        let curl = Package::new("curl", 50_000);
        self.publisher.index(&[&self.zlib, &curl], self.first.sequence() + seconds, LIFE)
    }

    /// Asserts that a refresh fails with this status and these lines, and that this index is the one in use.
    #[track_caller]
    fn fails(&self, code: i32, lines: &[&str], in_use: &Index) -> Run {
        let run = self.refresh();
        let said: Vec<&str> = run.said.lines().collect();
        assert_eq!((run.code(), &said[..]), (code, lines), "{}", run.stderr);
        self.uses(in_use);
        run
    }

    #[track_caller]
    fn uses(&self, index: &Index) {
        let row = ls(&self.world);
        assert_eq!((&row["sequence"], &row["expired"]), (&index.sequence().into(), &false.into()), "{row}");
        let shown = self.world.run(&["index", "show", "arch", "--entries"]).stdout;
        let names = |text: &str| text.lines().filter(|line| line.contains("core/")).count();
        assert_eq!(names(&shown), index.manifest.tables[0].entries as usize, "{shown}");
    }
}

fn ls(world: &World) -> serde_json::Value {
    let run = world.run(&["index", "ls", "--json"]);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

const KEPT: &str = "hint: the last good copy, N min old, stays in use until it expires";

#[test]
fn rollback_is_refused_even_after_the_cache_was_removed() {
    let scene = scene();
    let newer = scene.later(1);
    newer.publish_on(&scene.mirror);
    assert_eq!(scene.refresh().code(), 0);
    scene.first.publish_on(&scene.mirror);
    let (has, offered) = (newer.sequence(), scene.first.sequence());
    let refused = format!("older index refused: has {has}, offered {offered}");
    let lines = [&*format!("error: index arch: {refused}"), &*format!("  url  {refused}"), KEPT];
    scene.fails(3, &lines, &newer);
    for entry in fs::read_dir(scene.world.path("store")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    scene.fails(3, &lines, &newer);
    // Adding it anew, or under another name, does not help either: the memory belongs to the key.
    assert_eq!(scene.world.run(&["index", "refresh", "arch"]).code(), 3);
    let config = scene.publisher.config(Some(&scene.mirror)).replace("index.arch", "index.other");
    let world = scene.world.config(&config);
    let run = world.run(&["index", "refresh"]);
    assert!(run.said.starts_with(&format!("error: index other: {refused}\n")), "{}", run.said);
}

#[test]
fn freeze_ends_when_the_index_expires_and_an_expired_one_is_not_used() {
    let scene = scene();
    // Confirmed again and again by a mirror that hides newer ones, until it expires.
    let sequence = scene.first.sequence() + 1;
    let short = scene.publisher.index(&[&scene.zlib], sequence, now() + 2 - sequence);
    short.publish_on(&scene.mirror);
    assert_eq!(scene.refresh().code(), 0);
    eventually("the index to expire", || ls(&scene.world)["expired"] == true);
    let run = scene.refresh();
    let said: Vec<&str> = run.said.lines().collect();
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert_eq!(
        said,
        [
            "error: index arch: the IPNS record expired N s ago",
            "  url  the IPNS record expired N s ago",
            "hint: the last copy expired N s ago and is not used; mirrors serve as without an index",
        ]
    );
    let text = scene.world.run(&["index", "ls"]).stdout;
    assert!(text.contains("EXPIRED"), "{text}");
}

#[test]
fn fast_forward_is_bounded_to_a_day() {
    let scene = scene();
    // An hour more, so that it is not two whole days a second later.
    let far = scene.publisher.index(&[&scene.zlib], now() + 3 * 86_400 + 3600, LIFE);
    far.publish_on(&scene.mirror);
    let said = "the index is dated 3 d ahead of this machine's clock; check both clocks";
    let lines = [&*format!("error: index arch: {said}"), &*format!("  url  {said}"), KEPT];
    assert_eq!(scene.refresh().said.lines().collect::<Vec<_>>(), lines);
    scene.uses(&scene.first);
    // A later index of an honest publisher is still accepted.
    let honest = scene.later(60);
    honest.publish_on(&scene.mirror);
    assert_eq!(scene.refresh().code(), 0);
    scene.uses(&honest);
}

#[test]
fn mix_and_match_of_two_publications_is_refused() {
    let scene = scene();
    let newer = scene.later(60);
    // A new manifest over an old table.
    newer.publish_on(&scene.mirror);
    scene.mirror.publish("index/tables/core-x86_64.ndjson.zst", &scene.first.table);
    let run = scene.refresh();
    assert_eq!(run.code(), 1, "{}", run.stderr);
    let lines: Vec<&str> = run.said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("error: index arch: no source delivered it", KEPT));
    assert!(lines[1].starts_with("  url  tables/core-x86_64.ndjson.zst: url: corrupt: "), "{}", lines[1]);
    scene.uses(&scene.first);
    // An old manifest and its signature under a new record.
    newer.publish_on(&scene.mirror);
    let old = scene.publisher.index(&[&scene.zlib], scene.first.sequence() + 1, LIFE);
    scene.mirror.publish("index/pkgswarm.json", &old.bytes);
    scene.mirror.publish("index/pkgswarm.json.minisig", &old.minisig);
    let run = scene.refresh();
    assert!(run.said.contains("\n  url  pkgswarm.json: url: corrupt: sha256 "), "{}", run.said);
    scene.uses(&scene.first);
    // One of these with the signature of the other, all under one good record.
    let mixed = Index { minisig: old.minisig.clone(), ..newer.clone() };
    scene.publisher.record(mixed, true).publish_on(&scene.mirror);
    let said = "the minisign signature does not fit the manifest";
    scene.fails(3, &[&format!("error: index arch: {said}"), &format!("  url  {said}"), KEPT], &scene.first);
}

const NO_SOURCE: &str = "error: index arch: no source delivered it";

/// Bytes beyond those of the file.
const ENDLESS: usize = 256 << 20;

#[test]
fn endless_data_is_cut_off_at_the_limit_of_each_part() {
    let scene = scene();
    let newer = scene.later(60);
    newer.publish_on(&scene.mirror);
    let table = newer.table.len();
    for (part, said) in [
        ("pkgswarm.ipns-record", "longer than 10240 bytes".to_owned()),
        ("pkgswarm.root", "pkgswarm.root: url: corrupt: longer than 2097152 bytes".to_owned()),
        ("pkgswarm.json", format!("pkgswarm.json: url: corrupt: longer than {MANIFEST_MOST} bytes")),
        ("pkgswarm.json.minisig", "pkgswarm.json.minisig: url: corrupt: longer than 16384 bytes".to_owned()),
        (
            "core-x86_64.ndjson.zst",
            format!("tables/core-x86_64.ndjson.zst: url: corrupt: has {} bytes, expected {table}", ENDLESS + table),
        ),
    ] {
        let mirror = FakeMirror::serving::<&str, &[u8]>(&[]).on(part).oversized(ENDLESS as u64);
        newer.publish_on(&mirror);
        let world = &scene.world;
        fs::write(world.path("config/config.toml"), scene.publisher.config(Some(&mirror))).unwrap();
        let url = "  url  ".to_owned() + &said;
        scene.fails(1, &["error: index arch: no source delivered it", &url, KEPT], &scene.first);
        // What the kernel takes for a reader that has left counts too: 36 MiB a connection (tcp_rmem and tcp_wmem of
        // Linux 6.18).
        assert!(mirror.bytes() < 80 << 20, "{part}: {} bytes were taken", mirror.bytes());
    }
}

#[test]
fn slow_retrieval_ends_with_the_deadline() {
    for part in ["pkgswarm.ipns-record", "pkgswarm.json", "core-x86_64.ndjson.zst"] {
        let scene = scene();
        scene.later(60).publish_on(&scene.mirror);
        let scene = Scene { mirror: scene.mirror.on(part).slow(10), ..scene };
        let scene = Scene { world: scene.world.set("PKGSWARM_INDEX_DEADLINE", "1 s"), ..scene };
        let run = scene.refresh();
        let lines: Vec<&str> = run.said.lines().collect();
        assert_eq!((run.code(), lines[0], lines[2..].join("\n").as_str()), (1, NO_SOURCE, KEPT), "{}", run.stderr);
        // The delivery of a table and the refresh as a whole have the same second, and either may end it.
        let ends = ["  url  no answer within N s", "stalled: nothing for N s"];
        assert!(ends.iter().any(|end| lines[1].ends_with(end)), "{}", run.stderr);
        scene.uses(&scene.first);
        run.within(Duration::from_secs(20));
    }
}

#[test]
fn a_refresh_leaves_the_record_of_the_run_that_started_it() {
    let scene = scene();
    let newer = scene.later(60);
    newer.publish_on(&scene.mirror);
    // A daemon that never answers, and Kubo that lacks everything: each would be remembered.
    let (daemon, kubo) = (FakeDaemon::with(Stock::default(), Daemon::Silent), FakeKubo::empty());
    let world = scene.world.kubo(&kubo).set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    let scene = Scene { world, ..scene };
    let run = scene.refresh();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    scene.uses(&newer);
    let entries = fs::read_dir(scene.world.path("store/health")).into_iter().flatten().flatten();
    let written: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    assert!(written.is_empty(), "{written:?}");
}

#[test]
fn a_slow_source_costs_a_moment_where_another_one_has_the_part() {
    let scene = scene();
    let newer = scene.later(60);
    newer.publish_on(&scene.mirror);
    // The daemon knows the name and hangs on every block.
    let kubo = FakeKubo::empty().naming(&scene.publisher.name(), &newer.record);
    let scene = Scene { world: scene.world.kubo(&kubo), ..scene };
    let run = scene.refresh();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    scene.uses(&newer);
    let transports = ls(&scene.world)["transports"].clone();
    let proven = |via: &str| {
        let all = transports.as_array().unwrap();
        all.iter().any(|row| row["via"] == via && row["outcome"] == "proven" && row["sequence"] == newer.sequence())
    };
    assert!(proven("kubo") && proven("kubo routing") && proven("url"), "{transports}");
}

#[test]
fn a_wrong_name_for_a_file_is_no_way_in() {
    let scene = scene();
    let (zlib, evil) = (&scene.zlib, Package::new("evil", scene.zlib.bytes.len()));
    // Both are listed and signed; the mirror delivers one under the name of the other. No database lists either.
    scene.publisher.index(&[zlib, &evil], scene.first.sequence() + 9, LIFE).publish_on(&scene.mirror);
    assert_eq!(scene.refresh().code(), 0);
    scene.mirror.publish(&zlib.file_name(), &evil.bytes);
    let world = scene.world.servers("core", &[scene.mirror.repo("core")], &[]);
    let run = world.xfer(&scene.mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert!(run.said.contains("corrupt"), "{}", run.said);
    world.has_no_output();
}

#[test]
fn key_substitution_is_refused_and_so_is_a_stolen_ipns_key_alone() {
    let scene = scene();
    let stranger = Keys::new(2);
    stranger.index(&[&scene.zlib], now(), LIFE).publish_on(&scene.mirror);
    let said = "the IPNS record is not signed by the key in its name";
    scene.fails(3, &[&format!("error: index arch: {said}"), &format!("  url  {said}"), KEPT], &scene.first);
    let thief = Keys::new(1);
    thief.index(&[&scene.zlib], now(), LIFE).publish_on(&scene.mirror);
    let key = scene.publisher.minisign.public().fingerprint();
    let said = format!("the minisign signature is made by another key than {key}");
    scene.fails(3, &[&format!("error: index arch: {said}"), &format!("  url  {said}"), KEPT], &scene.first);
}

#[test]
fn a_stripped_signature_is_missed() {
    let scene = scene();
    let newer = scene.later(60);
    // By a holder of the IPNS key: the root has no signature at all.
    scene.publisher.record(newer.clone(), false).publish_on(&scene.mirror);
    let said = "the minisign signature is required for this index and was not delivered";
    scene.fails(3, &[&format!("error: index arch: {said}"), &format!("  url  {said}"), KEPT], &scene.first);
    // By a holder of the mirror: the record is gone.
    newer.publish_on(&scene.mirror);
    let scene = Scene { mirror: scene.mirror.on("pkgswarm.ipns-record").status(404), ..scene };
    let said = "the IPNS record is required for this index and was not delivered";
    scene.fails(3, &[&format!("error: index arch: {said}"), &format!("  url  {said}"), KEPT], &scene.first);
}

#[test]
fn a_clock_that_is_behind_is_noticed_by_what_was_proven_before() {
    let scene = scene();
    // The memory of a machine whose clock has fallen back by three days since.
    let path = scene.world.path("state/index/index.json");
    let mut seen: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for key in seen.as_object_mut().unwrap().values_mut() {
        key["fetched"] = (now() + 3 * 86_400 + 60).into();
    }
    fs::write(&path, seen.to_string()).unwrap();
    let run = scene.refresh();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let said = "warning: this clock is 3 d behind what was proven before; expiry cannot be judged";
    assert!(run.said.lines().any(|line| line == said), "{}", run.said);
}

#[test]
fn a_clock_that_is_far_ahead_is_noticed_when_everything_looks_expired() {
    let (publisher, zlib) = (Keys::new(1), Package::new("zlib", 40_000));
    // The world as seen with a clock that is 400 days ahead.
    let then = now() - 400 * 86_400;
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]).dated(then);
    publisher.index(&[&zlib], then - 60, LIFE).publish_on(&mirror);
    let run = World::new().config(&publisher.config(Some(&mirror))).run(&["index", "refresh"]);
    let said: Vec<&str> = run.said.lines().collect();
    assert_eq!(
        said,
        [
            "error: index arch: the IPNS record expired 398 d ago",
            "  url  the IPNS record expired 398 d ago",
            "hint: there is no earlier copy; mirrors serve as without an index",
            "warning: this clock is 400 d ahead of that of 127.0.0.1:A; if it is wrong, so is every judgement of expiry",
        ],
        "{}",
        run.stderr
    );
    assert_eq!(run.code(), 3);
}

#[test]
fn an_index_of_another_key_does_not_inherit_what_the_old_one_said() {
    let (ours, theirs) = (Package::new("zlib", 40_000), Package::new("zlib-forged", 40_000));
    let theirs = Package { name: "zlib".into(), ..theirs };
    let mirror = FakeMirror::serving(&[ours.file()]);
    let world = World::new().repo("core", &[&ours], &[&mirror]);
    Publisher::of(&world, &[&theirs]).add_to(&world);
    assert_eq!(world.run(&["index", "rm", "test"]).code(), 0);
    let other = Publisher::of(&World::new(), &[&ours]);
    let nowhere = format!("http://{}/index", dead_address());
    let run = world.run(&["index", "add", "test", &other.key, "--url", &nowhere, "--repo", "core", "--yes"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    let out = world.out(&ours.file_name());
    let run = world.xfer(&mirror.url("core", &ours.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &ours.bytes);
}
