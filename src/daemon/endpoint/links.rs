//! DNS-SD on the trusted networks that this machine is in: one socket for each family of each interface, beside Avahi and
//! systemd-resolved, which have the same port. Nothing is asked where `endpoint.peers` does not say so, and nothing
//! announced where `endpoint.announce` does not; then there is no socket at all.
//!
//! What is heard is a hint: an endpoint is asked for files once it has answered as one (`house`), and every byte of it is
//! proven.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::dns_sd::{self, LIFE, PACKET_MOST, ServiceMessage};
use crate::base::digest::Sha256;
use crate::node::discovery::{GROUP_4, GROUP_6, PORT, socket};
use crate::node::limits::Rate;
use crate::node::networks::{LocalAddress, Vicinity};

/// First and longest wait between two questions; each is three times the last (RFC 6762, section 5.2).
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Least time between two announcements (RFC 6762, section 6).
const APART: Duration = Duration::from_secs(1);

/// Delay of an answer, so that not all answer at once (RFC 6762, section 6). The number of the machine adds to it.
const DELAY: Duration = Duration::from_millis(20);

/// Packets of a link that are read in a second, and those of one sender.
const PACKETS: u64 = 64;
const PACKETS_EACH: u64 = 8;

/// Most senders whose packets are counted.
const SENDERS_MOST: usize = 256;

/// Most endpoints that are remembered. Origin: chosen by us; a house has one or two.
const HEARD_MOST: usize = 16;

/// Time for which an endpoint that did not answer as one is left alone.
const LEFT: Duration = Duration::from_secs(60);

/// The endpoints that were heard of, one for each address.
#[derive(Default)]
pub(super) struct HeardEndpoints {
    all: RefCell<BTreeMap<IpAddr, HeardEndpoint>>,
    /// Woken when there is a new one, or one has left.
    pub(super) news: Notify,
}

#[derive(Clone, Copy)]
struct HeardEndpoint {
    at: SocketAddr,
    until: Instant,
    /// The end of the time for which it is left alone.
    left_until: Option<Instant>,
}

impl HeardEndpoints {
    /// Records an endpoint that holds for `life`; one that leaves is forgotten.
    fn hear(&self, at: SocketAddr, life: Duration) {
        let (mut all, now) = (self.all.borrow_mut(), Instant::now());
        all.retain(|_, one| one.until > now);
        if life.is_zero() {
            if all.remove(&at.ip()).is_some() {
                self.news.notify_one();
            }
            return;
        }
        if all.len() >= HEARD_MOST && !all.contains_key(&at.ip()) {
            // One that does not answer makes room, and no other.
            let Some(dead) = all.iter().find(|(_, one)| one.left_until.is_some()).map(|(ip, _)| *ip) else { return };
            all.remove(&dead);
        }
        // Another port of a machine that did not answer is no news.
        let before = all.get(&at.ip()).copied();
        let left_until = before.and_then(|one| one.left_until);
        if before.is_none_or(|one| one.at != at && left_until.is_none()) {
            self.news.notify_one();
        }
        all.insert(at.ip(), HeardEndpoint { at, until: now + life, left_until });
    }

    /// Lists those that may be tried now.
    pub(super) fn list(&self) -> Vec<SocketAddr> {
        let (all, now) = (self.all.borrow(), Instant::now());
        let may_be = |one: &&HeardEndpoint| one.until > now && one.left_until.is_none_or(|until| until <= now);
        all.values().filter(may_be).map(|one| one.at).collect()
    }

    /// Leaves one alone that did not answer as an endpoint.
    pub(super) fn leave(&self, at: SocketAddr) {
        if let Some(one) = self.all.borrow_mut().get_mut(&at.ip()) {
            one.left_until = Some(Instant::now() + LEFT);
        }
    }

    /// Forgets all of them.
    fn clear(&self) {
        self.all.borrow_mut().clear();
    }
}

