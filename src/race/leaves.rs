//! The leaves of a file whose root is known, fetched only when something went wrong: they tell how far the bytes are good.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::OnceCell;

use crate::cid::Cid;
use crate::dag::proof::Leaves;
use crate::http::Http;
use crate::source::gateway::raw_block;

/// Longest wait for the root block: without it the file is fetched all the same, only less is kept.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the root block can be had.
pub struct LeafTable<'a> {
    http: &'a Http,
    /// Gateways that may have it; the flag says that it is on loopback.
    gateways: Vec<(Url, bool)>,
    root: Cid,
    size: u64,
    leaves: OnceCell<Option<Arc<Leaves>>>,
}

impl<'a> LeafTable<'a> {
    /// The leaves of the file `root` of `size` bytes.
    pub fn new(http: &'a Http, gateways: Vec<(Url, bool)>, root: Cid, size: u64) -> Self {
        Self { http, gateways, root, size, leaves: OnceCell::new() }
    }

    /// How many of the first `len` bytes of `partial` are proven, in whole leaves. `None` without a root block.
    pub async fn proven_prefix(&self, partial: &File, len: u64) -> Option<u64> {
        let leaves = self.leaves.get_or_init(|| self.fetch()).await.as_ref()?;
        leaves.proven_prefix(FromStart { file: partial, at: 0 }.take(len)).ok()
    }

    async fn fetch(&self) -> Option<Arc<Leaves>> {
        if let Ok(only) = Leaves::single(self.root, self.size) {
            return Some(Arc::new(only));
        }
        for (gateway, direct) in &self.gateways {
            let asked = raw_block(self.http, gateway, self.root, *direct);
            let Ok(Ok(block)) = tokio::time::timeout(PATIENCE, asked).await else { continue };
            if let Ok(leaves) = Leaves::from_root(self.root, &block, Some(self.size)) {
                return Some(Arc::new(leaves));
            }
        }
        None
    }
}

/// Reads a file from its start, whatever its own position is.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl std::io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
