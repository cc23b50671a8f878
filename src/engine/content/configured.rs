//! The sources to ask for a file that is known by its CID alone: neighbours, Kubo, gateways.

use std::rc::Rc;

use futures_util::FutureExt as _;
use reqwest::Url;

use crate::base::cid::Cid;
use crate::engine::content::block_sources::BlockSource;
use crate::engine::source::gateway::raw_block;
use crate::engine::source::neighbours::LanClient;
use crate::engine::source::{Local, Miss, SourceKind};
use crate::machine::Machine;
use crate::net::http::{self, Http};

/// A source that may have blocks.
pub(crate) enum ContentSource {
    /// The local network, by way of the daemon.
    Lan(LanClient),
    /// Kubo on loopback.
    Kubo(Rc<Http>, Url),
    /// A trustless gateway somewhere.
    Gateway(Rc<Http>, Url),
}

/// Lists all that are configured, in the order in which they are asked; with `forced`, those of that kind alone.
pub(super) fn configured(machine: &Machine, forced: Option<SourceKind>) -> Vec<ContentSource> {
    let (mut list, http) = (Vec::new(), || Rc::clone(&machine.http));
    // A neighbour that has it says so in a quarter of a second; Kubo may search for longer.
    if machine.asks_lan() && forced.is_none_or(|kind| kind == SourceKind::Lan) {
        list.push(ContentSource::Lan(LanClient::at(&machine.settings.socket)));
    }
    if machine.asks_kubo() && forced.is_none_or(|kind| kind == SourceKind::Kubo) {
        list.push(ContentSource::Kubo(http(), machine.settings.gateway_url()));
    }
    if machine.asks_gateways() && forced.is_none_or(|kind| kind == SourceKind::Gateway) {
        list.extend(machine.settings.gateway_urls().map(|url| ContentSource::Gateway(http(), url)));
    }
    match (list.len(), list.pop()) {
        (1, Some(ContentSource::Lan(neighbours))) => vec![ContentSource::Lan(neighbours.alone())],
        (_, last) => list.into_iter().chain(last).collect(),
    }
}

impl BlockSource for ContentSource {
    fn label(&self) -> String {
        match self {
            ContentSource::Lan(_) => "lan".to_owned(),
            ContentSource::Kubo(..) => "kubo".to_owned(),
            ContentSource::Gateway(_, url) => format!("gateway {}", http::host(url)),
        }
    }

    fn line(&self, miss: &Miss) -> String {
        match self {
            ContentSource::Lan(_) => format!("lan  {miss}"),
            ContentSource::Kubo(_, url) => format!("kubo  {}  {miss}", http::host(url)),
            ContentSource::Gateway(_, url) => format!("gateway  {}  {miss}", http::host(url)),
        }
    }

    fn is_flowing(&self) -> bool {
        matches!(self, ContentSource::Gateway(..))
    }

    fn block<'a>(&'a self, cid: Cid, moved: &'a dyn Fn(u64)) -> Local<'a, Result<Vec<u8>, Miss>> {
        match self {
            ContentSource::Lan(neighbours) => neighbours.block(cid, moved).boxed_local(),
            ContentSource::Kubo(http, url) => raw_block(http, url, cid, true, moved).boxed_local(),
            ContentSource::Gateway(http, url) => raw_block(http, url, cid, false, moved).boxed_local(),
        }
    }
}
