//! Discovery by multicast DNS over IPv4 and IPv6, in both directions, on the interfaces of trusted networks and no
//! others.
//!
//! One socket for each family of each interface, bound to that interface: packets from other interfaces are not
//! received, and none are sent there. An announcement is only a hint where to dial; Noise proves the peer.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::node::gate::tcp_address;
use crate::node::limits::Rate;
use crate::node::mdns::{self, Announcement, FoundPeer, LIFE};
use crate::node::networks::Vicinity;

/// Groups and port (RFC 6762, section 3).
pub(crate) const GROUP_4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(crate) const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
pub(crate) const PORT: u16 = 5353;

/// First and longest wait between two questions; each wait is twice the last (RFC 6762, section 5.2). An
/// announcement is valid for three of the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);

/// Least time between sending the same records (RFC 6762, section 6).
const APART: Duration = Duration::from_secs(1);

/// Packets of one interface and family that are processed in a second, and those of one sender. A long one counts
/// for several. Origin: chosen by us; a LAN of hundreds has fewer.
const PACKETS: u64 = 256;
const PACKETS_EACH: u64 = 32;

/// Bytes that count as one packet: a frame of Ethernet.
const PACKET: usize = 1500;

/// Longest packet: the longest datagram. Packets beyond 9000 bytes (RFC 6762, section 17) come from Kubo on a host
/// with many bridges.
const LONGEST_PACKET: usize = 65_535;

/// Most senders whose packets are counted.
const SENDERS_MOST: usize = 1024;

/// Announcements that wait for the event loop; beyond, they are dropped and come again.
const WAITING: usize = 256;

/// An interface to be active on, and the addresses on which this node listens there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ActiveInterface {
    /// The interface's name.
    pub(crate) interface: String,
    /// The interface's number.
    pub(crate) index: u32,
    /// Our addresses there, over TCP.
    pub(crate) addresses: Vec<Multiaddr>,
    /// The addresses that neighbours there can have.
    pub(crate) around: Vicinity,
}

/// A family of an interface.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LinkKey {
    interface: String,
    index: u32,
    is_ipv6: bool,
}

/// Discovery on all links.
pub(crate) struct Discovery {
    peer: PeerId,
    links: HashMap<LinkKey, MdnsLink>,
    tell: mpsc::Sender<FoundPeer>,
    found: mpsc::Receiver<FoundPeer>,
}

impl Discovery {
    /// Creates it, active on no interface.
    pub(crate) fn new(peer: PeerId) -> Self {
        let (tell, found) = mpsc::channel(WAITING);
        Self { peer, links: HashMap::new(), tell, found }
    }

    /// Makes these the active interfaces, and no others. If multicast is unavailable, the next call tries again.
    pub(crate) fn follow(&mut self, interfaces: &[ActiveInterface]) {
        let wanted: HashMap<LinkKey, &ActiveInterface> = interfaces.iter().flat_map(keys).collect();
        self.links.retain(|key, _| wanted.contains_key(key));
        for (key, active) in wanted {
            match self.links.get(&key) {
                Some(link) => {
                    link.active.send_if_modified(|old| {
                        let is_new = old != active;
                        old.clone_from(active);
                        is_new
                    });
                }
                None => {
                    let label = label(self.peer, &key);
                    if let Ok(link) = MdnsLink::new(&key, self.peer, label, active.clone(), self.tell.clone()) {
                        self.links.insert(key, link);
                    }
                }
            }
        }
    }

    /// Waits for the next announced peer.
    pub(crate) async fn next(&mut self) -> FoundPeer {
        self.found.recv().await.expect("it holds a sender itself")
    }
}

/// Lists the families in which an interface has addresses.
fn keys(active: &ActiveInterface) -> impl Iterator<Item = (LinkKey, &ActiveInterface)> {
    let has = |is_ipv6| active.addresses.iter().filter_map(tcp_address).any(|ip| ip.is_ipv6() == is_ipv6);
    let key = |is_ipv6| LinkKey { interface: active.interface.clone(), index: active.index, is_ipv6 };
    [false, true].into_iter().filter(move |it| has(*it)).map(move |it| (key(it), active))
}

/// Returns the label of an announcement: a different one on each interface, because other addresses are announced
/// there.
fn label(peer: PeerId, key: &LinkKey) -> String {
    let end: String = peer.to_base58().chars().rev().take(20).collect();
    format!("{end}{}", key.index)
}

impl Drop for Discovery {
    fn drop(&mut self) {
        // Only at the end: when a network is left, the interface may belong to another one already.
        self.links.values().for_each(MdnsLink::take_leave);
    }
}

/// One family of one interface.
struct MdnsLink {
    socket: Arc<UdpSocket>,
    group: SocketAddr,
    peer: PeerId,
    label: String,
    active: watch::Sender<ActiveInterface>,
    task: JoinHandle<()>,
}

