//! The settings of the endpoint, and the URLs that lead to it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::Url;

use crate::base::own_address::is_own_address;
use crate::config::network::Network;
use crate::config::written::Written;

/// The settings of `endpoint`; each field is documented in the row of [`KEYS`](super::keys::KEYS) with its name.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSettings {
    pub(crate) enabled: bool,
    pub(crate) listen: Vec<Written<SocketAddr>>,
    pub(crate) mirrors: bool,
    pub(crate) ahead: bool,
    pub(crate) wait: Duration,
    pub(crate) allow: Vec<Written<Network>>,
    pub(crate) names: Vec<String>,
    pub(crate) peers: Vec<String>,
    pub(crate) announce: bool,
    pub(crate) page: Vec<Written<Network>>,
}

impl EndpointSettings {
    /// Returns true for a URL that leads to this machine's endpoint, which listens on these `ports` besides those that
    /// are configured.
    pub(crate) fn is_at(&self, url: &Url, ports: &[u16]) -> bool {
        let listen = || self.listen.iter().filter_map(|address| address.value().ok());
        let Some((host, port)) = url.host_str().zip(url.port_or_known_default()) else { return false };
        if !ports.contains(&port) && !listen().any(|address| address.port() == port) {
            return false;
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let is_own = |own: &SocketAddr| {
                    own.ip() == address || own.ip().is_unspecified() && own.port() == port && is_own_address(address)
                };
                address.is_loopback() || listen().any(is_own)
            }
            Err(_) => host == "localhost" || self.names.iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }
}
