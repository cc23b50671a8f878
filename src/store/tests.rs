use super::*;
use std::os::unix::fs::FileExt as _;

pub(super) fn store(dir: &Path, max: u64) -> Store {
    Store::open(&dir.join("store"), rustix::process::getuid().as_raw(), max).unwrap()
}

pub(super) fn keep(store: &Store, bytes: &[u8]) -> Sha256 {
    keep_for(store, bytes, Stay::Lasting)
}

fn keep_for(store: &Store, bytes: &[u8], stay: Stay) -> Sha256 {
    let sha256 = Sha256::of(bytes);
    let key = sha256.to_string();
    let slot = store.try_lock(&key).unwrap().expect("free");
    let partial = slot.partial().unwrap();
    partial.write_all_at(bytes, 0).unwrap();
    let proof = verify::prove(&partial, sha256, bytes.len() as u64).unwrap();
    slot.keep(&FileName::new("a-1-1-any.pkg.tar.zst").unwrap(), &proof, stay, &"m.example".into()).unwrap();
    sha256
}

#[test]
fn what_was_kept_is_found_and_proven_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1 << 20);
    let sha256 = keep(&store, b"package");
    let held = store.find(sha256, 7).unwrap();
    assert_eq!((held.proof.sha256(), held.kept.from.to_string()), (sha256, "store (m.example)".to_owned()));
    assert!(store.has(sha256, 7) && !store.has(sha256, 8) && store.take_passing(sha256).is_none());
    assert_eq!(std::fs::read_dir(dir.path().join("store/lock")).unwrap().count(), 0);
    std::fs::write(dir.path().join("store/files").join(sha256.to_string()), "pbckage").unwrap();
    assert!(store.find(sha256, 7).is_none(), "damaged");
    assert!(!dir.path().join("store/files").join(sha256.to_string()).exists());
}

#[test]
fn what_was_released_is_nowhere_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1 << 20);
    let key = Sha256::of(b"package").to_string();
    let slot = store.try_lock(&key).unwrap().expect("free");
    slot.partial().unwrap().write_all_at(b"package", 0).unwrap();
    let released = slot.release().unwrap();
    assert_eq!(slot.partial().unwrap().metadata().unwrap().len(), 0, "the next one starts anew");
    assert!(store.find(Sha256::of(b"package"), 7).is_none());
    slot.discard();
    drop(released);
    assert_eq!(std::fs::read_dir(dir.path().join("store/partial")).unwrap().count(), 0);
}

#[test]
fn a_passing_file_is_handed_out_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1 << 20);
    let sha256 = keep_for(&store, b"package", Stay::Passing);
    assert!(store.find(sha256, 7).is_some());
    let taken = store.take_passing(sha256).unwrap();
    assert!(store.take_passing(sha256).is_none() && store.find(sha256, 7).is_none());
    assert_eq!(std::fs::read(&taken).unwrap(), b"package");
    drop(taken);
    for part in ["files", "partial"] {
        assert_eq!(std::fs::read_dir(dir.path().join("store").join(part)).unwrap().count(), 0, "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_fetches_and_the_others_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1 << 20);
    let key = Sha256::of(b"x").to_string();
    let slot = store.try_lock(&key).unwrap().expect("free");
    slot.partial().unwrap().write_all_at(b"xyz", 0).unwrap();
    assert!(store.try_lock(&key).unwrap().is_none());
    let mut told = Vec::new();
    let turn = store.lock(&key, Duration::from_millis(40), |arrived| told.push(arrived)).await.unwrap();
    assert!(matches!(turn, Turn::Stuck));
    assert!(told.len() > 1 && told.iter().all(|arrived| *arrived <= 3), "{told:?}");
    drop(slot);
    assert!(matches!(store.lock(&key, Duration::ZERO, |_| {}).await.unwrap(), Turn::Ours(_)));
}

#[test]
fn a_partial_with_a_second_name_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1 << 20);
    let slot = store.try_lock("k").unwrap().expect("free");
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    std::fs::hard_link(&victim, dir.path().join("store/partial/k")).unwrap();
    slot.partial().unwrap().write_all_at(b"evil", 0).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
}

#[test]
fn a_passing_store_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let uid = rustix::process::getuid().as_raw();
    let store = Store::passing(dir.path(), uid, 1 << 20).unwrap();
    let sha256 = keep(&store, b"package");
    assert!(store.find(sha256, 7).is_some());
    drop(store);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
