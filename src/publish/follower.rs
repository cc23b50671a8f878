//! What followers of the ipfs-cluster that pins a publication are told: a template for `ipfs-cluster-follow`.
//!
//! It is complete (`the_template_is_complete_and_names_nothing_private`), because a section that is left out has no defaults
//! there.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use serde_json::json;

use crate::config::peer_address::PeerAddress;

/// The template's name in the tree; no repository is called so.
pub(super) const TEMPLATE: &str = "pkgswarm-follower.json";

/// The facts of a cluster that followers are told; all of it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerTemplate {
    /// Its name, by which its peers hear of each other's pins.
    pub cluster_name: String,
    /// The secret of its network, 64 hexadecimal digits. With it a machine can join and read; it cannot write as long as the
    /// cluster's own `trusted_peers` names the writers.
    pub secret: String,
    /// Peers to connect to, whose pins are accepted; one at least.
    pub writers: Vec<PeerAddress>,
}

impl FollowerTemplate {
    /// Writes the template: `service.json` of ipfs-cluster 1.1, without the sections that concern one machine.
    pub(super) fn json(&self) -> String {
        let addresses: Vec<String> = self.writers.iter().map(ToString::to_string).collect();
        let mut trusted: Vec<&str> = self.writers.iter().map(PeerAddress::id).collect();
        trusted.sort_unstable();
        trusted.dedup();
        let template = json!({
            "cluster": {
                "secret": self.secret,
                "leave_on_shutdown": false,
                // Any free port: a machine may follow several clusters, and dials the writers itself.
                "listen_multiaddress": ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"],
                "announce_multiaddress": [],
                "no_announce_multiaddress": [],
                "enable_relay_hop": false,
                "connection_manager": { "high_water": 400, "low_water": 100, "grace_period": "2m0s" },
                "resource_manager": { "enabled": true, "memory_limit_bytes": 0, "file_descriptors_limit": 0 },
                "pubsub": {
                    "seen_messages_ttl": "30m0s", "heartbeat_interval": "10s", "d_factor": 4, "history_gossip": 2,
                    "history_length": 6, "flood_publish": false,
                },
                "dial_peer_timeout": "3s",
                "state_sync_interval": "5m0s",
                "pin_recover_interval": "12m0s",
                // Strangers may claim to hold what they do not: all of them hold everything.
                "replication_factor_min": -1,
                "replication_factor_max": -1,
                "monitor_ping_interval": "15s",
                "peer_watch_interval": "5s",
                "mdns_interval": "0s",
                "pin_only_on_trusted_peers": false,
                "pin_only_on_untrusted_peers": false,
                "disable_repinning": true,
                "follower_mode": true,
                "peer_addresses": addresses,
            },
            "consensus": { "crdt": {
                "cluster_name": self.cluster_name,
                "trusted_peers": trusted,
                "batching": { "max_batch_size": 0, "max_batch_age": "0s" },
                "repair_interval": "1h0m0s",
            } },
            "ipfs_connector": { "ipfshttp": {
                "node_multiaddress": "/ip4/127.0.0.1/tcp/5001",
                "connect_swarms_delay": "30s",
                "ipfs_request_timeout": "5m0s",
                "pin_timeout": "2m0s",
                "unpin_timeout": "3h0m0s",
                "repogc_timeout": "24h0m0s",
                "informer_trigger_interval": 0,
            } },
            "pin_tracker": { "stateless": {
                "concurrent_pins": 10, "priority_pin_max_age": "24h0m0s", "priority_pin_max_retries": 5,
            } },
            "monitor": { "pubsubmon": { "check_interval": "15s" } },
            "allocator": { "balanced": { "allocate_by": ["tag:group", "freespace"] } },
            "informer": {
                "disk": { "metric_ttl": "30s", "metric_type": "freespace" },
                "tags": { "metric_ttl": "30s", "tags": { "group": "default" } },
            },
            "datastore": { "pebble": {} },
        });
        serde_json::to_string_pretty(&template).expect("text and numbers alone") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn template() -> FollowerTemplate {
        let address = |host: &str| format!("/ip4/{host}/tcp/9096/p2p/{WRITER}").parse().unwrap();
        FollowerTemplate {
            cluster_name: "c".to_owned(),
            secret: "ab".repeat(32),
            writers: ["81.2.69.160", "81.2.69.161"].map(address).to_vec(),
        }
    }

    #[test]
    fn the_template_is_complete_and_names_nothing_private() {
        let text = template().json();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let sections: Vec<&String> = read.as_object().unwrap().keys().collect();
        let expected =
            ["allocator", "cluster", "consensus", "datastore", "informer", "ipfs_connector", "monitor", "pin_tracker"];
        assert_eq!(sections, expected);
        assert_eq!(read["consensus"]["crdt"]["trusted_peers"], json!([WRITER]), "each writer once");
        assert_eq!(read["cluster"]["follower_mode"], true);
        assert_eq!(read["cluster"]["peer_addresses"].as_array().unwrap().len(), 2);
        assert_eq!(read["cluster"]["peername"], serde_json::Value::Null, "each machine has its own");
        assert_eq!(text, template().json(), "the same facts are the same bytes, and no new publication");
    }
}