/// A family of an interface, and what is done there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct LinkPlan {
    interface: String,
    index: u32,
    is_ipv6: bool,
    around: Vicinity,
    /// Addresses and port to announce; none where nothing is announced.
    announced: Option<(Vec<IpAddr>, u16)>,
    is_asking: bool,
}

/// The links in use.
#[derive(Default)]
pub(super) struct ServiceLinks {
    links: HashMap<(u32, bool), ServiceLink>,
}

/// What is to be done on all links.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceWishes<'a> {
    /// Where this endpoint listens for other machines, if it is to be announced.
    pub(super) announced: Option<&'a [SocketAddr]>,
    /// True where others are looked for.
    pub(super) is_asking: bool,
}

impl ServiceLinks {
    /// Goes on with these wishes on the networks of this machine of which `is_used` is true, and on no others. Returns
    /// the addresses that are announced.
    pub(super) fn follow(
        &mut self,
        heard: &Rc<HeardEndpoints>,
        here: &[LocalAddress],
        is_used: impl Fn(&LocalAddress) -> bool,
        wishes: ServiceWishes<'_>,
    ) -> Vec<SocketAddr> {
        let plans =
            if wishes.announced.is_some() || wishes.is_asking { plans(here, is_used, wishes) } else { Vec::new() };
        if !wishes.is_asking {
            heard.clear();
        }
        self.links
            .retain(|key, link| plans.iter().any(|plan| (plan.index, plan.is_ipv6) == *key && *plan == link.plan));
        let mut announced = Vec::new();
        for plan in plans {
            let at = plan.announced.clone();
            // Where multicast is not available, the next call tries again.
            if let Entry::Vacant(free) = self.links.entry((plan.index, plan.is_ipv6)) {
                let Some(link) = ServiceLink::open(plan, Rc::clone(heard)) else { continue };
                free.insert(link);
            }
            announced.extend(at.iter().flat_map(|(all, port)| all.iter().map(|ip| SocketAddr::new(*ip, *port))));
        }
        announced
    }
}

fn plans(here: &[LocalAddress], is_used: impl Fn(&LocalAddress) -> bool, wishes: ServiceWishes<'_>) -> Vec<LinkPlan> {
    let own: Vec<IpAddr> = here.iter().map(|local| local.address.addr()).collect();
    let mut plans: Vec<LinkPlan> = Vec::new();
    for local in here.iter().filter(|local| local.is_lan() && is_used(local)) {
        let (ip, is_ipv6) = (local.address.addr(), local.address.addr().is_ipv6());
        let hears = |at: &&SocketAddr| at.ip() == ip || at.ip().is_unspecified() && (at.is_ipv6() || !is_ipv6);
        let port = wishes.announced.and_then(|all| all.iter().find(hears)).map(SocketAddr::port);
        if port.is_none() && !wishes.is_asking {
            continue;
        }
        let known = plans.iter_mut().find(|plan| (plan.index, plan.is_ipv6) == (local.index, is_ipv6));
        match (known, port) {
            (Some(plan), port) => {
                plan.around.ranges.push(local.address);
                match (&mut plan.announced, port) {
                    (Some((all, first)), Some(port)) if *first == port => all.push(ip),
                    (None, Some(port)) => plan.announced = Some((vec![ip], port)),
                    _ => {}
                }
            }
            (None, port) => plans.push(LinkPlan {
                interface: local.interface.clone(),
                index: local.index,
                is_ipv6,
                around: Vicinity { ranges: vec![local.address], own: own.clone() },
                announced: port.map(|port| (vec![ip], port)),
                is_asking: wishes.is_asking,
            }),
        }
    }
    plans
}

/// One family of one interface.
struct ServiceLink {
    plan: LinkPlan,
    socket: Rc<UdpSocket>,
    group: SocketAddr,
    task: JoinHandle<()>,
}

