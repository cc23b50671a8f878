//! `why` and `status` explain, in bounded time, and change nothing.

use std::time::Duration;

use crate::support::*;

fn json(world: &World, arguments: &[&str]) -> serde_json::Value {
    let run = world.run(arguments);
    assert_eq!((run.code(), run.stderr.as_str()), (0, ""));
    serde_json::from_str(&run.stdout).expect("one JSON object")
}

#[test]
fn why_tells_the_expectation_the_sources_and_the_origin() {
    let zlib = Package::new("zlib", 300_000);
    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let without = FakeMirror::serving::<&str, &[u8]>(&[]);
    let with = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&without, &with]).kubo(&kubo);
    let why = json(&world, &["why", "zlib", "--json"]);
    assert_eq!(why["name"], zlib.file_name());
    assert_eq!(why["sha256"], zlib.sha256().to_string());
    assert!(why["listed"][0]["by"].as_str().unwrap().starts_with("sync database "), "{why}");
    let order: Vec<_> =
        why["order"].as_array().unwrap().iter().map(|one| (one["source"].clone(), one["has"].clone())).collect();
    let mirror = |mirror: &FakeMirror| format!("mirror {}", mirror.address());
    // Kubo counts twice: its connected peers, and the whole network.
    let kubo_has_it = ("kubo".to_owned(), true);
    let expected = [kubo_has_it.clone(), kubo_has_it, (mirror(&without), false), (mirror(&with), true)];
    assert_eq!(order, expected.map(|(source, has)| (source.into(), has.into())));
    assert_eq!((&why["here"], &why["last_received"]), (&serde_json::json!([]), &serde_json::Value::Null));
    assert_eq!(with.bytes() + kubo.gateway().bytes(), 0, "no byte of it was moved");

    let out = world.out(&zlib.file_name());
    world.xfer(&with.url("core", &zlib.file_name()), &out).succeeds();
    let why = json(&world, &["why", &zlib.file_name(), "--json"]);
    assert_eq!(why["last_received"]["shares"][0]["source"], "kubo");
    let text = world.run(&["why", "zlib"]).stdout;
    assert!(text.starts_with("zlib 1.0-1  (core, 293.0 KiB)\nNow: from Kubo, the first that has it.\n"), "{text}");
    assert!(
        text.contains("Last: from Kubo, ") && text.contains("Proof: sha256 99908eb0…e91f16d6 from core.db ("),
        "{text}"
    );
    let long = world.run(&["why", "--long", "zlib"]).stdout;
    assert!(long.contains("CID     bafkrei") && long.contains("follows from the sha256"), "{long}");
}

#[test]
fn why_says_why_a_source_is_not_asked() {
    let (zlib, big) = (Package::new("zlib", 300_000), Package::new("big", 1_500_000));
    let mirror = FakeMirror::serving(&[zlib.file(), big.file()]);
    let world = World::new().repo("core", &[&zlib, &big], &[&mirror]);
    let kubo = |world: &World, name: &str| {
        json(world, &["why", name, "--json"])["not_asked"][0]["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(kubo(&world, "zlib"), "kubo.enabled is false");
    let world = world.set("PKGSWARM_KUBO_ENABLED", "true");
    assert_eq!(kubo(&world, "zlib"), "[core] is not to be shared: not all its servers are public (share.repos)");
    let world = world.set("PKGSWARM_SHARE_REPOS", "core");
    assert_eq!(kubo(&world, "big"), "no CID is known");
    let world = world.set("PKGSWARM_KUBO_ENABLED", "auto").set("http_proxy", "http://127.0.0.1:9");
    assert_eq!(kubo(&world, "zlib"), "the environment sets a proxy (kubo.enabled)");
}

#[test]
fn why_of_an_unlisted_file_is_an_error_with_a_hint() {
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    let world = World::new().repo("core", &[], &[&mirror]);
    let run = world.run(&["why", "zlib"]);
    assert_eq!(run.code(), 1);
    assert!(run.said.starts_with("error: zlib: no sync database and no index in use lists it\nhint: "), "{}", run.said);
}

#[test]
fn everything_that_hangs_costs_why_and_status_a_few_seconds_and_no_more() {
    let zlib = Package::new("zlib", 300_000);
    let kubo = FakeKubo::empty().hanging();
    let mirror = FakeMirror::serving(&[zlib.file()]).hanging();
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
    let why = world.run(&["why", "zlib"]);
    assert_eq!(why.code(), 0, "{}", why.stderr);
    assert!(why.stdout.contains("  1  Kubo  ") && why.stdout.contains("  no answer within 3 s"), "{}", why.stdout);
    why.within(Duration::from_secs(4));
    let status = world.run(&["status"]);
    assert_eq!(status.code(), 0, "{}", status.stderr);
    assert!(status.stdout.contains("\nKubo     "), "{}", status.stdout);
    status.within(Duration::from_secs(3));
    let status = world.script("pacman-conf", "exec sleep 60").run(&["status"]);
    assert_eq!(status.code(), 0, "{}", status.stderr);
    assert!(status.stdout.contains("not known: pacman-conf did not answer in 2 s"), "{}", status.stdout);
}

#[test]
fn status_tells_kubo_stores_and_pending_updates() {
    let (zlib, big) = (Package::new("zlib", 300_000), Package::new("big", 900_000));
    let mirror = FakeMirror::serving(&[zlib.file(), big.file()]);
    mirror.publish("core.db", &database(&[&zlib, &big], Compression::Gzip));
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip));
    let world = world.servers("core", &[&mirror.repo("core")], &["PackageNever", "DatabaseNever"]);
    let empty = world.run(&["status"]).stdout;
    assert!(empty.contains("Kubo      not asked: kubo.enabled is false\n"), "{empty}");
    assert!(empty.contains("updates   not known   # sudo pkgswarm prefetch\n"), "{empty}");
    let kubo = FakeKubo::empty();
    let world = world.pending(&[&zlib, &big], &mirror).set("PKGSWARM_PREFETCH_MAX", "400 KiB").kubo(&kubo);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    let text = world.run(&["status"]).stdout;
    assert!(text.contains("Kubo      0.43.1: 1 peer, 293.0 KiB of 9.3 GiB used, 1 update pinned\n"), "{text}");
    let updates = "2 pending, 1 ready (293.0 KiB of 1.1 MiB), 1 left out, beyond prefetch.max; seen just now\n";
    assert!(text.contains(updates), "{text}");
    let long = world.run(&["status", "--long"]).stdout;
    assert!(long.contains("big     0.9-1  ->  1.0-1  878.9 KiB  does not fit (prefetch.max)\n"), "{long}");
    let status = json(&world, &["status", "--json"]);
    assert_eq!(
        (status["stores"][0]["files"].as_u64(), status["stores"][0]["bytes"].as_u64()),
        (Some(1), Some(300_000))
    );
    assert_eq!(status["updates"]["pending"][0]["stands"], "here");
    // An update that was installed since is not pending any more.
    let local = world.path("root/var/lib/pacman/local");
    std::fs::rename(local.join("zlib-0.9-1"), local.join("zlib-1.0-1")).unwrap();
    let status = json(&world, &["status", "--json"]);
    assert_eq!(status["updates"]["pending"].as_array().unwrap().len(), 1);
}
