//! Housekeeping that nobody waits for: a process of its own session, with closed standard streams, bounded in time.

use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::index;
use crate::kubo::keep::Ledger;
use crate::session::Session;

/// Starts the housekeeping after a delivery, when there is some to do.
///
/// A database that was just fetched is the sign of a `-Sy`: once for each, the store is swept and due indexes are
/// refreshed. What Kubo cached for us is noted, and trimmed when it is more than `kubo.keep`.
pub fn after(session: &Session, is_refresh: bool) {
    let now = SystemTime::now();
    let ledger = Ledger::at(session.store.dir());
    for (cid, size) in session.cached_by_kubo() {
        // A file that is not noted is not trimmed: no harm beyond its size.
        let _ = ledger.note(*cid, *size, unix(now));
    }
    let due = is_refresh && (index::in_use::is_any_due(&session.settings, now) || session.store.needs_sweep());
    let is_over = || ledger.total().is_ok_and(|total| total > session.settings.kubo_keep);
    if due || (!session.cached_by_kubo().is_empty() && is_over()) {
        start();
    }
}

/// Leaves whoever started this process: its session, so that a ^C in pacman's terminal does not come here, and every
/// file that it had open and did not close for its children (pacman leaks two sockets and a directory).
///
/// First of all in a process: what is open then was inherited.
pub fn detach() {
    // Fails for the first process of a session, which has nothing to leave.
    let _ = rustix::process::setsid();
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The directory just read is among them, and closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Starts `pkgswarm upkeep` and leaves it to itself.
fn start() {
    let child = Command::new("/proc/self/exe")
        .args(["upkeep", "--detached"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // Not waited for: pacman's child ends first, and init inherits it.
    drop(child);
}
