//! The installation of pacman: its release, its configuration, the program that it downloads with, and what lies about
//! in its directories.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::base::fsx;
use crate::base::users::{self, Access, User};
use crate::config::Settings;
use crate::lists::pacman::entries::entries;
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::lists::pacman::question::{ConfError, ConfQuestion};
use crate::lists::pacman::version::{self, Version};

fn question(settings: &Settings) -> ConfQuestion {
    ConfQuestion { config: settings.pacman_conf.clone(), ..ConfQuestion::default() }
}

/// Asks `pacman-conf` for the configuration that the settings name, without a run of pacman.
///
/// # Errors
/// `ConfError`.
pub(crate) fn conf(settings: &Settings) -> Result<PacmanConf, ConfError> {
    question(settings).ask()
}

/// Returns the package caches of that configuration; none where it is not known.
pub(crate) fn cache_dirs(settings: &Settings) -> Vec<PathBuf> {
    conf(settings).map(|conf| conf.cache_dirs).unwrap_or_default()
}

/// The installation and configuration of pacman.
#[derive(Debug)]
pub(crate) struct PacmanFacts {
    /// Its release; `None` when it prints none.
    pub(crate) version: Option<Version>,
    /// The output of `pacman-conf`, or why there is none.
    pub(crate) conf: Result<PacmanConf, String>,
    /// The file or directory of the configuration that the download user cannot read.
    pub(crate) closed_conf: Option<PathBuf>,
    /// Directories that a download left behind, and databases that the download user cannot read.
    pub(crate) leftovers: Leftovers,
    /// The sync database with the latest date, and how far that is ahead of this machine's clock.
    pub(crate) ahead: Option<(PathBuf, Duration)>,
}

/// Files in pacman's directories that should not be there.
#[derive(Clone, Default, Debug)]
pub(crate) struct Leftovers {
    /// `download-XXXXXX` directories that belong to no running pacman.
    pub(crate) downloads: Vec<PathBuf>,
    /// Partial files in the caches that are as long as the whole file: pacman neither asks for such a package nor finds
    /// it.
    pub(crate) complete_parts: Vec<PathBuf>,
    /// Sync databases that are closed to the download user, each with the closed path on the way.
    pub(crate) closed_databases: Vec<(PathBuf, PathBuf)>,
}

impl Default for PacmanFacts {
    fn default() -> Self {
        let conf = Err("not asked".to_owned());
        Self { version: None, conf, closed_conf: None, leftovers: Leftovers::default(), ahead: None }
    }
}

impl PacmanFacts {
    /// Asks `pacman` and `pacman-conf`, and looks into pacman's directories.
    pub(super) fn examine(settings: &Settings, now: SystemTime) -> Self {
        let conf = conf(settings);
        let closed_conf = match &conf {
            Err(ConfError::Closed { path, .. }) => Some(path.clone()),
            Ok(conf) => runner(conf).and_then(|user| users::obstacle(&settings.pacman_conf, user, Access::Read)),
            Err(_) => None,
        };
        let conf = conf.map_err(|e| e.to_string());
        let leftovers = conf.as_ref().map(look_about).unwrap_or_default();
        let ahead = conf.as_ref().ok().and_then(|conf| ahead_of(conf, now));
        Self { version: version::installed(), conf, closed_conf, leftovers, ahead }
    }

    /// Asks `pacman-conf` alone.
    pub(super) fn glance(settings: &Settings, patience: Duration) -> Self {
        Self { conf: question(settings).ask_within(patience).map_err(|e| e.to_string()), ..Self::default() }
    }

    /// Returns the facts of a configuration that is not in use yet.
    pub(crate) fn of(conf: PacmanConf) -> Self {
        Self { version: version::installed(), conf: Ok(conf), ..Self::default() }
    }

    /// Returns the configuration and the release, where both are known.
    pub(crate) fn known(&self) -> Option<(&PacmanConf, Version)> {
        Some((self.conf.as_ref().ok()?, self.version?))
    }
}

/// Returns the user that runs the XferCommand of this configuration: `DownloadUser` from pacman 7 on, else root.
pub(crate) fn runner(conf: &PacmanConf) -> Option<User> {
    match &conf.download_user {
        Some(name) => users::named(name),
        None => Some(User { uid: 0, gid: 0 }),
    }
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_database(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "db")
}

