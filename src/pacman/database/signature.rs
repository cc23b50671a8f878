//! The signature of a database: from where the database itself came, or none at all.

use std::path::Path;

use super::listed::read_origin;
use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose, Receipt};
use crate::engine::source::Miss;
use crate::engine::want::{Want, by_content};
use crate::lists::pacman::names;
use crate::lists::pacman::pacman_conf::SignatureCheck;
use crate::lists::pacman::version::{self, Version};
use crate::machine::call::Call;
use crate::trust::look::FileShape;
use crate::trust::plan::Expect;
use crate::trust::plan::Plan;
use crate::trust::verify::{self, Accepted, Waiver};

/// Fetches the signature of a database, from where the database itself came.
///
/// An optional one that the mirror definitely lacks is answered with an empty file where pacman 7 drops that: failing
/// costs two seconds a repository on every `-Sy` (pacman 7.1, src/pacman/conf.c: sleep after a failed XferCommand).
pub(crate) async fn signature(call: &mut Call, want: &mut Want, into: Option<&Path>) -> Delivery<Obtained> {
    Delivery::of(async |receipt: &mut Receipt| of_its_database(call, want, into, receipt).await).await
}

async fn of_its_database(
    call: &mut Call,
    want: &mut Want,
    into: Option<&Path>,
    receipt: &mut Receipt,
) -> Result<Obtained, Error> {
    let signed = names::signed(&want.name).map(|name| name.as_str().to_owned()).unwrap_or_default();
    let origin = call.health.origin(&signed).map(str::to_owned);
    if let Some((index, listed)) = origin.as_deref().and_then(read_origin) {
        // The mirror's signature belongs to the mirror's own database, not to this one.
        let Some((size, sha256)) = listed else {
            let none = format!("the database is that of index {index}, which has no signature for it");
            return nothing_or(call, want, into, Error::new(ErrorKind::NoSource, &want.name, none));
        };
        let cid = Cid::raw(sha256);
        want.plan = Plan { cid: Some(cid), ..Plan::without_cid(Expect::Exact { sha256, size }) };
        let mirrors = std::mem::take(&mut want.candidates);
        want.candidates = by_content(&call.machine, &want.plan).into_iter().chain(mirrors).collect();
    } else {
        match origin.and_then(|url| reqwest::Url::parse(&format!("{url}.sig")).ok()) {
            Some(origin) => want.candidates = vec![Candidate::of_url(&origin)?],
            None => want.candidates.truncate(1),
        }
    }
    let fetched = deliver::fetch(call, want.order(), Purpose::Caller).await.noted_in(receipt);
    fetched.or_else(|error| match error.kind {
        ErrorKind::NoSource if is_absent(&receipt.misses) => nothing_or(call, want, into, error),
        _ => Err(error),
    })
}

/// Returns true when at least one source was asked, and all that were asked definitely have none.
fn is_absent(misses: &[(Candidate, Miss)]) -> bool {
    !misses.is_empty() && misses.iter().all(|(_, miss)| matches!(miss, Miss::Absent(_)))
}

/// Returns an empty file where pacman reads it as none, else the error.
fn nothing_or(call: &Call, want: &Want, into: Option<&Path>, error: Error) -> Result<Obtained, Error> {
    if is_dropped_when_empty(call, want, into) { nothing(call) } else { Err(error) }
}

/// Returns true when pacman reads an empty signature as none: pacman 7 in sandbox mode or any 7.0, where it is
/// optional.
fn is_dropped_when_empty(call: &Call, want: &Want, into: Option<&Path>) -> bool {
    let repo = want.repo.as_ref().and_then(|repo| call.lists.pacman_repo(&repo.name));
    let optional = repo.is_some_and(|repo| repo.sig_level.database == SignatureCheck::Optional);
    let pacman_7 = version::of_caller(&call.machine.env).is_some_and(|version| version >= Version(7, 0, 0));
    let sandbox = into
        .and_then(|path| path.parent()?.file_name()?.to_str())
        .is_some_and(|dir| dir.strip_prefix("download-").is_some_and(|rest| rest.len() == 6));
    optional && pacman_7 && sandbox
}

fn nothing(call: &Call) -> Result<Obtained, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::local(call.machine.store.dir().display(), e);
    let file = call.scratch().map_err(|e| failed(&e))?;
    let accepted = Accepted::Waived(verify::waive(Waiver::NoSignature, FileShape::ANY, &file).map_err(|e| failed(&e))?);
    Ok(Obtained::new(file, accepted, "nowhere: the mirror has none, and none is required").loose())
}
