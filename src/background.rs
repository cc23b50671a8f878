//! Housekeeping that nobody waits for: a process of its own session, with closed standard streams, bounded in time.

use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::index;
use crate::kubo::keep::Ledger;
use crate::session::Session;

/// Starts the housekeeping after a delivery, when there is some to do.
///
/// A database that was just fetched is the sign of a `-Sy`: once for each, the store is swept and due indexes are
/// refreshed. What Kubo cached for us is noted, and trimmed when it is more than `kubo.keep`.
pub fn after(session: &Session, is_refresh: bool) {
    let ledger = Ledger::at(session.store.dir());
    for (cid, size) in session.cached_by_kubo() {
        // A file that is not noted is not trimmed: no harm beyond its size.
        let _ = ledger.note(*cid, *size, SystemTime::now());
    }
    let due = is_refresh && (index::in_use::is_any_due(&session.settings) || session.store.needs_sweep());
    if due || (!session.cached_by_kubo().is_empty() && ledger.is_over(session.settings.kubo_keep)) {
        start();
    }
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
