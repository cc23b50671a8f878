//! The routes to an index: each brings its IPNS record, from which the rest follows by hash, or, where the index has
//! no IPNS name, the manifest and its signature.
//!
//! `name/resolve` is not among them: it streams paths, and a path without its signed record proves nothing.

use std::rc::Rc;

use super::copy::{CopyError, PlainCopy};
use super::tally::Tally;
use super::{RefreshError, RefreshMeans, RefreshTarget, Work};
use crate::base::cid::{Cid, Codec};
use crate::base::size::{BLOCK_MOST, RECORD_MOST};
use crate::dag::dir;
use crate::engine::source::neighbours::LanClient;
use crate::index::accept::{IndexOffer, RefusalError};
use crate::index::ipns::Name;
use crate::index::manifest::MANIFEST_MOST;
use crate::index::minisign::SIGNATURE_MOST;
use crate::net::http::host;
use crate::net::kubo::{Kubo, KuboError};

/// The name of the route through neighbours.
pub(super) const LAN: &str = "lan";

/// One route.
pub(super) struct IndexRoute<'a> {
    /// Its name in messages.
    pub(super) via: String,
    ask: RouteKind<'a>,
}

enum RouteKind<'a> {
    /// Neighbours, through the daemon: each sends its copy.
    Lan(LanClient),
    /// `name/get` of the RPC, or `/ipns/NAME?format=ipns-record` of a gateway if no RPC is known.
    Record(Kubo, Name),
    /// `/routing/v1/ipns/NAME`.
    Routing(Kubo, Name),
    /// The plain copy: `pkgswarm.ipns-record`.
    Copy(PlainCopy<'a>, Name),
    /// The plain copy of an index that has no IPNS name.
    Whole(PlainCopy<'a>),
}

/// Lists all routes to `target`.
pub(super) fn of<'a>(target: &'a RefreshTarget, means: &RefreshMeans, tally: &Rc<Tally>) -> Vec<IndexRoute<'a>> {
    let (machine, client) = (&means.machine, &means.client);
    let mut routes = Vec::new();
    if let Some(socket) = &target.lan {
        routes.push(IndexRoute { via: LAN.to_owned(), ask: RouteKind::Lan(LanClient::at(socket)) });
    }
    if let Some(name) = target.grant.ipns {
        if machine.asks_kubo() {
            let kubo = machine.kubo();
            routes.push(IndexRoute { via: "kubo".to_owned(), ask: RouteKind::Record(kubo.clone(), name) });
            routes.push(IndexRoute { via: "kubo routing".to_owned(), ask: RouteKind::Routing(kubo, name) });
        }
        for url in &target.gateways {
            let gateway = Kubo::at_gateway(url, client);
            routes.push(IndexRoute { via: host(url), ask: RouteKind::Record(gateway.clone(), name) });
            routes.push(IndexRoute { via: format!("{} routing", host(url)), ask: RouteKind::Routing(gateway, name) });
        }
    }
    for (at, url) in target.urls.iter().enumerate() {
        let copy = PlainCopy::at(url, client, tally);
        let ask = match target.grant.ipns {
            Some(name) => RouteKind::Copy(copy, name),
            None => RouteKind::Whole(copy),
        };
        let via = if at == 0 { "url".to_owned() } else { format!("url {}", host(url)) };
        routes.push(IndexRoute { via, ask });
    }
    routes
}

impl Work<'_> {
    /// Fetches the offer of this route, unproven except for the parts that had to be proven to fetch the rest.
    pub(super) async fn offer(&self, route: &IndexRoute<'_>) -> Result<IndexOffer, RefreshError> {
        let missing = |error: CopyError| match error {
            CopyError::Status(404 | 410) => RefreshError::Refused(RefusalError::Missing("the IPNS record")),
            error => RefreshError::Failed(error.to_string()),
        };
        match &route.ask {
            RouteKind::Lan(neighbours) => self.of_neighbours(neighbours).await,
            RouteKind::Record(kubo, name) => {
                let record = kubo.record(&name.to_string(), self.enough()).await.map_err(fault)?;
                self.tally.count(record.len() as u64);
                self.follow(*name, record).await
            }
            RouteKind::Routing(kubo, name) => {
                let record = kubo.routed_record(&name.to_string(), self.enough()).await.map_err(fault)?;
                self.tally.count(record.len() as u64);
                self.follow(*name, record).await
            }
            RouteKind::Copy(copy, name) => {
                let record = copy.get("pkgswarm.ipns-record", RECORD_MOST).await.map_err(missing)?;
                self.follow(*name, record).await
            }
            RouteKind::Whole(copy) => {
                let failed = |e: CopyError| RefreshError::Failed(e.to_string());
                let manifest = copy.get("pkgswarm.json", MANIFEST_MOST).await.map_err(failed)?;
                let minisig = match copy.get("pkgswarm.json.minisig", SIGNATURE_MOST).await {
                    // `accept` decides whether it is missed.
                    Err(CopyError::Status(404 | 410)) => None,
                    other => Some(other.map_err(failed)?),
                };
                Ok(IndexOffer { manifest, minisig, ..IndexOffer::default() })
            }
        }
    }

    /// Follows the record to root, manifest and signature, each from any source.
    pub(super) async fn follow(&self, name: Name, record: Vec<u8>) -> Result<IndexOffer, RefreshError> {
        // Checked here as well, because only a proven record may cause fetching of blocks.
        let root = name.verify(&record, self.now).and_then(|record| record.root());
        let root = root.map_err(|why| RefreshError::Refused(why.into()))?;
        let block = self.block(root, "pkgswarm.root", BLOCK_MOST).await?;
        let mut offer = IndexOffer { record: Some(record), ..IndexOffer::default() };
        let found = |name| dir::entry(root, &block, name).map_err(|why| RefreshError::Refused(why.into()));
        let raw = |found: Option<(Cid, u64)>| found.map(|(cid, _)| cid).filter(|cid| cid.codec() == Codec::Raw);
        if let Some(cid) = raw(found("pkgswarm.json")?) {
            offer.manifest = self.block(cid, "pkgswarm.json", MANIFEST_MOST).await?;
        }
        if self.target.grant.minisign.is_some()
            && let Some(cid) = raw(found("pkgswarm.json.minisig")?)
        {
            offer.minisig = Some(self.block(cid, "pkgswarm.json.minisig", SIGNATURE_MOST).await?);
        }
        offer.root = Some(block);
        Ok(offer)
    }
}

/// Converts a failed call into a route's failure: the route is named beside it.
fn fault(fault: KuboError) -> RefreshError {
    RefreshError::Failed(format!("{}: {}", fault.call, fault.text))
}
