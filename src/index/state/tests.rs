//! The state that is remembered, kept, and removed.

use super::super::manifest::tests::sample;
use super::super::table::pack;
use super::super::table::tests::{entry, plain};
use super::*;
use crate::index::diff::Changes;

fn seen(sequence: u64) -> SeenSequence {
    SeenSequence { sequence, manifest: Sha256::of(&sequence.to_le_bytes()), fetched: 1, expires: 2 }
}

fn name() -> FileName {
    FileName::new("arch").unwrap()
}

fn core() -> RepoName {
    RepoName::new("core").unwrap()
}

fn with_table() -> (Manifest, Vec<u8>) {
    let plain = plain(&[entry("a", 1), entry("b", 2 << 20)]);
    let mut manifest = sample();
    let (sha256, size) = (Sha256::of(&plain), plain.len() as u64);
    manifest.tables[0] = Table { sha256, size, entries: 2, ..manifest.tables[0].clone() };
    (manifest, pack(&plain))
}

#[test]
fn the_highest_sequence_of_a_key_is_never_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path().join("state"));
    let [a, b] = ["ipns:a", "minisign:b"].map(str::to_owned);
    assert_eq!(state.seen(std::slice::from_ref(&a)).unwrap(), None);
    state.note(&[a.clone(), b.clone()], &seen(5)).unwrap();
    state.note(std::slice::from_ref(&a), &seen(4)).unwrap();
    state.note(std::slice::from_ref(&b), &seen(9)).unwrap();
    let again = IndexState::at(dir.path().join("state"));
    assert_eq!(again.seen(std::slice::from_ref(&a)).unwrap(), Some(seen(5)));
    assert_eq!(again.seen(&[a, b]).unwrap(), Some(seen(9)));
}

#[test]
fn an_expired_copy_does_not_come_back_when_the_clock_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path());
    assert!(!state.is_in_force(&name(), 1).unwrap());
    let (manifest, packed) = with_table();
    let hold = |manifest: &Manifest| {
        state.keep_table(&name(), &manifest.tables[0], TableBytes::Packed(&packed)).unwrap();
        state.hold(&name(), &manifest.encode(), &[], &[core()]).unwrap();
    };
    hold(&manifest);
    assert!(state.is_in_force(&name(), manifest.expires).unwrap());
    assert!(!state.is_in_force(&name(), manifest.expires + 1).unwrap());
    assert!(!state.is_in_force(&name(), manifest.created).unwrap(), "the clock was set back");
    // Nor by being fetched once more; the next one counts.
    hold(&manifest);
    assert!(!state.is_in_force(&name(), manifest.created).unwrap());
    hold(&Manifest { expires: manifest.expires + 60, ..manifest.clone() });
    assert!(state.is_in_force(&name(), manifest.created).unwrap());
}

