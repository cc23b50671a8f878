//! Diffs of tables: the diff between two tables leads from the one to the other byte for byte, and a forged diff
//! changes a table once, however often it is applied.
#![no_main]

use pkgswarm::index::diff::{Changes, DiffError};
use pkgswarm_fuzz::{parts, zstd_frame};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [choice, old, new, foreign] = parts(data);
    let mut changes = Changes::default();
    let _ = changes.add(data);
    if let Ok(between) = Changes::between(old, new)
        && is_sorted(old)
        && is_sorted(new)
    {
        assert_eq!(applied(&between, old).expect("it was made for that table"), new);
        assert_eq!(between.is_empty(), old == new);
        // The real compression is slow: now and then it is compared.
        if choice == b"p" {
            let mut read = Changes::default();
            read.add(&between.pack().expect("it is small")).expect("what we write we read");
            assert_eq!(applied(&read, old).expect("it was made for that table"), new);
        }
    }
    let mut changes = Changes::default();
    if changes.add(&zstd_frame(foreign)).is_ok()
        && let Ok(once) = applied(&changes, old)
    {
        let names = foreign.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(changes.len(), names, "each name once");
        if is_sorted(old) {
            assert!(is_sorted(&once));
            assert_eq!(applied(&changes, &once).expect("lines that were read are lines"), once);
        }
    }
});

fn applied(changes: &Changes, old: &[u8]) -> Result<Vec<u8>, DiffError> {
    let mut out = Vec::new();
    changes.apply(old, &mut out)?;
    Ok(out)
}

/// True if the names of a table rise, as a difference to itself shows: each is then there once.
fn is_sorted(table: &[u8]) -> bool {
    let lines = table.iter().filter(|byte| **byte == b'\n').count();
    let Ok(all) = Changes::between(&b""[..], table) else { return false };
    all.len() == lines && applied(&all, b"").is_ok_and(|sorted| sorted == table)
}
