//! Public hosts and addresses, judged by their form alone: nothing is resolved here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

// Names that are never public: RFC 6761, RFC 6762, RFC 8375, RFC 9476, ICANN's `internal`, and those that routers
// use.
const PRIVATE_SUFFIXES: [&str; 14] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "lan",
    "home",
    "corp",
    "arpa",
    "test",
    "invalid",
    "onion",
    "alt",
];

/// Returns true when `host`, in lower case, an IPv6 address in brackets, is public: a name with a dot
/// whose end is public, or an address of no private, local or otherwise special range. A public name may still
/// lead to a private address.
pub fn is_public_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|text| text.parse().ok());
        return address.is_some_and(|it| is_public_address(IpAddr::V6(it)));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return is_public_address(IpAddr::V4(address));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let Some((_, last)) = name.rsplit_once('.') else { return false };
    // "127.1" and "0x7f.0.0.1" are addresses to most resolvers (WHATWG URL, "ends in a number").
    let number = last.is_empty() || last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    // HTTP clients map other letters to these (IDNA): full-width 127.0.0.1 is loopback. A mirror has an ASCII
    // spelling.
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    !number && plain && !PRIVATE_SUFFIXES.contains(&last)
}

/// Returns true for a public address: one of no private, local or otherwise special range.
pub fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation();
            let shared = a == 100 && (64..128).contains(&b); // RFC 6598
            let benchmark = a == 198 && (18..20).contains(&b); // RFC 2544
            let reserved = a == 0 || a >= 224 || (a, b, c) == (192, 0, 0);
            !(special || shared || benchmark || reserved)
        }
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_address(IpAddr::V4(v4));
    }
    let first = v6.segments()[0];
    // Global unicast is 2000::/3 alone; 2001:db8::/32 is for documentation.
    first & 0xe000 == 0x2000 && v6.segments()[..2] != [0x2001, 0x0db8]
}
