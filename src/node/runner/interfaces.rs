//! The active networks of a node: those of this machine on which it listens, announces itself, and dials announced
//! peers.

use std::net::IpAddr;

use ipnet::IpNet;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::{DIALS_MOST, FOREVER, ListenAddress, Runner};
use crate::node::PeerInfo;
use crate::node::discovery::ActiveInterface;
use crate::node::gate::tcp_address;
use crate::node::mdns::FoundPeer;
use crate::node::networks::{self, LocalAddress, NetworkStanding, Vicinity};

impl Runner {
    /// True if a further check may show more: the router's hardware address can become known a little after the
    /// address, and an IPv6 address can be used once no other machine turns out to have it.
    pub(super) fn is_unsettled(&self) -> bool {
        let networks = self.node.networks();
        let used = networks.iter().filter(|(_, stands)| *stands == NetworkStanding::Used).count();
        let may_change = |(_, stands): &(LocalAddress, NetworkStanding)| {
            matches!(stands, NetworkStanding::NotTrusted | NetworkStanding::RouterUnseen)
        };
        self.networks.is_blind || networks.iter().any(may_change) || used > self.networks.listeners.len()
    }

    /// Listens on the addresses in networks where this node may be active, and on no others.
    pub(super) fn look_around(&mut self) {
        // Fails, for example, without free descriptors: everything stays as it is until the next check.
        let found = networks::here();
        self.networks.is_blind = found.is_err();
        let Ok(found) = found else { return };
        let own: Vec<IpAddr> = found.iter().map(|here| here.address.addr()).collect();
        let is_other = std::mem::replace(&mut self.networks.own, own) != self.networks.own;
        let networks: Vec<(LocalAddress, NetworkStanding)> = found
            .into_iter()
            .map(|here| {
                let stands = self.networks.allowed.stands(&here);
                (here, stands)
            })
            .filter(|(here, stands)| *stands == NetworkStanding::Used || here.is_lan())
            .collect();
        let used = networks.iter().filter(|(_, stands)| *stands == NetworkStanding::Used).map(|(here, _)| here.clone());
        let wanted: Vec<LocalAddress> = used.collect();
        if networks.iter().any(|(_, stands)| *stands == NetworkStanding::RouterUnseen) {
            // Its answer shows at the next check.
            networks::provoke();
        }
        {
            let mut seen = self.node.seen();
            seen.networks = networks;
            seen.trusted = self.networks.allowed.networks.iter().map(ToString::to_string).collect();
        }
        let mut ranges: Vec<IpNet> = wanted.iter().map(|here| here.address).collect();
        ranges.extend(self.dialling.statics.iter().filter_map(|(_, at)| tcp_address(at)).map(IpNet::from));
        self.networks.reach.write().expect("nothing panics while it is held").ranges = ranges;
        let is_wanted = |at: &IpNet, of: &ListenAddress| {
            wanted.iter().any(|here| here.address == *at && here.index == of.index && here.interface == of.interface)
        };
        let gone: Vec<IpNet> =
            self.networks.listeners.iter().filter(|(at, of)| !is_wanted(at, of)).map(|(at, _)| *at).collect();
        for at in &gone {
            let listener = self.networks.listeners.remove(at).expect("it was found there");
            self.swarm.remove_listener(listener.id);
            self.leave_network(*at);
        }
        if !gone.is_empty() {
            self.leave_out_of_reach();
        }
        if is_other || !gone.is_empty() {
            self.announce();
        }
        for here in wanted {
            if !self.networks.listeners.contains_key(&here.address) {
                self.listen(here);
            }
        }
        // Static peers are in no announcement, and not forgotten.
        self.dialling.statics.iter().for_each(|(peer, at)| self.dialling.book.add(*peer, at.clone(), FOREVER));
    }

    fn listen(&mut self, here: LocalAddress) {
        let address = |port| Multiaddr::from(here.address.addr()).with(Protocol::Tcp(port));
        // Another program may have the port; peers learn the one we get.
        let listening = self.swarm.listen_on(address(self.networks.port)).or_else(|_| self.swarm.listen_on(address(0)));
        if let Ok(id) = listening {
            let listener = ListenAddress { id, interface: here.interface, index: here.index, at: None };
            self.networks.listeners.insert(here.address, listener);
        }
    }

