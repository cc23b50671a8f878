//! Files that the endpoint has to fetch first: one transfer for all clients, only proven bytes, and no client that waits
//! for nothing.

use std::fs;
use std::thread;
use std::time::Duration;

use pkgswarm::store::journal::{By, JournalRecord};

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::endpoint::{Answer, Client, Endpoint};
use crate::support::mirror::{MODIFIED, http_date};
use crate::support::server::eventually;
use crate::support::*;

const MIB: u64 = 1 << 20;

/// Much less than the time for which pacman would wait for a silent server.
const SOON: Duration = Duration::from_secs(5);

/// An endpoint for `core` with these packages at these mirrors.
fn scene(packages: &[&Package], mirrors: &[&FakeMirror], levels: &[&str]) -> World {
    let servers: Vec<String> = mirrors.iter().map(|mirror| mirror.repo("core")).collect();
    let world = World::new().run_by_user().sync_database("core", &database(packages, Compression::Gzip));
    world.servers("core", &servers, levels)
}

/// Asks until the answer is no miss of a machine that was too busy to begin in time.
fn patiently(endpoint: &Endpoint, name: &str) -> Answer {
    let mut answer = endpoint.core(name);
    for _ in 0..20 {
        if answer.status != 404 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
        answer = endpoint.core(name);
    }
    answer
}

#[test]
fn many_clients_of_one_cold_file_share_one_transfer() {
    let package = Package::new("it", 4 * MIB as usize + 77);
    let mirror = FakeMirror::serving(&[package.file()]).slow(4 * MIB);
    let (world, endpoint) = Endpoint::of(scene(&[&package], &[&mirror], &[]));
    let name = package.file_name();
    let (address, path) = (endpoint.address(), format!("/core/os/x86_64/{name}"));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || Client::at(address).get(&path, &[]))
        })
        .collect();
    let answers: Vec<Answer> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let served: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(served.iter().all(|answer| answer.is_whole && answer.body == package.bytes));
    assert!(answers.iter().all(|answer| [200, 404].contains(&answer.status)));
    let again = patiently(&endpoint, &name);
    assert!(again.status == 200 && again.body == package.bytes);
    assert_eq!(mirror.bytes(), package.bytes.len() as u64, "it crossed once");
    let part = endpoint.client().get(&path, &[("Range", "bytes=1000000-")]);
    assert!(part.status == 206 && part.body == package.bytes[1_000_000..]);
    let written = || fs::read_to_string(world.path("store/journal")).unwrap_or_default();
    let records = || written().lines().filter_map(JournalRecord::from_line).collect::<Vec<_>>();
    eventually("each answer has its line", || {
        let delivered: u64 = records().iter().map(|record| record.delivered).sum();
        delivered >= (served.len() as u64 + 1) * package.bytes.len() as u64 + part.body.len() as u64
    });
    let records = records();
    assert!(records.iter().all(|record| record.by == By::Endpoint && record.name.as_str() == name));
    let received: u64 = records.iter().flat_map(|record| &record.shares).map(|share| share.bytes).sum();
    assert_eq!(received, package.bytes.len() as u64);
    assert!(records.iter().any(|record| record.delivered == package.bytes.len() as u64));
}

#[test]
fn bytes_of_a_lying_mirror_reach_no_client() {
    let package = Package::new("it", 700_000);
    let (liar, honest) = (FakeMirror::serving(&[package.file()]).lying(), FakeMirror::serving(&[package.file()]));
    let (_world, endpoint) = Endpoint::of(scene(&[&package], &[&liar, &honest], &[]));
    let answer = patiently(&endpoint, &package.file_name());
    assert!(answer.status == 200 && answer.body == package.bytes);
    assert_eq!(answer.header("last-modified"), Some(&*http_date(MODIFIED)));
    let (_world, endpoint) = Endpoint::of(scene(&[&package], &[&liar], &[]));
    let answer = endpoint.core(&package.file_name());
    assert_eq!((answer.status, answer.body.len()), (404, 0));
}

