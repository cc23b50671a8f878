//! Content addresses and server URLs: what counts as public is public to an HTTP client as well.
#![no_main]

use std::net::IpAddr;

use pkgswarm::content::Address;
use pkgswarm::distro::server::is_public;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(address) = Address::parse(text) {
        let path: String = address.path.iter().map(|name| format!("/{name}")).collect();
        assert_eq!(Address::parse(&format!("ipfs://{}{path}", address.cid)), Some(address));
    }
    if is_public(text) {
        // What the client makes of it decides where it connects to.
        let Ok(url) = url::Url::parse(text) else { return };
        assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none(), "{url}");
        match url.host() {
            Some(url::Host::Domain(name)) => {
                let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
                assert!(name.contains('.') && !matches!(last, "localhost" | "local" | "lan" | "internal"), "{url}");
            }
            Some(url::Host::Ipv4(v4)) => assert!(!is_private(IpAddr::V4(v4)), "{url}"),
            Some(url::Host::Ipv6(v6)) => assert!(!is_private(v6.to_canonical()), "{url}"),
            None => panic!("a public server has a host: {url}"),
        }
    }
});

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
