//! Delivers one planned file: from the store, from a package cache, or by a race over sources. Records what it
//! learned.

use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use tempfile::TempPath;

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind};
use crate::fsx;
use crate::name::FileName;
use crate::output::Output;
use crate::plan::{Expect, Plan};
use crate::report::{self, ProgressLine};
use crate::session::Session;
use crate::store::{ProvenFile, Stay, Store, StoredFile, Turn};
use crate::verify::{self, Accepted};

mod place;
mod race;
mod runtime;

pub use place::Candidate;
use race::race;
pub use runtime::block_on;

/// A file that was accepted, ready to be placed.
#[derive(Debug)]
pub struct Obtained {
    /// Holds the bytes; only this user can write to it.
    pub file: File,
    /// Proof or waiver.
    pub accepted: Accepted,
    /// Date at the source.
    pub modified: Option<SystemTime>,
    /// The source that delivered it, for people.
    pub from: String,
    /// The URL that delivered it, when one mirror did.
    pub url: Option<Url>,
    /// Sources that sent wrong bytes before, for people.
    pub refused: Vec<String>,
    /// Set when the file itself may be placed instead of a copy.
    pub loose: Option<TempFile>,
}

/// A file whose only user is the caller. Its temporary name is removed on drop.
#[derive(Default, Debug)]
pub struct TempFile {
    _name: Option<TempPath>,
}

impl Obtained {
    /// Wraps the accepted bytes in `file`.
    pub fn new(file: File, accepted: Accepted, from: impl Into<String>) -> Self {
        let from = from.into();
        Self { file, accepted, modified: None, from, url: None, refused: Vec::new(), loose: None }
    }

    /// Marks the file as one whose only user is the caller.
    pub fn loose(self) -> Self {
        Self { loose: Some(TempFile::default()), ..self }
    }

    /// Returns the name of the waiver under which it was accepted, if it was not proven.
    pub fn waiver(&self) -> Option<&'static str> {
        match self.accepted {
            Accepted::Proven(_) => None,
            Accepted::Waived(waived) => Some(waived.why().label()),
        }
    }

    /// Puts the file in its place: a copy, or the file itself when the caller is its only user.
    pub fn place(&self, output: &Output) -> Result<(), Error> {
        if self.loose.is_some()
            && let Ok(staged) = output.stage_itself(&self.file)
            && staged.commit(&self.accepted, self.modified).is_ok()
        {
            return Ok(());
        }
        let staged = match &self.loose {
            Some(_) => output.stage_spent(&self.file, self.accepted.size())?,
            None => output.stage(&self.file, self.accepted.size())?,
        };
        staged.commit(&self.accepted, self.modified)
    }

    /// Returns the line to print once it is in its place.
    pub fn line(&self, name: &str) -> String {
        line(name, self.accepted.size(), &self.from, self.waiver(), &self.refused)
    }
}

/// Returns the line of a delivered file: name, size, source, waiver, and the sources that were refused before.
pub fn line(name: &str, size: u64, from: &str, waiver: Option<&str>, refused: &[String]) -> String {
    let waiver = waiver.map(|label| format!("unproven: {label}"));
    let notes: Vec<String> = waiver.into_iter().chain(refused.iter().cloned()).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    report::delivered(name, size, from, note.as_deref())
}

/// The result of a delivery.
#[derive(Debug)]
pub enum Delivery {
    /// The file.
    File(Obtained),
    /// The caller's file is current.
    Unchanged(String),
    /// The source has an older one than the caller accepts, of this date.
    Older(String, SystemTime),
}

/// The options of one delivery.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manner {
    /// Fetch only one that is newer than this.
    pub newer_than: Option<SystemTime>,
    /// Refuse one that is older than this: a source that is behind is not asked for its bytes.
    pub not_older_than: Option<SystemTime>,
    /// Longest silence of the last source, when not `download.patience`.
    pub wait: Option<Duration>,
    /// Skip the store and the package caches.
    pub elsewhere: bool,
    /// The file is for a later call: a file that this machine has anyway is kept until that call gets it.
    pub ahead: bool,
    /// It must be in the store afterwards and stay there until pacman has it, whatever the source.
    pub lasting: bool,
}

