//! The second proof of a manifest: a minisign signature over its bytes, checked and made.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;

use cid::multibase::Base;

#[cfg(feature = "testing")]
pub use crate::config::publisher::KeyError;
pub use crate::config::publisher::PublicKey;

/// Most bytes of a `.minisig` that are read.
pub const SIGNATURE_MOST: usize = 16 * 1024;

/// The reason why a signature does not prove the bytes.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// Not a minisign signature.
    #[error("the minisign signature is malformed")]
    Malformed,
    /// Another key made it.
    #[error("the minisign signature is made by another key than {expected}")]
    OtherKey {
        /// Fingerprint of the configured key.
        expected: String,
    },
    /// Right key, other bytes: changed on the way, or signature and manifest do not belong together.
    #[error("the minisign signature does not fit the manifest")]
    Forged,
    /// The signed comment has another sequence or expiry than the manifest.
    #[error("the signed comment says {comment:?}, which is not what the manifest says")]
    Comment {
        /// The trusted comment, made fit to print.
        comment: String,
    },
}

impl PublicKey {
    /// Checks that this key made `signature` (the text of a `.minisig`, prehashed or plain) over `manifest`, and
    /// returns the signed comment, for [`Comment::agrees`].
    pub fn verify(&self, manifest: &[u8], signature: &[u8]) -> Result<Comment, SignatureError> {
        if signature.len() > SIGNATURE_MOST {
            return Err(SignatureError::Malformed);
        }
        let text = std::str::from_utf8(signature).map_err(|_| SignatureError::Malformed)?;
        let signature = minisign_verify::Signature::decode(text).map_err(|_| SignatureError::Malformed)?;
        // Checks the signature over the bytes and the one over the trusted comment.
        self.key.verify(manifest, &signature, true).map_err(|error| match error {
            minisign_verify::Error::UnexpectedKeyId => SignatureError::OtherKey { expected: self.fingerprint() },
            _ => SignatureError::Forged,
        })?;
        Ok(Comment(signature.trusted_comment().to_owned()))
    }

    /// Checks that this key made `signature` over all that `from` gives, without holding it in memory. Only signatures of
    /// a digest can be checked so, which minisign has made since 0.10; others count as malformed.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn verify_read(
        &self,
        mut from: impl io::Read,
        signature: &[u8],
    ) -> io::Result<Result<(), SignatureError>> {
        let text = std::str::from_utf8(signature).ok().filter(|text| text.len() <= SIGNATURE_MOST);
        let Some(signature) = text.and_then(|text| minisign_verify::Signature::decode(text).ok()) else {
            return Ok(Err(SignatureError::Malformed));
        };
        let mut verifier = match self.key.verify_stream(&signature) {
            Ok(verifier) => verifier,
            Err(minisign_verify::Error::UnexpectedKeyId) => {
                return Ok(Err(SignatureError::OtherKey { expected: self.fingerprint() }));
            }
            Err(_) => return Ok(Err(SignatureError::Malformed)),
        };
        let mut piece = vec![0; 1 << 20];
        loop {
            match from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => verifier.update(&piece[..read]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(verifier.finalize().map_err(|_| SignatureError::Forged))
    }

    /// Returns the comment of a signature, if this key signed the comment; the signed bytes may be any. For
    /// choosing what to fetch: it proves no manifest.
    pub fn comment(&self, signature: &[u8]) -> Result<Comment, SignatureError> {
        if signature.len() > SIGNATURE_MOST {
            return Err(SignatureError::Malformed);
        }
        let text = std::str::from_utf8(signature).map_err(|_| SignatureError::Malformed)?;
        let mut lines = text.lines().skip(1);
        let mut next = || lines.next().ok_or(SignatureError::Malformed);
        let (own, comment, over_all) = (next()?, next()?, next()?);
        let decode = |line: &str| Base::Base64Pad.decode(line).map_err(|_| SignatureError::Malformed);
        let comment = comment.strip_prefix("trusted comment: ").ok_or(SignatureError::Malformed)?;
        // Algorithm (2 bytes), key number (8), signature (64); the key has the same in front of its 32 bytes.
        let (own, key) = (decode(own)?, decode(&self.text)?);
        if own.len() != 74 {
            return Err(SignatureError::Malformed);
        }
        if own[2..10] != key[2..10] {
            return Err(SignatureError::OtherKey { expected: self.fingerprint() });
        }
        let over_all =
            ed25519_dalek::Signature::from_slice(&decode(over_all)?).map_err(|_| SignatureError::Malformed)?;
        let key: [u8; 32] = key[10..].try_into().expect("a key of 42 bytes");
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| SignatureError::Forged)?;
        let signed = [&own[10..], comment.as_bytes()].concat();
        key.verify_strict(&signed, &over_all).map_err(|_| SignatureError::Forged)?;
        Ok(Comment(comment.to_owned()))
    }
}

