//! Machines that share their files, in network namespaces with real multicast DNS and real pacmans: each update
//! crosses the uplink once, without Kubo, without a publisher.

#[path = "real_node/announcers.rs"]
mod announcers;
#[path = "real_node/attacker.rs"]
mod attacker;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/client.rs"]
mod client;
#[path = "real_node/floods.rs"]
mod floods;
#[path = "real_node/found.rs"]
mod found;
#[path = "real_node/haiku.rs"]
mod haiku;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/haiku_house.rs"]
mod haiku_house;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/haiku_repository.rs"]
mod haiku_repository;
#[path = "real_node/house.rs"]
mod house;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/hpkr.rs"]
mod hpkr;
#[path = "real_node/indexes.rs"]
mod indexes;
#[path = "real_node/kept.rs"]
mod kept;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/pkgman.rs"]
mod pkgman;
#[path = "support/real/mod.rs"]
mod real;
#[path = "real_node/strangers.rs"]
mod strangers;

use real::{Lan, Machine, Pkgbuild, Scene, until};
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn packages() -> [Pkgbuild; 4] {
    [
        Pkgbuild::new("alpha", "1:1-1").size(300 * KIB),
        Pkgbuild::new("beta", "1-1").size(MIB + 1).depends("alpha"),
        Pkgbuild::new("g++x", "2-1").size(9 * MIB).depends("beta"),
        Pkgbuild::new("tiny", "1-1").size(4 * KIB),
    ]
}

#[test]
fn three_machines_fetch_each_package_once_over_the_uplink() {
    let scene = Scene::new(&packages(), 3);
    for machine in &scene.machines {
        let took = machine.daemon.meets(2);
        assert!(took < Duration::from_secs(3), "found its neighbours after {took:?}");
    }
    let mut first = 0;
    for number in 0..3 {
        let machine = &scene.machines[number];
        let ran = machine.pacman.run(&["-Syu", "g++x", "tiny"]).ok();
        assert_eq!(machine.pacman.installed().len(), 4, "{ran}");
        machine.daemon.offers(4);
        if number == 0 {
            first = scene.uplink();
            assert!(first > 10 * MIB, "{first} bytes: {ran}");
        } else {
            // Files that were read ahead end with that.
            let of_neighbours = ran.stderr.lines().filter(|line| line.contains("  from neighbour"));
            assert_eq!(of_neighbours.count(), 4, "{ran}");
        }
    }
    let all = scene.uplink();
    assert!(all * 100 <= first * 105, "{all} bytes over the uplink, {first} for one machine");
    for machine in &scene.machines[1..] {
        // The daemon removes its copy once it has seen the one in the cache.
        until("nothing is kept a second time", Duration::from_secs(10), || {
            (machine.swarm.store_bytes() + machine.daemon.store_bytes() < MIB).then_some(())
        });
    }
}

#[test]
fn a_neighbour_whose_cable_is_pulled_is_missed_and_found_again_within_ten_seconds() {
    let scene = Scene::new(&packages()[..1], 2);
    let (one, two) = (&scene.machines[0], &scene.machines[1]);
    one.daemon.meets(1);
    two.daemon.meets(1);
    two.host.unplug();
    let missed = one.daemon.misses_all();
    assert!(missed < Duration::from_secs(10), "missed after {missed:?}");
    two.host.plug();
    let found = one.daemon.meets(1);
    assert!(found < Duration::from_secs(10), "found again after {found:?}");
}

#[test]
fn a_neighbour_that_sleeps_is_missed_and_found_again_with_another_address() {
    let scene = Scene::new(&packages()[..1], 2);
    let (one, two) = (&scene.machines[0], &scene.machines[1]);
    one.daemon.meets(1);
    two.daemon.freeze();
    let missed = one.daemon.misses_all();
    assert!(missed < Duration::from_secs(10), "missed after {missed:?}");
    two.host.renumber("10.77.0.200");
    two.daemon.thaw();
    let found = one.daemon.meets(1);
    assert!(found < Duration::from_secs(10), "found again after {found:?}");
    let address = one.daemon.status()["peers"][0]["address"].as_str().unwrap_or_default().to_owned();
    assert!(address.contains("10.77.0.200"), "{address}");
}

