//! The manifest of an index: limits hold, names stay plain, and what was read is written and read again the same.
#![no_main]

use pkgswarm::index::manifest::{ENTRIES_MOST, Manifest, TABLE_MOST, is_arch};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(manifest) = Manifest::decode(data) else { return };
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
    assert!(!manifest.publisher.chars().any(char::is_control));
    for table in &manifest.tables {
        assert!(table.size <= TABLE_MOST && table.entries <= ENTRIES_MOST && is_arch(&table.arch));
        assert!(!table.repo.as_str().contains('/') && table.path().split('/').count() == 2);
        assert!(table.databases.iter().all(|database| database.name.repo().as_ref() == Some(&table.repo)));
    }
    if manifest.check_time(1_790_000_000).is_ok() {
        assert!(manifest.expires >= 1_790_000_000 && manifest.sequence <= 1_790_086_400);
    }
});
