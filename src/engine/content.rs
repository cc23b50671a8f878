//! A file by its CID alone: block by block from neighbours, Kubo or gateways, each block proven before the next
//! one is read.
//!
//! Works for every shape in which files are published (CIDv0, small chunks, several levels). A path below a
//! directory is followed here as well, so that no gateway can lead to another file.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::dag::DagError;
use crate::dag::dir::{DirectorySearch, SearchState};
use crate::engine::address::Address;
use crate::engine::content::block_sources::{BlockSource as _, BlockSources, Clocks, Misses};
use crate::engine::content::configured::{ContentSource, configured};
use crate::engine::content::kept::PartialFile;
use crate::engine::content::pull::{PullError, Pulled, pull};
use crate::engine::deliver::{Delivery, Obtained, Receipt};
use crate::engine::source::kubo::{ask_cached, has_it};
use crate::engine::source::{self, Miss};
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::store::journal::FileOrigin;
use crate::trust::verify::Accepted;

pub(crate) mod block_sources;
pub(crate) mod configured;
mod kept;
mod pull;

/// Fetches the file at `address`, and returns its own CID as well. The beginning that has come stays in the store when
/// that fails or is interrupted. Blocks that Kubo fetches for it count against `kubo.keep`.
///
/// # Errors
/// `NoSource` and `Corrupt` when a block of it is nowhere: trying again may help. `Interrupted`. `Local` when it cannot be
/// written.
pub(crate) async fn content(
    call: &Call,
    address: &Address,
    forced: Option<source::SourceKind>,
) -> Delivery<(Cid, Obtained)> {
    Delivery::of(async |receipt: &mut Receipt| by_blocks(call, address, forced, receipt).await).await
}

async fn by_blocks(
    call: &Call,
    address: &Address,
    forced: Option<source::SourceKind>,
    receipt: &mut Receipt,
) -> Result<(Cid, Obtained), Error> {
    let machine = &*call.machine;
    let settings = &machine.settings;
    let clocks = Clocks { stall: settings.stall, patience: settings.patience, floor: settings.floor };
    let list = configured(machine, forced);
    let name = address.name();
    let is_here = address.path.is_empty() && address.cid.inline().is_some();
    if list.is_empty() && !is_here {
        return Err(Error::new(ErrorKind::NoSource, &name, "no source for content ids is configured")
            .hint("start Kubo or pkgswarm daemon, or name a trustless gateway in gateways.urls"));
    }
    let store = Arc::clone(&machine.store);
    let local = |e: std::io::Error| Error::local(store.dir().display(), e);
    let interrupted = |note: &str| Error::new(ErrorKind::Interrupted, &name, format!("interrupted{note}"));
    let sources = BlockSources::new(list, clocks).telling(Rc::clone(&call.listener));
    let resolving = async {
        let cid = resolve(&sources, address).await?;
        let had_it = kubo_has(machine, &sources, cid).await;
        Ok::<_, Error>((cid, had_it))
    };
    let resolved = call.cancel.run_until_cancelled(resolving).await;
    let (cid, had_it) = resolved.ok_or_else(|| interrupted(""))??;
    let partial = PartialFile::of(&store, cid).map_err(local)?;
    let mut is_begun = false;
    let show = |at: u64, size: Option<u64>| {
        if !std::mem::replace(&mut is_begun, true) {
            call.listener.begins(&name, size);
        }
        call.listener.arrived(at, "IPFS");
    };
    // So much as comes before a source would be taken for silent.
    let pulling = pull(&sources, cid, &partial, clocks.stall.mul_f64(0.75), show);
    let pulled = call.cancel.run_until_cancelled(pulling).await;
    call.listener.ends();
    let Pulled { proof, fetched } = match pulled {
        Some(Ok(pulled)) => pulled,
        Some(Err(why)) => {
            partial.leave();
            return Err(match why {
                PullError::Nowhere(misses) => failed(&sources, &name, &misses),
                PullError::Content(e) => bad(&name, &e),
                PullError::Local(e) => local(e),
            });
        }
        None => {
            let note = if partial.is_kept(&store) { "; what has arrived is kept" } else { "" };
            partial.leave();
            return Err(interrupted(note));
        }
    };
    let file = partial.finish(proof.size()).map_err(local)?;
    let used: Vec<&ContentSource> = sources.used().into_iter().map(|index| &sources.list[index]).collect();
    if had_it == Some(false) && used.iter().any(|source| matches!(source, ContentSource::Kubo(..))) {
        receipt.cached_by_kubo.push((cid, proof.size()));
    }
    let from = match used.iter().map(|source| source.label()).collect::<Vec<_>>().join(" + ") {
        none if none.is_empty() && fetched == 0 => FileOrigin { is_stored: true, ..FileOrigin::default() },
        none if none.is_empty() => FileOrigin::from("its CID"),
        from => {
            receipt.sent(from.clone(), fetched);
            FileOrigin::from(from)
        }
    };
    Ok((cid, Obtained::new(file, Accepted::Proven(proof), from).loose()))
}

/// Asks Kubo whether it has the root without asking its peers; `None` when Kubo is not asked, or does not
/// answer.
async fn kubo_has(machine: &Machine, sources: &BlockSources<ContentSource>, cid: Cid) -> Option<bool> {
    let gateway = sources.list.iter().find_map(|source| match source {
        ContentSource::Kubo(_, gateway) => Some(gateway),
        _ => None,
    })?;
    let answer = tokio::time::timeout(Duration::from_secs(1), ask_cached(&machine.http, gateway, cid)).await;
    has_it(answer.ok()?.ok()?.status())
}

/// Follows the path to the file's own CID.
async fn resolve(sources: &BlockSources<ContentSource>, address: &Address) -> Result<Cid, Error> {
    let mut at = address.cid;
    for name in &address.path {
        let mut search = DirectorySearch::new(at, name);
        at = loop {
            let cid = search.wanted();
            let came = sources.block(cid).await.map_err(|misses| failed(sources, &cid.to_string(), &misses))?;
            match search.push(&came.block).map_err(|e| bad(name, &e))? {
                SearchState::Entry(entry, _) => break entry,
                SearchState::Below(_) => {}
                SearchState::Nothing => {
                    return Err(Error::new(ErrorKind::NoSource, name, format!("the directory {at} has no such entry")));
                }
            }
        };
    }
    Ok(at)
}

fn failed(sources: &BlockSources<ContentSource>, name: &str, misses: &Misses) -> Error {
    let corrupt = misses.iter().any(|(_, miss)| matches!(miss, Miss::Corrupt(_)));
    let kind = if corrupt { ErrorKind::Corrupt } else { ErrorKind::NoSource };
    let error = Error::new(kind, name, "no source delivered it");
    misses.iter().fold(error, |error, (index, miss)| error.tried(sources.list[*index].line(miss)))
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
