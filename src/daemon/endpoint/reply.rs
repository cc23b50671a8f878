//! The pieces of an answer: its status, its headers, the part of a file.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

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
use super::transfer::OF_RELAY;
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
    /// The number of that one, where it says it.
    relay: Option<u64>,
    range: Option<String>,
    if_range: Option<String>,
    pub(super) since: Option<String>,
}

impl ClientRequest {
    /// Reads the headers of a request of `client`.
    pub(super) fn of<B>(client: IpAddr, request: &Request<B>) -> Self {
        let text = |name: HeaderName| request.headers().get(name)?.to_str().ok().map(str::to_owned);
        let via = text(header::VIA).filter(|via| via.contains(http::VIA));
        Self {
            is_head: request.method() == Method::HEAD,
            client,
            begun: Instant::now(),
            is_relayed: via.is_some(),
            relay: via.and_then(|via| http::number_in(&via)),
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
    /// Returns true for the endpoint of another machine that must not wait here for what this one waits for in the house:
    /// that one may wait for this one. Of two of this version, only the one with the smaller number; so no circle of them
    /// waits, and one of them fetches the file (test `two_endpoints_that_name_each_other_fetch_each_package_once`).
    pub(super) fn gives_way(&self) -> bool {
        self.is_relayed && self.relay.is_none_or(|number| number <= http::endpoint_number())
    }

    /// Returns the time from which the patience of the client counts: another endpoint is answered before its own patience is over, so
    /// that it can go on elsewhere.
    pub(super) fn waits_from(&self) -> tokio::time::Instant {
        let earlier = if self.is_relayed { OF_RELAY } else { Duration::ZERO };
        self.begun.checked_sub(earlier).unwrap_or(self.begun).into()
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(via: Option<&str>) -> ClientRequest {
        let request = via.into_iter().fold(Request::builder(), |request, via| request.header(header::VIA, via));
        ClientRequest::of(IpAddr::from([127, 0, 0, 1]), &request.body(()).unwrap())
    }

    #[test]
    fn of_two_endpoints_that_wait_for_each_other_one_gives_way() {
        let own = http::endpoint_number();
        let via = |number: u64| format!("{} ({number:016x})", http::VIA);
        assert!(asked(Some(&via(own))).gives_way() && asked(Some(&via(0))).gives_way());
        assert!(!asked(Some(&via(u64::MAX))).gives_way() && !asked(None).gives_way());
        for odd in ["1.1 pkgswarm", "1.1 pkgswarm (", "1.1 pkgswarm ()", "1.1 pkgswarm (10000000000000000)"] {
            assert!(asked(Some(odd)).gives_way(), "{odd}");
        }
        assert!(!asked(Some("1.1 squid")).is_relayed);
    }

    #[test]
    fn another_endpoint_is_answered_two_seconds_before_a_client() {
        let (own, relayed) = (asked(None), asked(Some(http::VIA)));
        assert_eq!(own.waits_from(), own.begun.into());
        assert_eq!(relayed.waits_from() + OF_RELAY, relayed.begun.into());
    }
}
