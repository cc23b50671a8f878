//! `kubo.share = "installed"`: puts what pacman installed from public repositories into the local Kubo, so that who uses
//! mirrors feeds the swarm.
//!
//! A file goes there once: from pacman's cache, if the version that it holds is installed, a list or an index proves it,
//! and `share.repos` allows its repository. The newest go, as many as `kubo.keep` allows, and are trimmed like all that
//! Kubo caches because of us: none is pinned, and a file that was there before is the user's. What has gone is in
//! `<store>/kubo-shared`, a sha256 a line.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::base::budget::Budget;
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::fsx::{self, Lasting};
use crate::base::name::FileName;
use crate::config::AskPolicy;
use crate::dag::build::{build, build_blocks};
use crate::engine::want::Want;
use crate::lists::pacman::names;
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, upload};
use crate::pacman::prefetch::pending;
use crate::pins::keep::Ledger;
use crate::trust::plan::Expect;

/// Time after which no further file is begun; the next run goes on.
const TIME: Duration = Duration::from_secs(600);
/// Longest wait for one file, beside a second for each MiB.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of the list of what has gone: half a million files.
const GONE_MOST: u64 = 32 << 20;

/// What a run has put into Kubo.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct InstalledShare {
    /// Files.
    pub(crate) files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// A file in pacman's cache whose package is installed.
struct InstalledFile {
    path: PathBuf,
    sha256: Sha256,
    size: u64,
    /// When it came there, Unix seconds.
    came: u64,
}

/// Puts there what is missing; nothing where it is not asked for, Kubo is not running, or another run is at it.
///
/// # Errors
/// `File` where the list cannot be written; `Kubo`, also when it is full. What has gone before counts, and trying again
/// goes on.
pub(crate) async fn share(machine: &Machine, lists: &Lists) -> Result<InstalledShare, SharingError> {
    let settings = &machine.settings;
    if !settings.kubo_shares_installed || !machine.asks_kubo() || machine.store.is_passing() {
        return Ok(InstalledShare::default());
    }
    let dir = machine.store.dir();
    let Ok(_alone) = fsx::lock(&dir.join("kubo-shared.lock"), Duration::ZERO) else {
        return Ok(InstalledShare::default());
    };
    let gone = dir.join("kubo-shared");
    let text = fsx::read_small(&gone, machine.env.uid, GONE_MOST).unwrap_or_default();
    let known: HashSet<Sha256> = String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect();
    let files = chosen(files(lists), settings.kubo_keep);
    if files.iter().all(|file| known.contains(&file.sha256)) {
        return Ok(InstalledShare::default());
    }
    let work = SharingWork { kubo: machine.kubo(), ledger: Ledger::at(dir), gone };
    let files = files.into_iter().filter(|file| !known.contains(&file.sha256));
    match work.put(files).await {
        // No answer is usual on machines without Kubo.
        Err(SharingError::Kubo(fault))
            if fault.kind == KuboErrorKind::Unreachable && settings.kubo == AskPolicy::Auto =>
        {
            Ok(InstalledShare::default())
        }
        done => done,
    }
}

