//! Databases, for a client that has this endpoint as `Server`: by the rules of `xfer` about what is current and what is
//! older. A client that does not say what it has, as with `-yy`, gets the mirror's. pacman counts a failed database
//! against its server, so there is an answer as soon as there can be one.

use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{Response, StatusCode};
use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::desk::Desk;
use super::here::FileContent;
use super::known::repos;
use super::reply::{ClientRequest, ReadyFile, redirect, whole};
use super::route::RoutedFile;
use super::threads::Urgency;
use super::transfer::{NewTransfer, PATIENCE, candidates, has_secret};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::engine::deliver::{Candidate, Obtained};
use crate::engine::hub::Ticket;
use crate::engine::want::Want;
use crate::index::time;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::pacman::database;
use crate::report::log;

/// Longest wait for the signature of a database, which most repositories do not have.
const SIGNATURE: Duration = Duration::from_secs(3);

/// A database that a client may have, or its signature.
struct KnownDatabase {
    repo: RepoName,
    want: Want,
    is_signature: bool,
}

impl Desk {
    /// Finds the database that a path names; `None` where this machine has no such repository, or it is not for others.
    fn database(&self, routed: &RoutedFile, is_foreign: bool) -> Option<KnownDatabase> {
        let lists = &self.lists;
        let reading = lists.read(&routed.name);
        let repo = repos(lists, &routed.hints).into_iter().find(|repo| reading.repo.as_ref() == Some(repo))?;
        lists.repo(&repo)?;
        if is_foreign && !lists.may_share(&repo) {
            return None;
        }
        let want = Want::in_repo(lists, &repo, routed.name.clone()).ok()?;
        Some(KnownDatabase { repo, want, is_signature: reading.shape.kind == NameKind::DatabaseSignature })
    }

    /// Opens the database that this machine has.
    fn last_database(&self, name: &FileName) -> Option<(PathBuf, File, u64, Option<SystemTime>)> {
        let path = self.lists.database_path(name)?;
        let file = fsx::open_followed(&path).ok()?;
        let meta = file.metadata().ok()?;
        Some((path, file, meta.len(), meta.modified().ok()))
    }
}

/// Answers with a database or its signature; `None` where there is none.
pub(super) async fn answered(
    endpoint: &Rc<HttpEndpoint>,
    asked: &ClientRequest,
    routed: RoutedFile,
) -> Option<Response<AnswerBody>> {
    let (is_foreign, name) = (!asked.client.is_loopback(), routed.name.clone());
    let known = endpoint.desks.ask(move |desk| desk.database(&routed, is_foreign)).await??;
    let KnownDatabase { repo, mut want, is_signature } = known;
    want.candidates = candidates(endpoint, &want, is_foreign);
    want.candidates.retain(|source| matches!(source, Candidate::Mirror(_) | Candidate::File(_)));
    let public = want.candidates.iter().find_map(|source| match source {
        Candidate::Mirror(url) if !has_secret(url) => Some(url.clone()),
        _ => None,
    });
    want.candidates.first()?;
    let patience = if is_signature { SIGNATURE } else { PATIENCE };
    let ticket = joined(endpoint, &repo, want, asked)?;
    let progress = ticket.progress();
    let obtained = timeout_at(Instant::from(asked.begun) + patience, ticket.result());
    match obtained.await.map(|made| made.and_then(|made| made.result.ok().flatten())) {
        Ok(Some(obtained)) => {
            if !is_signature {
                endpoint.views.aged.clear(&repo);
            }
            let Obtained { file, accepted, modified, .. } = obtained;
            // An empty one stands for none.
            let size = Some(accepted.size()).filter(|size| *size > 0)?;
            let content = FileContent::File(Arc::new(file));
            let answer = whole(endpoint, asked, ReadyFile::new((name, repo, size, modified), content));
            if !is_foreign && !is_signature && answer.status() == StatusCode::OK {
                endpoint.transfers.ahead.database();
            }
            Some(answer)
        }
        _ if is_signature => None,
        made => match Undelivered::of(made.is_err(), is_foreign, progress.borrow().bytes, public) {
            Undelivered::Elsewhere(url) => Some(redirect(&url)),
            Undelivered::LastKnown => last_known(endpoint, asked, name, repo).await,
            Undelivered::Nothing => None,
        },
    }
}

