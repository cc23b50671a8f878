//! The two layers of an IPNS record: a protobuf around a DAG-CBOR map.

use ed25519_dalek::{Signer as _, SigningKey};
use minicbor::{Decoder, Encoder};

use super::{IpnsRecord, RecordError};
use crate::base::protobuf::{Fields, ProtobufError, ProtobufWriter};
use crate::base::size::RECORD_MOST;
use crate::index::time;

/// The protobuf layer. All fields but `data` and `signature_v2` are unsigned copies for old readers.
#[derive(Default)]
pub(super) struct IpnsEntry<'a> {
    value: Option<&'a [u8]>,
    signature_v1: Option<&'a [u8]>,
    validity_type: Option<u64>,
    validity: Option<&'a [u8]>,
    sequence: Option<u64>,
    ttl: Option<u64>,
    pub(super) public_key: Option<&'a [u8]>,
    pub(super) signature_v2: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
}

/// The signed layer.
pub(super) struct Data<'a> {
    pub(super) value: &'a [u8],
    pub(super) validity: &'a [u8],
    pub(super) validity_type: u64,
    pub(super) sequence: u64,
    /// Nanoseconds.
    pub(super) ttl: u64,
}

impl<'a> IpnsEntry<'a> {
    pub(super) fn decode(record: &'a [u8]) -> Result<Self, RecordError> {
        const BAD: fn(ProtobufError) -> RecordError = |_| RecordError::Malformed("it is not the expected protobuf");
        if record.len() > RECORD_MOST {
            return Err(RecordError::TooBig(record.len()));
        }
        let mut entry = Self::default();
        for field in Fields::of(record) {
            let field = field.map_err(BAD)?;
            match field.number {
                1 => entry.value = Some(field.bytes().map_err(BAD)?),
                2 => entry.signature_v1 = Some(field.bytes().map_err(BAD)?),
                3 => entry.validity_type = Some(field.varint().map_err(BAD)?),
                4 => entry.validity = Some(field.bytes().map_err(BAD)?),
                5 => entry.sequence = Some(field.varint().map_err(BAD)?),
                6 => entry.ttl = Some(field.varint().map_err(BAD)?),
                7 => entry.public_key = Some(field.bytes().map_err(BAD)?),
                8 => entry.signature_v2 = Some(field.bytes().map_err(BAD)?),
                9 => entry.data = Some(field.bytes().map_err(BAD)?),
                _ => {}
            }
        }
        entry.public_key = entry.public_key.filter(|key| !key.is_empty());
        Ok(entry)
    }

    /// Compares the unsigned fields. With a V1 signature or value every V1 field counts, a missing one as zero, as
    /// in boxo (`ipns/validation.go`); without them only fields that are present.
    pub(super) fn agrees_with(&self, signed: &Data<'_>) -> Result<(), RecordError> {
        let strict = self.signature_v1.is_some_and(|s| !s.is_empty()) || self.value.is_some_and(|v| !v.is_empty());
        let bytes = |unsigned: Option<&[u8]>, signed: &[u8]| match unsigned {
            None => !strict || signed.is_empty(),
            Some(unsigned) => unsigned == signed,
        };
        let number = |unsigned: Option<u64>, signed: u64| match unsigned {
            None => !strict || signed == 0,
            Some(unsigned) => unsigned == signed,
        };
        for (agrees, field) in [
            (bytes(self.value, signed.value), "value"),
            (bytes(self.validity, signed.validity), "validity"),
            (number(self.validity_type, signed.validity_type), "validity type"),
            (number(self.sequence, signed.sequence), "sequence"),
            (number(self.ttl, signed.ttl), "ttl"),
        ] {
            if !agrees {
                return Err(RecordError::Contradiction(field));
            }
        }
        Ok(())
    }
}

impl<'a> Data<'a> {
    pub(super) fn decode(data: &'a [u8]) -> Result<Self, RecordError> {
        let bad = |_| RecordError::Malformed("its signed data is not the expected CBOR");
        let mut cbor = Decoder::new(data);
        let (mut value, mut validity, mut validity_type, mut sequence, mut ttl) = (None, None, None, None, None);
        // DAG-CBOR has no maps of unknown length.
        let pairs = cbor.map().map_err(bad)?.ok_or(RecordError::Malformed("its CBOR map has no length"))?;
        for _ in 0..pairs {
            let twice = match cbor.str().map_err(bad)? {
                "Value" => value.replace(cbor.bytes().map_err(bad)?).is_some(),
                "Validity" => validity.replace(cbor.bytes().map_err(bad)?).is_some(),
                "ValidityType" => validity_type.replace(cbor.u64().map_err(bad)?).is_some(),
                "Sequence" => sequence.replace(cbor.u64().map_err(bad)?).is_some(),
                "TTL" => ttl.replace(cbor.u64().map_err(bad)?).is_some(),
                _ => {
                    cbor.skip().map_err(bad)?;
                    false
                }
            };
            if twice {
                return Err(RecordError::Malformed("its CBOR names a field twice"));
            }
        }
        if cbor.position() != data.len() {
            return Err(RecordError::Malformed("bytes follow its CBOR"));
        }
        match (value, validity, validity_type, sequence, ttl) {
            (Some(value), Some(validity), Some(validity_type), Some(sequence), Some(ttl)) => {
                Ok(Self { value, validity, validity_type, sequence, ttl })
            }
            _ => Err(RecordError::Malformed("its CBOR lacks a field")),
        }
    }
}

/// Returns the bytes that the V2 signature covers.
pub(super) fn to_sign(data: &[u8]) -> Vec<u8> {
    [b"ipns-signature:", data].concat()
}

pub(super) fn sign(record: &IpnsRecord, key: &SigningKey) -> Vec<u8> {
    let mut cbor = Encoder::new(Vec::new());
    // Keys in DAG-CBOR order: shorter first, then by byte.
    cbor.map(5)
        .and_then(|c| c.str("TTL")?.u64(record.ttl.saturating_mul(1_000_000_000)))
        .and_then(|c| c.str("Value")?.bytes(record.value.as_bytes()))
        .and_then(|c| c.str("Sequence")?.u64(record.sequence))
        .and_then(|c| c.str("Validity")?.bytes(time::to_rfc3339(record.expires).as_bytes()))
        .and_then(|c| c.str("ValidityType")?.u8(0))
        .expect("writing to memory does not fail");
    sign_data(&cbor.into_writer(), key)
}

pub(super) fn sign_data(data: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&to_sign(data)).to_bytes();
    ProtobufWriter::default().bytes(8, &signature).bytes(9, data).finish()
}
