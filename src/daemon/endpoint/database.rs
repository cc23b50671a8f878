//! Databases, for a client that has this endpoint as `Server`: by the rules of `xfer` about what is current and what is
//! older. A client that does not say what it has, as with `-yy`, gets the mirror's. pacman counts a failed database
//! against its server, so there is an answer as soon as there can be one.

use std::rc::Rc;
use std::time::Duration;

use hyper::Response;
use tokio::time::timeout;

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::known::repos;
use super::reply::{ClientRequest, ReadyFile, redirect, whole};
use super::route::RoutedFile;
use super::transfer::{PATIENCE, candidates, has_secret, make};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::RepoName;
use crate::engine::deliver::{Candidate, Delivery, Obtained};
use crate::engine::want::Want;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::pacman::database;
use crate::report::log;

/// Longest wait for the signature of a database, which most repositories do not have.
const SIGNATURE: Duration = Duration::from_secs(3);

/// Answers with a database or its signature; `None` where there is none.
pub(super) async fn answered(
    endpoint: &Rc<HttpEndpoint>,
    lists: &Rc<Lists>,
    asked: &ClientRequest,
    routed: &RoutedFile,
) -> Option<Response<AnswerBody>> {
    let reading = lists.read(&routed.name);
    let repo = repos(lists, &routed.hints).into_iter().find(|repo| reading.repo.as_ref() == Some(repo))?;
    lists.repo(&repo)?;
    if !asked.client.is_loopback() && !lists.may_share(&repo) {
        return None;
    }
    let mut want = Want::in_repo(lists, &repo, routed.name.clone()).ok()?;
    want.candidates = candidates(endpoint, &want, !asked.client.is_loopback());
    want.candidates.retain(|source| matches!(source, Candidate::Mirror(_) | Candidate::File(_)));
    let first = want.candidates.first()?.clone();
    let is_signature = reading.shape.kind == NameKind::DatabaseSignature;
    let patience = if is_signature { SIGNATURE } else { PATIENCE };
    match timeout(patience, fetched(endpoint, &repo, want, asked)).await {
        Ok(Some(obtained)) => {
            let Obtained { file, accepted, modified, .. } = obtained;
            // An empty one stands for none.
            let size = Some(accepted.size()).filter(|size| *size > 0)?;
            let ready = ReadyFile { name: routed.name.clone(), repo, file, size, modified };
            Some(whole(endpoint, asked, ready))
        }
        Ok(None) if !is_signature && !asked.client.is_loopback() => last_known(endpoint, lists, asked, routed, repo),
        // A mirror that is slow, and sends: the client waits for it by itself.
        Err(_) if !is_signature && !asked.client.is_loopback() => last_known(endpoint, lists, asked, routed, repo),
        Err(_) if !is_signature => match first {
            Candidate::Mirror(url) if !has_secret(&url) => Some(redirect(&url)),
            _ => None,
        },
        _ => None,
    }
}

async fn fetched(endpoint: &Rc<HttpEndpoint>, repo: &RepoName, want: Want, asked: &ClientRequest) -> Option<Obtained> {
    let is_forced = asked.since.is_none();
    let key =
        Sha256::of(format!("database {repo}/{} {is_forced} {}", want.name, asked.client.is_loopback()).as_bytes());
    let (ticket, duty) = endpoint.transfers.hub.join(Some(key)).ok()?;
    if let Some(duty) = duty {
        let (endpoint, repo) = (Rc::clone(endpoint), repo.clone());
        tokio::task::spawn_local(async move {
            let (mut want, name) = (want.clone(), want.name.clone());
            let steps = async |call: &mut Call| match want.shape.kind {
                NameKind::DatabaseSignature => database::signature(call, &mut want, None).await,
                _ => {
                    let url = match want.candidates.first() {
                        Some(Candidate::Mirror(url)) => url.to_string(),
                        _ => String::new(),
                    };
                    database::database(call, &want, &url, is_forced).await
                }
            };
            make(&endpoint, (&repo, &name), duty, steps).await;
        });
    }
    let Delivery { result, .. } = ticket.result().await?;
    result.ok().flatten()
}

/// Answers another machine with the database that this one has, when no mirror delivers one: what it lists is served
/// from here. The answer tells its age, and so does the log.
fn last_known(
    endpoint: &HttpEndpoint,
    lists: &Lists,
    asked: &ClientRequest,
    routed: &RoutedFile,
    repo: RepoName,
) -> Option<Response<AnswerBody>> {
    let file = fsx::open_followed(&lists.database_path(&routed.name)?).ok()?;
    let meta = file.metadata().ok()?;
    let modified = meta.modified().ok();
    let age = modified.and_then(|at| at.elapsed().ok()).unwrap_or_default().as_secs();
    let minutes = age / 60;
    log::warn(&format!("{}: no mirror delivers it; {} gets the one of {minutes} min ago", routed.name, asked.client));
    let ready = ReadyFile { name: routed.name.clone(), repo, file, size: meta.len(), modified };
    let mut response = whole(endpoint, asked, ready);
    response.headers_mut().insert(hyper::header::AGE, age.into());
    Some(response)
}
