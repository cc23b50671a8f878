//! The endpoints of other machines of the house (`endpoint.peers`): which of them are on a network that is trusted now.
//! Names are looked up here, ahead of any request; an address that is elsewhere at the moment is not asked.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::HttpEndpoint;
use crate::base::name::{FileName, RepoName};
use crate::config::Settings;
use crate::config::network::is_private;
use crate::engine::deliver::Candidate;

/// Port of an endpoint that is named without one.
const PORT: u16 = 4011;

/// Interval between look-ups of names and networks.
const LOOK: Duration = Duration::from_secs(10);

/// Longest wait for a name.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most endpoints that are asked for one file.
const MOST: usize = 4;

/// Those that may be asked at this moment.
#[derive(Default)]
pub(super) struct HousePeers {
    here: RefCell<Vec<SocketAddr>>,
}

impl HousePeers {
    /// Returns the sources of a package's signature at those that the user named, which are believed where no mirror
    /// answers.
    pub(super) fn named(&self, repo: &RepoName, name: &FileName) -> Vec<Candidate> {
        self.candidates(repo, name)
    }

    /// Returns the sources of a package at these endpoints.
    pub(super) fn candidates(&self, repo: &RepoName, name: &FileName) -> Vec<Candidate> {
        let here = self.here.borrow();
        let urls = here.iter().filter_map(|at| {
            let mut url = Url::parse(&format!("http://{at}/")).ok()?;
            let parts = [repo.as_str(), "os", std::env::consts::ARCH, name.as_str()];
            url.path_segments_mut().ok()?.pop_if_empty().extend(parts);
            Some(url)
        });
        urls.map(Candidate::House).collect()
    }
}

/// Looks for ever which of them are here.
pub(super) async fn follow(endpoint: Rc<HttpEndpoint>) {
    loop {
        let settings = endpoint.means.settings().1;
        let mut here = Vec::new();
        for peer in settings.endpoint.peers.iter().take(MOST) {
            let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(with_port(peer))).await;
            let found: Vec<SocketAddr> = found.map(|found| found.into_iter().flatten().collect()).unwrap_or_default();
            let is_other =
                |at: &SocketAddr| !endpoint.access.borrow().ports.contains(&at.port()) || !at.ip().is_loopback();
            let (others, settings) = (found.into_iter().filter(is_other).collect::<Vec<_>>(), Arc::clone(&settings));
            // It asks the system for its routers.
            let near = move || others.into_iter().find(|at| is_near(&settings, at.ip()));
            here.extend(tokio::task::spawn_blocking(near).await.ok().flatten());
        }
        *endpoint.transfers.house.here.borrow_mut() = here;
        drop(settings);
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the peer with its port.
fn with_port(peer: &str) -> String {
    let has_port = peer
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
    match (has_port, peer.parse::<IpAddr>()) {
        (true, Err(_)) => peer.to_owned(),
        (_, Ok(IpAddr::V6(address))) => format!("[{address}]:{PORT}"),
        _ => format!("{peer}:{PORT}"),
    }
}

/// Returns true for an address on this machine, or on a network that is trusted and here now: elsewhere another machine
/// has it, which is not told what this one installs.
fn is_near(settings: &Settings, address: IpAddr) -> bool {
    address.is_loopback() || is_private(address) && is_on_trusted(settings, address)
}

#[cfg(feature = "node")]
fn is_on_trusted(settings: &Settings, address: IpAddr) -> bool {
    use crate::node::networks::{self, NetworkStanding};
    let Ok(allowed) = networks::Allowed::of(settings) else { return false };
    let here = networks::here().unwrap_or_default();
    here.iter().any(|local| local.address.contains(&address) && allowed.stands(local) == NetworkStanding::Used)
}

/// Without the node no router can be told from another one, so that only ranges that are trusted as such are.
#[cfg(not(feature = "node"))]
fn is_on_trusted(settings: &Settings, address: IpAddr) -> bool {
    use crate::config::network::Network;
    settings.lan_networks.iter().filter_map(|network| network.value().ok()).any(|network| match network {
        Network::Any => true,
        Network::Range(range, None) => range.contains(&address),
        Network::Range(_, Some(_)) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_without_a_port_has_the_usual_one() {
        for (peer, whole) in [
            ("cellar", "cellar:4011"),
            ("cellar.lan:80", "cellar.lan:80"),
            ("192.168.1.2", "192.168.1.2:4011"),
            ("192.168.1.2:8080", "192.168.1.2:8080"),
            ("fd00::2", "[fd00::2]:4011"),
            ("[fd00::2]:80", "[fd00::2]:80"),
            ("[fd00::2]", "[fd00::2]:4011"),
        ] {
            assert_eq!(with_port(peer), whole);
        }
    }

    #[test]
    fn a_package_is_asked_for_below_its_repository() {
        let peers = HousePeers { here: RefCell::new(vec!["127.0.0.1:4011".parse().unwrap()]) };
        let (repo, name) = (RepoName::new("core").unwrap(), FileName::new("a b-1:2%-1-any.pkg.tar.zst").unwrap());
        let Some(Candidate::House(url)) = peers.candidates(&repo, &name).pop() else { panic!("one") };
        assert!(url.as_str().starts_with("http://127.0.0.1:4011/core/os/"), "{url}");
        assert!(url.as_str().ends_with("/a%20b-1:2%25-1-any.pkg.tar.zst"), "{url}");
    }
}
