//! The event loop of a node: where it listens, whom it dials, who is connected.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use ipnet::IpNet;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, connection_limits, identify, identity, mdns, noise, ping, tcp, yamux};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::node::bitswap::{Bitswap, Upload};
use crate::node::book::Book;
use crate::node::claims::Claims;
use crate::node::gate::{Gate, tcp_address};
use crate::node::networks::{Here, Network, Reach};
use crate::node::shelf::Shelf;
use crate::node::streams::Streams;
use crate::node::{AGENT, Node, PeerInfo, advert, bitswap, claims, networks};

/// How often a peer is pinged, and the silence after which it is gone: noticed within 8 s. libp2p's own verdict comes after
/// 16 s, because it overlooks the first failure and then waits for a new stream.
const PING: Duration = Duration::from_millis(2500);
const SILENCE: Duration = Duration::from_secs(7);

/// How often the address book and the networks are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Most connections that are being made to us, not answered yet. Origin: chosen by us.
const PENDING_MOST: u32 = 64;

/// How the node is to run.
pub struct Config {
    /// Who it is.
    pub key: identity::Keypair,
    /// The port to listen on; 0 takes any.
    pub port: u16,
    /// Networks that are trusted.
    pub networks: Vec<Network>,
    /// Peers in other networks, each with its peer id.
    pub peers: Vec<(PeerId, Multiaddr)>,
    /// Most peers at a time.
    pub peers_most: u32,
    /// Limits of what is sent.
    pub upload: Upload,
    /// What is served.
    pub shelf: Arc<Shelf>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    gate: Gate,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    bitswap: Streams,
    claims: Streams,
}

/// The event loop of a node.
pub struct Runner {
    swarm: Swarm<Behaviour>,
    node: Node,
    port: u16,
    trusted: Vec<Network>,
    statics: Vec<(PeerId, Multiaddr)>,
    reach: Arc<RwLock<Reach>>,
    book: Book,
    listeners: HashMap<IpNet, (ListenerId, Option<Multiaddr>)>,
    advert: Option<advert::Advert>,
    cut: mpsc::UnboundedReceiver<PeerId>,
}

/// Makes a node. It does nothing before [`Runner::run`].
///
/// # Errors
/// When the transport cannot be had; a fault of this machine.
pub fn start(config: Config) -> anyhow::Result<(Node, Runner)> {
    let id = config.key.public().to_peer_id();
    let reach = Arc::new(RwLock::new(Reach::default()));
    let (give_cut, cut) = mpsc::unbounded_channel();
    // Who reads the streams needs the way to open some, which is made with the behaviour.
    let reader: Arc<std::sync::OnceLock<(Bitswap, Claims)>> = Arc::default();
    let readers = Arc::clone(&reader);
    let (bitswap_streams, bitswap_opener) = Streams::new(
        bitswap::PROTOCOL,
        Arc::new(move |peer, stream, guard| {
            let Some((bitswap, _)) = readers.get().cloned() else { return };
            tokio::spawn(async move { bitswap.read(peer, stream, guard).await });
        }),
    );
    let readers = Arc::clone(&reader);
    let (claims_streams, claims_opener) = Streams::new(
        claims::PROTOCOL,
        Arc::new(move |peer, stream, guard| {
            let Some((_, claims)) = readers.get().cloned() else { return };
            tokio::spawn(async move { claims.answer(peer, stream, guard).await });
        }),
    );
    let bitswap = Bitswap::new(Arc::clone(&config.shelf), bitswap_opener, config.upload, give_cut);
    let claims = Claims::new(Arc::clone(&config.shelf), claims_opener);
    let _ = reader.set((bitswap.clone(), claims.clone()));
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MOST))
        .with_max_established_per_peer(Some(2))
        .with_max_established(Some(config.peers_most * 2));
    let gate = Gate::new(Arc::clone(&reach));
    let swarm = libp2p::SwarmBuilder::with_existing_identity(config.key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| Behaviour {
            gate,
            limits: connection_limits::Behaviour::new(limits),
            identify: identify::Behaviour::new(
                identify::Config::new("ipfs/0.1.0".into(), key.public()).with_agent_version(AGENT.to_owned()),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(SILENCE)),
            mdns: None.into(),
            bitswap: bitswap_streams,
            claims: claims_streams,
        })?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let node = Node { id, bitswap, claims, shelf: config.shelf, seen: Arc::default() };
    let runner = Runner {
        swarm,
        node: node.clone(),
        port: config.port,
        trusted: config.networks,
        statics: config.peers,
        reach,
        book: Book::default(),
        listeners: HashMap::new(),
        advert: None,
        cut,
    };
    Ok((node, runner))
}

