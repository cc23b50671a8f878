//! Lets Kubo find this node. Its multicast DNS drops records without an address (zeroconf 2025-03), which are all that
//! rust-libp2p announces; the same service with SRV, A and TXT makes Kubo dial within two seconds.

use std::net::IpAddr;

use libp2p::PeerId;
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};

/// libp2p's service name (`specs:discovery/mdns.md`).
const SERVICE: &str = "_p2p._udp.local.";

/// An announcement, withdrawn when it is dropped.
pub struct Advert {
    daemon: ServiceDaemon,
}

impl Advert {
    /// Announces `peer` at these addresses, on their interfaces alone. `name` must differ between machines.
    ///
    /// # Errors
    /// When multicast sockets cannot be had; trying again later may help.
    pub fn new(peer: PeerId, name: &str, addresses: &[(IpAddr, u16)]) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let this = Self { daemon };
        this.daemon.disable_interface(IfKind::All)?;
        for (number, (ip, port)) in addresses.iter().enumerate() {
            this.daemon.enable_interface(IfKind::Addr(*ip))?;
            let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
            // One instance for each address: a TXT key counts once.
            let instance = format!("{name}{number}");
            let txt = [("dnsaddr", format!("/{family}/{ip}/tcp/{port}/p2p/{peer}"))];
            let info = ServiceInfo::new(SERVICE, &instance, &format!("{instance}.local."), *ip, *port, &txt[..])?;
            this.daemon.register(info)?;
        }
        Ok(this)
    }
}

impl Drop for Advert {
    fn drop(&mut self) {
        // Its thread says goodbye and ends; nobody waits for it.
        let _ = self.daemon.shutdown();
    }
}
