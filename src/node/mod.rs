//! The node: a small IPFS peer for the local network, so that machines without Kubo share their files.
//!
//! It uses the protocols of a Kubo neighbour: libp2p over TCP with Noise and Yamux, multicast DNS, Bitswap 1.2. It
//! asks and answers only on trusted networks, only private addresses, and has no DHT, relay or port mapping.
//!
//! | file | what |
//! |---|---|
//! | `runner` | the event loop: listening, dialling, connected peers; a thread for it |
//! | `shelf` | the position of each block in the files of this machine |
//! | `message`, `bitswap`, `peer` | Bitswap messages; peers' wants and ours; what one peer costs |
//! | `fetch` | one file from several peers |
//! | `claims` | the root of a sha256, as one peer claims it: our own small protocol beside Bitswap |
//! | `indexes` | neighbours' copies of a signed index: another one |
//! | `blocks` | one block from any peer that has it |
//! | `clocks` | how long `fetch` and `blocks` wait |
//! | `limits` | rates: units a second, for each peer and for all |
//! | `mux` | streams over one connection, and a bound on the memory that a peer can take |
//! | `streams`, `frame` | streams of one protocol, both ways; messages on them |
//! | `networks`, `gate` | the trusted networks; the connections that are admitted |
//! | `discovery`, `mdns`, `book` | discovery on an interface; its messages; the known peers |
//!
//! QUIC is left out: rust-libp2p and Kubo lose data on it, and TCP is as fast (`doc/facts/libp2p.md`).
//!
//! # Room
//!
//! - In: trusted networks, the files to offer
//! - Out: blocks of neighbours, proven; blocks for neighbours, within limits
//! - May use: base, config, dag, engine, report, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! clocks frame limits message mux networks shelf streams tests
//! claims gate indexes peer
//! bitswap mdns
//! blocks book discovery fetch hostile manual
//! attacks runner slow
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::node::bitswap::Bitswap;
use crate::node::claims::Claims;
use crate::node::indexes::Indexes;
use crate::node::networks::{LocalAddress, NetworkStanding};
use crate::node::shelf::Shelf;

#[cfg(test)]
mod attacks;
pub(crate) mod bitswap;
pub(crate) mod blocks;
pub(crate) mod book;
pub mod claims;
mod clocks;
pub(crate) mod discovery;
pub(crate) mod fetch;
mod frame;
pub(crate) mod gate;
#[cfg(test)]
mod hostile;
pub mod indexes;
pub(crate) mod limits;
#[cfg(test)]
mod manual;
pub mod mdns;
pub mod message;
mod mux;
pub mod networks;
mod peer;
mod runner;
pub mod shelf;
#[cfg(test)]
pub(crate) mod slow;
pub(crate) mod streams;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use runner::{Config, start};

/// The agent string that this program sends to peers.
pub(crate) const AGENT: &str = concat!("pkgswarm/", env!("CARGO_PKG_VERSION"));

/// A connected peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerInfo {
    /// The remote address of the newest connection.
    pub(crate) address: Multiaddr,
    /// Its agent string, once it was received; at most 64 characters.
    pub(crate) agent: String,
    /// The time when it connected.
    since: Instant,
    /// True if it supports our small protocol.
    pub(crate) is_ours: bool,
    /// True for a Kubo that identified itself before its Bitswap listened: it will not ask us on this connection.
    is_deaf: bool,
}

/// The public face of a running node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Node {
    /// Its peer id.
    pub(crate) id: PeerId,
    /// Bitswap, both ways.
    pub(crate) bitswap: Bitswap,
    /// Roots of files, both ways.
    pub(crate) claims: Claims,
    /// Answers about indexes, both ways.
    pub(crate) indexes: Indexes,
    /// The files that it serves.
    pub(crate) shelf: Arc<Shelf>,
    seen: Arc<Mutex<NodeSnapshot>>,
}

/// The event loop's report.
#[derive(Default)]
struct NodeSnapshot {
    peers: BTreeMap<PeerId, PeerInfo>,
    known: Vec<(PeerId, Vec<Multiaddr>)>,
    listening: Vec<Multiaddr>,
    networks: Vec<(LocalAddress, NetworkStanding)>,
    trusted: Vec<String>,
}

impl Node {
    /// Lists the connected peers.
    pub(crate) fn peers(&self) -> Vec<(PeerId, PeerInfo)> {
        self.seen().peers.iter().map(|(id, info)| (*id, info.clone())).collect()
    }

    /// Lists the addresses of these peers, as far as they are connected, each once.
    pub(crate) fn addresses(&self, peers: &[PeerId]) -> Vec<IpAddr> {
        let seen = self.seen();
        let known = peers.iter().filter_map(|peer| gate::tcp_address(&seen.peers.get(peer)?.address));
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Lists the peers known to be on the network, connected or not.
    pub(crate) fn known(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.seen().known.clone()
    }

    /// Lists the addresses on which it listens.
    pub(crate) fn listening(&self) -> Vec<Multiaddr> {
        self.seen().listening.clone()
    }

    /// Lists the networks of this machine, with the standing of each.
    pub(crate) fn networks(&self) -> Vec<(LocalAddress, NetworkStanding)> {
        self.seen().networks.clone()
    }

    /// Lists the entries of `lan.networks` that the event loop applies.
    pub(crate) fn trusted(&self) -> Vec<String> {
        self.seen().trusted.clone()
    }

    /// Lists the connected peers that support our small protocols, or have not told yet.
    pub(crate) fn ours(&self) -> Vec<PeerId> {
        let seen = self.seen();
        let worth = self.bitswap.worth_asking();
        worth.into_iter().filter(|id| seen.peers.get(id).is_none_or(|p| p.is_ours || p.agent.is_empty())).collect()
    }

    fn seen(&self) -> MutexGuard<'_, NodeSnapshot> {
        self.seen.lock().expect("nothing panics while it is held")
    }
}
