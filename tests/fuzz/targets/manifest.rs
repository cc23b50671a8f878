//! The manifest of an index: limits hold, names stay plain, and a manifest that is read is written and read again
//! the same.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use pkgswarm::lists::pacman::names;
use pkgswarm::index::manifest::{DIFF_MOST, Manifest, TABLE_MOST, is_arch};
use pkgswarm::index::table::ENTRIES_MOST;
use pkgswarm::index::table::PLAIN_MOST;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(manifest) = Manifest::decode(data) else { return };
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
    assert!(!manifest.publisher.chars().any(char::is_control));
    for table in &manifest.tables {
        for database in &table.databases {
            assert!(names::repo(&database.name).as_ref() == Some(&table.repo));
            // The stored database gets this date, and mirrors are asked by it.
            let date = database.modified.map(|at| UNIX_EPOCH + Duration::from_secs(at));
            date.map(httpdate::fmt_http_date);
        }
        assert!(table.size <= PLAIN_MOST && table.packed.size <= TABLE_MOST);
        assert!(table.entries <= ENTRIES_MOST && is_arch(&table.arch));
        assert!(!table.repo.as_str().contains('/') && table.path().split('/').count() == 2);
        // From any of its known states, the diffs lead to this one.
        for (at, diff) in table.diffs.iter().enumerate() {
            assert!(diff.size <= DIFF_MOST && diff.from < table.changed);
            assert!(table.diff_path(at).starts_with(&format!("{}/{}-", table.diff_dir(), diff.from)));
            let Some(chain) = table.diffs_from(diff.from) else { continue };
            assert!(chain.iter().map(|(_, diff)| *diff).eq(table.diffs[at..].iter().copied()));
            assert!(chain.last().is_some_and(|(path, _)| path.ends_with(&format!("-{}.ndjson.zst", table.changed))));
        }
    }
    if manifest.check_time(1_790_000_000).is_ok() {
        assert!(manifest.expires >= 1_790_000_000 && manifest.sequence <= 1_790_086_400);
    }
});
