//! pacman's configuration as pacman itself understands it: the dump of `pacman-conf`, read into values.
//!
//! Parsing `pacman.conf` here would mean copying its rules for globs, defaults and merged signature levels,
//! version by version. `pacman-conf` ships with pacman and prints everything expanded; `question.rs` runs it.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::base::name::RepoName;
use crate::lists::system::Repository;

/// The treatment of a signature (`SigLevel` in pacman.conf(5)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SignatureCheck {
    /// Not fetched, not checked.
    Never,
    /// Checked when there is one.
    Optional,
    /// Required: pacman refuses a file without one.
    Required,
}

/// The files that must be signed. Without any setting pacman requires both (`config_new` in `src/pacman/conf.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigLevel {
    /// Package files.
    pub package: SignatureCheck,
    /// Database files.
    pub database: SignatureCheck,
}

/// The purposes of a repository (`Usage` in pacman.conf(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Its database is refreshed.
    pub sync: bool,
    /// It is searched.
    pub search: bool,
    /// Packages are installed from it.
    pub install: bool,
    /// Packages are upgraded from it.
    pub upgrade: bool,
}

/// One repository: what any system tells of one, and what pacman alone does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repo {
    /// The name of its section and of its database; its `Server` URLs with `$repo` and `$arch` expanded; its
    /// `CacheServer` URLs (pacman 6.1 and later).
    pub common: Repository,
    /// Its own level, or that of the options.
    pub sig_level: SigLevel,
    /// Its purposes.
    pub usage: Usage,
}

impl Deref for Repo {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.common
    }
}

/// The whole configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacmanConf {
    /// `RootDir`
    pub root_dir: PathBuf,
    /// `DBPath`; the sync databases are in `sync` below it.
    pub db_path: PathBuf,
    /// `CacheDir`, all of them in their order.
    pub cache_dirs: Vec<PathBuf>,
    /// `GPGDir`
    pub gpg_dir: Option<PathBuf>,
    /// `Architecture`, `auto` resolved; the first one stands for `$arch`.
    pub architectures: Vec<String>,
    /// `ParallelDownloads`, at least 1.
    pub parallel_downloads: u32,
    /// `DownloadUser` (pacman 7 and later).
    pub download_user: Option<String>,
    /// `XferCommand` as written.
    pub xfer_command: Option<String>,
    /// The level of repositories without one of their own.
    pub sig_level: SigLevel,
    /// `IgnorePkg`: names and patterns.
    pub ignored: Vec<String>,
    /// `IgnoreGroup`: names and patterns.
    pub ignored_groups: Vec<String>,
    /// Options without a value, such as `DisableSandbox`.
    pub flags: Vec<String>,
    /// The repositories in the order that pacman prefers them.
    pub repos: Vec<Repo>,
}

