//! The address of an IPFS peer as a user or a publisher writes it: a multiaddress that ends with the peer's id.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::base::public::{is_public_address, is_public_host};

/// Most bytes of one.
pub const PEER_ADDRESS_MOST: usize = 256;

/// Such an address: `/ip4/203.0.113.7/tcp/4001/p2p/12D3Koo…`. Nothing in it was resolved or asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerAddress {
    text: String,
    is_public: bool,
}

/// The reason why a text is none. Trying again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address like /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo… or /dns/host.example/udp/4001/quic-v1/p2p/12D3Koo…"
)]
pub struct PeerAddressError;

impl PeerAddress {
    /// Returns the peer id, its last part.
    pub fn id(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// Returns true for a public address or name: none of loopback, private, link-local, shared or special ranges. Names
    /// are not resolved.
    pub fn is_public(&self) -> bool {
        self.is_public
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    /// Relayed addresses (`p2p-circuit`) are refused: what a relay may carry is too little for files.
    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        if text.len() > PEER_ADDRESS_MOST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PeerAddressError);
        }
        let mut parts = text.strip_prefix('/').ok_or(PeerAddressError)?.split('/');
        let mut next = || parts.next().ok_or(PeerAddressError);
        let (kind, host) = (next()?, next()?);
        let ip = |address: Result<IpAddr, PeerAddressError>| address.map(is_public_address);
        let is_public = match kind {
            "ip4" => ip(host.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| PeerAddressError))?,
            "ip6" => ip(host.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| PeerAddressError))?,
            "dns" | "dns4" | "dns6" | "dnsaddr" if is_host(host) => is_public_host(&host.to_ascii_lowercase()),
            _ => return Err(PeerAddressError),
        };
        let mut has_id = false;
        while let Some(part) = parts.next() {
            let mut value = || parts.next().ok_or(PeerAddressError);
            let is_right = match part {
                _ if has_id => false,
                "tcp" | "udp" => value()?.parse::<u16>().is_ok(),
                "quic-v1" | "ws" | "wss" | "tls" | "webtransport" => true,
                "sni" => is_host(value()?),
                "certhash" => is_id(value()?),
                "p2p" => {
                    has_id = true;
                    is_id(value()?)
                }
                _ => false,
            };
            if !is_right {
                return Err(PeerAddressError);
            }
        }
        if has_id { Ok(Self { text: text.to_owned(), is_public }) } else { Err(PeerAddressError) }
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn is_id(text: &str) -> bool {
    (40..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for PeerAddress {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn read(text: &str) -> Result<bool, PeerAddressError> {
        let address: PeerAddress = text.replace("ID", ID).parse()?;
        assert_eq!((address.id(), address.to_string()), (ID, text.replace("ID", ID)));
        Ok(address.is_public())
    }

    #[test]
    fn an_address_ends_with_the_peer_and_private_ones_are_told_apart() {
        for public in [
            "/ip4/81.2.69.160/tcp/4001/p2p/ID",
            "/ip4/81.2.69.160/udp/4001/quic-v1/p2p/ID",
            "/ip6/2a02:6b8::1/tcp/4001/p2p/ID",
            "/dns/node.example.org/tcp/443/tls/ws/p2p/ID",
            "/dnsaddr/node.example.org/p2p/ID",
            "/dns4/a.example.org/tcp/443/tls/sni/b.example.org/ws/p2p/ID",
        ] {
            assert_eq!(read(public), Ok(true), "{public}");
        }
        for private in [
            "/ip4/127.0.0.1/tcp/4001/p2p/ID",
            "/ip4/10.1.2.3/tcp/4001/p2p/ID",
            "/ip4/172.16.0.1/tcp/4001/p2p/ID",
            "/ip4/192.168.1.2/tcp/4001/p2p/ID",
            "/ip4/169.254.1.1/tcp/4001/p2p/ID",
            "/ip4/100.64.0.1/tcp/4001/p2p/ID",
            "/ip4/0.0.0.0/tcp/4001/p2p/ID",
            "/ip6/::1/tcp/4001/p2p/ID",
            "/ip6/fe80::1/tcp/4001/p2p/ID",
            "/ip6/fd00::1/tcp/4001/p2p/ID",
            "/ip6/::ffff:192.168.1.2/tcp/4001/p2p/ID",
            "/dns/localhost/tcp/4001/p2p/ID",
            "/dns/printer.local/tcp/4001/p2p/ID",
            "/dns/10.0.0.1/tcp/4001/p2p/ID",
        ] {
            assert_eq!(read(private), Ok(false), "{private}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_peer_is_refused() {
        let long = format!("/dns/{}.org/tcp/1/p2p/ID", "a".repeat(250));
        for bad in [
            "",
            "/",
            "ID",
            "/p2p/ID",
            "/ip4/81.2.69.160/tcp/4001",
            "/ip4/81.2.69.160/tcp/4001/p2p/",
            "/ip4/81.2.69.160/tcp/4001/p2p/short",
            "/ip4/81.2.69.160/tcp/99999/p2p/ID",
            "/ip4/81.2.69/tcp/4001/p2p/ID",
            "/ip4/81.2.69.160/tcp/4001/p2p/ID/p2p-circuit/p2p/ID",
            "/ip4/81.2.69.160/tcp/4001/p2p/ID/tcp/1",
            "/unix/run/socket/p2p/ID",
            "/dns/a b/tcp/1/p2p/ID",
            "/dns/a%2e/tcp/1/p2p/ID",
            "/ip4/81.2.69.160/tcp/4001/p2p/ID\n",
            long.as_str(),
        ] {
            assert_eq!(read(bad), Err(PeerAddressError), "{bad}");
        }
    }
}
