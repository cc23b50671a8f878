//! Messages of multicast DNS, as libp2p uses it (`specs:discovery/mdns.md`) and as Kubo requires it: its library
//! drops announcements without SRV and address records (zeroconf 2025-03).
//!
//! libp2p's own multicast DNS cannot be limited to some interfaces, and uses one family of addresses; `mdns-sd`
//! keeps one of several `dnsaddr` strings, at times the one of loopback. `simple-dns` reads and writes the packets
//! themselves.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::net::IpAddr;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, SimpleDnsError, TYPE};

use crate::node::gate::tcp_address;
use crate::node::networks::{Vicinity, is_link_local};

/// The service, and the question which services there are (RFC 6763, section 9).
const SERVICE: &str = "_p2p._udp.local";
const SERVICES: &str = "_services._dns-sd._udp.local";

/// TTL of an announcement. Origin: rust-libp2p.
pub const LIFE: Duration = Duration::from_secs(6 * 60);

/// Longest TTL that is accepted: Kubo sends 53 minutes.
const LIFE_MOST: Duration = Duration::from_secs(60 * 60);

/// Most addresses that are announced: with more, a message would not fit into one Ethernet frame.
const ADDRESSES_MOST: usize = 8;

/// Most addresses that are taken from one message, of those that a neighbour can have: a host with many bridges
/// announces as many more that lead nowhere. Origin: chosen by us.
const FOUND_MOST: usize = 32;

/// The start of a TXT string with an address.
const KEY: &[u8] = b"dnsaddr";

/// The content of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Announcement {
    /// A question for peers.
    Asked,
    /// Announced peers.
    Found(Vec<FoundPeer>),
}

/// A peer at an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundPeer {
    /// The peer.
    pub peer: PeerId,
    /// Its address over TCP, without the peer id.
    pub address: Multiaddr,
    /// Its TTL, from now.
    pub life: Duration,
    /// The sender: the source address of the packet.
    pub by: IpAddr,
}

/// Reads a packet that came from `by`. `None` when it is about another service, or no DNS at all.
///
/// An announcement counts when its sender is among its addresses, or is link-local; then those addresses count
/// that a neighbour can have. Else one packet could send this machine to any address and port.
pub fn read(packet: &[u8], by: IpAddr, around: &Vicinity) -> Option<Announcement> {
    let packet = Packet::parse(packet).ok()?;
    let (service, services) = (Name::new_unchecked(SERVICE), Name::new_unchecked(SERVICES));
    if !packet.has_flags(PacketFlag::RESPONSE) {
        let asks = packet.questions.iter().any(|it| it.qname == service || it.qname == services);
        return asks.then_some(Announcement::Asked);
    }
    let records = || packet.answers.iter().chain(&packet.additional_records);
    let mut found = Vec::new();
    for record in records() {
        let RData::TXT(text) = &record.rdata else { continue };
        // The name of an instance ends with that of its service (RFC 6763, section 4.1).
        if !record.name.is_subdomain_of(&service) {
            continue;
        }
        let life = Duration::from_secs(record.ttl.into()).min(LIFE_MOST);
        let texts = || text.iter_raw().filter(|(key, _)| *key == KEY).filter_map(|(_, value)| value);
        if is_link_local(by) || texts().filter_map(host).any(|ip| ip.to_canonical() == by.to_canonical()) {
            let usable = texts().filter(|text| host(text).is_some_and(|ip| around.has(ip))).filter_map(address);
            let room = FOUND_MOST - found.len();
            found.extend(usable.take(room).map(|(peer, address)| FoundPeer { peer, address, life, by }));
        }
    }
    // A TTL of zero is a goodbye (RFC 6762, 10.1). Any host could send it for another, and a peer that has gone is
    // soon missed anyway.
    found.retain(|it| !it.life.is_zero());
    (!found.is_empty()).then_some(Announcement::Found(found))
}

