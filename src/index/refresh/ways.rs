//! The ways to an index: who is asked for its IPNS record, and how the rest follows from that by hash.
//!
//! `name/resolve` is not among them: it streams paths, and a path without its signed record proves nothing.

use std::rc::Rc;

use reqwest::Client;

use super::parts::{self, Part, Source};
use super::{Failure, IndexSource, Work};
use crate::cid::{Cid, Codec};
use crate::dag::dir;
use crate::http::host;
use crate::index::accept::{Offer, Refusal};
use crate::index::ipns::{self, Name};
use crate::index::manifest::MANIFEST_MOST;
use crate::index::minisign::SIGNATURE_MOST;
use crate::kubo::{BLOCK_MOST, Kubo};
use crate::source::neighbours::Neighbours;

/// What the way by neighbours is called.
pub(super) const LAN: &str = "lan";

/// One way.
pub(super) struct Way<'a> {
    /// What it is called in messages.
    pub(super) via: String,
    ask: Ask<'a>,
}

enum Ask<'a> {
    /// Neighbours, by way of the daemon: each tells what it has.
    Lan(Rc<Neighbours>),
    /// `name/get` of the RPC, or `/ipns/NAME?format=ipns-record` of a gateway where no RPC is known.
    Record(Kubo, Name),
    /// `/routing/v1/ipns/NAME`.
    Routing(Kubo, Name),
    /// The plain copy: `pkgswarm.ipns-record`.
    Copy(Source<'a>),
    /// The plain copy of an index that has no IPNS name.
    Whole(Source<'a>),
}

/// All ways to `source`.
pub(super) fn of<'a>(
    source: &'a IndexSource,
    lan: Option<&Rc<Neighbours>>,
    kubo: Option<&'a Kubo>,
    client: &Client,
) -> Vec<Way<'a>> {
    let mut ways = Vec::new();
    if let Some(lan) = lan {
        ways.push(Way { via: LAN.to_owned(), ask: Ask::Lan(Rc::clone(lan)) });
    }
    if let Some(name) = source.grant.ipns {
        if let Some(kubo) = kubo {
            ways.push(Way { via: "kubo".to_owned(), ask: Ask::Record(kubo.clone(), name) });
            ways.push(Way { via: "kubo routing".to_owned(), ask: Ask::Routing(kubo.clone(), name) });
        }
        for url in &source.gateways {
            let gateway = Kubo::at_gateway(url, client);
            ways.push(Way { via: host(url), ask: Ask::Record(gateway.clone(), name) });
            ways.push(Way { via: format!("{} routing", host(url)), ask: Ask::Routing(gateway, name) });
        }
    }
    if let Some(url) = &source.url {
        let copy = parts::copy(url, client);
        let ask = if source.grant.ipns.is_some() { Ask::Copy(copy) } else { Ask::Whole(copy) };
        ways.push(Way { via: "url".to_owned(), ask });
    }
    ways
}

impl Work<'_> {
    /// What this way offers, unproven but for what had to be proven to get the rest.
    pub(super) async fn offer(&self, way: &Way<'_>) -> Result<Offer, Failure> {
        let missing = |error: parts::Failed| match error {
            parts::Failed::Status(404 | 410) => Failure::Refused(Refusal::Missing("the IPNS record")),
            error => Failure::Failed(error.to_string()),
        };
        match &way.ask {
            Ask::Lan(neighbours) => self.of_neighbours(neighbours).await,
            Ask::Record(kubo, name) => {
                let record = kubo.record(&name.to_string(), self.enough()).await.map_err(parts::fault)?;
                self.count(record.len());
                self.follow(*name, record).await
            }
            Ask::Routing(kubo, name) => {
                let record = kubo.routed_record(&name.to_string(), self.enough()).await.map_err(parts::fault)?;
                self.count(record.len());
                self.follow(*name, record).await
            }
            Ask::Copy(copy) => {
                let name = self.source.grant.ipns.expect("such a way is made only for an IPNS name");
                let record = self.get(copy, "pkgswarm.ipns-record", ipns::RECORD_MOST).await.map_err(missing)?;
                self.follow(name, record).await
            }
            Ask::Whole(copy) => {
                let failed = |e: parts::Failed| Failure::Failed(e.to_string());
                let manifest = self.get(copy, "pkgswarm.json", MANIFEST_MOST).await.map_err(failed)?;
                let minisig = match self.get(copy, "pkgswarm.json.minisig", SIGNATURE_MOST).await {
                    // Missed where it is decided.
                    Err(parts::Failed::Status(404 | 410)) => None,
                    other => Some(other.map_err(failed)?),
                };
                Ok(Offer { manifest, minisig, ..Offer::default() })
            }
        }
    }

    /// From the record to root, manifest and signature, each from wherever it is had.
    pub(super) async fn follow(&self, name: Name, record: Vec<u8>) -> Result<Offer, Failure> {
        // Checked here as well, because only a proven record may send us after blocks.
        let root = name.verify(&record, self.now).and_then(|record| record.root());
        let root = root.map_err(|why| Failure::Refused(why.into()))?;
        let block = self.part(&Part::block(root, "pkgswarm.root", BLOCK_MOST)).await?;
        let mut offer = Offer { record: Some(record), ..Offer::default() };
        let found = |name| dir::entry(root, &block, name).map_err(|why| Failure::Refused(why.into()));
        let raw = |found: Option<(Cid, u64)>| found.map(|(cid, _)| cid).filter(|cid| cid.codec() == Codec::Raw);
        if let Some(cid) = raw(found("pkgswarm.json")?) {
            offer.manifest = self.part(&Part::block(cid, "pkgswarm.json", MANIFEST_MOST)).await?;
        }
        if self.source.grant.minisign.is_some()
            && let Some(cid) = raw(found("pkgswarm.json.minisig")?)
        {
            offer.minisig = Some(self.part(&Part::block(cid, "pkgswarm.json.minisig", SIGNATURE_MOST)).await?);
        }
        offer.root = Some(block);
        Ok(offer)
    }
}
