//! Updates that the endpoint fetches before pacman asks for them: once each, and for the asking.

use std::fs;
use std::io::{Read as _, Write as _};

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

/// A machine with these updates whose database is the one in use.
fn current(mirror: &FakeMirror, updates: &[&Package]) -> World {
    scene(mirror, updates, &[]).sync_database("core", &database(updates, Compression::Gzip))
}

#[test]
fn the_second_update_that_is_asked_for_brings_the_others_and_a_client_joins_what_is_on_its_way() {
    let (first, second, big) =
        (Package::new("first", 9000), Package::new("second", 8000), Package::new("big", 3 << 20));
    let updates = [&first, &second, &big];
    let mirror = mirror_of(&updates).on(&big.file_name()).slow(2 << 20);
    let (world, endpoint) = Endpoint::of(current(&mirror, &updates));
    assert_eq!(endpoint.core(&first.file_name()).status, 200);
    eventually("it is an update", || endpoint.log().contains("3 updates are pending"));
    assert_eq!(endpoint.core(&first.file_name()).status, 200);
    eventually("one was asked for", || endpoint.log().contains("1 of the pending updates were asked for"));
    assert_eq!(mirror.hits(&big.file_name()), 0, "one alone may be all that the user wants");
    assert_eq!(endpoint.core(&second.file_name()).status, 200);
    eventually("the other one is on its way", || mirror.hits(&big.file_name()) == 1);
    let answer = endpoint.core(&big.file_name());
    assert!(answer.status == 200 && answer.body == big.bytes);
    assert!(updates.iter().all(|package| mirror.hits(&package.file_name()) == 1 && is_here(&world, package)));
}

#[test]
fn an_update_for_which_a_client_is_sent_elsewhere_is_not_fetched_ahead_as_well() {
    let (first, second, big) =
        (Package::new("first", 9000), Package::new("second", 8000), Package::new("big", 10 << 20));
    let updates = [&first, &second, &big];
    let mirror = mirror_of(&updates).on(&big.file_name()).slow(1 << 20);
    let (world, endpoint) = Endpoint::of(current(&mirror, &updates));
    for package in [&first, &second] {
        assert_eq!(endpoint.core(&package.file_name()).status, 200);
    }
    eventually("the other one is on its way", || mirror.hits(&big.file_name()) == 1);
    assert_eq!(endpoint.core(&big.file_name()).status, 307);
    let path = format!("/core/os/x86_64/{}", big.file_name());
    eventually("it comes no more", || {
        endpoint.client().ask("HEAD", &path, &[]).is_some_and(|head| head.status == 404) || is_here(&world, &big)
    });
    assert!(!is_here(&world, &big) && mirror.bytes() < 7 << 20, "{} bytes", mirror.bytes());
}

