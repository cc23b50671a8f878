//! A trustless HTTP gateway: one raw block a request, each proven by its CID before it counts.
//!
//! Spec: trustless gateway, `GET /ipfs/{cid}?format=raw` (ipfs/specs, src/http-gateways/trustless-gateway.md).
//! Several blocks are in transit at once. Directories give an error that names them.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use crate::cid::{Cid, Codec};
use crate::config::url::below;
use crate::dag::proof::Leaves;
use crate::dag::walk::Walk;
use crate::http::range::retry_after;
use crate::http::{self, GetOptions, Http};
use crate::size::BLOCK_MOST;
use crate::source::ahead::Ahead;
use crate::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};

/// Most blocks requested at the same time: enough for 100 ms at 40 MB/s with blocks of 1 MiB, few enough not to be a
/// burden.
const AT_ONCE: usize = 4;

/// What is under way comes in about this time: below the usual stall clock.
const SPAN: Duration = Duration::from_secs(3);

/// How often it is told that a block is coming.
const STILL: Duration = Duration::from_secs(1);

/// Bytes a second below which that is not told, and the longest time for a block that it is told of: 2 MiB at this rate.
/// Origin: the default of `download.floor`.
const FLOOR: f64 = 10240.0;
const LONGEST: Duration = Duration::from_secs(205);

/// One file, block by block.
pub struct GatewayFile<'a> {
    http: &'a Http,
    gateway: Url,
    cid: Cid,
    most: u64,
}

impl<'a> GatewayFile<'a> {
    /// Makes a source of the file `cid`, of at most `most` bytes, through a remote gateway.
    pub fn new(http: &'a Http, gateway: &Url, cid: Cid, most: u64) -> Self {
        Self { http, gateway: gateway.clone(), cid, most }
    }

    async fn get(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        let is_part = question.from > 0 || question.until.is_some();
        if is_part && self.cid.codec() == Codec::DagPb {
            let root = self.block(self.cid).await?;
            // A file of more than one level is read from its beginning.
            if let Ok(leaves) = Leaves::from_root(self.cid, &root, None) {
                return self.part(leaves, question).await;
            }
        }
        self.whole().await
    }

    /// Streams the leaves from `question.from` to `question.until`.
    async fn part(&self, leaves: Leaves, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        let size = leaves.size();
        let until = question.until.unwrap_or(size).min(size);
        let Some(first) = leaves.leaf_at(question.from) else {
            return Err(Miss::Broken(format!("has {size} bytes, was asked from {}", question.from)));
        };
        let wanted = (first..leaves.count()).take_while(|leaf| leaves.range(*leaf).start < until);
        let mut wanted: VecDeque<(Cid, Range<u64>)> =
            wanted.map(|leaf| (leaves.cid(leaf), leaves.range(leaf))).collect();
        let from = question.from;
        let mut coming = OrderedBlocks::new(self);
        // The first block decides whether this gateway has the file at all.
        coming.ask(wanted.iter().map(|(cid, _)| *cid));
        let first = coming.next_block().await?;
        let cut = move |block: Bytes, range: Range<u64>| {
            let (skip, end) = (from.max(range.start) - range.start, until.min(range.end) - range.start);
            // Proven by its CID, so its length is the leaf's, unless the root is not that of a file.
            let (skip, end) = (skip as usize, end as usize);
            if end > block.len() {
                Err(Miss::Broken("a leaf is shorter than its root says".to_owned()))
            } else {
                Ok(block.slice(skip..end))
            }
        };
        let (_, range) = wanted.pop_front().expect("the leaf at `from`");
        let first = cut(first, range)?;
        let rest = stream::try_unfold((coming, wanted), move |(mut coming, mut wanted)| async move {
            if wanted.is_empty() {
                return Ok(None);
            }
            coming.ask(wanted.iter().map(|(cid, _)| *cid));
            let Some(block) = coming.next().await? else { return Ok(Some((Bytes::new(), (coming, wanted)))) };
            let (_, range) = wanted.pop_front().expect("it is not empty");
            Ok(Some((cut(block, range)?, (coming, wanted))))
        });
        let body = stream::once(async { Ok(first) }).chain(rest);
        Ok(SourceAnswer::Bytes { start: from, size: Some(size), modified: None, body: body.boxed_local() })
    }

    /// Streams the whole file, in any DAG shape.
    async fn whole(&self) -> Result<SourceAnswer<'_>, Miss> {
        let (mut walk, mut coming) = (Walk::new(self.cid, self.most), OrderedBlocks::new(self));
        // The first block decides whether this gateway has the file at all.
        coming.ask(walk.wants());
        let first = coming.next_block().await?;
        // The block is the one that its CID names: if it is no part of this file, that is not the gateway's fault.
        let push = |walk: &mut Walk, block: &Bytes| {
            Ok(match walk.push(block).map_err(|e| Miss::Broken(e.to_string()))? {
                Cow::Borrowed(bytes) => block.slice_ref(bytes),
                Cow::Owned(bytes) => bytes.into(),
            })
        };
        let first: Bytes = push(&mut walk, &first)?;
        let size = walk.size();
        let rest = stream::try_unfold((walk, coming), move |(mut walk, mut coming)| async move {
            if walk.is_done() {
                return Ok(None);
            }
            coming.ask(walk.wants());
            let Some(block) = coming.next().await? else { return Ok(Some((Bytes::new(), (walk, coming)))) };
            Ok(Some((push(&mut walk, &block)?, (walk, coming))))
        });
        let body = stream::iter((!first.is_empty()).then_some(Ok(first))).chain(rest);
        Ok(SourceAnswer::Bytes { start: 0, size, modified: None, body: body.boxed_local() })
    }

    async fn block(&self, cid: Cid) -> Result<Vec<u8>, Miss> {
        raw_block(self.http, &self.gateway, cid, false, &|_| ()).await
    }
}

