//! pkgswarm as installed by a package: a program the download user can start, and its three directories.

use super::pacman::user_dir;
use super::parts::USER;
use super::{CURL, Host, Kubo, PacmanRoot, Ran, command, install, run, scratch};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use tempfile::TempDir;

/// Copies the programs under test into a directory.
pub fn copy_programs(to: &Path) {
    for (name, built) in programs() {
        install(built.as_ref(), &to.join(name));
    }
}

/// The directories of every [`Swarm`] of this process.
static INSTALLED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Replaces the programs of every [`Swarm`] of this process by those of `from` while `run` runs, and restores the
/// programs under test. A running process stays as it is.
pub fn with_programs_of<T>(from: &Path, run: impl FnOnce() -> T) -> T {
    let place = |from: &dyn Fn(&str) -> PathBuf| {
        for dir in INSTALLED.lock().expect("the list").iter().filter(|dir| dir.exists()) {
            // An older version may have fewer.
            for (name, from) in programs().map(|(name, _)| (name, from(name))).filter(|(_, from)| from.exists()) {
                let new = dir.join(format!("{name}.new"));
                fs::copy(from, &new).and_then(|_| fs::rename(&new, dir.join(name))).expect("a program");
            }
        }
    };
    place(&|name| from.join(name));
    let result = run();
    place(&|name| programs().find(|(known, _)| *known == name).expect("a program").1.into());
    result
}

/// Lists the programs under test: the command, the full program that it starts, and the daemon's, where it is built.
pub fn programs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let daemon = option_env!("CARGO_BIN_EXE_pkgswarm-daemon").map(|built| ("pkgswarm-daemon", built));
    let always = [("pkgswarm", env!("CARGO_BIN_EXE_pkgswarm")), ("pkgswarm-full", env!("CARGO_BIN_EXE_pkgswarm-full"))];
    always.into_iter().chain(daemon)
}

/// The program under test with configuration, store and state of its own.
pub struct Swarm {
    dir: TempDir,
    environment: Vec<(String, String)>,
    prefix: Vec<String>,
}

impl Swarm {
    /// Installs it without any Kubo.
    pub fn install() -> Swarm {
        let dir = scratch("swarm");
        fs::create_dir(dir.path().join("etc")).expect("a directory");
        copy_programs(dir.path());
        INSTALLED.lock().expect("the list").push(dir.path().to_owned());
        for name in ["store", "state"] {
            user_dir(&dir.path().join(name));
        }
        let path = |name: &str| dir.path().join(name).display().to_string();
        let environment = vec![
            ("PKGSWARM_CONFIG_DIR".into(), path("etc")),
            ("PKGSWARM_STORE_DIR".into(), path("store")),
            ("PKGSWARM_STATE_DIR".into(), path("state")),
            ("PKGSWARM_KUBO_ENABLED".into(), "false".into()),
        ];
        Swarm { dir, environment, prefix: Vec::new() }
    }

    /// Uses this node.
    pub fn with_kubo(mut self, kubo: &Kubo) -> Swarm {
        self.set("PKGSWARM_KUBO_ENABLED", "true");
        self.set("PKGSWARM_KUBO_API", &kubo.api());
        self.set("PKGSWARM_KUBO_GATEWAY", &kubo.gateway());
        self
    }

    /// Puts it on a host of a test network.
    pub fn on(self, host: &Host) -> Swarm {
        Swarm { prefix: host.prefix().map(str::to_owned).to_vec(), ..self }
    }

    /// Sets this `config.toml`.
    pub fn config(self, text: &str) -> Swarm {
        fs::write(self.dir.path().join("etc/config.toml"), text).expect("config.toml");
        self
    }

    /// Replaces its `config.toml` while it runs.
    pub fn configure(&self, text: &str) {
        let path = self.dir.path().join("etc/config.toml");
        let new = path.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).expect("config.toml");
    }

    /// Adds one more file of this name in `config.d`.
    pub fn config_part(&self, name: &str, text: &str) {
        let parts = self.dir.path().join("etc/config.d");
        fs::create_dir_all(&parts).expect("a directory");
        fs::write(parts.join(name), text).expect("a part of the configuration");
    }

    /// Sets one variable for all its runs.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }

    /// Returns the line for pacman.conf. `PKGSWARM_TEST_XFER=curl` puts curl in its place, which separates faults
    /// of the tests from faults of the program.
    pub fn xfer_command(&self) -> String {
        if std::env::var_os("PKGSWARM_TEST_XFER").is_some_and(|value| value == "curl") {
            return CURL.into();
        }
        format!("{} xfer %u %o", self.program().display())
    }

    /// Sets its environment for a pacman that starts it.
    pub fn around(&self, pacman: PacmanRoot) -> PacmanRoot {
        let prefix: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        let pacman = pacman.through(&prefix);
        self.environment.iter().fold(pacman, |pacman, (name, value)| pacman.env(name, value))
    }

    /// Builds a call of it, as root.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.call(&[], arguments)
    }

    /// Builds a call of it, as the download user.
    pub fn command_as_user(&self, arguments: &[&str]) -> Command {
        self.call(&["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"], arguments)
    }

    /// Runs it as root.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    fn call(&self, through: &[&str], arguments: &[&str]) -> Command {
        let program = self.program();
        let mut words: Vec<&OsStr> = self.prefix.iter().map(OsStr::new).collect();
        words.extend(through.iter().map(OsStr::new));
        words.push(program.as_os_str());
        let mut all = command(words[0]);
        all.args(&words[1..]).args(arguments).current_dir(self.dir.path());
        all.envs(self.environment.iter().map(|(name, value)| (name, value)));
        all
    }

    /// Returns its environment variables.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Returns the program.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("pkgswarm")
    }

    /// Returns the directory of its store.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Removes the files of its store.
    pub fn forget(&self) {
        for entry in fs::read_dir(self.store().join("files")).into_iter().flatten().flatten() {
            fs::remove_file(entry.path()).expect("a file of its store");
        }
    }

    /// Counts the bytes in its store.
    pub fn store_bytes(&self) -> u64 {
        bytes_below(&self.store())
    }
}

/// Counts the disk space, in bytes, of all files below a directory.
pub fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        // A file removed since the listing counts zero.
        _ => entry.metadata().map_or(0, |file| std::os::unix::fs::MetadataExt::blocks(&file) * 512),
    });
    sizes.sum()
}
