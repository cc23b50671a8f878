//! A whole system of its own, from its user's view: this machine's programs and libraries below, a real pacman
//! with its files in their usual places above, and without any effect on this machine.

use super::{Parts, Process, Ran, command, install, run, scratch, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The system; all of it is in memory, and gone when it is dropped.
pub struct Live {
    holder: Process,
    _dir: TempDir,
}

/// Run in a mount namespace of its own, `$1` is a directory.
const MAKE: &str = "
    mount -t tmpfs none \"$1\"
    mkdir \"$1/upper\" \"$1/work\" \"$1/root\"
    mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/upper,workdir=$1/work\" \"$1/root\"
    cd \"$1/root\"
    for dir in dev proc sys; do mount --rbind /$dir $dir; done
    for dir in run tmp; do mount -t tmpfs none $dir; done
    chmod 1777 tmp
    rm -rf var/lib/pacman var/cache/pacman etc/pacman.conf var/cache/pkgswarm var/lib/pkgswarm etc/pkgswarm
    mkdir -p var/lib/pacman var/cache/pacman/pkg etc/pacman.d/hooks etc/pacman.d/gnupg var/log
    exec chroot . sh -c 'touch /run/ready; exec sleep infinity'";

/// systemd's hooks on Arch Linux for packages that bring users or directories.
const HOOKS: [(&str, &str, &str); 2] = [
    ("20-sysusers.hook", "sysusers", "systemd-sysusers"),
    ("30-tmpfiles.hook", "tmpfiles", "systemd-tmpfiles --create"),
];

/// The ends of pacman's and our questions.
const QUESTIONS: [&str; 3] = ["[Y/n] ", "[y/N] ", "(default=all): "];

impl Live {
    /// Starts one with this release of pacman; `None`, with a loud message, if this machine cannot have such a
    /// system.
    pub fn start(parts: &Parts, release: &str) -> Option<Live> {
        let dir = scratch("live");
        let mut holder = Process::start(command("unshare").args(["--mount", "sh", "-euc", MAKE, "sh"]).arg(dir.path()));
        let ready = format!("/proc/{}/root/run/ready", holder.id());
        let is_up = until("the system is there or not", Duration::from_secs(60), || {
            if Path::new(&ready).exists() { Some(true) } else { (!holder.runs()).then_some(false) }
        });
        if !is_up {
            let _ = writeln!(std::io::stderr(), "SKIPPED, NOT PASSED: no system of its own here: {}", holder.said());
            return None;
        }
        let live = Live { holder, _dir: dir };
        for (name, from) in [("pacman", parts.pacman(release)), ("pacman-conf", parts.pacman_conf(release))] {
            let to = live.path("usr/bin").join(name);
            install(&from, &to);
            // The configuration directory that was built into it.
            if let Some(etc) =
                from.parent().and_then(Path::parent).map(|home| home.join("etc")).filter(|it| it.exists())
            {
                let own = live.path(etc.strip_prefix("/").expect("absolute")).join("pacman.conf");
                let _ = fs::remove_file(&own);
                std::os::unix::fs::symlink("/etc/pacman.conf", own).expect("a link");
            }
        }
        for (name, what, exec) in HOOKS {
            let text = format!(
                "[Trigger]\nOperation = Install\nOperation = Upgrade\nType = Path\nTarget = usr/lib/{what}.d/*.conf\n\
                 [Action]\nDescription = {what}\nWhen = PostTransaction\nExec = /usr/bin/{exec}\n"
            );
            live.write(&format!("etc/pacman.d/hooks/{name}"), &text);
        }
        Some(live)
    }

    /// Returns the path of one of its files, seen from outside.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(below)
    }

    /// Writes one of its files.
    pub fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).expect("a file of the system");
    }

    /// Runs a command as its root.
    pub fn run(&self, words: &[&str]) -> Ran {
        run(&mut self.command(words))
    }

    /// Runs a command as this user of it.
    pub fn run_as(&self, user: &str, words: &[&str]) -> Ran {
        let drop = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
        self.run(&[&drop[..], words].concat())
    }

    /// Runs a command as its root, at a terminal of its own; returns what is seen there. The `n`th answer is for the
    /// `n`th question, the last one for all further ones. pacman drops what is typed before its question and a moment
    /// after it: the last answer is typed again where nothing follows. A command that fails is a failure.
    pub fn at_terminal(&self, words: &[&str], answers: &[&str]) -> String {
        let mut screen = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal"));
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("a terminal of ours");
        let name = ptsname(&screen, Vec::new()).expect("a terminal has a name");
        let end = File::options().read(true).write(true).open(name.to_str().expect("a plain name")).expect("its end");
        let ends = [0, 1, 2].map(|_| end.try_clone().expect("an open file"));
        let [stdin, stdout, stderr] = ends;
        let mut command = self.command(words);
        let child = command.env("TERM", "dumb").stdin(stdin).stdout(stdout).stderr(stderr).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{words:?}: {error}"));
        // The command holds the other end too.
        drop((end, command));
        let (mut seen, mut part, mut asked, mut answered) = (Vec::new(), [0; 4096], 0, 0);
        let until = Instant::now() + Duration::from_secs(180);
        let moment = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        let answer = |screen: &mut File, number: usize| {
            let answer = answers[number.min(answers.len() - 1)];
            screen.write_all(format!("{answer}\n").as_bytes()).expect("a terminal takes what is typed");
        };
        loop {
            if Instant::now() > until {
                let _ = child.kill();
                panic!("{words:?} still ran, having said:\n{}", String::from_utf8_lossy(&seen));
            }
            if poll(&mut [PollFd::new(&screen, PollFlags::IN)], Some(&moment)).expect("a terminal") == 0 {
                if asked >= answers.len() {
                    answer(&mut screen, asked);
                }
                continue;
            }
            // A terminal without its other end answers with an error (EIO).
            let Ok(read @ 1..) = screen.read(&mut part) else { break };
            seen.extend_from_slice(&part[..read]);
            // pacman shows the cursor again behind its question, in the same breath or in the next.
            let said = seen.strip_suffix(b"\x1b[?25h").unwrap_or(&seen);
            if said.len() > answered && QUESTIONS.iter().any(|it| said.ends_with(it.as_bytes())) {
                answered = said.len();
                answer(&mut screen, asked);
                asked += 1;
            }
        }
        let seen = String::from_utf8_lossy(&seen).into_owned();
        let status = child.wait().expect("our child can be waited for");
        assert!(status.success(), "{words:?}: {status}\n{seen}");
        seen
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut inside = command("nsenter");
        inside.args(["--target", &self.holder.id().to_string(), "--mount", "--root", "--wd=/"]).args(words);
        inside.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", "/root");
        inside
    }
}
