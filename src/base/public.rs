//! Public URLs, hosts and addresses, judged by their form alone: nothing is resolved here.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

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
pub(crate) fn is_public_host(host: &str) -> bool {
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
pub(crate) fn is_public_address(address: IpAddr) -> bool {
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

/// Returns true for a public URL: http or https, a public host, no credentials and no query.
///
/// A query may hold a token, so it counts as credentials. A host without a dot, with a suffix that is never public or
/// an address of a private, local or otherwise special range is not public. Nothing is resolved: a public name may
/// still lead to a private address.
pub fn is_public_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return false;
    }
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    // '@' before the path gives credentials; anywhere else it is no sign of a plain mirror.
    if rest.contains(['?', '@', '\\']) || rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return false;
    }
    match host(authority) {
        Some(host) => is_public_host(&host.to_ascii_lowercase()),
        None => false,
    }
}

/// Returns the host without its port, brackets kept.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_plain =
        port.is_empty() || port.strip_prefix(':').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    (!host.is_empty() && port_is_plain).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_mirrors_are_public() {
        for url in [
            "https://geo.mirror.pkgbuild.com/core/os/x86_64",
            "http://mirror.example.org:8080/arch/",
            "HTTPS://Mirror.Example.ORG./x",
            "https://8.8.8.8/x",
            "http://[2a01:4f8::1]:80/x",
            "https://mirror.example",
        ] {
            assert!(is_public_url(url), "{url}");
        }
    }

    #[test]
    fn what_only_some_can_reach_is_not_public() {
        for url in [
            "",
            "file:///srv",
            "ftp://mirror.example.org/x",
            "mirror.example.org",
            "https://",
            "https:///x",
            "https://user:pw@mirror.example.org/x",
            "https://mirror.example.org/x?token=1",
            "https://token@mirror.example.org",
            "http://localhost/x",
            "http://LOCALHOST:80",
            "http://nas/x",
            "http://nas.local",
            "http://a.lan./x",
            "http://x.home.arpa",
            "http://127.0.0.1:7077",
            "http://127.1/x",
            "http://0x7f.1",
            "http://2130706433/",
            "http://10.1.2.3",
            "http://192.168.1.1/x",
            "http://172.16.0.1",
            "http://169.254.1.1",
            "http://100.64.0.1",
            "http://0.0.0.0",
            "http://255.255.255.255",
            "http://224.0.0.1",
            "http://[::1]/x",
            "http://[fe80::1]",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
            "http://[2a01::1",
            "http://[::]",
            "http://a b.example",
            "http://mirror.example.org:x/",
            "http://10.0.0.1\\@mirror.example.org/",
            "http://a%40.example/x",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.\u{ff11}/x",
            "http://nas.\u{ff4c}an/x",
        ] {
            assert!(!is_public_url(url), "{url}");
        }
    }
}