/// The trusted comment of a checked signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comment(String);

impl Comment {
    /// Returns the sequence in it, if there is one.
    pub(crate) fn sequence(&self) -> Option<u64> {
        self.0.split_ascii_whitespace().find_map(|word| word.strip_prefix("sequence=")?.parse().ok())
    }

    /// Returns the time at which the minisign tool signed, in Unix seconds, if it is there.
    pub(crate) fn timestamp(&self) -> Option<u64> {
        self.0.split_ascii_whitespace().find_map(|word| word.strip_prefix("timestamp:")?.parse().ok())
    }

    /// Checks that it does not contradict the manifest's sequence and expiry.
    ///
    /// A comment without `sequence=` or `expires=`, as the minisign tool makes it, contradicts nothing.
    pub fn agrees(&self, sequence: u64, expires: u64) -> Result<(), SignatureError> {
        for (field, is) in [("sequence=", sequence), ("expires=", expires)] {
            let said = self.0.split_ascii_whitespace().find_map(|word| word.strip_prefix(field));
            if said.is_some_and(|said| said != is.to_string()) {
                return Err(SignatureError::Comment { comment: crate::base::name::shown(&self.0).into_owned() });
            }
        }
        Ok(())
    }
}

/// A minisign secret key, ready to sign.
pub struct SecretKey(minisign::SecretKey);

/// The reason why a secret key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    /// Encrypted, and no password was given.
    #[error("the minisign secret key is encrypted: a password is needed")]
    Encrypted,
    /// Not a key, or the wrong password.
    #[error("the minisign secret key cannot be used: {0}")]
    Unusable(String),
}

impl SecretKey {
    /// Reads the text of a secret key file; never asks for a password.
    pub fn read(text: &str, password: Option<&str>) -> Result<Self, SecretKeyError> {
        let unusable = |e: minisign::PError| SecretKeyError::Unusable(e.to_string());
        let boxed = || minisign::SecretKeyBox::from_string(text).map_err(unusable);
        let plain = boxed()?.into_unencrypted_secret_key();
        match (plain, password) {
            (Ok(key), _) => Ok(Self(key)),
            (Err(_), _) if let Some(key) = without_checksum(text) => Ok(Self(key)),
            (Err(_), Some(password)) => boxed()?.into_secret_key(Some(password.to_owned())).map(Self).map_err(unusable),
            (Err(e), None) if e.to_string().contains("encrypted") => Err(SecretKeyError::Encrypted),
            (Err(e), None) => Err(unusable(e)),
        }
    }

    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        let key = minisign::PublicKey::from_secret_key(&self.0).expect("a secret key holds its public half");
        key.to_base64().parse().expect("both crates read the same format")
    }

    /// Signs `manifest` (prehashed); the trusted comment carries `sequence` and `expires`.
    pub fn sign(&self, manifest: &[u8], sequence: u64, expires: u64) -> String {
        let trusted = format!("pkgswarm sequence={sequence} expires={expires}");
        let untrusted = format!("signature of pkgswarm.json by minisign key {}", self.public().fingerprint());
        minisign::sign(None, &self.0, manifest, Some(&trusted), Some(&untrusted))
            .expect("reading from memory does not fail and the key is not encrypted")
            .into_string()
    }
}

