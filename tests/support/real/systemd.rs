//! A real systemd of its own, with the package's files, in namespaces of its own: see `tests/support/systemd-box`.

use super::{Process, Ran, command, programs, run, scratch, until};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A machine that runs nothing but systemd and the test's commands.
pub struct Systemd {
    pid: String,
    // Ended before the directory goes.
    process: Process,
    _dir: TempDir,
}

impl Systemd {
    /// Boots a machine with pkgswarm installed, the network 10.78.0.0/24 trusted, and nothing enabled.
    pub fn boot() -> Systemd {
        let dir = scratch("systemd");
        let (over, pid) = (dir.path().join("over"), dir.path().join("pid"));
        install_package(&over, dir.path());
        let units = over.join("etc/systemd/system");
        fs::create_dir_all(&units).expect("a directory");
        fs::write(units.join("default.target"), "[Unit]\nDescription=Nothing more\nWants=sysinit.target\n")
            .expect("a unit");
        // pacman's package brings it on Arch Linux.
        fs::write(over.join("usr/lib/sysusers.d/alpm.conf"), "u alpm - alpm -\n").expect("a file");
        fs::write(over.join("etc/pkgswarm/config.toml"), "[lan]\nnetworks = \"10.78.0.0/24\"\n").expect("a file");
        let mut boot = command(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/systemd-box"));
        let mut process = Process::start(boot.arg(&over).arg(&pid).env("TMPDIR", dir.path()));
        let pid = until("systemd is started", Duration::from_secs(20), || {
            assert!(process.runs(), "no systemd can be booted here: {}", process.said());
            fs::read_to_string(&pid).ok()
        });
        let this = Systemd { pid: pid.trim().to_owned(), process, _dir: dir };
        until("systemd has booted", Duration::from_secs(60), || {
            let state = this.run(&["systemctl", "is-system-running"]).stdout;
            (state.trim() == "running").then_some(())
        });
        this
    }

    /// Runs a command on it, as root.
    pub fn run(&self, words: &[&str]) -> Ran {
        run(command("nsenter").args(["--target", &self.pid, "--all", "--root", "--wdns=/"]).args(words))
    }

    /// Runs a command that must succeed, and prints the journal if it does not; returns its output.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        if !ran.status.success() {
            self.run(&["journalctl", "--sync"]);
            let journal = self.run(&["journalctl", "--no-pager", "--lines", "40"]).stdout;
            panic!("{ran}--- journal\n{journal}--- console\n{}", self.process.said());
        }
        ran.stdout
    }

    /// Returns one property of a unit.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "--property", name, unit]).trim().to_owned()
    }
}

/// Installs the package's files, with the program under test.
fn install_package(over: &Path, dir: &Path) {
    let built = dir.join("built/release");
    fs::create_dir_all(&built).expect("a directory");
    for (name, program) in programs() {
        symlink(program, built.join(name)).expect("a link");
    }
    fs::create_dir(over).expect("a directory");
    let mut install = command(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/install"));
    run(install.arg(over).env("CARGO_TARGET_DIR", dir.join("built"))).ok();
}