/// Returns the host of an address, over any protocol.
fn host(text: &[u8]) -> Option<IpAddr> {
    let mut parts = std::str::from_utf8(text).ok()?.split('/').skip(1);
    match (parts.next()?, parts.next()?) {
        ("ip4", ip) => ip.parse().ok().map(IpAddr::V4),
        ("ip6", ip) => ip.parse().ok().map(IpAddr::V6),
        _ => None,
    }
}

/// Parses an address over TCP, and its peer.
fn address(text: &[u8]) -> Option<(PeerId, Multiaddr)> {
    let mut address: Multiaddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    let Some(Protocol::P2p(peer)) = address.pop() else { return None };
    let is_plain = tcp_address(&address).is_some() && address.iter().count() == 2;
    is_plain.then_some((peer, address))
}

/// Encodes the question for peers.
pub(crate) fn question() -> Vec<u8> {
    let mut packet = Packet::new_query(0);
    let name = Name::new_unchecked(SERVICE);
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().expect("a question can be written")
}

/// Encodes the announcement that `peer` is at these addresses; a `life` of zero takes it back. `label` names this
/// announcement: at most 63 letters and digits, a different one for each machine and interface.
pub fn announcement(label: &str, peer: PeerId, addresses: &[Multiaddr], life: Duration) -> Vec<u8> {
    build(label, peer, addresses, life).expect("every part is short enough")
}

