//! The end of a delivery: [`note`] writes its receipt down, and [`after`] starts the housekeeping that is due.
//!
//! Housekeeping and read-ahead are processes that [`start`] makes: each detaches itself from pacman's terminal,
//! has no standard streams, and is bounded in time.

use std::process::{Child, Command};
use std::time::{Instant, SystemTime};

use crate::base::clock;
use crate::base::env::{self, BESIDE, HANDOVER};
use crate::base::name::{FileName, RepoName};
use crate::base::program;
use crate::engine::deliver::Receipt;
use crate::index;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::pins::keep::Ledger;
use crate::store::Store;
use crate::store::journal::{By, Journal, JournalRecord};

/// Starts the housekeeping after a delivery, when some is due.
///
/// A database that was just fetched is the sign of a `-Sy`: once for each, the store is swept and due indexes are
/// refreshed, and what is installed afterwards goes into Kubo (`kubo.share`). Blocks that Kubo cached for us are trimmed when they exceed `kubo.keep`.
pub(crate) fn after(call: &Call, receipt: &Receipt, is_refresh: bool) -> Option<Child> {
    if call.machine.settings.storeless {
        return None;
    }
    let now = SystemTime::now();
    let settings = &call.machine.settings;
    let due = is_refresh
        && (index::in_use::is_any_due(settings, now)
            || call.machine.store.needs_sweep()
            || settings.kubo_shares_installed);
    let is_over = || Ledger::at(call.machine.store.dir()).total().is_ok_and(|total| total > settings.kubo_keep);
    if due || (!receipt.cached_by_kubo.is_empty() && is_over()) {
        return start(call, &["upkeep", "--detached"]);
    }
    None
}

/// Detaches this process from its caller: from its session, so that a ^C in pacman's terminal does not reach it,
/// and from every file that the caller left open for its children (pacman leaks two sockets and a directory).
///
/// Call it first in a process: all files that are open then were inherited.
pub(crate) fn detach() {
    // Fails for the first process of a session, which needs no detaching.
    let _ = rustix::process::setsid();
    let open: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(open) => open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
        // Without /proc: more descriptors than pacman ever has.
        Err(_) => (0..1024).collect(),
    };
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The directory just read is among them, and closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Writes down the receipt of one file, delivered or not: its line of the journal, and the files that Kubo cached
/// for it. `delivered` bytes were handed over, and the request came at `begun`.
///
/// A temporary store has no journal.
pub(crate) fn note(
    machine: &Machine,
    by: By,
    file: (Option<&RepoName>, &FileName),
    delivered: Option<u64>,
    begun: Instant,
    receipt: &Receipt,
) {
    note_in(&machine.store, by, file, delivered, begun, receipt);
}

/// Writes it down in this store.
pub(crate) fn note_in(
    store: &Store,
    by: By,
    (repo, name): (Option<&RepoName>, &FileName),
    delivered: Option<u64>,
    begun: Instant,
    receipt: &Receipt,
) {
    let ledger = Ledger::at(store.dir());
    for (cid, size) in &receipt.cached_by_kubo {
        // A file without a note is not trimmed: no harm beyond its size.
        let _ = ledger.note(*cid, *size, clock::now());
    }
    let shares = receipt.contributions.clone();
    if store.is_passing() || (delivered.is_none() && shares.is_empty()) {
        return;
    }
    let record = JournalRecord {
        at: clock::now(),
        took: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        by,
        repo: repo.cloned(),
        name: name.clone(),
        delivered: delivered.unwrap_or(0),
        shares,
    };
    // Statistics must not make a delivery fail.
    let _ = Journal::at(store.dir()).note(&record);
}

/// Starts this program with these `words` and does not wait for it. The new process belongs to the same run of
/// pacman and has the same settings. A process that ends before it, as pacman's child does, leaves it to init; another one
/// is to wait for it some time.
pub(crate) fn start(call: &Call, words: &[&str]) -> Option<Child> {
    let pacman = call.pacman_run.pid();
    // The daemon's program has no such command.
    let program = call.machine.env.full_program().filter(|full| full.exists());
    Command::new(program.unwrap_or_else(env::itself))
        .args(words)
        .args(call.machine.env.settings())
        .env(HANDOVER, pacman)
        .env_remove(BESIDE)
        .current_dir("/")
        .stdin(program::nowhere())
        .stdout(program::nowhere())
        .stderr(program::nowhere())
        .spawn()
        .ok()
}