/// Delivers the file, or reports why no source could.
pub fn deliver(
    session: &mut Session,
    name: &FileName,
    plan: &Plan,
    places: &[Candidate],
    manner: Manner,
) -> Result<Delivery, Error> {
    match with_store(session, name, plan, places, manner) {
        // curl needs no store, so a full or broken one is no reason to fail.
        Err(e) if e.kind == ErrorKind::Local && !manner.lasting && !session.store.is_passing() => {
            // What has arrived is kept, but not in the way of what is wanted now.
            if let (Expect::Exact { sha256, size }, true) = (plan.expect, session.store.is_short(0)) {
                session.store.let_go(sha256);
                session.store.make_room(size);
            }
            if !session.without_store() {
                return Err(e);
            }
            report::say(&format!("warning: {e}; going on without a lasting store"));
            with_store(session, name, plan, places, manner)
        }
        other => other,
    }
}

fn with_store(
    session: &mut Session,
    name: &FileName,
    plan: &Plan,
    places: &[Candidate],
    manner: Manner,
) -> Result<Delivery, Error> {
    let Expect::Exact { sha256, size } = plan.expect else {
        return into_scratch(session, name, plan, places, manner);
    };
    if let (false, Some(found)) = (manner.elsewhere, here(session, name, plan, manner)) {
        return Ok(Delivery::File(found));
    }
    let store = Rc::clone(&session.store);
    let (key, aside) = (sha256.to_string(), store.aside(&session.run));
    match turn(session, &store, &key, name, Some(size))? {
        Turn::Ours(slot) => {
            if manner.ahead && aside.was_handed_out(&key) {
                return Ok(Delivery::Unchanged("handed out already".to_owned()));
            }
            if let (false, Some(found)) = (manner.elsewhere, here(session, name, plan, manner)) {
                return Ok(Delivery::File(found));
            }
            let partial = slot.partial().map_err(|e| store_failed(session, &e))?;
            let have = || partial.metadata().map_or(0, |meta| meta.len());
            let mut raced = race(session, name, plan, places, manner, &partial, have());
            // Others fill the disk meanwhile, and make room too.
            for _ in 0..ROOM_TRIES {
                let failed_here = raced.as_ref().is_err_and(|error| error.kind == ErrorKind::Local);
                if !failed_here || !store.make_room(size.saturating_sub(have())) {
                    break;
                }
                raced = race(session, name, plan, places, manner, &partial, have());
            }
            if raced.is_err() && partial.metadata().is_ok_and(|meta| meta.len() == 0) {
                slot.discard();
            }
            let raced = raced?;
            let is_near = raced.is_near;
            let mut delivery = raced.finish(partial)?;
            if let Delivery::File(obtained) = &mut delivery
                && let Accepted::Proven(proof) = obtained.accepted
            {
                debug_assert_eq!(proof.size(), size);
                // A file that this machine has anyway is not stored a second time, and none is where room is
                // short.
                let is_once = is_near || store.is_passing() || store.is_short(size);
                let stored = match (manner.lasting, manner.ahead) {
                    (false, false) if is_once => {
                        aside.note_handed_out(&key);
                        slot.release().map(|path| obtained.loose = Some(TempFile { _name: Some(path) }))
                    }
                    (false, true) if is_near => slot.keep(name, &proof, Stay::Passing, &obtained.from),
                    _ => slot.keep(name, &proof, Stay::Lasting, &obtained.from),
                };
                // The file is proven and open: a store that cannot keep it is no reason to fetch it again.
                if let Err(e) = stored {
                    if manner.lasting {
                        return Err(store_failed(session, &e));
                    }
                    report::say(&format!("warning: {}", store_failed(session, &e)));
                }
            }
            Ok(delivery)
        }
        Turn::Stuck => into_scratch(session, name, plan, places, manner),
    }
}

/// Times that room is made for one file: several may be arriving at the same time.
const ROOM_TRIES: usize = 3;

/// Delivers without a place in the store: into a file whose only user is the caller, where it will be placed if
/// that is possible.
fn into_scratch(
    session: &mut Session,
    name: &FileName,
    plan: &Plan,
    places: &[Candidate],
    manner: Manner,
) -> Result<Delivery, Error> {
    let scratch = session.scratch().map_err(|e| store_failed(session, &e))?;
    Ok(match race(session, name, plan, places, manner, &scratch, 0)?.finish(scratch)? {
        Delivery::File(obtained) => Delivery::File(obtained.loose()),
        other => other,
    })
}

