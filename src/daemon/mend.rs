//! Fixes two gaps of Kubo on the local network: its multicast DNS names a peer once in 53 minutes, so a peer that
//! was away stays away; and a peer that connected while Kubo started can stay unknown to its Bitswap, which then
//! never asks it for blocks.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::kubo::Kubo;
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
    let mut deaf_before = HashSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let known = node.known();
        if known.is_empty() {
            continue;
        }
        let (Ok(connected), Ok(heard)) = (kubo.peers().await, kubo.bitswap_peers().await) else {
            tokio::time::sleep(REST).await;
            continue;
        };
        tried.retain(|_, since| since.elapsed() < AGAIN);
        let mut deaf = HashSet::new();
        for (peer, addresses) in known {
            let peer = peer.to_string();
            let is_connected = connected.iter().any(|known| known.id == peer);
            if is_connected && !heard.contains(&peer) {
                deaf.insert(peer.clone());
            }
            // Twice in a row: Bitswap needs a moment to learn of a new connection.
            let is_deaf = is_connected && deaf.contains(&peer) && deaf_before.contains(&peer);
            if (is_connected && !is_deaf) || tried.contains_key(&peer) {
                continue;
            }
            tried.insert(peer.clone(), Instant::now());
            if is_deaf {
                let _ = kubo.disconnect(&peer).await;
            }
            for address in addresses {
                // A connection to itself, or to a peer that has gone, fails soon and costs nothing.
                if kubo.connect(&format!("{address}/p2p/{peer}")).await.is_ok() {
                    break;
                }
            }
        }
        deaf_before = deaf;
    }
}
