//! IPNS records: no unsigned field is used, and the parsed content is the one that the key signed.
//!
//! The target signs the CBOR that the fuzzer makes, so that the parser behind the signature is reached, and adds
//! unsigned fields of the fuzzer's choice.
#![no_main]

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use pkgswarm::index::ipns::{IpnsRecord, Name, RecordError};
use pkgswarm::base::size::RECORD_MOST;
use pkgswarm::index::time::LAST;
use pkgswarm::base::protobuf::ProtobufWriter;
use pkgswarm_fuzz::parts;

const NOW: u64 = 1_790_000_000;
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));
static NAME: LazyLock<Name> = LazyLock::new(|| Name::from_key(KEY.verifying_key().to_bytes()));

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [cbor, unsigned] = parts(data);
    assert!(NAME.verify(data, NOW).is_err(), "it is not signed");
    // A signature takes most of the time; it is made if a map could follow.
    if cbor.first().is_none_or(|first| first >> 5 != 5) {
        return;
    }
    let signature = KEY.sign(&[b"ipns-signature:", cbor].concat()).to_bytes();
    let signed = ProtobufWriter::default().bytes(8, &signature).bytes(9, cbor).finish();
    let whole = NAME.verify(&[&signed, unsigned].concat(), NOW);
    // If they are refused there is nothing to compare.
    if !unsigned.is_empty() && whole.is_err() {
        return;
    }
    let bare = if unsigned.is_empty() { whole.clone() } else { NAME.verify(&signed, NOW) };
    assert_eq!(bare, whole, "unsigned fields add nothing");
    match bare {
        Ok(record) => {
            assert!(record.expires >= NOW && signed.len() <= RECORD_MOST);
            if let Ok(root) = record.root() {
                assert_eq!(record.value.trim_end_matches('/').strip_prefix("/ipfs/").map(str::parse), Some(Ok(root)));
            }
            let again = IpnsRecord { expires: record.expires.min(LAST), ..record };
            assert_eq!(NAME.verify(&again.sign(&KEY), NOW), Ok(again));
        }
        Err(why) => assert_ne!(why, RecordError::Signature, "the signature is good"),
    }
});