/// Reads the unencrypted key of `minisign -G -W`: it has zeros for the checksum that the crate demands (minisign
/// 0.11).
///
/// Algorithms (6 bytes), salt and limits (48), key number (8), seed and public half (64), checksum (32).
fn without_checksum(text: &str) -> Option<minisign::SecretKey> {
    let bytes = Base::Base64Pad.decode(text.lines().nth(1)?.trim()).ok()?;
    let is_plain = bytes.len() == 158 && bytes[2..4] == [0; 2] && bytes[126..] == [0; 32];
    let seed: [u8; 32] = bytes.get(62..94)?.try_into().ok()?;
    // The halves belong together: as good as a checksum.
    let is_whole =
        ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().as_bytes()[..] == *bytes.get(94..126)?;
    (is_plain && is_whole).then(|| minisign::SecretKey::from_bytes(&bytes).ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn secret() -> SecretKey {
        SecretKey(minisign::KeyPair::generate_unencrypted_keypair().unwrap().sk)
    }

    // The key and signatures of minisign's own documentation and of minisign-verify's tests: over "test".
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const PREHASHED: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==
";
    const PLAIN: &str = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
";

    // The output of `minisign -G -W` of minisign 0.11. Made for this test.
    const UNENCRYPTED: &str = "untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABVP+KGhZf6pWthJzj5JNZygXXlloAeQd0T6kznNKZaJhK+5tnn97Vuti5XBSg7K/JsbYS6d4xcMLay9bVsxjGZFRT51LEom6AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
";

    #[test]
    fn an_unencrypted_key_of_the_minisign_tool_signs() {
        let key = SecretKey::read(UNENCRYPTED, None).unwrap();
        let signature = key.sign(b"test", 1, 2);
        assert!(key.public().verify(b"test", signature.as_bytes()).is_ok());
        let damaged = UNENCRYPTED.replacen("AeQd0T6k", "AeQd0T6A", 1);
        assert!(SecretKey::read(&damaged, None).is_err());
    }

    #[test]
    fn signatures_of_the_minisign_tool_are_accepted_prehashed_and_plain() {
        let key: PublicKey = KEY.parse().unwrap();
        assert_eq!(key.fingerprint(), "E7620F1842B4E81F");
        for signature in [PREHASHED, PLAIN] {
            assert_eq!(key.verify(b"test", signature.as_bytes()).unwrap().agrees(1, 2), Ok(()));
            assert_eq!(key.verify(b"Test", signature.as_bytes()), Err(SignatureError::Forged));
            let comment = signature.replace("file:test", "file:best");
            assert_eq!(key.verify(b"test", comment.as_bytes()), Err(SignatureError::Forged));
        }
    }

    #[test]
    fn our_signature_carries_sequence_and_expiry_which_must_fit() {
        let secret = secret();
        let key = secret.public();
        let signature = secret.sign(b"{}", 5, 9);
        assert!(signature.contains("trusted comment: pkgswarm sequence=5 expires=9\n"), "{signature}");
        let comment = key.verify(b"{}", signature.as_bytes()).unwrap();
        assert_eq!(comment.agrees(5, 9), Ok(()));
        for (sequence, expires) in [(6, 9), (5, 8), (55, 9)] {
            assert!(matches!(comment.agrees(sequence, expires), Err(SignatureError::Comment { .. })));
        }
    }

    #[test]
    fn a_comment_is_read_without_what_is_signed_and_only_from_its_key() {
        let key: PublicKey = KEY.parse().unwrap();
        for signature in [PREHASHED, PLAIN] {
            assert_eq!(key.comment(signature.as_bytes()), key.verify(b"test", signature.as_bytes()));
            let forged = signature.replace("file:test", "file:best");
            assert_eq!(key.comment(forged.as_bytes()), Err(SignatureError::Forged));
        }
        let other = secret();
        let signature = other.sign(b"{}", 5, 9);
        assert_eq!(other.public().comment(signature.as_bytes()).unwrap().sequence(), Some(5));
        assert!(matches!(key.comment(signature.as_bytes()), Err(SignatureError::OtherKey { .. })));
        for cut in 0..signature.len() - 2 {
            assert!(other.public().comment(&signature.as_bytes()[..cut]).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn a_signature_of_another_key_is_refused_by_name() {
        let key: PublicKey = KEY.parse().unwrap();
        let refused = key.verify(b"{}", secret().sign(b"{}", 5, 9).as_bytes());
        assert_eq!(refused, Err(SignatureError::OtherKey { expected: "E7620F1842B4E81F".to_owned() }));
    }

    #[test]
    fn a_key_is_read_from_its_line_or_its_file() {
        let key: PublicKey = KEY.parse().unwrap();
        assert_eq!(format!("untrusted comment: mine\n{KEY}\n").parse(), Ok(key.clone()));
        assert_eq!(key.to_string(), KEY);
        for bad in ["", "RWQ", "x\ny", &KEY[1..], &"A".repeat(3000)] {
            assert_eq!(bad.parse::<PublicKey>(), Err(KeyError), "{bad}");
        }
    }

    #[test]
    fn an_encrypted_secret_key_needs_its_password() {
        let pair = minisign::KeyPair::generate_encrypted_keypair(Some("pw".to_owned())).unwrap();
        let text = pair.sk.to_box(None).unwrap().into_string();
        assert!(matches!(SecretKey::read(&text, None), Err(SecretKeyError::Encrypted)));
        assert!(matches!(SecretKey::read("x\ny", None), Err(SecretKeyError::Unusable(_))));
        let plain = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let read = SecretKey::read(&plain.sk.to_box(None).unwrap().into_string(), None).unwrap();
        assert_eq!(read.public().to_string(), plain.pk.to_base64());
    }

    proptest! {
        #[test]
        fn no_bytes_make_verification_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), line in "\\PC{0,80}") {
            let key: PublicKey = KEY.parse().unwrap();
            prop_assert!(key.verify(b"test", &bytes).is_err());
            let mut lines: Vec<&str> = PREHASHED.lines().collect();
            lines[bytes.len() % 4] = &line;
            let _ = (key.verify(b"test", lines.join("\n").as_bytes()), key.comment(lines.join("\n").as_bytes()));
            let _ = line.parse::<PublicKey>();
        }
    }
}
