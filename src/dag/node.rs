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

/// The block of a shard with `links`, which the caller has sorted and prefixed, and `bits` naming the children there are.
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
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use proptest::prelude::*;

    fn leaf(content: &[u8]) -> Piece {
        let size = content.len() as u64;
        Piece { cid: Cid::raw(Sha256::of(content)), size, tsize: size }
    }

    /// A node of `links` and UnixFS `data`, whatever they say.
    fn forged(links: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
        let mut node = Writer::default();
        links.iter().for_each(|link| _ = node.bytes(NODE_LINKS, link));
        node.bytes(NODE_DATA, data).finish()
    }

    fn forged_link(name: &[u8]) -> Vec<u8> {
        Writer::default().bytes(LINK_HASH, &leaf(b"abc").cid.to_bytes()).bytes(LINK_NAME, name).finish()
    }

    #[test]
    fn a_file_node_is_spelled_as_kubo_spells_it() {
        let block = file(&[leaf(b"ab"), leaf(b"c")]);
        let hash = |content: &[u8]| leaf(content).cid.to_bytes();
        let expected = [
            &b"\x12\x2a\x0a\x24"[..],
            &hash(b"ab"),
            b"\x12\x00\x18\x02\x12\x2a\x0a\x24",
            &hash(b"c"),
            b"\x12\x00\x18\x01\x0a\x08\x08\x02\x18\x03\x20\x02\x20\x01",
        ]
        .concat();
        assert_eq!(block, expected);
    }

    #[test]
    fn a_leaf_within_a_node_is_read_in_both_its_types() {
        for kind in [RAW, FILE] {
            let data = Writer::default().varint(TYPE, kind).bytes(DATA, b"abc").varint(FILE_SIZE, 3).finish();
            let node = Node::File { inline: b"abc", pieces: vec![], size: 3 };
            assert_eq!(decode(&forged(&[], &data)), Ok(node));
        }
    }

    #[test]
    fn packed_block_sizes_and_unknown_unixfs_fields_are_read() {
        let data =
            Writer::default().varint(TYPE, FILE).bytes(BLOCK_SIZES, &[1, 2]).varint(7, 0o644).bytes(8, b"").finish();
        let links = [forged_link(b""), forged_link(b"")];
        assert!(matches!(decode(&forged(&links, &data)), Ok(Node::File { size: 3, .. })));
    }

    #[test]
    fn a_file_node_that_contradicts_itself_is_refused() {
        let refused = |links: &[Vec<u8>], data: &mut Writer| decode(&forged(links, &data.finish())).unwrap_err();
        let one = [forged_link(b"")];
        let file = || Writer::default().varint(TYPE, FILE).clone();
        assert!(matches!(refused(&one, &mut file()), BadDag::Malformed(_)), "no block size");
        assert!(matches!(refused(&[], file().varint(BLOCK_SIZES, 1)), BadDag::Malformed(_)), "no link");
        let named = [forged_link(b"a")];
        assert!(matches!(refused(&named, file().varint(BLOCK_SIZES, 1)), BadDag::Malformed(_)));
        let sum = refused(&one, file().varint(FILE_SIZE, 4).varint(BLOCK_SIZES, 3));
        assert_eq!(sum, BadDag::Size { declared: 4, found: 3 });
        let pair = [forged_link(b""), forged_link(b"")];
        let overflow = file().varint(BLOCK_SIZES, u64::MAX).varint(BLOCK_SIZES, 1).clone();
        assert!(matches!(refused(&pair, &mut overflow.clone()), BadDag::Malformed(_)));
        assert!(matches!(refused(&[], file().varint(TYPE, FILE)), BadDag::Malformed(_)), "two types");
        let raw = Writer::default().varint(TYPE, RAW).varint(BLOCK_SIZES, 3).clone();
        assert!(matches!(refused(&one, &mut raw.clone()), BadDag::Malformed(_)), "Raw with links");
        assert_eq!(refused(&[], Writer::default().varint(TYPE, 4)), BadDag::Type(4));
        assert!(matches!(refused(&[], &mut Writer::default()), BadDag::Malformed(_)), "no type");
        let many = vec![leaf(b"abc"); MAX_LINKS + 1];
        assert!(matches!(decode(&super::file(&many)), Err(BadDag::Limit { .. })));
    }

    #[test]
    fn what_is_not_dag_pb_is_refused() {
        assert!(matches!(decode(b""), Err(BadDag::Malformed(_))));
        assert!(matches!(decode(&[0x0a, 0x02, 0x08]), Err(BadDag::Protobuf(_))));
        assert_eq!(decode(&vec![0; MAX_BLOCK + 1]), Err(BadDag::TooLong(MAX_BLOCK + 1)));
        let data = Writer::default().varint(TYPE, DIRECTORY).finish();
        let twice = [forged(&[], &data), forged(&[], &data)].concat();
        assert!(matches!(decode(&twice), Err(BadDag::Malformed(_))));
        let cid = leaf(b"abc").cid.to_bytes();
        for hash in [&cid[..35], &[&cid[..], b"x"].concat(), b""] {
            let link = Writer::default().bytes(LINK_HASH, hash).finish();
            assert!(matches!(decode(&forged(&[link], &data)), Err(BadDag::Malformed(_))), "{hash:x?}");
        }
        assert!(matches!(decode(&forged(&[vec![]], &data)), Err(BadDag::Malformed(_))), "no hash");
    }

    #[test]
    fn shards_of_another_kind_are_refused() {
        let link = |name| Link { cid: leaf(b"").cid, name, tsize: 0 };
        let bits = [1; 32];
        assert!(matches!(decode(&shard([link(b"00"), link(b"FFa")], &bits)), Ok(Node::Shard(_))));
        for bad in [&b""[..], b"0", b"0f", b"G0"] {
            assert!(matches!(decode(&shard([link(bad)], &bits)), Err(BadDag::Malformed(_))), "{bad:?}");
        }
        assert!(matches!(decode(&shard([link(b"01"), link(b"01a")], &bits)), Err(BadDag::Malformed(_))));
        let narrow = Writer::default().varint(TYPE, SHARD).varint(HASH_TYPE, MURMUR3).varint(FANOUT, 16).finish();
        assert!(matches!(decode(&forged(&[], &narrow)), Err(BadDag::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_node_is_decoded_without_panic(count in 0usize..6, at: prop::sample::Index, byte: u8) {
            let mut block = file(&vec![leaf(b"abc"); count]);
            let at = at.index(block.len());
            block[at] = byte;
            let _ = decode(&block);
        }

        #[test]
        fn a_file_node_is_read_as_it_was_written(sizes in proptest::collection::vec((0u64..1 << 40, any::<u64>()), 0..50)) {
            let cid = leaf(b"").cid;
            let pieces: Vec<Piece> = sizes.iter().map(|(size, tsize)| Piece { cid, size: *size, tsize: *tsize }).collect();
            let size = sizes.iter().map(|(size, _)| size).sum();
            let block = file(&pieces);
            prop_assert_eq!(decode(&block), Ok(Node::File { inline: b"", pieces, size }));
        }

        #[test]
        fn a_directory_is_read_as_it_was_written(entries: Vec<(Vec<u8>, u64)>) {
            let cid = leaf(b"").cid;
            let links: Vec<Link> = entries.iter().map(|(name, tsize)| Link { cid, name, tsize: *tsize }).collect();
            let block = directory(links.iter().copied());
            prop_assert_eq!(block.len(), directory([]).len() + links.iter().map(link_len).sum::<usize>());
            prop_assert_eq!(decode(&block), Ok(Node::Directory(links)));
        }
    }
}
