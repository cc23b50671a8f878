//! What the peers of a cluster say, and what of it counts.

use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::net::http::Http;
use pkgswarm::net::pinning::{ApiSecret, ClusterApi, Copies, RemoteApi};
use pkgswarm::pins::{ClusterPins, PinMark, ReconcileLimits, Reconciled, reconcile};

use crate::support::fake_cluster::{FakeCluster, OWN};
use crate::support::pins::{wait, wanted};

const LIMITS: ReconcileLimits = ReconcileLimits { changes: usize::MAX, time: Duration::from_secs(600) };

fn root(n: u8) -> Cid {
    Cid::raw(Sha256::of(&[n]))
}

fn api(cluster: &FakeCluster) -> ClusterApi {
    let client = Http::new(Duration::from_secs(5)).loopback().clone();
    ClusterApi::new(RemoteApi::new(cluster.url().parse().unwrap(), ApiSecret::None, client))
}

/// Has the cluster hold a root, as a run of the publisher does.
fn roll(api: ClusterApi, copies: Option<Copies>, n: u8) -> Reconciled {
    let target = ClusterPins { api, copies, origins: Vec::new(), patience: Duration::ZERO };
    wait(reconcile(&[wanted(root(n), "")], &target, &PinMark::exactly("pkgswarm:arch"), &LIMITS)).expect("a list")
}

#[test]
fn strangers_who_follow_a_cluster_decide_nothing() {
    let cluster = FakeCluster::of_peers([(OWN, "pinned"), ("a stranger", "pinning")]);
    let api = api(&cluster).alone();
    assert_eq!(roll(api.clone(), None, 1).added, [root(1)], "one that is at work for ever keeps nothing waiting");

    cluster.all_say([(OWN, "pin_error"), ("a stranger", "pinned")]);
    let done = roll(api.clone(), None, 2);
    assert!(done.added.is_empty() && done.failed.len() == 1, "one that claims to hold it is no proof: {done:?}");
    assert_eq!(cluster.pinned().len(), 2, "the former one stays");

    let invented: Vec<String> = (0..100_000).map(|n| format!("{n:0>52}")).collect();
    cluster.all_say(invented.iter().map(|id| (&**id, "pinned")).chain([(OWN, "pinned")]));
    assert_eq!(roll(api, None, 2).held, [root(2)], "however many there are");
    assert_eq!(cluster.pinned(), [root(2).to_string()]);
    let asked = cluster.was_asked();
    let states = asked.iter().filter(|it| it.starts_with("GET /pins/") || it.contains("/recover"));
    assert!(states.clone().count() > 3 && states.clone().all(|it| it.ends_with("?local=true")), "{asked:?}");
}

#[test]
fn a_root_with_fewer_copies_than_there_shall_be_is_not_held_and_its_predecessor_stays() {
    let cluster = FakeCluster::of_peers([(OWN, "pinned"), ("b", "pinned"), ("c", "pinned")]);
    let roll = |n| roll(api(&cluster), Some(Copies { least: 2, most: 3 }), n);
    assert_eq!(roll(1).added, [root(1)]);
    // Two disks are full: they keep what they have, and take nothing.
    cluster.all_say([(OWN, "pinned"), ("b", "pin_error"), ("c", "pin_error")]);
    for peer in ["b", "c"] {
        cluster.peek().of_root.insert((peer.to_owned(), root(1).to_string()), "pinned");
    }
    let done = roll(2);
    let why = done.failed[0].error.to_string();
    assert!(why.contains("1 of at least 2 copies") && cluster.pinned().len() == 2, "{why}");
    assert_eq!(roll(2).failed.len(), 1);
    assert!(cluster.was_asked().contains(&format!("POST /pins/{}/recover", root(2))), "they are to try again");
    roll(3);
    roll(3);
    let mut expected = [root(1).to_string(), root(3).to_string()];
    expected.sort();
    assert_eq!(cluster.pinned(), expected, "those that were never held well make way for each other");
    cluster.all_say([(OWN, "pinned"), ("b", "pinned"), ("c", "pin_error")]);
    assert_eq!(roll(3).held, [root(3)]);
    assert_eq!(cluster.pinned(), [root(3).to_string()]);
}
