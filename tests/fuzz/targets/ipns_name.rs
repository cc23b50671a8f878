//! IPNS names and times: every accepted spelling leads back to itself.
#![no_main]

use pkgswarm::index::ipns::Name;
use pkgswarm::index::time;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = text.parse::<Name>() {
        let canonical = name.to_string();
        assert!(canonical.starts_with("k51"), "{canonical}");
        assert_eq!(canonical.parse(), Ok(name));
        assert_eq!(Name::from_key(name.key()), name);
    }
    if let Some(unix) = time::from_rfc3339(text) {
        assert_eq!(time::from_rfc3339(&time::to_rfc3339(unix)), Some(unix.min(time::LAST)));
    }
});
