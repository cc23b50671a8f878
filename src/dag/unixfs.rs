//! One node: a dag-pb message (links and data) whose data is a UnixFS message. Written canonically, read strictly.
//!
//! Formats: `ipld:specs/codecs/dag-pb/spec.md`, `specs:src/unixfs.md`, `boxo:ipld/unixfs/pb/unixfs.proto`.
//! A node is hashed as written, so there is one way to write it: links before data, in each link Hash, Name (even when
//! empty) and Tsize.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;

use crate::base::cid::Cid;
use crate::base::protobuf::{self, FieldValue, Fields, ProtobufWriter};
use crate::base::size::BLOCK_MOST;

use super::{DagError, MAX_LINKS};

// PBNode and PBLink (dag-pb).
const NODE_DATA: u32 = 1;
const NODE_LINKS: u32 = 2;
const LINK_HASH: u32 = 1;
const LINK_NAME: u32 = 2;
const LINK_TSIZE: u32 = 3;
// Data (UnixFS).
const TYPE: u32 = 1;
const DATA: u32 = 2;
const FILE_SIZE: u32 = 3;
const BLOCK_SIZES: u32 = 4;
const HASH_TYPE: u32 = 5;
const FANOUT: u32 = 6;
// Data.DataType.
const RAW: u64 = 0;
const DIRECTORY: u64 = 1;
const FILE: u64 = 2;
const SHARD: u64 = 5;

/// Children of a shard that is made here: 256, a byte of the hash for each level (IPIP-499).
pub(crate) const FAN_OUT: u64 = 256;
/// Most children of a shard that is read (boxo 0.42, `ipld/unixfs/hamt/hamt.go`, `maximumHamtWidth`). They are a power of
/// two and a multiple of 8.
const FAN_OUT_MOST: u64 = 1024;
/// Murmur3 x64 in the multicodec table, the only hash that shards are made with.
const MURMUR3: u64 = 0x22;

/// The target of a link. A directory with entries of kinds that are not read here stays readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTarget<'a> {
    /// A block of ours.
    Cid(Cid),
    /// The bytes in the place of a CID: one of another kind, or none at all.
    Foreign(&'a [u8]),
}

impl LinkTarget<'_> {
    /// Returns the CID of a block that is read here.
    ///
    /// # Errors
    /// `Foreign` with the reason.
    pub(crate) fn cid(&self) -> Result<Cid, DagError> {
        match self {
            LinkTarget::Cid(cid) => Ok(*cid),
            LinkTarget::Foreign(bytes) => Cid::of_link(bytes).map_err(DagError::Foreign),
        }
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            LinkTarget::Cid(cid) => Cow::Owned(cid.to_bytes()),
            LinkTarget::Foreign(bytes) => Cow::Borrowed(bytes),
        }
    }
}

impl From<Cid> for LinkTarget<'_> {
    fn from(cid: Cid) -> Self {
        LinkTarget::Cid(cid)
    }
}

/// A link of a dag-pb node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DagLink<'a> {
    /// The block it points at.
    pub cid: LinkTarget<'a>,
    /// Empty in files; the entry's name in directories; hexadecimal digits and perhaps the entry's name in shards.
    pub name: &'a [u8],
    /// Bytes of all blocks below it, as its maker states them (a hint: never proven).
    pub tsize: u64,
}

/// A piece of a file: a link with the number of file bytes under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The block it points at.
    pub cid: Cid,
    /// Bytes of file content below it.
    pub size: u64,
    /// Bytes of all blocks below it, node blocks included.
    pub tsize: u64,
}

/// The content of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DagNode<'a> {
    /// A file or a part of one: `inline`, then the pieces in their order.
    File {
        /// Content within the node itself.
        inline: &'a [u8],
        /// At most [`MAX_LINKS`].
        pieces: Vec<Piece>,
        /// Bytes of `inline` and all pieces.
        size: u64,
    },
    /// A directory with all its entries.
    Directory(Vec<DagLink<'a>>),
    /// A part of a directory that is spread over several blocks.
    Shard {
        /// Sorted by their place; each name begins with it.
        links: Vec<DagLink<'a>>,
        /// The number of places: a power of two from 8 to 1024.
        fan_out: u64,
    },
}

impl<'a> DagNode<'a> {
    /// Makes the node of a raw block, which is all content.
    pub(crate) fn leaf(block: &'a [u8]) -> Self {
        DagNode::File { inline: block, pieces: Vec::new(), size: block.len() as u64 }
    }
}

/// Encodes the block of a file node over `pieces`, canonically.
///
/// Their sizes must not add up to more than a `u64` holds, which no file does.
pub fn file(pieces: &[Piece]) -> Vec<u8> {
    let mut data = ProtobufWriter::with_capacity(16 + pieces.len() * 5);
    data.varint(TYPE, FILE).varint(FILE_SIZE, pieces.iter().map(|piece| piece.size).sum());
    for piece in pieces {
        data.varint(BLOCK_SIZES, piece.size);
    }
    let links = pieces.iter().map(|piece| DagLink { cid: piece.cid.into(), name: b"", tsize: piece.tsize });
    encode(links, &data.finish())
}

