//! Read-ahead: fetches the rest of a transaction while pacman handles its first file.
//!
//! pacman starts its downloader for one file after the other, each a new process with a new connection; that is
//! what an XferCommand costs. The first call for a package therefore starts one process in the background
//! ([`start`]), which asks pacman itself what is coming and fetches all of it, packages and signatures, several at
//! a time, into the store ([`run`]). Later calls find their file there, or wait for it on its lock; a call fetches
//! a file that is not under way itself, as if there were no read-ahead. So nothing is lost when the read-ahead
//! fails or is killed.
//!
//! - It fetches nothing that pacman would not ask for: see `certain`. Where the list cannot be repeated (targets
//!   from standard input, `--ask`, `-U`), nothing is read ahead.
//! - It fetches in pacman's order, and like a call it waits where a call is fetching: a mirror that speaks HTTP/1.1 sees
//!   as many connections as `ahead.parallel` says, the calls' own included. One that speaks HTTP/2 sees one of the
//!   read-ahead, over which small files overtake larger ones before them.
//! - A file without proof (a signature that no index lists) is set aside for this run of pacman alone, and
//!   inspected again when it is handed out, once. A file that this machine has anyway (all of it in the local
//!   Kubo) is kept for this run alone; from `file://` servers nothing is read ahead, since that would only copy it
//!   twice.
//! - It ends with pacman, however that ends, and at a ^C. Until then, also after the last file was handed out, it
//!   removes from the store the files that have come to pacman's cache, so that none lies on the disk twice.
//!
//! Tests: `tests/real_ahead.rs` with real pacman, `tests/cases/ahead.rs`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::digest::Sha256;
use crate::base::env::AHEAD;
use crate::base::name::FileName;
use crate::engine::deliver::{self, Delivery, Obtained, Purpose, Receipt, turn};
use crate::engine::hub::{self, Hub};
use crate::engine::want::Want;
use crate::lists::pacman::arguments::Operation;
use crate::lists::pacman::names;
use crate::machine::call::Call;
use crate::pacman::background;
use crate::store::journal::FileOrigin;
use crate::store::{SetAside, Turn};
use crate::trust::plan::Expect;
use crate::trust::verify::{self, Accepted, Waiver};

mod certain;
mod closing;
mod end;
mod list;
mod process;

pub(crate) use closing::{handed_out, rest};
pub(crate) use process::{outlive, run};

/// The words for a file that the store had before pacman asked for it.
pub(crate) const STORED: &str = "fetched ahead";

/// Starts reading ahead when `name` is the first file of its transaction that belongs to a package, and returns at
/// once. Where nothing may be read ahead, that process only clears up after pacman.
pub(crate) fn start(call: &Call, name: &FileName) {
    let Some(mark) = mark(call, name) else { return };
    // The process that creates this file is the first one. The file is removed with the state of this pacman run.
    if std::fs::File::create_new(mark).is_err()
        || (is_read_ahead(call) && call.machine.store.aside(&call.pacman_run.name).open().is_err())
    {
        return;
    }
    background::start(call, &["ahead", &call.pacman_run.name]);
}

/// Returns true when [`start`] would start a process for the file called `name`.
pub(crate) fn is_to_start(call: &Call, name: &FileName) -> bool {
    mark(call, name).is_some_and(|mark| rustix::fs::stat(&mark).is_err())
}

/// Returns the file that marks the start of such a process; `None` where it has nothing to do.
fn mark(call: &Call, name: &FileName) -> Option<PathBuf> {
    let is_called =
        names::kind(name).is_of_package() && call.pacman_run.caller.is_some() && call.machine.env.var(AHEAD).is_none();
    let is_kept = !call.machine.store.is_passing() && !call.machine.env.is_root();
    (is_called && is_kept).then(|| call.machine.store.health_dir().join(format!("ahead-{}", call.pacman_run.name)))
}

/// Returns true when pacman can be asked what is coming, and it is to be fetched.
fn is_read_ahead(call: &Call) -> bool {
    let asked = call.pacman_run.caller.as_ref().map(|caller| &caller.arguments);
    call.machine.settings.ahead
        && asked.is_some_and(|asked| {
            asked.operation == Some(Operation::Sync) && !asked.reads_stdin() && !asked.turns_answers
        })
}

/// Returns the file if this machine has it: set aside for this run of pacman, in the store, or in a package cache.
pub(crate) fn here(call: &Call, want: &Want) -> Option<Obtained> {
    if is_set_aside(want) { taken(call, want) } else { deliver::here(call, want.order(), Purpose::Caller) }
}

/// Takes out the file that was set aside for this run of pacman.
fn taken(call: &Call, want: &Want) -> Option<Obtained> {
    call.machine.store.aside(&call.pacman_run.name).take(&key(want)).and_then(|file| accepted(call, want, file))
}

/// Delivers a file: the one that was set aside for this run of pacman, else as [`hub::deliver`] does.
///
/// # Errors
/// As of [`deliver::fetch`].
pub(crate) async fn deliver_or_take(hub: &Hub, call: &mut Call, want: &Want) -> Delivery<Obtained> {
    let store = Arc::clone(&call.machine.store);
    let aside = store.aside(&call.pacman_run.name);
    if !is_set_aside(want) || !aside.is_open() {
        return hub::deliver(hub, call, want.order(), Purpose::Caller).await;
    }
    let key = key(want);
    Delivery::of(async |receipt: &mut Receipt| {
        // A file that is there is complete; only one that is under way needs the lock.
        if let Some(obtained) = taken(call, want) {
            return Ok(obtained);
        }
        let _slot = match turn(call, &store, &lock(&key, call), &want.name, None).await? {
            Turn::Ours(slot) => Some(slot),
            Turn::Stuck => None,
        };
        if let Some(obtained) = taken(call, want) {
            return Ok(obtained);
        }
        let obtained = hub::deliver(hub, call, want.order(), Purpose::Caller).await.noted_in(receipt)?;
        aside.note_handed_out(&key);
        Ok(obtained)
    })
    .await
}

/// Returns true when a file of this kind is not kept in the store proper, but set aside for its run of pacman.
fn is_set_aside(want: &Want) -> bool {
    matches!(want.plan.expect, Expect::Waived(Waiver::Signature)) && want.repo.is_some()
}

/// Returns the key of a set-aside file: two repositories may have files of the same name.
fn key(want: &Want) -> String {
    let repo = want.repo.as_ref().map_or("", |repo| repo.name.as_str());
    Sha256::of(format!("{repo}/{}", want.name).as_bytes()).to_string()
}

/// Names the lock that is held while the file of this `key` is fetched for this run of pacman.
fn lock(key: &str, call: &Call) -> String {
    format!("{key}-{}", call.pacman_run.name)
}

/// Inspects a file that was set aside as if it had come from its source just now. `None` when it does not pass.
fn accepted(call: &Call, want: &Want, aside: SetAside) -> Option<Obtained> {
    let Expect::Waived(why) = want.plan.expect else { return None };
    let mut file = call.scratch().ok()?;
    file.write_all(&aside.bytes).ok()?;
    let waived = verify::waive(why, want.shape, &file).ok()?;
    let modified = aside.modified;
    Some(
        Obtained {
            modified,
            ..Obtained::new(file, Accepted::Waived(waived), FileOrigin { is_stored: true, ..aside.from.into() })
        }
        .loose(),
    )
}
