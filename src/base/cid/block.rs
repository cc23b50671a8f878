//! The CIDs that are made here, in a fifth of the memory.

use std::fmt;
use std::str::FromStr;

use super::{Cid, CidError, Codec};
use crate::base::digest::Sha256;

/// The CIDv1 of a block, by its sha2-256: what is made here. A [`Cid`] takes 160 bytes, since it may hold a block; this
/// takes 33, for those of which tens of thousands are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockCid {
    codec: Codec,
    digest: Sha256,
}

impl BlockCid {
    /// Returns the same CID in less memory; `None` for one of version 0, and for one that holds its block.
    pub(crate) fn of(cid: Cid) -> Option<Self> {
        let compact = Self { codec: cid.codec(), digest: cid.digest() };
        (Cid::from(compact) == cid).then_some(compact)
    }

    /// Makes that of a raw block.
    pub(crate) fn raw(digest: Sha256) -> Self {
        Self { codec: Codec::Raw, digest }
    }

    /// Returns the encoding of its block.
    pub(crate) fn codec(self) -> Codec {
        self.codec
    }

    /// Returns the sha2-256 of its block.
    pub(crate) fn digest(self) -> Sha256 {
        self.digest
    }
}

impl From<BlockCid> for Cid {
    fn from(BlockCid { codec, digest }: BlockCid) -> Self {
        match codec {
            Codec::Raw => Self::raw(digest),
            Codec::DagPb => Self::dag_pb(digest),
        }
    }
}

impl PartialEq<Cid> for BlockCid {
    fn eq(&self, other: &Cid) -> bool {
        Cid::from(*self) == *other
    }
}

impl fmt::Display for BlockCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cid::from(*self).fmt(f)
    }
}

impl fmt::Debug for BlockCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlockCid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        Self::of(text.parse()?).ok_or_else(|| CidError::Malformed("version 1 is expected".to_owned()))
    }
}

impl serde::Serialize for BlockCid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for BlockCid {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_here_is_the_same_in_less_memory_and_nothing_else_is_taken_for_it() {
        let digest = Sha256::of(b"x");
        for cid in [Cid::raw(digest), Cid::dag_pb(digest)] {
            let compact = BlockCid::of(cid).unwrap();
            assert_eq!((Cid::from(compact), compact.codec(), compact.digest()), (cid, cid.codec(), digest));
            assert_eq!((compact.to_string(), cid.to_string().parse()), (cid.to_string(), Ok(compact)));
            let json = serde_json::to_string(&compact).unwrap();
            assert_eq!((&json, serde_json::from_str(&json).unwrap()), (&serde_json::to_string(&cid).unwrap(), compact));
        }
        assert!(size_of::<BlockCid>() * 4 < size_of::<Cid>());
        let inline = Cid::of_link(&[&[1, 0x55, 0, 5][..], b"hello"].concat()).unwrap();
        let old: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn".parse().unwrap();
        assert_eq!([inline, old].map(BlockCid::of), [None, None]);
        assert!(old.to_string().parse::<BlockCid>().is_err());
    }
}