/// Encodes the blocks that hold `content` in a node without links, as Kubo makes and has made them: of the types file and raw
/// (`boxo:ipld/unixfs/importer/helpers/dagbuilder.go`).
pub(crate) fn leaves(content: &[u8]) -> [Vec<u8>; 2] {
    [FILE, RAW].map(|kind| {
        let size = content.len() as u64;
        let data = ProtobufWriter::with_capacity(content.len() + 16)
            .varint(TYPE, kind)
            .bytes(DATA, content)
            .varint(FILE_SIZE, size)
            .finish();
        encode([], &data)
    })
}

/// Encodes the block of a directory with `links` as entries, which the caller has sorted by name.
pub fn directory<'a>(links: impl IntoIterator<Item = DagLink<'a>>) -> Vec<u8> {
    encode(links, &ProtobufWriter::default().varint(TYPE, DIRECTORY).finish())
}

/// Encodes the block of a shard of `fan_out` places with `links`, which the caller has sorted and prefixed, and
/// `bits` naming the children it has.
pub fn shard<'a>(links: impl IntoIterator<Item = DagLink<'a>>, fan_out: u64, bits: &[u8]) -> Vec<u8> {
    // Big endian without leading zeros (`boxo:ipld/unixfs/hamt`, `go-bitfield`).
    let used = bits.iter().position(|byte| *byte != 0).unwrap_or(bits.len());
    let mut data = ProtobufWriter::default();
    data.varint(TYPE, SHARD).bytes(DATA, &bits[used..]).varint(HASH_TYPE, MURMUR3).varint(FANOUT, fan_out);
    encode(links, &data.finish())
}

fn encode<'a>(links: impl IntoIterator<Item = DagLink<'a>>, data: &[u8]) -> Vec<u8> {
    let mut node = ProtobufWriter::default();
    for link in links {
        let mut entry = ProtobufWriter::with_capacity(64 + link.name.len());
        entry.bytes(LINK_HASH, &link.cid.bytes()).bytes(LINK_NAME, link.name).varint(LINK_TSIZE, link.tsize);
        node.bytes(NODE_LINKS, &entry.finish());
    }
    node.bytes(NODE_DATA, data).finish()
}

/// Returns the bytes that `link` adds to a node's block.
pub fn link_len(link: &DagLink) -> usize {
    let field = |len: usize| 1 + protobuf::varint_len(len as u64) + len;
    field(field(link.cid.bytes().len()) + field(link.name.len()) + 1 + protobuf::varint_len(link.tsize))
}

/// Reads a dag-pb block that is a file, a directory or a shard of one.
///
/// # Errors
/// Any [`DagError`] that is about one block; the caller proves the block itself.
pub fn decode(block: &[u8]) -> Result<DagNode<'_>, DagError> {
    if block.len() > BLOCK_MOST {
        return Err(DagError::TooLong(block.len()));
    }
    let mut links = Vec::new();
    let mut data = None;
    for field in Fields::of(block) {
        let field = field?;
        match field.number {
            NODE_DATA if data.is_none() => data = Some(field.bytes()?),
            NODE_LINKS => links.push(link(field.bytes()?)?),
            _ => return Err(DagError::Malformed("a dag-pb node has links and at most one data field")),
        }
    }
    let data = UnixFs::read(data.ok_or(DagError::Malformed("a node without data is not UnixFS"))?)?;
    match data.kind {
        RAW | FILE => data.file(&links),
        DIRECTORY => Ok(DagNode::Directory(links)),
        SHARD => data.shard(links),
        other => Err(DagError::Type(other)),
    }
}

/// Returns the links of a dag-pb block, as CIDs in binary, whether it is UnixFS or not.
///
/// # Errors
/// `Protobuf` or `Malformed` when it is no dag-pb.
pub fn hashes(block: &[u8]) -> Result<Vec<&[u8]>, DagError> {
    let mut hashes = Vec::new();
    for field in Fields::of(block) {
        let field = field?;
        if field.number != NODE_LINKS {
            continue;
        }
        let mut hash = None;
        for field in Fields::of(field.bytes()?) {
            let field = field?;
            if field.number == LINK_HASH {
                hash = Some(field.bytes()?);
            }
        }
        hashes.push(hash.ok_or(DagError::Malformed("a link without a hash"))?);
    }
    Ok(hashes)
}

fn link(message: &[u8]) -> Result<DagLink<'_>, DagError> {
    let (mut cid, mut name, mut tsize) = (None, None, None);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            LINK_HASH if cid.is_none() => cid = Some(target(field.bytes()?)),
            LINK_NAME if name.is_none() => name = Some(field.bytes()?),
            LINK_TSIZE if tsize.is_none() => tsize = Some(field.varint()?),
            _ => return Err(DagError::Malformed("a link has one hash, one name and one size")),
        }
    }
    let cid = cid.ok_or(DagError::Malformed("a link without a hash"))?;
    Ok(DagLink { cid, name: name.unwrap_or_default(), tsize: tsize.unwrap_or_default() })
}