impl MdnsLink {
    fn new(
        key: &LinkKey,
        peer: PeerId,
        label: String,
        active: ActiveInterface,
        tell: mpsc::Sender<FoundPeer>,
    ) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::from_std(socket(&key.interface, key.index, key.is_ipv6)?.into())?);
        let group = match key.is_ipv6 {
            false => SocketAddr::new(IpAddr::V4(GROUP_4), PORT),
            true => SocketAddrV6::new(GROUP_6, PORT, 0, key.index).into(),
        };
        let (give, active) = watch::channel(active);
        // Machines that answer the same question wait for different times.
        let delay = Duration::from_millis(20 + u64::from(*peer.to_bytes().last().unwrap_or(&0)) * 100 / 256);
        let serving = Serving { socket: Arc::clone(&socket), group, peer, label: label.clone(), active, delay, tell };
        let task = tokio::spawn(serving.run());
        Ok(Self { socket, group, peer, label, active: give, task })
    }
}

impl MdnsLink {
    /// Announces that this node leaves.
    fn take_leave(&self) {
        let leave = mdns::announcement(&self.label, self.peer, &self.active.borrow().addresses, Duration::ZERO);
        let _ = self.socket.try_send_to(&leave, self.group);
    }
}

impl Drop for MdnsLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a socket for multicast DNS on one interface alone, in one family. Without root, binding to an interface needs
/// Linux 5.7.
pub(crate) fn socket(interface: &str, index: u32, is_ipv6: bool) -> io::Result<Socket> {
    let domain = if is_ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // Other programs of this machine use the port as well.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    if is_ipv6 {
        socket.set_only_v6(true)?;
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_hops_v6(255)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
        socket.join_multicast_v6(&GROUP_6, index)?;
    } else {
        socket.set_multicast_ttl_v4(255)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
        socket.join_multicast_v4_n(&GROUP_4, &InterfaceIndexOrAddress::Index(index))?;
    }
    Ok(socket)
}

/// The task of a link.
struct Serving {
    socket: Arc<UdpSocket>,
    group: SocketAddr,
    peer: PeerId,
    label: String,
    active: watch::Receiver<ActiveInterface>,
    delay: Duration,
    tell: mpsc::Sender<FoundPeer>,
}

impl Serving {
    /// Asks, answers and listens, until it is aborted.
    async fn run(mut self) {
        // Neighbours that start at the same time send all their announcements in the first milliseconds.
        let (rate, mut packet) = (Rate::rested(PACKETS), vec![0; LONGEST_PACKET]);
        let mut senders: HashMap<IpAddr, Rate> = HashMap::new();
        self.speak_from_here();
        let (mut wait, mut ask_at) = (FIRST, Instant::now());
        // The first announcement goes out at once, and again for late neighbours (RFC 6762, section 8.3).
        let (mut again, mut answer_at, mut answered) = (1, Some(Instant::now()), None::<Instant>);
        loop {
            tokio::select! {
                got = self.socket.recv_from(&mut packet) => {
                    let Ok((len, from)) = got else {
                        // The interface is down, for now.
                        tokio::time::sleep(APART).await;
                        continue;
                    };
                    let (by, units) = (from.ip(), 1 + (len / PACKET) as u64);
                    if senders.len() > SENDERS_MOST {
                        senders.clear();
                    }
                    // A sender of many packets leaves the others their part.
                    let each = senders.entry(by).or_insert_with(|| Rate::rested(PACKETS_EACH));
                    if !each.try_take(units) || !rate.try_take(units) {
                        continue;
                    }
                    let heard = mdns::read(&packet[..len], by, &self.active.borrow().around);
                    match heard {
                        Some(Announcement::Asked) => {
                            let earliest = answered.map_or(Instant::now(), |last| last + APART);
                            answer_at.get_or_insert(earliest.max(Instant::now() + self.delay));
                            // All neighbours hear the answers: one question in a while is enough for all.
                            if wait >= LONGEST {
                                ask_at = Instant::now() + LONGEST + self.delay * 10;
                            }
                        }
                        Some(Announcement::Found(found)) => found.into_iter().for_each(|it| drop(self.tell.try_send(it))),
                        None => {}
                    }
                }
                () = sleep_until(ask_at) => {
                    self.send(&mdns::question()).await;
                    ask_at = Instant::now() + wait;
                    wait = (wait * 2).min(LONGEST);
                }
                () = sleep_until(answer_at.unwrap_or(ask_at)), if answer_at.is_some() => {
                    let addresses = self.active.borrow_and_update().addresses.clone();
                    let announcement = mdns::announcement(&self.label, self.peer, &addresses, LIFE);
                    self.send(&announcement).await;
                    answered = Some(Instant::now());
                    answer_at = (again > 0).then(|| Instant::now() + APART);
                    again = 0;
                }
                changed = self.active.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.speak_from_here();
                    (again, answer_at) = (1, Some(Instant::now()));
                }
            }
        }
    }

    /// Sends from an announced address, else neighbours ignore the packet: an interface can have several IPv4
    /// addresses. The IPv6 one is the link's own, which counts as well.
    fn speak_from_here(&self) {
        let active = self.active.borrow();
        let first = active.addresses.iter().filter_map(tcp_address).find_map(|ip| match ip {
            IpAddr::V4(ip) if self.group.is_ipv4() => Some(ip),
            _ => None,
        });
        if let Some(ip) = first {
            // At worst the address is gone again; then there will be another change.
            let _ = SockRef::from(&*self.socket).set_multicast_if_v4(&ip);
        }
    }

    async fn send(&self, packet: &[u8]) {
        // Without a cable the packet is lost; it is sent again later.
        let _ = self.socket.send_to(packet, self.group).await;
    }
}