#[test]
fn what_pacman_has_in_its_cache_leaves_the_store_of_the_endpoint() {
    let (taken, left) = (Package::new("taken", 90_000), Package::new("left", 90_000));
    let mirror = FakeMirror::serving(&[taken.file(), left.file()]);
    let (world, endpoint) = Endpoint::of(scene(&[&taken, &left], &[&mirror], &[]));
    for package in [&taken, &left] {
        assert_eq!(patiently(&endpoint, &package.file_name()).status, 200);
    }
    let kept = |package: &Package| world.path("store/files").join(package.sha256().to_string()).exists();
    assert!(kept(&taken) && kept(&left));
    fs::write(world.path("cache").join(taken.file_name()), &taken.bytes).unwrap();
    // As another client does.
    assert_eq!(endpoint.core(&left.file_name()).status, 200);
    eventually("what the cache has is gone", || !kept(&taken));
    assert!(kept(&left));
}

#[test]
fn a_source_that_is_silent_is_not_waited_for() {
    let package = Package::new("it", 700_000);
    let mirror = FakeMirror::serving(&[package.file()]).hanging();
    let (_world, endpoint) = Endpoint::hasty(scene(&[&package], &[&mirror], &[]));
    let answer = endpoint.core(&package.file_name());
    assert!(answer.status == 404 && answer.after < SOON, "{:?}", answer.after);
    // Neither is one that the user does not want to be asked.
    let mirror = FakeMirror::serving(&[package.file()]);
    let world = scene(&[&package], &[&mirror], &[]).set("PKGSWARM_ENDPOINT_MIRRORS", "false");
    let (_world, endpoint) = Endpoint::of(world);
    assert_eq!((endpoint.core(&package.file_name()).status, mirror.requests().len()), (404, 0));
}

#[test]
fn a_file_that_will_not_be_whole_in_time_is_left_to_a_mirror_that_has_its_signature() {
    let package = Package::new("it", 10 * MIB as usize);
    for (files, status) in [(vec![package.file(), package.signature()], 307), (vec![package.file()], 404)] {
        let mirror = FakeMirror::serving(&files).on(&package.file_name()).slow(MIB / 2);
        let (_world, endpoint) = Endpoint::of(scene(&[&package], &[&mirror], &[]));
        let answer = endpoint.core(&package.file_name());
        assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (status, 0, Some("0")));
        let target = mirror.url("core", &package.file_name());
        assert_eq!(answer.header("location"), Some(&*target).filter(|_| status == 307));
        assert!(mirror.bytes() < 7 * MIB, "the client fetches it now");
    }
}

#[test]
fn proven_leaves_leave_while_the_rest_comes_and_a_doubt_closes_the_connection_at_a_proven_byte() {
    let package = Package::new("it", 8 * MIB as usize + 99);
    let root = pkgswarm::dag::build::build(&package.bytes[..]).unwrap().root;
    let kubo = FakeKubo::empty().holding(&package.bytes).on(&format!("ipfs/{root}")).status(404);
    // It has more than three leaves, and then nothing more for ever.
    let mirror = FakeMirror::serving(&[package.file()]).status(503).on(&package.file_name());
    let mirror = mirror.stall_after(3 * MIB + 5000).times(1);
    let world = scene(&[&package], &[&mirror], &[]).kubo(&kubo).set("PKGSWARM_KUBO_HEAD_START", "0 s");
    let world = FakeIndex::called("arch").listing(&package).in_use(world);
    let (_world, endpoint) = Endpoint::of(world);
    let answer = patiently(&endpoint, &package.file_name());
    assert_eq!((answer.status, answer.header("content-length")), (200, Some(&*package.bytes.len().to_string())));
    assert!(!answer.is_whole && answer.body.len() as u64 > 2 * MIB, "{} bytes", answer.body.len());
    assert!(package.bytes.starts_with(&answer.body), "each byte of it is one of the file");
    // As pacman goes on elsewhere, from the byte that it has.
    let honest = FakeMirror::serving(&[package.file()]);
    let (_world, endpoint) = Endpoint::of(scene(&[&package], &[&honest], &[]));
    let range = format!("bytes={}-", answer.body.len());
    let path = format!("/core/os/x86_64/{}", package.file_name());
    patiently(&endpoint, &package.file_name());
    let rest = endpoint.client().get(&path, &[("Range", &range)]);
    assert!([answer.body, rest.body].concat() == package.bytes);
}

