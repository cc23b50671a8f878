//! minisign signatures: no bytes are a signature unless the key made them, and the signed comment must match
//! exactly.
#![no_main]

use std::sync::LazyLock;

use cid::multibase::Base;
use ed25519_dalek::{Signer as _, SigningKey};
use pkgswarm::index::minisign::{PublicKey, SignatureError};
use pkgswarm_fuzz::parts;

/// The key of minisign's documentation, and a signature of "test" by it.
static FOREIGN: LazyLock<PublicKey> =
    LazyLock::new(|| "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".parse().expect("a known key"));
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));
static PUBLIC: LazyLock<PublicKey> = LazyLock::new(|| {
    let bytes = [&b"Ed"[..], NUMBER, KEY.verifying_key().as_bytes()].concat();
    Base::Base64Pad.encode(bytes).parse().expect("a key as minisign writes it")
});

/// A signature of the manifest, always the same one.
static FIRST: LazyLock<[u8; 64]> = LazyLock::new(|| KEY.sign(b"{}").to_bytes());

/// The key's number.
const NUMBER: &[u8] = b"12345678";

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [signature, comment] = parts(data);
    // The untrusted comment may be any text; the rest of the known signature is in the corpus, changed or not.
    if let Ok(comment) = FOREIGN.comment(signature) {
        let text = String::from_utf8_lossy(signature);
        assert!(text.contains("file:test"), "only a comment that was signed: {comment:?}");
    }
    if let Ok(comment) = FOREIGN.verify(b"test", signature) {
        assert_eq!(FOREIGN.comment(signature).as_ref(), Ok(&comment), "a comment needs less than a manifest");
        let text = String::from_utf8_lossy(signature);
        assert!(text.contains("file:test"), "only the comment that was signed: {comment:?}");
        assert_eq!(comment.agrees(1, 2), Ok(()));
        assert!(FOREIGN.verify(b"Test", signature).is_err());
    }
    let Ok(comment) = std::str::from_utf8(comment) else { return };
    if comment.is_empty() || comment.contains(['\n', '\r']) {
        return;
    }
    let signed = signed(comment);
    let Ok(found) = PUBLIC.verify(b"{}", signed.as_bytes()) else {
        panic!("an honest signature with the comment {comment:?} is refused")
    };
    assert_eq!(PUBLIC.comment(signed.as_bytes()).as_ref(), Ok(&found));
    let says = |field: &str| comment.split_ascii_whitespace().find_map(|word| word.strip_prefix(field));
    let fits = says("sequence=").is_none_or(|it| it == "5") && says("expires=").is_none_or(|it| it == "9");
    assert_eq!(found.agrees(5, 9).is_ok(), fits, "{comment:?}");
    assert!(matches!(FOREIGN.verify(b"{}", signed.as_bytes()), Err(SignatureError::OtherKey { .. })));
});

/// Signs "{}" and `comment` like minisign without hashing first (minisign(1), signature format).
fn signed(comment: &str) -> String {
    let signature = *FIRST;
    let both = KEY.sign(&[&signature, comment.as_bytes()].concat()).to_bytes();
    let text = |bytes: &[u8]| Base::Base64Pad.encode(bytes);
    let first = text(&[&b"Ed"[..], NUMBER, &signature].concat());
    format!("untrusted comment: x\n{first}\ntrusted comment: {comment}\n{}\n", text(&both))
}