/// A dump without a line that every version of `pacman-conf` prints. Trying again does not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("its output names no {0}")]
pub struct IncompleteConfError(pub(crate) &'static str);

impl PacmanConf {
    /// Returns true when an option without a value is set, such as `DisableDownloadTimeout`.
    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }

    /// Reads the whole dump, as `pacman-conf` without a directive prints it. Unknown lines are skipped.
    ///
    /// # Errors
    /// `IncompleteConfError` without `RootDir` or `DBPath`.
    pub fn parse(dump: &str) -> Result<Self, IncompleteConfError> {
        let mut sections: Vec<(&str, Vec<ConfLine<'_>>)> = Vec::new();
        for line in dump.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                sections.push((name, Vec::new()));
            } else if let Some((_, lines)) = sections.last_mut() {
                lines.push(match line.split_once(" = ") {
                    Some((key, value)) => (key, Some(value)),
                    None => (line, None),
                });
            }
        }
        let options = sections.iter().filter(|(name, _)| *name == "options").flat_map(|(_, lines)| lines);
        let options: Vec<_> = options.copied().collect();
        let all = |key: &'static str| values(&options, key);
        let one = |key: &'static str| values(&options, key).next();
        let required = SigLevel { package: SignatureCheck::Required, database: SignatureCheck::Required };
        let sig_level = sig_level(&options, required);
        let repos = sections.iter().filter(|(name, _)| *name != "options");
        let repos = repos.filter_map(|(name, lines)| repo(name, lines, sig_level));
        Ok(Self {
            root_dir: one("RootDir").ok_or(IncompleteConfError("RootDir"))?.into(),
            db_path: one("DBPath").ok_or(IncompleteConfError("DBPath"))?.into(),
            cache_dirs: all("CacheDir").map(PathBuf::from).collect(),
            gpg_dir: one("GPGDir").map(PathBuf::from),
            architectures: all("Architecture").map(str::to_owned).collect(),
            parallel_downloads: one("ParallelDownloads").and_then(|n| n.parse().ok()).unwrap_or(1).max(1),
            download_user: one("DownloadUser").map(str::to_owned),
            xfer_command: one("XferCommand").map(str::to_owned),
            sig_level,
            ignored: all("IgnorePkg").map(str::to_owned).collect(),
            ignored_groups: all("IgnoreGroup").map(str::to_owned).collect(),
            flags: options.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| (*key).to_owned()).collect(),
            repos: repos.collect(),
        })
    }

    /// Returns the repository called `name`.
    pub fn repo(&self, name: &RepoName) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.name == *name)
    }

    /// Returns the path of pacman's sync database of `repo`.
    pub fn database(&self, repo: &RepoName) -> PathBuf {
        self.db_path.join("sync").join(format!("{repo}.db"))
    }

    /// Puts caller-given cache directories first, which a wrapper configuration could not (see `question.rs`).
    pub(super) fn prefer_cache_dirs(&mut self, first: &[PathBuf]) {
        let bare = |path: &Path| path.components().collect::<PathBuf>();
        let known: Vec<_> = self.cache_dirs.iter().map(|path| bare(path)).collect();
        let missing = first.iter().filter(|path| !known.contains(&bare(path))).cloned().collect::<Vec<_>>();
        self.cache_dirs.splice(0..0, missing);
    }
}

type ConfLine<'a> = (&'a str, Option<&'a str>);
type ConfLines<'a> = [ConfLine<'a>];

fn values<'a>(lines: &ConfLines<'a>, key: &'static str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter(move |(known, _)| *known == key).filter_map(|(_, value)| *value)
}

fn repo(name: &str, lines: &ConfLines<'_>, default: SigLevel) -> Option<Repo> {
    let all = |key: &'static str| values(lines, key).map(str::to_owned).collect::<Vec<_>>();
    let used = |what| values(lines, "Usage").any(|usage| usage == what || usage == "All");
    let sig_level = sig_level(lines, default);
    Some(Repo {
        common: Repository {
            name: RepoName::new(name).ok()?,
            servers: all("Server"),
            cache_servers: all("CacheServer"),
            signatures_required: sig_level.package == SignatureCheck::Required,
        },
        sig_level,
        usage: Usage { sync: used("Sync"), search: used("Search"), install: used("Install"), upgrade: used("Upgrade") },
    })
}

