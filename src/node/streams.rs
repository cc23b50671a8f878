//! One protocol on every connection: each stream that a peer opens is passed on, and streams are opened on
//! request.
//!
//! The ready-made `libp2p-stream` drops inbound streams when its channel is full; Kubo opens a new one for each
//! reply, so blocks would be lost (`doc/facts/libp2p.md`). Here every stream reaches its reader or is refused by a
//! limit.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::{mpsc, oneshot};

/// Most streams of one peer that are read at the same time. Kubo opens 8. Origin: chosen by us.
const STREAMS_MOST: usize = 16;

/// A receiver of the streams that peers open. The guard counts the stream until drop.
pub(crate) type OnStream = Arc<dyn Fn(PeerId, Stream, Guard) + Send + Sync>;

/// One of the streams that a connection may have open at a time.
pub(crate) struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request for a stream to a peer. Dropped without an answer when the peer is gone or does not support the
/// protocol.
type StreamRequest = (PeerId, oneshot::Sender<Stream>);

/// Opens streams to connected peers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Opener(mpsc::UnboundedSender<StreamRequest>);

impl Opener {
    /// Opens a stream to `peer`; `None` when there is no connection, or the peer does not support the protocol.
    pub(crate) async fn open(&self, peer: PeerId) -> Option<Stream> {
        let (give, take) = oneshot::channel();
        self.0.send((peer, give)).ok()?;
        take.await.ok()
    }
}

/// The swarm behaviour for one protocol, both ways.
pub(crate) struct Streams {
    protocol: StreamProtocol,
    on_stream: OnStream,
    wishes: mpsc::UnboundedReceiver<StreamRequest>,
    connections: HashMap<PeerId, Vec<ConnectionId>>,
}

impl Streams {
    /// Creates the behaviour: the streams of `protocol` go to `on_stream`.
    pub(crate) fn new(protocol: StreamProtocol, on_stream: OnStream) -> (Self, Opener) {
        let (give, wishes) = mpsc::unbounded_channel();
        (Self { protocol, on_stream, wishes, connections: HashMap::new() }, Opener(give))
    }

    fn handler(&self, peer: PeerId) -> Handler {
        let (protocol, on_stream) = (self.protocol.clone(), Arc::clone(&self.on_stream));
        Handler { peer, protocol, on_stream, open: Arc::default(), wishes: VecDeque::new() }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(new) => {
                self.connections.entry(new.peer_id).or_default().push(new.connection_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(ids) = self.connections.get_mut(&closed.peer_id) {
                    ids.retain(|id| *id != closed.connection_id);
                    if ids.is_empty() {
                        self.connections.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while let Poll::Ready(Some((peer_id, give))) = self.wishes.poll_recv(cx) {
            if let Some(id) = self.connections.get(&peer_id).and_then(|ids| ids.last()) {
                let handler = NotifyHandler::One(*id);
                return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event: give });
            }
        }
        Poll::Pending
    }
}

/// The part of [`Streams`] on one connection.
pub(crate) struct Handler {
    peer: PeerId,
    protocol: StreamProtocol,
    on_stream: OnStream,
    open: Arc<AtomicUsize>,
    wishes: VecDeque<oneshot::Sender<Stream>>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = oneshot::Sender<Stream>;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Stream>;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        // Neighbours are few, and asking one for a file must not cost a handshake.
        true
    }

    fn on_behaviour_event(&mut self, wish: Self::FromBehaviour) {
        self.wishes.push_back(wish);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        match self.wishes.pop_front() {
            Some(wish) => {
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), wish);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            None => Poll::Pending,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), Self::OutboundOpenInfo>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(stream) => {
                let guard = Guard(Arc::clone(&self.open));
                // Beyond the limit the stream is dropped, which resets it.
                if self.open.fetch_add(1, Ordering::Relaxed) < STREAMS_MOST {
                    (self.on_stream)(self.peer, stream.protocol, guard);
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(stream) => {
                let _ = stream.info.send(stream.protocol);
            }
            // The request is dropped with the event, which tells the waiting caller.
            _ => {}
        }
    }
}
