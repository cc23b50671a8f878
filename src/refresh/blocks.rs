//! Blocks of an index: its root, its manifest, its signature. Each is known by its CID alone, so any source may
//! deliver it, for any way that named it, and refreshes that want the same one share a transfer of the hub.
//!
//! The search for a block (`content/block_sources.rs`) asks the nearest source first; the next one joins when it fails
//! or takes a second, so that a slow or hanging source costs that and not the refresh.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::copy::PlainCopy;
use super::tally::Tally;
use super::{RefreshError, RefreshMeans, RefreshTarget, Work};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::name::FileName;
use crate::engine::content::block_sources::{BlockSource, BlockSources, Clocks};
use crate::engine::content::configured::ContentSource;
use crate::engine::deliver::{Delivery, Obtained, Purpose, Receipt};
use crate::engine::hub;
use crate::engine::source::neighbours::LanClient;
use crate::engine::source::{Local, Miss};
use crate::net::http::host;
use crate::store::journal::FileOrigin;
use crate::trust::verify::{self, Accepted};

/// Time to wait for a source before the next one joins.
const HEDGE: Duration = Duration::from_secs(1);

/// The path of each block in a plain copy, and the most bytes that it may have.
pub(super) type BlockPaths = RefCell<HashMap<Cid, (&'static str, usize)>>;

/// A source of the blocks of one index.
pub(super) struct IndexSource<'a> {
    name: String,
    transport: IndexTransport<'a>,
    tally: Rc<Tally>,
}

enum IndexTransport<'a> {
    /// By CID.
    Blocks(ContentSource),
    /// By path.
    Copy(PlainCopy<'a>, Rc<BlockPaths>),
}

/// Lists the sources of blocks, nearest first. `deadline` is that of the refresh.
pub(super) fn sources<'a>(
    target: &'a RefreshTarget,
    means: &RefreshMeans,
    paths: &Rc<BlockPaths>,
    tally: &Rc<Tally>,
    deadline: Duration,
) -> BlockSources<IndexSource<'a>> {
    let (machine, http) = (&means.machine, || Rc::clone(&means.machine.http));
    let source = |name: String, transport| IndexSource { name, transport, tally: Rc::clone(tally) };
    let by_cid = |name: String, content| source(name, IndexTransport::Blocks(content));
    let lan = target.lan.as_ref().map(|socket| by_cid("lan".to_owned(), ContentSource::Lan(LanClient::at(socket))));
    let kubo = machine.asks_kubo().then(|| ContentSource::Kubo(http(), machine.settings.gateway_url()));
    let kubo = kubo.map(|kubo| by_cid("kubo".to_owned(), kubo));
    let copies = target.urls.iter().map(|url| {
        let copy = PlainCopy::at(url, &means.client, tally);
        source("url".to_owned(), IndexTransport::Copy(copy, Rc::clone(paths)))
    });
    let gateways = target.gateways.iter().map(|url| by_cid(host(url), ContentSource::Gateway(http(), url.clone())));
    let list = lan.into_iter().chain(kubo).chain(copies).chain(gateways).collect();
    BlockSources::new(list, Clocks { stall: HEDGE, patience: deadline, floor: 0 })
}

impl IndexSource<'_> {
    async fn get(&self, cid: Cid) -> Result<Vec<u8>, Miss> {
        match &self.transport {
            IndexTransport::Blocks(content) => content.block(cid, &|moved| self.tally.count(moved)).await,
            IndexTransport::Copy(copy, paths) => {
                let at = paths.borrow().get(&cid).copied();
                let (path, most) = at.ok_or_else(|| Miss::Absent("it has no path".to_owned()))?;
                let bytes = copy.get(path, most).await.map_err(super::copy::CopyError::miss)?;
                if cid.proves(&bytes) {
                    return Ok(bytes);
                }
                let (found, expected) = (Sha256::of(&bytes).short(), cid.digest().short());
                Err(Miss::Corrupt(format!("sha256 {found}, expected {expected}")))
            }
        }
    }
}

