//! Serves a file that is here already from a small program that holds nothing else.
//!
//! Most calls of a pacman that has a `DownloadUser` find their file fetched ahead. Loading all of this library
//! would take as long as such a call itself, so the command `pkgswarm` is a small program (`front.rs`), which runs
//! this module and starts the full one (`main.rs`) for everything else. Neither the network nor any drawing is
//! reachable from here; that keeps the small program small (`tests/bench --case store-hit` measures the
//! difference).
//!
//! The proof is the same, and so is the one place that gives a file its name: [`Obtained::place`].
//!
//! Tests: the scenarios all call `pkgswarm`; `tests/cases/front.rs` shows which program did the work.

use std::path::Path;
use std::time::Instant;

use crate::ahead;
use crate::background;
use crate::config::Settings;
use crate::deliver::{Obtained, Receipt};
use crate::distro::caller;
use crate::env::{AHEAD, Env, HANDOVER};
use crate::error::ErrorKind;
use crate::interrupt;
use crate::journal::By;
use crate::name::NameKind;
use crate::output::Output;
use crate::prefetch::kept;
use crate::session::Session;
use crate::want::{self, Want};

/// Serves `pkgswarm xfer URL OUTPUT` from this machine; returns the line to print.
///
/// `None` when the file is not here, and whenever there is anything to report, to fetch or to start: then no file
/// is at OUTPUT, and the full program starts from the beginning.
pub fn hand_out(env: &Env) -> Option<String> {
    let [command, url, output] = env.words() else { return None };
    let (url, output) = (url.to_str()?, Path::new(output));
    let is_plain =
        command == "xfer" && !url.starts_with('-') && !output.as_os_str().as_encoded_bytes().starts_with(b"-");
    // Root's files come from an unprivileged child.
    let is_direct = !env.is_root() && env.var(HANDOVER).is_none() && env.var(AHEAD).is_none();
    let name = want::name_of(url).ok()?;
    if !is_plain || !is_direct || !matches!(name.kind(), NameKind::Package | NameKind::PackageSignature) {
        return None;
    }
    let begun = Instant::now();
    let output = Output::at(output).ok()?;
    let mut session = Session::open_silent(env, &Settings::read(env, &[]).ok()?, output.dir())?.placing();
    if session.caller.is_some() && !caller::end_with(env.parent) {
        std::process::exit(ErrorKind::Interrupted.status().into());
    }
    if session.health.is_interrupted() || ahead::is_to_start(&session, &name) {
        return None;
    }
    let want = Want::of(&session, url).ok()?;
    if want.plan.disagreement.is_some() || session.has_unsaid() {
        return None;
    }
    let obtained = obtain(&session, &want)?;
    obtained.place(&output).ok()?;
    let repo = want.repo.as_ref().map(|repo| &repo.name);
    let delivered = Some(obtained.accepted.size());
    background::note(&session, By::Xfer, (repo, &name), delivered, begun, &Receipt::default());
    if interrupt::is_waiting() {
        session.interrupted();
    }
    Some(obtained.line(name.as_str()))
}

fn obtain(session: &Session, want: &Want) -> Option<Obtained> {
    let kept = (want.name.kind() == NameKind::PackageSignature).then(|| kept::first_time(session, want)).flatten();
    kept.or_else(|| ahead::here(session, want))
}
