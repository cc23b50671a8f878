//! The daemon on a host of a test network, as run by its unit: as a user of its own, with a store of its own.

use super::pacman::user_dir;
use super::swarm::bytes_below;
use super::{PacmanRoot, Process, Ran, Swarm, until};
use pkgswarm::base::digest::Sha256;
use pkgswarm::net::socket::Connection;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A daemon that serves one pacman's cache.
pub struct DaemonProcess {
    start: Command,
    process: Option<Process>,
    socket: PathBuf,
    store: PathBuf,
}

impl Swarm {
    /// Connects `xfer` and the daemon of this installation, and lets the daemon share this repository on this
    /// network, or `any`.
    pub fn sharing(mut self, repo: &str, network: &str) -> Swarm {
        let run = self.program().with_file_name("run");
        user_dir(&run);
        self.set("PKGSWARM_DAEMON_SOCKET", &run.join("socket").display().to_string());
        self.set("PKGSWARM_SHARE_REPOS", repo);
        self.config(&format!("[lan]\nnetworks = {network:?}\n"))
    }

    /// Starts a daemon for this pacman's cache and databases.
    pub fn daemon(&self, pacman: &PacmanRoot) -> DaemonProcess {
        let dir = self.program().parent().expect("a directory").to_owned();
        let store = dir.join("daemon-store");
        user_dir(&store);
        let path = format!("{}:{}", pacman.bin().display(), std::env::var("PATH").unwrap_or_default());
        let mut start = self.command_as_user(&["daemon"]);
        start.env("PKGSWARM_STORE_DIR", &store).env("PKGSWARM_PACMAN_CONF", pacman.config()).env("PATH", &path);
        let socket = dir.join("run/socket");
        let mut daemon = DaemonProcess { start, process: None, socket, store };
        daemon.start();
        daemon
    }
}

impl DaemonProcess {
    /// Starts it, and waits until it answers.
    pub fn start(&mut self) {
        let mut process = Process::start(&mut self.start);
        until("the daemon listens", Duration::from_secs(20), || {
            assert!(process.runs(), "the daemon ended at its start:\n{}", process.said());
            std::os::unix::fs::FileTypeExt::is_socket(&fs::metadata(&self.socket).ok()?.file_type()).then_some(())
        });
        self.process = Some(process);
    }

    /// Stops it regularly.
    pub fn stop(&mut self) -> Option<Ran> {
        let process = self.process.take()?;
        process.signal(Signal::TERM);
        Some(process.wait())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Makes it hang.
    pub fn freeze(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Continues it.
    pub fn thaw(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.running().id()
    }

    /// Counts bytes of packages in its own store.
    pub fn store_bytes(&self) -> u64 {
        bytes_below(&self.store.join("files"))
    }

    /// Returns its output.
    pub fn said(&self) -> String {
        self.running().said()
    }

    /// Returns its offers.
    pub fn shared(&self) -> Value {
        self.ask("shared")
    }

    /// Returns its status.
    pub fn status(&self) -> Value {
        self.ask("status")
    }

    /// Waits until it offers so many files.
    pub fn offers(&self, count: usize) {
        self.offers_within(count, Duration::from_secs(120));
    }

    /// Waits likewise, for files that take long to hash.
    pub fn offers_within(&self, count: usize, limit: Duration) {
        until(&format!("{count} files are offered"), limit, || {
            let files = self.shared()["files"].as_array().map_or(0, Vec::len);
            (files == count).then_some(())
        });
    }

    /// Waits until it is connected to so many neighbours; returns the time that took.
    pub fn meets(&self, count: usize) -> Duration {
        let begun = Instant::now();
        until(&format!("{count} neighbours are connected"), Duration::from_secs(120), || {
            let peers = self.status()["peers"].as_array().map_or(0, Vec::len);
            (peers >= count).then_some(())
        });
        begun.elapsed()
    }

    /// Returns its answer to a request; null while it does not answer.
    fn ask(&self, what: &str) -> Value {
        let asked = async {
            let connection = Connection::to(&self.socket).ok()?;
            connection.send(what, None).await.ok()?;
            let answer = tokio::time::timeout(Duration::from_secs(5), connection.receive()).await;
            answer.ok()?.ok()??.1
        };
        runtime().block_on(asked).and_then(|file| serde_json::from_reader(file).ok()).unwrap_or(Value::Null)
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a running daemon")
    }
}

impl DaemonProcess {
    /// Asks for a file like this one, like `xfer`; returns the last word of the answer, or the reason of a
    /// failure.
    pub fn get(&self, like: &Path, cid: Option<&str>) -> Result<String, String> {
        let bytes = fs::read(like).expect("a file");
        let name = like.file_name().and_then(|name| name.to_str()).expect("a name");
        let request = format!("get {} {} {} {name}", Sha256::of(&bytes), bytes.len(), cid.unwrap_or("-"));
        let asked = async {
            let connection = Connection::to(&self.socket).map_err(|e| e.to_string())?;
            connection.send(&request, None).await.map_err(|e| e.to_string())?;
            let mut file = None;
            loop {
                let answer = tokio::time::timeout(Duration::from_secs(20), connection.receive()).await;
                let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|e| e.to_string())?;
                let (text, given) = answer.ok_or("hung up")?;
                file = given.or(file);
                match text.split(' ').next() {
                    Some("done") => {
                        let file = file.ok_or("no descriptor")?;
                        let mut got = vec![0; bytes.len()];
                        file.read_exact_at(&mut got, 0).map_err(|e| e.to_string())?;
                        return if got == bytes { Ok(text) } else { Err("other bytes".to_owned()) };
                    }
                    Some("absent" | "failed" | "corrupt" | "busy") => return Err(text),
                    _ => {}
                }
            }
        };
        runtime().block_on(asked)
    }

    /// Removes its stored files.
    pub fn forget(&self) {
        for entry in fs::read_dir(self.store.join("files")).expect("its store") {
            fs::remove_file(entry.expect("an entry").path()).expect("a file of its store");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl DaemonProcess {
    /// Waits until it has no connected neighbour; returns the time that took.
    pub fn misses_all(&self) -> Duration {
        let begun = Instant::now();
        until("no neighbour is connected", Duration::from_secs(30), || {
            self.status()["peers"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
        begun.elapsed()
    }

    /// Connects so many times and keeps that open without a request, and sends malformed requests on every other
    /// connection; returns how many of them the daemon keeps. They stay open until this process ends.
    pub fn flood(&self, count: usize) -> usize {
        runtime().block_on(async {
            let mut kept = Vec::new();
            for number in 0..count {
                let Ok(connection) = Connection::to(&self.socket) else { continue };
                if number % 2 == 0 {
                    let _ = connection.send("get nonsense", None).await;
                }
                kept.push(connection);
            }
            let mut held = 0;
            for connection in &kept {
                // A connection over the quota is closed; others are refused, or left waiting.
                let said = tokio::time::timeout(Duration::from_millis(20), connection.receive()).await;
                held += usize::from(!matches!(said, Ok(Ok(None) | Err(_))));
            }
            std::mem::forget(kept);
            held
        })
    }
}
