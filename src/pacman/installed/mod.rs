//! `kubo.share = "installed"`: puts what pacman installed from public repositories into the local Kubo, so that users of
//! mirrors feed the swarm.
//!
//! A file goes there once: from pacman's cache, if the version that it holds is installed, a list or an index proves it,
//! and its repository is public: by its servers, which have public addresses (`reach`), or because `share.repos` names
//! it. The newest go, as many as `kubo.keep` allows beside what downloads left there, and are trimmed like all that Kubo
//! caches because of us: none is pinned, and a file that was there whole before is the user's.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::base::budget::Budget;
use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::config::{AskPolicy, SharePolicy};
use crate::dag::build::{build, build_blocks};
use crate::engine::want::Want;
use crate::lists::pacman::names;
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, upload};
use crate::pacman::prefetch::pending;
use crate::pins::keep::Ledger;
use crate::pins::keeper::is_whole;
use crate::trust::plan::Expect;

mod given;
mod reach;

use given::GivenList;

/// Time after which no further file is begun; the next run goes on.
const TIME: Duration = Duration::from_secs(600);
/// Longest wait for one file, beside a second for each MiB.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time beyond [`TIME`] that the last file takes.
const BEYOND: Duration = Duration::from_secs(60);

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
    repo: RepoName,
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
    let mut given = GivenList::read(dir.join("kubo-shared"), machine.env.uid);
    let ledger = Ledger::at(dir);
    let cached: Vec<_> = ledger.listed()?.into_iter().filter(|(cid, ..)| !given.has_root(*cid)).collect();
    let cached = cached.into_iter().map(|(_, size, time)| (time, size)).collect();
    let mut files = chosen(files(lists), cached, settings.kubo_keep);
    let (kubo, now) = (machine.kubo(), clock::now());
    let work = async {
        if !files.is_empty() && given.is_due(now) {
            given.look(files.iter().map(|file| file.sha256), &kubo, now).await??;
        }
        files.retain(|file| !given.has(&file.sha256));
        retain_public(lists, &mut files).await;
        if files.is_empty() {
            return Ok(InstalledShare::default());
        }
        SharingWork { kubo: kubo.clone(), ledger, given }.put(files).await
    };
    match work.await {
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

/// Leaves out files of repositories whose servers are not public; one that `share.repos` names is so by that.
async fn retain_public(lists: &Lists, files: &mut Vec<InstalledFile>) {
    let mut known: HashMap<RepoName, bool> = HashMap::new();
    for repo in files.iter().map(|file| &file.repo).collect::<HashSet<_>>() {
        let is_public = match &lists.machine().settings.share {
            SharePolicy::Named(_) => true,
            SharePolicy::Public => match lists.repo(repo) {
                Some(repo) => reach::is_public(repo).await,
                None => false,
            },
        };
        known.insert(repo.clone(), is_public);
    }
    files.retain(|file| known[&file.repo]);
}

/// Lists the files in pacman's caches whose packages are installed, proven by a list or an index, and may be given.
fn files(lists: &Lists) -> Vec<InstalledFile> {
    let Some(conf) = lists.conf() else { return Vec::new() };
    let installed = pending::installed(&conf.db_path.join("local"));
    let repos: Vec<_> = conf.repos.iter().map(|repo| &repo.name).filter(|repo| lists.may_give(repo)).collect();
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
            Expect::Exact { sha256, size } => Some(((*repo).clone(), sha256, size)),
            Expect::Waived(_) => None,
        });
        if let Some((repo, sha256, size)) = listed.filter(|(.., size)| *size == seen.len()) {
            let came = u64::try_from(seen.ctime()).unwrap_or(0);
            found.push(InstalledFile { path: entry.path(), repo, sha256, size, came });
        }
    }
    found
}

/// Chooses the newest of them, as many as fit into `keep` bytes beside what is `cached` already (time and size) and is
/// younger: what is older would be trimmed at once.
fn chosen(mut files: Vec<InstalledFile>, mut cached: Vec<(u64, u64)>, keep: u64) -> Vec<InstalledFile> {
    files.sort_by_key(|file| (std::cmp::Reverse(file.came), file.sha256));
    cached.sort_unstable();
    let mut filling = Budget::of(keep).filling(u64::MAX);
    let most = files.iter().position(|file| {
        while let Some((_, size)) = cached.pop_if(|(time, _)| *time > file.came) {
            filling.admit(size);
        }
        !filling.admit(file.size)
    });
    files.truncate(most.unwrap_or(files.len()));
    files
}

