//! Headers of HTTP servers about ranges and waiting times.
#![no_main]

use std::time::Duration;

use pkgswarm::net::http::range::{ContentRange, retry_after};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(retry_after(text) <= Duration::from_secs(3600));
    let Some(range) = ContentRange::parse(text) else { return };
    let ContentRange { first, last, total } = range;
    assert!(first <= last && total.is_none_or(|total| last < total));
    let total = total.map_or("*".to_owned(), |total| total.to_string());
    assert_eq!(ContentRange::parse(&format!("bytes {first}-{last}/{total}")), Some(range));
});
