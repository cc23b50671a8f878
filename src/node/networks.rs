//! The trusted networks, and the addresses with which there is any traffic: private ones, and only on these
//! networks.
//!
//! A trusted network is a range, `192.168.1.0/24`, and better a range with the hardware address of its router,
//! `192.168.1.0/24@aa:bb:cc:dd:ee:ff`: the same range is found in every other café. Claims of neighbours have no
//! influence on this.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;
use std::net::IpAddr;

use glob::Pattern;
use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use crate::config::Settings;
use crate::config::network::{Network, is_link_local_6, is_private};
use crate::config::written::Written;

mod routers;

pub(crate) use routers::{await_hardware, provoke};

/// The networks and interfaces on which the node may be active.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Allowed {
    /// Trusted networks.
    pub(crate) networks: Vec<Network>,
    /// Names of interfaces, with `*` and `?`; none means all.
    pub(crate) interfaces: Vec<Pattern>,
}

impl Allowed {
    /// Reads them from the settings.
    ///
    /// # Errors
    /// The name of the setting that is malformed, and why.
    pub(crate) fn of(settings: &Settings) -> Result<Self, (&'static str, &str)> {
        Ok(Self {
            networks: Written::values(&settings.lan_networks).map_err(|why| ("lan.networks", why))?,
            interfaces: Written::values(&settings.lan_interfaces).map_err(|why| ("lan.interfaces", why))?,
        })
    }

    /// True if this interface is one of those.
    pub(crate) fn chooses(&self, interface: &str) -> bool {
        self.interfaces.is_empty() || self.interfaces.iter().any(|it| it.matches(interface))
    }

    /// Returns the standing of a network of this machine.
    pub(crate) fn stands(&self, here: &LocalAddress) -> NetworkStanding {
        match (self.chooses(&here.interface), here.is_trusted(&self.networks)) {
            (false, _) => NetworkStanding::NotChosen,
            (true, true) => NetworkStanding::Used,
            (true, false) if here.router.is_none() && here.may_be_one_of(&self.networks) => {
                NetworkStanding::RouterUnseen
            }
            (true, false) => NetworkStanding::NotTrusted,
        }
    }
}

/// The standing of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NetworkStanding {
    /// The node asks and answers there.
    Used,
    /// The user has not trusted it.
    NotTrusted,
    /// The user has trusted it by its router, which is not seen now: it may be another network of the same range.
    RouterUnseen,
    /// The interface is not among the configured ones.
    NotChosen,
}

impl NetworkStanding {
    /// Returns the command by which a user has it used.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        match self {
            NetworkStanding::Used | NetworkStanding::RouterUnseen => None,
            NetworkStanding::NotTrusted => Some("sudo pkgswarm lan trust"),
            NetworkStanding::NotChosen => Some("pkgswarm config lan.interfaces"),
        }
    }

    /// Describes it in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            NetworkStanding::Used => "trusted",
            NetworkStanding::NotTrusted => "not trusted",
            NetworkStanding::RouterUnseen => "trusted, the router is not seen now",
            NetworkStanding::NotChosen => "not used: lan.interfaces names others",
        }
    }
}

/// An address of this machine with its range, and the hardware address of the router there, if one is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LocalAddress {
    /// The interface's name.
    pub(crate) interface: String,
    /// The interface's number.
    pub(crate) index: u32,
    /// This machine's address, with the prefix length of its network.
    pub(crate) address: IpNet,
    /// The address of the default router within that range.
    pub(crate) gateway: Option<IpAddr>,
    /// Its hardware address, while the kernel knows it.
    pub(crate) router: Option<String>,
}

impl LocalAddress {
    /// Returns the entry of `lan.networks` that means this network.
    pub(crate) fn network(&self) -> Network {
        Network::Range(self.address.trunc(), self.router.clone())
    }

    /// True for a network with other machines on it that can be trusted at all.
    pub(crate) fn is_lan(&self) -> bool {
        self.is_usable() && !self.address.addr().is_loopback()
    }

    fn is_usable(&self) -> bool {
        is_private(self.address.addr()) && !is_link_local_6(self.address.addr())
    }

    /// True if one of these entries means this network, or would if its router were seen.
    pub(crate) fn may_be_one_of(&self, trusted: &[Network]) -> bool {
        trusted.iter().any(|network| self.may_be(network))
    }

