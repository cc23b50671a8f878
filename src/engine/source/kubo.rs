//! The local Kubo daemon, read through its deserialised gateway on loopback.
//!
//! The gateway has two ways to end a file early that look like success: a clean end with the error in a trailer,
//! and a text written *into the body* before the connection is reset (boxo,
//! gateway/middleware_retrieval_timeout.go). Neither matters to a reader that proves the bytes; the race cuts back
//! to the last proven leaf.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use reqwest::{StatusCode, Url};

use crate::base::cid::{Cid, Codec};
use crate::config::url::below;
use crate::dag::proof::Leaves;
use crate::engine::source::gateway::raw_block;
use crate::engine::source::mirror::offer;
use crate::engine::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};
use crate::net::http::answer::HttpAnswer;
use crate::net::http::{self, GetOptions, Http};

/// Time for the daemon to find one block among its connected peers. It asks them at once, and after a second it
/// starts to search the whole network (Bitswap's ProviderSearchDelay, boxo, bitswap/client/internal/defaults);
/// closing the request ends the search before it begins.
pub(crate) const NEAR: Duration = Duration::from_millis(900);

/// Time for mirrors to answer before the daemon, whose head start is used up, asks other peers. A mirror as near
/// as a neighbour needs less, and then no search is made. A distant mirror needs more: a neighbour may still be
/// first.
pub(crate) const LATER: Duration = Duration::from_millis(10);

/// The reach of the daemon's search for a file that it lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KuboReach {
    /// Its connected peers: neighbours, configured peers, and those it met by chance.
    Near,
    /// Everywhere, by its routing (DHT, delegated routers). That takes seconds and tells strangers which file is
    /// wanted.
    Anywhere,
}

/// One file in the daemon's reach.
pub struct KuboFile<'a> {
    http: &'a Http,
    gateway: Url,
    cid: Cid,
    size: Option<u64>,
    most: u64,
    had_it: Rc<Cell<Option<bool>>>,
    /// True if a part of it is known to be available: the rest is then streamed from any of the daemon's sources.
    is_found: Cell<bool>,
    search: KuboSearch,
}

/// The daemon's search for a file that it lacks.
struct KuboSearch {
    reach: KuboReach,
    /// True if it is asked only after all other sources have failed.
    is_last_resort: bool,
    /// The wait before the daemon asks other peers.
    later: Duration,
}

impl<'a> KuboFile<'a> {
    /// Makes a source of the file `cid` through the gateway at `gateway`.
    pub fn new(http: &'a Http, gateway: &Url, cid: Cid, reach: KuboReach, size: Option<u64>, most: u64) -> Self {
        let search = KuboSearch { reach, is_last_resort: false, later: Duration::ZERO };
        let (had_it, is_found) = (Rc::default(), Cell::new(false));
        Self { http, gateway: gateway.clone(), cid, size, most, had_it, is_found, search }
    }

    /// Sets the wait before a daemon without the file asks other peers.
    pub fn asking_others_after(self, later: Duration) -> Self {
        Self { search: KuboSearch { later, ..self.search }, ..self }
    }

    /// Makes it a last resort, asked only after all other sources have failed.
    pub(crate) fn into_last_resort(self) -> Self {
        Self { search: KuboSearch { is_last_resort: true, ..self.search }, ..self }
    }

    /// Stores in `had_it` whether the daemon had the file before it was first asked.
    ///
    /// A file that it had is the user's; one that it fetched for us counts against `kubo.keep`.
    pub(crate) fn telling(self, had_it: &Rc<Cell<Option<bool>>>) -> Self {
        Self { had_it: Rc::clone(had_it), ..self }
    }