/// Reads the target of a link. One of a kind that is not read here leaves its siblings readable; asking for it is
/// an error.
fn target(bytes: &[u8]) -> LinkTarget<'_> {
    Cid::of_link(bytes).map_or(LinkTarget::Foreign(bytes), LinkTarget::Cid)
}

/// Returns the number of hexadecimal digits that name the place of a link in a shard.
pub(crate) fn digits(fan_out: u64) -> usize {
    // Kubo writes the last place without leading zeros (boxo 0.42, `ipld/unixfs/hamt/hamt.go`, `maxpadlen`).
    format!("{:X}", fan_out - 1).len()
}

#[derive(Default)]
struct UnixFs<'a> {
    kind: u64,
    data: Option<&'a [u8]>,
    file_size: Option<u64>,
    block_sizes: Vec<u64>,
    hash_type: Option<u64>,
    fan_out: Option<u64>,
}

impl<'a> UnixFs<'a> {
    fn read(message: &'a [u8]) -> Result<Self, DagError> {
        let (mut out, mut kind) = (Self::default(), None);
        let once = DagError::Malformed("a UnixFS field occurs twice");
        for field in Fields::of(message) {
            let field = field?;
            let taken = match field.number {
                TYPE => kind.replace(field.varint()?).is_some(),
                DATA => out.data.replace(field.bytes()?).is_some(),
                FILE_SIZE => out.file_size.replace(field.varint()?).is_some(),
                HASH_TYPE => out.hash_type.replace(field.varint()?).is_some(),
                FANOUT => out.fan_out.replace(field.varint()?).is_some(),
                BLOCK_SIZES => {
                    out.add_block_sizes(field.value)?;
                    false
                }
                // Mode and mtime (UnixFS 1.5), and fields of later versions.
                _ => false,
            };
            if taken {
                return Err(once);
            }
        }
        out.kind = kind.ok_or(DagError::Malformed("UnixFS data without a type"))?;
        Ok(out)
    }

    /// Adds one number, or many packed into bytes: proto2 writes the first form and must read both.
    fn add_block_sizes(&mut self, value: FieldValue<'_>) -> Result<(), DagError> {
        match value {
            FieldValue::Varint(size) => self.block_sizes.push(size),
            FieldValue::Bytes(mut packed) => {
                while !packed.is_empty() {
                    self.block_sizes.push(protobuf::varint(&mut packed)?);
                }
            }
            _ => return Err(protobuf::ProtobufError::FieldType(BLOCK_SIZES).into()),
        }
        Ok(())
    }

    fn file(self, links: &[DagLink]) -> Result<DagNode<'a>, DagError> {
        if links.len() > MAX_LINKS {
            return Err(DagError::Limit { what: "links in a node", limit: MAX_LINKS as u64 });
        }
        if links.len() != self.block_sizes.len() {
            return Err(DagError::Malformed("links and block sizes differ in number"));
        }
        if links.iter().any(|link| !link.name.is_empty()) {
            return Err(DagError::Malformed("a piece of a file has a name"));
        }
        if self.kind == RAW && !links.is_empty() {
            return Err(DagError::Malformed("a node of type Raw has links"));
        }
        let inline = self.data.unwrap_or_default();
        let size = self.block_sizes.iter().try_fold(inline.len() as u64, |sum, size| sum.checked_add(*size));
        let size = size.ok_or(DagError::Malformed("the block sizes add up to more than 64 bits hold"))?;
        if let Some(declared) = self.file_size.filter(|declared| *declared != size) {
            return Err(DagError::Size { declared, found: size });
        }
        let piece = |(link, size): (&DagLink, &u64)| {
            let cid = link.cid.cid()?;
            Ok(Piece { cid, size: *size, tsize: link.tsize })
        };
        let pieces = links.iter().zip(&self.block_sizes).map(piece).collect::<Result<_, DagError>>()?;
        Ok(DagNode::File { inline, pieces, size })
    }

    fn shard(self, links: Vec<DagLink<'a>>) -> Result<DagNode<'a>, DagError> {
        let is_usual = |fan_out: &u64| fan_out.is_power_of_two() && (8..=FAN_OUT_MOST).contains(fan_out);
        let Some(fan_out) = self.fan_out.filter(is_usual).filter(|_| self.hash_type == Some(MURMUR3)) else {
            return Err(DagError::Malformed("a shard of another kind than murmur3 with 8 to 1024 children"));
        };
        let digits = digits(fan_out);
        let upper = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
        let ordered = links.is_sorted_by(|a, b| a.name.get(..digits) < b.name.get(..digits));
        if !ordered || !links.iter().all(|link| link.name.len() >= digits && link.name[..digits].iter().all(upper)) {
            return Err(DagError::Malformed("a shard's links are not named by their place"));
        }
        Ok(DagNode::Shard { links, fan_out })
    }
}

#[cfg(test)]
pub(crate) mod tests;