impl ServiceLink {
    fn open(plan: LinkPlan, heard: Rc<HeardEndpoints>) -> Option<Self> {
        let raw = socket(&plan.interface, plan.index, plan.is_ipv6).ok()?;
        if let Some(IpAddr::V4(ip)) = plan.announced.as_ref().and_then(|(all, _)| all.first()) {
            // Others take an announcement from an address of it alone.
            let _ = raw.set_multicast_if_v4(ip);
        }
        let socket = Rc::new(UdpSocket::from_std(raw.into()).ok()?);
        let group = match plan.is_ipv6 {
            false => SocketAddr::new(IpAddr::V4(GROUP_4), PORT),
            true => SocketAddrV6::new(GROUP_6, PORT, 0, plan.index).into(),
        };
        let task = tokio::task::spawn_local(serve(Rc::clone(&socket), group, plan.clone(), heard));
        Some(Self { plan, socket, group, task })
    }
}

impl Drop for ServiceLink {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(leave) = announced(&self.plan, Duration::ZERO) {
            let _ = self.socket.try_send_to(&leave, self.group);
        }
    }
}

/// Encodes the announcement of a link.
fn announced(plan: &LinkPlan, life: Duration) -> Option<Vec<u8>> {
    let (addresses, port) = plan.announced.as_ref()?;
    // Names no user and no machine, and is another one on each interface.
    let seed = Sha256::of(format!("{} {} {port}", plan.index, addresses.first()?).as_bytes()).to_string();
    Some(dns_sd::announcement(&format!("pkgswarm-{}", &seed[..12]), addresses, *port, life))
}