/// What a client gets where no mirror has delivered a database.
#[derive(PartialEq, Eq, Debug)]
enum Undelivered {
    /// It waits for this mirror by itself.
    Elsewhere(Url),
    /// The database that this machine has.
    LastKnown,
    Nothing,
}

impl Undelivered {
    /// Decides by whether it `is_late`, the client, and the bytes that came so far. A mirror that is slow, and sends, is no
    /// reason for an old database.
    fn of(is_late: bool, is_foreign: bool, bytes: u64, public: Option<Url>) -> Self {
        match public {
            Some(url) if is_late && (!is_foreign || bytes > 0) => Self::Elsewhere(url),
            _ if is_foreign => Self::LastKnown,
            _ => Self::Nothing,
        }
    }
}

/// Joins the transfer of a database for a client, or begins it.
fn joined(endpoint: &HttpEndpoint, repo: &RepoName, want: Want, asked: &ClientRequest) -> Option<Ticket> {
    let is_forced = asked.since.is_none();
    let key =
        Sha256::of(format!("database {repo}/{} {is_forced} {}", want.name, asked.client.is_loopback()).as_bytes());
    let (ticket, duty) = endpoint.transfers.hub.join(Some(key)).ok()?;
    if let Some(duty) = duty {
        let transfer = NewTransfer::of(&want, repo, Urgency::First);
        let steps = async move |call: &mut Call| {
            let mut want = want;
            match want.shape.kind {
                NameKind::DatabaseSignature => database::signature(call, &mut want, None).await,
                _ => {
                    let url = match want.candidates.first() {
                        Some(Candidate::Mirror(url)) => url.to_string(),
                        _ => String::new(),
                    };
                    database::database(call, &want, &url, is_forced).await
                }
            }
        };
        transfer.start(endpoint, duty, steps);
    }
    Some(ticket)
}

/// Answers another machine with the database that this one has, when no mirror delivers one: what it lists is served
/// from here. The answer tells its age, and so do the log, the doctor, the status and the page.
async fn last_known(
    endpoint: &HttpEndpoint,
    asked: &ClientRequest,
    name: FileName,
    repo: RepoName,
) -> Option<Response<AnswerBody>> {
    let wanted = name.clone();
    let (path, file, size, modified) = endpoint.desks.ask(move |desk| desk.last_database(&wanted)).await??;
    let age = modified.and_then(|at| at.elapsed().ok()).unwrap_or_default().as_secs();
    if modified.is_some_and(|modified| endpoint.views.aged.note(&repo, path, modified)) {
        let ago = time::span(age);
        log::warn(&format!("{name}: no mirror delivers it; {} gets the one of {ago} ago", asked.client));
    }
    let content = FileContent::File(Arc::new(file));
    let mut response = whole(endpoint, asked, ReadyFile::new((name, repo, size, modified), content));
    response.headers_mut().insert(hyper::header::AGE, age.into());
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_sends_slowly_is_no_reason_for_another_machine_to_get_an_old_database() {
        let url = || Url::parse("http://mirror.example/core.db").ok();
        let at_mirror = || Undelivered::Elsewhere(url().unwrap());
        for (is_late, is_foreign, bytes, public, expected) in [
            (true, true, 9, url(), at_mirror()),
            (true, true, 0, url(), Undelivered::LastKnown),
            (false, true, 9, url(), Undelivered::LastKnown),
            (true, true, 9, None, Undelivered::LastKnown),
            (true, false, 0, url(), at_mirror()),
            (false, false, 0, url(), Undelivered::Nothing),
        ] {
            assert_eq!(Undelivered::of(is_late, is_foreign, bytes, public), expected, "{is_late} {is_foreign} {bytes}");
        }
    }
}
