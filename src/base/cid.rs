//! Content ids as values: the kinds that are accepted, and the two that are made here.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::str::FromStr;

use cid::multibase::{self, Base};
use multihash::Multihash;

use crate::base::digest::Sha256;

mod block;

pub(crate) use block::BlockCid;

// Multicodec table.
const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const LIBP2P_KEY: u64 = 0x72;

/// Most bytes of a digest. Kubo takes identity CIDs of up to 128 bytes (boxo 0.42, `verifcid/allowlist.go`).
const DIGEST_MOST: usize = 128;

/// Longest text of a CID that is read: 128 bytes and their prefix, in base 16.
const TEXT_MOST: usize = 300;

type Wide = cid::CidGeneric<DIGEST_MOST>;

/// A CID whose multihash is sha2-256 and whose codec is `raw` or `dag-pb`, the kinds that files consist of. Read
/// by [`Cid::of_link`] or [`Cid::of_address`] it may hold its whole block instead (identity), as `ipfs add
/// --inline` does for small files.
///
/// CIDv0 and CIDv1 of the same block are different values, since their texts differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid(Wide);

/// A CID of any codec and any hash, as foreign nodes link to: can be compared, but not read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnyCid(Wide);

/// The encoding of a block (multicodec table: raw 0x55, dag-pb 0x70).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Codec {
    /// The block is a piece of the file.
    Raw,
    /// The block is a UnixFS node.
    DagPb,
}

/// The reason why a text or byte string is not a CID of an accepted kind. Trying again does not help.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CidError {
    /// Not a CID at all.
    #[error("not a CID: {0}")]
    Malformed(String),
    /// A CID of something that is not a file, for example a key or CBOR.
    #[error("CID codec {} is not supported; files have raw (0x55) or dag-pb (0x70)", codec_name(*.0))]
    Codec(u64),
    /// A hash other than sha2-256.
    #[error("CID hash {} is not supported; only sha2-256 (0x12) is", hash_name(*.0))]
    Hash(u64),
}

impl CidError {
    /// Returns true for a CID of a kind that is not read here.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self, CidError::Codec(_) | CidError::Hash(_))
    }

    /// Returns true for the name of a key: an IPNS name.
    pub(crate) fn is_key(&self) -> bool {
        *self == CidError::Codec(LIBP2P_KEY)
    }
}

/// Prints the number of a codec, with its name for the common ones (multicodec table).
fn codec_name(code: u64) -> String {
    named(code, &[(0x71, "dag-cbor"), (0x72, "libp2p-key"), (0x78, "git-raw"), (0x129, "dag-json"), (0x202, "car")])
}

/// Prints the number of a hash in the same way.
fn hash_name(code: u64) -> String {
    named(code, &[(0, "identity"), (0x11, "sha1"), (0x13, "sha2-512"), (0x1e, "blake3"), (0xb220, "blake2b-256")])
}

fn named(code: u64, names: &[(u64, &str)]) -> String {
    match names.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => format!("{name} ({code:#x})"),
        None => format!("{code:#x}"),
    }
}

impl Cid {
    /// Makes the CIDv1 of a raw block with this digest. For a file of at most 1 MiB it is the file's own CID.
    pub fn raw(digest: Sha256) -> Self {
        Self::v1(RAW, digest)
    }

    /// Makes the CIDv1 of a dag-pb block with this digest.
    pub fn dag_pb(digest: Sha256) -> Self {
        Self::v1(DAG_PB, digest)
    }

    /// Reads the binary form, as found in messages and CAR files.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        Self::accept(of_bytes(bytes)?, false)
    }

    /// Reads the binary form as found in dag-pb links, which may hold the block itself.
    pub fn of_link(bytes: &[u8]) -> Result<Self, CidError> {
        Self::accept(of_bytes(bytes)?, true)
    }

    /// Reads the text that a user gives, which may hold the block itself.
    pub fn of_address(text: &str) -> Result<Self, CidError> {
        Self::accept(of_bytes(&bytes_of(text)?)?, true)
    }

    /// Returns the block if the CID itself holds it; then no source needs to be asked.
    pub fn inline(&self) -> Option<&[u8]> {
        (self.0.hash().code() == IDENTITY).then(|| self.0.hash().digest())
    }

    /// Returns the binary form (36 bytes for CIDv1, 34 for CIDv0).
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Returns the encoding of its block.
    pub fn codec(&self) -> Codec {
        if self.0.codec() == RAW { Codec::Raw } else { Codec::DagPb }
    }

    /// Returns the sha2-256 of its block.
    pub fn digest(&self) -> Sha256 {
        if let Some(block) = self.inline() {
            return Sha256::of(block);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.hash().digest());
        Sha256(digest)
    }

    /// Returns true when `block` is the block that this CID names. All proof of content comes down to this.
    pub fn proves(&self, block: &[u8]) -> bool {
        Sha256::of(block) == self.digest()
    }

    fn v1(codec: u64, digest: Sha256) -> Self {
        let hash = Multihash::wrap(SHA2_256, &digest.0).expect("a multihash holds 128 bytes, a sha256 has 32");
        Self(Wide::new_v1(codec, hash))
    }

    fn accept(cid: Wide, inline: bool) -> Result<Self, CidError> {
        let hash = cid.hash();
        match cid.codec() {
            RAW | DAG_PB => {}
            other => return Err(CidError::Codec(other)),
        }
        match hash.code() {
            SHA2_256 if hash.digest().len() == 32 => Ok(Self(cid)),
            IDENTITY if inline => Ok(Self(cid)),
            other => Err(CidError::Hash(other)),
        }
    }
}

