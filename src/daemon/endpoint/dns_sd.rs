//! Messages of DNS-SD over multicast DNS about the endpoint of a house (RFC 6762, RFC 6763): a question for such
//! endpoints, an announcement of this one, and what is taken from those of others.
//!
//! `simple-dns` reads and writes the packets, as for the node. What is taken is one address and port: that of the sender
//! itself, on a network that is trusted, so that one packet adds one endpoint at most and sends this machine nowhere
//! else. Names and texts in it are not looked at.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, SimpleDnsError, TYPE};

use crate::node::networks::{Vicinity, is_link_local};

/// The service, and the question which services there are (RFC 6763, section 9).
const SERVICE: &str = "_pkgswarm._tcp.local";
const SERVICES: &str = "_services._dns-sd._udp.local";

/// TTL of an announcement (RFC 6762, section 10: records with the name of a host).
pub const LIFE: Duration = Duration::from_secs(120);

/// Longest TTL that is accepted.
const LIFE_MOST: Duration = Duration::from_secs(75 * 60);

/// Longest message that is read (RFC 6762, section 17). Bytes.
pub const PACKET_MOST: usize = 9000;

/// Most addresses in an announcement.
const ADDRESSES_MOST: usize = 8;

/// The content of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceMessage {
    /// A question for endpoints, or about this one.
    Asked,
    /// The endpoint of the sender, and how long that holds; zero where it leaves.
    Found(SocketAddr, Duration),
}

/// Reads a packet that came from `by`, on a link with these neighbours. `None` for one about other services, or about
/// another machine than its sender, and for what is no DNS.
pub fn read(packet: &[u8], by: IpAddr, around: &Vicinity) -> Option<ServiceMessage> {
    let by = by.to_canonical();
    if packet.len() > PACKET_MOST {
        return None;
    }
    let packet = Packet::parse(packet).ok()?;
    let (service, services) = (Name::new_unchecked(SERVICE), Name::new_unchecked(SERVICES));
    let is_ours = |name: &Name<'_>| *name == service || name.is_subdomain_of(&service);
    if !packet.has_flags(PacketFlag::RESPONSE) {
        let asks = packet.questions.iter().any(|it| is_ours(&it.qname) || it.qname == services);
        return asks.then_some(ServiceMessage::Asked);
    }
    let records = || packet.answers.iter().chain(&packet.additional_records);
    // The first one: a machine has one endpoint on a network.
    let (service, life) = records().find_map(|record| match &record.rdata {
        RData::SRV(service) if is_ours(&record.name) && service.port > 0 => Some((service, record.ttl)),
        _ => None,
    })?;
    let addresses = records().filter(|record| record.name == service.target).filter_map(|record| match &record.rdata {
        RData::A(A { address }) => Some(IpAddr::from(address.to_be_bytes())),
        RData::AAAA(AAAA { address }) => Some(IpAddr::from(address.to_be_bytes())),
        _ => None,
    });
    // A sender with an address of the link is on it, whatever its other ones are.
    let its = |address: &IpAddr| *address == by || is_link_local(by) && address.is_ipv6() == by.is_ipv6();
    let address = addresses.filter(its).find(|address| around.has(*address))?;
    let life = Duration::from_secs(life.into()).min(LIFE_MOST);
    Some(ServiceMessage::Found(SocketAddr::new(address, service.port), life))
}

/// Encodes the question for endpoints.
pub(crate) fn question() -> Vec<u8> {
    let mut packet = Packet::new_query(0);
    let name = Name::new_unchecked(SERVICE);
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().expect("a question can be written")
}

/// Encodes the announcement that an endpoint listens at these addresses and this port; a `life` of zero takes it back.
/// `label` names it on the network: at most 63 letters and digits, a different one for each machine and interface.
pub fn announcement(label: &str, addresses: &[IpAddr], port: u16, life: Duration) -> Vec<u8> {
    build(label, addresses, port, life).expect("every part is short enough")
}

