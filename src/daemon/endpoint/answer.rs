//! One request and its answer. What pacman does after each status is in `src/lists/pacman` and was observed with pacman
//! 7.1.0: a miss is a 404 without a body, which costs it nothing; it asks the next server.

use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::mpsc;

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::connections::AnswerMark;
use super::known::KnownPackage;
use super::page::View;
use super::part::is_current;
use super::reply::{ClientRequest, Prepared, ReadyFile, bare, dated, prepared, redirect, sent, whole};
use super::route::{Route, RouteError, RoutedFile, is_own_host, route};
use super::transfer::{PATIENCE, Waited};
use super::{database, page, signature, stream, transfer};
use crate::base::fsx;
use crate::engine::deliver::Delivery;
use crate::lists::system::NameKind;
use crate::machine::lists::{self, Lists};
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
        Ok(Route::File(routed)) => file(endpoint, &asked, &routed).await,
        Ok(Route::Page) => page::answered(endpoint, client, View::Page, asked.is_head).await,
        Ok(Route::Metrics) => page::answered(endpoint, client, View::Metrics, asked.is_head).await,
        Ok(Route::Status) => page::answered(endpoint, client, View::Document, asked.is_head).await,
        Err(RouteError::Long) => bare(StatusCode::URI_TOO_LONG),
        Err(RouteError::Malformed) => bare(StatusCode::BAD_REQUEST),
        Err(RouteError::Missing) => bare(StatusCode::NOT_FOUND),
    }
}

async fn file(endpoint: &Rc<HttpEndpoint>, asked: &ClientRequest, routed: &RoutedFile) -> Response<AnswerBody> {
    // Such as a look at whether this endpoint is there: no list is asked for it.
    if lists::read(&routed.name).shape.kind == NameKind::Other {
        return bare(StatusCode::NOT_FOUND);
    }
    let lists = endpoint.lists.get(&endpoint.machine()).await;
    let reading = lists.read(&routed.name);
    let answered = match reading.shape.kind {
        NameKind::Package => package(endpoint, &lists, asked, routed).await,
        NameKind::PackageSignature => match reading.signed {
            Some(name) => {
                let signed = RoutedFile { name, hints: routed.hints.clone() };
                package_signature(endpoint, &lists, asked, &signed).await
            }
            None => None,
        },
        NameKind::Database | NameKind::DatabaseSignature => database::answered(endpoint, &lists, asked, routed).await,
        NameKind::Other => None,
    };
    answered.unwrap_or_else(|| bare(StatusCode::NOT_FOUND))
}

/// Finds the package that a client may have; `None` where no list knows it, or it is not for other machines.
async fn known(
    endpoint: &HttpEndpoint,
    lists: &Lists,
    asked: &ClientRequest,
    routed: &RoutedFile,
) -> Option<Rc<KnownPackage>> {
    let package = endpoint.lists.package(lists, routed).await?;
    (asked.client.is_loopback() || lists.may_share(&package.repo)).then(|| Rc::new(package))
}

/// Answers with a package, or with `None`: it is not listed, or cannot be had in time.
async fn package(
    endpoint: &Rc<HttpEndpoint>,
    lists: &Rc<Lists>,
    asked: &ClientRequest,
    routed: &RoutedFile,
) -> Option<Response<AnswerBody>> {
    let package = known(endpoint, lists, asked, routed).await?;
    let KnownPackage { want, repo, built } = &*package;
    let Expect::Exact { sha256, size } = want.plan.expect else { return None };
    let machine = endpoint.machine();
    let signed = signature::is_awaited(&package, asked.client).then(|| {
        let (endpoint, lists, package) = (Rc::clone(endpoint), Rc::clone(lists), Rc::clone(&package));
        tokio::task::spawn_local(async move {
            signature::obtained(&endpoint, &lists, &package, false, SIGNATURE).await.is_some()
        })
    });
    let is_signed = async || match signed {
        Some(signed) => signed.await.is_ok_and(|is_signed| is_signed),
        None => true,
    };
    let ready = |modified: Option<SystemTime>| (want.name.clone(), repo.clone(), size, modified);
    if is_current(asked.since.as_deref(), *built) {
        return is_signed().await.then(|| prepared(asked, size, *built).bare());
    }
    if let Some(file) = endpoint.proven.find(&machine, lists, &want.name, (sha256, size)).await {
        return is_signed().await.then(|| whole(endpoint, asked, ReadyFile::new(ready(*built), file)));
    }
    let is_foreign = !asked.client.is_loopback();
    if asked.is_head {
        let has_source = !transfer::candidates(endpoint, want, is_foreign).is_empty();
        return has_source.then(|| prepared(asked, size, *built).bare());
    }
    let prepared = prepared(asked, size, *built);
    let Prepared::Body(builder, part) = prepared else { return Some(prepared.bare()) };
    // Another machine's endpoint asks the others by itself.
    let asks_house = !is_foreign && !asked.is_relayed && lists.may_share(repo);
    let ticket = transfer::join(endpoint, &package, is_foreign, asks_house)?;
    match transfer::wait(ticket, (part.0, size), machine.settings.endpoint.wait, asked.begun.into()).await {
        Waited::Over(ticket) => {
            let Delivery { result, receipt } = ticket.result().await?;
            let (running, obtained) = (sent(endpoint, asked, ready(None), part), result.ok()??);
            running.receipt.borrow_mut().add(receipt);
            if !is_signed().await {
                return None;
            }
            let modified = obtained.modified.or(*built);
            let file = obtained.file;
            Some(dated(builder, modified, AnswerBody::file(file, part, running)))
        }
        Waited::Growing(ticket) => {
            if !is_signed().await {
                return None;
            }
            let (running, (send, pieces)) = (sent(endpoint, asked, ready(None), part), mpsc::channel(1));
            let receipt = Rc::clone(&running.receipt);
            tokio::task::spawn_local(stream::send(ticket, want.plan.expect, part, send, receipt));
            Some(dated(builder, *built, AnswerBody::coming(pieces, part.1 - part.0, running)))
        }
        Waited::Silent => {
            transfer::warm(endpoint, &package);
            None
        }
        Waited::Slow => {
            transfer::go_on(endpoint, &package);
            transfer::elsewhere(endpoint, &package, size).await.map(|url| redirect(&url))
        }
    }
}

/// Answers with the signature of a package.
async fn package_signature(
    endpoint: &Rc<HttpEndpoint>,
    lists: &Rc<Lists>,
    asked: &ClientRequest,
    signed: &RoutedFile,
) -> Option<Response<AnswerBody>> {
    let package = known(endpoint, lists, asked, signed).await?;
    // Its package may have come from here: there is no other server to ask.
    let held = signature::given(endpoint, lists, &package, asked, PATIENCE).await?;
    let file = fsx::in_memory(&held.bytes).ok()?;
    let name = signature::name_of(&package)?;
    let size = held.bytes.len() as u64;
    Some(whole(endpoint, asked, ReadyFile::new((name, package.repo.clone(), size, held.modified), file)))
}