#[test]
fn a_package_waits_for_its_signature_where_pacman_demands_one() {
    let package = Package::new("it", 90_000);
    let (name, signature) = package.signature();
    let required = ["PackageRequired"];
    // Without it the package does not leave, wherever it is.
    let bare = FakeMirror::serving(&[package.file()]);
    let (world, endpoint) = Endpoint::of(scene(&[&package], &[&bare], &required));
    fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
    assert_eq!(endpoint.core(&package.file_name()).status, 404);
    assert_eq!(endpoint.core(&name).status, 404);
    // Where none is demanded it does.
    let (world, endpoint) = Endpoint::of(scene(&[&package], &[&bare], &[]));
    fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
    assert_eq!(endpoint.core(&package.file_name()).status, 200);
    // A neighbour's word is none.
    let neighbour = FakeDaemon::holding(&package.bytes, Daemon::Honest);
    let world = scene(&[&package], &[&bare], &required)
        .set("PKGSWARM_DAEMON_SOCKET", &neighbour.socket().display().to_string())
        .set("PKGSWARM_SHARE_REPOS", "core");
    let (_world, endpoint) = Endpoint::of(world);
    assert_eq!(endpoint.core(&package.file_name()).status, 404);
    // A mirror that has both is asked once for each.
    let both = FakeMirror::serving(&[package.file(), package.signature()]);
    let (_world, endpoint) = Endpoint::of(scene(&[&package], &[&both], &required));
    assert_eq!(patiently(&endpoint, &package.file_name()).status, 200);
    let asked = both.hits(&name);
    let answer = endpoint.core(&name);
    assert!(answer.status == 200 && answer.body == signature);
    assert_eq!(both.hits(&name), asked, "it was in hand");
    // A client that asks again did not like it.
    both.publish(&name, &crate::support::repo::signature("another"));
    assert!(endpoint.core(&name).body != signature && both.hits(&name) == asked + 1);
    // One that came twice alike is not fetched a third time.
    let was_in_hand = |_| {
        let before = both.hits(&name);
        endpoint.core(&name).status == 200 && both.hits(&name) == before
    };
    assert!((0..20).any(was_in_hand));
}

#[test]
fn a_package_without_a_signature_is_not_fetched_whole_and_a_private_mirror_has_both() {
    let package = Package::new("it", 10 * MIB as usize);
    let (name, required) = (package.file_name(), ["PackageRequired"]);
    let bare = FakeMirror::serving(&[package.file()]).on(&name).slow(MIB);
    let (world, endpoint) = Endpoint::of(scene(&[&package], &[&bare], &required));
    assert_eq!(endpoint.core(&name).status, 404);
    let path = format!("/core/os/x86_64/{name}");
    let kept = || world.path("store/files").join(package.sha256().to_string()).exists();
    let is_coming = || endpoint.client().ask("HEAD", &path, &[]).is_none_or(|head| head.status != 404);
    eventually("it comes no more", || kept() || !is_coming());
    assert!(bare.bytes() < 7 * MIB, "{} bytes", bare.bytes());
    // A user's name in the URL is for no other machine, and for this one's requests alone.
    let package = Package::new("it", 90_000);
    let both = FakeMirror::serving(&[package.file(), package.signature()]);
    let private = both.repo("core").replace("http://", "http://user:password@");
    let world = World::new().run_by_user().sync_database("core", &database(&[&package], Compression::Gzip));
    let world = world.servers("core", &[private], &required);
    let (_world, endpoint) = Endpoint::of(world);
    let answer = endpoint.core(&package.file_name());
    assert!(answer.status == 200 && answer.body == package.bytes, "{}", answer.status);
    assert_eq!((both.hits(&package.file_name()), both.hits(&package.signature().0)), (1, 1));
}

#[test]
fn a_package_that_is_built_again_under_its_name_has_its_own_signature() {
    let (first, second) = (Package::new("it", 90_000), Package::new("it", 80_000));
    let (name, signature) = first.signature();
    let mirror = FakeMirror::serving(&[first.file(), first.signature()]);
    let (world, endpoint) = Endpoint::of(scene(&[&first], &[&mirror], &["PackageRequired"]));
    // Its signature is in hand now, and no client has had it.
    assert!(patiently(&endpoint, &first.file_name()).body == first.bytes);
    let another = crate::support::repo::signature("another");
    assert!(another != signature);
    mirror.publish(&name, &another);
    mirror.publish(&second.file_name(), &second.bytes);
    let replaced = world.path("root/var/lib/pacman/sync/new");
    fs::write(&replaced, database(&[&second], Compression::Gzip)).unwrap();
    fs::rename(replaced, world.path("root/var/lib/pacman/sync/core.db")).unwrap();
    eventually("the new one is listed", || endpoint.core(&second.file_name()).body == second.bytes);
    assert!(endpoint.core(&name).body == another);
}