/// Finds the latest database. pacman gives a database the date of its mirror.
fn ahead_of(conf: &PacmanConf, now: SystemTime) -> Option<(PathBuf, Duration)> {
    let databases = names(&conf.db_path.join("sync")).into_iter().filter(|path| is_database(path));
    let dated = databases.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)));
    let (latest, path) = dated.max()?;
    Some((path, latest.duration_since(now).ok()?))
}

fn look_about(conf: &PacmanConf) -> Leftovers {
    let sync = conf.db_path.join("sync");
    let mut left = Leftovers::default();
    // A running pacman has one of these directories and holds this lock.
    if !conf.db_path.join("db.lck").exists() {
        let is_one = |path: &PathBuf| is_download_dir(path) && path.is_dir();
        left.downloads = conf.cache_dirs.iter().chain([&sync]).flat_map(|dir| names(dir)).filter(is_one).collect();
    }
    let of_repos = conf.repos.iter().map(|repo| conf.database(&repo.name));
    let mut databases: Vec<PathBuf> =
        names(&sync).into_iter().filter(|path| is_database(path)).chain(of_repos).collect();
    databases.sort();
    databases.dedup();
    let closed = |path: PathBuf| closed_to(runner(conf), &path).map(|obstacle| (path, obstacle));
    left.complete_parts = complete_parts(conf, &databases);
    left.closed_databases = databases.into_iter().filter_map(closed).collect();
    left
}

/// Finds partial files in the caches that are not shorter than a database says of the whole ones, which are not there.
/// Source: pacman 7.1.0, `lib/libalpm/sync.c`, compute_download_size.
fn complete_parts(conf: &PacmanConf, databases: &[PathBuf]) -> Vec<PathBuf> {
    let files = conf.cache_dirs.iter().flat_map(|dir| names(dir));
    let parts: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "part")).collect();
    let whole = |part: &Path| Some(part.file_stem()?.to_str()?.to_owned());
    let is_alone =
        |part: &PathBuf| whole(part).is_some_and(|name| !conf.cache_dirs.iter().any(|dir| dir.join(&name).exists()));
    let parts: Vec<PathBuf> = parts.into_iter().filter(is_alone).collect();
    if parts.is_empty() {
        return parts;
    }
    let listed = databases.iter().filter_map(|path| fsx::open_followed(path).ok()).filter_map(|db| entries(&db).ok());
    let sizes: HashMap<String, u64> = listed.flatten().map(|entry| (entry.name.to_string(), entry.size)).collect();
    let is_complete = |part: &PathBuf| {
        let size = whole(part).and_then(|name| sizes.get(&name).copied());
        size.is_some_and(|size| fs::metadata(part).is_ok_and(|found| found.is_file() && found.len() >= size))
    };
    parts.into_iter().filter(is_complete).collect()
}

/// Returns the closed path that keeps the download user from reading `path`, which exists as far as can be told.
/// If that is root, which leaves the work to an unprivileged user, returns the one that keeps this process from
/// it: the doctor runs as the same user.
fn closed_to(user: Option<User>, path: &Path) -> Option<PathBuf> {
    if let Some(user) = user.filter(|user| user.uid != 0) {
        return users::obstacle(path, user, Access::Read);
    }
    let is_closed = fsx::open_followed(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let own = rustix::process::getuid().as_raw();
    let this = users::with_id(own).unwrap_or(User { uid: own, gid: rustix::process::getgid().as_raw() });
    is_closed.then(|| users::obstacle(path, this, Access::Read).unwrap_or_else(|| path.to_owned()))
}

/// Returns true for `download-XXXXXX`, as mkdtemp(3) makes it for pacman 7 (7.1.0, `lib/libalpm/util.c`).
fn is_download_dir(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("download-"));
    name.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Splits an XferCommand into words as pacman does, at white space outside quotes (7.1.0, wordsplit in
/// `src/common/util-common.c`).
pub(crate) fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The program that pacman downloads with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Downloader {
    /// This one, by the words of its XferCommand.
    Ours(Vec<String>),
    /// pacman itself.
    BuiltIn,
    /// Another one, by its XferCommand.
    Other(String),
}

impl Downloader {
    /// Returns that of a configuration.
    pub(crate) fn of(conf: &PacmanConf) -> Self {
        let Some(command) = &conf.xfer_command else { return Self::BuiltIn };
        let words = words(command);
        if words.first().is_some_and(|program| is_ours(Path::new(program))) {
            Self::Ours(words)
        } else {
            Self::Other(command.clone())
        }
    }
}

/// Returns true for this program, and for the full one, called without the small one before it.
fn is_ours(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "pkgswarm" || name == "pkgswarm-full")
}
