//! Kubo's own CID profile vectors, and the content they are made of (`kubo:test/cli/cid_profiles_test.go`, 0.43.1).

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;

use super::build::FileDag;
use super::dir::{self, DirectoryEntry};
use crate::base::size::{CHUNK, WIDTH};

/// The endless content that Kubo's tests call deterministic: the ChaCha20 key stream under sha256(seed), nonce zero.
///
/// Drawn from proptest's generator, which is that very stream: a cipher crate's generic code would be compiled with
/// this one, unoptimised, and take minutes for a GiB.
pub(crate) struct Stream {
    rng: TestRng,
    drawn: Vec<u8>,
    used: usize,
}

impl Stream {
    pub(crate) fn new(seed: &str) -> Self {
        let key = Sha256::of(seed.as_bytes()).0;
        Self { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &key), drawn: vec![0; CHUNK], used: CHUNK }
    }

    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
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

/// Returns the root of a directory of files of at most one block, and the bytes of all blocks.
fn root_of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> (String, u64) {
    let entry = |(name, content): (String, Vec<u8>)| DirectoryEntry {
        name,
        cid: Cid::raw(Sha256::of(&content)),
        dag_size: content.len() as u64,
    };
    let mut entries: Vec<DirectoryEntry> = files.into_iter().map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let built = dir::build(&entries, drop).unwrap();
    (built.root.to_string(), built.dag_size)
}

/// Returns the root of 4766 files of one byte, the names drawn from a stream; the last one is `last` letters long.
fn root_of_drawn_names(last: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";
    let mut stream = Stream::new("hamt-unixfs-v1-2025");
    let name = |i| {
        let len = if i == 4765 { last } else { 11 };
        stream.take(len).iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    };
    root_of((0..4766).map(name).map(|name| (name, b"x".to_vec()))).0
}

#[test]
fn a_directory_of_just_256_kib_is_one_block_as_kubos() {
    assert_eq!(root_of_drawn_names(21), "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4");
}

#[test]
fn a_directory_of_one_byte_more_is_sharded_as_kubos() {
    assert_eq!(root_of_drawn_names(22), "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu");
}

#[test]
fn directories_of_ten_to_20000_files_have_the_roots_that_kubo_gave() {
    // Kubo 0.43.0, `ipfs init --profile=unixfs-v1-2025; ipfs add -r`, files `package-{i}.pkg.tar.zst` holding "{i}\n";
    // the size is CumulativeSize of `ipfs files stat`.
    for (count, root, size) in [
        (10, "bafybeic6qu7oy5zzj5mx76upkd4f4ffn2ojodduwg7yyjc4ax2xucxacne", 674),
        (3000, "bafybeibgh53vskokdrcyzxiju6drkjzzavoxy32bcyc2kw7ongmqti4cmy", 216_784),
        (20000, "bafybeibzlykb4rwditqmj37mzevzmjhhur3tdg35gtuqb3pmei6kp5gv6u", 1_741_496),
    ] {
        let files = (0..count).map(|i| (format!("package-{i}.pkg.tar.zst"), format!("{i}\n").into_bytes()));
        assert_eq!(root_of(files), (root.to_owned(), size), "{count}");
    }
}
