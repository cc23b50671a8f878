//! Directories: made natively, so that a publisher needs no daemon to know the root of its tree, and names looked up in
//! proven blocks, so that no gateway's word is taken for what a path means.
//!
//! A directory is one block while that is at most [`MAX_BASIC`] bytes, else it is spread over shards by the names'
//! hashes (`specs:src/unixfs.md`, `boxo:ipld/unixfs/hamt`). Either follows from the entries alone, in whatever order
//! they were added.

use crate::cid::Cid;
use crate::digest::Sha256;

use super::murmur::murmur3;
use super::node::{self, FAN_OUT, Link, Node};
use super::{BadDag, Block};

/// Longest block of a directory in one block, in bytes: 256 KiB. A longer one is sharded (IPIP-499, `block-bytes`,
/// `>`).
pub const MAX_BASIC: usize = 256 << 10;

/// Bytes of the hash, each of which chooses among the 256 children of a level.
const LEVELS: usize = 8;

/// An entry: a file, or a directory made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique within the directory.
    pub name: String,
    /// Its root.
    pub cid: Cid,
    /// Bytes of all its blocks (`Built::dag_size` of a file or directory).
    pub dag_size: u64,
}

/// What a directory is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The directory's CID.
    pub root: Cid,
    /// Bytes of its own blocks and all blocks of its entries: what the directory above says.
    pub dag_size: u64,
}

/// Why entries are not a directory. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntries {
    /// Empty, `.`, `..`, or with a slash or a zero byte in it: no path leads there.
    #[error("{0:?} cannot be the name of an entry")]
    Name(String),
    /// Names are to be unique, and sorted by their bytes so that this shows.
    #[error("{0:?} is not sorted, or occurs twice")]
    Order(String),
    /// Names whose hashes agree in all 64 bits; nothing in IPFS can hold both.
    #[error("{0:?} and {1:?} fall on the same place in a sharded directory")]
    Collision(String, String),
}

/// Makes a directory of `entries`, sorted by name, and hands out its blocks, children before parents, the root last.
///
/// Memory grows by the blocks' sizes only while one is made: at most [`MAX_BASIC`].
///
/// # Errors
/// See [`BadEntries`]; blocks may have been handed out before `Collision`.
pub fn build(entries: &[Entry], mut on_block: impl FnMut(Block)) -> Result<Built, BadEntries> {
    for (i, entry) in entries.iter().enumerate() {
        let name = entry.name.as_str();
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(BadEntries::Name(name.to_owned()));
        }
        if i > 0 && entries[i - 1].name.as_str() >= name {
            return Err(BadEntries::Order(name.to_owned()));
        }
    }
    let empty = node::directory([]).len();
    if empty + entries.iter().map(|entry| node::link_len(&entry.link())).sum::<usize>() <= MAX_BASIC {
        let below = entries.iter().map(|entry| entry.dag_size).sum();
        return Ok(put(node::directory(entries.iter().map(Entry::link)), below, &mut on_block));
    }
    let mut placed: Vec<Placed> =
        entries.iter().map(|entry| (murmur3(entry.name.as_bytes()).to_be_bytes(), entry)).collect();
    placed.sort_by_key(|(place, _)| *place);
    shard(&placed, 0, &mut on_block)
}

type Placed<'a> = ([u8; LEVELS], &'a Entry);

/// The shard of entries whose places agree in their first `level` bytes.
fn shard(placed: &[Placed], level: usize, on_block: &mut dyn FnMut(Block)) -> Result<Built, BadEntries> {
    if level == LEVELS {
        let name = |i: usize| placed[i].1.name.clone();
        return Err(BadEntries::Collision(name(0), name(1)));
    }
    let mut children = Vec::new();
    let mut bits = [0; FAN_OUT as usize / 8];
    for same in placed.chunk_by(|a, b| a.0[level] == b.0[level]) {
        let child = same[0].0[level];
        bits[31 - usize::from(child / 8)] |= 1 << (child % 8);
        // An entry that is alone sits here; others share a shard below.
        children.push(match same {
            [(_, entry)] => (format!("{child:02X}{}", entry.name), Built { root: entry.cid, dag_size: entry.dag_size }),
            _ => (format!("{child:02X}"), shard(same, level + 1, on_block)?),
        });
    }
    let below = children.iter().map(|(_, child)| child.dag_size).sum();
    let links =
        children.iter().map(|(name, child)| Link { cid: child.root, name: name.as_bytes(), tsize: child.dag_size });
    Ok(put(node::shard(links, &bits), below, on_block))
}

fn put(bytes: Vec<u8>, below: u64, on_block: &mut dyn FnMut(Block)) -> Built {
    let built = Built { root: Cid::dag_pb(Sha256::of(&bytes)), dag_size: bytes.len() as u64 + below };
    on_block(Block { cid: built.root, bytes });
    built
}

impl Entry {
    fn link(&self) -> Link<'_> {
        Link { cid: self.cid, name: self.name.as_bytes(), tsize: self.dag_size }
    }
}

