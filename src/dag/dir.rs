//! Directories: made natively, so that a publisher needs no daemon to know the root of its tree, and names looked
//! up in proven blocks, so that no gateway decides what a path means.
//!
//! A directory is one block while that is at most [`MAX_BASIC`] bytes, else it is spread over shards by the names'
//! hashes (`specs:src/unixfs.md`, `boxo:ipld/unixfs/hamt`). The form follows from the entries alone, in whatever
//! order they were added.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;
use crate::base::digest::Sha256;

use super::murmur::murmur3;
use super::unixfs::{self, DagLink, DagNode, FAN_OUT};
use super::{Block, DagError};

/// Longest block of a directory in one block, in bytes: 256 KiB. A longer one is sharded (IPIP-499, `block-bytes`,
/// `>`).
pub(crate) const MAX_BASIC: usize = 256 << 10;

/// Bits of the hash. Each level uses as many as choose among its children, the highest first: 8 where there are
/// 256.
const HASH: u32 = u64::BITS;

/// An entry: a file, or a directory made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Unique within the directory.
    pub name: String,
    /// Its root.
    pub cid: Cid,
    /// Bytes of all its blocks (`BuiltDirectory::dag_size` of a file or directory).
    pub dag_size: u64,
}

/// The CID and the size of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltDirectory {
    /// The directory's CID.
    pub root: Cid,
    /// Bytes of its own blocks and all blocks of its entries, as the directory above states them.
    pub(crate) dag_size: u64,
}

/// The reason why entries do not form a directory. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Empty, `.`, `..`, or with a slash or a zero byte in it: no path leads there.
    #[error("{0:?} cannot be the name of an entry")]
    Name(String),
    /// Names out of order or repeated: they must be unique and sorted by their bytes.
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
/// See [`DirectoryError`]; blocks may have been handed out before `Collision`.
pub fn build(entries: &[DirectoryEntry], mut on_block: impl FnMut(Block)) -> Result<BuiltDirectory, DirectoryError> {
    for (i, entry) in entries.iter().enumerate() {
        let name = entry.name.as_str();
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(DirectoryError::Name(name.to_owned()));
        }
        if i > 0 && entries[i - 1].name.as_str() >= name {
            return Err(DirectoryError::Order(name.to_owned()));
        }
    }
    let empty = unixfs::directory([]).len();
    if empty + entries.iter().map(|entry| unixfs::link_len(&entry.link())).sum::<usize>() <= MAX_BASIC {
        let below = entries.iter().map(|entry| entry.dag_size).sum();
        return Ok(put(unixfs::directory(entries.iter().map(DirectoryEntry::link)), below, &mut on_block));
    }
    let mut hashed: Vec<HashedEntry> = entries.iter().map(|entry| (murmur3(entry.name.as_bytes()), entry)).collect();
    hashed.sort_by_key(|(hash, _)| *hash);
    shard(&hashed, 0, FAN_OUT, &mut on_block)
}

type HashedEntry<'a> = (u64, &'a DirectoryEntry);

/// Returns which of the `fan_out` children of a shard a name with this hash belongs to, where the shards above used
/// `taken` bits; `None` when no bits are left.
fn child_index(hash: u64, taken: u32, fan_out: u64) -> Option<u64> {
    let left = HASH.checked_sub(taken + fan_out.trailing_zeros())?;
    Some((hash >> left) & (fan_out - 1))
}

/// Makes the shard of entries whose hashes agree in their first `taken` bits.
fn shard(
    hashed: &[HashedEntry],
    taken: u32,
    fan_out: u64,
    on_block: &mut dyn FnMut(Block),
) -> Result<BuiltDirectory, DirectoryError> {
    let collision = || DirectoryError::Collision(hashed[0].1.name.clone(), hashed[1].1.name.clone());
    let mut children = Vec::new();
    let (mut bits, digits) = (vec![0; fan_out as usize / 8], unixfs::digits(fan_out));
    for same in hashed.chunk_by(|a, b| child_index(a.0, taken, fan_out) == child_index(b.0, taken, fan_out)) {
        let child = child_index(same[0].0, taken, fan_out).ok_or_else(collision)?;
        let byte = bits.len() - 1 - child as usize / 8;
        bits[byte] |= 1u8 << (child % 8);
        // An entry that is alone sits here; others share a shard below.
        children.push(match same {
            [(_, entry)] => {
                let built = BuiltDirectory { root: entry.cid, dag_size: entry.dag_size };
                (format!("{child:0digits$X}{}", entry.name), built)
            }
            _ => {
                let below = shard(same, taken + fan_out.trailing_zeros(), fan_out, on_block)?;
                (format!("{child:0digits$X}"), below)
            }
        });
    }
    let below = children.iter().map(|(_, child)| child.dag_size).sum();
    let links = children.iter().map(|(name, child)| DagLink {
        cid: child.root.into(),
        name: name.as_bytes(),
        tsize: child.dag_size,
    });
    Ok(put(unixfs::shard(links, fan_out, &bits), below, on_block))
}

