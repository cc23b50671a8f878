//! A terminal of a given width around a run of the program, as a user sees it.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use super::run::{Run, redacted};

/// No screen takes longer; a hang is a failure with a name.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the command at a terminal of this many columns, with a user who types this; returns the exit status and all that
/// is seen, escape sequences included.
pub fn seen(columns: u16, typed: &str, mut command: Command) -> (i32, String) {
    let (mut master, end) = terminal(columns);
    std::io::Write::write_all(&mut master, typed.as_bytes()).expect("a terminal takes what is typed");
    let ends = [0, 1, 2].map(|_| end.try_clone().expect("an open file"));
    let [stdin, stdout, stderr] = ends;
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm-256color");
    }
    let mut child =
        command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // The command holds the other end too.
    drop((end, command));
    let output = all_of(master);
    let text = output.recv_timeout(LIMIT).unwrap_or_else(|_| {
        let _ = child.kill();
        panic!("still running after {LIMIT:?}: a hang");
    });
    (child.wait().expect("our child can be waited for").code().unwrap_or(-1), text)
}

/// Runs the command with its output at a terminal of this many columns, without styles, and a pipe for its errors.
pub fn printed(columns: u16, mut command: Command, base: &str) -> Run {
    let started = Instant::now();
    let (master, end) = terminal(columns);
    let mut modes = tcgetattr(&end).expect("the modes of a terminal");
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&end, OptionalActions::Now, &modes).expect("a terminal takes modes");
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(end).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // The command holds the other end too.
    drop(command);
    let (stdout, stderr) = (all_of(master), all_of(child.stderr.take().expect("piped")));
    let [stdout, stderr] = [stdout, stderr].map(|output| output.recv_timeout(LIMIT)).map(|text| {
        text.unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("still running after {LIMIT:?}: a hang");
        })
    });
    let status = child.wait().expect("our child can be waited for");
    let said = redacted(&stderr, base);
    Run { status, stdout, stderr, said, took: started.elapsed() }
}

/// Opens a terminal of this many columns; returns the end of the user and that of the program.
pub(super) fn terminal(columns: u16) -> (File, File) {
    let master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal"));
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
    let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
    let end = File::options().read(true).write(true).open(name.to_str().expect("a plain name")).expect("the other end");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&end, size).expect("a terminal has a size");
    (master, end)
}

/// Reads until there is no more, and tells all of it.
fn all_of(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, output) = mpsc::channel();
    thread::spawn(move || {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        // A terminal without its other end answers with an error (EIO).
        while let Ok(read) = from.read(&mut part) {
            if read == 0 {
                break;
            }
            text.extend_from_slice(&part[..read]);
        }
        let _ = tell.send(String::from_utf8_lossy(&text).into_owned());
    });
    output
}