fn build(label: &str, peer: PeerId, addresses: &[Multiaddr], life: Duration) -> Result<Vec<u8>, SimpleDnsError> {
    let (instance, host) = (format!("{label}.{SERVICE}"), format!("{label}.local"));
    let (instance, host) = (Name::new(&instance)?, Name::new(&host)?);
    let life = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
    let record = |name: &Name<'_>, data| ResourceRecord::new(name.clone().into_owned(), CLASS::IN, life, data);
    let addresses = &addresses[..addresses.len().min(ADDRESSES_MOST)];
    let (mut text, mut port) = (TXT::new(), 0);
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers.push(record(&Name::new(SERVICE)?, RData::PTR(PTR(instance.clone()))));
    let mut targets = Vec::new();
    for address in addresses {
        text.add_attribute("dnsaddr", Some(format!("{address}/p2p/{peer}").as_bytes()))?;
        if let Some(Protocol::Tcp(of)) = address.iter().nth(1) {
            port = of;
        }
        let target = match tcp_address(address) {
            Some(IpAddr::V4(ip)) => RData::A(A::from(ip)),
            Some(IpAddr::V6(ip)) => RData::AAAA(AAAA::from(ip)),
            None => continue,
        };
        targets.push(record(&host, target).with_cache_flush(true));
    }
    let service = SRV { priority: 0, weight: 0, port, target: host.clone() };
    packet.additional_records.push(record(&instance, RData::SRV(service)).with_cache_flush(true));
    packet.additional_records.push(record(&instance, RData::TXT(text)).with_cache_flush(true));
    packet.additional_records.append(&mut targets);
    packet.build_bytes_vec_compressed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads the packet as from the first address, on a link where every private address is a neighbour's.
    fn heard(packet: &[u8]) -> Option<Announcement> {
        read(packet, "192.168.1.7".parse().unwrap(), &around())
    }

    fn around() -> Vicinity {
        let ranges = ["192.168.1.0/24", "10.0.0.0/8", "fd00::/16"].map(|range| range.parse().unwrap()).to_vec();
        Vicinity { ranges, own: Vec::new() }
    }

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_announced_is_found_with_every_address() {
        let peer = PeerId::random();
        let targets = addresses(&["/ip4/192.168.1.7/tcp/4010", "/ip6/fd00::7/tcp/4010"]);
        let packet = announcement("label1", peer, &targets, LIFE);
        let by = "192.168.1.7".parse().unwrap();
        let found = |address: &Multiaddr| FoundPeer { peer, address: address.clone(), life: LIFE, by };
        assert_eq!(heard(&packet), Some(Announcement::Found(targets.iter().map(found).collect())));
        assert_eq!(heard(&question()), Some(Announcement::Asked));
    }

    #[test]
    fn kubo_gets_the_records_without_which_it_drops_an_answer() {
        let targets = addresses(&["/ip4/192.168.1.7/tcp/4010", "/ip6/fd00::7/tcp/4010"]);
        let packet = announcement("label1", PeerId::random(), &targets, LIFE);
        let packet = Packet::parse(&packet).unwrap();
        let host = Name::new_unchecked("label1.local");
        let records = &packet.additional_records;
        let is_service = |data: &RData| matches!(data, RData::SRV(it) if it.port == 4010 && it.target == host);
        assert!(records.iter().any(|record| is_service(&record.rdata)));
        let of_host = records.iter().filter(|record| record.name == host);
        assert_eq!(of_host.filter(|it| matches!(it.rdata, RData::A(_) | RData::AAAA(_))).count(), 2);
    }

    #[test]
    fn the_longest_announcement_fits_into_one_frame() {
        let long = "/ip6/fdff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/tcp/65535";
        let targets: Vec<Multiaddr> = std::iter::repeat_n(long.parse().unwrap(), 20).collect();
        let packet = announcement(&"x".repeat(63), PeerId::random(), &targets, LIFE);
        assert!(packet.len() <= 1452, "{} bytes", packet.len());
    }

    #[test]
    fn a_peer_that_takes_leave_or_is_not_over_tcp_is_not_found() {
        let (peer, target) = (PeerId::random(), addresses(&["/ip4/192.168.1.7/tcp/4010"]));
        assert_eq!(heard(&announcement("x", peer, &target, Duration::ZERO)), None);
        let quic = addresses(&["/ip4/192.168.1.7/udp/4010/quic-v1"]);
        assert_eq!(heard(&announcement("x", peer, &quic, LIFE)), None);
        let forever = announcement("x", peer, &target, Duration::from_secs(1 << 31));
        assert!(matches!(heard(&forever), Some(Announcement::Found(found)) if found[0].life == LIFE_MOST));
    }

    /// Encodes an announcement of these texts.
    fn saying(texts: &[String]) -> Vec<u8> {
        let (service, instance) = (Name::new_unchecked(SERVICE), Name::new_unchecked("x._p2p._udp.local"));
        let mut text = TXT::new();
        texts.iter().for_each(|it| text.add_attribute("dnsaddr", Some(it.as_bytes())).unwrap());
        let mut packet = Packet::new_reply(0);
        let pointer = RData::PTR(PTR(instance.clone()));
        packet.answers.push(ResourceRecord::new(service, CLASS::IN, 60, pointer));
        packet.additional_records.push(ResourceRecord::new(instance, CLASS::IN, 60, RData::TXT(text)));
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn a_host_with_many_bridges_is_heard_at_its_one_usable_address() {
        let peer = PeerId::random();
        // As many as one datagram can hold.
        let bridge = |i: usize| format!("/ip4/172.18.{}.{}/tcp/4001/p2p/{peer}", i / 250, 1 + i % 250);
        let mut texts: Vec<String> = (0..600).map(bridge).collect();
        texts.push(format!("/ip4/192.168.1.7/tcp/4001/p2p/{peer}"));
        let packet = saying(&texts);
        assert!((9001..=65_507).contains(&packet.len()), "{} bytes", packet.len());
        let Some(Announcement::Found(found)) = heard(&packet) else { panic!("it was not heard") };
        assert_eq!(found.iter().map(|it| it.address.to_string()).collect::<Vec<_>>(), ["/ip4/192.168.1.7/tcp/4001"]);
    }

    #[test]
    fn an_announcement_counts_from_one_of_its_addresses_and_from_the_link_itself() {
        let peer = PeerId::random();
        let packet = announcement("x", peer, &addresses(&["/ip4/192.168.1.7/tcp/1", "/ip6/fd00::7/tcp/1"]), LIFE);
        let ula = announcement("x", peer, &addresses(&["/ip6/fd00::7/tcp/1"]), LIFE);
        let counts = |packet: &[u8], by: &str| match read(packet, by.parse().unwrap(), &around()) {
            Some(Announcement::Found(found)) => found.len(),
            _ => 0,
        };
        for (by, of_both, of_ula) in [
            ("192.168.1.7", 2, 0),
            ("::ffff:192.168.1.7", 2, 0),
            ("fd00::7", 2, 1),
            ("fe80::7", 2, 1),
            ("192.168.1.8", 0, 0),
            ("fd00::8", 0, 0),
        ] {
            assert_eq!((counts(&packet, by), counts(&ula, by)), (of_both, of_ula), "{by}");
        }
        // A sender that listens over QUIC alone, at its own address, is still the sender.
        let texts = ["/ip4/192.168.1.9/udp/1/quic-v1", "/ip4/192.168.1.7/tcp/1"].map(|it| format!("{it}/p2p/{peer}"));
        assert_eq!(counts(&saying(&texts), "192.168.1.9"), 1);
    }

    #[test]
    fn addresses_that_no_neighbour_can_have_are_not_found() {
        let peer = PeerId::random();
        let around = Vicinity { own: vec!["192.168.1.1".parse().unwrap()], ..around() };
        let hosts = ["192.168.1.1", "192.168.1.255", "192.168.1.0", "127.0.0.1", "0.0.0.0", "8.8.8.8", "224.0.0.251"];
        let mut texts: Vec<String> = hosts.iter().map(|host| format!("/ip4/{host}/tcp/22/p2p/{peer}")).collect();
        texts.push(format!("/ip6/::ffff:192.168.1.255/tcp/22/p2p/{peer}"));
        texts.push(format!("/dns4/localhost/tcp/22/p2p/{peer}"));
        texts.push(format!("/ip4/192.168.1.7/tcp/4001/p2p/{peer}"));
        let Some(Announcement::Found(found)) = read(&saying(&texts), "192.168.1.7".parse().unwrap(), &around) else {
            panic!("it was not heard")
        };
        assert_eq!(found.iter().map(|it| it.address.to_string()).collect::<Vec<_>>(), ["/ip4/192.168.1.7/tcp/4001"]);
    }

    #[test]
    fn other_services_are_none_of_ours() {
        let mut packet = Packet::new_query(7);
        let name = Name::new_unchecked("_ipp._tcp.local");
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN), false));
        assert_eq!(heard(&packet.build_bytes_vec().unwrap()), None);
    }

    #[test]
    fn a_packet_that_is_as_much_work_as_can_be_costs_little() {
        let (service, instance) = (Name::new_unchecked(SERVICE), Name::new_unchecked("x._p2p._udp.local"));
        let mut packet = Packet::new_reply(0);
        let pointer = ResourceRecord::new(service, CLASS::IN, 60, RData::PTR(PTR(instance)));
        packet.answers = vec![pointer; 630];
        let packet = packet.build_bytes_vec_compressed().unwrap();
        assert!((8000..=9000).contains(&packet.len()), "{} bytes", packet.len());
        // Compared with the unavoidable work, so that a busy machine slows both.
        let took = |work: &dyn Fn() -> bool| {
            let begun = std::time::Instant::now();
            assert!((0..20).all(|_| work()));
            begun.elapsed()
        };
        let least = |work: &dyn Fn() -> bool| (0..10).map(|_| took(work)).min().unwrap();
        let (parsed, followed) = (least(&|| Packet::parse(&packet).is_ok()), least(&|| heard(&packet).is_none()));
        assert!(followed < parsed * 5, "{followed:?} where {parsed:?} are for parsing");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = heard(&bytes);
        }

        #[test]
        fn a_damaged_announcement_is_read_without_panic(at in 0usize..300, byte in any::<u8>()) {
            let mut packet = announcement("x", PeerId::random(), &addresses(&["/ip4/10.0.0.1/tcp/1"]), LIFE);
            let at = at % packet.len();
            packet[at] = byte;
            let _ = heard(&packet);
        }
    }
}
