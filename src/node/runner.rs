//! The event loop of a node: listening addresses, dialling, connected peers.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use ipnet::IpNet;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, connection_limits, identify, identity, noise, ping, tcp};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::value::show_size;
use crate::node::bitswap::{Bitswap, Traffic, UploadLimits};
use crate::node::book::Book;
use crate::node::claims::Claims;
use crate::node::discovery::Discovery;
use crate::node::gate::{Gate, tcp_address};
use crate::node::indexes::Indexes;
use crate::node::limits::Rate;
use crate::node::mux::Yamux;
use crate::node::networks::{Allowed, TrustedReach};
use crate::node::shelf::Shelf;
use crate::node::streams::Streams;
use crate::node::{AGENT, Node, PeerInfo, bitswap, claims, indexes};
use crate::report::log;

mod interfaces;
mod thread;

/// Interval between pings, and the silence after which a peer is gone: noticed within 8 s. libp2p's own verdict
/// comes after 16 s, because it overlooks the first failure and then waits for a new stream.
const PING: Duration = Duration::from_millis(2500);
const SILENCE: Duration = Duration::from_secs(7);

/// Interval between checks of the address book and the networks.
const TICK: Duration = Duration::from_secs(1);

/// Lifetime of the peers named in the configuration, from the last check: a year.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Most inbound connections in the making. Origin: chosen by us.
const PENDING_MOST: u32 = 64;

/// Most pending dials, and most dials in a second. Origin: chosen by us.
const DIALS_MOST: u32 = 16;
const DIALS_RATE: u64 = 16;

/// Most connections with one peer: one from each side, and as many that are dead and not closed yet.
const CONNECTIONS_EACH: u32 = 4;

/// The settings of a node.
pub(crate) struct Config {
    /// Its identity.
    pub(crate) key: identity::Keypair,
    /// The port to listen on; 0 takes any.
    pub(crate) port: u16,
    /// The networks on which it may be active.
    pub(crate) allowed: Allowed,
    /// Peers in other networks, each with its peer id.
    pub(crate) peers: Vec<(PeerId, Multiaddr)>,
    /// Most peers at a time.
    pub(crate) peers_most: u32,
    /// Limits of sending.
    pub(crate) upload: UploadLimits,
    /// The files that it serves.
    pub(crate) shelf: Arc<Shelf>,
}

#[derive(NetworkBehaviour)]
struct NodeBehaviour {
    gate: Gate,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    bitswap: Streams,
    claims: Streams,
    indexes: Streams,
}

/// The event loop of a node.
pub(crate) struct Runner {
    swarm: Swarm<NodeBehaviour>,
    node: Node,
    networks: ActiveNetworks,
    dialling: Dialling,
    discovery: Discovery,
    /// Every connection: its peer, and when that last answered a ping on it.
    connections: HashMap<ConnectionId, (PeerId, Instant)>,
    /// Peers to disconnect.
    cut: mpsc::UnboundedReceiver<PeerId>,
}

/// The networks on which a node is active, and its addresses there.
struct ActiveNetworks {
    port: u16,
    allowed: Allowed,
    reach: Arc<RwLock<TrustedReach>>,
    listeners: HashMap<IpNet, ListenAddress>,
    /// The addresses of this machine, at the last check.
    own: Vec<IpAddr>,
    /// True if the last check of the networks of this machine failed.
    is_blind: bool,
}

/// The peers to dial, and how often.
struct Dialling {
    book: Book,
    /// Peers that the configuration names.
    statics: Vec<(PeerId, Multiaddr)>,
    rate: Rate,
}

/// A listening address of this machine.
struct ListenAddress {
    id: ListenerId,
    interface: String,
    index: u32,
    /// With the port, once it is known.
    at: Option<Multiaddr>,
}

