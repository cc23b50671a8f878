//! Connected peers that Kubo's Bitswap does not know, and so never asks for blocks: it counts those that connect after its
//! start alone (boxo v0.42.1, bitswap/network/bsnet/ipfs_impl.go, `Start`), and the first connect before it. A connection
//! that is made anew is counted.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Kubo, KuboError, KuboPeer};

/// Pause between two looks: Bitswap needs a moment to learn of a new connection.
const MOMENT: Duration = Duration::from_secs(1);
/// Most connections that are made anew at a time, and the longest time for them.
const PEERS_MOST: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// A look at the peers.
#[derive(Debug)]
pub(crate) struct PeersHeard {
    /// The ids of all connected peers.
    pub(crate) connected: HashSet<String>,
    /// Those that Bitswap did not know now, nor at the look before.
    pub(crate) deaf: Vec<KuboPeer>,
}

/// Looks for such peers, and remembers the last look.
#[derive(Debug, Default)]
pub(crate) struct DeafPeers {
    before: HashSet<String>,
    /// Connected anew by [`DeafPeers::mend`]. A peer that does not speak Bitswap at all is as before then.
    mended: HashSet<String>,
}

impl DeafPeers {
    /// Looks at the peers.
    ///
    /// # Errors
    /// Those of the daemon.
    pub(crate) async fn look(&mut self, kubo: &Kubo) -> Result<PeersHeard, KuboError> {
        let peers = kubo.peers().await?;
        let heard: HashSet<String> = kubo.bitswap_peers().await?.into_iter().collect();
        let connected = peers.iter().map(|peer| peer.id.clone()).collect();
        let unheard: Vec<KuboPeer> = peers.into_iter().filter(|peer| !heard.contains(&peer.id)).collect();
        let now = unheard.iter().map(|peer| peer.id.clone()).collect();
        let before = std::mem::replace(&mut self.before, now);
        let deaf = unheard.into_iter().filter(|peer| before.contains(&peer.id)).collect();
        Ok(PeersHeard { connected, deaf })
    }

    /// Looks twice, and connects anew to what Bitswap does not know, to each peer once; first to those to which Kubo keeps
    /// connections, as to publishers. Returns their number.
    ///
    /// # Errors
    /// Those of the daemon. A connection that cannot be made is none.
    pub(crate) async fn mend(&mut self, kubo: &Kubo) -> Result<usize, KuboError> {
        self.look(kubo).await?;
        if self.before.is_subset(&self.mended) {
            return Ok(0);
        }
        tokio::time::sleep(MOMENT).await;
        let mut due = self.look(kubo).await?.deaf;
        due.retain(|peer| !self.mended.contains(&peer.id));
        if due.is_empty() {
            return Ok(0);
        }
        let lasting: HashSet<String> = kubo.peering().await.unwrap_or_default().into_iter().collect();
        due.sort_by_key(|peer| !lasting.contains(&peer.id));
        due.truncate(PEERS_MOST);
        self.mended.extend(due.iter().map(|peer| peer.id.clone()));
        let all = due.iter().map(|peer| kubo.connect_anew(&peer.id, true, std::slice::from_ref(&peer.address)));
        let made = tokio::time::timeout(PATIENCE, join_all(all)).await.unwrap_or_default();
        Ok(made.into_iter().filter(|is_made| *is_made).count())
    }
}

impl Kubo {
    /// Connects to a peer at the first of these addresses that it has, which are without its id; before, with `ends`, the
    /// connection that there is ends. False where none could be made: an attempt fails soon and costs nothing.
    pub(crate) async fn connect_anew(&self, peer: &str, ends: bool, addresses: &[String]) -> bool {
        if ends {
            let _ = self.disconnect(peer).await;
        }
        for address in addresses {
            if self.connect(&format!("{address}/p2p/{peer}")).await.is_ok() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::kubo::script::{Script, ok};

    fn peers(ids: &[&str]) -> String {
        let peer = |id: &&str| format!(r#"{{"Addr":"/ip4/192.0.2.7/tcp/4001","Peer":"{id}"}}"#);
        format!(r#"{{"Peers":[{}]}}"#, ids.iter().map(peer).collect::<Vec<_>>().join(","))
    }

    #[tokio::test]
    async fn each_peer_that_bitswap_does_not_know_is_connected_anew_once_and_no_other() {
        let rules = vec![
            ("swarm/peers", ok(peers(&["a", "b", "c"]))),
            ("bitswap/stat", ok(r#"{"Peers":["a"]}"#)),
            ("swarm/peering/ls", ok(r#"{"Peers":[{"ID":"c"}]}"#)),
            ("swarm/disconnect", ok("{}")),
            ("swarm/connect", ok("{}")),
        ];
        let script = Script::answering(rules);
        let (kubo, mut deaf) = (script.kubo(), DeafPeers::default());
        assert_eq!(deaf.mend(&kubo).await.unwrap(), 2);
        assert_eq!(deaf.mend(&kubo).await.unwrap(), 0, "once is enough");
        let asked: Vec<String> = script.asked().into_iter().map(|asked| asked.line).collect();
        let of = |call: &str, id: &str| asked.iter().filter(|line| line.contains(call) && line.contains(id)).count();
        for (id, times) in [("p2p%2Fa", 0), ("p2p%2Fb", 1), ("p2p%2Fc", 1)] {
            assert_eq!((of("swarm/disconnect", id), of("swarm/connect", id)), (times, times), "{asked:?}");
        }
    }

    #[tokio::test]
    async fn a_kubo_that_knows_its_peers_is_left_as_it_is() {
        let rules = vec![("swarm/peers", ok(peers(&["a"]))), ("bitswap/stat", ok(r#"{"Peers":["a","b"]}"#))];
        let script = Script::answering(rules);
        assert_eq!(DeafPeers::default().mend(&script.kubo()).await.unwrap(), 0);
        assert_eq!(script.asked().len(), 2);
    }
}
