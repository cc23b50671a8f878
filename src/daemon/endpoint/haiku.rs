//! Haiku's repositories, for pkgman: `repo.info`, `repo.sha256`, `repo` and `packages/NAME` of one proven snapshot.
//!
//! What pkgman does after each status (Haiku 47136e7, `kits/package/FetchFileJob.cpp:91-215`): it ends after 404 and 403;
//! it asks for ever, without a pause, after 408, 500, 503, 504 and most of 400 to 429, and keeps the body of an error as
//! if it were the file. It has no time-out of its own. So there are 200, 206, 403, 404 and 416 here, each wait has a
//! bound, and a body that cannot go on is closed, after which pkgman asks for the rest. It is sent to no mirror: one that
//! hangs would hold it up for ever.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use reqwest::Url;
use tokio::sync::mpsc;

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::desk::Desk;
use super::haiku_repos::HaikuRepo;
use super::here::{self, FileContent, HereFile};
use super::known::KnownPackage;
use super::reply::{ClientRequest, Prepared, ReadyFile, bare, dated, prepared, sent, whole};
use super::route::parts;
use super::transfer::Waited;
use super::{haiku_index, haiku_look, haiku_wait, stream, transfer};
use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName};
use crate::engine::deliver::Delivery;
use crate::haiku::listed::{ListedHpkg, may_share};
use crate::haiku::sizes::PackageSizes;
use crate::machine::Machine;
use crate::report::log;

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
    if !asked.client.is_loopback() && !may_share(&machine, &repo.config) {
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
/// `repo.info`: these look for a newer snapshot; `repo` is that of the sum which the client was given.
async fn described(
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    asked: &ClientRequest,
    repo: &Rc<HaikuRepo>,
    name: &str,
) -> Response<AnswerBody> {
    if matches!(name, "repo.info" | "repo.sha256") || repo.in_use(machine).await.is_none() {
        haiku_look::renew(repo, endpoint, machine, asked.client).await;
    }
    let Some(kept) = repo.in_use(machine).await else {
        // pkgman ends on it, and says that the operation is not allowed.
        return bare(StatusCode::FORBIDDEN);
    };
    let newest = &kept.newest.snapshot;
    if name == "repo.sha256" {
        repo.give(asked.client, newest.sha256);
    }
    let given = repo.given(asked.client).and_then(|sha256| kept.of_list(sha256)).unwrap_or(&kept.newest);
    let bytes = match name {
        "repo.sha256" => Bytes::from(format!("{}\n", newest.sha256)),
        "repo.info" => newest.files.info.clone(),
        "repo.minisig" => given.snapshot.files.signature.clone(),
        _ => given.snapshot.files.list.clone(),
    };
    let (Ok(of_repo), Ok(name)) = (RepoName::new(repo.config.name.as_str()), FileName::new(name)) else {
        return bare(StatusCode::NOT_FOUND);
    };
    let facts = (name, of_repo, bytes.len() as u64, None);
    whole(endpoint, asked, ReadyFile::new(facts, FileContent::Bytes(bytes)))
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
    let (kept, sha256) = kept.find(&name, repo.given(asked.client))?;
    let listed = ListedHpkg::of(&repo.config, kept, name.clone(), sha256);
    let indexed = haiku_index::entries(endpoint, &kept.snapshot.info.arch, &name, sha256).await;
    // What an index lists is public.
    let may_share = may_share(machine, &repo.config) || !indexed.is_empty();
    // Another endpoint asks its own house.
    let house = if asked.is_relayed || !may_share { Vec::new() } else { house(endpoint, repo, &name) };
    let asks_mirrors = machine.settings.endpoint.mirrors;
    let mirrors: Vec<Url> = listed.urls().into_iter().filter(|url| asks_mirrors && !endpoint.is_itself(url)).collect();
    // A package that is here, or in an index, has that size; nothing is asked for it.
    let here = size_here(endpoint, sha256).await;
    let mut known: Vec<u64> = here.into_iter().chain(indexed.iter().map(|entry| entry.known.size)).collect();
    // What another endpoint asks is whether it is here, or on its way: no server knows that.
    let is_look = asked.is_head && asked.is_relayed;
    if is_look {
        known.extend(endpoint.transfers.haiku.tried.borrow().get(&sha256));
    }
    let (near, far) = if is_look { (&[][..], &[][..]) } else { (&house[..], &mirrors[..]) };
    let mut sizes = PackageSizes::of(machine, (sha256, known.clone()), (near, far), may_share && !is_look);
    let is_doubted = |of: &&(Sha256, u64)| of.0 == sha256;
    endpoint.transfers.haiku.doubted.borrow().iter().filter(is_doubted).for_each(|(_, size)| sizes.doubt(*size));
    while let Some(size) = sizes.next().await {
        let is_known = known.contains(&size);
        let ready = || (name.clone(), listed.repo(), size, None);
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
        let plan = haiku_index::planned(&name, (sha256, size), &indexed);
        let want = listed.want(machine, (plan, may_share), (&house, &mirrors));
        // Of two endpoints that name each other, one fetches it.
        if asked.gives_way() && transfer::waits_for_house(endpoint, &want) {
            return None;
        }
        if is_look && !transfer::is_coming(endpoint, &want) {
            continue;
        }
        // What has come is cut for no size that a server may have made up.
        if !is_known && sizes.has_sounder(size) && part_here(endpoint, sha256).await > size {
            continue;
        }
        let (builder, part) = match prepared(asked, size, None) {
            Prepared::Body(builder, part) => (builder, part),
            bodiless => {
                let answer = bodiless.bare();
                // A client drops the part that it has, for which the size must not be one that a server made up.
                if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE && !is_known {
                    continue;
                }
                return Some(answer);
            }
        };
        let wanted = KnownPackage { want, repo: listed.repo(), built: None, may_share };
        let ticket = transfer::join(endpoint, &wanted, Some(asked.client), false)?.ticket;
        endpoint.transfers.haiku.tries(sha256, size);
        let is_disputed = !is_known && sizes.is_disputed();
        let longest = if is_disputed { haiku_wait::DISPUTED } else { haiku_wait::LONGEST };
        match haiku_wait::wait(ticket, part.0, (machine.settings.patience, longest)).await {
            Waited::Over(ticket) => {
                let Delivery { result, receipt } = ticket.result().await?;
                // With the size that another server tells it may be another file.
                let Ok(Some(obtained)) = result else { continue };
                // A transfer that another client began may have had another size: that of the proof is right.
                let size = obtained.accepted.size();
                endpoint.transfers.haiku.remember(sha256, size);
                let (builder, part) = match prepared(asked, size, None) {
                    Prepared::Body(builder, part) => (builder, part),
                    bodiless => return Some(bodiless.bare()),
                };
                let running = sent(endpoint, asked, (name, listed.repo(), size, None), part);
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
            Waited::Slow | Waited::Silent => {
                let why = format!("its sources send next to nothing of {size} bytes; what has come is kept");
                log::warn(&format!("haiku {}: {name}: {why}", repo.config.name));
                // Another server may tell the size with which it comes.
                if is_disputed {
                    endpoint.transfers.haiku.doubt(sha256, size);
                    sizes.doubt(size);
                }
            }
        }
    }
    None
}

/// Returns the URLs of a package at the endpoints of the house, which have the repository at the same path.
fn house(endpoint: &HttpEndpoint, repo: &HaikuRepo, name: &FileName) -> Vec<Url> {
    let here = endpoint.transfers.house.here.borrow();
    let urls = here.iter().filter_map(|peer| {
        let mut url = Url::parse(&format!("http://{}/", peer.at)).ok()?;
        let parts = repo.config.path.split('/').chain(["packages", name.as_str()]);
        url.path_segments_mut().ok()?.pop_if_empty().extend(parts);
        Some(url)
    });
    urls.collect()
}

/// Returns the number of bytes that came of a package, of which the rest is not here.
async fn part_here(endpoint: &HttpEndpoint, sha256: Sha256) -> u64 {
    let look = move |desk: &Desk| {
        let part = desk.machine.store.files_dir().with_file_name("partial").join(sha256.to_string());
        part.metadata().map_or(0, |meta| meta.len())
    };
    endpoint.desks.ask(look).await.unwrap_or_default()
}

/// Returns the size of a package that was served before, or is on this machine.
async fn size_here(endpoint: &HttpEndpoint, sha256: Sha256) -> Option<u64> {
    if let Some(size) = endpoint.transfers.haiku.sizes.borrow().get(&sha256) {
        return Some(*size);
    }
    let look = move |desk: &Desk| {
        let stores = std::iter::once(desk.machine.store.files_dir());
        let others = desk.machine.settings.share_stores.iter().map(|dir| dir.join("files"));
        stores.chain(others).find_map(|dir| dir.join(sha256.to_string()).metadata().ok()).map(|meta| meta.len())
    };
    endpoint.desks.ask(look).await.flatten()
}
