//! Files of any shape: a walk over forged blocks ends, keeps its limits, and returns the announced number of
//! bytes.
#![no_main]

use std::collections::HashMap;

use pkgswarm::base::cid::{Cid, Codec};
use pkgswarm::dag::unixfs::{self, Piece};
use pkgswarm::dag::proof::{LeafProver, Leaves};
use pkgswarm::dag::walk::Walk;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::protobuf::ProtobufWriter;
use pkgswarm_fuzz::{Choices, cid_of, parts};

/// A walk may take a million blocks; that would be a fuzzer's whole day.
const STEPS: usize = 200;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [choices, foreign] = parts(data);
    let mut choices = Choices(choices);
    let max_size = u64::from(choices.byte()) << choices.below(12);
    let (blocks, root) = made(&mut choices, foreign);
    let Some(root) = root else { return };
    let mut walk = Walk::new(root, max_size);
    let mut content = Vec::new();
    for _ in 0..STEPS {
        let Some(cid) = walk.next_cid() else { break };
        assert_eq!(walk.wants().next(), Some(cid));
        let waiting = walk.wants().count();
        assert!(walk.push(b"not that block").is_err());
        match walk.push(&blocks[&cid]) {
            Ok(bytes) => content.extend_from_slice(&bytes),
            Err(_) => {
                assert_eq!((walk.next_cid(), walk.wants().count()), (Some(cid), waiting), "an error changes nothing");
                return;
            }
        }
        let size = walk.size().expect("it is known once the root was pushed");
        assert!(size <= max_size && content.len() as u64 <= size);
    }
    if walk.is_done() {
        assert_eq!(walk.size(), Some(content.len() as u64));
        if let Ok(leaves) = Leaves::from_root(root, &blocks[&root], walk.size()) {
            let mut prover = LeafProver::new(std::sync::Arc::new(leaves), 0);
            let said = prover.push(&content);
            assert_eq!((said, prover.proven()), (Ok(()), content.len() as u64), "both ways of proof agree");
        }
    }
});

/// Makes blocks from the bottom up: leaves of several kinds, and nodes over existing ones, with sizes that may be
/// wrong.
fn made(choices: &mut Choices, foreign: &[u8]) -> (HashMap<Cid, Vec<u8>>, Option<Cid>) {
    let mut blocks = HashMap::new();
    let mut known: Vec<Piece> = Vec::new();
    let mut rest = foreign;
    while !choices.is_over() && known.len() < 40 {
        let (now, after) = rest.split_at(rest.len().min(choices.below(64)));
        rest = after;
        let kind = choices.below(7);
        let (block, size) = match kind {
            0 | 6 => (now.to_vec(), now.len() as u64),
            1 | 2 => {
                let data = ProtobufWriter::default().varint(1, kind as u64 * 2 % 4).bytes(2, now).finish();
                (ProtobufWriter::default().bytes(1, &data).finish(), now.len() as u64)
            }
            3 => (now.to_vec(), u64::from(choices.byte())), // a node as the fuzzer wrote it
            _ => {
                let pieces: Vec<Piece> = (0..choices.below(9)).filter_map(|_| some(&known, choices)).collect();
                (unixfs::file(&pieces), pieces.iter().map(|piece| piece.size).sum())
            }
        };
        let cid = match kind {
            0 => Cid::raw(Sha256::of(&block)),
            // A CID that contains its block.
            6 => Cid::of_link(&[&[1, 0x55, 0, block.len() as u8], &block[..]].concat()).expect("less than 64 bytes"),
            _ => cid_of(&block),
        };
        let size = if choices.below(16) == 15 { u64::from(choices.byte()) } else { size };
        known.push(Piece { cid, size, tsize: block.len() as u64 });
        assert!(cid.codec() == Codec::Raw || kind > 0);
        blocks.insert(cid, block);
    }
    (blocks, known.last().map(|piece| piece.cid))
}

fn some(known: &[Piece], choices: &mut Choices) -> Option<Piece> {
    // The last ones first, so that the DAG becomes deep and not only wide.
    known.iter().rev().nth(choices.below(known.len())).copied()
}
