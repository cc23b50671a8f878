//! A trustless HTTP gateway: one raw block a request, each proven by its CID before it counts.
//!
//! Spec: trustless gateway, `GET /ipfs/{cid}?format=raw` (ipfs/specs, src/http-gateways/trustless-gateway.md).
//! Several blocks are in transit at once. Directories give an error that names them.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use crate::base::cid::{Cid, Codec};
use crate::base::ordered::OrderedFutures;
use crate::dag::proof::Leaves;
use crate::dag::walk::Walk;
use crate::engine::source::window::RequestWindow;
use crate::engine::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};
use crate::net::http::block::{BLOCK_TYPE, BlockError, block_url, read_block};
use crate::net::http::range::retry_after;
use crate::net::http::{self, GetOptions, Http};

/// Most blocks requested at the same time: enough for 100 ms at 40 MB/s with blocks of 1 MiB, few enough not to be a
/// burden.
const AT_ONCE: usize = 4;

/// Time in which the blocks under way are expected: below the usual stall clock.
const SPAN: Duration = Duration::from_secs(3);

/// Interval between notes that a block is coming.
const STILL: Duration = Duration::from_secs(1);

/// Bytes a second below which that is not told, and the longest time for a block that it is told of: 2 MiB at this
/// rate. Origin: the default of `download.floor`.
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
        let mut coming = BlocksInOrder::new(self);
        // The first block decides whether this gateway has the file at all.
        coming.ask(wanted.iter().map(|(cid, _)| *cid));
        let first = coming.first(leaves.cid(first)).await?;
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
        let (cid, range) = wanted.pop_front().expect("the leaf at `from`");
        coming.again(wanted.front().map(|(next, _)| *next), cid, first.clone());
        let first = cut(first, range)?;
        let rest = stream::try_unfold((coming, wanted), move |(mut coming, mut wanted)| async move {
            let Some((next, _)) = wanted.front() else { return Ok(None) };
            let next = *next;
            coming.ask(wanted.iter().map(|(cid, _)| *cid));
            let Some(block) = coming.next(next).await? else { return Ok(Some((Bytes::new(), (coming, wanted)))) };
            let (_, range) = wanted.pop_front().expect("it is not empty");
            coming.again(wanted.front().map(|(cid, _)| *cid), next, block.clone());
            Ok(Some((cut(block, range)?, (coming, wanted))))
        });
        let body = stream::once(async { Ok(first) }).chain(rest);
        Ok(SourceAnswer::Bytes { start: from, size: Some(size), modified: None, body: body.boxed_local() })
    }

    /// Streams the whole file, in any DAG shape.
    async fn whole(&self) -> Result<SourceAnswer<'_>, Miss> {
        let (mut walk, mut coming) = (Walk::new(self.cid, self.most), BlocksInOrder::new(self));
        // The first block decides whether this gateway has the file at all.
        coming.ask(walk.wants());
        let first = coming.first(self.cid).await?;
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
            let Some(next) = walk.next_cid() else { return Ok(None) };
            coming.ask(walk.wants());
            let Some(block) = coming.next(next).await? else { return Ok(Some((Bytes::new(), (walk, coming)))) };
            let bytes = push(&mut walk, &block)?;
            coming.again(walk.next_cid(), next, block);
            Ok(Some((bytes, (walk, coming))))
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

    fn location(&self) -> String {
        http::host(&self.gateway)
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}

/// A block and the time of its first byte.
type Begun = (Instant, Bytes);

/// Blocks in transit, in the order in which they are needed.
struct BlocksInOrder<'a> {
    file: &'a GatewayFile<'a>,
    window: RequestWindow,
    blocks: OrderedFutures<'a, Cid, Result<Begun, Miss>>,
    /// Bytes that have come since `told`.
    moved: Rc<Cell<u64>>,
    /// The last time when it was checked that bytes come.
    told: Instant,
    /// The time when the last block came.
    last: Instant,
    /// True after the first block: it is the root, and small.
    has_begun: bool,
}

impl<'a> BlocksInOrder<'a> {
    fn new(file: &'a GatewayFile<'a>) -> Self {
        Self {
            file,
            window: RequestWindow::new(AT_ONCE, SPAN),
            blocks: OrderedFutures::default(),
            moved: Rc::default(),
            told: Instant::now(),
            last: Instant::now(),
            has_begun: false,
        }
    }

    /// Asks for the first of these, as many as may be under way.
    fn ask(&mut self, wanted: impl Iterator<Item = Cid>) {
        let (file, moved) = (self.file, &self.moved);
        self.blocks.ask(wanted, self.window.count(), |cid| {
            let moved = Rc::clone(moved);
            async move {
                let begun = Cell::new(None);
                let tell = |bytes| {
                    begun.set(begun.get().or(Some(Instant::now())));
                    moved.set(moved.get() + bytes);
                };
                let block = raw_block(file.http, &file.gateway, cid, false, &tell).await?;
                Ok((begun.get().unwrap_or_else(Instant::now), block.into()))
            }
        });
    }

    /// Waits for the block `cid`, which was asked for; `None` when all that is known is that more of it has come, fast
    /// enough.
    async fn next(&mut self, cid: Cid) -> Result<Option<Bytes>, Miss> {
        loop {
            if let Some(came) = self.blocks.take(cid) {
                return came.map(|(_, block)| Some(block));
            }
            let look = tokio::time::sleep_until(self.told + STILL);
            tokio::select! {
                biased;
                came = self.blocks.arrival() => {
                    let (_, came) = came.expect("it was asked for");
                    if let Ok((begun, _)) = came {
                        self.last = Instant::now();
                        if std::mem::replace(&mut self.has_begun, true) {
                            self.window.arrived(*begun, self.last);
                        }
                    }
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

    /// Keeps a block that occurs twice in a row: it need not come twice.
    fn again(&mut self, next: Option<Cid>, cid: Cid, block: Bytes) {
        if next == Some(cid) {
            self.blocks.put(cid, Ok((Instant::now(), block)));
        }
    }

    /// Waits for the first block, however long it takes.
    async fn first(&mut self, cid: Cid) -> Result<Bytes, Miss> {
        loop {
            if let Some(block) = self.next(cid).await? {
                return Ok(block);
            }
        }
    }
}

/// Fetches one block and proves it. `moved` is told how many bytes have come, each time some do.
pub(crate) async fn raw_block(
    http: &Http,
    gateway: &Url,
    cid: Cid,
    direct: bool,
    moved: &dyn Fn(u64),
) -> Result<Vec<u8>, Miss> {
    block_at(http, &block_url(gateway, cid), cid, direct, moved).await
}

/// Fetches the block `cid` from `url` and proves it. `moved` is told how many bytes have come,
/// each time some do.
pub(crate) async fn block_at(
    http: &Http,
    url: &Url,
    cid: Cid,
    direct: bool,
    moved: &dyn Fn(u64),
) -> Result<Vec<u8>, Miss> {
    let ask = GetOptions { accept: Some(BLOCK_TYPE), direct, ..GetOptions::default() };
    let response = http.ask(url, &ask).await?;
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
    read_block(response, cid, moved).await.map_err(|e| match e {
        BlockError::Transport(e) => Miss::Broken(http::reason(&e)),
        BlockError::TooLong | BlockError::Other(_) => Miss::Corrupt(e.to_string()),
    })
}
