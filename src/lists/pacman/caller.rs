//! The caller: the pacman process above this one, its arguments, and the key of its run.
//!
//! pacman passes its `XferCommand` a URL and a path, and no more. The configuration, the database directory and a
//! forced refresh appear only in pacman's own command line, which `/proc` shows to every user (`environ`, `cwd`
//! and `exe` it does not show to `DownloadUser`; `doc/facts/pacman.md`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;

use crate::base::env::Env;
use crate::base::users;
use crate::lists::pacman::arguments::Arguments;

/// Longest command line that is read, in bytes. Linux allows at most 6 MiB (a quarter of the stack limit, capped at
/// three quarters of `_STK_LIM`, `fs/exec.c`).
const LONGEST_CMDLINE: u64 = 6 << 20;

/// Most ancestors among which pacman is looked for.
const HIGHEST: usize = 16;

/// Usual size of these files in bytes, at most: the kernel makes them anew for each read.
const USUAL: usize = 4096;

/// The key of one run of pacman: the process id and when it started, which together never come back until the
/// machine restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ProcessKey {
    /// The process id, as seen in our own process namespace.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub(crate) start_time: u64,
}

/// The calling pacman process and its command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// The run that this call belongs to.
    pub(crate) key: ProcessKey,
    /// Its program as it was started: a path, or a name that was found in `PATH`.
    pub(crate) program: PathBuf,
    /// Its command line, read as pacman reads it.
    pub(crate) arguments: Arguments,
    /// The other possible meaning: see [`Arguments::parse_otherwise`].
    pub(crate) otherwise: Option<Arguments>,
}

/// The reason why a process cannot be identified. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallerError {
    /// It ended, or `/proc` is mounted with `hidepid`.
    #[error("process {0} has ended or is hidden")]
    Gone(i32),
    /// An ancestor belongs to a user who must not decide what runs here. Its own ancestors prove nothing, whatever
    /// their names.
    #[error("process {pid} belongs to another user")]
    Foreign {
        /// The inspected process.
        pid: i32,
    },
    /// The caller is another program: a shell, makepkg, a front end of its own. Defaults apply.
    #[error("process {pid} is {name:?}, not pacman")]
    NotPacman {
        /// The inspected process.
        pid: i32,
        /// The last part of its `argv[0]`.
        name: String,
    },
    /// `/proc` has unexpected content.
    #[error("/proc/{pid}/{file} cannot be read: {cause}")]
    Unreadable {
        /// The inspected process.
        pid: i32,
        /// The unreadable file.
        file: &'static str,
        /// The error.
        cause: io::Error,
    },
}

impl ProcessKey {
    /// Returns the run of process `pid`, whatever its program.
    ///
    /// # Errors
    /// `Gone` and `Unreadable`.
    pub(crate) fn of(pid: i32) -> Result<Self, CallerError> {
        Self::by(&ProcessFiles::of(pid)?)
    }

    fn by(files: &ProcessFiles) -> Result<Self, CallerError> {
        let (pid, stat) = (files.pid, files.read("stat", USUAL as u64)?);
        let start_time = start_time(&stat).ok_or_else(|| CallerError::Unreadable {
            pid,
            file: "stat",
            cause: io::Error::new(io::ErrorKind::InvalidData, "no start time in it"),
        })?;
        Ok(Self { pid, start_time })
    }

    /// Returns the run of our parent process.
    ///
    /// # Errors
    /// As [`ProcessKey::of`]; `Gone(0)` where the parent lives in another process namespace.
    pub(crate) fn parent() -> Result<Self, CallerError> {
        Self::of(parent_pid()?)
    }

    /// Returns true while the same process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
    }
}