/// Makes a node. It does nothing before [`Runner::run`].
///
/// # Errors
/// When the transport is unavailable; a fault of this machine.
pub(crate) fn start(config: Config) -> Result<(Node, Runner), noise::Error> {
    let id = config.key.public().to_peer_id();
    let reach = Arc::new(RwLock::new(TrustedReach::default()));
    let (give_cut, cut) = mpsc::unbounded_channel();
    // The readers of streams need the opener, which is made with the behaviour.
    let reader: Arc<std::sync::OnceLock<(Bitswap, Claims, Indexes)>> = Arc::default();
    let readers = Arc::clone(&reader);
    let (bitswap_streams, bitswap_opener) = Streams::new(
        bitswap::PROTOCOL,
        Arc::new(move |peer, stream, guard| {
            let Some((bitswap, _, _)) = readers.get().cloned() else { return };
            tokio::spawn(async move { bitswap.read(peer, stream, guard).await });
        }),
    );
    let readers = Arc::clone(&reader);
    let (claims_streams, claims_opener) = Streams::new(
        claims::PROTOCOL,
        Arc::new(move |peer, stream, guard| {
            let Some((_, claims, _)) = readers.get().cloned() else { return };
            tokio::spawn(async move { claims.answer(peer, stream, guard).await });
        }),
    );
    let readers = Arc::clone(&reader);
    let (indexes_streams, indexes_opener) = Streams::new(
        indexes::PROTOCOL,
        Arc::new(move |peer, stream, guard| {
            let Some((_, _, indexes)) = readers.get().cloned() else { return };
            tokio::spawn(async move { indexes.answer(peer, stream, guard).await });
        }),
    );
    let bitswap = Bitswap::new(Arc::clone(&config.shelf), bitswap_opener, config.upload, give_cut);
    let claims = Claims::new(Arc::clone(&config.shelf), claims_opener);
    let indexes = Indexes::new(indexes_opener);
    let _ = reader.set((bitswap.clone(), claims.clone(), indexes.clone()));
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MOST))
        .with_max_established_per_peer(Some(CONNECTIONS_EACH))
        // A quarter is for peers that we dial: a peer that fills the rest keeps no neighbour away.
        .with_max_established_incoming(Some((config.peers_most * 3).div_ceil(2)))
        .with_max_established(Some(config.peers_most * 2));
    let gate = Gate::new(Arc::clone(&reach));
    let swarm = libp2p::SwarmBuilder::with_existing_identity(config.key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, Yamux::default)?
        .with_behaviour(|key| NodeBehaviour {
            gate,
            limits: connection_limits::Behaviour::new(limits),
            identify: identify::Behaviour::new(
                identify::Config::new("ipfs/0.1.0".into(), key.public()).with_agent_version(AGENT.to_owned()),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(SILENCE)),
            bitswap: bitswap_streams,
            claims: claims_streams,
            indexes: indexes_streams,
        })
        .expect("making it cannot fail")
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let node = Node { id, bitswap, claims, indexes, shelf: config.shelf, seen: Arc::default() };
    let runner = Runner {
        swarm,
        node: node.clone(),
        networks: ActiveNetworks {
            port: config.port,
            allowed: config.allowed,
            reach,
            listeners: HashMap::new(),
            own: Vec::new(),
            is_blind: false,
        },
        dialling: Dialling { book: Book::default(), statics: config.peers, rate: Rate::rested(DIALS_RATE) },
        discovery: Discovery::new(id),
        connections: HashMap::new(),
        cut,
    };
    Ok((node, runner))
}

