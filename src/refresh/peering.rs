//! Kubo's lasting connections to the peers of the indexes in use, so that a first look-up finds a publisher's files at once:
//! without them, a search of the whole network has to.
//!
//! A peer comes from the user (`peers` of an index) or from the index's own manifest, and its connection is kept by
//! Kubo's `swarm/peering`, which Kubo forgets when it ends: each refresh asks for it again. What is asked for is written
//! down, and let go when no index names it any more. A peer that Kubo had already is the user's own and stays
//! (`a_peering_of_the_users_own_stays`); so does one that is in Kubo's configuration.
//!
//! Other keepers of a share that is kept are a list of their own, in the same way: after a network's return they are partners
//! at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;

use crate::base::fsx;
use crate::config::Settings;
use crate::config::peer_address::PeerAddress;
use crate::index::in_use;
use crate::machine::Machine;
use crate::net::kubo::{Kubo, KuboError};

/// Most peers of one index, and of all.
const OF_ONE: usize = 4;
const MOST: usize = 16;
/// Longest wait for its list, and for the first connections: a refresh waits for them, and a Kubo that hangs has nothing to
/// keep.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most bytes of what is written down.
const LEDGER_MOST: u64 = 64 << 10;

/// Asks Kubo for the connections that the indexes name, and lets go of those that no index names any more. A Kubo that
/// does not answer is no reason to say anything: it is asked again with the next refresh.
pub(crate) async fn keep(machine: &Machine) {
    let settings = &machine.settings;
    let wanted = wanted(settings).into_iter().map(|(id, address)| (id, address.to_string())).collect();
    keep_in(machine, wanted, path(settings)).await;
}

/// Asks Kubo for connections to these keepers of shares, by their peer ids, and lets go of those that are none of them any
/// more. Kubo's routing finds their addresses.
pub(crate) async fn keep_keepers(machine: &Machine, ids: &[String]) {
    let wanted = ids.iter().map(|id| (id.clone(), format!("/p2p/{id}"))).collect();
    keep_in(machine, wanted, machine.settings.state_dir.join("keep/peering.json")).await;
}

/// Does it for the peers of one list, each with its address; `path` is where those that are ours are written down.
async fn keep_in(machine: &Machine, wanted: BTreeMap<String, String>, path: PathBuf) {
    let wanted = if machine.settings.kubo_peering { wanted } else { BTreeMap::new() };
    let ours = read(&path);
    if !machine.asks_kubo() || (wanted.is_empty() && ours.is_empty()) {
        return;
    }
    let kubo = machine.kubo();
    let Ok(Ok(there)) = tokio::time::timeout(PATIENCE, kubo.peering()).await else { return };
    if let Ok(after) = settle(&kubo, &there, &wanted, &ours).await
        && after != ours
    {
        // What cannot be written down is asked for again, and then counts as the user's own.
        let _ = crate::index::state::replace(&path, &serde_json::to_vec(&after).expect("texts always make JSON"));
    }
}

/// Lists the peers that the indexes name, by their ids.
fn wanted(settings: &Settings) -> BTreeMap<String, PeerAddress> {
    let mut wanted = BTreeMap::new();
    for index in &settings.indexes {
        let held = in_use::state(settings).held(&in_use::copy_name(index)).ok().flatten();
        let named = held.map(|held| held.manifest.peers).unwrap_or_default();
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for peer in index.peers.iter().chain(&named) {
            let is_known = wanted.contains_key(peer.id());
            if !is_known && (wanted.len() == MOST || ids.len() == OF_ONE) {
                break;
            }
            ids.insert(peer.id().to_owned());
            wanted.entry(peer.id().to_owned()).or_insert_with(|| peer.clone());
        }
    }
    wanted
}

/// Makes Kubo's list fit; returns what is ours in it.
async fn settle(
    kubo: &Kubo,
    there: &[String],
    wanted: &BTreeMap<String, String>,
    ours: &BTreeSet<String>,
) -> Result<BTreeSet<String>, KuboError> {
    let there: BTreeSet<&String> = there.iter().collect();
    let (mut after, mut new) = (BTreeSet::new(), Vec::new());
    for (id, address) in wanted {
        match (there.contains(id), ours.contains(id)) {
            (true, false) => {}
            (true, true) => drop(after.insert(id.clone())),
            (false, _) => {
                kubo.add_peering(address).await?;
                after.insert(id.clone());
                new.push(address);
            }
        }
    }
    // Kubo itself begins to connect after seven seconds at the earliest (boxo v0.42.1, peering/peering.go, `initialDelay`):
    // the first look-up would wait for that. It goes on with those that do not answer.
    let _ = tokio::time::timeout(PATIENCE, join_all(new.iter().map(|address| kubo.connect(address)))).await;
    let gone: Vec<&String> = ours.iter().filter(|id| !wanted.contains_key(*id) && there.contains(*id)).collect();
    if !gone.is_empty() {
        let config = kubo.config().await?;
        let lasting = config.pointer("/Peering/Peers").and_then(|peers| peers.as_array()).cloned().unwrap_or_default();
        let is_lasting = |id: &str| lasting.iter().any(|peer| peer["ID"] == id);
        for id in gone.into_iter().filter(|id| !is_lasting(id)) {
            kubo.remove_peering(id).await?;
        }
    }
    Ok(after)
}

fn read(path: &std::path::Path) -> BTreeSet<String> {
    let bytes = fsx::read_followed(path, LEDGER_MOST).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join("index/peering.json")
}