impl Caller {
    /// Finds the pacman above the process of user `uid` that `pid` has started: `pid` itself, or, where a shell, a
    /// script or `timeout` stands between them, the nearest of its ancestors.
    ///
    /// Only processes of `uid` and of root are inspected, and above one of root's only root's: a user who names a
    /// program pacman and runs sudo in it must not decide what runs as another user.
    ///
    /// # Errors
    /// `NotPacman` when there is none, `Foreign` when the way up ends before, `Gone` and `Unreadable` when a process on it
    /// is hidden.
    pub(crate) fn above(pid: i32, uid: u32) -> Result<Self, CallerError> {
        let (mut at, mut user, mut first) = (pid, uid, None);
        for _ in 0..HIGHEST {
            let files = ProcessFiles::of(at)?;
            let process = users::process(&files.read("status", USUAL as u64)?)
                .ok_or_else(|| unreadable(at, "status", io::ErrorKind::InvalidData.into()))?;
            if process.uids.iter().any(|uid| *uid != user && *uid != 0) {
                return Err(CallerError::Foreign { pid: at });
            }
            if process.uids.contains(&0) {
                user = 0;
            }
            match Self::by(&files) {
                Err(error @ CallerError::NotPacman { .. }) => first = first.or(Some(error)),
                found => return found,
            }
            at = process.parent;
            if at <= 1 {
                break;
            }
        }
        Err(first.unwrap_or(CallerError::Gone(pid)))
    }

    /// Returns the pacman with process id `pid`.
    ///
    /// # Errors
    /// `NotPacman` when it is another program, which is normal under makepkg and by hand.
    #[cfg(test)]
    pub(crate) fn of(pid: i32) -> Result<Self, CallerError> {
        Self::by(&ProcessFiles::of(pid)?)
    }

    /// Reads the name first: it decides for most ancestors, and costs least.
    fn by(files: &ProcessFiles) -> Result<Self, CallerError> {
        let pid = files.pid;
        let words = words(&files.read("cmdline", LONGEST_CMDLINE)?);
        let (program, arguments) = match words.split_first() {
            Some((program, arguments)) => (program.as_os_str(), arguments),
            None => return Err(CallerError::Gone(pid)), // a zombie or a kernel thread has no command line
        };
        if !is_pacman(program.as_bytes()) {
            return Err(CallerError::NotPacman { pid, name: basename(program.as_bytes()) });
        }
        let key = ProcessKey::by(files)?;
        let otherwise = Arguments::parse_otherwise(arguments);
        Ok(Self { key, program: PathBuf::from(program), arguments: Arguments::parse(arguments), otherwise })
    }

    /// Makes a path from pacman's command line absolute, by the directory in which pacman was started.
    ///
    /// That directory is read from `PWD`, inherited from the shell, because pacman 6 itself changes directory
    /// before it calls us and `DownloadUser` may not read `/proc/PID/cwd`. `None` when neither leads to an
    /// existing path.
    pub(crate) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        if path.is_absolute() {
            return Some(path.to_owned());
        }
        let shell = std::env::var_os("PWD").map(PathBuf::from);
        let process = fs::read_link(format!("/proc/{}/cwd", self.key.pid)).ok();
        [shell, process]
            .into_iter()
            .flatten()
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(path))
            .find(|at| rustix::fs::statat(rustix::fs::CWD, at, rustix::fs::AtFlags::empty()).is_ok())
    }
}

/// Returns true when the parent process has pacman's name; reads nothing else of it.
pub(crate) fn is_parent_pacman() -> bool {
    let cmdline = parent_pid().and_then(ProcessFiles::of).and_then(|files| files.read("cmdline", LONGEST_CMDLINE));
    cmdline.is_ok_and(|cmdline| cmdline.split(|byte| *byte == 0).next().is_some_and(is_pacman))
}

/// Has the kernel kill this process, also after it runs another program, when its parent ends: a killed pacman
/// needs no more files, and no process would be left to end its downloads. Returns false when `parent` has ended
/// already.
pub(crate) fn end_with(parent: u32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    Env::parent_now() == parent
}

fn parent_pid() -> Result<i32, CallerError> {
    // Raw, because a parent outside our process namespace is reported as 0.
    rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()).ok_or(CallerError::Gone(0))
}

/// The files of one process in `/proc`. They stay those of this process when it has ended and another one has its id.
struct ProcessFiles {
    pid: i32,
    dir: OwnedFd,
}

