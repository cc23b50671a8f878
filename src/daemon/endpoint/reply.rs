//! The pieces of an answer: its status, its headers, the part of a file.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use hyper::header::{self, HeaderName};
use hyper::http::response::Builder;
use hyper::{Method, Request, Response, StatusCode};
use reqwest::Url;

use super::HttpEndpoint;
use super::body::AnswerBody;
use super::here::FileContent;
use super::known::KnownPackage;
use super::part::{FilePart, is_current, is_same};
use super::running::{RunningAnswer, SentFile};
use crate::base::name::{FileName, RepoName};
use crate::net::http;

/// What a request says beside its path.
#[derive(Debug)]
pub(super) struct ClientRequest {
    /// True where only the headers are wanted.
    pub(super) is_head: bool,
    /// The client.
    pub(super) client: IpAddr,
    /// The time of the request.
    pub(super) begun: Instant,
    /// True if another endpoint asks.
    pub(super) is_relayed: bool,
    range: Option<String>,
    if_range: Option<String>,
    pub(super) since: Option<String>,
}

impl ClientRequest {
    /// Reads the headers of a request of `client`.
    pub(super) fn of<B>(client: IpAddr, request: &Request<B>) -> Self {
        let text = |name: HeaderName| request.headers().get(name)?.to_str().ok().map(str::to_owned);
        Self {
            is_head: request.method() == Method::HEAD,
            client,
            begun: Instant::now(),
            is_relayed: text(header::VIA).is_some_and(|via| via.contains(http::VIA)),
            range: text(header::RANGE),
            if_range: text(header::IF_RANGE),
            since: text(header::IF_MODIFIED_SINCE),
        }
    }
}

impl ClientRequest {
    /// Returns true where all bytes of the file are wanted.
    pub(super) fn wants_all(&self) -> bool {
        !self.is_head && self.range.is_none()
    }
}

impl ClientRequest {
    /// Returns true where the other endpoints of the house may be asked for this package: another machine's endpoint asks
    /// them by itself.
    pub(super) fn asks_house(&self, package: &KnownPackage) -> bool {
        self.client.is_loopback() && !self.is_relayed && package.may_share
    }
}

/// A file to answer with.
pub(super) struct ReadyFile {
    pub(super) name: FileName,
    pub(super) repo: RepoName,
    pub(super) content: FileContent,
    /// Bytes.
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
}

/// Name, repository, size in bytes and date of a file.
pub(super) type FileFacts = (FileName, RepoName, u64, Option<SystemTime>);

impl ReadyFile {
    pub(super) fn new((name, repo, size, modified): FileFacts, content: FileContent) -> Self {
        Self { name, repo, content, size, modified }
    }
}

/// Answers with a file that is here.
pub(super) fn whole(endpoint: &HttpEndpoint, asked: &ClientRequest, ready: ReadyFile) -> Response<AnswerBody> {
    let ReadyFile { name, repo, content, size, modified } = ready;
    match prepared(asked, size, modified) {
        Prepared::Body(builder, part) if !asked.is_head => {
            let running = sent(endpoint, asked, (name, repo, size, modified), part);
            dated(builder, modified, AnswerBody::file(content, part, running))
        }
        bodiless => bodiless.bare(),
    }
}

/// The status and headers of an answer with a file.
pub(super) enum Prepared {
    /// An answer without a body.
    Done(Response<AnswerBody>),
    /// The beginning of one with these bytes: the first, and the end. Without a date yet.
    Body(Builder, (u64, u64)),
}

impl Prepared {
    /// Returns the answer without its body.
    pub(super) fn bare(self) -> Response<AnswerBody> {
        match self {
            Self::Done(response) => response,
            Self::Body(builder, _) => dated(builder, None, AnswerBody::nothing()),
        }
    }
}

/// Decides what of a file of `size` bytes and this date is sent.
pub(super) fn prepared(asked: &ClientRequest, size: u64, modified: Option<SystemTime>) -> Prepared {
    if is_current(asked.since.as_deref(), modified) {
        let builder = Response::builder().status(StatusCode::NOT_MODIFIED);
        return Prepared::Done(dated(builder, modified, AnswerBody::nothing()));
    }
    let range = asked.range.as_deref().filter(|_| is_same(asked.if_range.as_deref(), modified));
    let part = FilePart::of(range, size);
    let (from, until) = part.bytes(size);
    let builder = Response::builder().header(header::ACCEPT_RANGES, "bytes");
    let builder = match part {
        FilePart::Whole => builder.status(StatusCode::OK),
        FilePart::Range(..) => builder
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", until.saturating_sub(1))),
        FilePart::Beyond => {
            let builder = builder.status(StatusCode::RANGE_NOT_SATISFIABLE).header(header::CONTENT_LENGTH, 0);
            let builder = builder.header(header::CONTENT_RANGE, format!("bytes */{size}"));
            return Prepared::Done(dated(builder, None, AnswerBody::nothing()));
        }
    };
    let builder =
        builder.header(header::CONTENT_TYPE, "application/octet-stream").header(header::CONTENT_LENGTH, until - from);
    match asked.is_head {
        true => Prepared::Done(dated(builder, modified, AnswerBody::nothing())),
        false => Prepared::Body(builder, (from, until)),
    }
}

/// Begins an answer of these bytes of a file, for the page and the journal.
pub(super) fn sent(
    endpoint: &HttpEndpoint,
    asked: &ClientRequest,
    (name, repo, _, _): FileFacts,
    (from, until): (u64, u64),
) -> RunningAnswer {
    let ClientRequest { client, begun, .. } = *asked;
    let file = SentFile { name, repo, total: until - from, sent: Cell::new(0), client, begun };
    endpoint.views.running.begin(file)
}

/// Makes a redirect to a mirror that has the file.
pub(super) fn redirect(url: &Url) -> Response<AnswerBody> {
    let builder = Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::CONTENT_LENGTH, 0);
    let made = builder.header(header::LOCATION, url.as_str()).body(AnswerBody::nothing());
    made.unwrap_or_else(|_| bare(StatusCode::NOT_FOUND))
}

/// Ends an answer with the date of its file. Never with the present time: pacman would take its own file as older.
pub(super) fn dated(builder: Builder, modified: Option<SystemTime>, body: AnswerBody) -> Response<AnswerBody> {
    let builder = match modified {
        Some(modified) => builder.header(header::LAST_MODIFIED, httpdate::fmt_http_date(modified)),
        None => builder,
    };
    builder.body(body).expect("dates and numbers are headers")
}

/// Makes an answer without a body: pacman cuts off the body of an error, and some clients keep it.
pub(super) fn bare(status: StatusCode) -> Response<AnswerBody> {
    let builder = Response::builder().status(status).header(header::CONTENT_LENGTH, 0);
    let builder = match status {
        StatusCode::METHOD_NOT_ALLOWED => builder.header(header::ALLOW, "GET, HEAD"),
        _ => builder,
    };
    builder.body(AnswerBody::nothing()).expect("these headers are fixed")
}
