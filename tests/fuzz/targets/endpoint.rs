//! What clients of the HTTP endpoint send: paths, ranges and hosts.
#![no_main]

use std::net::IpAddr;

use pkgswarm::daemon::endpoint::part::{FilePart, is_current, is_same};
use pkgswarm::daemon::endpoint::route::{Route, RoutedFile, is_own_host, route};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [path, range, host] = pkgswarm_fuzz::parts(data).map(String::from_utf8_lossy);
    if let Ok(Route::File(RoutedFile { name, hints })) = route(&path) {
        assert!(hints.len() <= 3);
        for part in hints.iter().map(String::as_str).chain([name.as_str()]) {
            assert!(!part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\\', '\0']));
        }
    }
    for size in [0, 1, 1000, u64::MAX] {
        if let FilePart::Range(from, until) = FilePart::of(Some(&range), size) {
            assert!(from < until && until <= size);
        }
    }
    assert!(!is_current(Some(&range), None) && !is_same(Some(&range), None));
    let local = IpAddr::from([192, 168, 1, 2]);
    if is_own_host(&host, local, &[]) {
        let host = host.to_ascii_lowercase();
        assert!(["localhost", "127.", "192.168.1.2", "["].iter().any(|own| host.starts_with(own)), "{host}");
    }
});
