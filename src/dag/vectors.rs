//! Kubo's own CID profile vectors, and the content they are made of (`kubo:test/cli/cid_profiles_test.go`, 0.43.1).

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::digest::Sha256;

use super::build::FileDag;
use super::{CHUNK, WIDTH};

/// The endless content that Kubo's tests call deterministic: the ChaCha20 key stream under sha256(seed), nonce zero.
///
/// Drawn from proptest's generator, which is that very stream: a cipher crate's generic code would be compiled with
/// this one, unoptimised, and take minutes for a GiB.
pub struct Stream {
    rng: TestRng,
    drawn: Vec<u8>,
    used: usize,
}

impl Stream {
    pub fn new(seed: &str) -> Self {
        let key = Sha256::of(seed.as_bytes()).0;
        Self { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &key), drawn: vec![0; CHUNK], used: CHUNK }
    }

    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            if self.used == CHUNK {
                self.rng.fill_bytes(&mut self.drawn);
                self.used = 0;
            }
            let now = (len - out.len()).min(CHUNK - self.used);
            out.extend_from_slice(&self.drawn[self.used..self.used + now]);
            self.used += now;
        }
        out
    }
}

fn cid_after(content: &[&[u8]]) -> String {
    let mut dag = FileDag::new();
    content.iter().for_each(|bytes| dag.update(bytes));
    dag.finish().root.to_string()
}

#[test]
fn a_file_of_up_to_one_leaf_has_kubos_cid() {
    assert_eq!(cid_after(&[b"hello world"]), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    let full = Stream::new("chunk-v1-seed").take(CHUNK);
    assert_eq!(cid_after(&[&full]), "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta");
}

#[test]
fn a_file_of_one_byte_more_than_a_leaf_has_kubos_cid() {
    let content = Stream::new("chunk-v1-seed").take(CHUNK + 1);
    assert_eq!(cid_after(&[&content]), "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64");
}

#[test]
fn files_of_one_full_node_and_of_one_byte_more_have_kubos_cids() {
    let (mut dag, mut stream) = (FileDag::new(), Stream::new("v1-2025-seed"));
    for _ in 0..WIDTH {
        dag.update(&stream.take(CHUNK));
    }
    let full = dag.clone().finish();
    assert_eq!(full.root.to_string(), "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm");
    dag.update(&stream.take(1));
    let over = dag.finish();
    assert_eq!(over.root.to_string(), "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe");
    assert_eq!((full.size, over.size), (1 << 30, (1 << 30) + 1));
}