/// Where the search for a name stands after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The entry and the bytes of all its blocks (a hint: whoever made the directory says so).
    Entry(Cid, u64),
    /// Proven: the directory has no such name.
    Nothing,
    /// The block of this shard is needed next.
    Below(Cid),
}

/// Looks one name up in a directory, block by block; a small directory has one, a large one two or three.
#[derive(Clone, Debug)]
pub struct Search<'n> {
    name: &'n str,
    wanted: Cid,
    level: usize,
}

impl<'n> Search<'n> {
    /// A search for `name` in the directory `root`.
    pub fn new(root: Cid, name: &'n str) -> Self {
        Self { name, wanted: root, level: 0 }
    }

    /// The block to push next.
    pub fn wanted(&self) -> Cid {
        self.wanted
    }

    /// Takes the wanted block. After [`Found::Below`] the search goes on with the block named there.
    ///
    /// # Errors
    /// Nothing has changed then. `NotTheBlock`, `TooLong`: another source may have the right one. `NotADirectory` and
    /// the rest stay with the CID.
    pub fn push(&mut self, block: &[u8]) -> Result<Found, BadDag> {
        let found = match super::open(self.wanted, block)? {
            Node::File { .. } => return Err(BadDag::NotADirectory),
            Node::Directory(_) if self.level > 0 => return Err(BadDag::Malformed("a directory within a shard")),
            Node::Directory(links) => named(&links, self.name.as_bytes())?,
            Node::Shard(links) => self.child(&links)?,
        };
        if let Found::Below(cid) = found {
            self.wanted = cid;
            self.level += 1;
        }
        Ok(found)
    }

    fn child(&self, links: &[Link]) -> Result<Found, BadDag> {
        let place = murmur3(self.name.as_bytes()).to_be_bytes();
        let child = place.get(self.level).ok_or(BadDag::Limit { what: "levels of shards", limit: LEVELS as u64 })?;
        let prefix = format!("{child:02X}");
        Ok(match links.iter().find(|link| link.name.starts_with(prefix.as_bytes())) {
            Some(link) if link.name.len() == 2 => Found::Below(link.cid),
            Some(link) if link.name[2..] == *self.name.as_bytes() => Found::Entry(link.cid, link.tsize),
            _ => Found::Nothing,
        })
    }
}

/// Looks `name` up in a directory of one block.
///
/// `None` means that the directory has no such name, proven by the block's hash.
///
/// # Errors
/// As [`Search::push`]; `NotFlat` when the directory is sharded, which [`Search`] reads.
pub fn entry(directory: Cid, block: &[u8], name: &str) -> Result<Option<(Cid, u64)>, BadDag> {
    match super::open(directory, block)? {
        Node::Directory(links) => Ok(match named(&links, name.as_bytes())? {
            Found::Entry(cid, dag_size) => Some((cid, dag_size)),
            _ => None,
        }),
        Node::Shard(_) => Err(BadDag::NotFlat),
        Node::File { .. } => Err(BadDag::NotADirectory),
    }
}