    /// True if this entry names the range of this network, and its router or one while none is seen.
    pub(crate) fn may_be(&self, network: &Network) -> bool {
        let of_it = |router: &Option<String>| router.is_none() || self.router.is_none() || *router == self.router;
        self.is_usable()
            && matches!(network, Network::Range(range, router) if range.contains(&self.address.addr()) && of_it(router))
    }

    /// True if nothing that is seen here tells this network from others of the same range. Unique local addresses of
    /// IPv6 are random, so their range suffices (RFC 4193, 3.2.2).
    pub(crate) fn is_vague(&self) -> bool {
        self.router.is_none() && self.address.addr().is_ipv4()
    }

    /// True if one of these entries means this network. Loopback must be named: its peers are on this machine.
    pub(crate) fn is_trusted(&self, trusted: &[Network]) -> bool {
        self.is_usable()
            && trusted.iter().any(|network| match network {
                Network::Any => self.is_lan(),
                Network::Range(range, router) => {
                    range.contains(&self.address.addr()) && (router.is_none() || *router == self.router)
                }
            })
    }
}

/// The addresses with which there may be traffic now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TrustedReach {
    /// The ranges of this machine's trusted networks, and those of static peers.
    pub(crate) ranges: Vec<IpNet>,
}

impl TrustedReach {
    /// True if `address` is private and in one of the ranges, or loopback, which is this machine.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_private(address) && (address.is_loopback() || self.ranges.iter().any(|range| range.contains(&address)))
    }
}

/// The addresses that neighbours on one interface can have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vicinity {
    /// The ranges of its trusted networks.
    pub ranges: Vec<IpNet>,
    /// The addresses of this machine, on all interfaces.
    pub own: Vec<IpAddr>,
}

impl Vicinity {
    /// True if a neighbour can have this address: not one of this machine, nor broadcast or multicast.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_of_one = |range: &IpNet| match range {
            // A range of two has no other addresses (RFC 3021).
            IpNet::V4(it) if it.prefix_len() < 31 => address != it.network() && address != it.broadcast(),
            _ => true,
        };
        is_private(address)
            && !address.is_loopback()
            && !self.own.contains(&address)
            && self.ranges.iter().any(|range| range.contains(&address))
            && self.ranges.iter().filter(|range| range.contains(&address)).all(is_of_one)
    }
}

/// True if an address is valid on one link only: such a sender is on it.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    let address = address.to_canonical();
    is_link_local_6(address) || matches!(address, IpAddr::V4(it) if it.is_link_local())
}

/// Lists the networks of this machine, by the addresses of its interfaces that are up.
///
/// # Errors
/// When the kernel does not list them.
pub(crate) fn here() -> io::Result<Vec<LocalAddress>> {
    let routers = routers::routers();
    let with_router = |(interface, index, address): (String, u32, IpNet)| {
        let inside = routers.iter().find(|router| address.contains(&IpAddr::V4(router.address)));
        let gateway = inside.map(|router| IpAddr::V4(router.address));
        LocalAddress { interface, index, address, gateway, router: inside.and_then(|router| router.hardware.clone()) }
    };
    Ok(getifaddrs()?.filter_map(|it| of_interface(&it)).map(with_router).collect())
}

