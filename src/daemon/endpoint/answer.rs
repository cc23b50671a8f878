//! One request and its answer. What pacman does after each status is in `src/lists/pacman` and was observed with pacman
//! 7.1.0: a miss is a 404 without a body, which costs it nothing; it asks the next server.

use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::connections::AnswerMark;
use super::desk::Desk;
use super::here::{self, FileContent, HereFile};
use super::in_hand::HeldSignature;
use super::known::KnownPackage;
use super::page::View;
use super::part::is_current;
use super::reply::{ClientRequest, Prepared, ReadyFile, bare, dated, prepared, redirect, sent, whole};
use super::route::{Route, RouteError, RoutedFile, is_own_host, route};
use super::signature::{SignatureLook, SignatureQuest};
use super::transfer::{PATIENCE, Waited};
use super::{database, elsewhere, haiku, page, signature, stream, transfer};
use crate::base::digest::Sha256;
use crate::engine::deliver::Delivery;
use crate::lists::system::NameKind;
use crate::machine::lists;
use crate::net::http::USER_AGENT;
use crate::trust::plan::Expect;

/// Longest wait of a package for its signature.
const SIGNATURE: Duration = Duration::from_millis(2500);

/// Answers a request of `client`, which is connected at the address `local`.
pub(super) async fn answer(
    endpoint: Rc<HttpEndpoint>,
    (client, local): (IpAddr, IpAddr),
    request: Request<Incoming>,
    mark: AnswerMark,
) -> Result<Response<AnswerBody>, Infallible> {
    let mut response = match refusal(&endpoint, client, local, &request) {
        Some(status) => bare(status),
        None => routed(&endpoint, client, &request).await,
    };
    // The doctor knows it by this from another program at its address.
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static(USER_AGENT));
    Ok(response.map(|body| body.marked(mark)))
}

