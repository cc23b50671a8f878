//! The networks of `lan.networks`, and the addresses that can be in one.
//!
//! A trusted network is a range, `192.168.1.0/24`, and better a range with the hardware address of its router,
//! `192.168.1.0/24@aa:bb:cc:dd:ee:ff`: the same range is found in every other café.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// One entry of `lan.networks`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Network {
    /// Every private network.
    Any,
    /// A range, and the hardware address of the router that must be there.
    Range(IpNet, Option<String>),
}

/// Text that is no network which can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetworkError {
    /// Another form of text.
    #[error("expected a range like 192.168.1.0/24, with @ and the router's hardware address where it is known, or any")]
    Form,
    /// A range with public addresses in it.
    #[error("expected a range like 192.168.1.0/24 of private addresses; this one is public, and is never trusted")]
    Public,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let (range, router) = match text.split_once('@') {
            Some((range, router)) => (range, Some(router.to_ascii_lowercase())),
            None => (text, None),
        };
        let range: IpNet = range.parse().map_err(|_| NetworkError::Form)?;
        let is_mac = |text: &String| {
            let parts: Vec<&str> = text.split(':').collect();
            parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
        };
        if !router.iter().all(is_mac) {
            return Err(NetworkError::Form);
        }
        if !is_private(range.network()) || !is_private(range.broadcast()) {
            return Err(NetworkError::Public);
        }
        Ok(Self::Range(range.trunc(), router))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Any => f.write_str("any"),
            Network::Range(range, None) => write!(f, "{range}"),
            Network::Range(range, Some(router)) => write!(f, "{range}@{router}"),
        }
    }
}

/// True if an address is one that no public host has.
///
/// RFC 1918, RFC 3927 (link-local), RFC 6598 (shared, also used by private overlays), RFC 4193 (ULA), loopback.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => {
            let shared = it.octets()[0] == 100 && it.octets()[1] & 0xc0 == 64;
            it.is_private() || it.is_link_local() || it.is_loopback() || shared
        }
        IpAddr::V6(it) => it.is_loopback() || it.segments()[0] & 0xfe00 == 0xfc00 || is_link_local_6(IpAddr::V6(it)),
    }
}

/// True for IPv6 link-local addresses: they need an interface, which a multiaddr of a peer does not name.
pub(crate) fn is_link_local_6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(it) if it.segments()[0] & 0xffc0 == 0xfe80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_written_alike() {
        for text in ["any", "192.168.1.0/24", "10.0.0.0/8@aa:bb:cc:00:11:22", "fd00::/64"] {
            assert_eq!(net(text).to_string(), text);
        }
        assert_eq!(net("192.168.1.7/24@AA:BB:CC:00:11:22").to_string(), "192.168.1.0/24@aa:bb:cc:00:11:22");
        for bad in ["", "all", "192.168.1.1", "192.168.1.0/24@router"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::Form), "{bad}");
        }
        for bad in ["8.8.8.0/24", "0.0.0.0/0", "10.0.0.0/7", "2001:db8::/32", "8.8.8.0/24@aa:bb:cc:00:11:22"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::Public), "{bad}");
        }
    }
}
