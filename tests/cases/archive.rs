//! Files that a repository has no more: what an index's archive proves of them, and what its publisher remembers.

use std::fs;

use crate::support::publisher::files_below;
use crate::support::repo::database;
use crate::support::run::Run;
use crate::support::screens::Screens;
use crate::support::*;

use super::publish_file::{describe, world as publishing};

/// 2025-07-01T00:00:00Z.
const SINCE: u64 = 1_751_328_000;
const DAY: u64 = 86_400;

/// The second to which a day's question is answered.
const JULY: [&str; 4] = ["2025-06-30", "2025-07-02", "2025-07-05", "2025-07-08"];

fn version(version: &str) -> Package {
    let package = Package::new("zlib", 5000 + version.len() * 100_000).version(version);
    Package { bytes: Package::new(&format!("zlib {version}"), package.bytes.len()).bytes, ..package }
}

/// Three versions: 1.0-1 until the 4th of July, 1.1-1 until the 7th, and 1.2-1, which the database has.
fn versions() -> [Package; 3] {
    ["1.0-1", "1.1-1", "1.2-1"].map(version)
}

/// A world whose index remembers, and whose mirrors have only what is current.
fn remembering(versions: &[Package; 3], mirror: &FakeMirror, copy: &FakeMirror) -> World {
    let [first, second, third] = versions;
    let world = World::new().repo("core", &[third], &[mirror]);
    let gone = [(first, None, SINCE + 3 * DAY), (second, Some(SINCE + 3 * DAY), SINCE + 6 * DAY)];
    FakeIndex::called("test").listing(third).remembering(copy, SINCE, &gone).in_use(world)
}