impl AnyCid {
    /// Reads the binary form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        of_bytes(bytes).map(Self)
    }

    /// Returns the sha2-256 of its block, if its hash is of that kind.
    pub(crate) fn sha256(&self) -> Option<Sha256> {
        let hash = self.0.hash();
        let digest = hash.digest().try_into().ok().filter(|_| hash.code() == SHA2_256);
        digest.map(Sha256)
    }

    /// Returns true when its block links to nothing.
    pub(crate) fn is_leaf(&self) -> bool {
        self.0.codec() == RAW
    }

    /// Converts it to a CID whose block is read here.
    pub fn readable(self) -> Result<Cid, CidError> {
        Cid::accept(self.0, true)
    }
}

impl fmt::Display for AnyCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AnyCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AnyCid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        of_bytes(&bytes_of(text)?).map(Self)
    }
}

/// Reads the binary form, all of it.
fn of_bytes(bytes: &[u8]) -> Result<Wide, CidError> {
    let cid = Wide::try_from(bytes).map_err(|e| CidError::Malformed(e.to_string()))?;
    // The cid crate (0.11.3) stops reading at the end of the multihash and ignores what follows.
    if cid.to_bytes() != bytes {
        return Err(CidError::Malformed("more bytes than a CID has".to_owned()));
    }
    Ok(cid)
}

/// Decodes a text, in whatever base, to the binary form.
fn bytes_of(text: &str) -> Result<Vec<u8>, CidError> {
    // The cid crate would also take "/ipfs/CID", and overlook bytes that follow a CID: one CID, many texts.
    if text.len() > TEXT_MOST || !text.is_ascii() || text.contains('/') {
        return Err(CidError::Malformed("expected a text like bafkrei… or Qm…".to_owned()));
    }
    let bytes = match cid::Version::is_v0_str(text) {
        true => Base::Base58Btc.decode(text),
        false => multibase::decode(text).map(|(_, bytes)| bytes),
    };
    bytes.map_err(|e| CidError::Malformed(e.to_string()))
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        Self::from_bytes(&bytes_of(text)?)
    }
}

impl serde::Serialize for Cid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Cid {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_cid_follows_from_the_sha256_alone() {
        // The empty raw block, as in the trustless gateway specification.
        let cid = Cid::raw(Sha256::of(b""));
        assert_eq!(cid.to_string(), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
        assert_eq!(cid.to_string().parse(), Ok(cid));
        assert_eq!(Cid::from_bytes(&cid.to_bytes()), Ok(cid));
        assert!(Cid::from_bytes(&[cid.to_bytes(), vec![0]].concat()).is_err());
        assert_eq!((cid.codec(), cid.proves(b""), cid.proves(b"x")), (Codec::Raw, true, false));
    }

    #[test]
    fn version_0_is_read_as_dag_pb() {
        let cid: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn".parse().unwrap();
        assert_eq!(cid.codec(), Codec::DagPb);
    }

    #[test]
    fn a_text_with_more_bytes_than_a_cid_is_refused() {
        let bytes = Cid::raw(Sha256::of(b"")).to_bytes();
        let text = |bytes: &[u8]| multibase::encode(Base::Base32Lower, bytes);
        assert!(text(&bytes).parse::<Cid>().is_ok());
        assert!(matches!(text(&[&bytes[..], b"x"].concat()).parse::<Cid>(), Err(CidError::Malformed(_))));
    }

    #[test]
    fn a_cid_that_holds_its_block_is_read_where_links_and_addresses_are() {
        // The identity CID of `hello`.
        let text = "bafkqabligvwgy3y";
        let bytes = [&[1, 0x55, 0, 5][..], b"hello"].concat();
        let cid = Cid::of_link(&bytes).unwrap();
        assert_eq!(Cid::of_address(&cid.to_string()), Ok(cid));
        assert_eq!((cid.inline(), cid.digest()), (Some(&b"hello"[..]), Sha256::of(b"hello")));
        assert_eq!((cid.proves(b"hello"), cid.proves(b"hellO")), (true, false));
        assert_eq!(Cid::from_bytes(&bytes), Err(CidError::Hash(0)), "not where blocks are named for others");
        assert!(cid.to_string().starts_with(&text[..8]), "{cid}");
        for (len, good) in [(0, true), (128, true), (129, false)] {
            let long = [&[1, 0x55, 0][..], if len < 128 { &[0] } else { &[(len & 127) as u8 | 128, 1] }, &vec![7; len]];
            assert_eq!(Cid::of_link(&long.concat()).is_ok(), good, "{len}");
        }
    }

    #[test]
    fn a_foreign_cid_is_named_by_its_kind() {
        let cbor: AnyCid = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae".parse().unwrap();
        let refused = cbor.readable().unwrap_err();
        assert_eq!((refused.is_foreign(), refused.is_key()), (true, false));
        assert!(refused.to_string().contains("dag-cbor"), "{refused}");
        assert!(CidError::Hash(0x13).to_string().contains("sha2-512"));
        assert!(CidError::Codec(0x300).to_string().contains("0x300"));
    }

    #[test]
    fn what_is_not_a_file_is_refused_with_the_reason() {
        let key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        assert!(matches!(key.parse::<Cid>(), Err(CidError::Hash(_) | CidError::Codec(_))));
        for bad in ["", "bafk", "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "ü"] {
            assert!(matches!(bad.parse::<Cid>(), Err(CidError::Malformed(_))), "{bad}");
        }
    }
}
