//! The local Kubo daemon, read through its deserialised gateway on loopback.
//!
//! The gateway has two ways to end a file early that look fine: a clean end with the error in a trailer, and a text
//! written *into the body* before the connection is reset (boxo, gateway/middleware_retrieval_timeout.go). Neither
//! matters to a reader that proves what it got; the race cuts back to the last proven leaf.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::FutureExt as _;
use reqwest::{StatusCode, Url};

use crate::cid::{Cid, Codec};
use crate::http::{self, Ask, Http};
use crate::source::gateway::raw_block;
use crate::source::mirror::offer;
use crate::source::{Kind, Local, Miss, Offer, Question, Source};

/// One file in the daemon's reach.
pub struct KuboFile<'a> {
    http: &'a Http,
    gateway: Url,
    cid: Cid,
    size: Option<u64>,
    most: u64,
    had_it: Rc<Cell<Option<bool>>>,
    has_root: Cell<bool>,
}

impl<'a> KuboFile<'a> {
    /// The file `cid` through the gateway at `gateway`.
    pub fn new(http: &'a Http, gateway: &Url, cid: Cid, size: Option<u64>, most: u64) -> Self {
        Self { http, gateway: gateway.clone(), cid, size, most, had_it: Rc::default(), has_root: Cell::new(false) }
    }

    /// Whether the daemon had the file before it was asked; known once it was opened.
    ///
    /// What it had is the user's; what it fetched for us counts against `kubo.keep`.
    pub fn had_it(&self) -> Rc<Cell<Option<bool>>> {
        Rc::clone(&self.had_it)
    }

    fn url(&self) -> Url {
        self.gateway.join(&format!("/ipfs/{}", self.cid)).expect("a CID is a path segment")
    }

    async fn get(&self, question: Question) -> Result<Offer<'_>, Miss> {
        let url = self.url();
        if self.had_it.get().is_none() {
            // Tests the root block only, and asks no network (boxo, gateway/backend_blocks.go:755).
            let ask = Ask { head: true, cached_only: true, direct: true, ..Ask::default() };
            match self.http.ask(&url, &ask).await?.status() {
                StatusCode::OK => self.had_it.set(Some(true)),
                StatusCode::PRECONDITION_FAILED => self.had_it.set(Some(false)),
                other => return Err(refused(other)),
            }
        }
        // The gateway answers only when the first leaf is there, and it asks for ten leaves at once: over a slow LAN
        // that is seconds. The root alone comes at once when a neighbour has the file.
        if self.cid.codec() == Codec::DagPb && self.had_it.get() == Some(false) && !self.has_root.get() {
            raw_block(self.http, &self.gateway, self.cid, true).await?;
        }
        self.has_root.set(self.cid.codec() == Codec::DagPb || self.had_it.get() == Some(true));
        let ask = Ask { from: question.from, direct: true, ..Ask::default() };
        let response = self.http.ask(&url, &ask).await?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => offer(response, question, self.size, self.most),
            other => Err(refused(other)),
        }
    }
}

impl Source for KuboFile<'_> {
    fn kind(&self) -> Kind {
        Kind::Kubo
    }

    fn place(&self) -> String {
        http::host(&self.gateway)
    }

    fn is_promising(&self) -> bool {
        self.has_root.get()
    }

    fn open(&self, question: Question) -> Local<'_, Result<Offer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}

fn refused(status: StatusCode) -> Miss {
    let code = format!("HTTP {}", status.as_u16());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GATEWAY_TIMEOUT => Miss::Absent(format!("{code}: nobody it knows has it")),
        // Kubo's Retry-After is a fixed 60 s for the whole node (config.md, Gateway.MaxConcurrentRequests).
        StatusCode::TOO_MANY_REQUESTS => Miss::Busy(code, std::time::Duration::from_secs(60)),
        StatusCode::FORBIDDEN => Miss::Broken(format!("{code}: its configuration forbids it")),
        _ => Miss::Broken(code),
    }
}