#[test]
fn a_transfer_that_fails_is_in_the_journal_and_counts_as_no_file() {
    let package = Package::new("it", 700_000);
    let liar = FakeMirror::serving(&[package.file()]).lying();
    let (world, endpoint) = Endpoint::of(scene(&[&package], &[&liar], &[]));
    assert_eq!(endpoint.core(&package.file_name()).status, 404);
    let page = String::from_utf8(endpoint.get("/metrics").body).unwrap();
    assert!(page.contains("pkgswarm_endpoint_files_total 0"), "{page}");
    let written = || fs::read_to_string(world.path("store/journal")).unwrap_or_default();
    eventually("its bytes are counted", || {
        let text = written();
        let shares = text.lines().filter_map(JournalRecord::from_line).flat_map(|record| record.shares);
        shares.map(|share| share.bytes).sum::<u64>() >= 700_000
    });
}

#[test]
fn databases_are_as_the_mirror_has_them_and_never_older() {
    let package = Package::new("it", 900);
    let (old, new) = (database(&[], Compression::Gzip), database(&[&package], Compression::Gzip));
    let mirror = FakeMirror::serving(&[("core.db", &new)]);
    let (world, endpoint) = Endpoint::of(scene(&[], &[&mirror], &[]));
    let path = "/core/os/x86_64/core.db";
    let fetched = endpoint.get(path);
    let date = http_date(MODIFIED);
    assert!(fetched.status == 200 && fetched.body == new);
    assert_eq!(fetched.header("last-modified"), Some(&*date));
    assert_eq!(endpoint.get(&format!("{path}.sig")).status, 404);
    // As pacman keeps it.
    let kept = world.path("root/var/lib/pacman/sync/core.db");
    fs::write(&kept, &new).unwrap();
    let at = std::time::UNIX_EPOCH + Duration::from_secs(MODIFIED);
    fs::File::options().write(true).open(&kept).unwrap().set_modified(at).unwrap();
    let again = endpoint.client().get(path, &[("If-Modified-Since", &date)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    // A mirror that is behind changes nothing, unless the client wants what the mirror has.
    mirror.publish("core.db", &old);
    let mirror = mirror.modified(MODIFIED - 7200);
    let again = endpoint.client().get(path, &[("If-Modified-Since", &date)]);
    assert_eq!(again.status, 304);
    let forced = endpoint.get(path);
    assert!(forced.status == 200 && forced.body == old);
    assert_eq!(forced.header("last-modified"), Some(&*http_date(MODIFIED - 7200)));
    assert_eq!(endpoint.get("/extra/os/x86_64/extra.db").status, 404);
    drop(mirror);
}

#[test]
fn an_endpoint_that_is_its_own_server_asks_the_next_one() {
    let package = Package::new("it", 90_000);
    let mirror = FakeMirror::serving(&[package.file()]);
    // No other test listens at this address, so the port is free once it is given back.
    let own = std::net::TcpListener::bind("127.0.0.77:0").unwrap().local_addr().unwrap();
    let servers = [format!("http://{own}/core/os/x86_64"), mirror.repo("core")];
    let world = World::new()
        .run_by_user()
        .sync_database("core", &database(&[&package], Compression::Gzip))
        .servers("core", &servers, &[])
        .set("PKGSWARM_ENDPOINT_ENABLED", "true")
        .set("PKGSWARM_ENDPOINT_LISTEN", &own.to_string())
        .set("PKGSWARM_ENDPOINT_WAIT", "8 s")
        .set("PKGSWARM_DAEMON_LOG", "info");
    let endpoint = Endpoint::started(world.command(&["endpoint"]));
    let answer = patiently(&endpoint, &package.file_name());
    assert!(answer.status == 200 && answer.body == package.bytes);
}
