//! The room that a keeper may use: its quota, Kubo's own limit, and what is to stay free on that disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::size::{CHUNK, WIDTH};
use crate::config::keep::MinFree;
use crate::net::kubo::{Kubo, KuboError, RepoSize};

/// The unit in which file systems give room.
const PAGE: u64 = 4096;
/// Bytes of a link in a node, rounded up.
const LINK: u64 = 64;
/// Bytes of a file's entries in the old and the new root together, rounded up as they are on a disk.
const ENTRY: u64 = 512;

/// Returns the bytes that a file of `size` bytes takes on Kubo's disk at most: its blocks, each in a file of its own, and
/// its places in the keeper's roots.
pub(super) fn cost(size: u64) -> u64 {
    let pages = |bytes: u64| bytes.div_ceil(PAGE).max(1).saturating_mul(PAGE);
    let leaves = size.div_ceil(CHUNK as u64);
    let nodes = if leaves > 1 { pages(leaves * LINK).saturating_add(PAGE * (leaves / WIDTH as u64 + 1)) } else { 0 };
    pages(size).saturating_add(nodes).saturating_add(ENTRY)
}

/// The file system of Kubo's repository.
#[derive(Debug)]
pub(super) struct KuboDisk {
    /// A path on it; `None` where it is not on this machine.
    at: Option<PathBuf>,
    min_free: MinFree,
    /// Kubo's own limit and its use, when it was asked last.
    repo: RepoSize,
}

impl KuboDisk {
    /// Asks where the repository is, and how large.
    ///
    /// # Errors
    /// Those of the daemon.
    pub(super) async fn find(kubo: &Kubo, min_free: MinFree) -> Result<Self, KuboError> {
        let repo = kubo.repo_size().await?;
        // A large repository may take longer to count than is waited for: then its own limit is all there is.
        let at = match kubo.is_local() {
            true => kubo.repo_path().await.ok().and_then(|path| visible(&path)),
            false => None,
        };
        Ok(Self { at, min_free, repo })
    }

    /// True if its free room is known.
    pub(super) fn is_here(&self) -> bool {
        self.at.is_some()
    }

    /// Asks again how much Kubo uses.
    pub(super) async fn look_again(&mut self, kubo: &Kubo) -> Result<(), KuboError> {
        self.repo = kubo.repo_size().await?;
        Ok(())
    }

    /// Counts the bytes that Kubo is about to use more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.repo.used = self.repo.used.saturating_add(bytes);
    }

    /// Returns the bytes that may be added, quotas aside.
    pub(super) fn room(&self) -> u64 {
        let within = self.repo.most.saturating_sub(self.repo.used);
        self.free().map_or(within, |(free, least)| within.min(free.saturating_sub(least)))
    }

    /// Returns the bytes that have to go.
    pub(super) fn lacking(&self) -> u64 {
        let over = self.repo.used.saturating_sub(self.repo.most);
        self.free().map_or(over, |(free, least)| over.max(least.saturating_sub(free)))
    }

    /// Returns the free bytes, and those that are to stay free.
    fn free(&self) -> Option<(u64, u64)> {
        let found = rustix::fs::statvfs(self.at.as_ref()?).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some((bytes(found.f_bavail), self.min_free.of(bytes(found.f_blocks))))
    }
}

/// Returns the path, or the nearest one above it that this user can look at; `None` where there is no such path here.
fn visible(path: &Path) -> Option<PathBuf> {
    let mut at = path.is_absolute().then_some(path)?;
    loop {
        match rustix::fs::statvfs(at) {
            Ok(_) => return Some(at.to_owned()),
            Err(e) if io::Error::from(e).kind() == io::ErrorKind::PermissionDenied => at = at.parent()?,
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_costs_what_its_blocks_take_on_a_disk() {
        assert_eq!(cost(0), PAGE + ENTRY);
        assert_eq!(cost(PAGE), PAGE + ENTRY);
        assert_eq!(cost(1 << 20), (1 << 20) + ENTRY);
        // Two leaves, the second of one page, and the node over them.
        assert_eq!(cost((1 << 20) + 1), (1 << 20) + PAGE + 2 * PAGE + ENTRY);
        assert!(cost(u64::MAX >> 24) > u64::MAX >> 24);
    }
}