fn build(label: &str, addresses: &[IpAddr], port: u16, life: Duration) -> Result<Vec<u8>, SimpleDnsError> {
    let (instance, host) = (format!("{label}.{SERVICE}"), format!("{label}.local"));
    let (service, instance, host) = (Name::new(SERVICE)?, Name::new(&instance)?, Name::new(&host)?);
    let life = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
    let record = |name: &Name<'_>, data| ResourceRecord::new(name.clone().into_owned(), CLASS::IN, life, data);
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers.push(record(&Name::new(SERVICES)?, RData::PTR(PTR(service.clone()))));
    packet.answers.push(record(&service, RData::PTR(PTR(instance.clone()))));
    let target = SRV { priority: 0, weight: 0, port, target: host.clone() };
    packet.answers.push(record(&instance, RData::SRV(target)).with_cache_flush(true));
    // Of the version of these keys (RFC 6763, section 6.7); there are no others yet.
    let mut text = TXT::new();
    text.add_attribute("txtvers", Some(b"1"))?;
    packet.answers.push(record(&instance, RData::TXT(text)).with_cache_flush(true));
    for address in addresses.iter().take(ADDRESSES_MOST) {
        let data = match address {
            IpAddr::V4(ip) => RData::A(A::from(*ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA::from(*ip)),
        };
        packet.additional_records.push(record(&host, data).with_cache_flush(true));
    }
    packet.build_bytes_vec_compressed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn around() -> Vicinity {
        let ranges = ["192.168.1.0/24", "fd00::/16"].map(|range| range.parse().unwrap()).to_vec();
        Vicinity { ranges, own: vec!["192.168.1.1".parse().unwrap()] }
    }

    fn heard(packet: &[u8], by: &str) -> Option<ServiceMessage> {
        read(packet, by.parse().unwrap(), &around())
    }

    fn said(addresses: &[&str], life: Duration) -> Vec<u8> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        announcement("label", &addresses, 4011, life)
    }

    fn found(at: &str) -> Option<ServiceMessage> {
        Some(ServiceMessage::Found(at.parse().unwrap(), LIFE))
    }

    #[test]
    fn what_is_announced_is_found_at_its_sender_alone() {
        let packet = said(&["192.168.1.7", "fd00::7"], LIFE);
        for (by, expected) in [
            ("192.168.1.7", found("192.168.1.7:4011")),
            ("::ffff:192.168.1.7", found("192.168.1.7:4011")),
            ("fd00::7", found("[fd00::7]:4011")),
            ("fe80::7", found("[fd00::7]:4011")),
            // Another machine, and one of another network.
            ("192.168.1.8", None),
            ("10.1.1.1", None),
        ] {
            assert_eq!(heard(&packet, by), expected, "{by}");
        }
        // An address of no neighbour: of this machine, of all, of another network, of the world.
        for address in ["192.168.1.1", "192.168.1.255", "127.0.0.1", "10.1.1.1", "8.8.8.8", "0.0.0.0"] {
            assert_eq!(heard(&said(&[address], LIFE), address), None, "{address}");
        }
        assert_eq!(heard(&announcement("x", &["192.168.1.7".parse().unwrap()], 0, LIFE), "192.168.1.7"), None);
    }

    #[test]
    fn questions_leave_takings_and_other_services_are_told_apart() {
        assert_eq!(heard(&question(), "192.168.1.7"), Some(ServiceMessage::Asked));
        let gone = heard(&said(&["192.168.1.7"], Duration::ZERO), "192.168.1.7");
        assert!(matches!(gone, Some(ServiceMessage::Found(_, Duration::ZERO))), "{gone:?}");
        let forever = heard(&said(&["192.168.1.7"], Duration::from_secs(1 << 31)), "192.168.1.7");
        assert!(matches!(forever, Some(ServiceMessage::Found(_, LIFE_MOST))), "{forever:?}");
        let mut packet = Packet::new_query(7);
        let name = Name::new_unchecked("_ipp._tcp.local");
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN), false));
        assert_eq!(heard(&packet.build_bytes_vec().unwrap(), "192.168.1.7"), None);
    }

    #[test]
    fn a_packet_of_many_names_is_one_endpoint_and_a_longer_one_is_not_read() {
        let mut packet = Packet::new_reply(0);
        let target = Name::new_unchecked("h.local");
        for number in 0..150 {
            let name = Name::new(&format!("n{number}.{SERVICE}")).unwrap().into_owned();
            let service = SRV { priority: 0, weight: 0, port: 1 + number, target: target.clone() };
            packet.answers.push(ResourceRecord::new(name, CLASS::IN, 120, RData::SRV(service)));
        }
        let ip = A { address: u32::from_be_bytes([192, 168, 1, 7]) };
        packet.additional_records.push(ResourceRecord::new(target, CLASS::IN, 120, RData::A(ip)));
        let packet = packet.build_bytes_vec_compressed().unwrap();
        assert!(packet.len() < PACKET_MOST, "{}", packet.len());
        assert_eq!(heard(&packet, "192.168.1.7"), found("192.168.1.7:1"));
        assert_eq!(heard(&vec![0; PACKET_MOST + 1], "192.168.1.7"), None);
        let longest = said(&["fdff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"; 20], LIFE);
        assert!(longest.len() < 1400, "{} bytes are more than a frame", longest.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = heard(&bytes, "192.168.1.7");
        }

        #[test]
        fn a_damaged_announcement_is_read_without_panic(at in 0usize..300, byte in any::<u8>()) {
            let mut packet = said(&["192.168.1.7", "fd00::7"], LIFE);
            let at = at % packet.len();
            packet[at] = byte;
            let _ = heard(&packet, "192.168.1.7");
        }
    }
}
