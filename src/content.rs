//! A file by its CID alone: block by block from neighbours, Kubo or gateways, each block proven before the next
//! one is read.
//!
//! Works for every shape in which files are published (CIDv0, small chunks, several levels). A path below a
//! directory is followed here as well, so that no gateway can lead to another file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::Url;

use crate::address::Address;
use crate::cid::Cid;
use crate::config::value::below;
use crate::dag::DagError;
use crate::dag::dir::{DirectorySearch, SearchState};
use crate::deliver::{Obtained, block_on};
use crate::error::{Error, ErrorKind};
use crate::http::{self, Http};
use crate::report::ProgressLine;
use crate::session::Session;
use crate::source::gateway::raw_block;
use crate::source::neighbours::LanSource;
use crate::source::{Local, Miss};
use crate::verify::{Accepted, Walked};

/// Most blocks under way at once.
const AT_ONCE: usize = 8;

/// Blocks missing at neighbours after which they are not asked for the rest: a file is usually there whole or not
/// at all.
const LACKS_MOST: usize = 2;

/// Largest file that is fetched by its CID alone.
const MOST: u64 = 64 << 30;

/// Fetches the file at `address`, and returns its own CID as well. Blocks that Kubo fetches for it count against
/// `kubo.keep`.
pub fn content(
    session: &mut Session,
    address: &Address,
    forced: Option<crate::source::SourceKind>,
) -> Result<(Cid, Obtained), Error> {
    let scratch = session.scratch().map_err(|e| Error::local(session.store.dir().display(), e))?;
    let peers = Peers::of(session, forced);
    let name = address.name();
    let is_here = address.path.is_empty() && address.cid.inline().is_some();
    if peers.list.is_empty() && !is_here {
        return Err(Error::new(ErrorKind::NoSource, &name, "there is nobody to ask for a CID")
            .hint("start Kubo or pkgswarm daemon, or name a trustless gateway in gateways.urls"));
    }
    let fetched = block_on(async {
        let cid = peers.resolve(address).await?;
        let had_it = peers.kubo_has(cid).await;
        let accepted = peers.file(session, cid, &name, &scratch).await?;
        Ok((cid, had_it, accepted))
    });
    match fetched {
        Some(Ok((cid, had_it, accepted))) => {
            if had_it == Some(false) && peers.used_kubo() {
                session.kubo_cached(cid, accepted.size());
            }
            let from = peers.label();
            session.received(from.clone(), accepted.size());
            let from = if from.is_empty() { "its CID".to_owned() } else { from };
            Ok((cid, Obtained::new(scratch, accepted, from).loose()))
        }
        Some(Err(error)) => Err(error),
        None => Err(Error::new(ErrorKind::Interrupted, name, "interrupted")),
    }
}

/// The sources of blocks, and their results so far.
struct Peers {
    http: Rc<Http>,
    list: Vec<BlockSource>,
    patience: Duration,
    used: RefCell<Vec<usize>>,
    /// Consecutive blocks that neighbours did not have.
    lacks: Cell<usize>,
}

/// A source of blocks.
enum BlockSource {
    /// The local network, by way of the daemon.
    Lan(LanSource),
    /// Kubo on loopback.
    Kubo(Url),
    Gateway(Url),
}

impl BlockSource {
    fn label(&self) -> String {
        match self {
            BlockSource::Lan(_) => "lan".to_owned(),
            BlockSource::Kubo(_) => "kubo".to_owned(),
            BlockSource::Gateway(url) => format!("gateway {}", http::host(url)),
        }
    }

    fn line(&self, miss: &Miss) -> String {
        match self {
            BlockSource::Lan(_) => format!("lan  {miss}"),
            BlockSource::Kubo(url) => format!("kubo  {}  {miss}", http::host(url)),
            BlockSource::Gateway(url) => format!("gateway  {}  {miss}", http::host(url)),
        }
    }
}

impl Peers {
    fn of(session: &Session, forced: Option<crate::source::SourceKind>) -> Self {
        use crate::source::SourceKind as Source;
        let mut list = Vec::new();
        // A neighbour that has it answers within a quarter of a second; Kubo may search for longer.
        if session.asks_node() && forced.is_none_or(|kind| kind == Source::Node) {
            list.push(BlockSource::Lan(LanSource::at(&session.settings.socket)));
        }
        if session.asks_kubo() && forced.is_none_or(|kind| kind == Source::Kubo) {
            list.push(BlockSource::Kubo(session.settings.gateway_url()));
        }
        if session.asks_gateways() && forced.is_none_or(|kind| kind == Source::Gateway) {
            list.extend(session.settings.gateway_urls().map(BlockSource::Gateway));
        }
        let (http, patience) = (Rc::clone(&session.http), session.settings.patience);
        Self { http, list, patience, used: RefCell::default(), lacks: Cell::new(0) }
    }

    fn label(&self) -> String {
        let used = self.used.borrow();
        used.iter().map(|index| self.list[*index].label()).collect::<Vec<_>>().join(" + ")
    }