/// Returns the interface, and its address with the range.
fn of_interface(it: &InterfaceAddress) -> Option<(String, u32, IpNet)> {
    let ip = |address: Option<SockaddrStorage>| {
        let address = address?;
        let ip4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        ip4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    if !it.flags.contains(InterfaceFlags::IFF_UP) {
        return None;
    }
    let address = IpNet::with_netmask(ip(it.address)?, ip(it.netmask)?).ok()?;
    // The label of an IPv4 address may follow the name after a colon (ip-address(8)).
    let name = it.interface_name.split(':').next().unwrap_or_default();
    Some((name.to_owned(), if_nametoindex(name).ok()?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn here(address: &str, router: Option<&str>) -> LocalAddress {
        let (address, router) = (address.parse().unwrap(), router.map(str::to_owned));
        LocalAddress { interface: "eth0".to_owned(), index: 2, address, gateway: None, router }
    }

    #[test]
    fn the_interfaces_to_be_used_can_be_chosen() {
        let stands = |interfaces: &[&str]| {
            let interfaces = interfaces.iter().map(|it| Pattern::new(it).unwrap()).collect();
            Allowed { networks: vec![Network::Any], interfaces }.stands(&here("10.1.2.3/24", None))
        };
        assert_eq!([stands(&[]), stands(&["eth0"]), stands(&["wlan0", "eth*"])], [NetworkStanding::Used; 3]);
        assert_eq!([stands(&["eth1"]), stands(&["en*", "wl*"])], [NetworkStanding::NotChosen; 2]);
        assert_eq!(Allowed::default().stands(&here("10.1.2.3/24", None)), NetworkStanding::NotTrusted);
    }

    #[test]
    fn this_machine_knows_its_own_loopback_by_interface_and_range() {
        let found = super::here().unwrap();
        let loopback = found.iter().find(|here| here.address.addr().is_loopback()).expect("loopback is up");
        assert!(loopback.index > 0 && !loopback.interface.is_empty() && !loopback.is_lan(), "{loopback:?}");
        assert!([8, 128].contains(&loopback.address.prefix_len()), "{loopback:?}");
    }

    #[test]
    fn the_same_range_behind_another_router_is_another_network() {
        let (home, mac) = ([net("192.168.1.0/24@aa:bb:cc:00:11:22")], "aa:bb:cc:00:11:22");
        assert!(here("192.168.1.7/24", Some(mac)).is_trusted(&home));
        assert!(!here("192.168.1.7/24", Some("00:00:00:00:00:01")).is_trusted(&home));
        assert!(!here("192.168.1.7/24", None).is_trusted(&home));
        let allowed = Allowed { networks: home.to_vec(), interfaces: Vec::new() };
        for (router, range, stands) in [
            (Some(mac), "192.168.1.7/24", NetworkStanding::Used),
            (Some("00:00:00:00:00:01"), "192.168.1.7/24", NetworkStanding::NotTrusted),
            (None, "192.168.1.7/24", NetworkStanding::RouterUnseen),
            (None, "192.168.2.7/24", NetworkStanding::NotTrusted),
        ] {
            assert_eq!(allowed.stands(&here(range, router)), stands, "{router:?} {range}");
        }
        assert!(here("192.168.1.7/24", None).is_trusted(&[net("192.168.1.0/24")]));
        assert!(!here("192.168.2.7/24", None).is_trusted(&[net("192.168.1.0/24")]));
    }

    #[test]
    fn any_means_private_networks_only() {
        for (address, trusted) in [
            ("10.1.2.3/8", true),
            ("fd00::5/64", true),
            ("127.0.0.1/8", false),
            ("8.8.8.8/24", false),
            ("fe80::1/64", false),
        ] {
            assert_eq!(here(address, None).is_trusted(&[Network::Any]), trusted, "{address}");
        }
    }

    #[test]
    fn public_addresses_are_out_of_reach_whatever_the_range_says() {
        let reach = TrustedReach { ranges: vec!["192.168.1.0/24".parse().unwrap(), "0.0.0.0/0".parse().unwrap()] };
        for (address, allowed) in [
            ("192.168.1.9", true),
            ("::ffff:192.168.1.9", true),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
            ("::1", true),
        ] {
            assert_eq!(reach.allows(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(!TrustedReach::default().allows("192.168.1.9".parse().unwrap()));
    }

    #[test]
    fn neighbours_have_no_address_of_this_machine_and_no_broadcast_address() {
        let ranges = ["10.77.0.1/24", "10.78.0.0/31", "fd77::1/64"].map(|range| range.parse().unwrap()).to_vec();
        let own = ["10.77.0.1", "10.77.0.9", "fd77::1", "127.0.0.1"].map(|ip| ip.parse().unwrap()).to_vec();
        let around = Vicinity { ranges, own };
        for (address, can_be) in [
            ("10.77.0.2", true),
            ("::ffff:10.77.0.2", true),
            ("10.78.0.0", true),
            ("fd77::2", true),
            ("10.77.0.1", false),
            ("::ffff:10.77.0.9", false),
            ("10.77.0.255", false),
            ("10.77.0.0", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("224.0.0.251", false),
            ("10.79.0.2", false),
            ("127.0.0.2", false),
            ("fd77::1", false),
            ("fd78::2", false),
            ("ff02::fb", false),
            ("fe80::2", false),
            ("::", false),
        ] {
            assert_eq!(around.has(address.parse().unwrap()), can_be, "{address}");
        }
    }
}
