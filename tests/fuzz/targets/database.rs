//! Sync databases in every supported compression: limits hold for any input, and listed names are plain.
#![no_main]

use std::collections::HashSet;

use pkgswarm::lists::pacman::syncdb::{DatabaseError, Limits, Package, read};
use pkgswarm_fuzz::zstd_frame;

/// Low, so that each of them is reached.
const LIMITS: Limits = Limits { packed: 64 << 10, unpacked: 1 << 20, desc: 4 << 10, packages: 20 };

/// gzip, zstd, xz: these are recognised first.
const PACKED: [&[u8]; 3] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"];

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let raw = packages(data);
    if let Ok(packages) = &raw {
        check(packages);
        assert!(data.len() as u64 <= LIMITS.packed);
    }
    // Plain tar is the same database behind a compression, except for the end that only plain tar needs.
    let is_packed = PACKED.iter().any(|magic| data.starts_with(magic));
    if is_packed || data.get(257..262) != Some(b"ustar") {
        return;
    }
    let (plain, packed) = (raw, packages(&zstd_frame(data)));
    match (plain, packed) {
        (Ok(plain), Ok(packed)) => assert_eq!(plain, packed),
        (Ok(_), Err(why)) => panic!("refused only when packed: {why}"),
        (Err(DatabaseError::Entry { entry, problem }), Err(why)) => {
            assert!(matches!(why, DatabaseError::Entry { entry: e, problem: p } if (&e, &p) == (&entry, &problem)));
        }
        _ => {}
    }
});

fn packages(bytes: &[u8]) -> Result<Vec<Package>, DatabaseError> {
    let mut packages = Vec::new();
    read::<DatabaseError>(bytes, &LIMITS, |package| {
        packages.push(package);
        Ok(())
    })?;
    Ok(packages)
}

fn check(packages: &[Package]) {
    assert!(packages.len() <= LIMITS.packages);
    let mut seen = HashSet::new();
    for package in packages {
        let file = package.file.as_str();
        assert!(seen.insert(file) && !file.contains('/') && !file.starts_with('.'));
        assert!(package.signature.is_none_or(|signature| (1..=16 << 10).contains(&signature.size)));
    }
}
