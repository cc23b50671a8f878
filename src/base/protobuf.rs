//! Protocol buffers, as far as UnixFS nodes and IPNS records need them: fields in, fields out.
//!
//! A generated reader would bring a build step and a dependency for four small messages, and would accept forms
//! that must be refused here: these bytes come from strangers and are hashed, so there is one spelling for each
//! value.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

/// The reason why bytes are not a message. Trying again does not help; other bytes may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The message ends within a field.
    #[error("the message is cut off")]
    Truncated,
    /// A varint of more than 64 bits, or one written longer than it needs to be.
    #[error("a varint is written in more bytes than its value takes")]
    LongVarint,
    /// A field number outside 1 to 2^29-1 (protobuf encoding guide).
    #[error("field number {0} does not exist")]
    FieldNumber(u64),
    /// Groups (3, 4), which were given up before UnixFS began, or no wire type at all (6, 7).
    #[error("wire type {0} is not supported")]
    WireType(u8),
    /// A known field that holds another type of value than its message defines.
    #[error("field {0} has the wrong type")]
    FieldType(u32),
}

/// The value of a field. The wire type follows from the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// Wire type 0: integers, booleans, enumerations.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: bytes, text, nested messages.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// One field: its number and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The number, 1 to 2^29-1.
    pub number: u32,
    /// The value.
    pub value: FieldValue<'a>,
}

impl<'a> Field<'a> {
    /// Returns the integer in it.
    ///
    /// # Errors
    /// `FieldType` when it holds another type.
    pub fn varint(&self) -> Result<u64, ProtobufError> {
        match self.value {
            FieldValue::Varint(value) => Ok(value),
            _ => Err(ProtobufError::FieldType(self.number)),
        }
    }

    /// Returns the bytes in it.
    ///
    /// # Errors
    /// `FieldType` when it holds another type.
    pub fn bytes(&self) -> Result<&'a [u8], ProtobufError> {
        match self.value {
            FieldValue::Bytes(value) => Ok(value),
            _ => Err(ProtobufError::FieldType(self.number)),
        }
    }
}

/// A reader of a message, field by field, in the order written, repeated fields as often as they occur.
///
/// Borrows from the message and allocates nothing, so a message costs no more than its own length. Ends after the first
/// error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads the fields of `message`.
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, ProtobufError> {
        let key = varint(&mut self.rest)?;
        let number = key >> 3;
        let number = match u32::try_from(number) {
            Ok(small @ 1..=0x1fff_ffff) => small,
            _ => return Err(ProtobufError::FieldNumber(number)),
        };
        let value = match (key & 7) as u8 {
            0 => FieldValue::Varint(varint(&mut self.rest)?),
            1 => FieldValue::Fixed64(u64::from_le_bytes(take_array(&mut self.rest)?)),
            2 => {
                let length = varint(&mut self.rest)?;
                FieldValue::Bytes(take(&mut self.rest, length)?)
            }
            5 => FieldValue::Fixed32(u32::from_le_bytes(take_array(&mut self.rest)?)),
            other => return Err(ProtobufError::WireType(other)),
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Reads a varint off the front of `input` (1 to 10 bytes). On an error `input` is somewhere within it.
///
/// # Errors
/// `Truncated` and `LongVarint`.
pub fn varint(input: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().ok_or(ProtobufError::Truncated)?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit; a last byte of zero adds nothing to the value.
        if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
            return Err(ProtobufError::LongVarint);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ProtobufError::LongVarint)
}

/// Appends `value` as a varint.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Returns the number of bytes that [`push_varint`] writes for `value`: 1 to 10.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A writer of a message; fields come out in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct ProtobufWriter(Vec<u8>);

impl ProtobufWriter {
    /// Begins a message with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds an integer field, zero included.
    pub fn varint(&mut self, number: u32, value: u64) -> &mut Self {
        push_varint(&mut self.0, u64::from(number) << 3);
        push_varint(&mut self.0, value);
        self
    }

    /// Adds a field of bytes, text or a nested message, empty included.
    pub fn bytes(&mut self, number: u32, value: &[u8]) -> &mut Self {
        push_varint(&mut self.0, u64::from(number) << 3 | 2);
        push_varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Returns the message.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

fn take<'a>(input: &mut &'a [u8], length: u64) -> Result<&'a [u8], ProtobufError> {
    let length = usize::try_from(length).map_err(|_| ProtobufError::Truncated)?;
    let (taken, rest) = input.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
    *input = rest;
    Ok(taken)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], ProtobufError> {
    let (taken, rest) = input.split_first_chunk().ok_or(ProtobufError::Truncated)?;
    *input = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &[u8]) -> Result<Vec<Field<'_>>, ProtobufError> {
        Fields::of(message).collect()
    }

    #[test]
    fn examples_of_the_encoding_guide_are_read() {
        // protobuf.dev, "Encoding": {1: 150}, {2: "testing"}, {3: {1: 150}}.
        assert_eq!(read(&[0x08, 0x96, 0x01]).unwrap()[0].varint(), Ok(150));
        assert_eq!(read(b"\x12\x07testing").unwrap()[0].bytes(), Ok(&b"testing"[..]));
        let nested = read(&[0x1a, 0x03, 0x08, 0x96, 0x01]).unwrap()[0];
        assert_eq!((nested.number, nested.bytes()), (3, Ok(&[0x08, 0x96, 0x01][..])));
        assert_eq!(nested.varint(), Err(ProtobufError::FieldType(3)));
    }

    #[test]
    fn a_value_has_one_spelling() {
        for long in [&[0x80, 0x00][..], &[0x81, 0x80, 0x00], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(varint(&mut &*long), Err(ProtobufError::LongVarint), "{long:x?}");
        }
        let mut max = vec![0xff; 9];
        max.push(0x01);
        assert_eq!(varint(&mut &max[..]), Ok(u64::MAX));
        max[9] = 0x02;
        assert_eq!(varint(&mut &max[..]), Err(ProtobufError::LongVarint));
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_refused_with_the_reason() {
        for cut in [&[0x08][..], &[0x08, 0x96], &[0x12], &[0x12, 0x05, b'a'], &[0x09, 0, 0], &[0x0d, 0, 0, 0]] {
            assert_eq!(read(cut), Err(ProtobufError::Truncated), "{cut:x?}");
        }
        let mut huge = vec![0x12];
        push_varint(&mut huge, u64::MAX);
        assert_eq!(read(&huge), Err(ProtobufError::Truncated));
        assert_eq!(read(&[0x0b]), Err(ProtobufError::WireType(3)));
        assert_eq!(read(&[0x00]), Err(ProtobufError::FieldNumber(0)));
        assert_eq!(Fields::of(&[0x0b, 0x0b]).count(), 1, "reading ends at the first error");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(number in 1u32..0x2000_0000, value: u64, bytes: Vec<u8>) {
            let message = ProtobufWriter::default().varint(number, value).bytes(number, &bytes).finish();
            let fields = read(&message).unwrap();
            prop_assert_eq!(fields[0].varint(), Ok(value));
            prop_assert_eq!(fields[1].bytes(), Ok(&bytes[..]));
            prop_assert!(fields.iter().all(|field| field.number == number));
        }

        #[test]
        fn the_length_of_a_varint_is_known_beforehand(shift in 0u32..64, low: u64) {
            let value = low >> shift;
            let mut out = Vec::new();
            push_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            prop_assert_eq!(varint(&mut &out[..]), Ok(value));
        }
    }
}
