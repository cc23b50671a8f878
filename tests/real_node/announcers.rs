//! Hosts that announce other hosts by multicast DNS, and neighbours that announce little.

use super::packages;
use super::real::{Host, Scene, run};
use libp2p::PeerId;
use pkgswarm::node::mdns::announcement;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Announces three hundred peers again and again, each at eight ports, at the addresses of `of`.
fn announce(host: &Host, of: impl Fn(usize) -> String + Send + 'static, over: Arc<AtomicBool>) -> JoinHandle<()> {
    let from: Ipv4Addr = host.address().parse().expect("an address");
    run(host.command("ip").args(["route", "add", "224.0.0.0/4", "dev", "eth0"])).ok();
    host.inside(move || {
        let socket = UdpSocket::bind((from, 0)).expect("a socket");
        for number in 0.. {
            let (peer, at) = (PeerId::random(), of(number));
            let addresses: Vec<_> =
                (0..8).map(|port| format!("/ip4/{at}/tcp/{}", 9100 + port).parse().expect("an address")).collect();
            let packet = announcement(&format!("x{}", number % 300), peer, &addresses, Duration::from_secs(3600));
            socket.send_to(&packet, "224.0.0.251:5353").expect("a packet");
            if over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(6));
        }
    })
}

#[test]
fn hundreds_of_announced_strangers_cause_a_few_dials_and_keep_no_neighbour_away() {
    let mut scene = Scene::new(&packages()[..1], 1);
    // One that announces itself alone, one that announces the whole network.
    let strangers = [scene.lan.host(), scene.lan.host()];
    let over = Arc::new(AtomicBool::new(false));
    let own = strangers[0].address().to_owned();
    scene.machines[0].host.count_dials();
    let begun = Instant::now();
    let threads = [
        announce(&strangers[0], move |_| own.clone(), Arc::clone(&over)),
        announce(&strangers[1], |number| format!("10.77.0.{}", 2 + number % 253), Arc::clone(&over)),
    ];
    scene.add_machine();
    let found = scene.machines[1].daemon.meets(1);
    println!("the neighbour was found after {found:?}");
    // The time in which most of the announced peers would have been dialled.
    std::thread::sleep(Duration::from_secs(15).saturating_sub(begun.elapsed()));
    let (dials, seconds) = (scene.machines[0].host.dials(), begun.elapsed().as_secs_f64());
    over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|it| it.join().expect("announcements"));
    println!("{dials} dials in {seconds} s");
    assert!(dials as f64 / seconds < 40.0, "{dials} dials in {seconds} s");
    scene.machines[0].daemon.meets(1);
}

#[test]
fn neighbours_with_nothing_but_a_ula_are_heard_from_their_link_local_addresses() {
    let mut scene = Scene::new(&packages()[..1], 2);
    for (number, machine) in scene.machines.iter_mut().enumerate() {
        machine.daemon.stop();
        machine.host.add_ipv6(&format!("fd77::{number}"));
    }
    scene.machines.iter_mut().for_each(|machine| machine.daemon.start());
    scene.machines[1].daemon.meets(1);
    let address = scene.machines[1].daemon.status()["peers"][0]["address"].as_str().unwrap_or_default().to_owned();
    assert!(address.starts_with("/ip6/fd77::"), "{address}");
}

#[test]
fn a_machine_with_two_addresses_on_one_interface_is_found_where_the_second_alone_is_trusted() {
    let mut scene = Scene::new(&packages()[..1], 0);
    for number in [1, 2] {
        scene.add_machine_trusting("10.99.0.0/24");
        let host = &scene.machines[number - 1].host;
        host.set_address("eth0", &format!("10.99.0.{number}"));
    }
    scene.machines[1].daemon.meets(1);
}
