//! Refreshes of several indexes at the same time.

use std::rc::Rc;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use super::{RefreshMeans, RefreshTarget, Refreshed, TRANSFERS_MOST, peering, refresh};
use crate::base::clock;
use crate::base::error::{Error, ErrorKind};
use crate::config::IndexConfig;
use crate::engine::hub::Hub;
use crate::index::in_use;
use crate::machine::Machine;

/// Most gateways of one index that are asked beside those of the settings.
const GATEWAYS_MOST: usize = 4;

/// Refreshes the named indexes, or all; with `due`, only those that are due. All run at the same time, each
/// bounded by `index.deadline`, so that an unreachable publisher does not delay the others. `done` is called as
/// they end.
///
/// # Errors
/// The first error of this machine's state, after the others have ended.
pub(crate) async fn refresh_all(
    machine: &Rc<Machine>,
    names: &[String],
    due: bool,
    mut done: impl FnMut(&IndexConfig, &Refreshed),
) -> Result<(), Error> {
    let (settings, now) = (&machine.settings, SystemTime::now());
    let wanted = settings.indexes.iter().filter(|index| names.is_empty() || names.contains(&index.name));
    let wanted = wanted.filter(|index| !due || in_use::is_due(settings, index, now));
    let targets = wanted.map(|index| Ok((index, target(machine, index)?))).collect::<Result<Vec<_>, Error>>()?;
    peering::keep(machine).await;
    let hub = Hub::new(TRANSFERS_MOST * targets.len().max(1), CancellationToken::new());
    let means = RefreshMeans::of(machine, hub).map_err(|miss| Error::new(ErrorKind::NoSource, "index", miss))?;
    let state = in_use::state(settings);
    let works = targets.iter().map(|(index, target)| {
        let work = refresh(target, &means, &state, clock::unix(now), settings.index_deadline);
        async move { (*index, work.await) }
    });
    let mut works: FuturesUnordered<_> = works.collect();
    let mut failed = None;
    while let Some((index, refreshed)) = works.next().await {
        match refreshed {
            Ok(refreshed) => done(index, &refreshed),
            Err(e) => failed = failed.take().or(Some(e)),
        }
    }
    // A new manifest may name other peers.
    peering::keep(machine).await;
    failed.map_or(Ok(()), |e| Err(Error::local(settings.state_dir.display(), e)))
}

/// Returns the keys and addresses of an index, as its configuration declares them.
pub(super) fn target(machine: &Machine, index: &IndexConfig) -> Result<RefreshTarget, Error> {
    let urls = index.urls().map(|url| url.below("/")).collect();
    let mut gateways: Vec<Url> = Vec::new();
    if machine.asks_gateways() {
        let held = in_use::state(&machine.settings).held(&in_use::copy_name(index)).ok().flatten();
        let own = held.map(|held| held.manifest.gateways).unwrap_or_default();
        gateways.extend(machine.settings.gateway_urls());
        gateways.extend(own.iter().take(GATEWAYS_MOST).filter_map(|url| url.parse().ok()));
        gateways.dedup();
    }
    let lan = (machine.asks_lan() && machine.may_pass_on(index)).then(|| machine.settings.socket.clone());
    Ok(RefreshTarget { name: in_use::copy_name(index), grant: in_use::grant(index)?, urls, gateways, lan })
}
