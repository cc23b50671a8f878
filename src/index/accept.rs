//! Decides whether an offered index counts, else gives the reason. Pure: `refresh` hands in what ways
//! brought, the daemon a stored copy before it offers that.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use super::ipns::{Name, RecordError};
use super::manifest::{Manifest, ManifestError, Table};
use super::minisign::{PublicKey, SignatureError};
use super::state::SeenSequence;
use crate::base::cid::Codec;
use crate::base::digest::Sha256;
use crate::base::name::RepoName;
use crate::dag::{DagError, dir};

/// The user's trust in a publisher. Every key in it is a proof that is required.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The key of the index's IPNS name.
    pub ipns: Option<Name>,
    /// The key of the manifest's signature.
    pub minisign: Option<PublicKey>,
    /// The only repos that the index may describe.
    pub repos: Vec<RepoName>,
}

/// A source's delivery, all of it unproven.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IndexOffer {
    /// `pkgswarm.json`
    pub manifest: Vec<u8>,
    /// `pkgswarm.json.minisig`
    pub minisig: Option<Vec<u8>>,
    /// The IPNS record.
    pub record: Option<Vec<u8>>,
    /// The block of the directory that the record names.
    pub root: Option<Vec<u8>>,
}

/// An accepted index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptedIndex {
    /// As signed; use [`Grant::tables`] for the repos that it may describe.
    pub manifest: Manifest,
    /// The facts to remember about its keys.
    pub seen: SeenSequence,
}

/// The reason why an offer does not count. The last good copy stays in use.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefusalError {
    /// No key is configured, so no proof is possible.
    #[error("no key is configured for this index, so nothing can prove it")]
    NoKey,
    /// A configured proof was not delivered, or was removed.
    #[error("{0} is required for this index and was not delivered")]
    Missing(&'static str),
    /// The IPNS record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The block that the record names is not a directory, or not that one.
    #[error("what the IPNS record points at is not an index: {0}")]
    Root(#[from] DagError),
    /// The directory has no `pkgswarm.json`.
    #[error("what the IPNS record points at has no pkgswarm.json")]
    NoManifest,
    /// The manifest is not the one in the directory that the record names.
    #[error("the manifest is not the one that the IPNS record points at")]
    OtherManifest,
    /// The minisign signature.
    #[error(transparent)]
    Minisign(#[from] SignatureError),
    /// The manifest itself: malformed, too new, expired, from the future.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Replayed, or from a source with an old copy.
    #[error("older index refused: has {has}, offered {offered}")]
    Older {
        /// Highest sequence seen from this key.
        has: u64,
        /// Sequence of the offer.
        offered: u64,
    },
    /// One sequence, two manifests: the publisher signed both.
    #[error("another index with the same sequence {0} was accepted before; the publisher signed two")]
    TwoFaced(u64),
}

impl Grant {
    /// Returns the keys under which the highest sequence is remembered.
    pub(crate) fn keys(&self) -> Vec<String> {
        let ipns = self.ipns.iter().map(|name| format!("ipns:{name}"));
        ipns.chain(self.minisign.iter().map(|key| format!("minisign:{key}"))).collect()
    }

    /// Returns the keys' fingerprints for people to compare.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        let ipns = self.ipns.iter().map(|name| format!("IPNS {name}"));
        ipns.chain(self.minisign.iter().map(|key| format!("minisign {}  {key}", key.fingerprint()))).collect()
    }

    /// Lists the tables of `manifest` that the user added the publisher for.
    pub fn tables<'m>(&self, manifest: &'m Manifest) -> impl Iterator<Item = &'m Table> {
        manifest.tables.iter().filter(|table| self.repos.contains(&table.repo))
    }

    /// Lists the repos of `manifest` that are ignored, because the user did not add the publisher for them.
    pub(crate) fn ignored<'m>(&self, manifest: &'m Manifest) -> impl Iterator<Item = &'m RepoName> {
        manifest.tables.iter().map(|table| &table.repo).filter(|repo| !self.repos.contains(repo))
    }
}

