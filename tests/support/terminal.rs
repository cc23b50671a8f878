//! A terminal of a given width around a run of the program, as a user sees it.

use std::fs::File;
use std::io::Read as _;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// No screen takes longer; a hang is a failure with a name.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the command at a terminal of this many columns, with a user who types this; returns the exit status and all that
/// is seen, escape sequences included.
pub fn seen(columns: u16, typed: &str, mut command: Command) -> (i32, String) {
    let mut master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal"));
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
    let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
    let end = File::options().read(true).write(true).open(name.to_str().expect("a plain name")).expect("the other end");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&end, size).expect("a terminal has a size");
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
    let (tell, output) = mpsc::channel();
    thread::spawn(move || {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        // A terminal without its other end answers with an error (EIO).
        while let Ok(read) = master.read(&mut part) {
            if read == 0 {
                break;
            }
            text.extend_from_slice(&part[..read]);
        }
        let _ = tell.send(String::from_utf8_lossy(&text).into_owned());
    });
    let text = output.recv_timeout(LIMIT).unwrap_or_else(|_| {
        let _ = child.kill();
        panic!("still running after {LIMIT:?}: a hang");
    });
    (child.wait().expect("our child can be waited for").code().unwrap_or(-1), text)
}
