//! Kubo's connections: listing, making and ending them.

use serde::Deserialize;

use super::{Kubo, KuboError, QUICK};

impl Kubo {
    /// Lists the peer ids that its Bitswap knows: it asks no other peer for blocks.
    pub(crate) async fn bitswap_peers(&self) -> Result<Vec<String>, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            peers: Option<Vec<String>>,
        }
        let wire: Wire = self.json("bitswap/stat", &[], QUICK).await?;
        Ok(wire.peers.unwrap_or_default())
    }

    /// Connects to the peer at this multiaddress, which ends with its peer id.
    pub(crate) async fn connect(&self, address: &str) -> Result<(), KuboError> {
        self.call("swarm/connect", &[("arg", address)], None, QUICK, super::ANSWER_MOST).await.map(drop)
    }

    /// Ends the connection to a peer.
    pub(crate) async fn disconnect(&self, peer: &str) -> Result<(), KuboError> {
        let address = format!("/p2p/{peer}");
        self.call("swarm/disconnect", &[("arg", &address)], None, QUICK, super::ANSWER_MOST).await.map(drop)
    }
}