/// Decides at the time `now` (Unix seconds) whether `offer` counts; `floor` is the remembered state of the grant's
/// keys.
///
/// # Errors
/// See [`RefusalError`]; the whole offer is then to be discarded.
pub fn accept(
    grant: &Grant,
    floor: Option<&SeenSequence>,
    offer: &IndexOffer,
    now: u64,
) -> Result<AcceptedIndex, RefusalError> {
    if grant.ipns.is_none() && grant.minisign.is_none() {
        return Err(RefusalError::NoKey);
    }
    if let Some(name) = &grant.ipns {
        let record = offer.record.as_ref().ok_or(RefusalError::Missing("the IPNS record"))?;
        let root = name.verify(record, now)?.root()?;
        let block = offer.root.as_ref().ok_or(RefusalError::Missing("the block that the IPNS record points at"))?;
        let (manifest, _) = dir::entry(root, block, "pkgswarm.json")?.ok_or(RefusalError::NoManifest)?;
        // A manifest has at most 1 MiB, so that it is always one raw block.
        if manifest.codec() != Codec::Raw || !manifest.proves(&offer.manifest) {
            return Err(RefusalError::OtherManifest);
        }
    }
    let comment = match &grant.minisign {
        Some(key) => {
            let signature = offer.minisig.as_ref().ok_or(RefusalError::Missing("the minisign signature"))?;
            Some(key.verify(&offer.manifest, signature)?)
        }
        None => None,
    };
    let manifest = Manifest::decode(&offer.manifest)?;
    if let Some(comment) = comment {
        comment.agrees(manifest.sequence, manifest.expires)?;
    }
    manifest.check_time(now)?;
    let sha256 = Sha256::of(&offer.manifest);
    match floor {
        Some(floor) if manifest.sequence < floor.sequence => {
            return Err(RefusalError::Older { has: floor.sequence, offered: manifest.sequence });
        }
        Some(floor) if manifest.sequence == floor.sequence && sha256 != floor.manifest => {
            return Err(RefusalError::TwoFaced(manifest.sequence));
        }
        _ => {}
    }
    let seen = SeenSequence { sequence: manifest.sequence, manifest: sha256, fetched: now, expires: manifest.expires };
    Ok(AcceptedIndex { manifest, seen })
}

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::super::ipns::IpnsRecord;
    use super::super::manifest::tests::sample;
    use super::super::minisign::{SecretKey, tests::secret};
    use super::*;
    use crate::base::cid::Cid;

    /// A publisher with both keys.
    pub(crate) struct Publisher {
        pub(crate) ipns: SigningKey,
        pub(crate) minisign: SecretKey,
    }

    impl Publisher {
        pub(crate) fn new() -> Self {
            Self { ipns: SigningKey::from_bytes(&[7; 32]), minisign: secret() }
        }

        pub(crate) fn grant(&self) -> Grant {
            let name = Name::from_key(self.ipns.verifying_key().to_bytes());
            let repos = vec![RepoName::new("core").unwrap()];
            Grant { ipns: Some(name), minisign: Some(self.minisign.public()), repos }
        }

        /// Makes a complete and honest offer of `manifest`.
        pub(crate) fn offer(&self, manifest: &Manifest) -> IndexOffer {
            self.offer_of(manifest.encode(), manifest.sequence, manifest.expires)
        }

        fn offer_of(&self, bytes: Vec<u8>, sequence: u64, expires: u64) -> IndexOffer {
            let entry = |name: &str, bytes: &[u8]| dir::DirectoryEntry {
                name: name.to_owned(),
                cid: Cid::raw(Sha256::of(bytes)),
                dag_size: bytes.len() as u64,
            };
            let minisig = self.minisign.sign(&bytes, sequence, expires).into_bytes();
            let entries = [entry("pkgswarm.json", &bytes), entry("pkgswarm.json.minisig", &minisig)];
            let mut root = None;
            let built = dir::build(&entries, |block| root = Some(block.bytes)).unwrap();
            let record = IpnsRecord { value: format!("/ipfs/{}", built.root), sequence, expires, ttl: 300 };
            IndexOffer { manifest: bytes, minisig: Some(minisig), record: Some(record.sign(&self.ipns)), root }
        }
    }

    fn now() -> u64 {
        sample().sequence + 3600
    }

    fn floor(sequence: u64) -> SeenSequence {
        SeenSequence { sequence, manifest: Sha256::of(&sample().encode()), fetched: 0, expires: 0 }
    }

    #[test]
    fn an_honest_offer_counts_with_either_key_and_with_both() {
        let publisher = Publisher::new();
        let offer = publisher.offer(&sample());
        let both = publisher.grant();
        for grant in [both.clone(), Grant { ipns: None, ..both.clone() }, Grant { minisign: None, ..both.clone() }] {
            let accepted = accept(&grant, None, &offer, now()).unwrap();
            assert_eq!(accepted.manifest, sample());
            assert_eq!((accepted.seen.sequence, accepted.seen.fetched), (sample().sequence, now()));
            assert_eq!(accept(&grant, Some(&accepted.seen), &offer, now()), Ok(accepted));
        }
        assert_eq!(both.keys().len(), 2);
        let none = Grant { ipns: None, minisign: None, ..both };
        assert_eq!(accept(&none, None, &offer, now()), Err(RefusalError::NoKey));
    }

    #[test]
    fn rollback_is_refused_with_both_sequences() {
        let publisher = Publisher::new();
        let refused = accept(&publisher.grant(), Some(&floor(1_790_000_009)), &publisher.offer(&sample()), now());
        let text = refused.unwrap_err().to_string();
        assert_eq!(text, "older index refused: has 1790000009, offered 1790000000");
    }

    #[test]
    fn freeze_ends_when_the_index_expires() {
        let publisher = Publisher::new();
        let grant = Grant { ipns: None, ..publisher.grant() };
        let late = sample().expires + 1;
        let refused = accept(&grant, Some(&floor(1)), &publisher.offer(&sample()), late);
        assert!(matches!(refused, Err(RefusalError::Manifest(ManifestError::Expired { .. }))));
        let refused = accept(&publisher.grant(), None, &publisher.offer(&sample()), late);
        assert!(matches!(refused, Err(RefusalError::Record(RecordError::Expired { .. }))));
    }

    #[test]
    fn fast_forward_is_bounded_to_a_day() {
        let publisher = Publisher::new();
        let far = Manifest { sequence: now() + 86_401, expires: now() * 2, ..sample() };
        let refused = accept(&publisher.grant(), None, &publisher.offer(&far), now());
        assert!(matches!(refused, Err(RefusalError::Manifest(ManifestError::Future { .. }))));
    }

    #[test]
    fn mix_and_match_of_manifest_and_root_is_refused() {
        let publisher = Publisher::new();
        let newer = Manifest { sequence: sample().sequence + 1, ..sample() };
        let (old, new) = (publisher.offer(&sample()), publisher.offer(&newer));
        let grant = publisher.grant();
        let mixed = IndexOffer { manifest: old.manifest.clone(), minisig: old.minisig.clone(), ..new.clone() };
        assert_eq!(accept(&grant, None, &mixed, now()), Err(RefusalError::OtherManifest));
        let mixed = IndexOffer { root: old.root.clone(), ..new.clone() };
        assert!(matches!(accept(&grant, None, &mixed, now()), Err(RefusalError::Root(DagError::NotTheBlock(_)))));
        let mixed = IndexOffer { minisig: old.minisig, ..new };
        assert_eq!(accept(&grant, None, &mixed, now()), Err(RefusalError::Minisign(SignatureError::Forged)));
    }

    #[test]
    fn a_stripped_proof_is_missed() {
        let publisher = Publisher::new();
        let offer = publisher.offer(&sample());
        for (stripped, what) in [
            (IndexOffer { minisig: None, ..offer.clone() }, "the minisign signature"),
            (IndexOffer { record: None, ..offer.clone() }, "the IPNS record"),
            (IndexOffer { root: None, ..offer.clone() }, "the block that the IPNS record points at"),
        ] {
            assert_eq!(accept(&publisher.grant(), None, &stripped, now()), Err(RefusalError::Missing(what)));
        }
    }

    #[test]
    fn key_substitution_is_refused() {
        let (honest, thief) = (Publisher::new(), Publisher::new());
        // The IPNS key was stolen; the minisign key was not.
        let refused = accept(&honest.grant(), None, &thief.offer(&sample()), now());
        assert!(matches!(refused, Err(RefusalError::Minisign(SignatureError::OtherKey { .. }))));
        let other = Publisher { ipns: SigningKey::from_bytes(&[8; 32]), minisign: secret() };
        let refused = accept(&honest.grant(), None, &other.offer(&sample()), now());
        assert_eq!(refused, Err(RefusalError::Record(RecordError::Signature)));
    }

    #[test]
    fn a_root_without_manifest_is_no_index() {
        let publisher = Publisher::new();
        let mut root = None;
        let built = dir::build(&[], |block| root = Some(block.bytes)).unwrap();
        let record = IpnsRecord { value: format!("/ipfs/{}", built.root), sequence: 1, expires: now() + 9, ttl: 1 };
        let record = Some(record.sign(&publisher.ipns));
        let offer = IndexOffer { record, root, ..publisher.offer(&sample()) };
        assert_eq!(accept(&publisher.grant(), None, &offer, now()), Err(RefusalError::NoManifest));
    }

    #[test]
    fn two_manifests_of_one_sequence_are_refused() {
        let publisher = Publisher::new();
        let other = Manifest { publisher: "other".to_owned(), ..sample() };
        let refused = accept(&publisher.grant(), Some(&floor(sample().sequence)), &publisher.offer(&other), now());
        assert_eq!(refused, Err(RefusalError::TwoFaced(sample().sequence)));
    }

    #[test]
    fn a_publisher_speaks_only_for_the_repos_it_was_added_for() {
        let publisher = Publisher::new();
        let mut manifest = sample();
        let extra =
            Table { repo: RepoName::new("extra").unwrap(), databases: Vec::new(), ..manifest.tables[0].clone() };
        manifest.tables.push(extra);
        let grant = publisher.grant();
        let accepted = accept(&grant, None, &publisher.offer(&manifest), now()).unwrap();
        let repos = |tables: Vec<&RepoName>| tables.iter().map(|repo| repo.to_string()).collect::<Vec<_>>();
        assert_eq!(repos(grant.tables(&accepted.manifest).map(|t| &t.repo).collect()), ["core"]);
        assert_eq!(repos(grant.ignored(&accepted.manifest).collect()), ["extra"]);
    }

    proptest! {
        #[test]
        fn no_single_changed_byte_gets_another_index_accepted(part in 0usize..4, at: usize, flip in 1u8..) {
            let publisher = Publisher::new();
            let mut offer = publisher.offer(&sample());
            let bytes = match part {
                0 => &mut offer.manifest,
                1 => offer.minisig.as_mut().unwrap(),
                2 => offer.record.as_mut().unwrap(),
                _ => offer.root.as_mut().unwrap(),
            };
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(accepted) = accept(&publisher.grant(), None, &offer, now()) {
                prop_assert_eq!(accepted.manifest, sample());
            }
        }
    }
}