/// Returns the status of a request that is refused, whatever it asks for.
fn refusal(endpoint: &HttpEndpoint, client: IpAddr, local: IpAddr, request: &Request<Incoming>) -> Option<StatusCode> {
    let access = endpoint.access.borrow();
    if !access.may_ask(client) && !access.may_look(client) {
        return Some(StatusCode::FORBIDDEN);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let named = request.headers().get(header::HOST).map(HeaderValue::to_str);
    // A request to a proxy names the host in its first line.
    let host = match (request.uri().authority(), named) {
        (Some(authority), _) => Some(authority.as_str()),
        (None, Some(Ok(named))) => Some(named),
        (None, Some(Err(_))) => return Some(StatusCode::BAD_REQUEST),
        (None, None) => None,
    };
    match host {
        Some(host) if is_own_host(host, local, &access.names) => None,
        Some(_) => Some(StatusCode::MISDIRECTED_REQUEST),
        None if request.version() < Version::HTTP_11 => None,
        None => Some(StatusCode::BAD_REQUEST),
    }
}

async fn routed(endpoint: &Rc<HttpEndpoint>, client: IpAddr, request: &Request<Incoming>) -> Response<AnswerBody> {
    let asked = ClientRequest::of(client, request);
    match route(request.uri().path()) {
        Ok(Route::File(_)) if !endpoint.access.borrow().may_ask(client) => bare(StatusCode::FORBIDDEN),
        Ok(Route::File(routed)) => match haiku::answered(endpoint, &asked, request.uri().path()).await {
            Some(answer) => answer,
            None => file(endpoint, &asked, routed).await,
        },
        Ok(Route::Page) => page::answered(endpoint, client, View::Page, asked.is_head).await,
        Ok(Route::Metrics) => page::answered(endpoint, client, View::Metrics, asked.is_head).await,
        Ok(Route::Status) => page::answered(endpoint, client, View::Document, asked.is_head).await,
        Ok(Route::Own) => page::own(endpoint, client, asked.is_head).await,
        Err(RouteError::Long) => bare(StatusCode::URI_TOO_LONG),
        Err(RouteError::Malformed) => bare(StatusCode::BAD_REQUEST),
        Err(RouteError::Missing) => bare(StatusCode::NOT_FOUND),
    }
}

async fn file(endpoint: &Rc<HttpEndpoint>, asked: &ClientRequest, routed: RoutedFile) -> Response<AnswerBody> {
    let answered = match lists::read(&routed.name).shape.kind {
        NameKind::Package => package(endpoint, asked, routed).await,
        NameKind::PackageSignature => package_signature(endpoint, asked, routed).await,
        NameKind::Database | NameKind::DatabaseSignature => database::answered(endpoint, asked, routed).await,
        // Such as a look at whether this endpoint is there: no list is asked for it.
        NameKind::Other => None,
    };
    answered.unwrap_or_else(|| bare(StatusCode::NOT_FOUND))
}

/// A client's question for a package, answered by a desk.
struct PackageAsked {
    package: KnownPackage,
    /// The content that it has to have.
    proof: (Sha256, u64),
    /// Of its signature, where the package waits for it; `None` in it where that cannot be had.
    signature: Option<Option<SignatureLook>>,
    /// True where the client has it as it is.
    is_current: bool,
    here: HereFile,
}

impl Desk {
    /// Finds the package that a client may have; `None` where no list knows it, or it is not for other machines.
    fn allowed(&self, client: IpAddr, routed: &RoutedFile) -> Option<KnownPackage> {
        self.package(routed).filter(|package| client.is_loopback() || package.may_share)
    }

    /// Looks for a package, its signature and its bytes.
    fn package_asked(
        &self,
        client: IpAddr,
        routed: &RoutedFile,
        since: Option<&str>,
        wants_all: bool,
    ) -> Option<PackageAsked> {
        let package = self.allowed(client, routed)?;
        let Expect::Exact { sha256, size } = package.want.plan.expect else { return None };
        let is_awaited = signature::is_awaited(&package, client);
        let signature = is_awaited.then(|| self.signature(&package));
        let is_current = is_current(since, package.built);
        let here = if is_current { HereFile::Absent } else { self.find(&package.want.name, (sha256, size), wants_all) };
        Some(PackageAsked { package, proof: (sha256, size), signature, is_current, here })
    }
}

/// Answers with a package, or with `None`: it is not listed, or cannot be had in time.
async fn package(
    endpoint: &Rc<HttpEndpoint>,
    asked: &ClientRequest,
    routed: RoutedFile,
) -> Option<Response<AnswerBody>> {
    let (client, since, wants_all) = (asked.client, asked.since.clone(), asked.wants_all());
    let question = move |desk: &Desk| desk.package_asked(client, &routed, since.as_deref(), wants_all);
    let PackageAsked { package, proof, signature, is_current, here } = endpoint.desks.ask(question).await??;
    let (package, (sha256, size)) = (Rc::new(package), proof);
    let (is_foreign, asks_house) = (!client.is_loopback(), asked.asks_house(&package));
    let KnownPackage { want, repo, built, .. } = &*package;
    let machine = endpoint.machine();
    let mut signed = SignatureComing(match signature {
        // It comes side by side.
        Some(Some(look @ SignatureLook::Wanted { .. })) => {
            let (endpoint, package) = (Rc::clone(endpoint), Rc::clone(&package));
            let quest = SignatureQuest { is_foreign, asks_house, patience: SIGNATURE };
            let until = asked.waits_from() + PATIENCE;
            let obtaining = async move {
                let held = timeout_at(until, signature::obtained(&endpoint, &package, look, quest)).await;
                held.ok().flatten().is_some()
            };
            Some(tokio::task::spawn_local(obtaining))
        }
        Some(None) => return None,
        Some(Some(SignatureLook::Held(_))) | None => None,
    });
    let ready = |modified: Option<SystemTime>| (want.name.clone(), repo.clone(), size, modified);
    if is_current {
        return signed.is_here().await.then(|| prepared(asked, size, *built).bare());
    }
    if asked.is_head && asked.is_relayed && matches!(here, HereFile::Unproven(_)) {
        // The other endpoint asks whether this one is about to send it.
        return Some(prepared(asked, size, *built).bare());
    }
    let here = match here {
        HereFile::Absent => None,
        HereFile::Proven(content) => Some(content),
        HereFile::Unproven(unproven) => {
            let until = asked.waits_from() + PATIENCE;
            match timeout_at(until, here::proven(endpoint, unproven)).await {
                Ok(content) => content,
                // It goes on for the next client.
                Err(_) if asked.is_relayed => return None,
                Err(_) => {
                    let url = elsewhere::url(endpoint, &package, size, asked.begun.into()).await;
                    return url.map(|url| redirect(&url));
                }
            }
        }
    };
    if let Some(content) = here {
        return signed.is_here().await.then(|| whole(endpoint, asked, ReadyFile::new(ready(*built), content)));
    }
    if asked.gives_way() && transfer::waits_for_house(endpoint, want) {
        // It may wait for that one.
        return None;
    }
    if asked.is_head {
        // Whether a source has it is not known before one is asked.
        return transfer::is_coming(endpoint, want).then(|| prepared(asked, size, *built).bare());
    }
    let prepared = prepared(asked, size, *built);
    let Prepared::Body(builder, part) = prepared else { return Some(prepared.bare()) };
    let is_own = !is_foreign && !asked.is_relayed;
    let ahead = &endpoint.transfers.ahead;
    let wait = (machine.settings.endpoint.wait, asked.waits_from());
    let is_stuck = |long| endpoint.transfers.threads.is_stuck(sha256, long);
    let mut is_first = true;
    loop {
        let joined = transfer::join(endpoint, &package, Some(client), asks_house)?;
        if is_own {
            ahead.package(&package);
        }
        let waited = tokio::select! {
            waited = transfer::wait(joined.ticket, (part.0, size), wait, is_stuck) => Some(waited),
            () = signed.is_missing() => None,
        };
        let is_elsewhere = matches!(waited, None | Some(Waited::Silent | Waited::Slow));
        if is_own && is_elsewhere {
            ahead.leave(sha256);
            // What fetched it ahead lets go of it now.
            tokio::task::yield_now().await;
        }
        match waited {
            Some(Waited::Over(ticket)) => {
                let Delivery { result, receipt } = ticket.result().await?;
                let obtained = match result.ok().flatten() {
                    Some(obtained) if signed.is_here().await => obtained,
                    obtained => {
                        // The bytes came all the same.
                        endpoint.views.running.received((repo.clone(), want.name.clone()), asked.begun, receipt);
                        if obtained.is_some() || !joined.may_lack_sources || !std::mem::take(&mut is_first) {
                            return None;
                        }
                        // Another machine's client began it, for which not all sources were asked.
                        continue;
                    }
                };
                let running = sent(endpoint, asked, ready(None), part);
                running.receipt.borrow_mut().add(receipt);
                let modified = obtained.modified.or(*built);
                let content = FileContent::File(Arc::new(obtained.file));
                return Some(dated(builder, modified, AnswerBody::file(content, part, running)));
            }
            Some(Waited::Growing(ticket)) => {
                if !signed.is_here().await {
                    return None;
                }
                let (running, (send, pieces)) = (sent(endpoint, asked, ready(None), part), mpsc::channel(1));
                let receipt = Rc::clone(&running.receipt);
                let (expect, endpoint) = (want.plan.expect, Rc::clone(endpoint));
                tokio::task::spawn_local(async move {
                    let is_whole = stream::send(ticket, expect, part, send, receipt).await;
                    if is_own && !is_whole {
                        // The client goes on elsewhere: what is fetched ahead would cross the line a second time.
                        endpoint.transfers.ahead.leave(sha256);
                    }
                });
                return Some(dated(builder, *built, AnswerBody::coming(pieces, part.1 - part.0, running)));
            }
            Some(Waited::Silent) => {
                elsewhere::warm(endpoint, &package);
                return None;
            }
            slow => {
                if slow.is_some() {
                    transfer::go_on(endpoint, &package);
                }
                if asked.is_relayed {
                    // It has mirrors of its own.
                    return None;
                }
                // The signature cannot be had in time, or all of the package.
                let begun = asked.begun.into();
                return elsewhere::url(endpoint, &package, size, begun).await.map(|url| redirect(&url));
            }
        }
    }
}

/// A signature that comes side by side with its package; `None` once it is here.
struct SignatureComing(Option<JoinHandle<bool>>);

impl SignatureComing {
    /// Waits for it; false where it cannot be had.
    async fn is_here(&mut self) -> bool {
        let Some(coming) = &mut self.0 else { return true };
        let is_here = coming.await.is_ok_and(|is_here| is_here);
        self.0 = None;
        is_here
    }

    /// Ends when it turns out that it cannot be had, and never where it is here: without it the package is of no use.
    async fn is_missing(&mut self) {
        if self.is_here().await {
            std::future::pending::<()>().await;
        }
    }
}

/// Answers with the signature of a package.
async fn package_signature(
    endpoint: &Rc<HttpEndpoint>,
    asked: &ClientRequest,
    routed: RoutedFile,
) -> Option<Response<AnswerBody>> {
    let client = asked.client;
    let question = move |desk: &Desk| {
        let name = desk.lists.read(&routed.name).signed?;
        let signed = RoutedFile { name, hints: routed.hints };
        desk.signature_asked(desk.allowed(client, &signed)?, client)
    };
    let signature = endpoint.desks.ask(question).await??;
    let (name, repo) = (signature::name_of(&signature.package)?, signature.package.repo.clone());
    // Its package may have come from here: there is no other server to ask.
    let HeldSignature { bytes, modified } = signature::given(endpoint, signature, asked).await?;
    let size = bytes.len() as u64;
    Some(whole(endpoint, asked, ReadyFile::new((name, repo, size, modified), FileContent::Bytes(bytes))))
}
