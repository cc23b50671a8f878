//! Searching agrees with a plain map, and no input makes it panic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::size::OWN_BLOCK_MOST;

fn record(name: &str, size: u64) -> CatalogueEntry {
    let sha256 = Sha256::of(name.as_bytes());
    let root = (size > OWN_BLOCK_MOST).then(|| Sha256::of(b"root"));
    let signature = size.is_multiple_of(2).then_some(Signature { size: 119, sha256: Sha256::of(b"sig") });
    CatalogueEntry {
        name: FileName::new(name).unwrap(),
        size,
        sha256,
        root,
        signature,
        built: size.is_multiple_of(2).then_some(1_700_000_000),
    }
}

fn catalogue(records: &[CatalogueEntry]) -> Catalogue {
    Catalogue::in_memory(layout::encode(records.to_vec(), FileKey::default()).unwrap(), Path::new("memory")).unwrap()
}

fn is_of(file: &FileName, package: &str) -> bool {
    let mut parts = file.as_str().rsplitn(4, '-').skip(3);
    file.as_str().contains(".pkg") && parts.next() == Some(package)
}

fn many(count: usize) -> Vec<CatalogueEntry> {
    let name = |n: usize| format!("some-package-of-usual-length{n}-1.2.3-1-x86_64.pkg.tar.zst");
    (0..count).map(|n| record(&name(n), n as u64 * 300)).collect()
}

fn key(n: u64) -> FileKey {
    FileKey { dev: n, ino: 2, size: 3, mtime_ns: -4, ctime_ns: 5 }
}

#[test]
fn a_written_catalogue_finds_what_it_lists_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core.cat");
    assert!(Catalogue::open(&path).unwrap().is_none());
    let mut records = many(500);
    records.reverse();
    write(&path, records.clone(), key(1)).unwrap();
    let found = Catalogue::open(&path).unwrap().unwrap();
    assert!(found.matches(key(1)) && !found.matches(key(2)) && !found.is_empty());
    for record in &records {
        assert_eq!(found.find(&record.name).unwrap().as_ref(), Some(record));
    }
    for missing in ["a", "zzz", "some-package-of-usual-length1-1.2.3-1-x86_64.pkg.tar.xz"] {
        assert_eq!(found.find(&FileName::new(missing).unwrap()).unwrap(), None);
    }
    assert_eq!(found.iter().count(), found.len());
    assert_eq!(found.by_sha256(records[7].sha256).unwrap().as_ref(), Some(&records[7]));
    assert_eq!(found.by_sha256(Sha256::of(b"no")).unwrap(), None);
}

#[test]
fn a_signature_is_found_with_the_file_that_it_signs() {
    let signed = record("a-1-1-any.pkg.tar.zst", 2);
    let unsigned = record("b-1-1-any.pkg.tar.zst", 3);
    let found = catalogue(&[signed.clone(), unsigned.clone()]);
    let content = |name: &str| {
        let signed = name.strip_suffix(".sig").map(|signed| FileName::new(signed).unwrap());
        found.find_content(&FileName::new(name).unwrap(), signed.as_ref()).unwrap()
    };
    assert_eq!(content(signed.name.as_str()), Some(signed));
    let signature = content("a-1-1-any.pkg.tar.zst.sig").unwrap();
    assert_eq!((signature.size, signature.sha256, signature.root), (119, Sha256::of(b"sig"), None));
    assert_eq!(content("b-1-1-any.pkg.tar.zst.sig"), None);
    assert_eq!(content("c-1-1-any.pkg.tar.zst.sig"), None);
}

#[test]
fn an_empty_catalogue_lists_nothing() {
    let empty = catalogue(&[]);
    assert!(empty.is_empty());
    assert_eq!(empty.find(&FileName::new("a").unwrap()).unwrap(), None);
    assert_eq!(empty.iter().count() + empty.by_package_name("a", is_of).unwrap().len(), 0);
}

#[test]
fn a_cid_is_found_as_raw_leaf_or_as_root_but_never_crosswise() {
    let (small, large) =
        (record("small-1-1-any.pkg.tar.zst", OWN_BLOCK_MOST), record("large-1-1-any.pkg.tar.zst", OWN_BLOCK_MOST + 1));
    let found = catalogue(&[small.clone(), large.clone()]);
    assert_eq!(small.cid(), Some(Cid::raw(small.sha256)));
    assert_eq!(found.by_cid(small.cid().unwrap()).unwrap(), Some(small.clone()));
    assert_eq!(found.by_cid(large.cid().unwrap()).unwrap(), Some(large.clone()));
    assert_eq!(found.by_cid(Cid::raw(large.sha256)).unwrap(), None);
    assert_eq!(found.by_cid(Cid::dag_pb(small.sha256)).unwrap(), None);
    assert_eq!(CatalogueEntry { root: None, ..large }.cid(), None);
}

