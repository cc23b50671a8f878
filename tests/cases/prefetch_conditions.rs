//! When prefetch keeps still, with the line that the user sees.

use jiff::{ToSpan, Zoned};

use crate::support::*;

/// A machine with one pending update, of which nothing was fetched yet.
fn scene() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", 30_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    mirror.publish("core.db", &database(&[&zlib], Compression::Gzip));
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip));
    let world = world.servers("core", &[&mirror.repo("core")], &["PackageNever", "DatabaseNever"]);
    let world = world.pending(&[&zlib], &mirror).program("busctl", "exit 1").program("ip", "exit 1");
    (zlib, mirror, world)
}

#[test]
fn a_metered_connection_postpones_it_unless_allowed() {
    for (says, postponed) in
        [("u 1", true), ("u 3", true), ("u 2", false), ("u 4", false), ("u 0", false), ("x", false)]
    {
        let (_, mirror, world) = scene();
        let world = world.program("busctl", &format!("echo '{says}'"));
        let run = world.run(&["prefetch"]);
        if postponed {
            run.fails(2, "not now: the connection is metered (prefetch.metered); --now does it anyway\n");
            assert_eq!(mirror.requests().len(), 0, "not even the databases are looked at");
            assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
        } else {
            assert_eq!(run.code(), 0, "{says}: {}", run.stderr);
        }
    }
    let (_, _mirror, world) = scene();
    let world = world.program("busctl", "echo u 1").set("PKGSWARM_PREFETCH_METERED", "true");
    assert_eq!(world.run(&["prefetch"]).code(), 0);
}

#[test]
fn outside_its_window_it_is_postponed() {
    let (_, mirror, world) = scene();
    let at = |hours: i64| Zoned::now().checked_add(hours.hours()).unwrap().strftime("%H:%M").to_string();
    let later = format!("{}-{}", at(2), at(3));
    let world = world.set("PKGSWARM_PREFETCH_WINDOW", &later);
    world.run(&["prefetch"]).fails(2, &format!("not now: outside {later} (prefetch.window); --now does it anyway\n"));
    assert_eq!(mirror.requests().len(), 0);
    let world = world.set("PKGSWARM_PREFETCH_WINDOW", &format!("{}-{}", at(-1), at(1)));
    assert_eq!(world.run(&["prefetch"]).code(), 0);
}

#[test]
fn without_anybody_who_knows_it_goes_on() {
    let (zlib, mirror, world) = scene();
    let run = world.program("busctl", "sleep 0; exit 127").run(&["prefetch"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(mirror.hits(&zlib.file_name()), 1);
}
