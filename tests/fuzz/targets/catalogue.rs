//! Compiled tables: damage is reported as damage, and in a sound file, searching and reading through agree.
//!
//! Every record carries a checksum, which the target corrects: the fuzzer makes the rest.
#![no_main]

use std::path::Path;

use pkgswarm::lists::catalogue::{Catalogue, CatalogueEntry};
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::name::FileName;

// As `src/lists/catalogue/layout.rs` describes it.
const HEADER: usize = 96;
const FIXED: usize = 50;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    judge(data.to_vec());
    judge(mended(data));
});

fn judge(bytes: Vec<u8>) {
    let length = bytes.len();
    let Ok(catalogue) = Catalogue::in_memory(bytes, Path::new("table.catalogue")) else { return };
    assert!(catalogue.len() * FIXED + HEADER <= length);
    assert_eq!(catalogue.is_empty(), catalogue.len() == 0);
    let absent = FileName::new("no such file").expect("a plain name");
    let _ = (catalogue.find(&absent), catalogue.by_package_name("zstd", |_, _| true));
    let Ok(records) = catalogue.iter().collect::<Result<Vec<CatalogueEntry>, _>>() else { return };
    assert_eq!(records.len(), catalogue.len());
    let sorted = records.is_sorted_by(|a, b| a.name < b.name);
    for record in &records {
        assert!(!record.name.as_str().contains('/'));
        let by_digest = catalogue.by_sha256(record.sha256).expect("all of it was read before");
        assert_eq!(by_digest.map(|found| found.sha256), Some(record.sha256));
        if let Some(cid) = record.cid() {
            assert!(catalogue.by_cid(cid).expect("all of it was read before").is_some());
        }
        if sorted {
            assert_eq!(catalogue.find(&record.name).expect("all of it was read before").as_ref(), Some(record));
        }
    }
}

/// Returns the same with a right header and right checks: only the records can be wrong then.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    if out.len() < HEADER {
        out.resize(HEADER, 0);
    }
    out[..8].copy_from_slice(b"pkgswcat");
    out[8..12].copy_from_slice(&1u32.to_le_bytes());
    out[12..16].copy_from_slice(&(FIXED as u32).to_le_bytes());
    let room = (out.len() - HEADER) / FIXED;
    let count = usize::from(out[16]).min(room).min(16);
    let tails_at = HEADER + count * FIXED;
    let tails = out.len() - tails_at;
    out[16..20].copy_from_slice(&(count as u32).to_le_bytes());
    out[20..24].copy_from_slice(&(tails as u32).to_le_bytes());
    for i in 0..count {
        let at = HEADER + i * FIXED;
        let offset = u32::from_le_bytes([out[at], out[at + 1], out[at + 2], out[at + 3]]) as usize;
        let flags = out[at + 5];
        let more = if flags & 1 > 0 { 32 } else { 0 } + if flags & 2 > 0 { 34 } else { 0 };
        let length = usize::from(out[at + 4]) + more;
        if let Some(tail) = out[tails_at..].get(offset..offset + length) {
            let check = Sha256::of(&[&out[at..at + 46], tail].concat());
            out[at + 46..at + FIXED].copy_from_slice(&check.0[..4]);
        }
    }
    let check = Sha256::of(&out[..64]);
    out[64..HEADER].copy_from_slice(&check.0);
    out
}
