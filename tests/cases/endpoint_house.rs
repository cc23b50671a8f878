//! The endpoints of a house: one machine fetches, the others have it from that one.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::endpoint::{Answer, Endpoint};
use crate::support::port::free_port;
use crate::support::server::{Ending, Framing, PATIENCE, Reply, Server, eventually};
use crate::support::*;

fn machine(packages: &[&Package], mirror: &FakeMirror, peers: &[SocketAddr]) -> (World, Endpoint) {
    Endpoint::of(scene(packages, mirror, peers))
}

fn scene(packages: &[&Package], mirror: &FakeMirror, peers: &[SocketAddr]) -> World {
    let peers = peers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ");
    World::new()
        .run_by_user()
        .sync_database("core", &database(packages, Compression::Gzip))
        .servers("core", &[mirror.repo("core")], &[])
        .set("PKGSWARM_SHARE_REPOS", "core")
        // Tests must not depend on the speed of the machine.
        .set("PKGSWARM_KUBO_HEAD_START", "10 s")
        .set("PKGSWARM_ENDPOINT_PEERS", &peers)
}

/// Returns an address at which no endpoint is.
fn unused() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Asks until the answer is no 404, as clients of a busy machine would have to.
fn patiently(endpoint: &Endpoint, name: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = endpoint.core(name);
        if answer.status != 404 || begun.elapsed() > PATIENCE {
            return answer;
        }
    }
}

#[test]
fn three_machines_fetch_each_package_once() {
    let packages = [Package::new("small", 70_000), Package::new("large", 3 << 20)];
    let mirror = FakeMirror::serving(&[packages[0].file(), packages[1].file()]);
    let all: Vec<&Package> = packages.iter().collect();
    let (_first, first) = machine(&all, &mirror, &[]);
    let others = [machine(&all, &mirror, &[first.address()]), machine(&all, &mirror, &[first.address()])];
    for package in &packages {
        // Both at once: the one in the middle makes one transfer of it.
        std::thread::scope(|scope| {
            for (_, endpoint) in &others {
                scope.spawn(|| {
                    let answer = patiently(endpoint, &package.file_name());
                    assert!(answer.status == 200 && answer.body == package.bytes, "{}", answer.status);
                });
            }
        });
        assert!(patiently(&first, &package.file_name()).body == package.bytes);
        assert_eq!(mirror.hits(&package.file_name()), 1, "{}", package.file_name());
    }
    let bytes: usize = packages.iter().map(|package| package.bytes.len()).sum();
    assert!(mirror.bytes() <= bytes as u64 * 102 / 100, "{} bytes for {bytes}", mirror.bytes());
}

#[test]
fn a_lying_endpoint_and_a_wrong_size_are_refused_and_the_mirror_is_asked() {
    let package = Package::new("it", 70_000);
    let mirror = FakeMirror::serving(&[package.file()]);
    for liar in
        [FakeMirror::serving(&[package.file()]).lying(), FakeMirror::serving(&[(package.file_name(), b"short")])]
    {
        let (_world, endpoint) = machine(&[&package], &mirror, &[liar.address()]);
        let answer = patiently(&endpoint, &package.file_name());
        assert!(answer.status == 200 && answer.body == package.bytes, "{}", answer.status);
    }
}

#[test]
fn an_endpoint_that_is_not_there_is_asked_once() {
    let packages = [Package::new("one", 70_000), Package::new("two", 70_000), Package::new("three", 70_000)];
    let files = packages.each_ref().map(Package::file);
    let mirror = FakeMirror::serving(&files);
    // One that closes each connection.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (gone.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        gone.incoming().for_each(|_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
    });
    let all: Vec<&Package> = packages.iter().collect();
    let (_world, endpoint) = machine(&all, &mirror, &[address]);
    let answer = patiently(&endpoint, &packages[0].file_name());
    assert!(answer.body == packages[0].bytes);
    let once = asked.load(Ordering::Relaxed);
    assert!(once > 0, "it was asked at all");
    for package in &packages[1..] {
        assert!(patiently(&endpoint, &package.file_name()).body == package.bytes);
    }
    assert_eq!(asked.load(Ordering::Relaxed), once, "it is left alone then");
}

#[test]
fn two_that_ask_each_other_end() {
    let package = Package::new("nowhere", 70_000);
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    let (_first, first) = machine(&[&package], &mirror, &[]);
    let (_second, second) = machine(&[&package], &mirror, &[first.address(), unused()]);
    assert_eq!(second.core(&package.file_name()).status, 404);
    let relayed = second.client().get(&format!("/core/os/x86_64/{}", package.file_name()), &[("Via", "1.1 pkgswarm")]);
    assert_eq!(relayed.status, 404);
}

