//! One node, written canonically and read strictly: by hand, and against damage.

use super::*;
use crate::base::digest::Sha256;
use proptest::prelude::*;

fn leaf(content: &[u8]) -> Piece {
    let size = content.len() as u64;
    Piece { cid: Cid::raw(Sha256::of(content)), size, tsize: size }
}

/// Encodes a node of `links` and UnixFS `data`, sound or not.
fn forged(links: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let mut node = ProtobufWriter::default();
    links.iter().for_each(|link| _ = node.bytes(NODE_LINKS, link));
    node.bytes(NODE_DATA, data).finish()
}

fn malformed(block: &[u8]) -> bool {
    matches!(decode(block), Err(DagError::Malformed(_)))
}

fn forged_link(name: &[u8]) -> Vec<u8> {
    ProtobufWriter::default().bytes(LINK_HASH, &leaf(b"abc").cid.to_bytes()).bytes(LINK_NAME, name).finish()
}

/// Encodes a directory with one entry, of whatever kind.
pub(crate) fn linking_to(cid: &str) -> Vec<u8> {
    let hash = cid::multibase::decode(cid).unwrap().1;
    let data = ProtobufWriter::default().varint(TYPE, DIRECTORY).finish();
    forged(&[ProtobufWriter::default().bytes(LINK_HASH, &hash).bytes(LINK_NAME, b"foreign").finish()], &data)
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
        let data = ProtobufWriter::default().varint(TYPE, kind).bytes(DATA, b"abc").varint(FILE_SIZE, 3).finish();
        let node = DagNode::File { inline: b"abc", pieces: vec![], size: 3 };
        assert_eq!(decode(&forged(&[], &data)), Ok(node));
    }
}

#[test]
fn packed_block_sizes_and_unknown_unixfs_fields_are_read() {
    let data = ProtobufWriter::default().varint(TYPE, FILE).bytes(BLOCK_SIZES, &[1, 2]).varint(7, 0o644).finish();
    let links = [forged_link(b""), forged_link(b"")];
    assert!(matches!(decode(&forged(&links, &data)), Ok(DagNode::File { size: 3, .. })));
}

#[test]
fn a_file_node_that_contradicts_itself_is_refused() {
    let bad = |e: DagError| matches!(e, DagError::Malformed(_));
    let refused = |links: &[Vec<u8>], data: &mut ProtobufWriter| decode(&forged(links, &data.finish())).unwrap_err();
    let one = [forged_link(b"")];
    let file = || ProtobufWriter::default().varint(TYPE, FILE).clone();
    assert!(bad(refused(&one, &mut file())), "no block size");
    assert!(bad(refused(&[], file().varint(BLOCK_SIZES, 1))), "no link");
    let named = [forged_link(b"a")];
    assert!(bad(refused(&named, file().varint(BLOCK_SIZES, 1))));
    let sum = refused(&one, file().varint(FILE_SIZE, 4).varint(BLOCK_SIZES, 3));
    assert_eq!(sum, DagError::Size { declared: 4, found: 3 });
    let pair = [forged_link(b""), forged_link(b"")];
    assert!(bad(refused(&pair, file().varint(BLOCK_SIZES, u64::MAX).varint(BLOCK_SIZES, 1))), "overflow");
    assert!(bad(refused(&[], file().varint(TYPE, FILE))), "two types");
    assert!(bad(refused(&one, ProtobufWriter::default().varint(TYPE, RAW).varint(BLOCK_SIZES, 3))), "Raw with links");
    assert_eq!(refused(&[], ProtobufWriter::default().varint(TYPE, 4)), DagError::Type(4));
    assert!(bad(refused(&[], &mut ProtobufWriter::default())), "no type");
    let many = super::file(&vec![leaf(b"abc"); MAX_LINKS + 1]);
    assert!(matches!(decode(&many), Err(DagError::Limit { .. })));
}

#[test]
fn what_is_not_dag_pb_is_refused() {
    assert!(malformed(b""));
    assert!(matches!(decode(&[0x0a, 0x02, 0x08]), Err(DagError::Protobuf(_))));
    assert_eq!(decode(&vec![0; BLOCK_MOST + 1]), Err(DagError::TooLong(BLOCK_MOST + 1)));
    let data = ProtobufWriter::default().varint(TYPE, DIRECTORY).finish();
    let twice = [forged(&[], &data), forged(&[], &data)].concat();
    assert!(malformed(&twice));
    let cid = leaf(b"abc").cid.to_bytes();
    let file = ProtobufWriter::default().varint(TYPE, FILE).varint(BLOCK_SIZES, 3).finish();
    for hash in [&cid[..35], &[&cid[..], b"x"].concat(), b""] {
        let link = ProtobufWriter::default().bytes(LINK_HASH, hash).finish();
        assert!(matches!(decode(&forged(&[link], &file)), Err(DagError::Foreign(_))), "{hash:x?}");
    }
    assert!(malformed(&forged(&[vec![]], &data)), "no hash");
}

#[test]
fn shards_of_another_kind_are_refused() {
    let link = |name| DagLink { cid: leaf(b"").cid.into(), name, tsize: 0 };
    let bits = [1; 32];
    assert!(matches!(decode(&shard([link(b"00"), link(b"FFa")], 256, &bits)), Ok(DagNode::Shard { fan_out: 256, .. })));
    for bad in [&b""[..], b"0", b"0f", b"G0"] {
        assert!(malformed(&shard([link(bad)], 256, &bits)), "{bad:?}");
    }
    assert!(malformed(&shard([link(b"01"), link(b"01a")], 256, &bits)));
    for (fan_out, good) in [(0, false), (4, false), (8, true), (24, false), (1024, true), (2048, false)] {
        assert_eq!(decode(&shard([], fan_out, &bits)).is_ok(), good, "{fan_out}");
    }
    let other_hash = ProtobufWriter::default().varint(TYPE, SHARD).varint(HASH_TYPE, 0x12).varint(FANOUT, 256).finish();
    assert!(malformed(&forged(&[], &other_hash)));
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
    fn a_file_node_is_read_as_it_was_written(sizes: Vec<(u32, u64)>) {
        let cid = leaf(b"").cid;
        let piece = |(size, tsize): &(u32, u64)| Piece { cid, size: (*size).into(), tsize: *tsize };
        let pieces: Vec<Piece> = sizes.iter().map(piece).collect();
        let size = pieces.iter().map(|piece| piece.size).sum();
        let block = file(&pieces);
        prop_assert_eq!(decode(&block), Ok(DagNode::File { inline: b"", pieces, size }));
    }

    #[test]
    fn a_directory_is_read_as_it_was_written(entries: Vec<(Vec<u8>, u64)>) {
        let cid = leaf(b"").cid;
        let cid = LinkTarget::Cid(cid);
        let links: Vec<DagLink> = entries.iter().map(|(name, tsize)| DagLink { cid, name, tsize: *tsize }).collect();
        let block = directory(links.iter().copied());
        prop_assert_eq!(block.len(), directory([]).len() + links.iter().map(link_len).sum::<usize>());
        prop_assert_eq!(decode(&block), Ok(DagNode::Directory(links)));
    }
}