#[test]
fn an_update_that_a_client_leaves_in_the_middle_is_not_fetched_ahead_as_well() {
    let (first, second, big) =
        (Package::new("first", 9000), Package::new("second", 8000), Package::new("big", 12 << 20));
    let updates = [&first, &second, &big];
    let mirror = mirror_of(&updates).on(&big.file_name()).slow(1 << 20);
    // It has the root alone, so that leaves leave while the rest comes.
    let root = pkgswarm::dag::build::build(&big.bytes[..]).unwrap().root;
    let kubo = FakeKubo::empty().holding(&big.bytes).on(&format!("ipfs/{root}")).status(404);
    let world = current(&mirror, &updates).kubo(&kubo).set("PKGSWARM_KUBO_HEAD_START", "0 s");
    let (world, endpoint) = Endpoint::of(FakeIndex::called("arch").listing(&big).in_use(world));
    for package in [&first, &second] {
        assert_eq!(endpoint.core(&package.file_name()).status, 200);
    }
    eventually("the other one is on its way", || mirror.hits(&big.file_name()) == 1);
    let path = format!("/core/os/x86_64/{}", big.file_name());
    let mut stream = std::net::TcpStream::connect(endpoint.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut begins = [0; 12];
    stream.read_exact(&mut begins).unwrap();
    assert_eq!(&begins, b"HTTP/1.1 200");
    drop(stream);
    // As where it has given up what is too slow, and goes on with its next server.
    eventually("it comes no more", || {
        endpoint.client().ask("HEAD", &path, &[]).is_some_and(|head| head.status == 404) || is_here(&world, &big)
    });
    assert!(!is_here(&world, &big) && mirror.bytes() < 10 << 20, "{} bytes", mirror.bytes());
}

#[test]
fn the_house_is_not_asked_for_updates_of_a_repository_that_is_not_shared() {
    let (secret, probe) = (Package::new("secret", 9000), Package::new("probe", 3000));
    let (mirror, peer) = (mirror_of(&[&secret]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let world = scene(&mirror, &[&secret], &[])
        .sync_database("extra", &database(&[&probe], Compression::Gzip))
        .servers("extra", &[mirror.repo("extra")], &[])
        .set("PKGSWARM_SHARE_REPOS", "extra")
        .set("PKGSWARM_ENDPOINT_PEERS", &peer.address().to_string());
    let (world, endpoint) = Endpoint::of(world);
    eventually("it is asked for what is shared", || {
        endpoint.get(&format!("/extra/os/x86_64/{}", probe.file_name()));
        peer.hits(&probe.file_name()) > 0
    });
    refresh(&world, &endpoint);
    eventually("the update is here", || is_here(&world, &secret));
    assert_eq!(peer.hits(&secret.file_name()), 0);
}

#[test]
fn a_database_that_changes_none_of_this_machine_brings_nothing() {
    let (other, first, second) =
        (Package::new("other", 900), Package::new("first", 9000), Package::new("second", 8000));
    let all = [&other, &first, &second];
    let mirror = mirror_of(&all);
    mirror.publish("core.files", &database(&all, Compression::Gzip));
    let world = current(&mirror, &all).pending(&[&first, &second], &mirror);
    let (_world, endpoint) = Endpoint::of(world);
    // As with -Fy, and as `checkupdates` does, which has databases of its own.
    for name in ["core.files", "core.db"] {
        assert_eq!(endpoint.core(name).status, 200);
    }
    assert_eq!(endpoint.core(&other.file_name()).status, 200);
    eventually("that is seen", || endpoint.log().contains("none of this machine has changed"));
    eventually("updates are known", || endpoint.log().contains("2 updates are pending"));
    assert_eq!(endpoint.core(&other.file_name()).status, 200);
    assert!(mirror.hits(&first.file_name()) == 0 && mirror.hits(&second.file_name()) == 0);
}

#[test]
fn nothing_is_fetched_before_it_is_asked_for_where_the_user_or_the_line_does_not_want_it() {
    let (asked, other) = (Package::new("asked", 9000), Package::new("other", 3000));
    for setting in ["off", "metered", "not an update"] {
        let mirror = mirror_of(&[&asked, &other]);
        let world = current(&mirror, &[&asked, &other]);
        let world = match setting {
            "off" => world.set("PKGSWARM_ENDPOINT_AHEAD", "false"),
            "metered" => world.script("busctl", "echo u 1"),
            _ => world.pending(&[&other], &mirror),
        };
        let (world, endpoint) = Endpoint::of(world);
        for _ in 0..3 {
            assert_eq!(endpoint.core(&asked.file_name()).status, 200);
        }
        match setting {
            "off" => eventually("it is off", || endpoint.log().contains("endpoint.ahead is false")),
            "metered" => eventually("the reason is told", || endpoint.log().contains("metered")),
            _ => {
                eventually("updates are known", || endpoint.log().contains("1 updates are pending"));
                eventually("none of them was asked for", || endpoint.log().contains("0 of the pending updates"));
            }
        }
        assert_eq!(endpoint.core(&asked.file_name()).status, 200);
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
