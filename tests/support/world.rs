//! A machine in a temporary directory: pacman's files, ours, and the environment that pacman would pass on.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::compression::Compression;
use super::install::{install, install_script};
use super::repo::{Package, database};
use super::run::{Run, Running};
use super::{FakeKubo, FakeMirror};

/// The owner of store and state when the tests run as root, and the user of `run_by_user`: `nobody`.
pub const UNPRIVILEGED: u32 = 65_534;

/// A world; its directory goes when it is dropped.
pub struct World {
    base: tempfile::TempDir,
    conf: String,
    dump: String,
    variables: Vec<(String, String)>,
    user: Option<u32>,
}

impl World {
    /// Makes a world without repos, Kubo and proxies. The output directory belongs to the user who runs pkgswarm.
    pub fn new() -> Self {
        let base = tempfile::Builder::new().prefix("pkgswarm-world-").tempdir().expect("a temporary directory");
        open_to_all(base.path());
        let mut world = Self { base, conf: String::new(), dump: String::new(), variables: Vec::new(), user: None };
        for directory in ["config", "store", "state", "root/var/lib/pacman/sync", "cache", "out", "bin", "tmp"] {
            let path = world.path(directory);
            fs::create_dir_all(&path).expect("a directory of ours");
            open_to_all(&path);
        }
        // Like /tmp: any user may add files, and no user removes another's.
        fs::set_permissions(world.path("tmp"), Permissions::from_mode(0o1777)).expect("a directory of ours");
        for ours in ["store", "state"] {
            give(&world.path(ours), UNPRIVILEGED);
        }
        let at = world.base().to_owned();
        world.conf = format!(
            "[options]\nRootDir = {at}/root\nDBPath = {at}/root/var/lib/pacman/\nCacheDir = {at}/cache/\n\
             Architecture = x86_64\nSigLevel = Never\n"
        );
        world.dump = format!(
            "[options]\nRootDir = {at}/root\nDBPath = {at}/root/var/lib/pacman/\nCacheDir = {at}/cache/\n\
             HookDir = /etc/pacman.d/hooks/\nGPGDir = /etc/pacman.d/gnupg/\nLogFile = {at}/root/var/log/pacman.log\n\
             Architecture = x86_64\nParallelDownloads = 1\nCleanMethod = KeepInstalled\n\
             SigLevel = PackageNever\nSigLevel = DatabaseNever\n"
        );
        world.write_pacman_conf();
        // Short, because scenarios wait for them; long enough for a machine with other work.
        world
            .set("PKGSWARM_DOWNLOAD_CONNECT", "2 s")
            .set("PKGSWARM_DOWNLOAD_STALL", "2 s")
            .set("PKGSWARM_DOWNLOAD_PATIENCE", "6 s")
            .set("PKGSWARM_KUBO_ENABLED", "false")
    }

    /// Adds a repo with its sync database in place and these `Server` lines.
    pub fn repo(self, name: &str, packages: &[&Package], servers: &[&FakeMirror]) -> Self {
        let servers: Vec<String> = servers.iter().map(|mirror| mirror.repo(name)).collect();
        self.sync_database(name, &database(packages, Compression::Gzip)).servers(name, &servers, &[])
    }

    /// Writes these bytes as pacman's database of the repo.
    pub fn sync_database(self, name: &str, bytes: &[u8]) -> Self {
        fs::write(self.path("root/var/lib/pacman/sync").join(format!("{name}.db")), bytes).expect("a database");
        self
    }

    /// Adds a repo's section: server URLs as they are, SigLevel as printed by pacman-conf (`DatabaseOptional`, …).
    pub fn servers<S: AsRef<str>>(mut self, name: &str, servers: &[S], sig_level: &[&str]) -> Self {
        let lines = |key: &str, values: &mut dyn Iterator<Item = String>| {
            values.map(|value| format!("{key} = {value}\n")).collect::<String>()
        };
        let servers = lines("Server", &mut servers.iter().map(|url| url.as_ref().to_owned()));
        let levels = lines("SigLevel", &mut sig_level.iter().map(|level| (*level).to_owned()));
        self.conf += &format!("[{name}]\n{levels}{servers}");
        self.dump += &format!("[{name}]\nUsage = All\n{levels}{servers}");
        self.write_pacman_conf();
        self
    }