/// Waits until no other process fetches `key`, and meanwhile shows the progress of that one.
///
/// # Errors
/// `Interrupted`; `Local` when the store cannot be used.
pub fn turn<'s>(
    session: &mut Session,
    store: &'s Store,
    key: &str,
    name: &FileName,
    size: Option<u64>,
) -> Result<Turn<'s>, Error> {
    if let Some(slot) = store.try_lock(key).map_err(|e| store_failed(session, &e))? {
        return Ok(Turn::Ours(slot));
    }
    let progress = ProgressLine::new(session.settings.progress, name.as_str(), size);
    let patience = session.settings.stall * 3;
    let waited = block_on(store.lock(key, patience, |arrived| progress.at(arrived, "the read-ahead")));
    progress.clear();
    match waited {
        Some(turn) => turn.map_err(|e| store_failed(session, &e)),
        None => {
            session.interrupted();
            Err(Error::new(ErrorKind::Interrupted, name, "interrupted; what has arrived is kept"))
        }
    }
}

/// Returns the file, when the store or a package cache has it.
pub fn here(session: &Session, name: &FileName, plan: &Plan, manner: Manner) -> Option<Obtained> {
    let Expect::Exact { sha256, size } = plan.expect else { return None };
    let for_the_caller = !manner.ahead && !manner.lasting;
    if let Some(taken) = for_the_caller.then(|| taken(session, sha256, size)).flatten() {
        return Some(taken);
    }
    if let Some(copied) = for_the_caller.then(|| copied(session, sha256, size)).flatten() {
        return Some(copied);
    }
    if let Some(ProvenFile { kept: StoredFile { file, from, stay }, proof }) = session.store.find(sha256, size) {
        let takes = for_the_caller && stay == Stay::Passing;
        let loose =
            takes.then(|| session.store.take_passing(sha256)).flatten().map(|path| TempFile { _name: Some(path) });
        return Some(Obtained { loose, ..Obtained::new(file, Accepted::Proven(proof), from) });
    }
    for dir in session.cache_dirs() {
        let Ok(cached) = fsx::open_read(&dir.join(name.as_str())) else { continue };
        if fsx::regular(&cached).is_ok_and(|stat| stat.st_size.unsigned_abs() != size) {
            continue;
        }
        // Another user may be able to write to a cache's file: prove a private copy of it.
        let Ok(copy) = session.scratch() else { continue };
        if let Ok(Ok(proof)) = verify::prove_copy(&cached, &copy, sha256, size) {
            return Some(Obtained::new(copy, Accepted::Proven(proof), "package cache").loose());
        }
    }
    None
}

/// Takes the file itself out of the store, where there is no room for two of it.
fn taken(session: &Session, sha256: Sha256, size: u64) -> Option<Obtained> {
    if !session.store.has(sha256, size) || !session.store.is_short(size) {
        return None;
    }
    let (StoredFile { file, from, .. }, path) = session.store.take_out(sha256)?;
    let proof = verify::prove(&file, sha256, size).ok()?;
    session.store.aside(&session.run).note_handed_out(&sha256.to_string());
    let loose = Some(TempFile { _name: Some(path) });
    Some(Obtained { loose, ..Obtained::new(file, Accepted::Proven(proof), from) })
}

/// Copies a large file of the store to where it will be placed, and proves the copy itself. `None` where copies
/// cost nothing, and for all cases that [`Store::find`] must handle: a file that does not prove, a disk that is
/// full.
fn copied(session: &Session, sha256: Sha256, size: u64) -> Option<Obtained> {
    if size < verify::LARGE {
        return None;
    }
    let StoredFile { file, from, .. } =
        session.store.open_unproven(sha256).filter(|kept| kept.stay == Stay::Lasting)?;
    let copy = session.scratch_beside()?;
    if fsx::reflink(&file, &copy, size) {
        return None;
    }
    let proof = verify::prove_copy(&file, &copy, sha256, size).ok()?.ok()?;
    Some(Obtained::new(copy, Accepted::Proven(proof), from).loose())
}

fn store_failed(session: &Session, e: &std::io::Error) -> Error {
    Error::local(session.store.dir().display(), format!("the store cannot be used: {e}"))
        .hint("pkgswarm config shows where store.dir comes from")
}