impl Runner {
    /// Runs the node on the networks where it is `allowed` to be active at the time. Ends only when it is dropped,
    /// or when the addresses of this machine cannot be watched.
    ///
    /// # Errors
    /// Those of the kernel's list of addresses.
    pub(crate) async fn run(mut self, mut allowed: watch::Receiver<Allowed>) -> io::Result<()> {
        let mut addresses = if_watch::tokio::IfWatcher::new()?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.look_around();
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                found = self.discovery.next() => self.on_found(found),
                Some(event) = addresses.next() => {
                    event?;
                    self.look_around();
                }
                Ok(()) = allowed.changed() => {
                    self.networks.allowed = allowed.borrow_and_update().clone();
                    self.look_around();
                }
                Some(peer) = self.cut.recv() => {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
                _ = tick.tick() => {
                    self.leave_the_silent();
                    if self.is_unsettled() {
                        self.look_around();
                    }
                    self.dial_due();
                    self.node.seen().known = self.dialling.book.peers();
                }
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<NodeBehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                if let Some(listener) = self.networks.listeners.values_mut().find(|it| it.id == listener_id) {
                    listener.at = Some(address);
                    self.announce();
                }
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.networks.listeners.retain(|_, it| it.id != listener_id);
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, connection_id, .. } => {
                self.dialling.book.met(peer_id);
                self.connections.insert(connection_id, (peer_id, Instant::now()));
                let address = match endpoint {
                    ConnectedPoint::Dialer { address, .. } => address,
                    ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
                };
                let (agent, since) = (String::new(), Instant::now());
                let info = PeerInfo { address, agent, since, is_ours: false, is_deaf: false };
                let mut seen = self.node.seen();
                // There is a second connection when both dial at once, or when the first has died at one end.
                let known = seen.peers.entry(peer_id).or_insert_with(|| info.clone());
                known.address = info.address;
                drop(seen);
                self.node.bitswap.connected(peer_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                self.connections.remove(&connection_id);
                if num_established == 0 {
                    let how = cause.map_or_else(|| "closed".to_owned(), |cause| cause.to_string());
                    self.gone(peer_id, &how);
                }
            }
            SwarmEvent::Behaviour(NodeBehaviourEvent::Identify(identify::Event::Received {
                peer_id, info, ..
            })) => {
                self.identified(peer_id, &info);
            }
            SwarmEvent::Behaviour(NodeBehaviourEvent::Ping(ping::Event { connection, result: Ok(_), .. })) => {
                if let Some((_, heard)) = self.connections.get_mut(&connection) {
                    *heard = Instant::now();
                }
            }
            _ => {}
        }
    }

    /// Ends silent connections. On a slow link a ping waits behind megabytes, so blocks count too.
    fn leave_the_silent(&mut self) {
        let bitswap = self.node.bitswap.clone();
        let is_silent = |peer: PeerId, heard: Instant| heard.elapsed() >= SILENCE && !bitswap.is_stirring(peer);
        let silent: Vec<(ConnectionId, PeerId)> =
            self.connections.iter().filter(|(_, it)| is_silent(it.0, it.1)).map(|(id, it)| (*id, it.0)).collect();
        for (id, peer) in silent {
            self.connections.remove(&id);
            self.swarm.close_connection(id);
            let is_last = !self.connections.values().any(|(other, _)| *other == peer);
            if is_last {
                self.gone(peer, "it fell silent");
            } else {
                // Questions sent over the dead connection are asked again over the living one.
                bitswap.disconnected(peer);
                bitswap.connected(peer);
            }
        }
    }

    /// Drops a peer that is gone or unreachable: closing a connection to nowhere takes long, and is not waited
    /// for. `how` says for the log how the connection ended.
    fn gone(&mut self, peer: PeerId, how: &str) {
        self.dialling.book.met(peer);
        let known = self.node.seen().peers.remove(&peer);
        if let Some(PeerInfo { address, agent, since, .. }) = known {
            let Traffic { sent, received } = self.node.bitswap.traffic(peer);
            log::info(|| {
                let (sent, received) = (show_size(sent), show_size(received));
                let address = tcp_address(&address).map_or_else(|| address.to_string(), |ip| ip.to_string());
                let stayed = since.elapsed().as_secs();
                format!(
                    "neighbour {address} ({agent}, {peer}) left after {stayed} s, sent it {sent}, received {received}: {how}"
                )
            });
        }
        self.node.bitswap.disconnected(peer);
    }

    /// Handles a Kubo that was reached while it started: it takes the connection before its Bitswap listens for
    /// any, and then never asks that peer. Its list of protocols shows that: once Bitswap is among them, the
    /// connection is made anew.
    fn identified(&mut self, peer: PeerId, info: &identify::Info) {
        let speaks = |name: &str| info.protocols.iter().any(|protocol| protocol.as_ref().starts_with(name));
        let mut seen = self.node.seen();
        let Some(known) = seen.peers.get_mut(&peer) else { return };
        known.agent = info.agent_version.chars().filter(|c| !c.is_control()).take(64).collect();
        known.is_ours = speaks(claims::PROTOCOL.as_ref());
        let was_deaf = std::mem::replace(&mut known.is_deaf, !speaks("/ipfs/bitswap/"));
        let remake = was_deaf && !known.is_deaf;
        drop(seen);
        if remake {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}