fn put(bytes: Vec<u8>, below: u64, on_block: &mut dyn FnMut(Block)) -> BuiltDirectory {
    let built = BuiltDirectory { root: Cid::dag_pb(Sha256::of(&bytes)), dag_size: bytes.len() as u64 + below };
    on_block(Block { cid: built.root, bytes });
    built
}

impl DirectoryEntry {
    fn link(&self) -> DagLink<'_> {
        DagLink { cid: self.cid.into(), name: self.name.as_bytes(), tsize: self.dag_size }
    }
}

/// The state of the search for a name after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchState {
    /// The entry and the bytes of all its blocks (a hint: the directory's maker states them).
    Entry(Cid, u64),
    /// Proven: the directory has no such name.
    Nothing,
    /// The block of this shard is needed next.
    Below(Cid),
}

/// A look-up of one name in a directory, block by block; a small directory has one, a large one two or three.
#[derive(Clone, Debug)]
pub struct DirectorySearch<'n> {
    name: &'n str,
    wanted: Cid,
    /// Bits of the name's hash that the shards above used.
    taken: u32,
}

impl<'n> DirectorySearch<'n> {
    /// Begins a search for `name` in the directory `root`.
    pub fn new(root: Cid, name: &'n str) -> Self {
        Self { name, wanted: root, taken: 0 }
    }

    /// Returns the CID of the block to push next.
    pub fn wanted(&self) -> Cid {
        self.wanted
    }

    /// Takes the wanted block. After [`SearchState::Below`] the search goes on with the block named there.
    ///
    /// # Errors
    /// The search is unchanged then. `NotTheBlock`, `TooLong`: another source may have the right one. `Foreign`:
    /// the entry is there, and of a kind that is not read here. `NotADirectory` and the rest are in the content
    /// that the CID names.
    pub fn push(&mut self, block: &[u8]) -> Result<SearchState, DagError> {
        match super::open(self.wanted, block)? {
            DagNode::File { .. } => Err(DagError::NotADirectory),
            DagNode::Directory(_) if self.taken > 0 => Err(DagError::Malformed("a directory within a shard")),
            DagNode::Directory(links) => named(&links, self.name.as_bytes()),
            DagNode::Shard { links, fan_out } => {
                let found = self.child(&links, fan_out)?;
                if let SearchState::Below(cid) = found {
                    self.wanted = cid;
                    self.taken += fan_out.trailing_zeros();
                }
                Ok(found)
            }
        }
    }

    fn child(&self, links: &[DagLink], fan_out: u64) -> Result<SearchState, DagError> {
        let child = child_index(murmur3(self.name.as_bytes()), self.taken, fan_out)
            .ok_or(DagError::Limit { what: "bits of a hash in its shards", limit: HASH.into() })?;
        let digits = unixfs::digits(fan_out);
        let prefix = format!("{child:0digits$X}");
        match links.iter().find(|link| link.name.starts_with(prefix.as_bytes())) {
            Some(link) if link.name.len() == digits => Ok(SearchState::Below(link.cid.cid()?)),
            Some(link) if link.name[digits..] == *self.name.as_bytes() => {
                Ok(SearchState::Entry(link.cid.cid()?, link.tsize))
            }
            _ => Ok(SearchState::Nothing),
        }
    }
}

/// Looks `name` up in a directory of one block.
///
/// `None` means that the directory has no such name, proven by the block's hash.
///
/// # Errors
/// As [`DirectorySearch::push`]; `NotFlat` when the directory is sharded, which [`DirectorySearch`] reads.
pub fn entry(directory: Cid, block: &[u8], name: &str) -> Result<Option<(Cid, u64)>, DagError> {
    match super::open(directory, block)? {
        DagNode::Directory(links) => Ok(match named(&links, name.as_bytes())? {
            SearchState::Entry(cid, dag_size) => Some((cid, dag_size)),
            _ => None,
        }),
        DagNode::Shard { .. } => Err(DagError::NotFlat),
        DagNode::File { .. } => Err(DagError::NotADirectory),
    }
}

