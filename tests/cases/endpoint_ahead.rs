//! Updates that the endpoint fetches before pacman asks for them: once each, and for the asking.

use std::fs;

use crate::support::endpoint::Endpoint;
use crate::support::keys::now;
use crate::support::server::{Request, eventually};
use crate::support::*;

/// A machine with these pending updates at a mirror, whose database is newer than the one in use.
fn scene(mirror: &FakeMirror, updates: &[&Package], levels: &[&str]) -> World {
    mirror.publish("core.db", &database(updates, Compression::Gzip));
    let world = World::new().run_by_user().sync_database("core", &database(&[], Compression::Gzip));
    world.servers("core", &[mirror.repo("core")], levels).pending(updates, mirror).script("busctl", "exit 1")
}

fn mirror_of(packages: &[&Package]) -> FakeMirror {
    let files = packages.iter().flat_map(|package| [package.file(), package.signature()]);
    FakeMirror::serving(&files.collect::<Vec<_>>())
}

/// Fetches the database as `pacman -Sy` does, and puts it in place.
fn refresh(world: &World, endpoint: &Endpoint) {
    let answer = endpoint.core("core.db");
    assert_eq!(answer.status, 200);
    let sync = world.path("root/var/lib/pacman/sync");
    fs::write(sync.join("new"), &answer.body).unwrap();
    fs::rename(sync.join("new"), sync.join("core.db")).unwrap();
}

fn is_here(world: &World, package: &Package) -> bool {
    world.path("store/files").join(package.sha256().to_string()).exists()
}

#[test]
fn after_a_refresh_updates_are_here_before_pacman_asks_and_cross_the_line_once() {
    let packages = [Package::new("small", 3000), Package::new("large", 70_000), Package::new("next", 4000)];
    let [small, large, next] = &packages;
    let updates: Vec<&Package> = packages.iter().collect();
    let mirror = mirror_of(&updates);
    let (world, endpoint) = Endpoint::of(scene(&mirror, &updates, &["PackageRequired"]));
    refresh(&world, &endpoint);
    eventually("all of them are here", || updates.iter().all(|package| is_here(&world, package)));
    let signatures = || updates.iter().all(|package| mirror.hits(&package.signature().0) == 1);
    eventually("their signatures are in hand", signatures);
    let asked = mirror.requests().len();
    for package in [small, large, next] {
        let (name, signature) = package.signature();
        let (answer, signed) = (endpoint.core(&package.file_name()), endpoint.core(&name));
        assert!(answer.status == 200 && answer.body == package.bytes);
        assert!(signed.status == 200 && signed.body == signature);
    }
    assert_eq!(mirror.requests().len(), asked, "the mirror is not asked again");
    let order: Vec<String> = mirror.requests().iter().map(|request| request.path()).collect();
    let place = |package: &Package| order.iter().position(|path| path.ends_with(&package.file_name()));
    assert!(place(large) < place(small), "in the order in which pacman's downloader asks: {order:?}");
}

#[test]
fn the_first_update_that_is_asked_for_brings_the_others_and_a_client_joins_what_is_on_its_way() {
    let (first, big) = (Package::new("first", 9000), Package::new("big", 3 << 20));
    let mirror = mirror_of(&[&first, &big]).on(&big.file_name()).slow(2 << 20);
    let world = scene(&mirror, &[&first, &big], &[]);
    let world = world.sync_database("core", &database(&[&first, &big], Compression::Gzip));
    let (world, endpoint) = Endpoint::of(world);
    assert_eq!(endpoint.core(&first.file_name()).status, 200);
    eventually("the other one is on its way", || mirror.hits(&big.file_name()) == 1);
    let answer = endpoint.core(&big.file_name());
    assert!(answer.status == 200 && answer.body == big.bytes);
    assert_eq!((mirror.hits(&big.file_name()), mirror.hits(&first.file_name())), (1, 1));
    assert!(is_here(&world, &first) && is_here(&world, &big));
}

#[test]
fn nothing_is_fetched_before_it_is_asked_for_where_the_user_or_the_line_does_not_want_it() {
    let (asked, other) = (Package::new("asked", 9000), Package::new("other", 3000));
    for setting in ["off", "metered", "not an update"] {
        let mirror = mirror_of(&[&asked, &other]);
        let world = scene(&mirror, &[&asked, &other], &[]);
        let world = world.sync_database("core", &database(&[&asked, &other], Compression::Gzip));
        let world = match setting {
            "off" => world.set("PKGSWARM_ENDPOINT_AHEAD", "false"),
            "metered" => world.script("busctl", "echo u 1"),
            _ => world.pending(&[&other], &mirror),
        };
        let (world, endpoint) = Endpoint::of(world);
        for _ in 0..3 {
            assert_eq!(endpoint.core(&asked.file_name()).status, 200);
        }
        if setting == "metered" {
            eventually("the reason is told", || endpoint.log().contains("metered"));
        }
        assert!(!is_here(&world, &other) && mirror.hits(&other.file_name()) == 0, "{setting}");
    }
}

#[test]
fn a_refresh_through_the_endpoint_has_due_indexes_refreshed() {
    let package = Package::new("it", 9000);
    let (publisher, copy) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    publisher.index(&[&package], now(), 172_800).publish_on(&copy);
    let mirror = mirror_of(&[&package]);
    let world = scene(&mirror, &[&package], &[]).config(&publisher.config(Some(&copy)));
    let (world, endpoint) = Endpoint::of(world);
    assert_eq!((endpoint.core("unknown-1-1-any.pkg.tar.zst").status, copy.requests().len()), (404, 0));
    refresh(&world, &endpoint);
    let is_fetched = |request: &Request| request.path().ends_with("/pkgswarm.json");
    eventually("the index is fetched", || copy.requests().iter().any(is_fetched));
}
