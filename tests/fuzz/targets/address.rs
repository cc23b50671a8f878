//! Content addresses and server URLs: a public address here is public to an HTTP client as well.
#![no_main]

use std::net::IpAddr;

use pkgswarm::engine::address::Address;
use pkgswarm::base::public::is_public_url;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(Ok(address)) = Address::parse(text) {
        assert!(
            address.path.iter().all(|name| !name.contains(['/', '\0']) && !matches!(name.as_str(), "" | "." | ".."))
        );
        assert_eq!(Address::parse(&address.to_string()), Some(Ok(address.clone())));
        at_gateway(&address);
    }
    if is_public_url(text) {
        // The client's reading of it decides where it connects.
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

/// Checks that a gateway's URL gives back its address.
fn at_gateway(address: &Address) {
    // URLs drop these.
    if address.path.iter().any(|name| name.contains(['\t', '\n', '\r'])) {
        return;
    }
    let gateway = url::Url::parse("http://127.0.0.1:8080/sub").expect("a URL");
    let mut url = gateway.clone();
    let cid = address.cid.to_string();
    let names = ["ipfs", &cid].into_iter().chain(address.path.iter().map(String::as_str));
    url.path_segments_mut().expect("an http URL").extend(names);
    assert_eq!(Address::at_gateway(&url, &gateway).as_ref(), Some(address), "{url}");
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
