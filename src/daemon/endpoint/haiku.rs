//! Haiku's repositories, for pkgman: `repo.info`, `repo.sha256`, `repo` and `packages/NAME` of one proven snapshot.
//!
//! What pkgman does after each status (Haiku 47136e7, `kits/package/FetchFileJob.cpp:91-215`): it ends after 404 and 403;
//! it asks for ever, without a pause, after 408, 500, 503, 504 and most of 400 to 429, and keeps the body of an error as
//! if it were the file. It has no time-out of its own. So there are 200, 206, 307, 403, 404 and 416 here, each wait has
//! a bound, and a body that cannot go on is closed, after which pkgman asks for the rest.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::CONTENT_LENGTH;
use hyper::{Response, StatusCode};
use reqwest::Url;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::desk::Desk;
use super::haiku_repos::HaikuRepo;
use super::here::{self, FileContent, HereFile};
use super::known::KnownPackage;
use super::reply::{ClientRequest, Prepared, ReadyFile, bare, dated, prepared, redirect, sent, whole};
use super::route::parts;
use super::transfer::{Waited, has_secret};
use super::{haiku_index, stream, transfer};
use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName};
use crate::engine::deliver::{Candidate, Delivery};
use crate::engine::want::{Want, by_content};
use crate::haiku::kept::KeptSnapshot;
use crate::haiku::take::below;
use crate::lists::system::{NameKind, Repository};
use crate::machine::Machine;
use crate::net::http::{self, GetOptions};
use crate::trust::look::{FileShape, ShapeError};
use crate::trust::plan::IndexEntry;

/// Longest wait for a mirror to tell the size of a package, which no list of Haiku's does.
const SIZE: Duration = Duration::from_secs(10);

/// Answers a request below the path of one of Haiku's repositories; `None` for other paths.
pub(super) async fn answered(
    endpoint: &Rc<HttpEndpoint>,
    asked: &ClientRequest,
    path: &str,
) -> Option<Response<AnswerBody>> {
    let machine = endpoint.machine();
    if machine.settings.haiku.is_empty() {
        return None;
    }
    let (repo, rest) = endpoint.transfers.haiku.find(&machine, &parts(path).ok()?)?;
    if !asked.client.is_loopback() && !repo.may_share(&machine) {
        return Some(bare(StatusCode::FORBIDDEN));
    }
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    Some(match rest[..] {
        ["repo.info" | "repo.sha256" | "repo" | "repo.minisig"] => {
            described(endpoint, &machine, asked, &repo, rest[0]).await
        }
        ["packages", name] => match package(endpoint, &machine, asked, &repo, name).await {
            Some(answer) => answer,
            None => bare(StatusCode::NOT_FOUND),
        },
        _ => bare(StatusCode::NOT_FOUND),
    })
}

/// Answers with one of the files that describe the repository. A refresh begins with `repo.sha256`, and `add-repo` with
/// `repo.info`: these look for a newer snapshot; `repo` is that of the sum which was given.
async fn described(
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    asked: &ClientRequest,
    repo: &HaikuRepo,
    name: &str,
) -> Response<AnswerBody> {
    if matches!(name, "repo.info" | "repo.sha256") || repo.in_use(machine).await.is_none() {
        repo.renew(machine).await;
        haiku_index::renew(endpoint, machine, repo, asked.client).await;
    }
    let Some(kept) = repo.in_use(machine).await else {
        // pkgman ends on it, and says that the operation is not allowed.
        return bare(StatusCode::FORBIDDEN);
    };
    let bytes = match name {
        "repo.sha256" => format!("{}\n", kept.snapshot.sha256).into_bytes(),
        "repo.info" => kept.snapshot.files.info.clone(),
        "repo.minisig" => kept.snapshot.files.signature.clone(),
        _ => kept.snapshot.files.list.clone(),
    };
    let (Ok(of_repo), Ok(name)) = (RepoName::new(repo.config.name.as_str()), FileName::new(name)) else {
        return bare(StatusCode::NOT_FOUND);
    };
    let facts = (name, of_repo, bytes.len() as u64, None);
    whole(endpoint, asked, ReadyFile::new(facts, FileContent::Bytes(bytes.into())))
}

