//! The facts about an index that one machine sends another: few enough for a short message, and self-proving.
//!
//! With an IPNS name that is the record, from which everything else follows by hash. Without one it is the CID of
//! the manifest and its signature. A source of the blocks is not named: the answering neighbour offers them too.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;
use crate::base::protobuf::{Fields, ProtobufError, ProtobufWriter};

use super::minisign::SIGNATURE_MOST;
use crate::base::size::RECORD_MOST;

/// A received message, unproven.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Passed {
    /// The IPNS record.
    pub record: Option<Vec<u8>>,
    /// The manifest's CID.
    pub manifest: Option<Cid>,
    /// `pkgswarm.json.minisig`
    pub minisig: Option<Vec<u8>>,
}

impl Passed {
    /// Reads a message: field 1 is the record, 2 the manifest's CID, 3 the signature. A field beyond its limit
    /// counts as missing.
    ///
    /// # Errors
    /// Not protocol buffers.
    pub fn read(bytes: &[u8]) -> Result<Self, ProtobufError> {
        let mut passed = Self::default();
        for field in Fields::of(bytes) {
            let field = field?;
            let within = |most| Ok::<_, ProtobufError>(Some(field.bytes()?).filter(|it| it.len() <= most));
            match field.number {
                1 => passed.record = within(RECORD_MOST)?.map(<[u8]>::to_vec),
                2 => passed.manifest = Cid::from_bytes(field.bytes()?).ok(),
                3 => passed.minisig = within(SIGNATURE_MOST)?.map(<[u8]>::to_vec),
                _ => {}
            }
        }
        Ok(passed)
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let mut out = ProtobufWriter::default();
        let manifest = self.manifest.map(|cid| cid.to_bytes());
        for (number, field) in [(1, &self.record), (2, &manifest), (3, &self.minisig)] {
            if let Some(bytes) = field {
                out.bytes(number, bytes);
            }
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_back_and_what_is_too_long_is_left_out() {
        let manifest = Some(Cid::raw(Sha256::of(b"x")));
        let passed = Passed { record: Some(vec![1; RECORD_MOST]), manifest, minisig: Some(vec![2; SIGNATURE_MOST]) };
        assert_eq!(Passed::read(&passed.write()), Ok(passed.clone()));
        let long =
            Passed { record: Some(vec![1; RECORD_MOST + 1]), minisig: Some(vec![2; SIGNATURE_MOST + 1]), ..passed };
        assert_eq!(Passed::read(&long.write()), Ok(Passed { manifest, ..Passed::default() }));
        assert_eq!(Passed::read(b""), Ok(Passed::default()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Passed::read(&bytes);
        }
    }
}