impl ProcessFiles {
    fn of(pid: i32) -> Result<Self, CallerError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty());
        Ok(Self { pid, dir: dir.map_err(|cause| unreadable(pid, ".", cause.into()))? })
    }

    fn read(&self, file: &'static str, most: u64) -> Result<Vec<u8>, CallerError> {
        let mut bytes = Vec::with_capacity(USUAL);
        let opened = rustix::fs::openat(&self.dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        match opened.map_err(io::Error::from).and_then(|from| fs::File::from(from).take(most).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(cause) => Err(unreadable(self.pid, file, cause)),
        }
    }
}

fn unreadable(pid: i32, file: &'static str, cause: io::Error) -> CallerError {
    let has_ended = rustix::io::Errno::from_io_error(&cause) == Some(rustix::io::Errno::SRCH);
    match cause.kind() {
        io::ErrorKind::NotFound => CallerError::Gone(pid),
        _ if has_ended => CallerError::Gone(pid),
        _ => CallerError::Unreadable { pid, file, cause },
    }
}

/// Reads field 22. The second field, the program's name in parentheses, may itself hold spaces and parentheses
/// (proc(5)).
pub fn start_time(stat: &[u8]) -> Option<u64> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_ends + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// Returns the words of a command line, each of which ends with a zero byte; none when the process has overwritten
/// it.
pub fn words(cmdline: &[u8]) -> Vec<OsString> {
    let Some(text) = cmdline.strip_suffix(b"\0") else { return Vec::new() };
    text.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

fn is_pacman(program: &[u8]) -> bool {
    // `pacman-static` is the AUR's rescue build; the same program.
    matches!(basename(program).as_str(), "pacman" | "pacman-static")
}

fn basename(program: &[u8]) -> String {
    let last = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    String::from_utf8_lossy(last).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_hostile_program_name() {
        let tail = "S 1 1 1 0 -1 4194560 5 0 0 0 0 0 0 0 20 0 1 0 987654 100 1";
        for name in ["pacman", "a b", ") R 1 (", "((()))", ""] {
            assert_eq!(start_time(format!("77 ({name}) {tail}").as_bytes()), Some(987_654), "{name}");
        }
        for bad in ["", "77 (x", "77 (x) S 1", "77 (x) S 1 1 1 0 -1 4 5 0 0 0 0 0 0 0 20 0 1 0 x"] {
            assert_eq!(start_time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_process_keeps_its_transaction_and_another_has_another() {
        let own = std::process::id() as i32;
        assert_eq!(ProcessKey::of(own).unwrap(), ProcessKey::of(own).unwrap());
        assert!(ProcessKey::of(own).unwrap().is_alive());
        assert_ne!(ProcessKey::of(own).unwrap(), ProcessKey::parent().unwrap());
        assert!(!ProcessKey { pid: own, start_time: 1 }.is_alive());
        assert!(matches!(ProcessKey::of(i32::MAX), Err(CallerError::Gone(i32::MAX))));
    }

    #[test]
    fn a_caller_that_is_not_pacman_is_named() {
        let own = std::process::id() as i32;
        let program = std::env::args_os().next().unwrap();
        let want = basename(program.as_bytes());
        assert!(matches!(Caller::of(own), Err(CallerError::NotPacman { name, .. }) if name == want));
    }

    #[test]
    fn pacman_is_known_by_the_last_part_of_its_name() {
        for yes in ["pacman", "/usr/bin/pacman", "./pacman", "/opt/pacman-static"] {
            assert!(is_pacman(yes.as_bytes()), "{yes}");
        }
        for no in ["", "bash", "pacman/", "/pacman/bash", "pacman-key", "fakeroot"] {
            assert!(!is_pacman(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn command_lines_keep_empty_and_foreign_words() {
        assert_eq!(
            words(b"pacman\0-b\0\0\xff\0"),
            ["pacman", "-b", ""]
                .map(OsString::from)
                .into_iter()
                .chain([OsString::from_vec(vec![0xff])])
                .collect::<Vec<_>>()
        );
        assert!(words(b"").is_empty());
    }
}
