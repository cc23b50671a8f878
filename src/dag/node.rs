//! One node: a dag-pb message (links and data) whose data is a UnixFS message. Written canonically, read strictly.
//!
//! Formats: `ipld:specs/codecs/dag-pb/spec.md`, `specs:src/unixfs.md`, `boxo:ipld/unixfs/pb/unixfs.proto`.
//! A node is hashed as written, so there is one way to write it: links before data, in each link Hash, Name (even when
//! empty) and Tsize.

use crate::cid::Cid;
use crate::protobuf::{self, Fields, Value, Writer};

use super::{BadDag, MAX_BLOCK, MAX_LINKS};

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

/// Children of a shard: 256, a byte of the hash for each level (IPIP-499).
pub const FAN_OUT: u64 = 256;
/// Murmur3 x64 in the multicodec table, the only hash that shards are made with.
const MURMUR3: u64 = 0x22;

/// A link as dag-pb has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The block it points at.
    pub cid: Cid,
    /// Empty in files; the entry's name in directories; two hexadecimal digits and perhaps the entry's name in shards.
    pub name: &'a [u8],
    /// Bytes of all blocks below it, as its maker says (a hint: never proven).
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

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
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
    Directory(Vec<Link<'a>>),
    /// A part of a directory that is spread over several blocks.
    Shard(Vec<Link<'a>>),
}

impl<'a> Node<'a> {
    /// A raw block, which is all content.
    pub fn leaf(block: &'a [u8]) -> Self {
        Node::File { inline: block, pieces: Vec::new(), size: block.len() as u64 }
    }
}

/// The block of a file node over `pieces`, canonically.
///
/// Their sizes must not add up to more than a `u64` holds, which no file does.
pub fn file(pieces: &[Piece]) -> Vec<u8> {
    let mut data = Writer::with_capacity(16 + pieces.len() * 5);
    data.varint(TYPE, FILE).varint(FILE_SIZE, pieces.iter().map(|piece| piece.size).sum());
    for piece in pieces {
        data.varint(BLOCK_SIZES, piece.size);
    }
    let links = pieces.iter().map(|piece| Link { cid: piece.cid, name: b"", tsize: piece.tsize });
    encode(links, &data.finish())
}

/// The block of a directory with `links` as entries, which the caller has sorted by name.
pub fn directory<'a>(links: impl IntoIterator<Item = Link<'a>>) -> Vec<u8> {
    encode(links, &Writer::default().varint(TYPE, DIRECTORY).finish())
}

/// The block of a shard with `links`, which the caller has sorted and prefixed, and `bits` naming the children it has.
pub fn shard<'a>(links: impl IntoIterator<Item = Link<'a>>, bits: &[u8; 32]) -> Vec<u8> {
    // Big endian without leading zeros (`boxo:ipld/unixfs/hamt`, `go-bitfield`).
    let used = bits.iter().position(|byte| *byte != 0).unwrap_or(bits.len());
    let mut data = Writer::default();
    data.varint(TYPE, SHARD).bytes(DATA, &bits[used..]).varint(HASH_TYPE, MURMUR3).varint(FANOUT, FAN_OUT);
    encode(links, &data.finish())
}

fn encode<'a>(links: impl IntoIterator<Item = Link<'a>>, data: &[u8]) -> Vec<u8> {
    let mut node = Writer::default();
    for link in links {
        let mut entry = Writer::with_capacity(64 + link.name.len());
        entry.bytes(LINK_HASH, &link.cid.to_bytes()).bytes(LINK_NAME, link.name).varint(LINK_TSIZE, link.tsize);
        node.bytes(NODE_LINKS, &entry.finish());
    }
    node.bytes(NODE_DATA, data).finish()
}

/// How many bytes `link` adds to a node's block.
pub fn link_len(link: &Link) -> usize {
    let field = |len: usize| 1 + protobuf::varint_len(len as u64) + len;
    field(field(link.cid.to_bytes().len()) + field(link.name.len()) + 1 + protobuf::varint_len(link.tsize))
}

/// Reads a dag-pb block that is a file, a directory or a shard of one.
///
/// # Errors
/// Any [`BadDag`] that is about one block; the block itself is to be proven by the caller.
pub fn decode(block: &[u8]) -> Result<Node<'_>, BadDag> {
    if block.len() > MAX_BLOCK {
        return Err(BadDag::TooLong(block.len()));
    }
    let mut links = Vec::new();
    let mut data = None;
    for field in Fields::of(block) {
        let field = field?;
        match field.number {
            NODE_DATA if data.is_none() => data = Some(field.bytes()?),
            NODE_LINKS => links.push(link(field.bytes()?)?),
            _ => return Err(BadDag::Malformed("a dag-pb node has links and at most one data field")),
        }
    }
    let data = UnixFs::read(data.ok_or(BadDag::Malformed("a node without data is not UnixFS"))?)?;
    match data.kind {
        RAW | FILE => data.file(&links),
        DIRECTORY => Ok(Node::Directory(links)),
        SHARD => data.shard(links),
        other => Err(BadDag::Type(other)),
    }
}

