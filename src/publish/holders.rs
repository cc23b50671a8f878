//! Clusters and pinning services that pin each publication, besides the daemon that has it.
//!
//! None of them holds a publication up: each is asked at the end of a run for the root that stands, and what it has not done
//! by then, the next run asks for. The former root stays until the new one is held
//! (`a_former_publication_stays_at_a_service_until_the_new_one_is_held`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::config::peer_address::PeerAddress;
use crate::index::ipns::Name;
use crate::net::kubo::Kubo;
use crate::net::pinning::{ClusterApi, Copies, ServiceApi};
use crate::pins::{
    self, ClusterPins, PinError, PinMark, PinTarget, ReconcileLimits, Reconciled, ServicePins, WantedPin,
};

/// Longest wait for a root that was just requested.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most addresses of the daemon that are passed on.
const ORIGINS: usize = 10;
/// Bounds of a run at one holder.
const LIMITS: ReconcileLimits = ReconcileLimits { changes: 1000, time: Duration::from_secs(300) };

/// A cluster or a pinning service that is to hold what is published.
#[derive(Clone)]
pub struct Holder {
    /// The user's name for it.
    pub(crate) name: String,
    /// How it is asked.
    pub(crate) api: HolderApi,
    /// Where it is.
    pub(crate) reach: HolderReach,
}

/// Where a holder is, and so the addresses of the daemon that it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HolderReach {
    /// On this machine.
    Loopback,
    /// In a private network.
    Private,
    /// Elsewhere; or a cluster, whose pinset each follower reads, and whose peers find each other's daemons by themselves.
    Public,
}

/// Chooses addresses for a holder: public ones first, and of each host one before a second one.
fn origins(known: &[PeerAddress], reach: HolderReach) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut rated: Vec<(bool, usize, String)> = Vec::new();
    for address in known {
        let text = address.to_string();
        let host = text.split('/').nth(2).unwrap_or_default().to_owned();
        let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let is_told = match reach {
            HolderReach::Loopback => true,
            HolderReach::Private => !is_loopback,
            HolderReach::Public => address.is_public(),
        };
        if is_told {
            let nth = seen.entry(host).or_default();
            rated.push((!address.is_public(), *nth, text));
            *nth += 1;
        }
    }
    rated.sort();
    rated.into_iter().take(ORIGINS).map(|(.., text)| text).collect()
}

/// How a holder is asked.
#[derive(Clone)]
pub(crate) enum HolderApi {
    Cluster(ClusterApi, Option<Copies>),
    Service(ServiceApi),
    /// One whose secret cannot be read, and so is not asked; the reason.
    Unread(String),
}

/// A holder after a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct HolderRecord {
    /// The user's name for it.
    pub(crate) holder: String,
    /// Whether it holds what was published.
    pub(crate) state: HoldingWord,
    /// Unix seconds since which it does not; `None` while it does.
    #[serde(default)]
    pub(crate) since: Option<u64>,
    /// What is wrong, in one line.
    #[serde(default)]
    pub(crate) why: Option<String>,
}

/// Whether a holder holds what was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HoldingWord {
    /// It does.
    Held,
    /// It is at work.
    Pending,
    /// It does not, and says why.
    Failed,
}

impl HolderRecord {
    /// Keeps the time since when it lacks what was published, which is `now` if `before` it did not.
    pub(super) fn since(self, before: Option<&Self>, now: u64) -> Self {
        let since = before.and_then(|before| before.since).unwrap_or(now);
        Self { since: (self.state != HoldingWord::Held).then_some(since), ..self }
    }
}

/// Asks each of `holders` to hold `root`, and to let go of the publisher's former roots. `state_dir` is that of the publisher.
pub(super) async fn hold(
    holders: &[Holder],
    (publisher, name, state_dir): (&str, Option<&Name>, &Path),
    kubo: &Kubo,
    root: Cid,
) -> Vec<HolderRecord> {
    if holders.is_empty() {
        return Vec::new();
    }
    // Without them the holder searches for the blocks.
    let known = kubo.own_addresses().await.unwrap_or_default();
    let known: Vec<PeerAddress> = known.iter().filter_map(|text| text.parse().ok()).collect();
    let mark = mark(publisher, name);
    let work = holders.iter().map(async |holder| {
        let done = settled(holder, &known, (state_dir, kubo), root, &mark).await;
        record(&holder.name, root, done)
    });
    join_all(work).await
}

