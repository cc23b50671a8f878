//! The decision about an offered index: with any set of configured proofs, nothing passes without each of them.
#![no_main]

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use pkgswarm::base::cid::Cid;
use pkgswarm::dag::dir;
use pkgswarm::base::digest::Sha256;
use pkgswarm::index::accept::{Grant, IndexOffer, RefusalError, accept};
use pkgswarm::index::ipns::{IpnsRecord, Name};
use pkgswarm::index::manifest::Manifest;
use pkgswarm::index::minisign::SecretKey;
use pkgswarm::index::state::SeenSequence;
use pkgswarm::base::name::RepoName;
use pkgswarm_fuzz::{Choices, parts};

const NOW: u64 = 1_790_000_000;

static IPNS: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));
static MINISIGN: LazyLock<SecretKey> = LazyLock::new(|| {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("the system gives random bytes");
    let text = pair.sk.to_box(None).expect("a fresh key has a file").into_string();
    SecretKey::read(&text, None).expect("both crates read one format")
});

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [choices, manifest, minisig, record, root] = parts(data);
    let mut choices = Choices(choices);
    let (asks_ipns, asks_minisign) = (choices.below(4) > 0, choices.below(4) > 1);
    let (grant, floor) = (grant(asks_ipns, asks_minisign), floor(&mut choices, manifest));

    // All parts by another key: refused if any key is configured.
    let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
    let foreign =
        IndexOffer { manifest: manifest.to_vec(), minisig: some(minisig), record: some(record), root: some(root) };
    assert!(accept(&grant, floor.as_ref(), &foreign, NOW).is_err());

    // Signed by the publisher, and then perhaps one part by the other key.
    let Ok(decoded) = Manifest::decode(manifest) else { return };
    let mut offer = honest(&decoded, manifest, asks_ipns, asks_minisign);
    let changed = match choices.below(8) {
        1 => std::mem::replace(&mut offer.minisig, foreign.minisig) != offer.minisig && asks_minisign,
        2 => std::mem::replace(&mut offer.record, foreign.record) != offer.record && asks_ipns,
        3 => std::mem::replace(&mut offer.root, foreign.root) != offer.root && asks_ipns,
        4 => {
            offer.manifest.push(b' '); // still the same JSON
            true
        }
        _ => false,
    };
    let verdict = accept(&grant, floor.as_ref(), &offer, NOW);
    let fresh = decoded.check_time(NOW).is_ok();
    let ahead = floor.as_ref().is_none_or(|floor| {
        decoded.sequence > floor.sequence
            || (decoded.sequence == floor.sequence && floor.manifest == Sha256::of(&offer.manifest))
    });
    let has_key = asks_ipns || asks_minisign;
    assert_eq!(verdict.is_ok(), has_key && !changed && fresh && ahead, "{verdict:?}");
    match verdict {
        Ok(accepted) => {
            assert_eq!((accepted.seen.sequence, accepted.seen.expires), (decoded.sequence, decoded.expires));
            assert_eq!(accepted.manifest, decoded);
            assert!(grant.tables(&decoded).all(|table| table.repo.as_str() == "core"));
        }
        Err(RefusalError::Older { has, offered }) => assert!(offered < has),
        Err(_) => {}
    }
});

fn grant(ipns: bool, minisign: bool) -> Grant {
    Grant {
        ipns: ipns.then(|| Name::from_key(IPNS.verifying_key().to_bytes())),
        minisign: minisign.then(|| MINISIGN.public()),
        repos: vec![RepoName::new("core").expect("a plain name")],
    }
}

fn floor(choices: &mut Choices, manifest: &[u8]) -> Option<SeenSequence> {
    let sequence = NOW - 2 + choices.below(5) as u64;
    match choices.below(4) {
        0 => None,
        1 => Some(SeenSequence { sequence, manifest: Sha256::of(manifest), fetched: 1, expires: 2 }),
        _ => Some(SeenSequence { sequence, manifest: Sha256::of(b"another"), fetched: 1, expires: 2 }),
    }
}

fn honest(manifest: &Manifest, bytes: &[u8], ipns: bool, minisign: bool) -> IndexOffer {
    let cid = Cid::raw(Sha256::of(bytes));
    let entries = [dir::DirectoryEntry { name: "pkgswarm.json".to_owned(), cid, dag_size: bytes.len() as u64 }];
    let mut root = None;
    let built = dir::build(&entries, |block| root = Some(block.bytes)).expect("one entry makes a directory");
    let record = IpnsRecord { value: format!("/ipfs/{}", built.root), sequence: 1, expires: NOW + 9, ttl: 1 };
    IndexOffer {
        manifest: bytes.to_vec(),
        minisig: minisign.then(|| MINISIGN.sign(bytes, manifest.sequence, manifest.expires).into_bytes()),
        record: ipns.then(|| record.sign(&IPNS)),
        root,
    }
}