impl Source for GatewayFile<'_> {
    fn kind(&self) -> SourceKind {
        SourceKind::Gateway
    }

    fn place(&self) -> String {
        http::host(&self.gateway)
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}

/// A block and the time of its first byte.
type Begun = (Instant, Vec<u8>);

/// Blocks in transit, in the order in which they are needed.
struct OrderedBlocks<'a> {
    file: &'a GatewayFile<'a>,
    ahead: Ahead,
    asked: VecDeque<Cid>,
    blocks: FuturesOrdered<Local<'a, Result<Begun, Miss>>>,
    /// Bytes that have come since `told`.
    moved: Rc<Cell<u64>>,
    /// When it was last looked whether bytes come.
    told: Instant,
    /// When the last block came.
    last: Instant,
    /// Whether the first block has come: it is the root, and small.
    has_begun: bool,
}

impl<'a> OrderedBlocks<'a> {
    fn new(file: &'a GatewayFile<'a>) -> Self {
        Self {
            file,
            ahead: Ahead::new(AT_ONCE, SPAN),
            asked: VecDeque::new(),
            blocks: FuturesOrdered::new(),
            moved: Rc::default(),
            told: Instant::now(),
            last: Instant::now(),
            has_begun: false,
        }
    }

    /// Asks for the first of these, as many as may be under way.
    fn ask(&mut self, wanted: impl Iterator<Item = Cid>) {
        // A node's children come before blocks requested ahead: then the order is built anew.
        let wanted: Vec<Cid> = wanted.take(self.ahead.count().max(self.asked.len())).collect();
        if !self.asked.iter().zip(&wanted).all(|(asked, wanted)| asked == wanted) {
            self.asked.clear();
            self.blocks = FuturesOrdered::new();
        }
        for cid in &wanted[self.asked.len().min(wanted.len())..] {
            let (cid, file, moved) = (*cid, self.file, Rc::clone(&self.moved));
            self.blocks.push_back(Box::pin(async move {
                let begun = Cell::new(None);
                let tell = |bytes| {
                    begun.set(begun.get().or(Some(Instant::now())));
                    moved.set(moved.get() + bytes);
                };
                let block = raw_block(file.http, &file.gateway, cid, false, &tell).await?;
                Ok((begun.get().unwrap_or_else(Instant::now), block))
            }));
            self.asked.push_back(cid);
        }
    }

    /// The next block; `None` when all that is known is that more of it has come, fast enough.
    async fn next(&mut self) -> Result<Option<Bytes>, Miss> {
        loop {
            let look = tokio::time::sleep_until(self.told + STILL);
            tokio::select! {
                biased;
                block = self.blocks.next() => {
                    let (begun, block) = block.expect("an unfinished file wants a block")?;
                    self.asked.pop_front();
                    self.last = Instant::now();
                    if std::mem::replace(&mut self.has_begun, true) {
                        self.ahead.arrived(begun, self.last);
                    }
                    return Ok(Some(block.into()));
                }
                () = look => {
                    let (bytes, took) = (self.moved.take(), self.told.elapsed());
                    self.told = Instant::now();
                    if bytes as f64 >= FLOOR * took.as_secs_f64() && self.last.elapsed() < LONGEST {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn next_block(&mut self) -> Result<Bytes, Miss> {
        loop {
            if let Some(block) = self.next().await? {
                return Ok(block);
            }
        }
    }
}

/// Fetches one block and proves it. At most `BLOCK_MOST` bytes. `moved` is told how many bytes have come, each time some do.
pub async fn raw_block(
    http: &Http,
    gateway: &Url,
    cid: Cid,
    direct: bool,
    moved: &dyn Fn(u64),
) -> Result<Vec<u8>, Miss> {
    block_at(http, &block_url(gateway, cid), cid, direct, moved).await
}

/// Returns the URL of a block at a gateway.
pub fn block_url(gateway: &Url, cid: Cid) -> Url {
    below(gateway, &format!("/ipfs/{cid}?format=raw"))
}

/// Fetches the block `cid` from `url` and proves it. At most `BLOCK_MOST` bytes. `moved` is told how many bytes have come,
/// each time some do.
pub async fn block_at(http: &Http, url: &Url, cid: Cid, direct: bool, moved: &dyn Fn(u64)) -> Result<Vec<u8>, Miss> {
    let ask = GetOptions { accept: Some("application/vnd.ipld.raw"), direct, ..GetOptions::default() };
    let mut response = http.ask(url, &ask).await?;
    let code = format!("HTTP {}", response.status().as_u16());
    match response.status() {
        StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {}
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::GATEWAY_TIMEOUT => return Err(Miss::Absent(code)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = http::text(response.headers(), reqwest::header::RETRY_AFTER).map(retry_after);
            return Err(Miss::Busy(code, after.unwrap_or_default()));
        }
        _ => return Err(Miss::Broken(code)),
    }
    let mut block = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| Miss::Broken(http::reason(&e)))? {
        if block.len() + piece.len() > BLOCK_MOST {
            return Err(Miss::Corrupt(format!("a block of more than {BLOCK_MOST} bytes")));
        }
        moved(piece.len() as u64);
        block.extend_from_slice(&piece);
    }
    if !cid.proves(&block) {
        return Err(Miss::Corrupt(format!("sent another block than {cid}")));
    }
    Ok(block)
}
