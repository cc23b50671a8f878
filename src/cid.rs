//! Content ids as values: which kinds are accepted, and the two that are made here.

use std::fmt;
use std::str::FromStr;

use cid::multibase::{self, Base};
use multihash::Multihash;

use crate::digest::Sha256;

const SHA2_256: u64 = 0x12;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// A CID whose multihash is sha2-256 and whose codec is `raw` or `dag-pb`: all that files are made of.
///
/// CIDv0 and CIDv1 of the same block are different values, as their texts are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid(cid::Cid);

/// How the bytes of a block are to be read (multicodec table: raw 0x55, dag-pb 0x70).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// The block is a piece of the file.
    Raw,
    /// The block is a UnixFS node.
    DagPb,
}

/// Why a text or byte string is not a CID of ours. Trying again does not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCid {
    /// Not a CID at all.
    #[error("not a CID: {0}")]
    Malformed(String),
    /// A CID of something that is not a file, for example a key or CBOR.
    #[error("CID codec {0:#x} is not supported; files have raw (0x55) or dag-pb (0x70)")]
    Codec(u64),
    /// A hash other than sha2-256.
    #[error("CID hash {0:#x} is not supported; only sha2-256 (0x12) is")]
    Hash(u64),
}

impl Cid {
    /// CIDv1 of a raw block with this digest. For a file of at most 1 MiB it is the file's own CID.
    pub fn raw(digest: Sha256) -> Self {
        Self::v1(RAW, digest)
    }

    /// CIDv1 of a dag-pb block with this digest.
    pub fn dag_pb(digest: Sha256) -> Self {
        Self::v1(DAG_PB, digest)
    }

    /// Reads the binary form, as found in dag-pb links and CAR files.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadCid> {
        let cid = cid::Cid::try_from(bytes).map_err(|e| BadCid::Malformed(e.to_string()))?;
        // The cid crate (0.11.3) stops reading at the end of the multihash and ignores what follows.
        if cid.to_bytes() != bytes {
            return Err(BadCid::Malformed("more bytes than a CID has".to_owned()));
        }
        Self::accept(cid)
    }

    /// The binary form (36 bytes for CIDv1, 34 for CIDv0).
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// How its block is to be read.
    pub fn codec(&self) -> Codec {
        if self.0.codec() == RAW { Codec::Raw } else { Codec::DagPb }
    }

    /// The sha2-256 of its block.
    pub fn digest(&self) -> Sha256 {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.hash().digest());
        Sha256(digest)
    }

    /// Whether `block` is the block that this CID names: the whole of content verification.
    pub fn proves(&self, block: &[u8]) -> bool {
        Sha256::of(block) == self.digest()
    }

    fn v1(codec: u64, digest: Sha256) -> Self {
        let hash = Multihash::wrap(SHA2_256, &digest.0).expect("a multihash holds 64 bytes, a sha256 has 32");
        Self(cid::Cid::new_v1(codec, hash))
    }

    fn accept(cid: cid::Cid) -> Result<Self, BadCid> {
        let hash = cid.hash();
        if hash.code() != SHA2_256 || hash.digest().len() != 32 {
            return Err(BadCid::Hash(hash.code()));
        }
        match cid.codec() {
            RAW | DAG_PB => Ok(Self(cid)),
            other => Err(BadCid::Codec(other)),
        }
    }
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
    type Err = BadCid;

    fn from_str(text: &str) -> Result<Self, BadCid> {
        // The cid crate would also take "/ipfs/CID", and overlook bytes that follow a CID: one CID, many texts.
        if text.len() > 128 || !text.is_ascii() || text.contains('/') {
            return Err(BadCid::Malformed("expected a text like bafkrei… or Qm…".to_owned()));
        }
        let bytes = match cid::Version::is_v0_str(text) {
            true => Base::Base58Btc.decode(text),
            false => multibase::decode(text).map(|(_, bytes)| bytes),
        };
        Self::from_bytes(&bytes.map_err(|e| BadCid::Malformed(e.to_string()))?)
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
        assert!(matches!(text(&[&bytes[..], b"x"].concat()).parse::<Cid>(), Err(BadCid::Malformed(_))));
    }

    #[test]
    fn what_is_not_a_file_is_refused_with_the_reason() {
        let key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        assert!(matches!(key.parse::<Cid>(), Err(BadCid::Hash(_) | BadCid::Codec(_))));
        for bad in ["", "bafk", "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "ü"] {
            assert!(matches!(bad.parse::<Cid>(), Err(BadCid::Malformed(_))), "{bad}");
        }
    }
}