struct SharingWork {
    kubo: Kubo,
    ledger: Ledger,
    given: GivenList,
}

/// What became of one file.
enum GivenFile {
    /// It has gone.
    Went(Cid),
    /// Kubo had it whole: it is the user's.
    WasThere(Cid),
    /// It cannot be read, or is not what it is called.
    Unfit,
}

impl SharingWork {
    async fn put(&self, files: Vec<InstalledFile>) -> Result<InstalledShare, SharingError> {
        let (until, mut done) = (Instant::now() + TIME, InstalledShare::default());
        let size = self.kubo.repo_size().await?;
        // Above nine tenths of its limit Kubo may collect what the user has cached (`Datastore.StorageGCWatermark`).
        let mut filling = Budget::of(size.most / 10 * 9).filling(u64::MAX);
        if !filling.admit(size.used) {
            return Ok(done);
        }
        let mut failed = None;
        for file in files {
            if Instant::now() >= until || !filling.admit(file.size) {
                break;
            }
            match self.put_one(&file, until + BEYOND).await {
                Ok(GivenFile::Went(root)) => {
                    done = InstalledShare { files: done.files + 1, bytes: done.bytes + file.size };
                    self.given.note(file.sha256, Some(root))?;
                }
                Ok(GivenFile::WasThere(root)) => self.given.note(file.sha256, Some(root))?,
                Ok(GivenFile::Unfit) => self.given.note(file.sha256, None)?,
                // The others may go all the same.
                Err(SharingError::Kubo(fault)) if fault.kind == KuboErrorKind::Deadline => {
                    failed = failed.or(Some(fault));
                }
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(done), |fault| Err(fault.into()))
    }

    /// Sends one file.
    async fn put_one(&self, file: &InstalledFile, until: Instant) -> Result<GivenFile, SharingError> {
        let built = match fsx::open_read(&file.path).and_then(build) {
            Ok(built) if built.sha256 == file.sha256 => built,
            // pacman may have removed it meanwhile.
            Ok(_) | Err(_) => return Ok(GivenFile::Unfit),
        };
        let root: Cid = built.root;
        if is_whole(&self.kubo, root).await? {
            return Ok(GivenFile::WasThere(root));
        }
        // Before it goes: what Kubo has of it after a crash is trimmed all the same.
        self.ledger.note(root, file.size, file.came)?;
        let path = file.path.clone();
        let car = upload::car(root, move |put| match build_blocks(fsx::open_read(&path)?, put)?.root == root {
            true => Ok(()),
            false => Err(io::Error::other("it changed while it was sent")),
        });
        let patience = PATIENCE + Duration::from_secs(file.size >> 20);
        self.kubo.import(car, root, false, patience.min(until.saturating_duration_since(Instant::now()))).await?;
        Ok(GivenFile::Went(root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_go_as_many_as_would_not_be_trimmed_at_once() {
        let file = |n: u8, size, came| InstalledFile {
            path: PathBuf::new(),
            repo: RepoName::new("core").unwrap(),
            sha256: Sha256([n; 32]),
            size,
            came,
        };
        let files = || vec![file(1, 10, 100), file(2, 20, 300), file(3, 5, 200), file(4, 1, 50)];
        let of = |keep| chosen(files(), Vec::new(), keep).into_iter().map(|file| file.sha256.0[0]).collect::<Vec<_>>();
        assert_eq!(of(100), [2, 3, 1, 4]);
        assert_eq!(of(25), [2, 3]);
        assert_eq!(of(34), [2, 3], "an older one does not go before a newer one");
        assert_eq!(of(19), [0; 0]);
        let beside = |cached: &[(u64, u64)]| {
            chosen(files(), cached.to_vec(), 35).into_iter().map(|file| file.sha256.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(beside(&[(50, 10), (60, 10)]), [2, 3, 1], "what is older is trimmed first");
        assert_eq!(beside(&[(250, 11)]), [2], "a younger download takes its room");
    }
}