#[test]
fn a_machine_that_wakes_up_with_its_neighbour_gone_notices_and_finds_it_when_it_is_back() {
    let mut scene = Scene::new(&packages()[..1], 2);
    scene.machines[0].daemon.meets(1);
    scene.machines[0].daemon.freeze();
    scene.machines[1].daemon.kill();
    scene.machines[0].daemon.thaw();
    let missed = scene.machines[0].daemon.misses_all();
    assert!(missed < Duration::from_secs(10), "missed after {missed:?}");
    scene.machines[1].daemon.start();
    let found = scene.machines[0].daemon.meets(1);
    assert!(found < Duration::from_secs(3), "found again after {found:?}");
}

#[test]
fn a_neighbour_whose_address_changes_is_found_at_the_new_one_within_ten_seconds() {
    let scene = Scene::new(&packages()[..1], 2);
    let (one, two) = (&scene.machines[0], &scene.machines[1]);
    one.daemon.meets(1);
    two.host.renumber("10.77.0.201");
    let begun = std::time::Instant::now();
    until("it is connected at its new address", Duration::from_secs(30), || {
        let status = one.daemon.status();
        let address = status["peers"][0]["address"].as_str()?;
        address.contains("10.77.0.201").then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "found again after {:?}", begun.elapsed());
}

/// Returns the median of how much longer each second duration is than the first of its pair.
fn median_of_more(pairs: &[(Duration, Duration)]) -> Duration {
    let mut more: Vec<Duration> = pairs.iter().map(|(without, with)| with.saturating_sub(*without)).collect();
    more.sort();
    more[more.len() / 2]
}

#[test]
fn neighbours_that_hang_delay_a_transaction_by_no_more_than_0_3_s() {
    let names: Vec<String> = (0..8).map(|i| format!("small{i}")).collect();
    let mut packages: Vec<Pkgbuild> = names.iter().map(|name| Pkgbuild::new(name, "1-1").size(40 * KIB)).collect();
    packages.push(Pkgbuild::new("large", "1-1").size(2 * MIB));
    let mut scene = Scene::new(&packages, 3);
    scene.machines[0].pacman.run(&["-Sy"]).ok();
    let words: Vec<&str> = ["-Sw", "large"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let fetch = |scene: &Scene| {
        let machine = &scene.machines[0];
        machine.pacman.clear_cache();
        machine.swarm.forget();
        machine.daemon.forget();
        machine.pacman.run(&words).ok().took
    };
    // In turn, so that other load of this machine affects both alike.
    let mut pairs = Vec::new();
    for _ in 0..5 {
        scene.machines[1..].iter_mut().for_each(|other| drop(other.daemon.stop()));
        scene.machines[0].daemon.misses_all();
        let without = fetch(&scene);
        scene.machines[1..].iter_mut().for_each(|other| other.daemon.start());
        scene.machines[0].daemon.meets(2);
        scene.machines[1..].iter().for_each(|other| other.daemon.freeze());
        pairs.push((without, fetch(&scene)));
        scene.machines[1..].iter().for_each(|other| other.daemon.thaw());
    }
    let more = median_of_more(&pairs);
    println!("hanging neighbours: {more:?} more, of {pairs:?}");
    assert!(more <= Duration::from_millis(300), "{more:?} more in the median of {pairs:?}");
}

#[test]
fn a_daemon_that_hangs_delays_a_transaction_by_no_more_than_0_3_s() {
    let names: Vec<String> = (0..8).map(|i| format!("small{i}")).collect();
    let packages: Vec<Pkgbuild> = names.iter().map(|name| Pkgbuild::new(name, "1-1").size(40 * KIB)).collect();
    let mut scene = Scene::new(&packages, 1);
    let machine = &mut scene.machines[0];
    machine.pacman.run(&["-Sy"]).ok();
    let words: Vec<&str> = std::iter::once("-Sw").chain(names.iter().map(String::as_str)).collect();
    let mut pairs = Vec::new();
    for _ in 0..5 {
        let fetch = |machine: &Machine| {
            machine.pacman.clear_cache();
            machine.swarm.forget();
            machine.pacman.run(&words).ok().took
        };
        machine.daemon.stop();
        let without = fetch(machine);
        machine.daemon.start();
        machine.daemon.freeze();
        pairs.push((without, fetch(machine)));
        machine.daemon.thaw();
    }
    let more = median_of_more(&pairs);
    println!("a daemon that hangs: {more:?} more, of {pairs:?}");
    assert!(more <= Duration::from_millis(300), "{more:?} more in the median of {pairs:?}");
}

#[test]
fn on_a_network_that_is_not_trusted_nothing_is_asked_and_nothing_answered() {
    let mut scene = Scene::new(&packages()[..1], 1);
    scene.add_machine_trusting("192.168.0.0/16");
    let (open, shut) = (&scene.machines[0], &scene.machines[1]);
    open.pacman.run(&["-Syu", "alpha"]).ok();
    open.daemon.offers(1);
    let ran = shut.pacman.run(&["-Syu", "alpha"]).ok();
    assert!(!ran.stderr.contains("neighbour"), "{ran}");
    let status = shut.daemon.status();
    assert_eq!(
        (status["peers"].as_array().map(Vec::len), status["listening"].as_array().map(Vec::len)),
        (Some(0), Some(0))
    );
    assert_eq!(open.daemon.status()["known_peers"], 0);
    // Once it is trusted, the running daemon notices.
    shut.swarm.run(&["lan", "trust", "10.77.0.0/24"]).ok();
    shut.daemon.meets(1);
}

#[test]
fn nothing_is_asked_or_answered_on_an_interface_that_is_not_chosen_or_not_trusted() {
    let mut scene = Scene::new(&packages()[..1], 0);
    scene.add_machine_trusting("10.77.0.0/24");
    // The other machine is on the other network alone, and trusts any.
    scene.lan = Lan::of("10.78.0");
    scene.add_machine();
    let (machine, other) = (&scene.machines[0], &scene.machines[1]);
    machine.host.count_mdns(&["eth0", "eth1"]);
    let address = scene.lan.plug_in(&machine.host, "eth1");
    machine.host.set_address("eth1", &address);
    let stands = |interface: &str| {
        let networks = machine.daemon.status()["networks"].as_array().cloned().unwrap_or_default();
        let network = networks.iter().find(|network| network["interface"] == interface);
        network.and_then(|network| network["stands"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let until_it_is = |what: &str| {
        until(&format!("eth1 is {what}"), Duration::from_secs(10), || stands("eth1").starts_with(what).then_some(()));
    };
    until_it_is("not trusted");
    machine.swarm.configure("[lan]\nnetworks = \"any\"\ninterfaces = \"eth0\"\n");
    until_it_is("not used");
    assert_eq!(stands("eth0"), "trusted");
    // It asks again on the interface in use, and on no other.
    until("eth0 is asked on", Duration::from_secs(20), || (machine.host.mdns_sent("eth0") > 0).then_some(()));
    assert_eq!(machine.host.mdns_sent("eth1"), 0);
    assert_eq!(
        (&machine.daemon.status()["known_peers"], &other.daemon.status()["known_peers"]),
        (&0.into(), &0.into())
    );
    let status = machine.swarm.run(&["status"]).ok().stdout;
    assert!(status.contains("(eth1): not used: lan.interfaces names others"), "{status}");
    machine.swarm.configure("[lan]\nnetworks = \"any\"\ninterfaces = \"eth*\"\n");
    machine.daemon.meets(1);
    assert!(machine.host.mdns_sent("eth1") > 0);
}

#[test]
fn machines_without_ipv4_find_each_other_within_three_seconds_and_share() {
    let alpha = Pkgbuild::new("alpha", "1-1").size(300 * KIB);
    let file = alpha.file_name();
    let mut scene = Scene::new(&[alpha], 2);
    scene.machines[0].pacman.run(&["-Syu", "alpha"]).ok();
    scene.machines[0].daemon.offers(1);
    for (number, machine) in scene.machines.iter_mut().enumerate() {
        machine.daemon.stop();
        machine.host.move_to_ipv6(&format!("fd77::{number}"));
    }
    scene.machines.iter_mut().for_each(|machine| machine.daemon.start());
    let (has, wants) = (&scene.machines[0], &scene.machines[1]);
    let took = wants.daemon.meets(1);
    println!("found its neighbour after {took:?}");
    assert!(took < Duration::from_secs(3), "found its neighbour after {took:?}");
    let address = wants.daemon.status()["peers"][0]["address"].as_str().unwrap_or_default().to_owned();
    assert!(address.starts_with("/ip6/fd77::"), "{address}");
    has.daemon.offers(1);
    assert_eq!(wants.daemon.get(&scene.repo.dir().join(file), None).as_deref(), Ok("done"));
}

#[test]
fn status_tells_the_neighbours_their_traffic_and_the_offers() {
    let scene = Scene::new(&packages()[..2], 2);
    let (has, wants) = (&scene.machines[0], &scene.machines[1]);
    has.pacman.run(&["-Syu", "beta"]).ok();
    has.daemon.offers(2);
    wants.daemon.meets(1);
    wants.pacman.run(&["-Syu", "beta"]).ok();
    let json: serde_json::Value =
        serde_json::from_str(&has.swarm.run(&["status", "--json"]).ok().stdout).expect("JSON");
    let (node, peer) = (&json["daemon"], &json["daemon"]["peers"][0]);
    assert_eq!((node["answers"].as_bool(), node["shared_files"].as_u64()), (Some(true), Some(2)), "{json}");
    assert!(peer["agent"].as_str().is_some_and(|agent| agent.starts_with("pkgswarm/")), "{json}");
    assert_eq!(peer["id"], wants.daemon.status()["id"], "{json}");
    assert!(peer["bytes_sent"].as_u64().is_some_and(|sent| sent > MIB + 300 * KIB), "{json}");
    assert_eq!(peer["bytes_received"], 0, "{json}");
    let text = wants.swarm.run(&["status"]).ok().stdout;
    let of_peer = |line: &&str| line.starts_with(has.host.address());
    let line = text.lines().find(of_peer).unwrap_or_else(|| panic!("no neighbour: {text}"));
    assert!(line.contains("  pkgswarm  ") && line.contains(" MiB  "), "{text}");
}

#[test]
fn the_log_has_a_line_for_each_transfer_and_each_neighbour_where_that_is_asked_for() {
    let mut scene = Scene::new(&packages()[..2], 2);
    let [has, wants] = &mut scene.machines[..] else { panic!("two machines") };
    for machine in [&mut *has, &mut *wants] {
        machine.swarm.config_part("log.toml", "[daemon]\nlog = \"info\"\n");
        assert_eq!(machine.daemon.stop().expect("it ran").stderr, "", "by default it is silent");
        machine.daemon.start();
    }
    has.pacman.run(&["-Syu", "beta"]).ok();
    has.daemon.offers(2);
    wants.daemon.meets(1);
    wants.pacman.run(&["-Syu", "beta"]).ok();
    let id = wants.daemon.status()["id"].as_str().expect("its id").to_owned();
    let mut machines = scene.machines.into_iter();
    let (mut has, mut wants) = (machines.next().expect("one"), machines.next().expect("two"));
    let other = wants.daemon.stop().expect("it ran").stderr;
    until("it is missed", Duration::from_secs(60), || {
        has.daemon.status()["peers"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let said = has.daemon.stop().expect("it ran").stderr;
    let line = said.lines().find(|line| line.starts_with("neighbour ")).unwrap_or_else(|| panic!("no line: {said}"));
    assert!(line.contains(wants.host.address()) && line.contains(&id) && line.contains("pkgswarm/"), "{line}");
    let sender = has.host.address();
    let transfers: Vec<&str> = other.lines().filter(|line| line.starts_with("transfer of ")).collect();
    let is_told =
        |name: &str| transfers.iter().any(|line| line.contains(name) && line.contains(&format!(" from {sender} in ")));
    assert!(is_told("alpha-") || is_told("beta-"), "{other}");
    assert!(line.contains("sent it 1.") && line.contains(" MiB, received 0 B: "), "{line}");
}

#[test]
fn the_first_requests_of_a_user_are_all_answered_however_soon_they_come() {
    let mut scene = Scene::new(&packages()[..1], 1);
    let daemon = &mut scene.machines[0].daemon;
    daemon.stop();
    daemon.start();
    until("it answers", Duration::from_secs(10), || daemon.status().is_object().then_some(()));
    // A call that reads ahead begins with as many.
    let answered = (0..20).filter(|_| daemon.status().is_object()).count();
    assert_eq!(answered, 20);
}

#[test]
fn another_local_user_that_floods_the_socket_is_the_only_one_to_wait() {
    let scene = Scene::new(&packages()[..1], 2);
    let (has, wants) = (&scene.machines[0], &scene.machines[1]);
    has.pacman.run(&["-Syu", "alpha"]).ok();
    has.daemon.offers(1);
    wants.daemon.meets(1);
    // This test is root; pacman's downloader is another user.
    let held = wants.daemon.flood(300);
    assert!(held <= 64, "{held} connections of one user are held");
    let ran = wants.pacman.run(&["-Syu", "alpha"]).ok();
    assert!(ran.stderr.contains("from neighbour"), "{ran}");
}

/// Makes sixteen digits that look like noise.
fn noise_of(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