#[track_caller]
fn delivers(world: &World, words: &[&str], package: &Package) -> Run {
    let run = world.run(&[&["fetch"], words].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let out = world.path("out").join(package.file_name());
    world.has(&out, &package.bytes);
    fs::remove_file(out).unwrap();
    run
}

#[test]
fn a_superseded_package_is_found_by_its_version_its_file_and_its_sha256() {
    let all = versions();
    let (mirror, copy) = (FakeMirror::serving(&[all[2].file()]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let old = FakeMirror::serving(&[all[0].file(), all[1].file()]);
    let world = remembering(&all, &mirror, &copy);
    let at = old.repo("$repo").replace("x86_64", "$arch");
    let (file, sha256) = (all[0].file_name(), all[0].sha256().to_string());
    for what in ["zlib-1.0-1", "zlib-1.0", "zlib-1.0-1-x86_64", &file, &sha256] {
        let run = delivers(&world, &["--mirror", &at, what], &all[0]);
        assert!(run.stderr.contains("core had it until 2025-07-04T00:00:00Z (index test)"), "{what}: {}", run.stderr);
    }
    assert_eq!(old.hits(&format!("core/os/x86_64/{file}")), 1, "the store has it after the first");
    // What the lists have needs no archive.
    delivers(&world, &["zlib"], &all[2]);
    delivers(&world, &["zlib-1.2-1"], &all[2]);
    assert_eq!(copy.requests().len(), 1, "the archive came once, for all questions");
    let run = world.run(&["fetch", "zlib-0.9-1"]);
    run.fails(
        1,
        "error: zlib-0.9-1: no sync database, no index in use and no archive of one lists it\nhint: `pkgswarm index show \
         NAME` tells since when an index has an archive\n",
    );
}

#[test]
fn a_name_with_a_typing_error_waits_for_no_archive() {
    let all = versions();
    let (mirror, copy) = (FakeMirror::serving(&[all[2].file()]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let world = remembering(&all, &mirror, &copy);
    let run = world.run(&["fetch", "zlob"]);
    assert!(run.code() == 1 && run.stderr.contains("`zlob-VERSION`, or with `--as-of DATE`"), "{}", run.stderr);
    assert_eq!(copy.requests().len(), 0);
    world.has_no_output();
}

#[test]
fn a_mirror_that_lies_about_an_old_package_is_refused_and_peers_have_it_by_its_cid() {
    let [first, second, third] = versions();
    let big = Package { bytes: Package::new("big", 3 << 20).bytes, ..first };
    let all = [big, second, third];
    let mirror = FakeMirror::serving(&[all[2].file()]);
    let (copy, kubo) = (FakeMirror::serving::<&str, &[u8]>(&[]), FakeKubo::empty().holding(&all[0].bytes));
    let liar = FakeMirror::serving(&[all[0].file()]).lying();
    let world = remembering(&all, &mirror, &copy);
    let run = world.run(&["fetch", "--mirror", &liar.repo("core"), "zlib-1.0"]);
    assert_ne!(run.code(), 0, "{}", run.stderr);
    world.has_no_output();
    delivers(&world.kubo(&kubo), &["zlib-1.0"], &all[0]);
}

#[test]
fn the_version_of_a_day_is_the_one_that_the_repository_had_at_its_end() {
    let all = versions();
    let (mirror, copy) = (FakeMirror::serving(&[all[2].file()]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let old = FakeMirror::serving(&[all[0].file(), all[1].file()]);
    let world = remembering(&all, &mirror, &copy);
    let at = old.repo("core");
    for (day, package) in JULY[1..].iter().zip(&all) {
        delivers(&world, &["--mirror", &at, "--as-of", day, "zlib"], package);
    }
    // To the second.
    delivers(&world, &["--mirror", &at, "--as-of", "2025-07-03T23:59:59Z", "zlib"], &all[0]);
    delivers(&world, &["--mirror", &at, "--as-of", "2025-07-04T00:00:00Z", "zlib"], &all[1]);
    let run = world.run(&["fetch", "--json", "--mirror", &at, "--as-of", JULY[1], "zlib"]);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).expect(&run.stderr);
    assert_eq!(said["name"], all[0].file_name());
    for wrong in ["tomorrow", "2925-11-01", "2025-13-01"] {
        let run = world.run(&["fetch", "--as-of", wrong, "zlib"]);
        assert!(run.code() == 2 && run.stderr.contains("expected a day or a moment that has been"), "{}", run.stderr);
    }
}

#[test]
fn a_package_that_came_later_was_not_there_before() {
    let [new, other, current] = [Package::new("new", 100), Package::new("other", 100), Package::new("zlib", 100)];
    let copy = FakeMirror::serving::<&str, &[u8]>(&[]);
    let mirror = FakeMirror::serving(&[new.file(), other.file(), current.file()]);
    let world = World::new().repo("core", &[&current], &[&mirror]);
    let gone = [(&new, Some(SINCE + 3 * DAY), SINCE + 6 * DAY), (&other, None, SINCE + 3 * DAY)];
    let world = FakeIndex::called("test").listing(&current).remembering(&copy, SINCE, &gone).in_use(world);
    delivers(&world, &["--as-of", JULY[2], "new"], &new);
    let run = world.run(&["fetch", "--as-of", JULY[1], "new"]);
    assert_eq!(run.code(), 1);
    // It may have had one that its publisher has let go.
    let why = "what core had of it at 2025-07-02T23:59:59Z is not known: the archive in test has only what came later";
    assert!(run.stderr.contains(why) && run.stderr.contains("fetch new-1.0-1"), "{}", run.stderr);
    // One that left, and none took its place.
    delivers(&world, &["--as-of", JULY[1], "other"], &other);
    let run = world.run(&["fetch", "--as-of", JULY[2], "other"]);
    assert!(run.code() == 1 && run.stderr.contains("core did not have it"), "{}", run.stderr);
    let run = world.run(&["fetch", "--as-of", JULY[2], "nothing"]);
    assert!(run.code() == 1 && run.stderr.contains("have a package of this name"), "{}", run.stderr);
}

#[test]
fn an_archive_that_is_not_what_the_manifest_says_or_contradicts_its_table_is_refused() {
    let all = versions();
    let [first, second, third] = &all;
    let line = |package: &Package, sha256: &str, until: u64| {
        let (name, size) = (package.file_name(), package.bytes.len());
        format!("{{\"name\":\"{name}\",\"size\":{size},\"sha256\":\"{sha256}\",\"until\":{until}}}\n")
    };
    let right = |package: &Package| line(package, &package.sha256().to_string(), SINCE + 9);
    let sound = right(first) + &right(second);
    let other = "0".repeat(64);
    let bomb = format!("{}\n", " ".repeat(20 << 20));
    for (lines, why) in [
        (right(second) + &right(first), "line 2 of the table is out of order"),
        (right(first) + &line(first, &other, SINCE + 20), "another file of the same name"),
        (
            sound.clone() + &line(third, &other, SINCE + 9),
            "it has other bytes of zlib-1.2-1-x86_64.pkg.tar.zst, which the index lists",
        ),
        (sound.clone() + "{}\n", "line 3 of the table is malformed"),
        (bomb, "longer than 4096 bytes"),
    ] {
        let (mirror, copy) =
            (FakeMirror::serving(&[first.file(), third.file()]), FakeMirror::serving::<&str, &[u8]>(&[]));
        let world = World::new().repo("core", &[third], &[&mirror]);
        let world =
            FakeIndex::called("test").listing(third).remembering_lines(&copy, SINCE, lines.as_bytes()).in_use(world);
        let run = world.run(&["fetch", "zlib-1.0-1"]);
        assert!(run.code() == 1 && run.stderr.contains(why), "{why}: {}", run.stderr);
        assert!(run.stderr.contains("index test  the archive of core  refused: "), "{}", run.stderr);
        world.has_no_output();
        // The index goes on being used.
        delivers(&world, &["zlib"], third);
    }
    // Other bytes than the manifest names do not even come.
    let (mirror, copy) = (FakeMirror::serving(&[first.file(), third.file()]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let world = World::new().repo("core", &[third], &[&mirror]);
    let world =
        FakeIndex::called("test").listing(third).remembering_lines(&copy, SINCE, sound.as_bytes()).in_use(world);
    let packed = copy.file("index/archive/core-x86_64.ndjson.zst");
    copy.publish("index/archive/core-x86_64.ndjson.zst", &[&packed[..packed.len() - 1], b"x"].concat());
    let run = world.run(&["fetch", "zlib-1.0-1"]);
    assert!(run.code() == 1 && run.stderr.contains("the archive of core"), "{}", run.stderr);
    copy.publish("index/archive/core-x86_64.ndjson.zst", &packed);
    delivers(&world, &["zlib-1.0-1"], first);
}

#[test]
fn a_publication_remembers_what_left_and_its_clients_find_it() {
    let world = publishing();
    describe(&world, "[retention]\nage = \"90 d\"\nversions = 2\n");
    let publish = |package: &Package| {
        fs::write(world.path("repo/custom.db"), database(&[package], Compression::Gzip)).unwrap();
        fs::write(world.path("repo").join(package.file_name()), &package.bytes).unwrap();
        let run = world.run(&["publish", "arch", "--json"]);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap()
    };
    let all = ["1-1", "2-1", "3-1", "4-1"].map(|version| Package::new("a", 2 << 20).version(version));
    for (at, package) in all.iter().enumerate() {
        let said = publish(package);
        assert_eq!(said["archive"]["files"], at.min(2), "{said}");
    }
    let status: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("plain/status.json")).unwrap()).unwrap();
    assert_eq!(status["repos"][0]["archive"]["files"], 2, "{status}");
    let shown = world.run(&["publish", "status"]);
    assert!(shown.stdout.contains("2 superseded files, 0 with their bytes"), "{}", shown.stdout);
    let page = fs::read_to_string(world.path("plain/index.html")).unwrap();
    assert!(page.contains("2 superseded files can be proven still"), "{page}");

    let copy = FakeMirror::serving(&files_below(&world.path("plain")));
    let secret = fs::read_to_string(world.path("secret")).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&secret).unwrap().into_unencrypted_secret_key().unwrap();
    let key = minisign::PublicKey::from_secret_key(&secret).unwrap().to_base64();
    let mirror = FakeMirror::serving(&all.clone().map(|package| package.file()));
    let client = World::new().repo("custom", &[&all[3]], &[&mirror]);
    let url = format!("http://{}/index", copy.address());
    let add = client.run(&["index", "add", "arch", &key, "--url", &url, "--repo", "custom", "--yes"]);
    assert_eq!(add.code(), 0, "{}", add.stderr);
    let archive = "index/archive/custom-x86_64.ndjson.zst";
    assert_eq!(copy.hits(archive), 0, "a refresh fetches no archive");
    delivers(&client, &["a-3-1"], &all[2]);
    assert_eq!(copy.hits(archive), 1);
    let run = client.run(&["fetch", "a-1-1"]);
    assert!(run.code() == 1 && run.stderr.contains("no archive of one lists it"), "two versions: {}", run.stderr);
    let shown = client.run(&["index", "show", "arch"]);
    assert!(shown.stdout.contains("2 superseded files, since"), "{}", shown.stdout);
}

#[test]
fn screens_of_archives() {
    let all = versions();
    let (mirror, copy) = (FakeMirror::serving(&[all[2].file()]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let old = FakeMirror::serving(&[all[0].file(), all[1].file()]);
    let world = remembering(&all, &mirror, &copy);
    let mut screens = Screens::of("archive");
    let at = old.repo("core");
    screens
        .run("a version that no source has any more", &world, &["fetch", "zlib-1.0-1"])
        .run("from a mirror that keeps old packages", &world, &["fetch", "--mirror", &at, "zlib-1.0-1"])
        .run("what was current on a day", &world, &["fetch", "--mirror", &at, "--as-of", JULY[2], "zlib"])
        .run("on a day from which on it has been current", &world, &["fetch", "--as-of", JULY[3], "zlib"])
        .run("before the archive begins", &world, &["fetch", "--as-of", JULY[0], "zlib"])
        .run("a version that was never seen", &world, &["fetch", "zlib-0.9-1"])
        .run("no date", &world, &["fetch", "--as-of", "soon", "zlib"])
        .run("an index with an archive", &world, &["index", "show", "test"]);
    copy.clear();
    fs::remove_dir_all(world.path("store")).unwrap();
    screens.run("an archive that is not there", &world, &["fetch", "zlib-1.0-1"]);
    let none = World::new().repo("core", &[&all[2]], &[&mirror]);
    let none = FakeIndex::called("test").listing(&all[2]).in_use(none);
    screens.run("no index with an archive", &none, &["fetch", "zlib-1.0-1"]).run(
        "the same, of a day",
        &none,
        &["fetch", "--as-of", JULY[2], "zlib"],
    );
    screens.held();
}