/// Has a holder let go of all roots of a publisher; `true` when none is left there.
///
/// # Errors
/// [`PinError`]; trying again later may help.
pub(crate) async fn release(
    holder: &Holder,
    (publisher, name, state_dir): (&str, Option<&Name>, &Path),
) -> Result<bool, PinError> {
    let target: Box<dyn PinTarget> = match &holder.api {
        // How far its peers are is nothing to wait for.
        HolderApi::Cluster(api, copies) => {
            Box::new(ClusterPins { api: api.clone().alone(), copies: *copies, origins: Vec::new(), patience: PATIENCE })
        }
        HolderApi::Service(api) => Box::new(ServicePins::open(api.clone(), book(state_dir, api))?),
        HolderApi::Unread(why) => return Err(PinError::File(io::Error::other(why.clone()))),
    };
    let done = pins::reconcile(&[], &*target, &mark(publisher, name), &LIMITS).await?;
    match done.failed.into_iter().next() {
        Some(failure) => Err(failure.error),
        None => Ok(done.left == 0),
    }
}

/// Returns the name of a publisher's pins. A service and a cluster may be shared by publishers of one name, which the name's
/// key tells apart.
fn mark(publisher: &str, name: Option<&Name>) -> PinMark {
    PinMark::exactly(match name {
        Some(name) => format!("pkgswarm:{publisher} {name}"),
        None => format!("pkgswarm:{publisher}"),
    })
}

/// Returns where the requests of a pinning service are kept: by its address, because its name may become that of another.
fn book(state_dir: &Path, api: &ServiceApi) -> PathBuf {
    let address = Sha256::of(api.address().as_bytes()).to_string();
    state_dir.join(format!("requests-{}.json", &address[..16]))
}

async fn settled(
    holder: &Holder,
    known: &[PeerAddress],
    (state_dir, kubo): (&Path, &Kubo),
    root: Cid,
    mark: &PinMark,
) -> Result<Reconciled, PinError> {
    let origins = origins(known, holder.reach);
    let target: Box<dyn PinTarget> = match &holder.api {
        HolderApi::Cluster(api, copies) => {
            Box::new(ClusterPins { api: api.clone(), copies: *copies, origins, patience: PATIENCE })
        }
        HolderApi::Service(api) => {
            let pins = ServicePins::open(api.clone(), book(state_dir, api))?;
            Box::new(pins.beside(kubo.clone(), origins, PATIENCE))
        }
        HolderApi::Unread(why) => return Err(PinError::File(io::Error::other(why.clone()))),
    };
    let wanted = [WantedPin { cid: root, label: String::new(), content: None }];
    pins::reconcile(&wanted, &*target, mark, &LIMITS).await
}

fn record(holder: &str, root: Cid, done: Result<Reconciled, PinError>) -> HolderRecord {
    let (state, why) = match done {
        Err(error) => (HoldingWord::Failed, Some(error.to_string())),
        Ok(done) => {
            let is_held = [&done.held, &done.added, &done.of_user].iter().any(|roots| roots.contains(&root));
            let state = match (done.failed.iter().any(|failure| failure.cid == root), is_held) {
                (true, _) => HoldingWord::Failed,
                (false, true) => HoldingWord::Held,
                // At work, or not even asked for, because the list took all the time.
                (false, false) => HoldingWord::Pending,
            };
            (state, done.failed.first().map(|failure| failure.error.to_string()))
        }
    };
    HolderRecord { holder: holder.to_owned(), state, since: None, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_told_public_addresses_first_and_no_private_one_beyond_its_network() {
        let id = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
        let ways = ["tcp/4001", "udp/4001/quic-v1"];
        // As Kubo sorts them: bridges of containers stand before the first public one.
        let hosts = ["10.0.0.2", "127.0.0.1", "172.17.0.1", "172.18.0.1", "172.19.0.1", "192.168.1.2", "8.8.4.4"];
        let of = |host: &&str| ways.map(|way| format!("/ip4/{host}/{way}/p2p/{id}").parse::<PeerAddress>().unwrap());
        let known: Vec<PeerAddress> = hosts.iter().flat_map(of).collect();
        let told = |reach| origins(&known, reach);
        let is_public = |text: &String| text.contains("/8.8.4.4/");
        assert_eq!((told(HolderReach::Public).len(), told(HolderReach::Public).iter().all(is_public)), (2, true));
        for reach in [HolderReach::Private, HolderReach::Loopback] {
            let told = told(reach);
            assert!(told.len() == ORIGINS && told[..2].iter().all(is_public), "{told:?}");
            assert_eq!(told.iter().any(|text| text.contains("127.0.0.1")), reach == HolderReach::Loopback, "{told:?}");
        }
    }

    #[test]
    fn a_root_that_was_never_asked_for_is_not_held() {
        let root = Cid::raw(crate::base::digest::Sha256::of(b"root"));
        let word = |done| record("c", root, Ok(done)).state;
        assert_eq!(word(Reconciled::default()), HoldingWord::Pending);
        assert_eq!(word(Reconciled { held: vec![root], ..Reconciled::default() }), HoldingWord::Held);
        assert_eq!(word(Reconciled { pending: vec![root], ..Reconciled::default() }), HoldingWord::Pending);
    }
}
