//! The process as a value: the only reader of arguments, variables, user ids and terminals.
//!
//! [`VARIABLES`] lists the environment variables that are read; the manual is made from it.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names, for a child of root or a process in the background, the pacman that its work is for. Set by hand it has
/// no effect on root.
pub(crate) const HANDOVER: &str = "PKGSWARM_HANDOVER";

/// Names, for a child of root that has no store with room, a directory of its own beside the target of its files.
pub(crate) const BESIDE: &str = "PKGSWARM_BESIDE";

/// Tells a downloader of a pacman that is only asked for its list to fetch nothing.
pub(crate) const AHEAD: &str = "PKGSWARM_AHEAD";

/// Prints every source that failed on stderr, also when another one delivered.
pub(crate) const VERBOSE: &str = "PKGSWARM_VERBOSE";

/// The variables of this program that are no settings. The last two are of its tests, which find programs by them
/// (`tests/parts`).
pub(crate) const OWN_VARIABLES: [&str; 8] = [
    "PKGSWARM_CONFIG_DIR",
    "PKGSWARM_MINISIGN_PASSWORD",
    VERBOSE,
    HANDOVER,
    BESIDE,
    AHEAD,
    "PKGSWARM_PARTS",
    "PKGSWARM_IPFS",
];

/// The variables that users may set, and their effects. [`HANDOVER`], [`BESIDE`] and [`AHEAD`] are for processes
/// of this program alone.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    (
        "PKGSWARM_CONFIG_DIR",
        "Directory that replaces /etc/pkgswarm. The user's own configuration is then not read either.",
    ),
    ("PKGSWARM_SECTION_KEY", "One setting: PKGSWARM_STORE_MAX sets store.max. See pkgswarm.toml(5)."),
    (
        VERBOSE,
        "Set to anything, it has xfer, fetch and prefetch name every source that failed, also when another one delivered.",
    ),
    ("PKGSWARM_MINISIGN_PASSWORD", "Password of the key file that publish --minisign-key names."),
    (
        "http_proxy, https_proxy, all_proxy, no_proxy",
        "As curl reads them, in capitals too, except that HTTP_PROXY is ignored. With a proxy set, Kubo and gateways are not asked unless kubo.enabled and \
         gateways.behind_proxy say so.",
    ),
    (
        "CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR",
        "Certificates of authorities in place of the system's, as curl reads them; the first one counts before the others.",
    ),
    (
        "HOME, XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_DATA_HOME",
        "The user's own directories. Ignored for root, and for a user that does not own HOME.",
    ),
    ("HTTP_USER_AGENT", "Set by pacman for its downloader; tells pacman's version."),
    (
        "PATH",
        "Where pacman-conf and other programs are looked for. For root, and where another user is the caller, only what \
         root alone may change counts.",
    ),
    (
        "JOURNAL_STREAM, NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS",
        "Set by systemd for the daemon and the endpoint: whether the log has levels, where to tell that it is ready and, how \
         often, that it goes on; the sockets of the endpoint.",
    ),
    (
        "NO_COLOR, TERM",
        "Whether screens, help and progress bars may use colours and move the cursor: not with any NO_COLOR, nor with a TERM \
         of dumb.",
    ),
    (
        "COLUMNS",
        "Width of a terminal that does not tell its own, and of help. On a pipe nothing else is cut or broken.",
    ),
];

/// Everything a command may know about the process that runs it.
#[derive(Clone, Debug)]
pub struct Env {
    /// The arguments, program name first.
    pub args: Vec<OsString>,
    /// Variables that are text; others are ignored.
    pub vars: BTreeMap<String, String>,
    /// The real user id, from the kernel: fakeroot cannot change what a system call answers.
    pub uid: u32,
    /// True when stderr is a terminal, so that a bar may be drawn.
    pub(crate) terminal: bool,
    /// The process that started this one.
    pub(crate) parent: u32,
}

/// The full program; `pkgswarm` itself is a small one that starts it (`front.rs`).
const FULL: &str = "pkgswarm-full";

/// The daemon's program, which the full one starts (`resident.rs`).
const DAEMON: &str = "pkgswarm-daemon";

/// Returns a path relative to the directory of `program`.
fn beside(program: &Path, relative_path: &str) -> PathBuf {
    program.parent().unwrap_or(Path::new("/")).join(relative_path)
}

/// Returns the full program that the command at `program` starts: beside it, or in `../lib/pkgswarm`.
pub fn full_program_of(program: &Path) -> PathBuf {
    let near = beside(program, FULL);
    let installed = || Some(program.parent()?.parent()?.join("lib/pkgswarm").join(FULL));
    if near.exists() { near } else { installed().unwrap_or(near) }
}

/// Returns the daemon's program for the command at `program`: beside its full program.
pub fn daemon_program_of(program: &Path) -> PathBuf {
    beside(&full_program_of(program), DAEMON)
}

/// Returns the file of the program that this process runs.
fn this_program() -> PathBuf {
    std::env::current_exe().ok().or_else(started_as).unwrap_or_else(|| "/usr/bin/pkgswarm".into())
}

/// Returns the program that this process runs, to be started again: the very file, even if another one has its
/// name since. Where `/proc` is not mounted, the path with which the kernel was told to run it (`AT_EXECFN`,
/// getauxval(3)).
pub(crate) fn itself() -> PathBuf {
    let very = Path::new("/proc/self/exe");
    if very.exists() {
        return very.to_owned();
    }
    started_as().unwrap_or_else(|| very.to_owned())
}

