//! The manifest of an index: limits hold, names stay plain, and what was read is written and read again the same.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use pkgswarm::index::manifest::{ENTRIES_MOST, Manifest, TABLE_MOST, is_arch};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(manifest) = Manifest::decode(data) else { return };
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
    assert!(!manifest.publisher.chars().any(char::is_control));
    for table in &manifest.tables {
        for database in &table.databases {
            assert!(database.name.repo().as_ref() == Some(&table.repo));
            // Whoever keeps the database gives it this date and asks mirrors by it.
            let date = database.modified.map(|at| UNIX_EPOCH + Duration::from_secs(at));
            date.map(httpdate::fmt_http_date);
        }
        assert!(table.size <= TABLE_MOST && table.entries <= ENTRIES_MOST && is_arch(&table.arch));
        assert!(!table.repo.as_str().contains('/') && table.path().split('/').count() == 2);
    }
    if manifest.check_time(1_790_000_000).is_ok() {
        assert!(manifest.expires >= 1_790_000_000 && manifest.sequence <= 1_790_086_400);
    }
});
