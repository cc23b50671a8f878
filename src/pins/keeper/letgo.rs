//! Removes files that left the share from Kubo's disk, and the nodes of former roots: of their blocks, those that no pin
//! and no file of MFS reaches.
//!
//! The daemon refuses to remove what a pin reaches, the keeper's own new root included; MFS is looked at here
//! (`what_the_user_pinned_or_has_in_mfs_stays_when_it_leaves_the_share`).

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::base::cid::{Cid, Codec};
use crate::dag::unixfs::{self, DagNode, LinkTarget};
use crate::net::kubo::{Kubo, KuboError};
use crate::pins::PinError;
use crate::pins::keep::{AT_ONCE, blocks};
use crate::pins::mfs::Mfs;

/// Files whose blocks are removed in one go, with one look at MFS.
pub(super) const FILES_AT_ONCE: usize = 1000;
/// Most nodes of a root: those of a million files.
const NODES_MOST: usize = 1 << 16;
/// Longest time for looking through MFS and removing.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Removes these files and former roots, [`FILES_AT_ONCE`] at most, and returns those that are done with: what the user
/// keeps of them stays, and so do `nodes`, those of the present root.
///
/// # Errors
/// The first failure of the daemon. Removing again continues with the rest.
pub(super) async fn remove(kubo: &Kubo, files: &[Cid], nodes: &HashSet<Cid>) -> Result<Vec<Cid>, PinError> {
    let until = Instant::now() + PATIENCE;
    let files: Vec<Cid> = files.iter().take(FILES_AT_ONCE).copied().collect();
    let mut all = Vec::new();
    for file in &files {
        // Children first: as long as the root is there, an interrupted removal can be continued.
        let of_root = nodes_of(kubo, *file).await?;
        let of_file = if of_root.is_empty() { blocks(kubo, *file).await? } else { of_root };
        all.extend(of_file.into_iter().filter(|cid| !nodes.contains(cid)).rev());
    }
    let watched: HashSet<_> = all.iter().map(Cid::digest).collect();
    let mut mfs = Mfs::watching(watched, until);
    for group in all.chunks(AT_ONCE) {
        // Asked again each time: files put into MFS a moment ago stay as well.
        let kept = mfs.reached(kubo).await?;
        let group: Vec<Cid> = group.iter().filter(|cid| !kept.contains(&cid.digest())).copied().collect();
        if !group.is_empty() {
            kubo.remove_blocks(&group).await?;
        }
    }
    Ok(files)
}

/// Lists the nodes of a keeper's root, which are directories, parents first; none for what is a file or not there. The
/// files in them are not among them: each leaves for itself.
async fn nodes_of(kubo: &Kubo, root: Cid) -> Result<Vec<Cid>, KuboError> {
    let (mut nodes, mut unread) = (Vec::new(), vec![root]);
    if root.codec() != Codec::DagPb {
        return Ok(nodes);
    }
    while let Some(cid) = unread.pop() {
        if nodes.len() >= NODES_MOST {
            break;
        }
        if cid.codec() != Codec::DagPb {
            // The keeper's number, beside the directories.
            nodes.push(cid);
            continue;
        }
        let Some(block) = kubo.local_block(cid).await? else { continue };
        let (links, prefix) = match unixfs::decode(&block) {
            Ok(DagNode::Directory(links)) => (links, 0),
            Ok(DagNode::Shard { links, fan_out }) => (links, unixfs::digits(fan_out)),
            _ => continue,
        };
        nodes.push(cid);
        let is_node = |name: &[u8]| if prefix > 0 { name.len() == prefix } else { cid == root };
        let below = links.iter().filter(|link| is_node(link.name));
        unread.extend(below.filter_map(|link| match link.cid {
            LinkTarget::Cid(cid) => Some(cid),
            LinkTarget::Foreign(_) => None,
        }));
    }
    Ok(nodes)
}
