//! A hostile peer for tests, which handles each stream itself: those opened to it, and those that it opens.

use std::sync::Arc;

use futures_util::StreamExt as _;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, identity, noise, ping, tcp};
use tokio::sync::{mpsc, oneshot};

use super::mux::Yamux;
use super::streams::{Guard, OnStream, Opener, Streams};
use super::{bitswap, claims, indexes};

#[derive(NetworkBehaviour)]
struct HostileBehaviour {
    ping: ping::Behaviour,
    bitswap: Streams,
    claims: Streams,
    indexes: Streams,
}

/// A running hostile peer.
pub(super) struct Hostile {
    pub(super) id: PeerId,
    pub(super) address: Multiaddr,
    /// Opens Bitswap streams to connected peers.
    pub(super) bitswap: Opener,
    /// Opens streams of the root protocol.
    pub(super) claims_opener: Opener,
    /// Opens streams of the index protocol.
    pub(super) indexes_opener: Opener,
    /// Bitswap streams that were opened to it, each with the peer that opened it.
    pub(super) wants: TakenStreams,
    /// Streams of the root protocol.
    pub(super) claims: TakenStreams,
    /// Streams of the index protocol.
    pub(super) indexes: TakenStreams,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    /// Starts a peer that listens on loopback.
    pub(super) async fn new() -> Self {
        let ((wants, on_wants), (asks, on_claims), (looks, on_indexes)) = (handed(), handed(), handed());
        let (bitswap, opener) = Streams::new(bitswap::PROTOCOL, on_wants);
        let (claims, claims_opener) = Streams::new(claims::PROTOCOL, on_claims);
        let (indexes, indexes_opener) = Streams::new(indexes::PROTOCOL, on_indexes);
        let mut swarm = libp2p::SwarmBuilder::with_existing_identity(identity::Keypair::generate_ed25519())
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, Yamux::default)
            .unwrap()
            .with_behaviour(|_| HostileBehaviour { ping: ping::Behaviour::default(), bitswap, claims, indexes })
            .unwrap()
            .build();
        let id = *swarm.local_peer_id();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let (tell, told) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tell = Some(tell);
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    tell.take().map(|tell| tell.send(address));
                }
            }
        });
        let address = told.await.unwrap();
        let (bitswap, claims, indexes) = (opener, asks, looks);
        Self { id, address, bitswap, claims_opener, indexes_opener, wants, claims, indexes, task }
    }

    /// Returns its peer id and address.
    pub(super) fn at(&self) -> (PeerId, Multiaddr) {
        (self.id, self.address.clone())
    }

    /// Takes the Bitswap streams, for a test that answers them itself.
    pub(super) fn take_wants(&mut self) -> TakenStreams {
        std::mem::replace(&mut self.wants, mpsc::unbounded_channel().1)
    }
}

pub(super) type TakenStreams = mpsc::UnboundedReceiver<(PeerId, Stream)>;

/// Makes a channel for all streams, which wait there to be taken.
fn handed() -> (TakenStreams, OnStream) {
    let (give, take) = mpsc::unbounded_channel();
    let on_stream = move |peer, stream, guard: Guard| {
        // These streams are not counted.
        std::mem::forget(guard);
        let _ = give.send((peer, stream));
    };
    (take, Arc::new(on_stream))
}