    /// Ends connections with addresses that are out of reach now, and dials none of them.
    fn leave_out_of_reach(&mut self) {
        let reach = self.networks.reach.read().expect("nothing panics while it is held").clone();
        let is_out = |at: &Multiaddr| tcp_address(at).is_none_or(|ip| !reach.allows(ip));
        self.dialling.book.keep(|at| !is_out(at));
        let out = |info: &PeerInfo| is_out(&info.address);
        let peers: Vec<PeerId> =
            self.node.peers().into_iter().filter(|(_, info)| out(info)).map(|(id, _)| id).collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Announces the listening addresses, and looks for peers there.
    pub(super) fn announce(&mut self) {
        let mut interfaces: Vec<ActiveInterface> = Vec::new();
        let mut listening = Vec::new();
        for (range, listener) in &self.networks.listeners {
            let Some(at) = &listener.at else { continue };
            listening.push(at.clone());
            // Loopback has no multicast, and no other machine on it.
            if tcp_address(at).is_none_or(|ip| ip.is_loopback()) {
                continue;
            }
            match interfaces.iter_mut().find(|active| active.index == listener.index) {
                Some(active) => {
                    active.addresses.push(at.clone());
                    active.around.ranges.push(*range);
                }
                None => interfaces.push(ActiveInterface {
                    interface: listener.interface.clone(),
                    index: listener.index,
                    addresses: vec![at.clone()],
                    around: Vicinity { ranges: vec![*range], own: self.networks.own.clone() },
                }),
            }
        }
        for active in &mut interfaces {
            active.addresses.sort();
            active.around.ranges.sort();
        }
        listening.sort();
        self.discovery.follow(&interfaces);
        self.node.seen().listening = listening;
    }

    /// Handles an announced peer.
    pub(super) fn on_found(&mut self, found: FoundPeer) {
        let is_near = {
            let reach = self.networks.reach.read().expect("nothing panics while it is held");
            tcp_address(&found.address).is_some_and(|ip| {
                let ip = ip.to_canonical();
                !ip.is_loopback() && !self.networks.own.contains(&ip) && reach.allows(ip)
            })
        };
        if is_near && found.peer != self.node.id {
            self.dialling.book.hear(found);
            self.dial_due();
        }
    }

    /// Dials peers in the book that are not connected: a few at a time, and no more in a second than a network has
    /// reason to.
    pub(super) fn dial_due(&mut self) {
        let node = self.node.clone();
        self.dialling.book.keep(|_| true);
        let under_way = self.swarm.network_info().connection_counters().num_pending_outgoing();
        let mut room = DIALS_MOST.saturating_sub(under_way);
        let may_dial = || {
            let may = room > 0 && self.dialling.rate.try_take(1);
            room -= u32::from(may);
            may
        };
        for (peer, addresses) in self.dialling.book.due(|peer| node.seen().peers.contains_key(peer), may_dial) {
            // Once each, else multicast DNS makes several connections between two peers.
            let dial = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::NotDialing);
            // From a new port: two peers that dial each other at the same time from their listening ports make one
            // connection of which both are the dialer (RFC 9293, 3.5, simultaneous open), and neither is answered.
            let dial = dial.allocate_new_port();
            let _ = self.swarm.dial(dial.build());
        }
    }

    /// Drops connections to a network in which this machine has another address now, or none: no more data comes.
    pub(super) fn leave_network(&mut self, network: IpNet) {
        let peers = self.node.peers().into_iter();
        let there = peers.filter(|(_, info)| tcp_address(&info.address).is_some_and(|ip| network.contains(&ip)));
        for (peer, _) in there.collect::<Vec<_>>() {
            self.connections.retain(|_, (other, _)| *other != peer);
            let _ = self.swarm.disconnect_peer_id(peer);
            self.gone(peer, "its network is not used any more");
        }
    }
}
