//! Endpoints of a house that announce themselves by multicast DNS, and what else is announced on the network.

use super::MIB;
use super::house::{AT_BOTH, House, NAMES, Resident};
use super::real::{Host, run, until};
use pkgswarm::daemon::endpoint::dns_sd::announcement;
use rustix::process::Signal;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

const OPEN: [(&str, &str); 2] = [("PKGSWARM_ENDPOINT_LISTEN", AT_BOTH), ("PKGSWARM_ENDPOINT_ALLOW", "10.77.0.0/24")];
const ANNOUNCED: (&str, &str) = ("PKGSWARM_ENDPOINT_ANNOUNCE", "true");
const LOOKING: (&str, &str) = ("PKGSWARM_ENDPOINT_PEERS", "dns-sd");

impl Resident {
    /// Lists the endpoints that this machine's asks.
    fn house(&self) -> Vec<String> {
        let status: serde_json::Value = serde_json::from_str(&self.asked(&["status", "--json"])).expect("JSON");
        let house = status["endpoint"]["house"].as_array().cloned().unwrap_or_default();
        house.iter().map(|one| format!("{} {}", one["at"], one["by"]).replace('"', "")).collect()
    }

    /// True where a program of this machine listens to multicast DNS.
    fn listens_to_mdns(&self) -> bool {
        run(self.host.command("ss").arg("-Hlun")).ok().stdout.contains(":5353")
    }
}

#[test]
fn an_endpoint_that_announces_itself_is_found_asked_and_missed_once_it_has_gone() {
    let house = House::new(None);
    house.release("1-1", "now");
    let cellar = house.with_endpoint(&[OPEN[0], OPEN[1], ANNOUNCED]);
    let laptop = house.with_endpoint(&[LOOKING]);
    // Another program has the port as well.
    let _daemon = laptop.swarm().daemon(&laptop.pacman);
    until("the endpoint is found", PATIENCE, || (laptop.house() == ["10.77.0.2:4011 dns-sd"]).then_some(()));
    let words = [&["-Syu"], &NAMES[..]].concat();
    cellar.upgrades(&house, &words);
    let before = house.uplink.bytes_sent();
    laptop.upgrades(&house, &words);
    let crossed = house.uplink.bytes_sent() - before;
    assert!(crossed < MIB, "{crossed} bytes over the uplink");
    let (status, announced) = (laptop.asked(&["status"]), cellar.asked(&["status"]));
    assert!(status.contains("asks 10.77.0.2:4011 first (dns-sd)"), "{status}");
    assert!(announced.contains("announced at 10.77.0.2:4011"), "{announced}");
    assert_eq!(laptop.pacman.installed(), cellar.pacman.installed());

    cellar.endpoint.as_ref().expect("it runs").process.signal(Signal::TERM);
    until("it is missed", PATIENCE, || laptop.house().is_empty().then_some(()));
    house.release("2-1", "now");
    laptop.upgrades(&house, &["-Syu"]);
    assert_eq!(laptop.pacman.installed()[0].1, "2-1");
}

#[test]
fn nothing_is_announced_or_asked_for_unless_the_user_says_so_and_the_network_is_trusted() {
    let house = House::new(None);
    house.release("1-1", "now");
    let elsewhere = ("PKGSWARM_LAN_NETWORKS", "192.168.0.0/16");
    let open = |number: u8| format!("127.0.0.1:4011 10.77.0.{number}:4011");
    let (two, three, four) = (open(2), open(3), open(4));
    let listen = |at| ("PKGSWARM_ENDPOINT_LISTEN", at);
    for (settings, listens) in [
        (vec![listen(two.as_str()), OPEN[1]], false),
        (vec![listen(&three), OPEN[1], ANNOUNCED, LOOKING, elsewhere], false),
        (vec![listen(&four), OPEN[1], ANNOUNCED], true),
        // Only on loopback: there is nothing to announce.
        (vec![ANNOUNCED], false),
        (vec![LOOKING], true),
    ] {
        let resident = house.with_endpoint(&settings);
        if listens {
            until("it listens", PATIENCE, || resident.listens_to_mdns().then_some(()));
        }
        // By then the others have looked at their networks as well.
        resident.house();
        assert_eq!(resident.listens_to_mdns(), listens, "{settings:?}: {}", resident.says());
        if settings.contains(&elsewhere) {
            let doctor = resident.asked(&["doctor"]);
            assert!(doctor.contains("it is announced nowhere"), "{doctor}");
        }
    }
}

/// Announces on the network again and again what `said` says, from one of the host's addresses.
fn announce(host: &Host, from: &str, said: impl Fn(u32) -> Vec<u8> + Send + 'static) -> JoinHandle<()> {
    let from: IpAddr = from.parse().expect("an address");
    host.inside(move || {
        let socket = UdpSocket::bind((from, 5353)).expect("a socket");
        for number in 0..10_000 {
            let _ = socket.send_to(&said(number), "224.0.0.251:5353");
            if number % 20 == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    })
}

#[test]
fn ten_thousand_names_and_answers_from_elsewhere_add_no_endpoint_and_keep_none_away() {
    let house = House::new(None);
    house.release("1-1", "now");
    let laptop = house.with_endpoint(&[("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:4011"), LOOKING]);
    let stranger = house.lan.host();
    run(stranger.command("ip").args(["route", "add", "224.0.0.0/4", "dev", "eth0"])).ok();
    stranger.set_address("eth0", "10.99.0.9");
    let at = |address: &str| address.parse::<IpAddr>().expect("an address");
    laptop.host.count_dials_to(stranger.address());
    let life = Duration::from_secs(4500);
    let own = at(stranger.address());
    let threads = [
        // Ten thousand names, at as many ports of its own.
        announce(&stranger, stranger.address(), move |n| {
            announcement(&format!("n{n}"), &[own], 20_000 + (n % 10_000) as u16, life)
        }),
        // From another network, and about it.
        announce(&stranger, "10.99.0.9", move |n| announcement(&format!("m{n}"), &[at("10.99.0.9"), own], 80, life)),
    ];
    let cellar =
        house.with_endpoint(&[("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:4011 10.77.0.4:4011"), OPEN[1], ANNOUNCED]);
    until("the endpoint is found", PATIENCE, || (laptop.house() == ["10.77.0.4:4011 dns-sd"]).then_some(()));
    threads.into_iter().for_each(|one| one.join().expect("a sender"));
    let words = [&["-Syu"], &NAMES[..]].concat();
    cellar.upgrades(&house, &words);
    let (before, dials) = (house.uplink.bytes_sent(), laptop.host.dials());
    assert!((1..5).contains(&dials), "the stranger was looked at {dials} times");
    laptop.upgrades(&house, &words);
    let crossed = house.uplink.bytes_sent() - before;
    assert!(crossed < MIB, "{crossed} bytes over the uplink");
    assert_eq!(laptop.house(), ["10.77.0.4:4011 dns-sd"]);
    let endpoint = laptop.endpoint.as_ref().expect("it runs").process.id();
    let status = fs::read_to_string(format!("/proc/{endpoint}/status")).expect("proc(5)");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(most.is_some_and(|most: u64| most < 100 << 10), "{most:?} KiB");
}
