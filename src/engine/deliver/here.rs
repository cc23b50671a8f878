//! Looks for a file on this machine: in the store, and in pacman's package caches.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::engine::deliver::obtained::TempFile;
use crate::engine::deliver::{Obtained, Order, Purpose};
use crate::machine::call::Call;
use crate::store::{ProvenFile, Stay, StoredFile};
use crate::trust::plan::Expect;
use crate::trust::verify::{self, Accepted};

/// Returns the file, when the store or a package cache has it.
pub fn here(call: &Call, order: Order<'_>, purpose: Purpose) -> Option<Obtained> {
    let Expect::Exact { sha256, size } = order.plan.expect else { return None };
    let for_the_caller = purpose.is_for_the_caller();
    if let Some(taken) = for_the_caller.then(|| taken(call, sha256, size)).flatten() {
        return Some(taken);
    }
    if let Some(copied) = for_the_caller.then(|| copied(call, sha256, size)).flatten() {
        return Some(copied);
    }
    if let Some(ProvenFile { kept: StoredFile { file, from, stay }, proof }) = call.machine.store.find(sha256, size) {
        // The read-ahead may have put it there since the look above.
        if let Some(taken) = for_the_caller.then(|| taken(call, sha256, size)).flatten() {
            return Some(taken);
        }
        let takes = for_the_caller && stay == Stay::Passing;
        let loose = takes.then(|| call.machine.store.take_passing(sha256)).flatten().map(TempFile::named);
        return Some(Obtained { loose, ..Obtained::new(file, Accepted::Proven(proof), from) });
    }
    if !purpose.is_pacmans() {
        return None;
    }
    for dir in call.lists.cache_dirs() {
        let Ok(cached) = fsx::open_read(&dir.join(order.name.as_str())) else { continue };
        if fsx::regular(&cached).is_ok_and(|stat| stat.st_size.unsigned_abs() != size) {
            continue;
        }
        // Another user may be able to write to a cache's file: prove a private copy of it.
        let Ok(copy) = call.scratch() else { continue };
        if let Ok(Ok(proof)) = verify::prove_copy(&cached, &copy, sha256, size) {
            return Some(Obtained::new(copy, Accepted::Proven(proof), "package cache").loose());
        }
    }
    None
}

/// Takes the file itself out of the store, where there is no room for two of it.
fn taken(call: &Call, sha256: Sha256, size: u64) -> Option<Obtained> {
    if !call.machine.store.has(sha256, size) || !call.machine.store.is_short(size) {
        return None;
    }
    let (StoredFile { file, from, .. }, path) = call.machine.store.take_out(sha256)?;
    let proof = verify::prove(&file, sha256, size).ok()?;
    call.machine.store.aside(&call.pacman_run.name).note_handed_out(&sha256.to_string());
    let loose = Some(TempFile::named(path));
    Some(Obtained { loose, ..Obtained::new(file, Accepted::Proven(proof), from) })
}

/// Copies a large file of the store to where it will be placed, and proves the copy itself. `None` where copies
/// cost nothing, and in all cases that [`Store::find`](crate::store::Store::find) must handle: a file that is not
/// proven, a disk that is full.
fn copied(call: &Call, sha256: Sha256, size: u64) -> Option<Obtained> {
    if size < verify::LARGE {
        return None;
    }
    let StoredFile { file, from, .. } =
        call.machine.store.open_unproven(sha256).filter(|kept| kept.stay == Stay::Lasting)?;
    let copy = call.scratch_beside()?;
    if fsx::reflink(&file, &copy, size) {
        return None;
    }
    let proof = verify::prove_copy(&file, &copy, sha256, size).ok()?.ok()?;
    Some(Obtained::new(copy, Accepted::Proven(proof), from).loose())
}
