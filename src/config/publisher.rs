//! The keys of a publisher as a user writes them: an IPNS name and a minisign key. An index is proven by them
//! (`index/ipns.rs`, `index/minisign.rs`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::str::FromStr;

use cid::multibase::Base;

/// The beginning of an Ed25519 public key inside a libp2p key: protobuf {type = 1, data = 32 bytes}.
pub(crate) const KEY_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];
/// CIDv1, codec libp2p-key, multihash identity of 36 bytes.
const NAME_PREFIX: [u8; 4] = [0x01, 0x72, 0x00, 0x24];

/// An IPNS name with an Ed25519 key: `k51…`, also read as `bafz…` and as the peer id `12D3Koo…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; 32]);

/// The reason why a text is not such a name. Trying again does not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IpnsNameError {
    /// Neither a multibase text nor a peer id, or cut short.
    #[error("not an IPNS name: expected a text like k51… or 12D3Koo…")]
    Malformed,
    /// A key of another kind, for example RSA (`Qm…`), which is not inside the name.
    #[error("only IPNS names with an Ed25519 key are supported")]
    NotEd25519,
}

impl Name {
    /// Makes the name of this public key.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn from_key(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Returns the Ed25519 public key in the name.
    pub fn key(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 40];
        bytes[..4].copy_from_slice(&NAME_PREFIX);
        bytes[4..8].copy_from_slice(&KEY_PREFIX);
        bytes[8..].copy_from_slice(&self.0);
        f.write_str(&cid::multibase::encode(Base::Base36Lower, bytes))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = IpnsNameError;

    fn from_str(text: &str) -> Result<Self, IpnsNameError> {
        let text = text.strip_prefix("/ipns/").unwrap_or(text);
        if text.len() > 128 || !text.is_ascii() {
            return Err(IpnsNameError::Malformed);
        }
        let bytes = if text.starts_with("12D3Koo") || text.starts_with("Qm") {
            // A peer id is a bare multihash; with CID framing in front it is the same name.
            let multihash = Base::Base58Btc.decode(text).map_err(|_| IpnsNameError::Malformed)?;
            [&NAME_PREFIX[..2], &multihash].concat()
        } else {
            cid::multibase::decode(text).map_err(|_| IpnsNameError::Malformed)?.1
        };
        let key = bytes.strip_prefix(&NAME_PREFIX).and_then(|rest| rest.strip_prefix(&KEY_PREFIX));
        let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok());
        key.map(Self).ok_or(if bytes.starts_with(&NAME_PREFIX[..2]) && bytes.len() > 8 {
            IpnsNameError::NotEd25519
        } else {
            IpnsNameError::Malformed
        })
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A minisign public key (`RWQ…`), compared by its bytes, not by its comment.
#[derive(Clone)]
pub struct PublicKey {
    pub(crate) key: minisign_verify::PublicKey,
    pub(crate) text: String,
}

/// The reason why a text is not a minisign public key. Trying again does not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a minisign public key: expected RWQ… or the content of a .pub file")]
pub struct KeyError;

impl PublicKey {
    /// Returns the key's number as minisign prints it: 16 hexadecimal digits, for people to compare.
    pub fn fingerprint(&self) -> String {
        let bytes = Base::Base64Pad.decode(&self.text).expect("the text was written by from_str");
        bytes[2..10].iter().rev().map(|byte| format!("{byte:02X}")).collect()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > 2048 {
            return Err(KeyError);
        }
        let line = match text.trim().split_once('\n') {
            Some((comment, key)) if comment.starts_with("untrusted comment:") => key.trim(),
            Some(_) => return Err(KeyError),
            None => text.trim(),
        };
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| KeyError)?;
        let bytes = Base::Base64Pad.decode(line).map_err(|_| KeyError)?;
        if bytes.len() != 42 {
            return Err(KeyError);
        }
        Ok(Self { key, text: Base::Base64Pad.encode(bytes) })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PublicKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_the_same_name() {
        let name: Name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8".parse().unwrap();
        assert_eq!(name.to_string(), "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8");
        let bytes = [&NAME_PREFIX[..], &KEY_PREFIX, &name.key()].concat();
        let base32 = cid::multibase::encode(Base::Base32Lower, &bytes);
        let peer = Base::Base58Btc.encode(&bytes[2..]);
        assert!(base32.starts_with("bafz") && peer.starts_with("12D3Koo"), "{base32} {peer}");
        for text in [base32, peer, format!("/ipns/{name}")] {
            assert_eq!(text.parse(), Ok(name), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_ed25519_name_is_refused() {
        let rsa = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
        assert_eq!(rsa.parse::<Name>(), Err(IpnsNameError::NotEd25519));
        for bad in ["", "k", "k51", "example.org", "12D3Koo", "12D3Koo0OIl", "ü"] {
            assert_eq!(bad.parse::<Name>(), Err(IpnsNameError::Malformed), "{bad}");
        }
    }
}
