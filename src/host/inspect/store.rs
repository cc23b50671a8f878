//! The stores and their use; our directories of the system, and the user that downloads.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::units;
use crate::base::users::{self, User};
use crate::config::Settings;
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::pacman::prefetch::state::PrefetchState;
use crate::pins::keep::Ledger;
use crate::store::contents::{self, Use};

/// The directories of the system, its units, and the user that downloads.
#[derive(Debug, Default)]
pub(crate) struct SystemFacts {
    /// The user that downloads: pacman's DownloadUser, else the one that works for root. `None` when there is
    /// neither.
    pub(crate) user: Option<User>,
    /// True when that is `nobody`, for lack of a user of our own.
    pub(crate) is_nobody: bool,
    /// The store and the state.
    pub(crate) directories: Vec<Directory>,
    /// Units of ours that failed when they last ran.
    pub(crate) failed_units: Vec<String>,
    /// Services of ours whose timers are enabled, and the users they run as.
    pub(crate) services: Vec<(String, String)>,
    /// The daemon's program, where its unit is installed and it is not.
    pub(crate) missing_daemon: Option<PathBuf>,
}

/// One of our directories.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its purpose.
    pub(crate) what: &'static str,
    /// Its owner and mode; `None` when it does not exist.
    pub(crate) found: Option<(u32, u32)>,
    /// Free bytes and files; `None` when that cannot be told.
    pub(crate) room: Option<(u64, u64)>,
}

/// A store that this user may read.
#[derive(Clone, Debug)]
pub(crate) struct StoreUse {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// Its contents.
    pub(crate) held: Use,
    /// Bytes that Kubo cached on its behalf.
    pub(crate) kubo_cached: u64,
}

impl SystemFacts {
    /// Inspects the directories and asks systemd.
    pub(crate) fn look(settings: &Settings, conf: Option<&PacmanConf>) -> Self {
        let named = settings.download_user.as_deref().and_then(users::named);
        let downloader = conf.and_then(|conf| users::named(conf.download_user.as_deref()?));
        let store = settings.store_dir.as_deref();
        let owner = store.and_then(|dir| std::fs::symlink_metadata(dir).ok()).map(|found| found.uid());
        let owner = owner.and_then(users::with_id);
        // The same choice of the user that works for root as in handover.rs.
        let usual = users::USUAL.iter().find_map(|name| Some((*name, users::named(name)?)));
        let real = |user: Option<User>| user.filter(|user| user.uid != 0);
        // Root only where the setting says so.
        let chosen = real(downloader).or(named).or(real(owner));
        let directories = store.map(|dir| look_at(dir, "the store")).into_iter();
        Self {
            user: chosen.or(usual.map(|(_, user)| user)),
            is_nobody: chosen.is_none() && usual.is_some_and(|(name, _)| name == "nobody"),
            directories: directories.chain([look_at(&settings.state_dir, "the state of indexes")]).collect(),
            failed_units: units::failed(),
            services: units::timed_services(),
            missing_daemon: units::missing_daemon(Path::new("/")),
        }
    }
}

fn look_at(path: &Path, what: &'static str) -> Directory {
    let found = std::fs::symlink_metadata(path).ok().map(|found| (found.uid(), found.mode()));
    let room = rustix::fs::statvfs(path).ok().map(|fs| {
        // Some file systems count no files.
        let files = if fs.f_files == 0 { u64::MAX } else { fs.f_favail };
        (fs.f_bavail.saturating_mul(fs.f_frsize), files)
    });
    Directory { path: path.to_owned(), what, found, room }
}

/// Measures the stores that exist and that this user may read.
pub(crate) fn in_use(settings: &Settings) -> Vec<StoreUse> {
    let of_one = |dir: &PathBuf| {
        let held = contents::usage(dir).ok()?;
        Some(StoreUse { dir: dir.clone(), held, kubo_cached: Ledger::at(dir).total().unwrap_or(0) })
    };
    settings.stores.iter().filter_map(of_one).collect()
}

/// Returns the updates that the latest prefetch into any store found.
pub(crate) fn updates(settings: &Settings) -> PrefetchState {
    let states = settings.stores.iter().map(|store| PrefetchState::now(store));
    states.max_by_key(|state| state.checked).unwrap_or_default()
}