    /// Sets an option without a value, such as `DisableDownloadTimeout`.
    pub fn option(mut self, flag: &str) -> Self {
        for text in [&mut self.conf, &mut self.dump] {
            *text = text.replacen("[options]\n", &format!("[options]\n{flag}\n"), 1);
        }
        self.write_pacman_conf();
        self
    }

    /// Puts the same repos on other servers: the former section of `name` is dropped.
    pub fn other_servers<S: AsRef<str>>(mut self, name: &str, servers: &[S]) -> Self {
        for text in [&mut self.conf, &mut self.dump] {
            let from = text.find(&format!("[{name}]\n")).expect("a repo of this world");
            let to = text[from + 1..].find("\n[").map_or(text.len(), |at| from + 1 + at + 1);
            text.replace_range(from..to, "");
        }
        self.servers(name, servers, &[])
    }

    /// Makes pacman upgrade to these, of `core` at this mirror; installed is version 0.9-1 of each.
    pub fn pending(self, packages: &[&Package], mirror: &FakeMirror) -> Self {
        let line = |p: &&Package| format!("core\t{}\t{}\t{}\n", p.name, p.version, mirror.url("core", &p.file_name()));
        fs::write(self.path("pacman.targets"), packages.iter().map(line).collect::<String>()).expect("a list");
        for package in packages {
            let installed = self.path("root/var/lib/pacman/local").join(format!("{}-0.9-1", package.name));
            fs::create_dir_all(installed).expect("a directory of ours");
        }
        install(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pacman.sh").as_ref(), &self.path("bin/pacman"));
        self
    }

    /// Makes the fake daemon the local Kubo, which may be asked for files of `core`, although our mirrors are
    /// private.
    pub fn kubo(self, kubo: &FakeKubo) -> Self {
        self.set("PKGSWARM_KUBO_ENABLED", "true")
            // On a busy machine it needs more than the usual time for its files.
            .set("PKGSWARM_KUBO_HEAD_START", "2 s")
            .set("PKGSWARM_SHARE_REPOS", "core")
            .set("PKGSWARM_KUBO_GATEWAY", &kubo.gateway_url())
            .set("PKGSWARM_KUBO_API", &kubo.api_url())
    }

    /// Sets an environment variable of the runs.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes an environment variable again.
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// Writes `config.toml`.
    pub fn config(self, text: &str) -> Self {
        fs::write(self.path("config/config.toml"), text).expect("a configuration file");
        self
    }

    /// Makes runs as an unprivileged user from now on, like pacman 7; the output directory becomes that user's.
    pub fn run_by_user(mut self) -> Self {
        if is_root() {
            self.user = Some(UNPRIVILEGED);
            give(&self.path("out"), UNPRIVILEGED);
            fs::set_permissions(self.path("out"), Permissions::from_mode(0o700)).expect("our directory");
        }
        self
    }

    /// Replaces pacman.conf by this text, with a pacman-conf that reads it.
    pub fn pacman_conf(self, text: &[u8]) -> Self {
        fs::write(self.path("pacman.conf"), text).expect("a pacman.conf");
        fs::remove_file(self.path("bin/pacman-conf")).expect("the one that prints a fixed dump");
        let reading = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pacman-conf-reading.sh");
        install(reading.as_ref(), &self.path("bin/pacman-conf"));
        self
    }

    /// Adds a program of this name, as a shell script, before all others in `PATH`.
    pub fn script(self, name: &str, text: &str) -> Self {
        install_script(&format!("#!/bin/sh\n{text}\n"), &self.path("bin").join(name));
        self
    }

    pub fn base(&self) -> &str {
        self.base.path().to_str().expect("temporary directories have plain names")
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.base.path().join(below)
    }

    /// Returns `%o` for this file, as pacman names it.
    pub fn out(&self, file: &str) -> PathBuf {
        self.path("out").join(format!("{file}.part"))
    }

    /// Builds the command `pkgswarm xfer URL OUT` in a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        self.equip(command)
    }

