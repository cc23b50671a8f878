//! Where Kubo's repository is on this machine, and so which disk has to have room.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statvfs};

use super::state::{KeeperPlace, KnownRepo};
use crate::net::kubo::{Kubo, KuboErrorKind};

/// Difference of two looks at the free bytes of one disk, on which others write, above which they are of two disks; or
/// a hundredth of them.
const ALIKE: u64 = 64 << 20;

/// Where the repository is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RepoPlace {
    /// At this path; the disk is that of the second one, the same or above it.
    Here(PathBuf, PathBuf),
    /// At this path, on a disk that this user cannot look at.
    Hidden(PathBuf),
    /// On another machine, or in a container.
    Elsewhere,
    /// The daemon did not say, for this reason.
    Unknown(String),
}

impl RepoPlace {
    /// Returns the sentence for the user where no disk can be looked at.
    pub(super) fn note(&self) -> Option<String> {
        let without = "min_free is not looked at, StorageMax is";
        match self {
            Self::Here(..) => None,
            Self::Hidden(repo) => {
                Some(format!("this user cannot look at the disk of Kubo's repository, {}: {without}", repo.display()))
            }
            Self::Elsewhere => Some(format!("Kubo's disk is not on this machine: {without}")),
            Self::Unknown(why) => {
                Some(format!("Kubo did not say where its repository is ({why}): {without}, until it does"))
            }
        }
    }
}

/// Asks where the repository is, and remembers that: a large repository takes minutes to answer. It is asked again where the
/// path that is remembered is no directory any more.
///
/// `at` is the address of the daemon in the settings: another daemon has another repository.
pub(super) async fn locate(kubo: &Kubo, at: String, place: &KeeperPlace) -> RepoPlace {
    if !kubo.is_local() {
        return RepoPlace::Elsewhere;
    }
    let known = place.repo().filter(|known| known.kubo == at && may_be_there(&known.repo));
    let repo = match &known {
        Some(known) => known.repo.clone(),
        None => match kubo.repo_path().await {
            Ok(path) => path,
            Err(fault) if fault.kind == KuboErrorKind::Deadline => {
                return RepoPlace::Unknown("it was still counting its blocks".to_owned());
            }
            Err(fault) => return RepoPlace::Unknown(fault.text),
        },
    };
    let found = on_disk(kubo, repo).await;
    let (repo, measured) = match &found {
        RepoPlace::Here(repo, measured) => (repo.clone(), Some(measured.clone())),
        RepoPlace::Hidden(repo) => (repo.clone(), None),
        RepoPlace::Elsewhere | RepoPlace::Unknown(_) => return found,
    };
    let now = KnownRepo { kubo: at, repo, measured };
    if known.as_ref() != Some(&now) {
        // Where it cannot be written down it is asked again.
        let _ = place.remember(&now);
    }
    found
}

/// Finds the disk of this path.
async fn on_disk(kubo: &Kubo, repo: PathBuf) -> RepoPlace {
    let mut at = match repo.is_absolute() {
        true => repo.as_path(),
        false => return RepoPlace::Elsewhere,
    };
    loop {
        match statvfs(at).map_err(io::Error::from) {
            Ok(_) if at == repo => return RepoPlace::Here(repo.clone(), repo),
            // The repository may be on another disk than the directory above it: Kubo knows.
            Ok(seen) => {
                let is_same = kubo.disk_free().await.is_ok_and(|told| is_alike(told, &seen));
                let measured = at.to_owned();
                return if is_same { RepoPlace::Here(repo, measured) } else { RepoPlace::Hidden(repo) };
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => match at.parent() {
                Some(above) => at = above,
                None => return RepoPlace::Hidden(repo),
            },
            Err(_) => return RepoPlace::Elsewhere,
        }
    }
}

fn is_alike(told: u64, seen: &StatVfs) -> bool {
    let seen = seen.f_bfree.saturating_mul(seen.f_frsize);
    told.abs_diff(seen) <= ALIKE.max(seen / 100)
}

/// True for a directory, and for what this user cannot look at.
fn may_be_there(repo: &Path) -> bool {
    match repo.metadata() {
        Ok(found) => found.is_dir(),
        Err(e) => e.kind() == io::ErrorKind::PermissionDenied,
    }
}
