//! The section of packages in an unpacked heap: strings, and a tree of attributes that refers to them.

use std::io::{self, BufReader, Read};

use super::header::{HpkrError, HpkrHeader, MINOR_VERSION};

/// Most levels of the tree. Haiku's own files have three.
const DEPTH: usize = 16;

/// Attributes known in minor version 1 (`PackageAttributes.h`, ids 0 to 55). In a file of that version others are errors
/// for Haiku's reader; in one of a later version it skips them.
const IDS: u8 = 56;

/// Most bytes of a string that stands in the tree itself. Default of our own.
const INLINE_MOST: usize = 1 << 20;

/// The value of an attribute. Those of signed numbers are of no attribute that is read here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value<'a> {
    Signed,
    Number(u64),
    Text(&'a str),
}

/// What a visitor of the tree is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum AttributeStep<'a> {
    /// An attribute; its children follow if it has any, and then its `End`.
    Attribute { depth: usize, id: u8, value: Value<'a> },
    /// All children of the attribute at this depth were told.
    End { depth: usize },
}

/// The section of packages, read once from its beginning.
pub(super) struct Section<R> {
    from: BufReader<io::Take<R>>,
    strings: Strings,
    /// Attributes that are not known are skipped, not refused.
    is_later: bool,
}

impl<R: Read> Section<R> {
    /// Reads the strings of the section that begins at `from`.
    pub(super) fn read(from: R, header: &HpkrHeader) -> Result<Self, HpkrError> {
        let mut from = BufReader::with_capacity(16 << 10, from.take(header.packages));
        let strings = Strings::read(&mut from, header)?;
        Ok(Self { from, strings, is_later: header.minor_version > MINOR_VERSION })
    }

    /// Tells `visit` of every attribute, in order, to the last byte of the section.
    pub(super) fn walk<E: From<HpkrError>>(
        mut self,
        mut visit: impl FnMut(AttributeStep<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut depth = 0;
        let mut inline = Vec::new();
        loop {
            let Some(tag) = number(&mut self.from)?.checked_sub(1) else {
                if depth == 0 {
                    break;
                }
                depth -= 1;
                visit(AttributeStep::End { depth })?;
                continue;
            };
            if tag >> 13 != 0 {
                return Err(HpkrError::malformed("the tag of an attribute is not possible").into());
            }
            let id = (tag & 0x7f) as u8;
            let (kind, has_children, encoding) = (tag >> 7 & 7, tag >> 10 & 1 == 1, tag >> 11 & 3);
            if id >= IDS && !self.is_later {
                return Err(HpkrError::malformed(format!("there is no attribute {id}")).into());
            }
            let value = match (kind, encoding) {
                (1, _) => {
                    unsigned(&mut self.from, encoding)?;
                    Value::Signed
                }
                (2, _) => Value::Number(unsigned(&mut self.from, encoding)?),
                (3, 0) => Value::Text(inline_text(&mut self.from, &mut inline)?),
                (3, 1) => {
                    let index = number(&mut self.from)?;
                    let missing = || HpkrError::malformed(format!("there is no string {index}"));
                    Value::Text(self.strings.get(index).ok_or_else(missing)?)
                }
                _ => return Err(HpkrError::malformed(format!("attribute {id} has a value of type {kind}")).into()),
            };
            visit(AttributeStep::Attribute { depth, id, value })?;
            if !has_children {
                visit(AttributeStep::End { depth })?;
                continue;
            }
            depth += 1;
            if depth > DEPTH {
                return Err(HpkrError::TooLarge("levels of attributes").into());
            }
        }
        match self.from.read(&mut [0]).map_err(HpkrError::from)? {
            0 => Ok(()),
            _ => Err(HpkrError::malformed("there are bytes after its last package").into()),
        }
    }
}

/// The strings that attributes refer to by their number.
struct Strings {
    text: String,
    /// The end of each.
    ends: Vec<u32>,
}

impl Strings {
    /// Reads `strings_count` strings that end with NUL each, and the NUL after the last.
    fn read(mut from: impl Read, header: &HpkrHeader) -> Result<Self, HpkrError> {
        let wrong = || HpkrError::malformed("its strings are not as many as it says");
        // Grows with the bytes that are there, not with what the header says.
        let mut bytes = Vec::new();
        from.by_ref().take(header.strings).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < header.strings {
            return Err(HpkrError::CutOff);
        }
        let mut ends = Vec::new();
        let mut strings = bytes.split(|byte| *byte == 0);
        let mut end = 0;
        for _ in 0..header.strings_count {
            let string = strings.next().filter(|string| !string.is_empty()).ok_or_else(wrong)?;
            end += string.len() + 1;
            ends.push(u32::try_from(end - 1).map_err(|_| wrong())?);
        }
        // What is left is the byte that ends the list, which may be missing where there are no strings.
        if bytes.get(end..).is_none_or(|rest| rest.len() > 1 || rest.iter().any(|byte| *byte != 0)) {
            return Err(wrong());
        }
        let text = String::from_utf8(bytes).map_err(|_| HpkrError::malformed("a string in it is not UTF-8"))?;
        Ok(Self { text, ends })
    }

    fn get(&self, index: u64) -> Option<&str> {
        let index = usize::try_from(index).ok()?;
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize + 1);
        self.text.get(start..end)
    }
}

/// Reads an unsigned LEB128 number.
fn number(from: &mut impl Read) -> Result<u64, HpkrError> {
    let mut out = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = bytes(from)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        out |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(out);
        }
    }
    Err(HpkrError::malformed("a number in it is too large"))
}

/// Reads a number of one, two, four or eight bytes.
fn unsigned(from: &mut impl Read, encoding: u64) -> Result<u64, HpkrError> {
    Ok(match encoding {
        0 => u64::from(u8::from_be_bytes(bytes(from)?)),
        1 => u64::from(u16::from_be_bytes(bytes(from)?)),
        2 => u64::from(u32::from_be_bytes(bytes(from)?)),
        _ => u64::from_be_bytes(bytes(from)?),
    })
}

fn inline_text<'b>(from: &mut impl Read, into: &'b mut Vec<u8>) -> Result<&'b str, HpkrError> {
    into.clear();
    loop {
        match bytes(from)? {
            [0] => break,
            [_] if into.len() >= INLINE_MOST => return Err(HpkrError::TooLarge("one string")),
            [byte] => into.push(byte),
        }
    }
    std::str::from_utf8(into).map_err(|_| HpkrError::malformed("a string in it is not UTF-8"))
}

fn bytes<const N: usize>(from: &mut impl Read) -> Result<[u8; N], HpkrError> {
    let mut out = [0; N];
    from.read_exact(&mut out)?;
    Ok(out)
}
