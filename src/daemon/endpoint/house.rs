//! The endpoints of other machines of the house (`endpoint.peers`): which of them are on a network that is trusted now.
//! Names are looked up here, ahead of any request; an address that is elsewhere at the moment is not asked. One that was
//! found by its announcement is asked for files once it has shown to be an endpoint.

use std::cell::RefCell;
#[cfg(feature = "node")]
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "node")]
use reqwest::StatusCode;
use reqwest::Url;
#[cfg(feature = "node")]
use reqwest::header::SERVER;
#[cfg(feature = "node")]
use tokio::time::Instant;

use super::HttpEndpoint;
#[cfg(feature = "node")]
use super::links::{HeardEndpoints, ServiceLinks, ServiceWishes};
use crate::base::name::{FileName, RepoName};
use crate::base::own_address::is_own_address;
use crate::config::Settings;
use crate::config::network::is_private;
use crate::engine::deliver::Candidate;
use crate::machine::Machine;
#[cfg(feature = "node")]
use crate::net::http::{self, GetOptions};
#[cfg(feature = "node")]
use crate::node::networks::{self, Allowed, LocalAddress, NetworkStanding};
use crate::report::log;

/// The word in `endpoint.peers` that means those that announce themselves.
const DNS_SD: &str = "dns-sd";

/// Port of an endpoint that is named without one.
const PORT: u16 = 4011;

/// Interval between look-ups of names and networks.
const LOOK: Duration = Duration::from_secs(10);

/// Longest wait for a name.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most endpoints that are asked for one file.
const MOST: usize = 4;

/// Longest wait for an endpoint that announced itself to show that it is one.
#[cfg(feature = "node")]
const SHOWS: Duration = Duration::from_secs(1);

/// Time for which one that has shown it is taken for one.
#[cfg(feature = "node")]
const SHOWN: Duration = Duration::from_secs(60);

/// An endpoint of the house.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HousePeer {
    /// Its address.
    pub(super) at: SocketAddr,
    /// What names it: a word of `endpoint.peers`.
    pub(super) by: String,
}

/// Those that may be asked at this moment.
#[derive(Default)]
pub(super) struct HousePeers {
    /// Those that are here.
    pub(super) here: RefCell<Vec<HousePeer>>,
    /// The addresses that this endpoint announces.
    pub(super) announced: RefCell<Vec<SocketAddr>>,
}

impl HousePeers {
    /// Returns the sources of a package's signature at those that the user named, which are believed where no mirror
    /// answers; one that announced itself is a stranger.
    pub(super) fn named(&self, repo: &RepoName, name: &FileName) -> Vec<Candidate> {
        self.sources(repo, name, |peer| peer.by != DNS_SD)
    }

    /// Returns the sources of a package at these endpoints.
    pub(super) fn candidates(&self, repo: &RepoName, name: &FileName) -> Vec<Candidate> {
        self.sources(repo, name, |_| true)
    }

    fn sources(&self, repo: &RepoName, name: &FileName, is_asked: impl Fn(&HousePeer) -> bool) -> Vec<Candidate> {
        let here = self.here.borrow();
        let urls = here.iter().filter(|peer| is_asked(peer)).filter_map(|peer| {
            let mut url = Url::parse(&format!("http://{}/", peer.at)).ok()?;
            let parts = [repo.as_str(), "os", std::env::consts::ARCH, name.as_str()];
            url.path_segments_mut().ok()?.pop_if_empty().extend(parts);
            Some(url)
        });
        urls.map(Candidate::House).collect()
    }
}

/// Looks for ever which of them are here. This endpoint itself listens at `listening`.
pub(super) async fn follow(endpoint: Rc<HttpEndpoint>, listening: Vec<SocketAddr>) {
    let mut search = HouseSearch::default();
    loop {
        let (machine, settings) = (endpoint.machine(), endpoint.means.settings().1);
        let mut here = Vec::new();
        for peer in settings.endpoint.peers.iter().filter(|peer| *peer != DNS_SD).take(MOST) {
            let found = endpoint.transfers.names.find(&with_port(peer), PATIENCE).await;
            let is_other = |at: &SocketAddr| !is_itself(&listening, *at);
            let near = near(&settings, found.into_iter().filter(is_other).collect()).await;
            here.extend(near.first().map(|at| HousePeer { at: *at, by: peer.clone() }));
        }
        let (found, announced) = search.round(&machine, &settings, &listening).await;
        for at in near(&settings, found).await {
            if here.len() < MOST && !is_itself(&listening, at) && here.iter().all(|peer: &HousePeer| peer.at != at) {
                here.push(HousePeer { at, by: DNS_SD.to_owned() });
            }
        }
        let house = &endpoint.transfers.house;
        for peer in here.iter().filter(|peer| !house.here.borrow().contains(peer)) {
            log::info(|| format!("packages are asked of {}, an endpoint of the house ({})", peer.at, peer.by));
        }
        for at in announced.iter().filter(|at| !house.announced.borrow().contains(at)) {
            log::info(|| format!("the endpoint is announced at {at}"));
        }
        *house.here.borrow_mut() = here;
        *house.announced.borrow_mut() = announced;
        drop((machine, settings));
        search.pause().await;
    }
}

/// Returns true for an address at which this endpoint listens itself.
fn is_itself(listening: &[SocketAddr], at: SocketAddr) -> bool {
    let is_own = |ip: IpAddr| ip.is_loopback() || is_own_address(ip);
    listening
        .iter()
        .any(|own| own.port() == at.port() && (own.ip() == at.ip() || own.ip().is_unspecified() && is_own(at.ip())))
}

