//! The room that a keeper may use: its quota, Kubo's own limit, and what is to stay free on that disk.

use std::io;

use super::located::RepoPlace;
use std::path::Path;

use crate::config::keep::MinFree;
use crate::config::value::show_size;
use crate::net::kubo::{Kubo, KuboError, RepoSize};

/// The unit of Kubo's StorageMax.
const GB: u64 = 1_000_000_000;

/// The file system of Kubo's repository.
#[derive(Debug)]
pub(super) struct KuboDisk {
    place: RepoPlace,
    min_free: MinFree,
    /// Kubo's own limit and its use, when it was asked last.
    repo: RepoSize,
}

/// The free room of a disk.
enum FreeRoom {
    /// Free bytes, and those that are to stay free.
    Seen(u64, u64),
    /// No disk can be looked at; [`RepoPlace::note`] says so.
    NotLookedAt,
    /// One that could be looked at cannot any more.
    Lost(io::Error),
}

impl KuboDisk {
    /// Asks how large the repository is, at this place.
    ///
    /// # Errors
    /// Those of the daemon.
    pub(super) async fn find(kubo: &Kubo, place: RepoPlace, min_free: MinFree) -> Result<Self, KuboError> {
        Ok(Self { place, min_free, repo: kubo.repo_size().await? })
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
        match self.free() {
            FreeRoom::Seen(free, least) => within.min(free.saturating_sub(least)),
            FreeRoom::NotLookedAt => within,
            FreeRoom::Lost(_) => 0,
        }
    }

    /// Returns the bytes that have to go.
    pub(super) fn lacking(&self) -> u64 {
        let over = self.repo.used.saturating_sub(self.repo.most);
        match self.free() {
            FreeRoom::Seen(free, least) => over.max(least.saturating_sub(free)),
            FreeRoom::NotLookedAt | FreeRoom::Lost(_) => over,
        }
    }

    /// Tells which limit leaves no room to a share that takes `held` bytes and would take `wanted`.
    pub(super) fn limit(&self, held: u64, wanted: u64) -> String {
        let RepoSize { used, most } = self.repo;
        match (self.free(), &self.place) {
            (FreeRoom::Lost(why), RepoPlace::Here(_, at)) => {
                format!("the disk of {} can be looked at no more: {why}", at.display())
            }
            (FreeRoom::Seen(free, least), RepoPlace::Here(_, at))
                if free.saturating_sub(least) < most.saturating_sub(used) =>
            {
                let (free, least, at) = (show_size(free), show_size(least), at.display());
                format!("{free} are free on the disk of {at}, and min_free keeps {least}")
            }
            _ => self.too_small(held, wanted).unwrap_or_else(|| {
                format!("Kubo uses {} of its Datastore.StorageMax of {}", show_size(used), show_size(most))
            }),
        }
    }

    /// Tells what to do where Kubo's own limit leaves less than `wanted` to a share that takes `held` bytes now; `None` where
    /// it does not.
    pub(super) fn too_small(&self, held: u64, wanted: u64) -> Option<String> {
        let others = self.repo.used.saturating_sub(held);
        let left = self.repo.most.saturating_sub(others);
        // Kubo's collector begins at nine tenths.
        let enough = others.saturating_add(wanted).div_ceil(GB / 10 * 9);
        (wanted > left).then(|| {
            format!(
                "Kubo's Datastore.StorageMax of {} leaves {} for it; `ipfs config Datastore.StorageMax {enough}GB` and a \
                 restart of Kubo leave more",
                show_size(self.repo.most),
                show_size(left)
            )
        })
    }

    fn free(&self) -> FreeRoom {
        let RepoPlace::Here(_, at) = &self.place else { return FreeRoom::NotLookedAt };
        match rustix::fs::statvfs(at) {
            Ok(found) => {
                let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
                FreeRoom::Seen(bytes(found.f_bavail), self.min_free.of(bytes(found.f_blocks)))
            }
            Err(e) => FreeRoom::Lost(e.into()),
        }
    }
}

/// The file system of a store.
#[derive(Debug)]
pub(super) struct StoreDisk<'a> {
    /// A path on it.
    pub(super) at: &'a Path,
    pub(super) min_free: MinFree,
}

impl StoreDisk<'_> {
    /// Returns the bytes that may be added, quotas aside; none where it cannot be asked.
    pub(super) fn room(&self) -> u64 {
        self.free().map_or(0, |(free, least)| free.saturating_sub(least))
    }

    /// Returns the bytes that have to go.
    pub(super) fn lacking(&self) -> u64 {
        self.free().map_or(0, |(free, least)| least.saturating_sub(free))
    }

    /// Returns the free bytes, and those that are to stay free.
    fn free(&self) -> Option<(u64, u64)> {
        let found = rustix::fs::statvfs(self.at).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some((bytes(found.f_bavail), self.min_free.of(bytes(found.f_blocks))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(place: RepoPlace, used: u64, most: u64) -> KuboDisk {
        KuboDisk { place, min_free: MinFree::Percent(0), repo: RepoSize { used, most } }
    }

    #[test]
    fn a_disk_that_can_be_looked_at_no_more_has_no_room_and_lets_nothing_go() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_owned();
        let disk = disk(RepoPlace::Here(at.clone(), at.clone()), 10 * GB, 20 * GB);
        assert!(disk.room() > 0);
        drop(dir);
        assert_eq!((disk.room(), disk.lacking()), (0, 0));
        let says = format!("the disk of {} can be looked at no more: ", at.display());
        assert!(disk.limit(GB, 2 * GB).starts_with(&says), "{}", disk.limit(GB, 2 * GB));
    }

    #[test]
    fn the_limit_that_leaves_no_room_is_named_with_its_remedy() {
        // Of ten, four are of the share; two are free: it may have six.
        let full = disk(RepoPlace::Elsewhere, 8 * GB, 10 * GB);
        assert_eq!(full.too_small(4 * GB, 6 * GB), None);
        let says =
            "Kubo's Datastore.StorageMax of 9.3 GiB leaves 5.6 GiB for it; `ipfs config Datastore.StorageMax 49GB`";
        assert!(full.limit(4 * GB, 40 * GB).starts_with(says), "{}", full.limit(4 * GB, 40 * GB));
        let root = RepoPlace::Here("/".into(), "/".into());
        let mut full = disk(root, 0, u64::MAX);
        full.min_free = MinFree::Bytes(u64::MAX);
        let says = full.limit(0, GB);
        assert!(says.contains(" are free on the disk of /, and min_free keeps "), "{says}");
    }
}
