//! Diffs of a table: as compressed bytes from a stranger, and as lines under a compression that is sound, applied to a
//! table that may be none.
#![no_main]

use pkgswarm::index::diff::Changes;
use pkgswarm_fuzz::{parts, zstd_frame};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let _ = Changes::default().add(data);
    let [old, diff] = parts(data);
    let mut changes = Changes::default();
    if changes.add(&zstd_frame(diff)).is_err() {
        return;
    }
    let mut new = Vec::new();
    if changes.apply(old, &mut new).is_ok() {
        // What came out is a table again, and leads nowhere else when it is applied once more.
        let mut again = Vec::new();
        changes.apply(&new[..], &mut again).expect("a table");
        assert!(again == new);
    }
});
