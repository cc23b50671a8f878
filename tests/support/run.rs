//! One run of the program: its start, its end, its output.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::terminal::terminal;

/// No scenario may take longer; a hang is a failure with a name.
const LIMIT: Duration = Duration::from_secs(120);

/// A finished run.
#[derive(Debug)]
pub struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    /// As printed.
    pub stderr: String,
    /// With paths, ports, times and digests replaced by constants.
    pub said: String,
    pub took: Duration,
}

impl Run {
    /// Returns the exit status; a signal shows as 128 + its number.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Asserts exit status and the whole of stderr (redacted), and that stdout is empty.
    #[track_caller]
    pub fn fails(&self, code: i32, said: &str) -> &Self {
        assert_eq!(
            (self.code(), self.said.as_str(), self.stdout.as_str()),
            (code, said, ""),
            "stderr: {}",
            self.stderr
        );
        self
    }

    /// Asserts exit 0, an empty stdout and one line on stderr at most, warnings and what took long aside.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!((self.code(), self.stdout.as_str()), (0, ""), "stderr: {}", self.stderr);
        let lines =
            self.stderr.lines().filter(|line| !line.starts_with("warning: ") && !line.starts_with("fetching ")).count();
        assert!(lines <= 1, "more than one line: {}", self.stderr);
        self
    }

    /// Asserts that the run was over within this time.
    #[track_caller]
    pub fn within(&self, limit: Duration) -> &Self {
        // A machine with other work may take four times as long; a fault takes ten times or for ever.
        let limit = limit * 4;
        assert!(self.took <= limit, "took {:?}, not at most {limit:?}; stderr: {}", self.took, self.stderr);
        self
    }
}

/// A run under way; killed when dropped.
pub struct Running {
    child: Child,
    output: mpsc::Receiver<(String, String)>,
    started: Instant,
    base: String,
    /// The other end of its terminal, which must stay open.
    terminal: Option<std::fs::File>,
}

impl Running {
    pub fn start(command: Command, base: &str) -> Self {
        Self::reading(Stdio::null(), command, base)
    }

    /// Starts the command at a terminal, with a user who types this.
    pub fn asked(typed: &str, command: Command, base: &str) -> Self {
        let (mut master, end) = terminal(80);
        // The kernel keeps typed text until it is read.
        std::io::Write::write_all(&mut master, typed.as_bytes()).expect("a terminal takes what is typed");
        let mut running = Self::reading(end.into(), command, base);
        running.terminal = Some(master);
        running
    }

    /// Starts the command with its standard error at a terminal of so many columns.
    pub fn at_terminal(columns: u16, mut command: Command, base: &str) -> Self {
        let (master, end) = terminal(columns);
        command.env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(end));
        Self::spawned(command, Some(master), base)
    }

    fn reading(stdin: Stdio, mut command: Command, base: &str) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawned(command, None, base)
    }

    /// Starts it, and reads its outputs until their ends; standard error from the terminal, if there is one.
    fn spawned(mut command: Command, terminal: Option<std::fs::File>, base: &str) -> Self {
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut out = child.stdout.take().expect("piped");
        let mut err: Box<dyn Read + Send> = match terminal {
            Some(master) => Box::new(master),
            None => Box::new(child.stderr.take().expect("piped")),
        };
        // The other end of a terminal closes with the last process that has it.
        drop(command);
        let (tell, output) = mpsc::channel();
        thread::spawn(move || {
            let other = thread::spawn(move || text(&mut err));
            let _ = tell.send((text(&mut out), other.join().expect("a reader does not panic")));
        });
        Self { child, output, started, base: base.to_owned(), terminal: None }
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Run {
        let Ok((stdout, stderr)) = self.output.recv_timeout(LIMIT) else {
            let _ = self.child.kill();
            panic!("still running after {LIMIT:?}: a hang");
        };
        let status = self.child.wait().expect("our child can be waited for");
        drop(self.terminal.take());
        let said = redacted(&stderr, &self.base);
        Run { status, stdout, stderr, said, took: self.started.elapsed() }
    }

    /// True if it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child can be looked at").is_some()
    }

    /// Kills it like `kill -9`, and returns once it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("our child can be killed");
        self.child.wait().expect("our child can be waited for");
    }

    /// Sends a signal to it and its children, as a terminal does on ^C.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(pid, signal).expect("our child can be signalled");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the lines that a terminal showed, one after the other: pictures of a bar, which replace each other, too.
/// Without styles.
pub fn pictures(said: &str) -> Vec<String> {
    let said = said.replace("\r\n", "\n").replace("\r\u{1b}[K", "\n");
    said.split('\n').map(|line| console::strip_ansi_codes(line).into_owned()).filter(|line| !line.is_empty()).collect()
}

/// Returns the text that a terminal shows in the end.
pub fn screen(said: &str) -> String {
    let lines = said.replace("\r\n", "\n");
    let left = lines.split_inclusive('\n').map(|line| line.rsplit("\r\u{1b}[K").next().unwrap_or_default());
    left.map(|line| console::strip_ansi_codes(line).into_owned()).collect()
}

fn text(from: &mut (impl Read + ?Sized)) -> String {
    let mut bytes = Vec::new();
    match from.read_to_end(&mut bytes) {
        // The end of a terminal that no process has any more (tty_ioctl(4): EIO after a hangup).
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {}
        read => drop(read.expect("an output can be read")),
    }
    String::from_utf8(bytes).expect("everything said is UTF-8")
}

/// Replaces the parts that differ between runs: our directory, ports (A, B, … by appearance; hosts 127.0.0.2 and on
/// become 127.0.0.1), times, digests.
pub fn redacted(text: &str, base: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let text = (2..10).fold(text.to_owned(), |text, n| text.replace(&format!("127.0.0.{n}:"), HOST));
    let text = text.replace(base, "$WORLD");
    let (mut ports, mut out) = (Vec::new(), String::new());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(HOST) {
        let (before, after) = rest.split_at(at + HOST.len());
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let port = &after[..digits];
        let place = ports.iter().position(|known| *known == port).unwrap_or_else(|| {
            ports.push(port);
            ports.len() - 1
        });
        out += before;
        out.push((b'A' + place as u8) as char);
        rest = &after[digits..];
    }
    out += rest;
    out.split_inclusive('\n').map(|line| line.split(' ').collect::<Vec<_>>()).map(times_hidden).collect()
}

/// Replaces `0.3 s`, `120 ms`, `60 min old,` by `N s`, `N ms`, `N min old,`, and text that depends on a server's clock.
fn times_hidden(mut words: Vec<&str>) -> String {
    for at in 1..words.len() {
        let unit = words[at].trim_end_matches(['\n', ',', ')', ';', ':', '.']);
        let counted = words[at - 1].trim_start_matches('(').parse::<f64>().is_ok();
        let is_age = unit == "min" && words.get(at + 1).is_some_and(|next| next.starts_with("old"));
        if (matches!(unit, "s" | "ms") || is_age) && counted {
            words[at - 1] = "N";
        }
    }
    words.join(" ")
}