    async fn get(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        if self.had_it.get().is_none() {
            let status = ask_cached(self.http, &self.gateway, self.cid).await?.status();
            self.had_it.set(Some(has_it(status).ok_or_else(|| refused(status))?));
        }
        let is_found = self.is_found.get() || self.had_it.get() == Some(true);
        if !is_found && !self.search.later.is_zero() {
            tokio::time::sleep(self.search.later).await;
        }
        if !is_found && self.cid.codec() == Codec::DagPb {
            self.find(question.from).await?;
        }
        let ask = GetOptions { from: question.from, until: question.until, direct: true, ..GetOptions::default() };
        let url = url(&self.gateway, self.cid);
        let asked = self.http.ask(&url, &ask);
        // For a file of one block, this request itself is the search.
        let response = if is_found || self.is_found.get() { asked.await? } else { self.within_reach(asked).await? };
        self.is_found.set(true);
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                let offer = offer(response, question, self.size, self.most);
                // The size belongs to the CID: another file's size is not the daemon's fault.
                offer.map_err(|miss| if let Miss::Corrupt(why) = miss { Miss::Broken(why) } else { miss })
            }
            other => Err(refused(other)),
        }
    }

    /// Searches the root, and the leaf at `from`: a peer with both has the file.
    ///
    /// The gateway itself would answer only once it has begun to fetch ten leaves at once, which takes seconds
    /// over a slow line, and a daemon that has only the root could not be told from one that is about to send.
    async fn find(&self, from: u64) -> Result<(), Miss> {
        let root = self.within_reach(raw_block(self.http, &self.gateway, self.cid, true, &|_| ())).await?;
        if let Ok(leaves) = Leaves::from_root(self.cid, &root, self.size)
            && let Some(leaf) = leaves.leaf_at(from)
        {
            self.within_reach(raw_block(self.http, &self.gateway, leaves.cid(leaf), true, &|_| ())).await?;
        }
        self.is_found.set(true);
        Ok(())
    }

    async fn within_reach<T>(&self, asked: impl Future<Output = Result<T, Miss>>) -> Result<T, Miss> {
        match self.search.reach {
            KuboReach::Anywhere => asked.await,
            KuboReach::Near => {
                let late = |_| Miss::Absent("no connected peer has it".to_owned());
                tokio::time::timeout(NEAR, asked).await.map_err(late)?
            }
        }
    }
}

impl Source for KuboFile<'_> {
    fn kind(&self) -> SourceKind {
        SourceKind::Kubo
    }

    fn location(&self) -> String {
        http::host(&self.gateway)
    }

    fn is_last_resort(&self) -> bool {
        self.search.is_last_resort
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}

/// Asks Kubo whether it has `cid` itself; [`has_it`] reads the status. It tests the root block only, and asks no
/// network (boxo, gateway/backend_blocks.go:755).
///
/// # Errors
/// Those of [`Http::ask`]: it was not asked.
pub(crate) async fn ask_cached(http: &Http, gateway: &Url, cid: Cid) -> Result<HttpAnswer, Miss> {
    let ask = GetOptions { head: true, cached_only: true, direct: true, ..GetOptions::default() };
    http.ask(&url(gateway, cid), &ask).await
}

/// Returns whether Kubo has it, by the status of its answer; `None` when it does not tell.
pub(crate) fn has_it(status: StatusCode) -> Option<bool> {
    match status {
        StatusCode::OK => Some(true),
        StatusCode::PRECONDITION_FAILED => Some(false),
        _ => None,
    }
}

fn url(gateway: &Url, cid: Cid) -> Url {
    below(gateway, &format!("/ipfs/{cid}"))
}

fn refused(status: StatusCode) -> Miss {
    let code = format!("HTTP {}", status.as_u16());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GATEWAY_TIMEOUT => {
            Miss::Absent(format!("{code}: no peer that it knows has it"))
        }
        // Kubo's Retry-After is a fixed 60 s for the whole node (config.md, Gateway.MaxConcurrentRequests).
        StatusCode::TOO_MANY_REQUESTS => Miss::Busy(code, Duration::from_secs(60)),
        StatusCode::FORBIDDEN => Miss::Broken(format!("{code}: its configuration forbids it")),
        _ => Miss::Broken(code),
    }
}