fn started_as() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(OsStr::from_bytes(rustix::param::linux_execfn().to_bytes()));
    std::path::absolute(path).ok().filter(|path| path.is_file())
}

impl Env {
    /// Reads the process once.
    pub fn from_process() -> Self {
        Self {
            args: std::env::args_os().collect(),
            vars: std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            uid: rustix::process::getuid().as_raw(),
            terminal: std::io::stderr().is_terminal(),
            parent: Self::parent_now(),
        }
    }

    /// Returns the current parent process: init, when the one that started this process has ended.
    pub(crate) fn parent_now() -> u32 {
        rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Returns the arguments after the program's name.
    pub fn words(&self) -> &[OsString] {
        self.args.get(1..).unwrap_or_default()
    }

    /// Returns the path of the command, for a file that names it: of `pkgswarm` where this is one of the programs that
    /// it starts.
    ///
    /// # Errors
    /// Where `/proc` is hidden and the path that it was started with is gone; trying again does not help.
    pub(crate) fn program(&self) -> std::io::Result<PathBuf> {
        let this = std::env::current_exe().or_else(|error| started_as().ok_or(error))?;
        let relative_paths = ["pkgswarm", "../../bin/pkgswarm"];
        let found =
            relative_paths.into_iter().find_map(|relative_path| beside(&this, relative_path).canonicalize().ok());
        let is_started = this.ends_with(FULL) || this.ends_with(DAEMON);
        Ok(found.filter(|_| is_started).unwrap_or(this))
    }

    /// Returns the path of `pkgswarm-full`; `None` where this is it.
    pub fn full_program(&self) -> Option<PathBuf> {
        let this = this_program();
        (!this.ends_with(FULL)).then(|| full_program_of(&this))
    }

    /// Returns the path of the daemon's program, where this is the full one.
    pub(crate) fn daemon_program(&self) -> PathBuf {
        beside(&this_program(), DAEMON)
    }

    /// Runs `program` in place of this process, with the same words, variables and open files; returns only on
    /// failure.
    pub(crate) fn become_it(&self, program: &Path) -> std::io::Error {
        let mut command = Command::new(program);
        if let Some(name) = self.args.first() {
            command.arg0(name);
        }
        command.args(self.words()).exec()
    }

    /// Returns the arguments that set settings, for another process of this program.
    pub(crate) fn settings(&self) -> Vec<&OsStr> {
        let mut words = self.words().iter().map(OsString::as_os_str).take_while(|word| *word != "--");
        let mut settings = Vec::new();
        while let Some(word) = words.next() {
            if word == "--set" {
                settings.extend([Some(word), words.next()].into_iter().flatten());
            } else if word.as_encoded_bytes().starts_with(b"--set=") {
                settings.push(word);
            }
        }
        settings
    }

    /// Returns the value of a variable; empty means unset.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns true when root runs this process.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Returns the home directory, when it is this user's own.
    ///
    /// pacman leaves `HOME=/root` to its download user, who can neither read it nor should.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        let home = PathBuf::from(self.var("HOME")?);
        let owner = std::fs::metadata(&home).ok()?.uid();
        // Under fakeroot every file of the user looks like root's.
        let faked = owner == 0 && !self.is_root() && self.var("FAKEROOTKEY").is_some();
        (home.is_absolute() && (owner == self.uid || faked)).then_some(home)
    }

    /// Returns true when the environment sets a proxy, which then must not be bypassed. Read as curl does: not
    /// `HTTP_PROXY`, and with a `no_proxy` of `*` there is none.
    pub(crate) fn has_proxy(&self) -> bool {
        let is_for_none =
            ["no_proxy", "NO_PROXY"].iter().find_map(|name| self.var(name)).is_some_and(|list| list.trim() == "*");
        let names = ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        !is_for_none && names.iter().any(|name| self.var(name).is_some())
    }
}

/// Returns true when stderr has a reader: not where it is /dev/null, as in the background.
pub(crate) fn is_heard() -> bool {
    let null = rustix::fs::makedev(1, 3); // null(4)
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|found| {
        let is_device = rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::CharacterDevice;
        !(is_device && found.st_rdev == null)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        let mut env = Env::from_process();
        env.vars = vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        env
    }

    #[test]
    fn settings_of_the_command_line_are_passed_on() {
        let mut env = env(&[]);
        env.args =
            ["pkgswarm", "--set", "a.b=1", "xfer", "u", "--set=c.d=2", "o", "--", "--set=e"].map(Into::into).into();
        assert_eq!(env.settings(), ["--set", "a.b=1", "--set=c.d=2"]);
    }

    #[test]
    fn empty_means_unset() {
        assert_eq!(env(&[("x", "")]).var("x"), None);
        assert!(!env(&[("http_proxy", "")]).has_proxy());
        assert!(!env(&[("HTTP_PROXY", "http://127.0.0.1:1")]).has_proxy());
        assert!(!env(&[("http_proxy", "http://127.0.0.1:1"), ("no_proxy", "*")]).has_proxy());
        assert!(env(&[("all_proxy", "socks5h://127.0.0.1:9050")]).has_proxy());
    }

    #[test]
    fn a_home_of_another_user_is_not_a_home() {
        let mut env = env(&[("HOME", "/")]);
        env.uid = 12345;
        assert_eq!(env.home(), None);
    }
}