/// The reason why not everything has gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharingError {
    /// The daemon failed, or is full. Trying again later may help.
    #[error(transparent)]
    Kubo(#[from] KuboError),
    /// A file of this machine could not be written.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Lists the files in pacman's caches whose packages are installed, proven by a list or an index, and may be shared.
fn files(lists: &Lists) -> Vec<InstalledFile> {
    let Some(conf) = lists.conf() else { return Vec::new() };
    let installed = pending::installed(&conf.db_path.join("local"));
    let repos: Vec<_> = conf.repos.iter().map(|repo| &repo.name).filter(|repo| lists.may_share(repo)).collect();
    let mut found = Vec::new();
    for entry in conf.cache_dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten() {
        let name = entry.file_name().into_string().ok().and_then(|name| FileName::new(name).ok());
        let Some((name, seen)) = name.zip(entry.metadata().ok().filter(std::fs::Metadata::is_file)) else { continue };
        let is_installed = names::package(&name)
            .is_some_and(|parts| installed.get(parts.name).is_some_and(|version| version == parts.version));
        if !is_installed {
            continue;
        }
        let listed = repos.iter().find_map(|repo| match Want::in_repo(lists, repo, name.clone()).ok()?.plan.expect {
            Expect::Exact { sha256, size } => Some((sha256, size)),
            Expect::Waived(_) => None,
        });
        if let Some((sha256, size)) = listed.filter(|(_, size)| *size == seen.len()) {
            let came = u64::try_from(seen.ctime()).unwrap_or(0);
            found.push(InstalledFile { path: entry.path(), sha256, size, came });
        }
    }
    found
}

/// Chooses the newest of them, as many as fit into `keep` bytes: what is older would be trimmed at once.
fn chosen(mut files: Vec<InstalledFile>, keep: u64) -> Vec<InstalledFile> {
    files.sort_by_key(|file| (std::cmp::Reverse(file.came), file.sha256));
    let mut filling = Budget::of(keep).filling(u64::MAX);
    let most = files.iter().position(|file| !filling.admit(file.size)).unwrap_or(files.len());
    files.truncate(most);
    files
}

struct SharingWork {
    kubo: Kubo,
    ledger: Ledger,
    /// The list of what has gone.
    gone: PathBuf,
}

impl SharingWork {
    async fn put(&self, files: impl Iterator<Item = InstalledFile>) -> Result<InstalledShare, SharingError> {
        let (until, mut done) = (Instant::now() + TIME, InstalledShare::default());
        let size = self.kubo.repo_size().await?;
        // Above nine tenths of its limit Kubo may collect what the user has cached (`Datastore.StorageGCWatermark`).
        let mut filling = Budget::of(size.most / 10 * 9).filling(u64::MAX);
        if !filling.admit(size.used) {
            return Ok(done);
        }
        for file in files {
            if Instant::now() >= until || !filling.admit(file.size) {
                break;
            }
            if self.put_one(&file).await? {
                done = InstalledShare { files: done.files + 1, bytes: done.bytes + file.size };
            }
            fsx::add_line(&self.gone, &format!("{}\n", file.sha256), Lasting::Cached)?;
        }
        Ok(done)
    }

    /// Returns true when it has gone; one that is not what it is called, or is there already, does not go.
    async fn put_one(&self, file: &InstalledFile) -> Result<bool, SharingError> {
        let built = match fsx::open_read(&file.path).and_then(build) {
            Ok(built) if built.sha256 == file.sha256 => built,
            // pacman may have removed it meanwhile.
            Ok(_) | Err(_) => return Ok(false),
        };
        let root: Cid = built.root;
        if self.kubo.local_block(root).await?.is_some() {
            return Ok(false);
        }
        // Before it goes: what Kubo has of it after a crash is trimmed all the same.
        self.ledger.note(root, file.size, file.came)?;
        let path = file.path.clone();
        let car = upload::car(root, move |put| match build_blocks(fsx::open_read(&path)?, put)?.root == root {
            true => Ok(()),
            false => Err(io::Error::other("it changed while it was sent")),
        });
        self.kubo.import(car, root, false, PATIENCE + Duration::from_secs(file.size >> 20)).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_go_as_many_as_would_not_be_trimmed_at_once() {
        let file = |n: u8, size, came| InstalledFile { path: PathBuf::new(), sha256: Sha256([n; 32]), size, came };
        let files = || vec![file(1, 10, 100), file(2, 20, 300), file(3, 5, 200), file(4, 1, 50)];
        let of = |keep| chosen(files(), keep).into_iter().map(|file| file.sha256.0[0]).collect::<Vec<_>>();
        assert_eq!(of(100), [2, 3, 1, 4]);
        assert_eq!(of(25), [2, 3]);
        assert_eq!(of(34), [2, 3], "an older one does not go before a newer one");
        assert_eq!(of(19), [0; 0]);
    }
}
