//! A trustless HTTP gateway: one raw block a request, each proven by its CID before it counts.
//!
//! Spec: trustless gateway, `GET /ipfs/{cid}?format=raw` (ipfs/specs, src/http-gateways/trustless-gateway.md).
//! Several blocks are in transit at once. Directories give an error that names them.

use std::collections::VecDeque;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use reqwest::{StatusCode, Url};

use crate::cid::{Cid, Codec};
use crate::config::value::below;
use crate::dag::MAX_BLOCK;
use crate::dag::proof::Leaves;
use crate::dag::walk::Walk;
use crate::http::range::retry_after;
use crate::http::{self, GetOptions, Http};
use crate::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};

/// Blocks requested at the same time: enough for 100 ms at 40 MB/s with blocks of 1 MiB, few enough not to be a
/// burden.
const AT_ONCE: usize = 4;

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
        let wanted: Vec<(Cid, std::ops::Range<u64>)> =
            wanted.map(|leaf| (leaves.cid(leaf), leaves.range(leaf))).collect();
        let from = question.from;
        let blocks = stream::iter(wanted).map(move |(cid, range)| async move {
            let block = bytes::Bytes::from(self.block(cid).await?);
            let (skip, end) = (from.max(range.start) - range.start, until.min(range.end) - range.start);
            // Proven by its CID, so its length is the leaf's, unless the root is not that of a file.
            let (skip, end) = (skip as usize, end as usize);
            if end > block.len() {
                Err(Miss::Broken("a leaf is shorter than its root says".to_owned()))
            } else {
                Ok(block.slice(skip..end))
            }
        });
        let mut body = blocks.buffered(AT_ONCE).boxed_local();
        // The first block decides whether this gateway has the file at all.
        let first = body.next().await.transpose()?;
        let body = stream::iter(first.map(Ok)).chain(body);
        Ok(SourceAnswer::Bytes { start: from, size: Some(size), modified: None, body: body.boxed_local() })
    }

    /// Streams the whole file, in any DAG shape.
    async fn whole(&self) -> Result<SourceAnswer<'_>, Miss> {
        let mut blocks = BlockWalk {
            file: self,
            walk: Walk::new(self.cid, self.most),
            asked: VecDeque::new(),
            coming: FuturesOrdered::new(),
        };
        // The first block decides whether this gateway has the file at all.
        let first = blocks.next().await?;
        let size = blocks.walk.size();
        let rest = stream::try_unfold(blocks, |mut blocks| async move {
            loop {
                if blocks.walk.is_done() {
                    return Ok(None);
                }
                let bytes = blocks.next().await?;
                if !bytes.is_empty() {
                    return Ok(Some((bytes, blocks)));
                }
            }
        });
        let body = stream::iter((!first.is_empty()).then_some(Ok(first))).chain(rest);
        Ok(SourceAnswer::Bytes { start: 0, size, modified: None, body: body.boxed_local() })
    }

    async fn block(&self, cid: Cid) -> Result<Vec<u8>, Miss> {
        raw_block(self.http, &self.gateway, cid, false).await
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

/// The walk over the DAG and its blocks in transit.
struct BlockWalk<'a> {
    file: &'a GatewayFile<'a>,
    walk: Walk,
    asked: VecDeque<Cid>,
    coming: FuturesOrdered<Local<'a, Result<Vec<u8>, Miss>>>,
}

impl BlockWalk<'_> {
    /// Takes the next block in order and returns its bytes of the file, which may be none.
    async fn next(&mut self) -> Result<bytes::Bytes, Miss> {
        // A node's children come before blocks requested ahead: then the order is built anew.
        let wanted: Vec<Cid> = self.walk.wants().take(AT_ONCE).collect();
        if !self.asked.iter().zip(&wanted).all(|(asked, wanted)| asked == wanted) {
            self.asked.clear();
            self.coming = FuturesOrdered::new();
        }
        for cid in &wanted[self.asked.len().min(wanted.len())..] {
            self.coming.push_back(self.file.block(*cid).boxed_local());
            self.asked.push_back(*cid);
        }
        let block = self.coming.next().await.expect("an unfinished walk wants a block")?;
        self.asked.pop_front();
        // The block matches its CID: if it is no part of this file, that is not the gateway's fault.
        let bytes = self.walk.push(&block).map_err(|e| Miss::Broken(e.to_string()))?;
        Ok(bytes::Bytes::copy_from_slice(&bytes))
    }
}

/// Fetches one block and proves it. At most `MAX_BLOCK` bytes.
pub async fn raw_block(http: &Http, gateway: &Url, cid: Cid, direct: bool) -> Result<Vec<u8>, Miss> {
    block_at(http, &block_url(gateway, cid), cid, direct).await
}

/// Returns the URL of a block at a gateway.
pub fn block_url(gateway: &Url, cid: Cid) -> Url {
    below(gateway, &format!("/ipfs/{cid}?format=raw"))
}

/// Fetches the block `cid` from `url` and proves it. At most `MAX_BLOCK` bytes.
pub async fn block_at(http: &Http, url: &Url, cid: Cid, direct: bool) -> Result<Vec<u8>, Miss> {
    let ask = GetOptions { accept: Some("application/vnd.ipld.raw"), direct, ..GetOptions::default() };
    let mut response = http.ask(url, &ask).await?;
    let code = format!("HTTP {}", response.status().as_u16());
    match response.status() {
        StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {}
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::GATEWAY_TIMEOUT => return Err(Miss::Absent(code)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = http::text(response.headers(), reqwest::header::RETRY_AFTER).unwrap_or("60");
            return Err(Miss::Busy(code, retry_after(after)));
        }
        _ => return Err(Miss::Broken(code)),
    }
    let mut block = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| Miss::Broken(http::reason(&e)))? {
        if block.len() + piece.len() > MAX_BLOCK {
            return Err(Miss::Corrupt(format!("a block of more than {MAX_BLOCK} bytes")));
        }
        block.extend_from_slice(&piece);
    }
    if !cid.proves(&block) {
        return Err(Miss::Corrupt(format!("sent another block than {cid}")));
    }
    Ok(block)
}
