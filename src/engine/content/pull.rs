//! A file put together from single blocks, in its order, several of them under way at once.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::cid::Cid;
use crate::base::ordered::OrderedFutures;
use crate::dag::DagError;
use crate::engine::content::block_sources::{BlockSource, BlockSources, Came, Misses};
use crate::engine::content::kept::PartialFile;
use crate::engine::source::window::RequestWindow;
use crate::trust::verify::{Verified, Walked};

/// Most blocks on their way at once.
const AT_ONCE: usize = 8;

/// Largest file that is fetched by its CID alone.
const MOST: u64 = 64 << 30;

/// The reason why the file did not come.
pub(super) enum PullError {
    /// A block is nowhere.
    Nowhere(Misses),
    /// The CID is not that of a file.
    Content(DagError),
    /// This machine cannot write it.
    Local(io::Error),
}

/// A file that is here.
pub(super) struct Pulled {
    /// The proof of its bytes.
    pub(crate) proof: Verified,
    /// Bytes of it that did not lie here already.
    pub(crate) fetched: u64,
}

/// Fetches the file `cid` into `to`. `show` is told how many bytes are there, and of how many. As many blocks are
/// under way as come within `span`.
pub(super) async fn pull<P: BlockSource>(
    sources: &BlockSources<P>,
    cid: Cid,
    to: &PartialFile<'_>,
    span: Duration,
    mut show: impl FnMut(u64, Option<u64>),
) -> Result<Pulled, PullError> {
    let mut walked = Walked::new(cid, MOST);
    let mut coming = BlocksComing::new(sources, cid, span);
    let (mut at, mut fetched) = (0, 0);
    while let Some(next) = walked.next_cid() {
        let kept = walked.next_size().filter(|_| !coming.blocks.has(next)).and_then(|size| to.block(next, at, size));
        let (block, begun) = match kept {
            Some(block) => (block, None),
            None => {
                coming.ask(walked.wants());
                let Came { block, begun } = coming.wait(next).await.map_err(PullError::Nowhere)?;
                (block, Some(begun))
            }
        };
        let bytes = walked.push(&block).map_err(PullError::Content)?;
        // What is owned holds more than this block: pieces that their CIDs hold themselves.
        if begun.is_some() || matches!(bytes, Cow::Owned(_)) {
            to.write(&bytes, at).map_err(PullError::Local)?;
        }
        if begun.is_some() {
            fetched += bytes.len() as u64;
        }
        at += bytes.len() as u64;
        show(at, walked.size());
        // A block that occurs twice need not come twice.
        if let Some(begun) = begun.filter(|_| walked.next_cid() == Some(next)) {
            coming.blocks.put(next, Ok(Came { block, begun }));
        }
    }
    Ok(Pulled { proof: walked.finish(), fetched })
}

/// Blocks that are under way, and those that came before their turn.
struct BlocksComing<'a, P> {
    sources: &'a BlockSources<P>,
    root: Cid,
    window: RequestWindow,
    blocks: OrderedFutures<'a, Cid, Result<Came, Misses>>,
    refusals: u32,
}

impl<'a, P: BlockSource> BlocksComing<'a, P> {
    fn new(sources: &'a BlockSources<P>, root: Cid, span: Duration) -> Self {
        Self {
            sources,
            root,
            window: RequestWindow::new(AT_ONCE, span),
            blocks: OrderedFutures::default(),
            refusals: 0,
        }
    }

    /// Asks for the first of these, as many as may be under way.
    fn ask(&mut self, wanted: impl Iterator<Item = Cid>) {
        let sources = self.sources;
        self.blocks.ask(wanted, self.window.count(), |cid| sources.block(cid));
    }

    /// Waits for a block that was asked for.
    async fn wait(&mut self, cid: Cid) -> Result<Came, Misses> {
        loop {
            if let Some(came) = self.blocks.take(cid) {
                return came;
            }
            let (other, came) = self.blocks.arrival().await.expect("it was asked for");
            // The root is small, and tells nothing about the line.
            if let Ok(came) = came
                && other != self.root
            {
                self.window.arrived(came.begun, Instant::now());
            }
            let refusals = self.sources.refusals();
            if std::mem::replace(&mut self.refusals, refusals) != refusals {
                self.window.refused();
            }
        }
    }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
