//! What a fake Kubo does with blocks that are sent to it, and with pins over them.

use std::collections::{BTreeMap, HashMap, HashSet};

use pkgswarm::base::cid::Cid;
use pkgswarm::dag::unixfs;

use super::server::Request;

/// Returns the blocks of the CAR in the form of a request, by their CIDs; `None` for one that is cut short.
pub(super) fn blocks_of(request: &Request) -> Option<Vec<(String, Vec<u8>)>> {
    let boundary = request.header("content-type")?.split("boundary=").nth(1)?.trim_matches('"').to_owned();
    let body = request.body.as_slice();
    let begin = find(body, b"\r\n\r\n")? + 4;
    let end = begin + find(&body[begin..], format!("\r\n--{boundary}").as_bytes())?;
    let mut car = &body[begin..end];
    let head = varint(&mut car)?;
    car = car.get(head..)?;
    let mut blocks = Vec::new();
    while !car.is_empty() {
        let len = varint(&mut car)?;
        let (frame, rest) = (car.get(..len)?, car.get(len..)?);
        let cid = Cid::from_bytes(frame.get(..36)?).expect("a CIDv1");
        assert!(cid.proves(&frame[36..]), "{cid}: other bytes");
        blocks.push((cid.to_string(), frame[36..].to_vec()));
        car = rest;
    }
    Some(blocks)
}

/// Lists what is below a root, itself included; `None` where a block is missing.
pub(super) fn below(blocks: &HashMap<String, Vec<u8>>, root: &str) -> Option<HashSet<String>> {
    let (mut seen, mut unread) = (HashSet::new(), vec![root.to_owned()]);
    while let Some(text) = unread.pop() {
        let block = blocks.get(&text)?;
        if seen.insert(text.clone()) && text.parse::<Cid>().is_ok_and(|cid| cid == Cid::dag_pb(cid.digest())) {
            let links = unixfs::hashes(block).expect("a node");
            unread.extend(links.into_iter().map(|link| Cid::from_bytes(link).expect("a link").to_string()));
        }
    }
    Some(seen)
}

/// Lists what the pins reach.
pub(super) fn pinned(blocks: &HashMap<String, Vec<u8>>, pins: &BTreeMap<String, String>) -> HashSet<String> {
    pins.keys().flat_map(|root| below(blocks, root).unwrap_or_else(|| HashSet::from([root.clone()]))).collect()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
