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

    /// Returns the peer id of the daemon.
    pub(crate) async fn peer_id(&self) -> Result<String, KuboError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "ID")]
            id: String,
        }
        let wire: Wire = self.json("id", &[], QUICK).await?;
        Ok(wire.id)
    }

    /// Returns the bytes of blocks that its Bitswap has sent since it started.
    pub(crate) async fn bytes_sent(&self) -> Result<u64, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            data_sent: u64,
        }
        let wire: Wire = self.json("bitswap/stat", &[], QUICK).await?;
        Ok(wire.data_sent)
    }

    /// Lists the multiaddresses at which it says that it can be reached, each with its peer id; those of loopback as well.
    pub(crate) async fn own_addresses(&self) -> Result<Vec<String>, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            addresses: Option<Vec<String>>,
        }
        let wire: Wire = self.json("id", &[], QUICK).await?;
        Ok(wire.addresses.unwrap_or_default())
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

    /// Lists the ids of the peers to which it keeps connections.
    pub(crate) async fn peering(&self) -> Result<Vec<String>, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            peers: Option<Vec<WirePeer>>,
        }
        #[derive(Deserialize)]
        struct WirePeer {
            #[serde(rename = "ID")]
            id: String,
        }
        let wire: Wire = self.json("swarm/peering/ls", &[], QUICK).await?;
        Ok(wire.peers.unwrap_or_default().into_iter().map(|peer| peer.id).collect())
    }

    /// Keeps a connection to the peer at this multiaddress, until it ends; the connection is made in the background.
    pub(crate) async fn add_peering(&self, address: &str) -> Result<(), KuboError> {
        self.call("swarm/peering/add", &[("arg", address)], None, QUICK, super::ANSWER_MOST).await.map(drop)
    }

    /// Keeps no connection to the peer of this id any more; one that there is stays for now.
    pub(crate) async fn remove_peering(&self, id: &str) -> Result<(), KuboError> {
        self.call("swarm/peering/rm", &[("arg", id)], None, QUICK, super::ANSWER_MOST).await.map(drop)
    }
}
