//! CARv1: many blocks in one body, as Kubo's `dag/import` takes them (`ipld:specs/transport/car/carv1`).
//!
//! Only written: blocks from others are fetched one by one, and proven.

use crate::base::cid::Cid;
use crate::base::protobuf;

/// Returns the beginning of a CAR, which names `root` as the root of all following blocks.
pub(crate) fn header(root: Cid) -> Vec<u8> {
    let cid = root.to_bytes();
    // DAG-CBOR by hand, {"roots": [root], "version": 1}; a link is tag 42 over a zero byte and the CID.
    let mut map = b"\xa2\x65roots\x81\xd8\x2a\x58".to_vec();
    map.push(cid.len() as u8 + 1); // 34 or 36 bytes in a CID.
    map.push(0);
    map.extend_from_slice(&cid);
    map.extend_from_slice(b"\x67version\x01");
    let mut out = Vec::with_capacity(map.len() + 1);
    protobuf::push_varint(&mut out, map.len() as u64);
    out.append(&mut map);
    out
}

/// Returns the prefix of a block of `len` bytes; the block itself follows, uncopied.
pub(crate) fn frame(cid: Cid, len: usize) -> Vec<u8> {
    let cid = cid.to_bytes();
    let mut out = Vec::with_capacity(cid.len() + 4);
    protobuf::push_varint(&mut out, (cid.len() + len) as u64);
    out.extend_from_slice(&cid);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    #[test]
    fn a_car_of_one_block_is_spelled_as_the_specification_says() {
        let cid = Cid::raw(Sha256::of(b"hello"));
        let head = header(cid);
        let expected = [b"\x3a\xa2eroots\x81\xd8\x2aX\x25\x00", &cid.to_bytes()[..], b"gversion\x01"].concat();
        assert_eq!(head, expected);
        assert_eq!(usize::from(head[0]), head.len() - 1);
        let frame = frame(cid, 5);
        assert_eq!(frame, [&[41], &cid.to_bytes()[..]].concat());
    }

    #[test]
    fn a_root_of_version_0_is_two_bytes_shorter() {
        let cid: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn".parse().unwrap();
        let head = header(cid);
        assert_eq!((head[0], head[12], usize::from(head[0])), (0x38, 0x23, head.len() - 1));
    }
}
