//! The leaves of a file with a known root: they prove single parts of it, from any source.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use reqwest::Url;

use crate::base::cid::Cid;
use crate::dag::proof::Leaves;
use crate::engine::source::Local;
use crate::engine::source::gateway::block_at;
use crate::engine::source::kubo::NEAR;
use crate::net::http::Http;

/// Longest wait for the root block from one source: without it the file is still fetched, but less of it is kept.
const PATIENCE: Duration = Duration::from_secs(2);

/// A provider of the leaves of one file.
pub trait Roots {
    /// Fetches the leaves, when the root block is available and describes a file in one level. Bounded in time.
    fn leaves(&self) -> Local<'_, Option<Arc<Leaves>>>;
}

/// The sources that may have the root block: gateways, and the plain copies of indexes.
pub(crate) struct RootBlock<'a> {
    http: &'a Http,
    /// The URLs to try. The flag marks Kubo's own gateway on loopback, which may ask only its connected peers.
    urls: Vec<(Url, bool)>,
    root: Cid,
    size: u64,
}

impl<'a> RootBlock<'a> {
    /// Prepares to fetch the root block of the file `root` of `size` bytes.
    pub(crate) fn new(http: &'a Http, urls: Vec<(Url, bool)>, root: Cid, size: u64) -> Self {
        Self { http, urls, root, size }
    }

    async fn fetch(&self) -> Option<Arc<Leaves>> {
        for (url, is_kubo) in &self.urls {
            let asked = block_at(self.http, url, self.root, *is_kubo, &|_| ());
            let patience = if *is_kubo { NEAR } else { PATIENCE };
            let Ok(Ok(block)) = tokio::time::timeout(patience, asked).await else { continue };
            if let Ok(leaves) = Leaves::from_root(self.root, &block, Some(self.size)) {
                return Some(Arc::new(leaves));
            }
        }
        None
    }
}

impl Roots for RootBlock<'_> {
    fn leaves(&self) -> Local<'_, Option<Arc<Leaves>>> {
        self.fetch().boxed_local()
    }
}