/// Answers with a package of the snapshot in use, or with `None`: it is not listed, or cannot be had.
async fn package(
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    asked: &ClientRequest,
    repo: &HaikuRepo,
    name: &str,
) -> Option<Response<AnswerBody>> {
    let name = FileName::new(name).ok()?;
    let kept = repo.in_use(machine).await?;
    let sha256 = *kept.snapshot.packages.get(&name)?;
    let mirrors = mirrors(endpoint, machine, repo, &kept, &name);
    let indexed = haiku_index::entries(endpoint, &kept.snapshot.info.arch, &name, sha256).await;
    // Those that indexes tell are known without asking.
    let mut next: Vec<u64> = indexed.iter().rev().map(|entry| entry.known.size).collect();
    let mut is_asked = false;
    loop {
        if next.is_empty() && !std::mem::replace(&mut is_asked, true) {
            next = sizes(endpoint, machine, sha256, &mirrors).await;
            next.reverse();
        }
        let size = next.pop()?;
        let ready = || (name.clone(), RepoName::new(repo.config.name.as_str()).expect("its name is plain"), size, None);
        let (wanted_name, wants_all) = (name.clone(), asked.wants_all());
        let look = move |desk: &Desk| desk.find(&wanted_name, (sha256, size), wants_all);
        let content = match endpoint.desks.ask(look).await? {
            HereFile::Absent => None,
            HereFile::Proven(content) => Some(content),
            HereFile::Unproven(unproven) => here::proven(endpoint, unproven).await,
        };
        if let Some(content) = content {
            return Some(whole(endpoint, asked, ReadyFile::new(ready(), content)));
        }
        let Prepared::Body(builder, part) = prepared(asked, size, None) else {
            return Some(prepared(asked, size, None).bare());
        };
        let wanted = wanted(machine, repo, &name, (sha256, size), (&indexed, &mirrors));
        let is_stuck = |long| endpoint.transfers.threads.is_stuck(sha256, long);
        let ticket = transfer::join(endpoint, &wanted, Some(asked.client), false)?.ticket;
        match transfer::wait(ticket, (part.0, size), (transfer::PATIENCE, asked.begun.into()), is_stuck).await {
            Waited::Over(ticket) => {
                let Delivery { result, receipt } = ticket.result().await?;
                // With the size that another server tells it may be another file.
                let Ok(Some(obtained)) = result else { continue };
                endpoint.transfers.haiku.remember(sha256, size);
                let running = sent(endpoint, asked, ready(), part);
                running.receipt.borrow_mut().add(receipt);
                let content = FileContent::File(Arc::new(obtained.file));
                return Some(dated(builder, None, AnswerBody::file(content, part, running)));
            }
            Waited::Growing(ticket) => {
                let (running, (send, pieces)) = (sent(endpoint, asked, ready(), part), mpsc::channel(1));
                let receipt = Rc::clone(&running.receipt);
                let expect = wanted.want.plan.expect;
                tokio::task::spawn_local(stream::send(ticket, expect, part, send, receipt));
                return Some(dated(builder, None, AnswerBody::coming(pieces, part.1 - part.0, running)));
            }
            // pkgman checks the sum by itself.
            Waited::Slow | Waited::Silent => {
                let open = mirrors.iter().find(|url| machine.settings.endpoint.mirrors && !has_secret(url));
                return open.map(redirect);
            }
        }
    }
}

/// Returns the URLs of a package, that of the snapshot's own server first.
fn mirrors(
    endpoint: &HttpEndpoint,
    machine: &Machine,
    repo: &HaikuRepo,
    kept: &KeptSnapshot,
    name: &FileName,
) -> Vec<Url> {
    let bases = Url::parse(&kept.base).into_iter().chain(repo.config.urls.iter().map(|base| base.url().clone()));
    let mut urls: Vec<Url> = Vec::new();
    for base in bases.filter(|_| machine.settings.endpoint.mirrors) {
        let mut url = below(&base, "packages");
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.push(name.as_str());
        }
        if !endpoint.is_itself(&url) && !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// Returns the sizes that a package may have: the one that is known, else those that its mirrors tell, each once. A wrong
/// one costs a transfer that is refused: only bytes with the right sum are ever used.
async fn sizes(endpoint: &HttpEndpoint, machine: &Machine, sha256: Sha256, mirrors: &[Url]) -> Vec<u64> {
    let known = endpoint.transfers.haiku.sizes.borrow().get(&sha256).copied();
    let look = move |desk: &Desk| desk.machine.store.files_dir().join(sha256.to_string()).metadata().ok();
    let known = match known {
        Some(size) => Some(size),
        None => endpoint.desks.ask(look).await.flatten().map(|meta| meta.len()),
    };
    if let Some(size) = known {
        return vec![size];
    }
    let mut sizes = Vec::new();
    for url in mirrors {
        let ask = GetOptions { head: true, ..GetOptions::default() };
        let Ok(Ok(answer)) = timeout(SIZE, machine.http.ask(url, &ask)).await else { continue };
        let length = http::text(answer.headers(), CONTENT_LENGTH).and_then(|text| text.parse().ok());
        if let Some(size) = length.filter(|_| answer.status() == StatusCode::OK)
            && !sizes.contains(&size)
        {
            sizes.push(size);
        }
    }
    sizes
}

/// Makes the want of a package: from neighbours and by its content where that is shared, and from its mirrors.
fn wanted(
    machine: &Machine,
    repo: &HaikuRepo,
    name: &FileName,
    (sha256, size): (Sha256, u64),
    (indexed, mirrors): (&[IndexEntry], &[Url]),
) -> KnownPackage {
    let plan = haiku_index::planned(name, (sha256, size), indexed);
    // What an index lists is public.
    let may_share = repo.may_share(machine) || !indexed.is_empty();
    let mut candidates = if may_share { by_content(machine, &plan) } else { Vec::new() };
    candidates.extend(mirrors.iter().cloned().map(Candidate::Mirror));
    let of_repo = RepoName::new(repo.config.name.as_str()).expect("its name is plain");
    let repository = Repository {
        name: of_repo.clone(),
        servers: repo.config.urls.iter().map(ToString::to_string).collect(),
        cache_servers: Vec::new(),
        // pkgman knows no signatures of packages: the list's is over their sums.
        signatures_required: false,
    };
    let shape = FileShape::new(NameKind::Package, |head, _, _| match head.starts_with(b"hpkg") {
        true => Ok(()),
        false => Err(ShapeError::NotAnArchive),
    });
    let want = Want { name: name.clone(), shape, repo: Some(repository), plan, candidates, doubt: None };
    KnownPackage { want, repo: of_repo, built: None, may_share }
}
