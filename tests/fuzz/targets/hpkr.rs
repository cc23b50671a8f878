//! Haiku's lists of packages: limits hold for any input, and listed names are plain and each is there once.
#![no_main]

use std::collections::HashSet;
use std::io::Cursor;

use pkgswarm::lists::haiku::hpkr::packages;
use pkgswarm::lists::haiku::{HaikuPackage, HpkrLimits};

/// Low, so that each of them is reached.
const LIMITS: HpkrLimits = HpkrLimits { file: 256 << 10, unpacked: 1 << 20, packages: 20 };

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    if data.starts_with(b"hpkr") {
        if let Ok(packages) = packages(Cursor::new(data), &LIMITS) {
            check(&packages);
            assert!(data.len() as u64 <= LIMITS.file);
        }
        return;
    }
    // A fuzzer does not find a header that fits: the first byte is the number of strings, the rest the section.
    let Some((strings, section)) = data.split_first() else { return };
    let Some(section) = section.get(..section.len().min(60_000)) else { return };
    if let Ok(packages) = packages(Cursor::new(file(*strings, section)), &LIMITS) {
        check(&packages);
    }
});

fn check(packages: &[HaikuPackage]) {
    assert!(packages.len() <= LIMITS.packages);
    let mut seen = HashSet::new();
    for package in packages {
        let file = package.file().expect("it was checked");
        assert!(!file.as_str().contains('/') && file.as_str().ends_with(".hpkg"));
        assert!(seen.insert(file));
    }
}

/// Makes a file whose heap has this section alone, in chunks that are not packed.
fn file(strings: u8, section: &[u8]) -> Vec<u8> {
    let ends = section.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at as u64 + 1);
    let strings_length = ends.take(usize::from(strings)).last().unwrap_or(0) + 1;
    let length = (section.len() as u64).to_be_bytes();
    let mut out = Vec::new();
    out.extend(b"hpkr\0\x48\0\x02");
    out.extend((72 + section.len() as u64).to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 1, 0, 0]);
    out.extend(length);
    out.extend(length);
    out.extend([0; 8]);
    out.extend(length);
    out.extend(strings_length.to_be_bytes());
    out.extend(u64::from(strings).to_be_bytes());
    out.extend(section);
    out
}