#[test]
fn a_client_that_joined_what_another_machine_began_has_all_its_sources_asked() {
    let (package, probe) = (Package::new("it", 2 << 20), Package::new("probe", 3000));
    let liar = FakeMirror::serving(&[package.file()]).lying().slow(1 << 20);
    let peer = FakeMirror::serving(&[package.file()]);
    let (_world, endpoint) = machine(&[&package, &probe], &liar, &[peer.address()]);
    eventually("the peer is known", || {
        endpoint.core(&probe.file_name());
        peer.hits(&probe.file_name()) > 0
    });
    let path = format!("/core/os/x86_64/{}", package.file_name());
    std::thread::scope(|scope| {
        // Another machine's endpoint, for which this one asks no third.
        let relayed = scope.spawn(|| endpoint.client().get(&path, &[("Via", "1.1 pkgswarm")]));
        eventually("it is on its way", || liar.hits(&package.file_name()) > 0);
        let answer = endpoint.core(&package.file_name());
        assert!(answer.status == 200 && answer.body == package.bytes, "{}", answer.status);
        assert_eq!(relayed.join().unwrap().status, 404);
    });
}

#[test]
fn two_endpoints_that_name_each_other_fetch_each_package_once() {
    let packages = ["one", "two", "three"].map(|name| Package::new(name, 1 << 20));
    let mirror = FakeMirror::serving(&packages.each_ref().map(Package::file)).slow(1 << 20);
    let [first, second] = [unused(), unused()];
    let worlds = [(first, second), (second, first)].map(|(own, other)| {
        scene(&packages.each_ref(), &mirror, &[other])
            .run_by_user()
            .set("PKGSWARM_ENDPOINT_ENABLED", "true")
            .set("PKGSWARM_ENDPOINT_LISTEN", &own.to_string())
            .set("PKGSWARM_ENDPOINT_WAIT", "8 s")
            .set("PKGSWARM_DAEMON_LOG", "info")
    });
    let endpoints = worlds.each_ref().map(|world| Endpoint::started(world.command(&["endpoint"])));
    endpoints.iter().for_each(knows_its_peer);
    for package in &packages {
        std::thread::scope(|scope| {
            for endpoint in &endpoints {
                scope.spawn(|| {
                    let answer = endpoint.core(&package.file_name());
                    assert!(answer.status == 200 && answer.body == package.bytes, "{}", endpoint.log());
                });
            }
        });
        assert_eq!(mirror.hits(&package.file_name()), 1, "{}\n{}", endpoints[0].log(), endpoints[1].log());
    }
}

#[test]
fn another_endpoint_does_not_wait_for_what_this_one_waits_for_in_the_house() {
    let package = Package::new("it", 70_000);
    let mirror = FakeMirror::serving(&[package.file()]);
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_world, endpoint) = machine(&[&package], &mirror, &[hung.local_addr().unwrap()]);
    knows_its_peer(&endpoint);
    let path = format!("/core/os/x86_64/{}", package.file_name());
    std::thread::scope(|scope| {
        let client = scope.spawn(|| endpoint.core(&package.file_name()));
        // It is asked for the file now, and says nothing.
        let asked = hung.accept().unwrap();
        for (number, status) in [("", 404), (" (0)", 404), (" (ffffffffffffffff)", 200)] {
            let via = format!("1.1 pkgswarm{number}");
            let head = endpoint.client().ask("HEAD", &path, &[("Via", &via)]).expect("an answer");
            assert_eq!(head.status, status, "{via}");
        }
        assert_eq!(endpoint.client().get(&path, &[("Via", "1.1 pkgswarm")]).status, 404);
        drop((hung, asked));
        let answer = client.join().unwrap();
        assert!(answer.status == 200 && answer.body == package.bytes, "{}\n{}", answer.status, endpoint.log());
    });
}

#[test]
fn a_named_endpoint_is_believed_about_a_signature_where_no_mirror_is_to_be_asked() {
    let package = Package::new("it", 9000);
    let (name, signature) = package.signature();
    let mirror = FakeMirror::serving(&[package.file(), package.signature()]);
    let peer = FakeMirror::serving(&[package.file(), package.signature()]);
    let world = scene(&[&package], &mirror, &[peer.address()]).set("PKGSWARM_ENDPOINT_MIRRORS", "false");
    let (_world, endpoint) = Endpoint::of(world);
    knows_its_peer(&endpoint);
    assert!(patiently(&endpoint, &package.file_name()).body == package.bytes, "{}", endpoint.log());
    assert!(patiently(&endpoint, &name).body == signature, "{}", endpoint.log());
    assert_eq!((mirror.hits(&name), mirror.hits(&package.file_name())), (0, 0));
}