impl Runner {
    /// Runs the node, in the networks that are `trusted` at the time. Ends only when it is dropped, or when the addresses
    /// of this machine cannot be watched.
    ///
    /// # Errors
    /// Those of the kernel's list of addresses.
    pub async fn run(mut self, mut trusted: watch::Receiver<Vec<Network>>) -> anyhow::Result<()> {
        let mut addresses = if_watch::tokio::IfWatcher::new()?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(event) = addresses.next() => {
                    event?;
                    self.look_around(addresses.iter().copied().collect());
                }
                Ok(()) = trusted.changed() => {
                    self.trusted = trusted.borrow_and_update().clone();
                    self.look_around(addresses.iter().copied().collect());
                }
                Some(peer) = self.cut.recv() => {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
                _ = tick.tick() => {
                    self.leave_the_silent();
                    // The router's hardware address can become known a little after the address.
                    if !self.node.networks().iter().all(|(_, trusted)| *trusted) {
                        self.look_around(addresses.iter().copied().collect());
                    }
                    self.dial_whom_is_due();
                    self.node.seen().known = self.book.peers().map(|(id, at)| (*id, at.to_vec())).collect();
                }
            }
        }
    }

    /// Listens on the addresses in trusted networks, and on no others.
    fn look_around(&mut self, addresses: Vec<IpNet>) {
        let networks: Vec<(Here, bool)> = networks::here(addresses)
            .into_iter()
            .map(|here| {
                let trusted = here.is_trusted(&self.trusted);
                (here, trusted)
            })
            .filter(|(here, trusted)| *trusted || here.is_lan())
            .collect();
        let wanted: Vec<IpNet> = networks.iter().filter(|(_, ok)| *ok).map(|(here, _)| here.address).collect();
        self.node.seen().networks = networks;
        let mut ranges = wanted.clone();
        ranges.extend(self.statics.iter().filter_map(|(_, at)| tcp_address(at)).map(IpNet::from));
        self.reach.write().expect("nothing panics while it is held").ranges = ranges;
        let gone: Vec<IpNet> = self.listeners.keys().filter(|at| !wanted.contains(at)).copied().collect();
        let new: Vec<IpNet> = wanted.iter().filter(|at| !self.listeners.contains_key(at)).copied().collect();
        if gone.is_empty() && new.is_empty() {
            return;
        }
        for at in &gone {
            let (listener, _) = self.listeners.remove(at).expect("it was found there");
            self.swarm.remove_listener(listener);
        }
        self.leave_out_of_reach();
        self.announce(wanted.is_empty());
        for at in new {
            self.listen(at);
        }
    }

    fn listen(&mut self, at: IpNet) {
        let address = |port| Multiaddr::from(at.addr()).with(Protocol::Tcp(port));
        // Another program may have the port; peers learn the one we get.
        let listening = self.swarm.listen_on(address(self.port)).or_else(|_| self.swarm.listen_on(address(0)));
        if let Ok(listener) = listening {
            self.listeners.insert(at, (listener, None));
        }
    }

    /// Ends connections with whom there may be no traffic any more.
    fn leave_out_of_reach(&mut self) {
        let reach = self.reach.read().expect("nothing panics while it is held").clone();
        let out = |info: &PeerInfo| tcp_address(&info.address).is_none_or(|ip| !reach.allows(ip));
        let peers: Vec<PeerId> =
            self.node.peers().into_iter().filter(|(_, info)| out(info)).map(|(id, _)| id).collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Starts multicast DNS anew for the networks of now, or ends it where none is trusted.
    fn announce(&mut self, nowhere: bool) {
        self.book.clear();
        self.statics.iter().for_each(|(peer, address)| self.book.add(*peer, address.clone()));
        let behaviour = match nowhere {
            true => None,
            false => mdns::tokio::Behaviour::new(mdns::Config::default(), self.node.id).ok(),
        };
        self.swarm.behaviour_mut().mdns = behaviour.into();
        if nowhere {
            self.advert = None;
        }
    }

    /// Lets Kubo find us where we listen.
    fn advertise(&mut self) {
        let listening: Vec<Multiaddr> = self.listeners.values().filter_map(|(_, at)| at.clone()).collect();
        let sockets: Vec<(IpAddr, u16)> = listening.iter().filter_map(socket).map(|at| (at.ip(), at.port())).collect();
        let name: String = self.node.id.to_base58().chars().rev().take(20).collect();
        self.advert = None;
        if !sockets.is_empty() {
            self.advert = advert::Advert::new(self.node.id, &name, &sockets).ok();
        }
        self.node.seen().listening = listening;
    }

    fn dial_whom_is_due(&mut self) {
        let node = self.node.clone();
        for (peer, addresses) in self.book.due(|peer| node.seen().peers.contains_key(peer)) {
            // Once each, else multicast DNS makes several connections between two peers.
            let dial = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::NotDialing);
            // From a port of its own: two that find each other at the same time and dial from the ports where they listen
            // make one connection of which both are the dialer (RFC 9293, 3.5, simultaneous open), and wait in vain.
            let dial = dial.allocate_new_port();
            let _ = self.swarm.dial(dial.build());
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                if let Some(at) = self.listeners.values_mut().find(|(id, _)| *id == listener_id) {
                    at.1 = Some(address);
                    self.advertise();
                }
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                if let Some(at) = self.listeners.iter().find(|(_, (id, _))| *id == listener_id).map(|(at, _)| *at) {
                    self.listeners.remove(&at);
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.book.met(peer_id);
                let address = match endpoint {
                    ConnectedPoint::Dialer { address, .. } => address,
                    ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
                };
                let info =
                    PeerInfo { address, agent: String::new(), is_ours: false, heard: Instant::now(), is_deaf: false };
                self.node.seen().peers.entry(peer_id).or_insert(info);
                self.node.bitswap.connected(peer_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.gone(peer_id),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                let reach = self.reach.read().expect("nothing panics while it is held").clone();
                for (peer, address) in found {
                    if peer != self.node.id && tcp_address(&address).is_some_and(|ip| reach.allows(ip)) {
                        self.book.add(peer, address);
                    }
                }
                self.dial_whom_is_due();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Expired(gone))) => {
                gone.iter().for_each(|(peer, address)| self.book.remove(*peer, address));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                self.identified(peer_id, &info);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Ok(_), .. })) => {
                if let Some(info) = self.node.seen().peers.get_mut(&peer) {
                    info.heard = Instant::now();
                }
            }
            _ => {}
        }
    }

    /// Ends connections on which nothing is heard. On a slow link a ping waits behind megabytes, so blocks count too.
    fn leave_the_silent(&mut self) {
        let node = self.node.clone();
        for (peer, info) in node.peers() {
            if info.heard.elapsed() >= SILENCE && !node.bitswap.is_stirring(peer) {
                self.gone(peer);
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
    }

    /// A peer is gone, or as good as gone: closing a connection to nowhere takes its time, and is not waited for.
    fn gone(&mut self, peer: PeerId) {
        self.book.met(peer);
        self.node.seen().peers.remove(&peer);
        self.node.bitswap.disconnected(peer);
    }

    /// A Kubo that was reached while it started takes the connection before its Bitswap listens for any, and then never
    /// asks that peer. It says so by the protocols it lists: once Bitswap is among them, the connection is made anew.
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

/// The address and port that a multiaddr names.
fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let ip = tcp_address(address)?;
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    })
}