#[test]
fn a_package_name_finds_exactly_its_files() {
    let names = [
        "linux-6.1-1-x86_64.pkg.tar.zst",
        "linux-6.2-1-x86_64.pkg.tar.zst",
        "linux-api-headers-6.1-1-x86_64.pkg.tar.zst",
    ];
    let more = ["linux-lts-1-1-any.pkg.tar.zst", "linu-1-1-any.pkg.tar.zst", "linux-firmware.txt"];
    let found = catalogue(&names.iter().chain(&more).map(|name| record(name, 1)).collect::<Vec<_>>());
    let of = |name: &str| {
        found.by_package_name(name, is_of).unwrap().into_iter().map(|r| r.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of("linux"), names[..2]);
    assert_eq!(of("linux-api-headers"), names[2..]);
    assert_eq!(of("lin"), [""; 0]);
}

#[test]
fn one_name_twice_is_refused() {
    let twice = vec![record("a", 1), record("b", 1), record("a", 2)];
    assert!(
        matches!(layout::encode(twice, FileKey::default()), Err(CatalogueError::Twice(name)) if name.as_str() == "a")
    );
}

#[test]
fn an_entry_takes_at_most_150_bytes() {
    // As in Arch: names of 41 bytes, every package signed, one in four larger than a chunk (`doc/facts/pacman.md`).
    let entry = |n: usize| {
        let size = if n.is_multiple_of(4) { OWN_BLOCK_MOST + 2 } else { 2 };
        record(&format!("package{n:05}-1.2.3-1-x86_64.pkg.tar.zst"), size)
    };
    let bytes = layout::encode((0..20_000).map(entry).collect(), FileKey::default()).unwrap();
    assert!(bytes.len() / 20_000 <= 150, "{} bytes", bytes.len() / 20_000);
}

#[test]
fn a_search_in_20_000_records_takes_at_most_17_steps() {
    let found = catalogue(&many(20_000));
    let steps = std::cell::Cell::new(0);
    let at = found.first_where(|_| {
        steps.set(steps.get() + 1);
        false
    });
    assert_eq!((at.unwrap(), steps.get() <= 17), (0, true));
}

#[test]
fn damage_is_an_error_and_never_not_listed() {
    let records = many(12);
    let sound = layout::encode(records.clone(), key(1)).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x41;
        let Ok(damaged) = Catalogue::in_memory(bytes, Path::new("damaged")) else { continue };
        for record in &records {
            match damaged.find(&record.name) {
                Ok(found) => assert_eq!(found.as_ref(), Some(record), "byte {at}"),
                Err(error) => assert!(matches!(error, CatalogueError::Damaged { .. })),
            }
        }
        assert!(damaged.iter().any(|record| record.is_err()), "byte {at}");
    }
    for keep in 0..sound.len() {
        assert!(Catalogue::in_memory(sound[..keep].to_vec(), Path::new("cut")).is_err());
    }
}

proptest! {
    #[test]
    fn find_agrees_with_a_map(entries in prop::collection::btree_map("[a-c]{1,3}(-[0-9]){0,4}", 0..3u64 << 20, 0..60), asked in "[a-c]{1,3}(-[0-9]){0,4}") {
        let map: BTreeMap<_, _> = entries.iter().map(|(name, size)| (name.clone(), record(name, *size))).collect();
        let found = catalogue(&map.values().cloned().collect::<Vec<_>>());
        prop_assert_eq!(found.find(&FileName::new(asked.clone()).unwrap()).unwrap(), map.get(&asked).cloned());
        let listed: Result<Vec<_>, _> = found.iter().collect();
        prop_assert_eq!(listed.unwrap(), map.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_bytes_behind_a_sound_header_never_panic(count in 0..40u32, body in prop::collection::vec(any::<u8>(), 0..4096)) {
        let tails = (body.len() as u32).saturating_sub(count * layout::FIXED as u32);
        let mut bytes = layout::Header { count, tails, source: key(1) }.encode();
        bytes.extend(&body);
        if let Ok(found) = Catalogue::in_memory(bytes, Path::new("arbitrary")) {
            let _ = found.find(&FileName::new("some").unwrap());
            let _ = found.by_package_name("some", is_of);
            prop_assert!(found.iter().take(100).count() < 100);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Catalogue::in_memory(bytes, Path::new("arbitrary")).is_err());
    }
}
