//! The node: a small IPFS peer for the local network, so that machines without Kubo share what they have.
//!
//! It speaks what a Kubo neighbour speaks: libp2p over TCP with Noise and Yamux, multicast DNS, Bitswap 1.2. It asks and
//! answers only on trusted networks, only private addresses, and knows no DHT, relay or port mapping.
//!
//! | file | what |
//! |---|---|
//! | `runner` | the event loop: listening, dialling, who is connected; a thread for it |
//! | `shelf` | which block lies where in which file of this machine |
//! | `message`, `bitswap`, `peer` | Bitswap messages; peers' wants and ours; what one peer costs |
//! | `fetch` | one file from several peers |
//! | `claims` | which root belongs to a sha256, as one peer says: our own small protocol beside Bitswap |
//! | `indexes` | what neighbours have of a signed index: another one |
//! | `blocks` | one block from whoever has it |
//! | `mux` | streams over one connection, and what a peer can make us hold for it |
//! | `streams`, `frame` | streams of one protocol, both ways; messages on them |
//! | `networks`, `gate` | which networks are trusted; who may connect |
//! | `discovery`, `mdns`, `book` | finding and being found on an interface; its messages; who is there |
//!
//! QUIC is left out: rust-libp2p and Kubo lose data on it, and TCP is as fast (`doc/facts/libp2p.md`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use libp2p::{Multiaddr, PeerId};

use crate::node::bitswap::Bitswap;
use crate::node::claims::Claims;
use crate::node::indexes::Indexes;
use crate::node::networks::{LocalAddress, NetworkStanding};
use crate::node::shelf::Shelf;

#[cfg(test)]
mod attacks;
pub mod bitswap;
pub mod blocks;
pub mod book;
pub mod claims;
mod discovery;
pub mod fetch;
mod frame;
pub mod gate;
#[cfg(test)]
mod hostile;
pub mod indexes;
pub mod limits;
#[cfg(test)]
mod manual;
pub mod mdns;
pub mod message;
mod mux;
pub mod networks;
mod peer;
mod runner;
pub mod shelf;
pub mod streams;
#[cfg(test)]
pub(crate) mod tests;

pub use runner::{Config, Runner, Running, start};

/// How this program calls itself among peers.
pub const AGENT: &str = concat!("pkgswarm/", env!("CARGO_PKG_VERSION"));

/// A connected peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Where the newest connection leads.
    pub address: Multiaddr,
    /// What it calls itself, once it has said so; at most 64 characters.
    pub agent: String,
    /// Whether it speaks our small protocol.
    pub is_ours: bool,
    /// Kubo said who it is before its Bitswap listened: it will not ask us on this connection.
    is_deaf: bool,
}

/// What others see of a running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    /// Its peer id.
    pub id: PeerId,
    /// Blocks, both ways.
    pub bitswap: Bitswap,
    /// Roots of files, both ways.
    pub claims: Claims,
    /// What is known of indexes, both ways.
    pub indexes: Indexes,
    /// What it serves.
    pub shelf: Arc<Shelf>,
    seen: Arc<Mutex<NodeSnapshot>>,
}

/// What the event loop tells.
#[derive(Default)]
struct NodeSnapshot {
    peers: BTreeMap<PeerId, PeerInfo>,
    known: Vec<(PeerId, Vec<Multiaddr>)>,
    listening: Vec<Multiaddr>,
    networks: Vec<(LocalAddress, NetworkStanding)>,
}

impl Node {
    /// Everybody who is connected.
    pub fn peers(&self) -> Vec<(PeerId, PeerInfo)> {
        self.seen().peers.iter().map(|(id, info)| (*id, info.clone())).collect()
    }

    /// Everybody who is known to be on the network, connected or not.
    pub fn known(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.seen().known.clone()
    }

    /// Where it listens.
    pub fn listening(&self) -> Vec<Multiaddr> {
        self.seen().listening.clone()
    }

    /// The networks that this machine is in, and how it stands with them.
    pub fn networks(&self) -> Vec<(LocalAddress, NetworkStanding)> {
        self.seen().networks.clone()
    }

    /// Connected peers that speak our small protocol, or have not said yet.
    pub fn ours(&self) -> Vec<PeerId> {
        let seen = self.seen();
        let worth = self.bitswap.worth_asking();
        worth.into_iter().filter(|id| seen.peers.get(id).is_none_or(|p| p.is_ours || p.agent.is_empty())).collect()
    }

    fn seen(&self) -> MutexGuard<'_, NodeSnapshot> {
        self.seen.lock().expect("nothing panics while it is held")
    }
}
