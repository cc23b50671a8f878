//! Fixes two gaps of Kubo on the local network: its multicast DNS names a peer once in 53 minutes, so a peer that
//! was away stays away; and a peer that connected while Kubo started can stay unknown to its Bitswap
//! ([`DeafPeers`]).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::kubo::Kubo;
use crate::net::kubo::deaf::DeafPeers;
use crate::node::Node;

/// Interval between checks, and the pause after finding that Kubo does not run.
const LOOK: Duration = Duration::from_secs(15);
const REST: Duration = Duration::from_secs(60);

/// Pause for one peer after an attempt.
const AGAIN: Duration = Duration::from_secs(60);

/// Repairs connections for as long as the process runs.
pub(crate) async fn mend(node: &Node, kubo: Option<Kubo>) {
    let Some(kubo) = kubo else { return std::future::pending().await };
    let mut tried: HashMap<String, Instant> = HashMap::new();
    let mut ears = DeafPeers::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let known = node.known();
        if known.is_empty() {
            continue;
        }
        let Ok(heard) = ears.look(&kubo).await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        tried.retain(|_, since| since.elapsed() < AGAIN);
        for (peer, addresses) in known {
            let peer = peer.to_string();
            let is_connected = heard.connected.contains(&peer);
            let is_deaf = heard.deaf.iter().any(|deaf| deaf.id == peer);
            if (is_connected && !is_deaf) || tried.contains_key(&peer) {
                continue;
            }
            tried.insert(peer.clone(), Instant::now());
            // A connection to itself, or to a peer that has gone, fails soon.
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            kubo.connect_anew(&peer, is_deaf, &addresses).await;
        }
    }
}