    /// Builds the same as the child of another parent: to pkgswarm another run of pacman, another transaction.
    pub fn command_of_another_parent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        // Two commands, so that the shell cannot replace itself by the program.
        command.args(["-c", "\"$0\" \"$@\"; exit $?"]).arg(binary()).args(arguments);
        self.equip(command)
    }

    /// Runs it with a pending ^C, to it alone, and waits.
    pub fn run_interrupted(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "kill -INT $$; exec \"$0\" \"$@\""]).arg(binary()).args(arguments);
        pkgswarm::base::interrupt::hold();
        let running = Running::start(self.equip(command), self.base());
        pkgswarm::base::interrupt::release();
        running.finish()
    }

    /// Runs another program as if it were pkgswarm.
    pub fn run_program(&self, program: &Path, arguments: &[&str]) -> Run {
        let mut command = Command::new(program);
        command.args(arguments);
        Running::start(self.equip(command), self.base()).finish()
    }

    /// Runs `pkgswarm` without a full program for it to start.
    pub fn run_front_alone(&self, arguments: &[&str]) -> Run {
        Running::start(self.front_alone(arguments), self.base()).finish()
    }

    /// Runs the same as root; `None` if the tests are not root.
    pub fn run_front_alone_as_root(&self, arguments: &[&str]) -> Option<Run> {
        let mut command = self.front_alone(arguments);
        command.uid(0).gid(0);
        is_root().then(|| Running::start(command, self.base()).finish())
    }

    fn front_alone(&self, arguments: &[&str]) -> Command {
        let alone = self.path("bin/pkgswarm");
        if !alone.exists() {
            install(binary(), &alone);
        }
        let mut command = Command::new(alone);
        command.args(arguments);
        self.equip(command)
    }

    /// Runs `pkgswarm xfer` for each of these (URL, output) in turn, like one `pacman -Sy`, as far as /proc can
    /// tell.
    pub fn refreshing(&self, files: &[(String, PathBuf)]) -> Run {
        let mut command = Command::new("/bin/sh");
        let script = "while [ $# -gt 1 ]; do \"$program\" xfer \"$1\" \"$2\" || exit; shift 2; done; exit 0";
        command.arg0("pacman").args(["-c", script, "-Sy"]);
        for (url, out) in files {
            command.arg(url).arg(out);
        }
        let mut command = self.equip(command);
        command.env("program", binary());
        Running::start(command, self.base()).finish()
    }

    /// Runs `pkgswarm xfer` for each of these (URL, output) in turn, like one `pacman -S --noconfirm`, as far as
    /// /proc can tell. After the first of them the shell runs `between`; it has the file `secret` open, if there
    /// is one.
    pub fn transaction(&self, files: &[(String, PathBuf)], between: &str) -> Run {
        let mut command = Command::new("/bin/sh");
        let script = "[ ! -e secret ] || exec 7<secret; between=$1; shift 2
            while [ $# -gt 1 ]; do \"$program\" xfer \"$1\" \"$2\" || exit; shift 2; eval \"$between\"; between=; done; exit 0";
        command.arg0("pacman").args(["-c", script, "-S", between, "--noconfirm"]);
        for (url, out) in files {
            command.arg(url).arg(out);
        }
        let mut command = self.equip(command);
        command.env("program", binary());
        Running::start(command, self.base()).finish()
    }

    /// Starts one call of `pkgswarm xfer` by what looks like pacman to /proc; a kill reaches that parent.
    pub fn called_by_pacman(&self, url: &str, out: &Path) -> Running {
        self.called_by_pacman_with(&["-S", "it"], url, out)
    }

    /// The same by a pacman with these words on its command line; it ends as the call does.
    pub fn called_by_pacman_with(&self, words: &[&str], url: &str, out: &Path) -> Running {
        let mut command = Command::new("/bin/sh");
        command.arg0("pacman").args(["-c", "\"$program\" xfer \"$url\" \"$out\"; exit $?"]).args(words);
        let mut command = self.equip(command);
        command.env("program", binary()).env("url", url).env("out", out);
        Running::start(command, self.base())
    }

    /// Runs it on a machine that this script has changed: in a mount namespace of its own, and with `network`, in
    /// a network of its own. `None`, with a loud message, if the script fails: this kernel cannot be such a
    /// machine.
    pub fn run_elsewhere(&self, network: bool, script: &str, arguments: &[&str]) -> Option<Run> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--kill-child", "--fork"]).args(network.then_some("--net"));
        let script = format!("({script}\n) >&2 || exit 99; exec \"$@\"");
        command.args(["sh", "-c", &script, "sh"]).arg(binary()).args(arguments);
        let mut command = self.equip(command);
        command.env("PATH", format!("{}/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.base()));
        let run = Running::start(command, self.base()).finish();
        if run.code() == 99 || run.stderr.starts_with("unshare: ") {
            loudly(&format!("{arguments:?} on another machine: {}", run.stderr));
            return None;
        }
        Some(run)
    }

    /// Sets the environment and the user of the world on this command.
    pub fn equipped(&self, command: Command) -> Command {
        self.equip(command)
    }

    /// Runs it through another program, which becomes it.
    pub fn run_through(&self, prefix: &[&str], arguments: &[&str]) -> Run {
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).arg(binary()).args(arguments);
        Running::start(self.equip(command), self.base()).finish()
    }

    /// Runs `pkgswarm xfer` for each of these (URL, output) in turn, like one `pacman -S` that was started through
    /// another program, as far as /proc can tell.
    pub fn transaction_through(&self, prefix: &[&str], files: &[(String, PathBuf)]) -> Run {
        let mut command = Command::new(prefix[0]);
        // The shell's own name is the first word of its command line, and stays it while it starts programs.
        let pacman = "while [ $# -gt 1 ]; do \"$program\" xfer \"$1\" \"$2\" || exit; shift 2; done; exit 0";
        let as_pacman = "exec -a pacman sh -c \"$0\" -S \"$@\"";
        command.args(&prefix[1..]).args(["bash", "-c", as_pacman, pacman]);
        for (url, out) in files {
            command.arg(url).arg(out);
        }
        let mut command = self.equip(command);
        command.env("program", binary());
        Running::start(command, self.base()).finish()
    }

    /// True if this machine can run a program through another one.
    pub fn can_run_through(prefix: &[&str]) -> bool {
        Command::new(prefix[0]).args(&prefix[1..]).arg("true").status().is_ok_and(|status| status.success())
    }

    fn equip(&self, mut command: Command) -> Command {
        // A process group of its own, as a shell gives to each job: ^C reaches all of it and no other process.
        command.process_group(0).env_clear().current_dir(self.path("out"));
        command.env("PATH", format!("{}/bin:/usr/bin:/bin", self.base()));
        command.env("TMPDIR", self.path("tmp")).env("HOME", "/nonexistent");
        for (name, below) in [
            ("PKGSWARM_CONFIG_DIR", "config"),
            ("PKGSWARM_STORE_DIR", "store"),
            ("PKGSWARM_STATE_DIR", "state"),
            ("PKGSWARM_PACMAN_CONF", "pacman.conf"),
        ] {
            command.env(name, self.path(below));
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            // std drops the supplementary groups itself when root changes the uid.
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs `pkgswarm` with these arguments to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Running::start(self.command(arguments), self.base()).finish()
    }

    /// Starts `pkgswarm xfer`.
    pub fn start(&self, url: &str, out: &Path) -> Running {
        Running::start(self.command(&["xfer", url, out.to_str().expect("a plain path")]), self.base())
    }

    /// Runs `pkgswarm xfer` to its end.
    pub fn xfer(&self, url: &str, out: &Path) -> Run {
        self.start(url, out).finish()
    }

    /// Runs `pkgswarm xfer` to its end as part of another transaction.
    pub fn xfer_of_another_pacman(&self, url: &str, out: &Path) -> Run {
        let out = out.to_str().expect("a plain path");
        Running::start(self.command_of_another_parent(&["xfer", url, out]), self.base()).finish()
    }

    /// Runs it for several outputs at once.
    pub fn xfer_many(&self, url: &str, outs: &[PathBuf]) -> Vec<Run> {
        let running: Vec<Running> = outs.iter().map(|out| self.start(url, out)).collect();
        running.into_iter().map(Running::finish).collect()
    }

    /// Asserts that `out` is `bytes` in a fresh regular file of mode 0644, alone in its directory.
    #[track_caller]
    pub fn has(&self, out: &Path, bytes: &[u8]) {
        let found = fs::symlink_metadata(out).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
        assert!(found.is_file(), "{found:?}");
        assert_eq!((found.mode() & 0o7777, found.nlink()), (0o644, 1), "mode and links of {}", out.display());
        assert!(fs::read(out).expect("our output can be read") == bytes, "{}: other bytes", out.display());
        let name = out.file_name().expect("outputs have names").to_str().expect("plain names");
        assert_eq!(listing(out.parent().expect("outputs have a directory")), [name], "strays beside the output");
    }

    /// Asserts that the output directory is empty.
    #[track_caller]
    pub fn has_no_output(&self) {
        assert_eq!(listing(&self.path("out")), [""; 0], "nothing may be left at or beside %o");
    }

    /// Asserts that the store has no lock and no partial of an unfinished transfer.
    #[track_caller]
    pub fn store_is_settled(&self) {
        for part in ["store/lock", "store/partial"] {
            assert_eq!(listing(&self.path(part)), [""; 0], "{part}");
        }
    }

    /// Makes a directory like pacman 7 for DownloadUser, below `below`; the runs' user owns it.
    pub fn download_dir(&self, below: &str) -> PathBuf {
        let path = self.path(below).join("download-Xa3k9Q");
        fs::create_dir_all(&path).expect("a directory of ours");
        if let Some(user) = self.user {
            give(&path, user);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("our directory");
        path
    }

    fn write_pacman_conf(&self) {
        fs::write(self.path("pacman.conf"), &self.conf).expect("a pacman.conf");
        fs::write(self.path("pacman-conf.dump"), &self.dump).expect("its dump");
        let script = self.path("bin/pacman-conf");
        if !script.exists() {
            install(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pacman-conf.sh").as_ref(), &script);
        }
    }
}

/// Lists the names in a directory, sorted; none when it does not exist.
pub fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .map(|entries| entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// True if the tests may change owners.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Prints that something was not tested, past the test harness, which hides the output of passing tests.
pub fn loudly(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, NOT PASSED: {why}");
}

/// True for root, for scenarios that need a second user; else prints loudly that nothing was tested.
pub fn can_be_two_users(test: &str) -> bool {
    if !is_root() {
        loudly(&format!("{test} needs root to act as a second user"));
    }
    is_root()
}

/// Changes the owner, if that is possible at all.
pub fn give(path: &Path, user: u32) {
    if is_root() {
        std::os::unix::fs::lchown(path, Some(user), Some(user)).expect("root may give things away");
    }
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("our own directory");
}

/// Returns the program, in a directory where an unprivileged user can start it: build directories are often closed
/// to others.
pub fn binary() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_pkgswarm"));
        let open = |path: &Path| fs::metadata(path).is_ok_and(|found| found.mode() & 0o005 == 0o005);
        if !is_root() || built.ancestors().all(open) {
            return built;
        }
        // One directory for all runs, so that they do not fill the disk; renamed, so that a running test keeps its
        // own.
        let place = std::env::temp_dir().join("pkgswarm-programs-under-test");
        let _ = fs::create_dir(&place);
        let found = fs::symlink_metadata(&place).expect("a directory");
        assert!(found.is_dir() && found.uid() == 0, "{} belongs to another user", place.display());
        open_to_all(&place);
        let daemon = option_env!("CARGO_BIN_EXE_pkgswarm-daemon").map(PathBuf::from);
        for program in [built, PathBuf::from(env!("CARGO_BIN_EXE_pkgswarm-full"))].iter().chain(&daemon) {
            let to = place.join(program.file_name().expect("a name"));
            let fresh = to.with_extension(std::process::id().to_string());
            install(program, &fresh);
            fs::rename(&fresh, &to).expect("root may replace it");
        }
        place.join("pkgswarm")
    })
}
