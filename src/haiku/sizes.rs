//! The size of a package, which no list of Haiku's tells: from the endpoints of the house and the servers, all at once;
//! last from a neighbour that has it as one block. A wrong one costs a transfer that is refused: only bytes with the
//! right sum are ever used.

use std::cmp::Reverse;
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

/// Longest wait for the others once one has told it: one that lies is not tried first for being quick.
const OTHERS: Duration = Duration::from_millis(300);

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
    votes: SizeVotes,
    /// Those that are known without asking, in reverse.
    known: Vec<u64>,
}

/// What was told of a size.
struct SizeVotes {
    /// How many were asked.
    asked: usize,
    /// What was told, in the order in which it was told first, each with the number of those that told it.
    told: Vec<(u64, usize)>,
    /// Sizes that were tried.
    tried: Vec<u64>,
    /// Those with which a transfer came to nothing: they are tried last.
    doubted: Vec<u64>,
}

impl SizeVotes {
    /// Returns the size of which most of the others tell, with their number, among those that were not tried; one that is
    /// doubted last.
    fn best(&self) -> Option<(u64, usize)> {
        let left = self.told.iter().filter(|(size, _)| !self.tried.contains(size));
        left.min_by_key(|(size, votes)| (self.doubted.contains(size), Reverse(*votes))).copied()
    }

    fn add(&mut self, size: u64) {
        match self.told.iter_mut().find(|(told, _)| *told == size) {
            Some((_, votes)) => *votes += 1,
            None => self.told.push((size, 1)),
        }
    }
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
            votes: SizeVotes {
                asked: house.len() + servers.len(),
                told: Vec::new(),
                tried: Vec::new(),
                doubted: Vec::new(),
            },
            known: known.into_iter().rev().collect(),
        }
    }

    /// Returns the next one; `None` where nothing tells another.
    pub(crate) async fn next(&mut self) -> Option<u64> {
        while let Some(known) = self.known.pop() {
            if !self.votes.tried.contains(&known) {
                self.votes.tried.push(known);
                return Some(known);
            }
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + LONGEST);
        let mut enough = until;
        loop {
            let best = self.votes.best();
            let is_decided = best.is_some_and(|(_, votes)| 2 * votes > self.votes.asked);
            let answer = match is_decided {
                true => None,
                false => timeout_at(enough, self.looks.next()).await.ok().flatten(),
            };
            match (answer, best) {
                (Some(size), _) => {
                    size.into_iter().for_each(|size| self.votes.add(size));
                    if self.votes.best().is_some() {
                        enough = enough.min(Instant::now() + OTHERS);
                    }
                }
                (None, Some((size, _))) => {
                    self.votes.tried.push(size);
                    return Some(size);
                }
                (None, None) => break,
            }
        }
        let asks_lan = std::mem::take(&mut self.asks_lan);
        let lan = asks_lan.then(|| LanClient::at(&self.machine.settings.socket))?;
        // A file of one leaf is the block with its sum.
        let block = timeout(BLOCK, lan.block(Cid::raw(self.sha256), &|_| ())).await.ok()?.ok()?;
        Some(block.len() as u64).filter(|size| !self.votes.tried.contains(size))
    }

    /// Has this size be tried after all others.
    pub(crate) fn doubt(&mut self, size: u64) {
        self.votes.doubted.push(size);
    }

    /// Returns true where servers tell other sizes too: one of them lies.
    pub(crate) fn is_disputed(&self) -> bool {
        self.votes.told.len() > 1
    }

    /// Returns true where another size was told, and nothing speaks against it.
    pub(crate) fn has_sounder(&self, size: u64) -> bool {
        self.votes.told.iter().any(|(told, _)| *told != size && !self.votes.doubted.contains(told))
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
