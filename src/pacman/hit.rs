//! The beginning of `xfer`: serves a file that is on this machine already, before anything else begins.
//!
//! Most calls of a pacman that has a `DownloadUser` find their file fetched ahead. Loading all of this library
//! would take as long as such a call itself, so the command `pkgswarm` is a small program (`front.rs`), which runs
//! [`hand_out`] and starts the full one (`main.rs`) for everything else. Neither the network nor any drawing is
//! reachable from here; that keeps the small program small (`tests/bench --case store-hit` measures the
//! difference).
//!
//! The full program begins with [`serve`] too, so there is one decision on what is served from here. The proof is
//! the same as well, and so is the one place that gives a file its name: [`Obtained::place`].
//!
//! Tests: the scenarios all call `pkgswarm`; `tests/cases/front.rs` shows which program did the work.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::Path;
use std::time::Instant;

use crate::base::env::{AHEAD, Env, HANDOVER};
use crate::base::error::ErrorKind;
use crate::base::interrupt;
use crate::config::Settings;
use crate::engine::deliver::{Obtained, Receipt};
use crate::engine::want::{self, Want};
use crate::lists::pacman::{caller, names};
use crate::lists::system::NameKind;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::pacman::ahead;
use crate::pacman::background;
use crate::pacman::prefetch::kept;
use crate::report;
use crate::report::columns::Paper;
use crate::store::journal::By;
use crate::trust::output::Output;

/// Serves `pkgswarm xfer URL OUTPUT` from this machine; returns the lines to print.
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
    // Databases and other files are the full program's. Decided by the name alone, before anything is opened.
    if !is_plain || !is_direct || !names::kind(&want::name_of(url).ok()?).is_of_package() {
        return None;
    }
    let begun = Instant::now();
    let output = Output::at(output).ok()?;
    let mut call = Call::open_silent(env, &Settings::read_for_downloads(env, &[]), output.dir())?.placing();
    call.warn_of_mistakes();
    if call.pacman_run.caller.is_some() && !caller::end_with(env.parent) {
        std::process::exit(ErrorKind::Interrupted.status().into());
    }
    let served = serve(&call, url)?;
    served.obtained.place(&output).ok()?;
    served.note(&call.machine, begun);
    if interrupt::is_waiting() {
        call.interrupted();
    }
    let paper = Paper::of(std::io::stderr(), env);
    let mut lines = served.obtained.delivered(served.want.name.as_str(), ahead::STORED).on(paper);
    if let Some(sentence) = ahead::handed_out(&call, &served.want.name, &served.obtained) {
        lines = format!("{lines}\n{}", report::closing(&sentence, paper));
    }
    Some(lines)
}

/// A file that was found on this machine.
#[derive(Debug)]
pub(crate) struct LocalHit {
    /// The request that it answers.
    pub(crate) want: Want,
    /// The file.
    pub(crate) obtained: Obtained,
}

impl LocalHit {
    /// Writes the line of the journal; the request came at `begun`.
    pub(crate) fn note(&self, machine: &Machine, begun: Instant) {
        let repo = self.want.repo.as_ref().map(|repo| &repo.name);
        let delivered = Some(self.obtained.accepted.size());
        background::note(machine, By::Xfer, (repo, &self.want.name), delivered, begun, &Receipt::default());
    }
}

/// Looks on this machine for the file of a package at `url`. Starts nothing and fetches nothing.
///
/// `None` when the file is not here, and whenever there is anything to report, to fetch or to start before: after a
/// ^C, for the first file of a transaction that is to be read ahead, where two lists differ about the file, and
/// where silent lists have withheld a warning.
pub(crate) fn serve(call: &Call, url: &str) -> Option<LocalHit> {
    let name = want::name_of(url).ok()?;
    if !names::kind(&name).is_of_package() || call.is_interrupted() || ahead::is_to_start(call, &name) {
        return None;
    }
    let want = Want::of(&call.lists, url).ok()?;
    if want.plan.disagreement.is_some() || call.lists.has_unsaid() {
        return None;
    }
    let kept = (want.shape.kind == NameKind::PackageSignature).then(|| kept::first_time(call, &want)).flatten();
    let obtained = kept.or_else(|| ahead::here(call, &want))?;
    Some(LocalHit { want, obtained })
}
