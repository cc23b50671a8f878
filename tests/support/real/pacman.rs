//! A system of its own for a real pacman: root, databases, cache, keyring, configuration.

use super::parts::{USER, give_to_user};
use super::{Parts, Process, Ran, Repo, Signer, command, install, run, scratch};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The downloader of every comparison: the line in most guides.
pub const CURL: &str = "/usr/bin/curl -L -C - -f -s -o %o %u";

/// The tested releases of pacman.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// 6.0.2, which runs the downloader as root and never asks for signature files.
    Old,
    /// 7.0.0, the first one that drops to `DownloadUser`.
    Between,
    /// 7.1.0, which runs the downloader of that user in a sandbox.
    New,
}

impl Release {
    /// The two that every comparison is made with.
    pub const ALL: [Release; 2] = [Release::Old, Release::New];

    fn version(self) -> &'static str {
        match self {
            Release::Old => "6.0.2",
            Release::Between => "7.0.0",
            Release::New => "7.1.0",
        }
    }
}

/// One repository in the configuration: its name, its servers, and its own SigLevel.
#[derive(Clone, Debug)]
struct Section {
    repo: String,
    servers: Vec<String>,
    sig_level: Option<String>,
}

/// A pacman with all its files.
pub struct PacmanRoot {
    dir: TempDir,
    release: Release,
    xfer_command: String,
    sig_level: String,
    options: Vec<String>,
    parallel: u32,
    sections: Vec<Section>,
    cache_server: Option<String>,
    environment: Vec<(String, String)>,
    prefix: Vec<String>,
}

impl PacmanRoot {
    /// Makes an empty system, with pacman's own downloader when `xfer_command` is empty; packages and databases
    /// need no signatures until `sig_level` says so.
    pub fn new(parts: &Parts, release: Release, xfer_command: &str) -> PacmanRoot {
        let dir = scratch("root");
        for name in ["bin", "root", "db", "cache", "hooks", "gpg"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        // Copies, so that the download user too can start them, under their names in PATH.
        for (name, from) in
            [("pacman", parts.pacman(release.version())), ("pacman-conf", parts.pacman_conf(release.version()))]
        {
            install(&from, &dir.path().join("bin").join(name));
        }
        PacmanRoot {
            dir,
            release,
            xfer_command: xfer_command.into(),
            sig_level: "Never".into(),
            options: Vec::new(),
            parallel: 1,
            sections: Vec::new(),
            cache_server: None,
            environment: Vec::new(),
            prefix: Vec::new(),
        }
    }

    /// Adds a repository, served from these URLs in this order.
    pub fn repo(mut self, repo: &Repo, servers: &[&str]) -> PacmanRoot {
        let servers = servers.iter().map(|&server| server.to_owned()).collect();
        self.sections.push(Section { repo: repo.name().into(), servers, sig_level: None });
        self
    }

    /// Has every repository ask this server for packages first, from now on.
    pub fn set_cache_server(&mut self, url: &str) {
        self.cache_server = Some(url.into());
    }

    /// Sets this SigLevel for all repositories.
    pub fn sig_level(mut self, level: &str) -> PacmanRoot {
        self.sig_level = level.into();
        self
    }

    /// Adds one more line in `[options]`.
    pub fn option(mut self, line: &str) -> PacmanRoot {
        self.options.push(line.into());
        self
    }

    /// Sets the number of parallel downloads of its own downloader.
    pub fn parallel(mut self, downloads: u32) -> PacmanRoot {
        self.parallel = downloads;
        self
    }

    /// Trusts this key.
    pub fn trusting(self, signer: &Signer) -> PacmanRoot {
        signer.trusted_in(&self.dir.path().join("gpg"));
        self
    }

    /// Sets one more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> PacmanRoot {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it through another program, such as `ip netns exec NAME`.
    pub fn through(mut self, prefix: &[&str]) -> PacmanRoot {
        self.prefix = prefix.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Runs it like `checkupdates`: by an ordinary user who owns these directories, and who is root to fakeroot.
    pub fn in_fakeroot(self) -> PacmanRoot {
        for place in [self.dir.path(), &self.db(), &self.cache()] {
            give_to_user(place);
        }
        self.through(&["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "fakeroot", "--"])
    }

    /// Replaces the servers of one repository from now on.
    pub fn set_servers(&mut self, repo: &Repo, servers: &[&str]) {
        let section = self.sections.iter_mut().find(|section| section.repo == repo.name());
        section.expect("a configured repository").servers = servers.iter().map(|&server| server.to_owned()).collect();
    }

    /// Runs pacman to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Starts pacman and goes on.
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// Runs pacman to its end, with a user at a terminal who types these lines.
    pub fn run_answering(&self, arguments: &[&str], answers: &str) -> Ran {
        self.run_piping(&[arguments, &["--confirm"]].concat(), answers)
    }

    /// Runs pacman to its end, with this text on its standard input.
    pub fn run_piping(&self, arguments: &[&str], text: &str) -> Ran {
        use std::io::{Seek, Write};
        let mut typed = tempfile::tempfile().expect("a temporary file");
        typed.write_all(text.as_bytes()).and_then(|()| typed.rewind()).expect("the text");
        run(self.command(arguments).stdin(typed))
    }

    /// Lists the first server of each repository.
    pub fn servers(&self) -> Vec<String> {
        self.sections.iter().map(|section| section.servers[0].clone()).collect()
    }

    /// Returns its program.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("bin/pacman")
    }

    /// Lists name and version of every installed package, in order.
    pub fn installed(&self) -> Vec<(String, String)> {
        let listing = self.run(&["-Q"]);
        // On an empty system it fails without a message.
        assert!(listing.status.success() || listing.stdout.is_empty() && listing.stderr.is_empty(), "{listing}");
        let pairs = listing.stdout.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
    }

    /// Reads all records of installed packages, with the time of installation blanked.
    pub fn local_db_snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = tree(&self.dir.path().join("db/local"));
        for (path, bytes) in &mut files {
            if path.ends_with("desc") {
                *bytes = blank_install_date(&String::from_utf8_lossy(bytes)).into_bytes();
            }
        }
        files
    }

    /// Reads the sync databases.
    pub fn sync_db_snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        tree(&self.dir.path().join("db/sync"))
    }

    /// Lists the names in the package cache, in order.
    pub fn cache_files(&self) -> Vec<String> {
        let paths = tree(&self.cache()).into_keys();
        paths.map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// Lists partial files and download directories left in the cache and beside the databases.
    pub fn leftovers(&self) -> Vec<String> {
        let places = [self.cache(), self.db().join("sync")];
        let entries = places.iter().flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("download-") || name.starts_with('.') || name.ends_with(".part")).collect()
    }

    /// Reads all files installed below its root.
    pub fn root_snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        tree(&self.root())
    }