fn link(message: &[u8]) -> Result<Link<'_>, BadDag> {
    let (mut cid, mut name, mut tsize) = (None, None, None);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            LINK_HASH if cid.is_none() => cid = Some(link_cid(field.bytes()?)?),
            LINK_NAME if name.is_none() => name = Some(field.bytes()?),
            LINK_TSIZE if tsize.is_none() => tsize = Some(field.varint()?),
            _ => return Err(BadDag::Malformed("a link has one hash, one name and one size")),
        }
    }
    let cid = cid.ok_or(BadDag::Malformed("a link without a hash"))?;
    Ok(Link { cid, name: name.unwrap_or_default(), tsize: tsize.unwrap_or_default() })
}

fn link_cid(bytes: &[u8]) -> Result<Cid, BadDag> {
    let cid = Cid::from_bytes(bytes).map_err(|_| BadDag::Malformed("a link is not a sha2-256 CID of raw or dag-pb"))?;
    // The cid crate (0.11.3) overlooks what follows a CID.
    if cid.to_bytes() != bytes {
        return Err(BadDag::Malformed("a link is more than a CID"));
    }
    Ok(cid)
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
    fn read(message: &'a [u8]) -> Result<Self, BadDag> {
        let (mut out, mut kind) = (Self::default(), None);
        let once = BadDag::Malformed("a UnixFS field occurs twice");
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
                // Mode and mtime (UnixFS 1.5), and what may come.
                _ => false,
            };
            if taken {
                return Err(once);
            }
        }
        out.kind = kind.ok_or(BadDag::Malformed("UnixFS data without a type"))?;
        Ok(out)
    }

    /// One number, or many packed into bytes: proto2 writes the first and must read both.
    fn add_block_sizes(&mut self, value: Value<'_>) -> Result<(), BadDag> {
        match value {
            Value::Varint(size) => self.block_sizes.push(size),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    self.block_sizes.push(protobuf::varint(&mut packed)?);
                }
            }
            _ => return Err(protobuf::BadProtobuf::FieldType(BLOCK_SIZES).into()),
        }
        Ok(())
    }

    fn file(self, links: &[Link]) -> Result<Node<'a>, BadDag> {
        if links.len() > MAX_LINKS {
            return Err(BadDag::Limit { what: "links in a node", limit: MAX_LINKS as u64 });
        }
        if links.len() != self.block_sizes.len() {
            return Err(BadDag::Malformed("links and block sizes differ in number"));
        }
        if links.iter().any(|link| !link.name.is_empty()) {
            return Err(BadDag::Malformed("a piece of a file has a name"));
        }
        if self.kind == RAW && !links.is_empty() {
            return Err(BadDag::Malformed("a node of type Raw has links"));
        }
        let inline = self.data.unwrap_or_default();
        let size = self.block_sizes.iter().try_fold(inline.len() as u64, |sum, size| sum.checked_add(*size));
        let size = size.ok_or(BadDag::Malformed("the block sizes add up to more than 64 bits hold"))?;
        if let Some(declared) = self.file_size.filter(|declared| *declared != size) {
            return Err(BadDag::Size { declared, found: size });
        }
        let piece = |(link, size): (&Link, &u64)| Piece { cid: link.cid, size: *size, tsize: link.tsize };
        let pieces = links.iter().zip(&self.block_sizes).map(piece).collect();
        Ok(Node::File { inline, pieces, size })
    }

    fn shard(self, links: Vec<Link<'a>>) -> Result<Node<'a>, BadDag> {
        if (self.hash_type, self.fan_out) != (Some(MURMUR3), Some(FAN_OUT)) {
            return Err(BadDag::Malformed("a shard of another kind than murmur3 with 256 children"));
        }
        let upper = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
        let ordered = links.is_sorted_by(|a, b| a.name.get(..2) < b.name.get(..2));
        if !ordered || !links.iter().all(|link| link.name.len() >= 2 && link.name[..2].iter().all(upper)) {
            return Err(BadDag::Malformed("a shard's links are not named by their place"));
        }
        Ok(Node::Shard(links))
    }
}

#[cfg(test)]
mod tests;