impl BlockSource for IndexSource<'_> {
    fn label(&self) -> String {
        self.name.clone()
    }

    fn line(&self, miss: &Miss) -> String {
        format!("{}: {miss}", self.name)
    }

    fn is_flowing(&self) -> bool {
        false
    }

    /// Tells no bytes: else a source that trickles would keep the next one from being asked
    /// (`tests/cases/index_lan.rs`).
    fn block<'a>(&'a self, cid: Cid, _moved: &'a dyn Fn(u64)) -> Local<'a, Result<Vec<u8>, Miss>> {
        self.get(cid).boxed_local()
    }
}

impl Work<'_> {
    /// Returns the block `cid` of at most `most` bytes, from the copy that is here or from the first source that
    /// delivers it. `path` is its place in a plain copy.
    pub(super) async fn block(&self, cid: Cid, path: &'static str, most: usize) -> Result<Vec<u8>, RefreshError> {
        if let Some(bytes) = self.at_hand(cid, path) {
            return Ok(bytes);
        }
        let cell = self.blocks.borrow_mut().entry(cid).or_default().clone();
        cell.get_or_try_init(|| self.shared(cid, path, most)).await.cloned()
    }

    /// Returns a block that is here already, as most of an unchanged index is.
    fn at_hand(&self, cid: Cid, path: &str) -> Option<Vec<u8>> {
        let held = self.held.as_ref()?;
        let bytes = match path {
            "pkgswarm.json" => Some(held.bytes.clone()),
            "pkgswarm.json.minisig" => held.proof("minisig"),
            "pkgswarm.root" => held.proof("root"),
            _ => None,
        };
        bytes.filter(|bytes| cid.proves(bytes))
    }

    /// Returns a block by the hub's transfer of it.
    async fn shared(&self, cid: Cid, path: &'static str, most: usize) -> Result<Vec<u8>, RefreshError> {
        let name = FileName::new(path).map_err(|why| RefreshError::Failed(why.to_string()))?;
        self.paths.borrow_mut().insert(cid, (path, most));
        let wanted = hub::Wanted { key: Some(cid.digest()), name: &name, purpose: Purpose::Refresh };
        let found = hub::obtain(&self.means.hub, &mut self.call(), wanted, async |_| self.found(cid, path).await).await;
        let obtained = found.result.map_err(|error| RefreshError::Failed(format!("{path}: {}", said(&error))))?;
        let size = obtained.accepted.size();
        if size > most as u64 {
            return Err(RefreshError::Failed(format!("{path}: longer than {most} bytes")));
        }
        fsx::read_part(&obtained.file, 0, size).map_err(|e| RefreshError::Failed(format!("{path}: {e}")))
    }

    async fn found(&self, cid: Cid, path: &str) -> Delivery<Obtained> {
        Delivery::of(async |_: &mut Receipt| {
            let came = self.sources.block(cid).await.map_err(|misses| {
                let none = match misses.is_empty() {
                    true => "no source for content ids is configured",
                    false => "no source delivered it",
                };
                let error = Error::new(ErrorKind::NoSource, path, none);
                misses.iter().fold(error, |error, (index, miss)| error.tried(self.sources.list[*index].line(miss)))
            })?;
            let file = fsx::in_memory(&came.block).map_err(|e| Error::local(path, e))?;
            let proof = verify::prove(&file, cid.digest(), came.block.len() as u64);
            let proof = proof.map_err(|e| Error::new(ErrorKind::Corrupt, path, e))?;
            Ok(Obtained::new(file, Accepted::Proven(proof), FileOrigin::default()))
        })
        .await
    }
}

/// Returns what each source said, else the error itself.
fn said(error: &Error) -> String {
    if error.tried.is_empty() { error.message.clone() } else { error.tried.join("; ") }
}
