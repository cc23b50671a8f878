//! Running programs: bounded in time, all output kept, nothing left running.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Time limit of any single program in these tests.
const LIMIT: Duration = Duration::from_secs(180);

/// Polls until `fact` returns a value; panics with `what` after the limit.
pub fn until<T>(what: &str, limit: Duration, mut fact: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = fact() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not so within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Builds a command in a plain environment: no proxies, no locale, none of the caller's pkgswarm variables.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        let own = upper.starts_with("PKGSWARM_") || upper.starts_with("IPFS_") || upper.starts_with("CARGO");
        if own || upper.ends_with("_PROXY") || upper.starts_with("GNUPG") || upper == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// The end of a program, and its output.
pub struct Ran {
    /// Its command line.
    pub line: String,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its duration.
    pub took: Duration,
}

impl Ran {
    /// Checks that the program succeeded, and returns itself.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Checks that the program failed by itself, and not by a signal, and returns itself.
    #[track_caller]
    pub fn failed(self) -> Ran {
        assert!(!self.status.success() && self.status.signal().is_none(), "{self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ {}\n{} after {:?}\n", self.line, self.status, self.took)?;
        write!(f, "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// Lists the processes that run from a program's file.
pub fn running(program: &Path) -> Vec<u32> {
    // The command pkgswarm replaces itself with the full program, which is beside it, and that with the daemon's.
    let others = ["pkgswarm-full", "pkgswarm-daemon"].map(|name| program.with_file_name(name));
    let is_one = |exe: &Path| exe == program || others.iter().any(|other| exe == other);
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_program =
        processes.filter(|process| std::fs::read_link(process.path().join("exe")).is_ok_and(|exe| is_one(&exe)));
    of_program.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    Process::start(command).wait()
}

/// A program that is running, in a process group of its own.
pub struct Process {
    child: Child,
    line: String,
    start: Instant,
    stdout: File,
    stderr: File,
}

impl Process {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Process {
        // Files and not pipes: a helper that outlives the program must not block a reader.
        let file = || tempfile::tempfile().expect("a temporary file");
        let (stdout, stderr) = (file(), file());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        command.stdout(stdout.try_clone().expect("a descriptor"));
        command.stderr(stderr.try_clone().expect("a descriptor"));
        let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        Process { child, line, start: Instant::now(), stdout, stderr }
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its output so far, of both streams.
    pub fn said(&self) -> String {
        contents(&self.stdout) + &contents(&self.stderr)
    }

    /// True while it is running.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Sends SIGINT to it and to all that it has started, like ^C in a terminal.
    pub fn interrupt(&self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::INT);
    }

    /// Waits for its end.
    pub fn wait(self) -> Ran {
        self.wait_within(LIMIT)
    }

    /// Waits for its end, longer than for most programs.
    pub fn wait_within(mut self, limit: Duration) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if self.start.elapsed() > limit {
                self.kill();
                panic!("{} still ran after {limit:?}, having said:\n{}", self.line, self.said());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.start.elapsed();
        let (stdout, stderr) = (contents(&self.stdout), contents(&self.stderr));
        Ran { line: std::mem::take(&mut self.line), status, stdout, stderr, took }
    }

    /// Kills it, and the processes that it started.
    pub fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.kill();
        }
    }
}

/// Reads the whole file without moving the position at which the program writes.
fn contents(file: &File) -> String {
    let size = file.metadata().expect("its size").len();
    let mut bytes = vec![0; usize::try_from(size).expect("a small file")];
    file.read_exact_at(&mut bytes, 0).expect("what a program said");
    String::from_utf8_lossy(&bytes).into_owned()
}
