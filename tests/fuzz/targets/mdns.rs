//! Packets of multicast DNS, which any machine on the network can send. What is found is announced and found again.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use pkgswarm::daemon::endpoint::dns_sd::{self, ServiceMessage};
use pkgswarm::node::mdns::{Announcement, LIFE, announcement, read};
use pkgswarm::node::networks::Vicinity;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    // A link-local sender may announce each address of these ranges; the others only those with their own among them.
    let sender = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"];
    let around = Vicinity { ranges: ranges.map(|range| range.parse().expect("a range")).to_vec(), own: vec![sender] };
    // An endpoint that is found has an address of a neighbour, and is found again where it announces itself.
    if let Some(ServiceMessage::Found(at, life)) = dns_sd::read(data, sender, &around) {
        let packet = dns_sd::announcement("label", &[at.ip()], at.port(), life);
        assert_eq!(dns_sd::read(&packet, at.ip(), &around), Some(ServiceMessage::Found(at, life)));
    }
    let Some(Announcement::Found(found)) = read(data, sender, &around) else { return };
    assert!(!found.is_empty() && found.len() <= 32);
    for one in found {
        assert!(!one.life.is_zero());
        assert_eq!(one.by, sender);
        let packet = announcement("label", one.peer, &[one.address.clone()], LIFE);
        let Some(Announcement::Found(again)) = read(&packet, sender, &around) else { panic!("{one:?} is lost") };
        assert_eq!((&again[0].peer, &again[0].address), (&one.peer, &one.address));
    }
});
