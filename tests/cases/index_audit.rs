//! `index audit`: local packages against every list that names them.

use std::fs;

use serde_json::Value;

use crate::support::*;

/// Makes three packages in the cache, the last one larger than a chunk, all of them listed by database and index.
fn scene() -> ([Package; 3], FakeMirror, World) {
    let packages = [Package::new("a", 1000), Package::new("b", 2000), Package::new("c", 3 << 20)];
    let mirror = FakeMirror::serving(&[("nothing", b"")]);
    let world = World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]);
    for package in &packages {
        fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
    }
    fs::write(world.path("cache/stray.txt"), "not a package").unwrap();
    (packages, mirror, world)
}

fn honest(name: &str, packages: &[Package]) -> FakeIndex {
    packages.iter().fold(FakeIndex::called(name), FakeIndex::listing)
}

#[test]
fn packages_that_all_indexes_agree_about_are_counted() {
    for world in [|w: World| w, |w: World| w.run_by_user()] {
        let (packages, _mirror, base) = scene();
        let world = honest("arch", &packages).in_use(world(base));
        let run = world.run(&["index", "audit"]);
        assert_eq!((run.code(), run.stdout.as_str()), (0, ""), "{}", run.stderr);
        let line = "3 files, 3 of them listed, 0 with disagreements; \
                    compared with the sync database core, index arch for core\n";
        assert_eq!(run.stderr, line);
    }
}

#[test]
fn who_says_something_else_is_named_with_what_they_say() {
    let (packages, _mirror, world) = scene();
    let [a, b, c] = &packages;
    let wrong_bytes = FakeIndex::called("one").listing(b).saying(&a.file_name(), b"something else");
    let wrong_root = FakeIndex::called("two").listing(a).listing(c).under(pkgswarm::base::cid::Cid::dag_pb(a.sha256()));
    let world = wrong_root.in_use(wrong_bytes.in_use(world));
    let run = world.run(&["index", "audit"]);
    assert_eq!(run.code(), 3, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.stdout);
    assert!(lines[0].contains("cache/a-1.0-1-x86_64.pkg.tar.zst: index one for core says sha256 "), "{}", lines[0]);
    assert!(lines[0].ends_with(&format!("here is sha256 {}", a.sha256())), "{}", lines[0]);
    assert!(lines[1].contains("c-1.0-1-x86_64.pkg.tar.zst: index two for core says CID bafy"), "{}", lines[1]);
    assert!(run.stderr.contains("3 files, 3 of them listed, 2 with disagreements"), "{}", run.stderr);

    let run = world.run(&["index", "audit", "two", "--json"]);
    assert_eq!(run.code(), 3, "{}", run.stderr);
    let rows: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["disagreements"], &rows[1]["listed_by"]),
        (&serde_json::json!([]), &serde_json::json!(["the sync database core"]))
    );
    assert_eq!(rows[2]["disagreements"][0]["who"], "index two for core");
    assert_eq!(rows[2]["sha256"], c.sha256().to_string());
}

#[test]
fn a_damaged_package_disagrees_with_every_index() {
    let (packages, _mirror, world) = scene();
    let path = world.path("cache").join(packages[1].file_name());
    let mut bytes = packages[1].bytes.clone();
    bytes[77] ^= 1;
    fs::write(&path, bytes).unwrap();
    let world = honest("arch", &packages).in_use(world);
    let run = world.run(&["index", "audit", path.to_str().unwrap()]);
    assert_eq!((run.code(), run.stdout.lines().count()), (3, 2), "{}{}", run.stdout, run.stderr);
}

#[test]
fn an_expired_index_is_not_heard_and_that_is_said() {
    let (packages, _mirror, world) = scene();
    let world = FakeIndex::called("old").saying(&packages[0].file_name(), b"else").expired().in_use(world);
    let run = world.run(&["index", "audit", "old"]);
    assert_eq!((run.code(), run.stdout.as_str()), (0, ""), "{}", run.stderr);
    assert!(run.stderr.starts_with("warning: index old is expired"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_read_is_an_error_of_this_machine() {
    let (_, _mirror, world) = scene();
    let run = world.run(&["index", "audit", "/nonexistent/x.pkg.tar.zst"]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    let file = world.path("cache/a-1.0-1-x86_64.pkg.tar.zst");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(&file, closed).unwrap();
    let run = world.run_by_user().run(&["index", "audit"]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("2 files, 2 of them listed, 0 with disagreements, 1 not read"), "{}", run.stderr);
}

#[test]
fn two_publishers_of_the_same_repository_are_compared_file_by_file() {
    let (packages, _mirror, world) = scene();
    let [a, b, c] = &packages;
    let one = FakeIndex::called("one").listing(a).listing(b).listing(c);
    let two = FakeIndex::called("two").listing(a).saying(&b.file_name(), b"something else");
    let world = two.in_use(one.in_use(world));
    let run = world.run(&["index", "audit", "--against", "two"]);
    assert_eq!(run.code(), 3, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{run:?}");
    let said = format!("core x86_64: {}: one says sha256 {}, two says sha256 ", b.file_name(), b.sha256());
    assert!(lines[0].starts_with(&said), "{run:?}");
    assert_eq!(lines[1], format!("core x86_64: {}: only in one", c.file_name()));
    assert!(run.stderr.ends_with(": 1 file alike, 1 differ, 1 only in one, 0 only in two\n"), "{run:?}");
    super::json::documented(&world, "pkgswarm-index-audit", &["index", "audit", "one", "--against", "two"]);
    // A file that only one of them lists is a matter of their ages.
    let world = honest("two", &packages[..2]).in_use(world);
    let run = world.run(&["index", "audit", "--against", "one", "two"]);
    assert_eq!((run.code(), run.stdout.lines().count()), (0, 1), "{run:?}");
    let run = world.run(&["index", "audit", "--against", "three"]);
    assert_eq!(
        (run.code(), &*run.stderr),
        (2, "error: three: no index of that name is in use\nhint: pkgswarm index ls\n")
    );
}