/// Returns those of these addresses that are near. On a thread of its own: it asks the system for its routers.
async fn near(settings: &Arc<Settings>, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.is_empty() {
        return addresses;
    }
    let settings = Arc::clone(settings);
    let near = move || addresses.into_iter().filter(|at| is_near(&settings, at.ip())).collect();
    tokio::task::spawn_blocking(near).await.unwrap_or_default()
}

/// The search for endpoints that announce themselves, and the announcement of this one.
#[cfg(feature = "node")]
#[derive(Default)]
struct HouseSearch {
    heard: Rc<HeardEndpoints>,
    links: ServiceLinks,
    shown: HashMap<SocketAddr, Instant>,
}

#[cfg(feature = "node")]
impl HouseSearch {
    /// Returns the endpoints that have shown to be such, and the addresses that are announced.
    async fn round(
        &mut self,
        machine: &Machine,
        settings: &Settings,
        listening: &[SocketAddr],
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let wishes = ServiceWishes {
            announced: settings.endpoint.announce.then_some(listening),
            is_asking: settings.endpoint.peers.iter().any(|peer| peer == DNS_SD),
        };
        let is_idle = wishes.announced.is_none() && !wishes.is_asking;
        let look = || networks::here().unwrap_or_default();
        let here = if is_idle { Vec::new() } else { tokio::task::spawn_blocking(look).await.unwrap_or_default() };
        let allowed = Allowed::of(settings).unwrap_or_default();
        let is_used = |local: &LocalAddress| allowed.stands(local) == NetworkStanding::Used;
        let announced = self.links.follow(&self.heard, &here, is_used, wishes);
        self.shown.retain(|_, since| since.elapsed() < SHOWN);
        let heard = self.heard.list();
        let new: Vec<SocketAddr> = heard.iter().filter(|at| !self.shown.contains_key(at)).copied().collect();
        let looks = new.iter().map(|at| shows_itself(machine, *at));
        for (at, is_one) in new.iter().zip(futures_util::future::join_all(looks).await) {
            match is_one {
                true => drop(self.shown.insert(*at, Instant::now())),
                false => self.heard.leave(*at),
            }
        }
        (heard.into_iter().filter(|at| self.shown.contains_key(at)).collect(), announced)
    }

    /// Waits for the time of the next look, or for an endpoint that was not heard of before.
    async fn pause(&self) {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // A flood of news costs no more than four looks a second.
            () = self.heard.news.notified() => tokio::time::sleep(LOOK / 40).await,
        }
    }
}

/// Returns true for an endpoint of this program that lets this machine ask for files.
#[cfg(feature = "node")]
async fn shows_itself(machine: &Machine, at: SocketAddr) -> bool {
    let Ok(url) = Url::parse(&format!("http://{at}/pkgswarm")) else { return false };
    let ask = GetOptions { head: true, ..GetOptions::default() };
    match tokio::time::timeout(SHOWS, machine.http.ask_near(&url, &ask)).await {
        Ok(Ok(answer)) => {
            let server = http::text(answer.headers(), SERVER).unwrap_or_default();
            answer.status() == StatusCode::NOT_FOUND && server.starts_with("pkgswarm/")
        }
        _ => false,
    }
}

/// Multicast DNS comes with the node.
#[cfg(not(feature = "node"))]
#[derive(Default)]
struct HouseSearch;

#[cfg(not(feature = "node"))]
impl HouseSearch {
    async fn round(&mut self, _: &Machine, _: &Settings, _: &[SocketAddr]) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        (Vec::new(), Vec::new())
    }

    async fn pause(&self) {
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
    let Ok(allowed) = Allowed::of(settings) else { return false };
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
    fn an_endpoint_that_listens_everywhere_knows_itself_by_each_address_of_this_machine() {
        let itself = |own: &str, at: &str| is_itself(&[own.parse().unwrap()], at.parse().unwrap());
        assert!(itself("0.0.0.0:4011", "127.0.0.1:4011") && itself("[::]:4011", "127.0.0.1:4011"));
        assert!(itself("192.168.1.2:4011", "192.168.1.2:4011") && !itself("192.168.1.2:4011", "192.168.1.3:4011"));
        assert!(!itself("0.0.0.0:4011", "127.0.0.1:4012") && !itself("0.0.0.0:4011", "192.0.2.1:4011"));
        assert!(!itself("127.0.0.2:4011", "127.0.0.1:4011"), "another one listens there");
        for own in nix::ifaddrs::getifaddrs().unwrap().filter_map(|it| crate::base::own_address::of(&it)) {
            assert!(is_itself(&["0.0.0.0:4011".parse().unwrap()], SocketAddr::new(own, 4011)), "{own}");
        }
    }

    #[test]
    fn a_package_is_asked_for_below_its_repository() {
        let peers = HousePeers::default();
        for (at, by) in [("127.0.0.1:4011", "cellar"), ("127.0.0.2:4011", DNS_SD)] {
            peers.here.borrow_mut().push(HousePeer { at: at.parse().unwrap(), by: by.to_owned() });
        }
        assert_eq!(peers.named(&RepoName::new("core").unwrap(), &FileName::new("a").unwrap()).len(), 1);
        let (repo, name) = (RepoName::new("core").unwrap(), FileName::new("a b-1:2%-1-any.pkg.tar.zst").unwrap());
        let Some(Candidate::House(url)) = peers.candidates(&repo, &name).into_iter().next() else { panic!("one") };
        assert!(url.as_str().starts_with("http://127.0.0.1:4011/core/os/"), "{url}");
        assert!(url.as_str().ends_with("/a%20b-1:2%25-1-any.pkg.tar.zst"), "{url}");
    }
}