/// Waits until it knows that a peer is there.
fn knows_its_peer(endpoint: &Endpoint) {
    eventually("the peer is known", || endpoint.log().contains("packages are asked of"));
}

#[test]
fn what_another_machine_is_fetching_is_waited_for_longer_than_a_source_that_sends_nothing() {
    let package = Package::new("it", 3 << 20);
    let mirror = FakeMirror::serving(&[package.file()]).slow(1 << 20);
    let (_first, first) = machine(&[&package], &mirror, &[]);
    // The one that asks gives a silent source less than the time that the file takes; so does it wait for a peer.
    let world = scene(&[&package], &mirror, &[first.address()]);
    let world = world.set("PKGSWARM_ENDPOINT_WAIT", "1500 ms").set("PKGSWARM_KUBO_HEAD_START", "1500 ms");
    let (_world, second) = Endpoint::hasty(world);
    knows_its_peer(&second);
    let answer = second.core(&package.file_name());
    assert!(answer.status == 200 && answer.body == package.bytes, "{}\n{}", answer.status, second.log());
    assert_eq!((mirror.hits(&package.file_name()), mirror.bytes()), (1, package.bytes.len() as u64));
}

#[test]
fn an_endpoint_that_accepts_and_says_nothing_is_not_waited_for() {
    let packages = [Package::new("one", 70_000), Package::new("two", 70_000)];
    let mirror = FakeMirror::serving(&packages.each_ref().map(Package::file));
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = scene(&packages.each_ref(), &mirror, &[hung.local_addr().unwrap()]);
    let (_world, endpoint) = Endpoint::of(world.set("PKGSWARM_KUBO_HEAD_START", "250 ms"));
    knows_its_peer(&endpoint);
    for package in &packages {
        let answer = endpoint.core(&package.file_name());
        assert!(answer.status == 200 && answer.body == package.bytes, "{}", answer.status);
    }
}

#[test]
fn an_endpoint_that_stops_while_it_fetches_is_left_for_the_mirror() {
    let package = Package::new("it", 70_000);
    let mirror = FakeMirror::serving(&[package.file()]);
    let size = package.bytes.len();
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    // It says that the file is on its way, and nothing from then on.
    let peer = Server::start(move |request| {
        let head = Reply { framing: Framing::Length(size as u64), ..Reply::new(200, "") };
        let is_first = request.method == "HEAD" && counted.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { head } else { Reply { ending: Ending::Silence, ..head } }
    });
    let (_world, endpoint) = machine(&[&package], &mirror, &[peer.address()]);
    knows_its_peer(&endpoint);
    let answer = endpoint.core(&package.file_name());
    assert!(answer.status == 200 && answer.body == package.bytes, "{}\n{}", answer.status, endpoint.log());
    assert!(asked.load(Ordering::Relaxed) > 1, "it was asked whether it goes on");
}

#[test]
fn a_signature_of_a_named_endpoint_is_believed_only_where_no_mirror_can_be_reached() {
    let packages = [Package::new("unsigned", 9000), Package::new("slow", 9000), Package::new("probe", 3000)];
    let [unsigned, slow, probe] = &packages;
    let peer = FakeMirror::serving(&[unsigned.signature(), slow.signature(), probe.file()]);
    let slow_name = slow.signature().0;
    let mirror = FakeMirror::serving(&[slow.signature()]).on(&slow_name).hanging();
    let (_world, endpoint) = machine(&packages.each_ref(), &mirror, &[peer.address()]);
    knows_its_peer(&endpoint);
    std::thread::scope(|scope| {
        for name in [unsigned.signature().0, slow_name] {
            let (endpoint, mirror, peer) = (&endpoint, &mirror, &peer);
            scope.spawn(move || {
                assert_eq!(endpoint.core(&name).status, 404, "{name}");
                assert!(mirror.hits(&name) > 0 && peer.hits(&name) == 0, "never a neighbour's word: {name}");
            });
        }
    });
    let world = scene(&packages.each_ref(), &mirror, &[peer.address()]);
    let dead = format!("http://{}/core", dead_address());
    let (_world, endpoint) = Endpoint::of(world.other_servers("core", &[dead]));
    knows_its_peer(&endpoint);
    let (name, signature) = slow.signature();
    assert!(patiently(&endpoint, &name).body == signature, "{}", endpoint.log());
}