/// Asks, answers and listens, until it is aborted.
async fn serve(socket: Rc<UdpSocket>, group: SocketAddr, plan: LinkPlan, heard: Rc<HeardEndpoints>) {
    let own = plan.around.own.first().map_or(0, |ip| match ip {
        IpAddr::V4(ip) => u64::from(ip.octets()[3]),
        IpAddr::V6(ip) => u64::from(ip.octets()[15]),
    });
    let delay = DELAY + Duration::from_millis(own * 100 / 256);
    let (rate, mut senders) = (Rate::rested(PACKETS), HashMap::<IpAddr, Rate>::new());
    let mut packet = vec![0; PACKET_MOST + 1];
    let (mut wait, mut ask_at) = (FIRST, Instant::now());
    // At once, and again for late neighbours (RFC 6762, section 8.3).
    let (mut again, mut answer_at, mut answered) = (1, Some(Instant::now()), None::<Instant>);
    loop {
        tokio::select! {
            got = socket.recv_from(&mut packet) => {
                let Ok((length, from)) = got else {
                    // The interface is down, for now.
                    tokio::time::sleep(APART).await;
                    continue;
                };
                // All of multicast DNS is sent from its port, except by what asks once (RFC 6762, section 6.7).
                if from.port() != PORT {
                    continue;
                }
                if senders.len() > SENDERS_MOST {
                    senders.clear();
                }
                let each = senders.entry(from.ip()).or_insert_with(|| Rate::rested(PACKETS_EACH));
                if !each.try_take(1) || !rate.try_take(1) {
                    continue;
                }
                match dns_sd::read(&packet[..length], from.ip(), &plan.around) {
                    Some(ServiceMessage::Asked) => {
                        let earliest = answered.map_or(Instant::now(), |last| last + APART);
                        answer_at.get_or_insert(earliest.max(Instant::now() + delay));
                    }
                    Some(ServiceMessage::Found(at, life)) if plan.is_asking => heard.hear(at, life),
                    _ => {}
                }
            }
            () = sleep_until(ask_at), if plan.is_asking => {
                let _ = socket.send_to(&dns_sd::question(), group).await;
                ask_at = Instant::now() + wait;
                wait = (wait * 3).min(LONGEST);
            }
            () = sleep_until(answer_at.unwrap_or(ask_at)), if answer_at.is_some() => {
                if let Some(announcement) = announced(&plan, LIFE) {
                    // Without a cable it is lost, and sent again later.
                    let _ = socket.send_to(&announcement, group).await;
                }
                answered = Some(Instant::now());
                answer_at = (again > 0).then(|| Instant::now() + APART);
                again = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(interface: &str, index: u32, address: &str) -> LocalAddress {
        let (interface, address) = (interface.to_owned(), address.parse().unwrap());
        LocalAddress { interface, index, address, gateway: None, router: None }
    }

    #[test]
    fn an_endpoint_is_announced_where_it_listens_for_others_and_the_network_is_trusted() {
        let here = [
            local("lo", 1, "127.0.0.1/8"),
            local("eth0", 2, "192.168.1.2/24"),
            local("eth0", 2, "fd00::2/64"),
            local("eth0", 2, "fe80::2/64"),
            local("eth1", 3, "10.1.1.2/24"),
            local("ppp0", 4, "8.8.8.8/24"),
        ];
        let announced = |listening: &[&str], trusted: &str, is_asking: bool| -> Vec<(u32, bool, Vec<String>)> {
            let listening: Vec<SocketAddr> = listening.iter().map(|at| at.parse().unwrap()).collect();
            let wishes = ServiceWishes { announced: Some(&listening), is_asking };
            let plans = plans(&here, |local| trusted.is_empty() || local.interface == trusted, wishes);
            let shown =
                |plan: LinkPlan| plan.announced.map_or(vec![], |(all, _)| all.iter().map(IpAddr::to_string).collect());
            plans.into_iter().map(|plan| (plan.index, plan.is_ipv6, shown(plan))).collect()
        };
        assert_eq!(announced(&["127.0.0.1:4011"], "", false), [], "on loopback nothing is announced");
        let one = [(2, false, vec!["192.168.1.2".to_owned()])];
        assert_eq!(announced(&["127.0.0.1:4011", "192.168.1.2:4011"], "", false), one);
        assert_eq!(announced(&["0.0.0.0:4011"], "eth0", false), one, "on trusted networks alone");
        let all = announced(&["[::]:4011"], "", false);
        assert_eq!(
            all.iter().map(|(index, is_ipv6, _)| (*index, *is_ipv6)).collect::<Vec<_>>(),
            [(2, false), (2, true), (3, false)]
        );
        assert_eq!(announced(&[], "eth1", true), [(3, false, vec![])], "one that only looks says nothing of itself");
    }

    #[tokio::test(start_paused = true)]
    async fn of_ten_thousand_endpoints_few_are_remembered_and_none_that_answers_is_displaced() {
        let (heard, day) = (HeardEndpoints::default(), Duration::from_secs(86_400));
        let at = |n: u32, port: u16| SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + n), port));
        heard.hear(at(1, 4011), day);
        for n in 0..10_000 {
            heard.hear(at(7, 1 + n), day);
        }
        assert_eq!(heard.list(), [at(1, 4011), at(7, 10_000)], "one for each machine");
        for n in 0..10_000 {
            heard.hear(at(100 + n, 1), day);
        }
        assert_eq!(heard.list().len(), HEARD_MOST);
        assert!(heard.list().contains(&at(1, 4011)));
        // Those that do not answer make room for one that may.
        for dead in heard.list().into_iter().filter(|dead| *dead != at(1, 4011)) {
            heard.leave(dead);
        }
        heard.hear(at(2, 4011), Duration::from_secs(120));
        assert_eq!(heard.list(), [at(1, 4011), at(2, 4011)]);
        heard.hear(at(2, 4011), Duration::ZERO);
        assert_eq!(heard.list(), [at(1, 4011)], "one that leaves is forgotten");
        heard.leave(at(1, 4011));
        heard.hear(at(1, 4011), day);
        assert_eq!(heard.list(), [], "an announcement does not end the time for which it is left alone");
        tokio::time::advance(LEFT).await;
        assert!(heard.list().contains(&at(1, 4011)));
    }
}