/// All entries are looked at: two of one name would mean that it depends on the reader what a path means.
fn named(links: &[Link], name: &[u8]) -> Result<Found, BadDag> {
    let mut same = links.iter().filter(|link| link.name == name);
    let found = same.next().map_or(Found::Nothing, |link| Found::Entry(link.cid, link.tsize));
    if same.next().is_some() {
        return Err(BadDag::Malformed("a name occurs twice in a directory"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use proptest::prelude::*;

    fn entries(names: impl IntoIterator<Item = String>) -> Vec<Entry> {
        let leaf = |name: &String| Cid::raw(Sha256::of(name.as_bytes()));
        let mut out: Vec<Entry> =
            names.into_iter().map(|name| Entry { cid: leaf(&name), dag_size: name.len() as u64, name }).collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    fn made(entries: &[Entry]) -> (Built, HashMap<Cid, Vec<u8>>, Cid) {
        let (mut blocks, mut last) = (HashMap::new(), None);
        let built = build(entries, |block| {
            assert!(block.cid.proves(&block.bytes));
            last = Some(block.cid);
            blocks.insert(block.cid, block.bytes);
        })
        .unwrap();
        (built, blocks, last.unwrap())
    }

    fn search(root: Cid, blocks: &HashMap<Cid, Vec<u8>>, name: &str) -> Result<Found, BadDag> {
        let mut search = Search::new(root, name);
        loop {
            match search.push(&blocks[&search.wanted()])? {
                Found::Below(cid) => assert_eq!(cid, search.wanted()),
                found => return Ok(found),
            }
        }
    }

    #[test]
    fn an_empty_directory_is_the_one_everybody_knows() {
        let (built, blocks, root) = made(&[]);
        // `ipfs object new unixfs-dir`: QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn, here as CIDv1.
        assert_eq!(built.root.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
        assert_eq!((built.root, built.dag_size), (root, 4));
        assert_eq!(entry(root, &blocks[&root], "a"), Ok(None));
    }

    #[test]
    fn every_name_is_found_in_a_small_and_in_a_sharded_directory() {
        for count in [10, 7000] {
            let entries = entries((0..count).map(|i| format!("name-{i}")));
            let (built, blocks, root) = made(&entries);
            assert_eq!((built.root, blocks.len() > 1), (root, count == 7000));
            let own: usize = blocks.values().map(Vec::len).sum();
            let below: u64 = entries.iter().map(|entry| entry.dag_size).sum();
            assert_eq!(built.dag_size, own as u64 + below);
            for wanted in &entries {
                let found = Found::Entry(wanted.cid, wanted.dag_size);
                assert_eq!(search(root, &blocks, &wanted.name), Ok(found), "{}", wanted.name);
            }
            assert_eq!(search(root, &blocks, "name-x"), Ok(Found::Nothing));
            assert_eq!(search(root, &blocks, ""), Ok(Found::Nothing));
            match count {
                10 => assert_eq!(entry(root, &blocks[&root], "name-3"), Ok(Some((entries[3].cid, 6)))),
                _ => assert_eq!(entry(root, &blocks[&root], "name-3"), Err(BadDag::NotFlat)),
            }
        }
    }

    #[test]
    fn names_that_no_path_reaches_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\0"] {
            assert_eq!(build(&entries([bad.to_owned()]), drop), Err(BadEntries::Name(bad.to_owned())));
        }
        let twice = entries(["a".to_owned(), "a".to_owned()]);
        assert_eq!(build(&twice, drop), Err(BadEntries::Order("a".to_owned())));
        let mut unsorted = entries(["a".to_owned(), "b".to_owned()]);
        unsorted.reverse();
        assert_eq!(build(&unsorted, drop), Err(BadEntries::Order("a".to_owned())));
    }

    #[test]
    fn a_search_tells_a_wrong_block_from_a_wrong_kind() {
        let root = Cid::raw(Sha256::of(b"file"));
        assert_eq!(Search::new(root, "a").push(b"file"), Err(BadDag::NotADirectory));
        assert_eq!(Search::new(root, "a").push(b"else"), Err(BadDag::NotTheBlock(root)));
        assert_eq!(entry(root, b"file", "a"), Err(BadDag::NotADirectory));
    }

    #[test]
    fn a_name_that_occurs_twice_has_no_meaning() {
        let link = |content: &[u8]| Link { cid: Cid::raw(Sha256::of(content)), name: b"a", tsize: 1 };
        let block = node::directory([link(b"1"), link(b"2")]);
        let root = Cid::dag_pb(Sha256::of(&block));
        assert!(matches!(entry(root, &block, "a"), Err(BadDag::Malformed(_))));
        assert_eq!(entry(root, &block, "b"), Ok(None));
    }

    #[test]
    fn names_on_the_same_place_in_every_shard_are_refused() {
        // 64 bits of murmur3 do not collide by chance; the place is given here instead.
        let two = entries(["a".to_owned(), "b".to_owned()]);
        let placed = [([7; LEVELS], &two[0]), ([7; LEVELS], &two[1])];
        let refused = shard(&placed, 0, &mut |_| panic!("no block of it is sound"));
        assert_eq!(refused, Err(BadEntries::Collision("a".to_owned(), "b".to_owned())));
    }

    #[test]
    fn shards_that_lead_into_themselves_end() {
        // No hash can do that; a chain as deep as the hash and one more can.
        let place = murmur3(b"a").to_be_bytes();
        let mut below = Cid::dag_pb(Sha256::of(b""));
        let mut blocks = HashMap::new();
        for level in (0..=LEVELS).rev() {
            let name = format!("{:02X}", place.get(level).unwrap_or(&0));
            let block = node::shard([Link { cid: below, name: name.as_bytes(), tsize: 0 }], &[1; 32]);
            below = Cid::dag_pb(Sha256::of(&block));
            blocks.insert(below, block);
        }
        assert!(matches!(search(below, &blocks, "a"), Err(BadDag::Limit { .. })));
    }

    proptest! {
        #[test]
        fn a_directory_says_of_every_name_what_was_put_in(
            there in proptest::collection::btree_map("[a-c]{1,3}", any::<u32>(), 0..20),
            name in "[a-c]{1,3}",
        ) {
            let there: BTreeMap<String, u32> = there;
            let cid = |value: u32| Cid::raw(Sha256::of(&value.to_le_bytes()));
            let entries: Vec<Entry> = there
                .iter()
                .map(|(name, value)| Entry { name: name.clone(), cid: cid(*value), dag_size: (*value).into() })
                .collect();
            let (_, blocks, root) = made(&entries);
            let expected = there.get(&name).map(|value| (cid(*value), u64::from(*value)));
            prop_assert_eq!(entry(root, &blocks[&root], &name), Ok(expected));
        }
    }
}
