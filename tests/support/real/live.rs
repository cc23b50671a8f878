//! A whole system of its own, from its user's view: this machine's programs and libraries below, a real pacman
//! with its files in their usual places above, and without any effect on this machine.

use super::{Parts, Process, Ran, command, install, run, scratch, until};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
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

    fn command(&self, words: &[&str]) -> Command {
        let mut inside = command("nsenter");
        inside.args(["--target", &self.holder.id().to_string(), "--mount", "--root", "--wd=/"]).args(words);
        inside.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", "/root");
        inside
    }
}
