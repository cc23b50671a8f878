//! pacman's configuration as pacman itself understands it: the dump of `pacman-conf`, read into values.
//!
//! Parsing `pacman.conf` here would mean copying its rules for globs, defaults and merged signature levels,
//! version by version. `pacman-conf` ships with pacman and prints everything expanded; `question.rs` runs it.

use std::path::{Path, PathBuf};

use crate::base::name::{FileName, NameKind, RepoName};

use super::server;

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

/// One repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repo {
    /// The name of its section and of its database.
    pub name: RepoName,
    /// `Server` URLs in their order, `$repo` and `$arch` expanded.
    pub servers: Vec<String>,
    /// `CacheServer` URLs in their order; packages and signatures only (pacman 6.1 and later).
    pub cache_servers: Vec<String>,
    /// Its own level, or that of the options.
    pub sig_level: SigLevel,
    /// Its purposes.
    pub usage: Usage,
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
pub struct IncompleteConfError(pub &'static str);

impl PacmanConf {
    /// Returns true when an option without a value is set, such as `DisableDownloadTimeout`.
    pub fn has_flag(&self, flag: &str) -> bool {
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

    /// Returns the repository that `url` is a file of, and the name of that file.
    ///
    /// pacman joins server and file name with `/` and encodes nothing, so the text has to match; only slashes
    /// between the two are ignored. Where several repositories share a server, a database belongs to the one it is
    /// named after and any other file to the first; [`PacmanConf::repos_of`] returns them all. `None` for every
    /// other URL.
    pub fn repo_of(&self, url: &str) -> Option<(&Repo, FileName)> {
        let (_, file) = self.repos_of(url).next()?;
        let named = match file.kind() {
            NameKind::Database | NameKind::DatabaseSignature => file.repo(),
            _ => None,
        };
        let mut repos = self.repos_of(url).map(|(repo, _)| repo);
        let first = self.repos_of(url).map(|(repo, _)| repo).find(|repo| Some(&repo.name) == named.as_ref());
        Some((first.or_else(|| repos.next())?, file))
    }

    /// Returns every repository that `url` could be a file of, in their order.
    pub fn repos_of<'a>(&'a self, url: &str) -> impl Iterator<Item = (&'a Repo, FileName)> {
        self.repos.iter().filter_map(move |repo| {
            let mut servers = repo.cache_servers.iter().chain(&repo.servers);
            servers.find_map(|server| server::file_below(server, url)).map(|file| (repo, file))
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

impl Repo {
    /// Returns true when every user of the network can fetch the files of this repository: it has servers, all of
    /// them public.
    ///
    /// Cache servers hold copies only and do not count. See [`server::is_public`].
    pub fn is_public(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(|url| server::is_public(url))
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
    Some(Repo {
        name: RepoName::new(name).ok()?,
        servers: all("Server"),
        cache_servers: all("CacheServer"),
        sig_level: sig_level(lines, default),
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
    fn a_url_belongs_to_the_repository_whose_server_it_begins_with() {
        let conf = conf();
        let of = |url: &str| conf.repo_of(url).map(|(repo, file)| format!("{repo} {file}", repo = repo.name));
        for (url, want) in [
            ("https://m.example/core/os/x86_64/a-1:2+b-1-any.pkg.tar.zst", "core a-1:2+b-1-any.pkg.tar.zst"),
            ("https://m.example/core/os/x86_64/core.db", "core core.db"),
            ("http://n.example/arch/core/os/x86_64/core.db.sig", "core core.db.sig"),
            ("http://n.example/arch/core/os/x86_64//core.db", "core core.db"),
            ("http://127.0.0.1:7077/a-1-1-any.pkg.tar.zst", "extra a-1-1-any.pkg.tar.zst"),
            ("file:///srv/repo/y.db", "y y.db"),
            ("file:///srv/repo/a-1-1-any.pkg.tar.zst", "x a-1-1-any.pkg.tar.zst"),
        ] {
            assert_eq!(of(url).as_deref(), Some(want), "{url}");
        }
        for other in [
            "https://m.example/core/os/x86_64/",
            "https://m.example/core/os/x86_64",
            "https://m.example/core/os/x86_64/../x",
            "https://m.example/core/os/x86_64/..",
            "https://m.example/core/os/x86_64x/core.db",
            "http://m.example/core/os/x86_64/core.db",
            "core.db",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(conf.repos_of("file:///srv/repo/z-1-1-any.pkg.tar.zst").count(), 2);
    }

    #[test]
    fn only_repositories_with_public_servers_are_public() {
        let public: Vec<_> = conf().repos.iter().map(Repo::is_public).collect();
        assert_eq!(public, [true, true, false, false]);
    }

    #[test]
    fn cache_directories_of_the_caller_come_first_and_once() {
        let mut conf = conf();
        conf.prefer_cache_dirs(&["/a b".into(), "/var/cache/pacman/pkg".into()]);
        assert_eq!(conf.cache_dirs, ["/a b", "/var/cache/pacman/pkg/", "/srv/my pkg/"].map(PathBuf::from));
    }
}
