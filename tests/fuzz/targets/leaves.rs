//! Proof leaf by leaf: the leaves of any root lie end to end, and for any split of a file's bytes, the prover
//! agrees with each leaf's own hash.
#![no_main]

use std::sync::Arc;

use pkgswarm::base::cid::Cid;
use pkgswarm::dag::unixfs::{self, Piece};
use pkgswarm::dag::proof::{LeafProver, Leaves, ProofError};
use pkgswarm::base::digest::Sha256;
use pkgswarm_fuzz::{Choices, cid_of, parts};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [choices, block, file] = parts(data);
    let mut choices = Choices(choices);
    // A root as delivered by a source, and one over the file itself with a leaf or a size that may be wrong.
    if let Ok(leaves) = Leaves::from_root(cid_of(block), block, None) {
        lie_end_to_end(&leaves);
        judge(leaves, file, &mut choices);
    }
    let mut pieces = Vec::new();
    let mut rest = file;
    while !rest.is_empty() && pieces.len() < 40 {
        let (leaf, after) = rest.split_at(rest.len().min(1 + choices.below(32)));
        rest = after;
        pieces.push(Piece { cid: Cid::raw(Sha256::of(leaf)), size: leaf.len() as u64, tsize: 0 });
    }
    let len = (file.len() - rest.len()) as u64;
    let root = unixfs::file(&pieces);
    let leaves = Leaves::from_root(cid_of(&root), &root, Some(len)).expect("it was made for that");
    let mut honest = LeafProver::new(Arc::new(leaves.clone()), 0);
    assert_eq!((honest.push(&file[..len as usize]), honest.proven()), (Ok(()), len), "an honest file is proven whole");
    let mut wrong = file.to_vec();
    let at = choices.below(wrong.len());
    if let Some(byte) = wrong.get_mut(at) {
        *byte ^= choices.byte();
    }
    judge(leaves, &wrong, &mut choices);
});

fn lie_end_to_end(leaves: &Leaves) {
    let mut end = 0;
    for i in 0..leaves.count() {
        let range = leaves.range(i);
        assert_eq!(range.start, end);
        if range.end > range.start {
            assert_eq!(leaves.leaf_at(range.start), Some(i));
            assert_eq!(leaves.leaf_at(range.end - 1), Some(i));
        }
        end = range.end;
    }
    assert_eq!((leaves.size(), leaves.leaf_at(end)), (end, None));
}

/// Compares the prover, fed in pieces, with the hashes of whole leaves.
fn judge(leaves: Leaves, file: &[u8], choices: &mut Choices) {
    let leaves = Arc::new(leaves);
    let sound = (0..leaves.count()).take_while(|i| {
        let range = leaves.range(*i);
        let bytes = usize::try_from(range.end).ok().and_then(|end| file.get(range.start as usize..end));
        bytes.is_some_and(|bytes| leaves.proves(*i, bytes))
    });
    let sound = sound.count();
    let proven = if sound == 0 { 0 } else { leaves.range(sound - 1).end };
    let mut prover = LeafProver::new(Arc::clone(&leaves), 0);
    let mut rest = file;
    let mut verdict = Ok(());
    while !rest.is_empty() && verdict.is_ok() {
        let (now, after) = rest.split_at(rest.len().min(1 + choices.below(256)));
        rest = after;
        verdict = prover.push(now);
    }
    assert_eq!(prover.proven(), proven);
    assert_eq!(prover.is_done(), sound == leaves.count());
    match verdict {
        Ok(()) => assert!(prover.missing() <= leaves.size() - proven),
        Err(ProofError::Leaf { leaf, range }) => assert_eq!((leaf, range), (sound, leaves.range(sound))),
        Err(ProofError::Excess { size }) => assert!(prover.is_done() && size == proven && file.len() as u64 > size),
    }
}