#[test]
fn a_damaged_memory_is_an_error_and_not_a_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.json"), "{").unwrap();
    let state = IndexState::at(dir.path());
    let keys = ["ipns:a".to_owned()];
    assert!(matches!(state.seen(&keys), Err(StateError::Damaged { .. })));
    assert!(matches!(state.note(&keys, &seen(1)), Err(StateError::Damaged { .. })));
    fs::write(dir.path().join("index.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(state.seen(&keys), Err(StateError::Damaged { .. })));
}

#[test]
fn the_last_good_copy_is_kept_and_older_parts_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path());
    assert_eq!(state.held(&name()).unwrap(), None);
    let (manifest, packed) = with_table();
    let table = state.table_path(&name(), manifest.tables[0].sha256);
    let old = table.with_file_name("old");
    state.keep_table(&name(), &manifest.tables[0], TableBytes::Packed(&packed)).unwrap();
    fs::write(&old, b"old").unwrap();
    let bytes = manifest.encode();
    state.hold(&name(), &bytes, &[("minisig", b"sig")], &[core()]).unwrap();
    let held = state.held(&name()).unwrap().unwrap();
    assert_eq!((held.manifest.clone(), held.bytes.clone()), (manifest.clone(), bytes.clone()));
    assert_eq!(held.table(manifest.tables[0].sha256), table);
    let compiled = state.catalogue_path(&name(), &core(), "x86_64");
    let compiled = catalogue::Catalogue::open(&compiled).unwrap().unwrap();
    let found = compiled.find(&FileName::new("b").unwrap()).unwrap().unwrap();
    assert_eq!((found.size, found.cid()), (2 << 20, Some(entry("b", 2 << 20).cid)));
    assert_eq!(state.expires(&name()).unwrap(), Some(manifest.expires));
    assert!(state.has(&name(), Sha256::of(&bytes), &[core()]));
    assert_eq!((held.proof("minisig"), held.proof("ipns-record")), (Some(b"sig".to_vec()), None));
    assert!(!old.exists());
    fs::remove_file(table).unwrap();
    assert!(!state.has(&name(), Sha256::of(&bytes), &[core()]));
    state.forget_copy(&name()).unwrap();
    assert_eq!(state.held(&name()).unwrap(), None);
}

#[test]
fn tables_of_repos_that_are_not_granted_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path());
    let (manifest, packed) = with_table();
    state.keep_table(&name(), &manifest.tables[0], TableBytes::Packed(&packed)).unwrap();
    let table = state.table_path(&name(), manifest.tables[0].sha256);
    state.hold(&name(), &manifest.encode(), &[], &[]).unwrap();
    assert!(!table.exists() && !state.catalogue_path(&name(), &core(), "x86_64").exists());
}

#[test]
fn what_is_not_the_table_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path());
    let (manifest, packed) = with_table();
    let table = &manifest.tables[0];
    let why = |table: &Table, made| match state.keep_table(&name(), table, made) {
        Err(KeepError::Wrong(why)) => why,
        other => panic!("{other:?}"),
    };
    let other = pack(&plain(&[entry("a", 1), entry("b", 3 << 20)]));
    assert!(why(table, TableBytes::Packed(&other)).starts_with("corrupt: sha256 "));
    assert!(why(table, TableBytes::Packed(&packed[..packed.len() - 1])).starts_with("incomplete frame"));
    let longer = pack(&plain(&[entry("a", 1), entry("b", 2 << 20), entry("c", 1)]));
    assert!(why(table, TableBytes::Packed(&longer)).starts_with("longer than the "));
    let short = Table { entries: 3, ..table.clone() };
    assert_eq!(why(&short, TableBytes::Packed(&packed)), "the table has 2 entries, the manifest announces 3");
    let nothing = dir.path().join("nothing");
    why(table, TableBytes::Diffs(&nothing, &Changes::default()));
    assert_eq!(fs::read_dir(dir.path().join("index/arch")).unwrap().count(), 0);
}

#[test]
fn a_table_is_made_of_the_old_one_and_its_changes() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path());
    let (manifest, _) = with_table();
    let old = dir.path().join("old");
    fs::write(&old, plain(&[entry("a", 1), entry("c", 1)])).unwrap();
    let new = plain(&[entry("a", 1), entry("b", 2 << 20)]);
    let changes = Changes::between(&fs::read(&old).unwrap()[..], &new[..]).unwrap();
    state.keep_table(&name(), &manifest.tables[0], TableBytes::Diffs(&old, &changes)).unwrap();
    assert_eq!(fs::read(state.table_path(&name(), manifest.tables[0].sha256)).unwrap(), new);
}

#[test]
fn a_damaged_copy_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let state = IndexState::at(dir.path());
    state.hold(&name(), &sample().encode(), &[], &[]).unwrap();
    fs::write(dir.path().join("index/arch/pkgswarm.json"), "x").unwrap();
    assert!(matches!(state.held(&name()), Err(StateError::Copy(_))));
}
