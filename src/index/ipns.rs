//! IPNS names and records, verified here, so that no daemon or gateway has to be trusted.
//!
//! Facts: `ipfs/specs` `src/ipns/ipns-record.md`; `doc/facts/kubo.md`; records made by boxo in
//! `tests/data/ipns`. Only Ed25519 names are read: their public key is inside the name.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use super::time;
use crate::base::cid::Cid;
use crate::base::size::RECORD_MOST;
#[cfg(feature = "testing")]
pub use crate::config::publisher::IpnsNameError;
use crate::config::publisher::KEY_PREFIX;
pub use crate::config::publisher::Name;

mod wire;

/// A record whose signature was checked; the only way to have one is [`Name::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpnsRecord {
    /// The target, as written: `/ipfs/…` or `/ipns/…`.
    pub value: String,
    /// Grows with every change of the value.
    pub sequence: u64,
    /// Unix seconds after which the record does not count any more.
    pub expires: u64,
    /// Seconds that the answer may be kept before asking again.
    pub ttl: u64,
}

/// The reason why a record does not count. A newer record may; the same one never will, except
/// [`RecordError::Expired`] when this machine's clock is wrong.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// More than [`RECORD_MOST`] bytes.
    #[error("the IPNS record has {0} bytes, at most {RECORD_MOST} are allowed")]
    TooBig(usize),
    /// Bytes that are not a record; the text names the part.
    #[error("the IPNS record is malformed: {0}")]
    Malformed(&'static str),
    /// Signed by another key, changed on the way, or only signed the old way (V1).
    #[error("the IPNS record is not signed by the key in its name")]
    Signature,
    /// The unsigned copy of a field differs from the signed one.
    #[error("the IPNS record contradicts itself: its unsigned {0} differs from the signed one")]
    Contradiction(&'static str),
    /// It has expired.
    #[error("the IPNS record expired {} ago", time::span(now.saturating_sub(*expired)))]
    Expired {
        /// Unix seconds.
        expired: u64,
        /// Unix seconds.
        now: u64,
    },
    /// Its target is not a directory of files.
    #[error("the IPNS record points at {0}, which is not an /ipfs/ path of a file or directory")]
    Target(String),
}

impl Name {
    /// Checks `record` against this name at the time `now` (Unix seconds) and returns its content.
    ///
    /// Never panics on any bytes, and reads at most [`RECORD_MOST`] of them.
    pub fn verify(&self, record: &[u8], now: u64) -> Result<IpnsRecord, RecordError> {
        let entry = wire::IpnsEntry::decode(record)?;
        if entry.public_key.is_some_and(|key| key.strip_prefix(&KEY_PREFIX) != Some(&self.key())) {
            return Err(RecordError::Signature);
        }
        let (Some(data), Some(signature)) = (entry.data, entry.signature_v2) else {
            return Err(RecordError::Signature);
        };
        let signature = Signature::from_slice(signature).map_err(|_| RecordError::Signature)?;
        let key = VerifyingKey::from_bytes(&self.key()).map_err(|_| RecordError::Signature)?;
        // The strict variant also refuses keys of small order, whose signatures fit several messages.
        key.verify_strict(&wire::to_sign(data), &signature).map_err(|_| RecordError::Signature)?;

        let signed = wire::Data::decode(data)?;
        entry.agrees_with(&signed)?;
        if signed.validity_type != 0 {
            return Err(RecordError::Malformed("its validity is not an end of life"));
        }
        let validity = std::str::from_utf8(signed.validity).ok().and_then(time::from_rfc3339);
        let expires = validity.ok_or(RecordError::Malformed("its end of life is not a time"))?;
        if expires < now {
            return Err(RecordError::Expired { expired: expires, now });
        }
        let value = std::str::from_utf8(signed.value).map_err(|_| RecordError::Malformed("its value is not text"))?;
        Ok(IpnsRecord { value: value.to_owned(), sequence: signed.sequence, expires, ttl: signed.ttl / 1_000_000_000 })
    }
}

impl IpnsRecord {
    /// Returns the record's target, if that is exactly `/ipfs/CID`.
    ///
    /// A path below a CID is refused: the index is the root itself, one block proves it.
    pub fn root(&self) -> Result<Cid, RecordError> {
        let text = self.value.strip_prefix("/ipfs/").map(|rest| rest.trim_end_matches('/'));
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| RecordError::Target(crate::base::name::shown(&self.value).into()))
    }

    /// Makes the bytes of a record, signed with `key`, like Kubo without V1 (`v1compat=false`).
    ///
    /// For publishers without a daemon, and for tests.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        wire::sign(self, key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_790_000_000;

    fn fixture(ending: &str) -> (Name, Vec<u8>) {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ipns");
        let mut paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let ending = format!("{ending}.ipns-record");
        let path = paths.find(|path| path.to_string_lossy().ends_with(&ending));
        let path = path.unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().split_once('_').unwrap().0.parse().unwrap();
        (name, std::fs::read(path).unwrap())
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn record() -> IpnsRecord {
        let value = "/ipfs/bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354".to_owned();
        IpnsRecord { value, sequence: 1_789_999_000, expires: NOW + 172_800, ttl: 300 }
    }

    #[test]
    fn records_made_by_boxo_are_accepted() {
        for (ending, value) in [
            ("_v2", "/ipfs/bafkqadtwgiww63tmpeqhezldn5zgi"),
            ("w_v1-v2", "/ipfs/bafkqaddwgevxmmraojswg33smq"),
            ("_v1-v2-broken-signature-v1", "/ipfs/bafkqahtwgevxmmrao5uxi2bamjzg623fnyqhg2lhnzqxi5lsmuqhmmi"),
        ] {
            let (name, bytes) = fixture(ending);
            let record = name.verify(&bytes, NOW).unwrap();
            assert_eq!(record.value, value, "{ending}");
            // Identity CIDs are no files.
            assert!(matches!(record.root(), Err(RecordError::Target(_))));
        }
    }

    #[test]
    fn broken_records_made_by_boxo_are_refused() {
        for (ending, why) in [
            ("p7ku_v1", RecordError::Signature),
            ("_v1-v2-broken-signature-v2", RecordError::Signature),
            ("_v1-v2-broken-v1-value", RecordError::Contradiction("value")),
        ] {
            let (name, bytes) = fixture(ending);
            assert_eq!(name.verify(&bytes, NOW), Err(why), "{ending}");
        }
    }

    #[test]
    fn a_record_of_ours_says_what_was_signed() {
        let name = Name::from_key(key().verifying_key().to_bytes());
        let bytes = record().sign(&key());
        assert_eq!(name.verify(&bytes, NOW), Ok(record()));
        assert_eq!(record().root().unwrap().to_string(), record().value[6..]);
        let late = name.verify(&bytes, NOW + 172_801 + 3600);
        assert_eq!(late.unwrap_err().to_string(), "the IPNS record expired 60 min ago");
    }

    #[test]
    fn a_record_of_another_key_is_refused() {
        let other = Name::from_key(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
        assert_eq!(other.verify(&record().sign(&key()), NOW), Err(RecordError::Signature));
        // A key of small order would fit many messages.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(Name::from_key(identity).verify(&record().sign(&key()), NOW), Err(RecordError::Signature));
    }

    #[test]
    fn a_record_above_ten_kibibytes_is_refused_unread() {
        let name = Name::from_key([1; 32]);
        assert_eq!(name.verify(&vec![0; RECORD_MOST + 1], NOW), Err(RecordError::TooBig(RECORD_MOST + 1)));
    }

    #[test]
    fn a_record_that_points_elsewhere_has_no_root() {
        for value in
            ["/ipns/example.org", "/ipfs/", "/ipfs/bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354/a"]
        {
            let record = IpnsRecord { value: value.to_owned(), ..record() };
            assert!(matches!(record.root(), Err(RecordError::Target(_))), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_verification_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let name = Name::from_key(key().verifying_key().to_bytes());
            prop_assert!(name.verify(&bytes, NOW).is_err());
        }

        #[test]
        fn one_changed_byte_never_changes_what_is_said(at in 0usize..200, flip in 1u8..) {
            let name = Name::from_key(key().verifying_key().to_bytes());
            let mut bytes = record().sign(&key());
            let at = at % bytes.len();
            bytes[at] ^= flip;
            // A flip in a field number can turn the field into an unknown one, never into another content.
            if let Ok(said) = name.verify(&bytes, NOW) {
                prop_assert_eq!(said, record());
            }
        }

        #[test]
        fn signed_nonsense_does_not_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let name = Name::from_key(key().verifying_key().to_bytes());
            prop_assert!(name.verify(&wire::sign_data(&data, &key()), NOW).is_err());
        }

        #[test]
        fn no_text_makes_the_name_parser_panic(text in "\\PC{0,80}") {
            let _ = text.parse::<Name>();
        }
    }
}
