//! The blocks that MFS reaches (`ipfs files`): files that the user keeps and that no pin protects.
//!
//! Kubo's own collector starts at the root of MFS as it does at pins, and skips blocks that are not on the disk
//! (Kubo 0.43, `gc/gc.go`, `bestEffortRoots`). This does the same: offline, for nodes of any codec, with blocks
//! compared by their hash, as on Kubo's disk.

use std::collections::HashSet;
use std::time::Instant;

use crate::base::cid::AnyCid;
use crate::base::digest::Sha256;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind};

/// A walk of MFS that is repeated when its root has changed.
pub(super) struct Mfs {
    /// Blocks whose reachability is in question.
    watched: HashSet<Sha256>,
    /// Those of them that MFS reaches, or reached at the last walk.
    reached: HashSet<Sha256>,
    /// Nodes that were read; their links never change.
    seen: HashSet<AnyCid>,
    root: Option<AnyCid>,
    until: Instant,
}

impl Mfs {
    /// Watches these blocks, and gives up at `until`.
    pub(super) fn watching(watched: HashSet<Sha256>, until: Instant) -> Self {
        Self { watched, reached: HashSet::new(), seen: HashSet::new(), root: None, until }
    }

    /// Returns the watched blocks that MFS reaches now.
    ///
    /// # Errors
    /// When MFS could not be walked: then it is unknown what it reaches.
    pub(super) async fn reached(&mut self, kubo: &Kubo) -> Result<&HashSet<Sha256>, KuboError> {
        let root = kubo.mfs_root().await?;
        if self.root != Some(root) {
            self.root = None;
            self.look(kubo, root).await?;
            self.root = Some(root);
        }
        Ok(&self.reached)
    }

    async fn look(&mut self, kubo: &Kubo, root: AnyCid) -> Result<(), KuboError> {
        let mut unread = vec![root];
        self.note(root);
        while let Some(node) = unread.pop() {
            if Instant::now() >= self.until {
                let text = "MFS holds more than can be looked through in time; nothing is removed without that";
                return Err(KuboError::new("files/stat", KuboErrorKind::Deadline, text));
            }
            if self.seen.contains(&node) {
                continue;
            }
            let links = match kubo.local_links(node).await? {
                Some(links) => links,
                None if node == root => {
                    return Err(KuboError::new("files/stat", KuboErrorKind::Absent, "the root of MFS is missing"));
                }
                // This node keeps no block below it on this disk.
                None => Vec::new(),
            };
            for link in links {
                self.note(link);
                if !link.is_leaf() {
                    unread.push(link);
                }
            }
            self.seen.insert(node);
        }
        Ok(())
    }

    fn note(&mut self, cid: AnyCid) {
        self.reached.extend(cid.sha256().filter(|digest| self.watched.contains(digest)));
    }
}