    /// Returns the package cache.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Returns the directory of its programs.
    pub fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Returns the directory that is pacman's `/`.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Returns the directory of the databases.
    pub fn db(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    /// Returns the directory of pacman and pacman-conf.
    pub fn programs(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Empties the package cache.
    pub fn clear_cache(&self) {
        fs::remove_dir_all(self.cache()).and_then(|()| fs::create_dir(self.cache())).expect("an empty cache");
    }

    /// Returns its pacman.conf, written when needed.
    pub fn config(&self) -> PathBuf {
        let (path, text) = (self.dir.path().join("pacman.conf"), self.config_text());
        // Written only when it changes: programs rebuild what they derived from it then.
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return path;
        }
        fs::write(&path, text).expect("pacman.conf");
        path
    }

    fn config_text(&self) -> String {
        let mut text = format!(
            "[options]\nArchitecture = auto\nParallelDownloads = {}\nSigLevel = {}\nDBPath = {}\nCacheDir = {}\n",
            self.parallel,
            self.sig_level,
            self.db().display(),
            self.cache().display(),
        );
        if !self.xfer_command.is_empty() {
            text += &format!("XferCommand = {}\n", self.xfer_command);
        }
        text.extend(self.options.iter().map(|line| format!("{line}\n")));
        if self.release != Release::Old {
            text += &format!("DownloadUser = {USER}\n");
        }
        for section in &self.sections {
            text += &format!("\n[{}]\n", section.repo);
            if let Some(level) = &section.sig_level {
                text += &format!("SigLevel = {level}\n");
            }
            text.extend(self.cache_server.iter().map(|server| format!("CacheServer = {server}\n")));
            text.extend(section.servers.iter().map(|server| format!("Server = {server}\n")));
        }
        text
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let dir = self.dir.path();
        let pacman = dir.join("bin/pacman");
        let mut all = match self.prefix.split_first() {
            Some((first, rest)) => {
                let mut all = command(first);
                all.args(rest).arg(pacman);
                all
            }
            None => command(pacman),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        all.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", dir.join("bin").display()));
        all.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Options count in their order, so a caller's outrank these.
        all.args(["--noconfirm", "--color", "never"]).args(arguments);
        for (option, name) in [
            ("--root", "root"),
            ("--dbpath", "db"),
            ("--cachedir", "cache"),
            ("--hookdir", "hooks"),
            ("--gpgdir", "gpg"),
            ("--logfile", "log"),
        ] {
            all.arg(option).arg(dir.join(name));
        }
        all.arg("--config").arg(self.config()).current_dir(dir);
        all
    }
}

/// Makes a directory that the download user may write to.
pub fn user_dir(path: &Path) {
    fs::create_dir_all(path).expect("a directory");
    give_to_user(path);
}

/// Reads every file below a directory.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("a path below").to_owned();
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

fn blank_install_date(desc: &str) -> String {
    let mut blank = false;
    let lines = desc.lines().map(|line| {
        let shown = if std::mem::replace(&mut blank, line == "%INSTALLDATE%") { "" } else { line };
        format!("{shown}\n")
    });
    lines.collect()
}
