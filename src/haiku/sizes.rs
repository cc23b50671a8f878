//! The size of a package, which no list of Haiku's tells: from the endpoints of the house and the servers, all at once;
//! last from a neighbour that has it as one block. A wrong one costs a transfer that is refused: only bytes with the
//! right sum are ever used.

use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE};
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, timeout, timeout_at};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::engine::source::neighbours::LanClient;
use crate::machine::Machine;
use crate::net::http::answer::HttpAnswer;
use crate::net::http::range::ContentRange;
use crate::net::http::{self, GetOptions};

/// Longest wait for those who tell it.
const LONGEST: Duration = Duration::from_secs(10);

/// Longest wait for a neighbour's block.
const BLOCK: Duration = Duration::from_secs(5);

/// The sizes that a package may have, one after the other, each once.
pub(crate) struct PackageSizes<'a> {
    machine: &'a Machine,
    sha256: Sha256,
    looks: FuturesUnordered<LocalBoxFuture<'a, Option<u64>>>,
    /// When the servers have had their time; `None` until they are asked.
    until: Option<Instant>,
    /// True where a neighbour may still be asked.
    asks_lan: bool,
    told: Vec<u64>,
    /// Those that are known without asking, in reverse.
    known: Vec<u64>,
}

impl<'a> PackageSizes<'a> {
    /// Makes those of a package: the `known` ones first, then what these endpoints and servers tell, which are not asked
    /// before that.
    pub(crate) fn of(
        machine: &'a Machine,
        (sha256, known): (Sha256, Vec<u64>),
        (house, servers): (&'a [Url], &'a [Url]),
        may_share: bool,
    ) -> Self {
        let near = house.iter().map(|url| (url, true));
        let all = near.chain(servers.iter().map(|url| (url, false)));
        Self {
            machine,
            sha256,
            looks: all.map(|(url, is_near)| told(machine, url, is_near).boxed_local()).collect(),
            until: None,
            asks_lan: may_share && machine.asks_lan(),
            told: Vec::new(),
            known: known.into_iter().rev().collect(),
        }
    }

    /// Returns the next one; `None` where nothing tells another.
    pub(crate) async fn next(&mut self) -> Option<u64> {
        while let Some(known) = self.known.pop() {
            if !self.told.contains(&known) {
                self.told.push(known);
                return Some(known);
            }
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + LONGEST);
        while let Ok(Some(size)) = timeout_at(until, self.looks.next()).await {
            if let Some(size) = size.filter(|size| !self.told.contains(size)) {
                self.told.push(size);
                return Some(size);
            }
        }
        let asks_lan = std::mem::take(&mut self.asks_lan);
        let lan = asks_lan.then(|| LanClient::at(&self.machine.settings.socket))?;
        // A file of one leaf is the block with its sum.
        let block = timeout(BLOCK, lan.block(Cid::raw(self.sha256), &|_| ())).await.ok()?.ok()?;
        Some(block.len() as u64).filter(|size| !self.told.contains(size))
    }
}

/// Returns the size that a server tells: to HEAD, or where it refuses that, to a request for the first byte.
async fn told(machine: &Machine, url: &Url, is_near: bool) -> Option<u64> {
    let ask = async |ask: GetOptions| match is_near {
        true => machine.http.ask_near(url, &ask).await.ok(),
        false => machine.http.ask(url, &ask).await.ok(),
    };
    let answer = ask(GetOptions { head: true, ..GetOptions::default() }).await?;
    match answer.status() {
        StatusCode::OK => number(&answer),
        StatusCode::NOT_FOUND | StatusCode::GONE => None,
        _ if is_near => None,
        _ => {
            let answer = ask(GetOptions { until: Some(1), ..GetOptions::default() }).await?;
            let range = http::text(answer.headers(), CONTENT_RANGE).and_then(ContentRange::parse);
            match answer.status() {
                StatusCode::PARTIAL_CONTENT => range?.total,
                StatusCode::OK => number(&answer),
                _ => None,
            }
        }
    }
}

fn number(answer: &HttpAnswer) -> Option<u64> {
    http::text(answer.headers(), CONTENT_LENGTH)?.parse().ok()
}