fn sig_level(lines: &ConfLines<'_>, default: SigLevel) -> SigLevel {
    let mut level = default;
    for value in values(lines, "SigLevel") {
        match value {
            "PackageNever" => level.package = SignatureCheck::Never,
            "PackageOptional" => level.package = SignatureCheck::Optional,
            "PackageRequired" => level.package = SignatureCheck::Required,
            "DatabaseNever" => level.database = SignatureCheck::Never,
            "DatabaseOptional" => level.database = SignatureCheck::Optional,
            "DatabaseRequired" => level.database = SignatureCheck::Required,
            _ => {} // trust is for pacman to decide
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by pacman-conf 7.1.0 from a configuration of ours, shortened.
    const DUMP: &str = "[options]\nRootDir = /\nDBPath = //var/lib/pacman/\nCacheDir = /var/cache/pacman/pkg/\nCacheDir = /srv/my pkg/\nGPGDir = /etc/pacman.d/gnupg/\n\
        DownloadUser = alpm\nHoldPkg = pacman\nIgnorePkg = linux*\nIgnorePkg = zfs\nIgnoreGroup = kde\nArchitecture = x86_64\nXferCommand = /usr/bin/curl -o %o %u\nColor\nDisableSandboxSyscalls\nParallelDownloads = 5\n\
        SigLevel = PackageRequired\nSigLevel = PackageTrustedOnly\nSigLevel = DatabaseOptional\nSigLevel = DatabaseTrustedOnly\nNew = thing\n\
        [core]\nUsage = All\nServer = https://m.example/core/os/x86_64\nServer = http://n.example/arch/core/os/x86_64/\n\
        [extra]\nUsage = Sync\nUsage = Search\nSigLevel = PackageOptional\nSigLevel = PackageTrustAll\nSigLevel = DatabaseNever\n\
        CacheServer = http://127.0.0.1:7077\nServer = https://m.example/extra/os/x86_64\n\
        [x]\nUsage = All\nServer = file:///srv/repo\n[y]\nUsage = All\nServer = file:///srv/repo\n";

    fn conf() -> PacmanConf {
        PacmanConf::parse(DUMP).unwrap()
    }

    #[test]
    fn a_dump_is_read_and_unknown_lines_are_skipped() {
        let conf = conf();
        assert_eq!(conf.cache_dirs, ["/var/cache/pacman/pkg/", "/srv/my pkg/"].map(PathBuf::from));
        assert_eq!((conf.parallel_downloads, conf.download_user.as_deref()), (5, Some("alpm")));
        assert_eq!(
            (conf.architectures, conf.flags),
            (vec!["x86_64".to_owned()], vec!["Color".to_owned(), "DisableSandboxSyscalls".to_owned()])
        );
        assert_eq!((conf.ignored, conf.ignored_groups), (vec!["linux*".into(), "zfs".into()], vec!["kde".into()]));
        let names: Vec<_> = conf.repos.iter().map(|repo| repo.name.as_str()).collect();
        assert_eq!(names, ["core", "extra", "x", "y"]);
        assert!(conf.repos[1].usage.sync && !conf.repos[1].usage.install && conf.repos[0].usage.upgrade);
        let database = PacmanConf::parse(DUMP).unwrap().database(&RepoName::new("core").unwrap());
        assert_eq!(database, Path::new("/var/lib/pacman/sync/core.db"));
    }

    #[test]
    fn a_repository_has_its_own_signature_level_or_that_of_the_options() {
        let level = |package, database| SigLevel { package, database };
        assert_eq!(conf().repos[0].sig_level, level(SignatureCheck::Required, SignatureCheck::Optional));
        assert_eq!(conf().repos[1].sig_level, level(SignatureCheck::Optional, SignatureCheck::Never));
        let bare = PacmanConf::parse("[options]\nRootDir = /\nDBPath = /db\n").unwrap();
        assert_eq!(bare.sig_level, level(SignatureCheck::Required, SignatureCheck::Required));
        assert_eq!(bare.parallel_downloads, 1);
    }

    #[test]
    fn a_dump_without_directories_is_refused() {
        assert_eq!(PacmanConf::parse(""), Err(IncompleteConfError("RootDir")));
        assert_eq!(
            PacmanConf::parse("[options]\nRootDir = /\n[core]\nDBPath = /x\n"),
            Err(IncompleteConfError("DBPath"))
        );
    }

    #[test]
    fn only_repositories_with_public_servers_are_public() {
        let public: Vec<_> = conf().repos.iter().map(|repo| repo.is_public(|_| false)).collect();
        assert_eq!(public, [true, true, false, false]);
    }

    #[test]
    fn cache_directories_of_the_caller_come_first_and_once() {
        let mut conf = conf();
        conf.prefer_cache_dirs(&["/a b".into(), "/var/cache/pacman/pkg".into()]);
        assert_eq!(conf.cache_dirs, ["/a b", "/var/cache/pacman/pkg/", "/srv/my pkg/"].map(PathBuf::from));
    }
}
