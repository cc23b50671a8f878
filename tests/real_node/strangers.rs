//! Malformed packets of other hosts.

use super::real::{Scene, run};
use super::{noise_of, packages};
use std::net::UdpSocket;
use std::time::Duration;

#[test]
fn packets_that_are_no_multicast_dns_do_not_keep_neighbours_apart() {
    let mut scene = Scene::new(&packages()[..1], 1);
    let stranger = scene.lan.host();
    let first = scene.machines[0].daemon.id();
    run(stranger.command("ip").args(["route", "add", "224.0.0.0/4", "dev", "eth0"])).ok();
    let flood = stranger.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let header = |flags: u16, counts: [u16; 4]| {
            [[0; 2], flags.to_be_bytes()].concat().into_iter().chain(counts.into_iter().flat_map(u16::to_be_bytes))
        };
        for n in 0..20_000u64 {
            let noise: Vec<u8> = (0..40).flat_map(|i| noise_of(n * 40 + i).to_be_bytes()).collect();
            let packet: Vec<u8> = match n % 4 {
                0 => noise[..1 + n as usize % 319].to_vec(),
                // Promises 65,535 records of each kind.
                1 => header(0x8400, [0xffff; 4]).chain(noise).collect(),
                // A name that points at itself.
                2 => header(0x8400, [0, 1, 0, 0]).chain([0xc0, 0x0c].repeat(40)).collect(),
                // A name that does not end.
                _ => header(0x8400, [0, 1, 0, 0]).chain([63; 1200]).collect(),
            };
            let _ = socket.send_to(&packet, "224.0.0.251:5353");
        }
    });
    scene.add_machine();
    let took = scene.machines[1].daemon.meets(1);
    assert!(took < Duration::from_secs(10), "found its neighbour after {took:?}");
    flood.join().expect("packets");
    scene.machines[0].daemon.meets(1);
    assert_eq!(scene.machines[0].daemon.id(), first, "it runs as before");
    let kib = resident(first);
    assert!(kib < 100 << 10, "{kib} KiB are resident");
}

/// Returns the resident memory of a process, in KiB.
pub fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
