use super::*;
use crate::lists::system::NameKind;
use std::io::Write as _;

const NEVER: FileShape = FileShape::new(NameKind::Database, |_, _, _| Err(ShapeError::NotASignature));

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn only_the_expected_bytes_are_proven() {
    let sha256 = Sha256::of(b"package");
    assert_eq!(prove(&file(b"package"), sha256, 7).unwrap().size(), 7);
    assert!(matches!(prove(&file(b"packagf"), sha256, 7), Err(MismatchError::Digest { .. })));
    assert!(matches!(prove(&file(b"package!"), sha256, 7), Err(MismatchError::Size { expected: 7, found: 8 })));
    assert!(matches!(prove(&file(b""), sha256, 7), Err(MismatchError::Size { .. })));
}

#[test]
fn a_resumed_hash_covers_the_old_bytes() {
    let mut verifier = Verifier::resume(&file(b"pack"), 4).unwrap();
    verifier.update(b"age");
    assert!(verifier.finish(Sha256::of(b"package"), 7).is_ok());
    assert!(Verifier::resume(&file(b"pack"), 5).is_err());
}

#[test]
fn a_copy_is_proven_by_its_own_bytes_small_or_large() {
    for size in [7, 3 * usize::try_from(LARGE).unwrap() + 1] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let (from, len, sha256) = (file(&bytes), size as u64, Sha256::of(&bytes));
        let to = file(b"");
        assert_eq!(prove_copy(&from, &to, sha256, len).unwrap().unwrap().size(), len);
        assert!(prove(&to, sha256, len).is_ok());
        let other = prove_copy(&from, &file(b""), Sha256::of(b"other"), len).unwrap();
        assert!(matches!(other, Err(MismatchError::Digest { .. })));
        assert!(prove_copy(&from, &file(b""), sha256, len + 1).is_err(), "{size}: what is not there is not copied");
    }
}

#[test]
fn what_pacman_does_not_want_may_have_any_shape() {
    assert!(waive(Waiver::NotPacmans, NEVER, &file(b"<!DOCTYPE html><html>a licence</html>")).is_ok());
}

#[test]
fn a_login_page_is_never_waived() {
    let page = file(b"<!DOCTYPE html><html>please log in</html>");
    for why in [Waiver::Signature, Waiver::MirrorDatabase, Waiver::NotARepoUrl, Waiver::DatabaseInUse] {
        assert!(matches!(waive(why, FileShape::ANY, &page), Err(ShapeError::WebPage)), "{why:?}");
    }
}

#[test]
fn without_an_expectation_the_shape_decides() {
    let text = file(b"not a database");
    assert!(waive(Waiver::MirrorDatabase, NEVER, &text).is_err());
    assert!(waive(Waiver::MirrorDatabase, FileShape::ANY, &text).is_ok());
}