/// Returns the first of several entries with one name, as Kubo does (boxo 0.42, `ipld/merkledag/node.go`,
/// `GetNodeLink`).
fn named(links: &[DagLink], name: &[u8]) -> Result<SearchState, DagError> {
    match links.iter().find(|link| link.name == name) {
        Some(link) => Ok(SearchState::Entry(link.cid.cid()?, link.tsize)),
        None => Ok(SearchState::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::unixfs::LinkTarget;
    use super::*;
    use proptest::prelude::*;

    fn entries(names: impl IntoIterator<Item = String>) -> Vec<DirectoryEntry> {
        let leaf = |name: &String| Cid::raw(Sha256::of(name.as_bytes()));
        let mut out: Vec<DirectoryEntry> = names
            .into_iter()
            .map(|name| DirectoryEntry { cid: leaf(&name), dag_size: name.len() as u64, name })
            .collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    fn made(entries: &[DirectoryEntry]) -> (BuiltDirectory, HashMap<Cid, Vec<u8>>, Cid) {
        let (mut blocks, mut last) = (HashMap::new(), None);
        let built = build(entries, |block| {
            assert!(block.cid.proves(&block.bytes));
            last = Some(block.cid);
            blocks.insert(block.cid, block.bytes);
        })
        .unwrap();
        (built, blocks, last.unwrap())
    }

    fn search(root: Cid, blocks: &HashMap<Cid, Vec<u8>>, name: &str) -> Result<SearchState, DagError> {
        let mut search = DirectorySearch::new(root, name);
        loop {
            match search.push(&blocks[&search.wanted()])? {
                SearchState::Below(cid) => assert_eq!(cid, search.wanted()),
                found => return Ok(found),
            }
        }
    }

    #[test]
    fn an_empty_directory_is_the_well_known_one() {
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
                let found = SearchState::Entry(wanted.cid, wanted.dag_size);
                assert_eq!(search(root, &blocks, &wanted.name), Ok(found), "{}", wanted.name);
            }
            assert_eq!(search(root, &blocks, "name-x"), Ok(SearchState::Nothing));
            assert_eq!(search(root, &blocks, ""), Ok(SearchState::Nothing));
            match count {
                10 => assert_eq!(entry(root, &blocks[&root], "name-3"), Ok(Some((entries[3].cid, 6)))),
                _ => assert_eq!(entry(root, &blocks[&root], "name-3"), Err(DagError::NotFlat)),
            }
        }
    }

    #[test]
    fn names_that_no_path_reaches_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\0"] {
            assert_eq!(build(&entries([bad.to_owned()]), drop), Err(DirectoryError::Name(bad.to_owned())));
        }
        let twice = entries(["a".to_owned(), "a".to_owned()]);
        assert_eq!(build(&twice, drop), Err(DirectoryError::Order("a".to_owned())));
        let mut unsorted = entries(["a".to_owned(), "b".to_owned()]);
        unsorted.reverse();
        assert_eq!(build(&unsorted, drop), Err(DirectoryError::Order("a".to_owned())));
    }

    #[test]
    fn a_search_tells_a_wrong_block_from_a_wrong_kind() {
        let root = Cid::raw(Sha256::of(b"file"));
        assert_eq!(DirectorySearch::new(root, "a").push(b"file"), Err(DagError::NotADirectory));
        assert_eq!(DirectorySearch::new(root, "a").push(b"else"), Err(DagError::NotTheBlock(root.into())));
        assert_eq!(entry(root, b"file", "a"), Err(DagError::NotADirectory));
    }

    #[test]
    fn of_two_entries_with_one_name_the_first_counts() {
        let link = |content: &[u8]| DagLink { cid: Cid::raw(Sha256::of(content)).into(), name: b"a", tsize: 1 };
        let block = unixfs::directory([link(b"1"), link(b"2")]);
        let root = Cid::dag_pb(Sha256::of(&block));
        assert_eq!(entry(root, &block, "a"), Ok(Some((Cid::raw(Sha256::of(b"1")), 1))));
        assert_eq!(entry(root, &block, "b"), Ok(None));
    }

    #[test]
    fn one_foreign_entry_makes_no_directory_unreadable() {
        let inlined = [&[1, 0x55, 0, 5][..], b"hello"].concat();
        let cbor = [&[1, 0x71, 0x12, 32][..], &[7; 32]].concat();
        let sha512 = [&[1, 0x55, 0x13, 64][..], &[7; 64]].concat();
        let entries = [("cbor", &cbor[..]), ("inlined", &inlined), ("nonsense", b"x"), ("sha512", &sha512)];
        let plain = Cid::raw(Sha256::of(b"plain"));
        let links =
            entries.map(|(name, cid)| DagLink { cid: LinkTarget::Foreign(cid), name: name.as_bytes(), tsize: 1 });
        let plain_link = DagLink { cid: plain.into(), name: b"plain", tsize: 5 };
        let block = unixfs::directory([links[0], links[1], links[2], plain_link, links[3]]);
        let root = Cid::dag_pb(Sha256::of(&block));
        let find = |name| DirectorySearch::new(root, name).push(&block);
        assert_eq!(find("plain"), Ok(SearchState::Entry(plain, 5)));
        assert_eq!(find("absent"), Ok(SearchState::Nothing));
        let Ok(SearchState::Entry(inline, 1)) = find("inlined") else { panic!("an identity CID is simple to read") };
        assert_eq!(inline.inline(), Some(&b"hello"[..]));
        for (name, reason) in [("cbor", "dag-cbor"), ("sha512", "sha2-512"), ("nonsense", "not a CID")] {
            let refused = find(name).unwrap_err();
            assert!(matches!(refused, DagError::Foreign(_)), "{refused:?}");
            assert!(refused.to_string().contains(reason), "{refused}");
        }
    }

    #[test]
    fn shards_of_every_fan_out_are_searched() {
        let entries = entries((0..3000).map(|i| format!("name-{i}")));
        let mut hashed: Vec<HashedEntry> =
            entries.iter().map(|entry| (murmur3(entry.name.as_bytes()), entry)).collect();
        hashed.sort_by_key(|(hash, _)| *hash);
        for fan_out in [8, 16, 32, 64, 128, 512, 1024] {
            let mut blocks = HashMap::new();
            let built = shard(&hashed, 0, fan_out, &mut |block| drop(blocks.insert(block.cid, block.bytes))).unwrap();
            for wanted in &entries {
                let found = SearchState::Entry(wanted.cid, wanted.dag_size);
                assert_eq!(search(built.root, &blocks, &wanted.name), Ok(found), "{} of {fan_out}", wanted.name);
            }
            assert_eq!(search(built.root, &blocks, "name-x"), Ok(SearchState::Nothing), "{fan_out}");
        }
    }

    #[test]
    fn names_on_the_same_place_in_every_shard_are_refused() {
        // 64 bits of murmur3 do not collide by chance; the place is given here instead.
        let two = entries(["a".to_owned(), "b".to_owned()]);
        let hashed = [(7, &two[0]), (7, &two[1])];
        for fan_out in [8, FAN_OUT, 1024] {
            let refused = shard(&hashed, 0, fan_out, &mut |_| panic!("no block of it is sound"));
            assert_eq!(refused, Err(DirectoryError::Collision("a".to_owned(), "b".to_owned())));
        }
    }

    #[test]
    fn shards_that_lead_into_themselves_end() {
        // No hash can do that; a chain as deep as the hash and one more can.
        for fan_out in [8, FAN_OUT, 1024] {
            let (bits, digits) = (fan_out.trailing_zeros(), unixfs::digits(fan_out));
            let mut below = Cid::dag_pb(Sha256::of(b""));
            let mut blocks = HashMap::new();
            for level in (0..=HASH / bits).rev() {
                let child = child_index(murmur3(b"a"), level * bits, fan_out).unwrap_or(0);
                let name = format!("{child:0digits$X}");
                let link = DagLink { cid: below.into(), name: name.as_bytes(), tsize: 0 };
                let block = unixfs::shard([link], fan_out, &[1; 32]);
                below = Cid::dag_pb(Sha256::of(&block));
                blocks.insert(below, block);
            }
            assert!(matches!(search(below, &blocks, "a"), Err(DagError::Limit { .. })), "{fan_out}");
        }
    }

    proptest! {
        #[test]
        fn a_directory_says_of_every_name_what_was_put_in(
            there in proptest::collection::btree_map("[a-c]{1,3}", any::<u32>(), 0..20),
            name in "[a-c]{1,3}",
        ) {
            let there: BTreeMap<String, u32> = there;
            let cid = |value: u32| Cid::raw(Sha256::of(&value.to_le_bytes()));
            let entries: Vec<DirectoryEntry> = there
                .iter()
                .map(|(name, value)| DirectoryEntry { name: name.clone(), cid: cid(*value), dag_size: (*value).into() })
                .collect();
            let (_, blocks, root) = made(&entries);
            let expected = there.get(&name).map(|value| (cid(*value), u64::from(*value)));
            prop_assert_eq!(entry(root, &blocks[&root], &name), Ok(expected));
        }
    }
}
