//! The one root that a keeper pins: a directory of all files of its share, and of nothing else.
//!
//! ```text
//! <root>/key     32 bytes, by which its share differs from others; no secret
//! <root>/ours/   the files that came because of the keeper, named by their CIDs
//! <root>/found/  those that were in Kubo before
//! ```
//!
//! One pin for all files costs a thousandth of what a pin a file does. Directories, because every strategy of Kubo's
//! that announces files announces those in them, and `ipfs ls` lists them. Only files that are here whole are in it:
//! pinning it needs no network.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;

use super::state::KeptEntry;
use crate::base::cid::{Cid, Codec};
use crate::base::digest::Sha256;
use crate::dag::build::dag_size;
use crate::dag::dir::{self, DirectoryEntry};
use crate::dag::unixfs::{self, DagLink, DagNode};
use crate::dag::{Block, unixfs::LinkTarget};
use crate::net::kubo::{Kubo, KuboError};

/// Names in the root.
const FOUND: &str = "found";
const KEY: &str = "key";
const OURS: &str = "ours";
/// Most blocks of a root that are read: those of a million files.
const BLOCKS_MOST: usize = 1 << 16;

/// A root and its own blocks, those of the files not among them.
#[derive(Clone, Debug)]
pub struct ShareRoot {
    /// Its CID.
    pub cid: Cid,
    /// Children before parents, the root last.
    pub blocks: Vec<Block>,
}

impl ShareRoot {
    /// Builds the root of these files. The same files give the same root.
    pub fn of(key: Sha256, files: &BTreeMap<Cid, KeptEntry>) -> Self {
        let mut blocks = Vec::new();
        let mut below = |ours: bool| {
            let entry = |(cid, file): (&Cid, &KeptEntry)| DirectoryEntry {
                name: cid.to_string(),
                cid: *cid,
                dag_size: dag_size(file.size),
            };
            let mut entries: Vec<_> = files.iter().filter(|(_, file)| file.ours == ours).map(entry).collect();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            dir::build(&entries, |block| blocks.push(block)).expect("texts of CIDs are plain names, and differ early")
        };
        let (found, ours) = (below(false), below(true));
        let raw = Cid::raw(Sha256::of(&key.0));
        blocks.push(Block { cid: raw, bytes: key.0.to_vec() });
        let entry = |name: &str, cid, dag_size| DirectoryEntry { name: name.to_owned(), cid, dag_size };
        let entries = [
            entry(FOUND, found.root, found.dag_size),
            entry(KEY, raw, key.0.len() as u64),
            entry(OURS, ours.root, ours.dag_size),
        ];
        let cid = dir::build(&entries, |block| blocks.push(block)).expect("three names").root;
        Self { cid, blocks }
    }
}

/// The content of a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRoot {
    /// The keeper's number.
    pub key: Option<Sha256>,
    /// Its files. Their sizes are those of their blocks, a little more than their own.
    pub files: BTreeMap<Cid, KeptEntry>,
}

/// Reads the root `root` from the daemon's own disk; what is missing or not understood is left out.
///
/// # Errors
/// Those of the daemon.
pub(super) async fn read(kubo: &Kubo, root: Cid) -> Result<ReadRoot, KuboError> {
    let mut read = ReadRoot::default();
    let mut unread = Vec::new();
    let Some(block) = kubo.local_block(root).await? else { return Ok(read) };
    for (name, link, _) in links(&block).0 {
        match name.as_str() {
            KEY => {
                let key = kubo.local_block(link).await?.and_then(|key| <[u8; 32]>::try_from(key).ok());
                read.key = key.map(Sha256);
            }
            FOUND => unread.push((link, false)),
            OURS => unread.push((link, true)),
            _ => {}
        }
    }
    let mut blocks = 0;
    while let Some((node, ours)) = unread.pop() {
        blocks += 1;
        if blocks > BLOCKS_MOST || node.codec() != Codec::DagPb {
            continue;
        }
        let Some(block) = kubo.local_block(node).await? else { continue };
        let (entries, shards) = links(&block);
        read.files.extend(entries.into_iter().map(|(_, cid, size)| (cid, KeptEntry::in_kubo(size, ours))));
        unread.extend(shards.into_iter().map(|shard| (shard, ours)));
    }
    Ok(read)
}

/// Returns the entries of a directory or a shard (name, CID, bytes of their blocks), and the shards below it.
fn links(block: &[u8]) -> (Vec<(String, Cid, u64)>, Vec<Cid>) {
    let (mut entries, mut shards) = (Vec::new(), Vec::new());
    let (links, prefix) = match unixfs::decode(block) {
        Ok(DagNode::Directory(links)) => (links, 0),
        Ok(DagNode::Shard { links, fan_out }) => (links, unixfs::digits(fan_out)),
        _ => return (entries, shards),
    };
    for DagLink { cid, name, tsize } in links {
        let LinkTarget::Cid(cid) = cid else { continue };
        match name.get(prefix..) {
            Some([]) if prefix > 0 => shards.push(cid),
            Some(name) => entries.push((String::from_utf8_lossy(name).into_owned(), cid, tsize)),
            None => {}
        }
    }
    (entries, shards)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::size::BLOCK_MOST;

    #[test]
    fn a_root_depends_on_its_files_alone_and_no_node_is_too_large() {
        let file = |n: u32| (Cid::raw(Sha256::of(&n.to_le_bytes())), KeptEntry::in_kubo(4, n > 900));
        let files: BTreeMap<_, _> = (0..4000).map(file).collect();
        let root = ShareRoot::of(Sha256([7; 32]), &files);
        assert_eq!(root.cid, ShareRoot::of(Sha256([7; 32]), &(0..4000).rev().map(file).collect()).cid);
        assert_ne!(root.cid, ShareRoot::of(Sha256([8; 32]), &files).cid);
        assert_ne!(root.cid, ShareRoot::of(Sha256([7; 32]), &(1..4000).map(file).collect()).cid);
        assert!(root.blocks.iter().all(|block| block.bytes.len() <= BLOCK_MOST && block.cid.proves(&block.bytes)));
        assert_eq!(root.blocks.last().map(|block| block.cid), Some(root.cid));
        let listed: usize = root.blocks.iter().map(|block| links(&block.bytes).0.len()).sum();
        assert_eq!(listed, 4000 + 3);
    }
}
