//! The limits on connections: addresses within reach, and not too many from one of them. Refused before any
//! cryptography.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::node::networks::TrustedReach;

/// Most connections from one address, pending ones included. Origin: chosen by us.
const FROM_ONE: usize = 8;

/// The reason for refusing a connection.
#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error("the address is not within reach")]
    Address,
    #[error("too many connections from one address")]
    TooMany,
}

/// The swarm behaviour that refuses connections.
pub(crate) struct Gate {
    reach: Arc<RwLock<TrustedReach>>,
    /// Inbound connections, by remote address.
    inbound: HashMap<ConnectionId, IpAddr>,
}

/// Returns the address of a multiaddr that is a plain one over TCP.
pub(crate) fn tcp_address(address: &Multiaddr) -> Option<IpAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let is_tcp = matches!(parts.next(), Some(Protocol::Tcp(_)));
    (is_tcp && matches!(parts.next(), None | Some(Protocol::P2p(_)))).then_some(ip)
}

impl Gate {
    /// Creates a gate that admits what `reach` allows at the time.
    pub(crate) fn new(reach: Arc<RwLock<TrustedReach>>) -> Self {
        Self { reach, inbound: HashMap::new() }
    }

    fn check(&self, address: &Multiaddr) -> Result<IpAddr, ConnectionDenied> {
        let ip = tcp_address(address).ok_or_else(|| ConnectionDenied::new(GateError::Address))?;
        let reach = self.reach.read().expect("nothing panics while it is held");
        if reach.allows(ip) { Ok(ip) } else { Err(ConnectionDenied::new(GateError::Address)) }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let ip = self.check(remote)?;
        if self.inbound.values().filter(|other| **other == ip).count() >= FROM_ONE {
            return Err(ConnectionDenied::new(GateError::TooMany));
        }
        self.inbound.insert(id, ip);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(remote)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(remote)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionClosed(closed) => drop(self.inbound.remove(&closed.connection_id)),
            FromSwarm::ListenFailure(failed) => drop(self.inbound.remove(&failed.connection_id)),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        // The dummy handler has no events.
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(range: &str) -> Gate {
        Gate::new(Arc::new(RwLock::new(TrustedReach { ranges: vec![range.parse().unwrap()] })))
    }

    #[test]
    fn only_plain_tcp_addresses_within_reach_come_in() {
        let mut gate = gate("192.168.1.0/24");
        let local: Multiaddr = "/ip4/192.168.1.1/tcp/1".parse().unwrap();
        let mut ask = |remote: &str| {
            let remote = remote.parse().unwrap();
            gate.handle_pending_inbound_connection(ConnectionId::new_unchecked(1), &local, &remote).is_ok()
        };
        assert!(ask("/ip4/192.168.1.9/tcp/4001"));
        for bad in ["/ip4/192.168.2.9/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip4/192.168.1.9/udp/1", "/dns4/x/tcp/1"] {
            assert!(!ask(bad), "{bad}");
        }
    }

    #[test]
    fn one_address_gets_no_more_than_its_share_of_connections() {
        let mut gate = gate("10.0.0.0/8");
        let (local, remote): (Multiaddr, Multiaddr) =
            ("/ip4/10.0.0.1/tcp/1".parse().unwrap(), "/ip4/10.0.0.2/tcp/9".parse().unwrap());
        let mut ask =
            |id| gate.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &local, &remote).is_ok();
        assert!((0..FROM_ONE).all(&mut ask));
        assert!(!ask(FROM_ONE));
    }
}
