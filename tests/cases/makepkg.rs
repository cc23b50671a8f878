//! Sources, fetched by makepkg through its `DLAGENTS`: their names tell nothing about their contents.

use crate::support::*;

/// Names that mean something to pacman, or bytes that would in a file of pacman's; here they mean nothing.
const SOURCES: &[(&str, &[u8])] = &[
    ("LICENSE.html", b"<!DOCTYPE html>\n<html><body>Permission is hereby granted</body></html>\n"),
    ("script.js", b"<script>and so on</script>"),
    ("cities.db", b"SQLite format 3\0\x10\0\x01\x01"),
    ("module.files", b"a plain list\nof files\n"),
    ("release.sig", b"untrusted comment: signify signature\nRWQ\n"),
    ("base.db.sig", b"untrusted comment: signify signature\nRWQ\n"),
    ("tool-1-1-any.pkg.tar.gz.sig", b"short"),
    ("rom.pkg.tar.bin", b"\x00\x01\x02\x03"),
    ("firmware-1-1-any.pkg.tar.zst", b"not zstd at all"),
    ("empty.db", b""),
    ("large.db.sig", &[7; 40_000]),
];

#[test]
fn a_source_of_makepkg_may_have_any_name_and_shape() {
    let mirror = FakeMirror::serving(SOURCES);
    let zlib = Package::new("zlib", 4000);
    let core = FakeMirror::serving(&[zlib.file()]);
    for world in [World::new(), World::new().repo("core", &[&zlib], &[&core]), World::new().run_by_user()] {
        for (name, bytes) in SOURCES {
            let out = world.out(name);
            let run = world.xfer(&format!("http://{}/project/{name}", mirror.address()), &out);
            assert_eq!(run.code(), 0, "{name}: {}", run.stderr);
            assert!(run.stderr.contains("unproven: not a repo URL"), "{name}: {:?}", run.stderr);
            world.has(&out, bytes);
            std::fs::remove_file(out).unwrap();
        }
    }
}

#[test]
fn what_pacman_wants_from_outside_its_repositories_is_looked_at() {
    let mirror = FakeMirror::serving(SOURCES);
    let world = World::new();
    for name in ["firmware-1-1-any.pkg.tar.zst", "tool-1-1-any.pkg.tar.gz.sig", "LICENSE.html"] {
        let url = format!("http://{}/project/{name}", mirror.address());
        let run = world.called_by_pacman(&url, &world.out(name)).finish();
        assert!(run.stderr.contains("corrupt: is "), "{name}: {}", run.stderr);
        world.has_no_output();
    }
    // If /proc hides the caller, pacman's own word counts.
    let world = world.set("HTTP_USER_AGENT", "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0");
    let run = world.xfer(&format!("http://{}/project/cities.db", mirror.address()), &world.out("cities.db"));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    world.has_no_output();
}

#[test]
fn a_source_that_is_called_like_a_database_is_not_remembered_as_one() {
    let zlib = Package::new("zlib", 4000);
    let bytes = database(&[&zlib], Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", bytes.as_slice())]);
    let elsewhere = FakeMirror::serving(&[("core.db", b"SQLite format 3\0")]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let out = world.out("core.db");
    world.xfer(&format!("http://{}/project/core.db", elsewhere.address()), &out).succeeds();
    world.has(&out, b"SQLite format 3\0");
    let signature = world.xfer(&mirror.url("core", "core.db.sig"), &world.out("core.db.sig"));
    assert_eq!(signature.code(), 1, "{}", signature.stderr);
    assert_eq!((mirror.hits("core.db.sig"), elsewhere.hits("core.db.sig")), (1, 0), "asked where the database is");
}