    /// Asks Kubo whether it has the root without asking its peers; `None` when Kubo is not asked, or does not
    /// answer.
    async fn kubo_has(&self, cid: Cid) -> Option<bool> {
        let gateway = self.list.iter().find_map(|peer| match peer {
            BlockSource::Kubo(gateway) => Some(gateway),
            _ => None,
        })?;
        let url = below(gateway, &format!("/ipfs/{cid}"));
        let ask = http::GetOptions { head: true, cached_only: true, direct: true, ..http::GetOptions::default() };
        let answer = tokio::time::timeout(Duration::from_secs(1), self.http.ask(&url, &ask)).await;
        match answer.ok()?.ok()?.status() {
            reqwest::StatusCode::OK => Some(true),
            reqwest::StatusCode::PRECONDITION_FAILED => Some(false),
            _ => None,
        }
    }

    fn used_kubo(&self) -> bool {
        self.used.borrow().iter().any(|index| matches!(self.list[*index], BlockSource::Kubo(_)))
    }

    /// Fetches one block from the first source that has it.
    async fn block(&self, cid: Cid) -> Result<Vec<u8>, Vec<(usize, Miss)>> {
        if let Some(block) = cid.inline() {
            return Ok(block.to_vec());
        }
        let mut misses = Vec::new();
        for (index, peer) in self.list.iter().enumerate() {
            let asked = match peer {
                // With no other source to ask, skipping neighbours saves nothing.
                BlockSource::Lan(_) if self.lacks.get() >= LACKS_MOST && self.list.len() > 1 => continue,
                BlockSource::Lan(neighbours) => self.of_neighbours(neighbours, cid).boxed_local(),
                BlockSource::Kubo(url) => raw_block(&self.http, url, cid, true).boxed_local(),
                BlockSource::Gateway(url) => raw_block(&self.http, url, cid, false).boxed_local(),
            };
            match tokio::time::timeout(self.patience, asked).await {
                Ok(Ok(block)) => {
                    let mut used = self.used.borrow_mut();
                    if !used.contains(&index) {
                        used.push(index);
                    }
                    return Ok(block);
                }
                Ok(Err(miss)) => misses.push((index, miss)),
                Err(_) => misses.push((index, Miss::Stalled(self.patience))),
            }
        }
        Err(misses)
    }

    async fn of_neighbours(&self, neighbours: &LanSource, cid: Cid) -> Result<Vec<u8>, Miss> {
        let block = neighbours.block(cid).await;
        self.lacks.set(if block.is_ok() { 0 } else { self.lacks.get() + 1 });
        block
    }

    /// Follows the path to the file's own CID.
    async fn resolve(&self, address: &Address) -> Result<Cid, Error> {
        let mut at = address.cid;
        for name in &address.path {
            let mut search = DirectorySearch::new(at, name);
            at = loop {
                let cid = search.wanted();
                let block = self.block(cid).await.map_err(|misses| self.failed(&cid.to_string(), &misses))?;
                match search.push(&block).map_err(|e| bad(name, &e))? {
                    SearchState::Entry(entry, _) => break entry,
                    SearchState::Below(_) => {}
                    SearchState::Nothing => {
                        return Err(Error::new(
                            ErrorKind::NoSource,
                            name,
                            format!("the directory {at} has no such entry"),
                        ));
                    }
                }
            };
        }
        Ok(at)
    }

    /// Writes the file into `to`, block by block.
    async fn file(&self, session: &Session, cid: Cid, name: &str, to: &File) -> Result<Accepted, Error> {
        let mut walked = Walked::new(cid, MOST);
        let mut asked: VecDeque<Cid> = VecDeque::new();
        let mut coming: FuturesOrdered<Local<'_, _>> = FuturesOrdered::new();
        let mut progress = None;
        let mut at = 0;
        while !walked.is_done() {
            let wanted: Vec<Cid> = walked.wants().take(AT_ONCE).collect();
            if !asked.iter().zip(&wanted).all(|(asked, wanted)| asked == wanted) {
                (asked, coming) = (VecDeque::new(), FuturesOrdered::new());
            }
            for next in &wanted[asked.len().min(wanted.len())..] {
                coming.push_back(self.block(*next).boxed_local());
                asked.push_back(*next);
            }
            let block = coming.next().await.expect("an unfinished walk wants a block");
            asked.pop_front();
            let block = block.map_err(|misses| self.failed(name, &misses))?;
            let bytes = walked.push(&block).map_err(|e| bad(name, &e))?;
            to.write_all_at(&bytes, at).map_err(|e| Error::local(session.store.dir().display(), e))?;
            at += bytes.len() as u64;
            let progress =
                progress.get_or_insert_with(|| ProgressLine::new(session.settings.progress, name, walked.size()));
            progress.at(at, "IPFS");
        }
        Ok(Accepted::Proven(walked.finish()))
    }

    fn failed(&self, name: &str, misses: &[(usize, Miss)]) -> Error {
        let corrupt = misses.iter().any(|(_, miss)| matches!(miss, Miss::Corrupt(_)));
        let kind = if corrupt { ErrorKind::Corrupt } else { ErrorKind::NoSource };
        let mut error = Error::new(kind, name, "no source delivered it");
        for (index, miss) in misses {
            error = error.tried(self.list[*index].line(miss));
        }
        error
    }
}

fn bad(name: &str, e: &DagError) -> Error {
    if let DagError::Foreign(_) = e {
        return Error::usage(name, format!("it is there, and cannot be read here: {e}"));
    }
    let error = Error::new(ErrorKind::Corrupt, name, e);
    match e {
        DagError::Directory => error.hint("name a file in it: ipfs://CID/path"),
        _ => error,
    }
}
