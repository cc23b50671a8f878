//! The settings of a group's Kubo and of its cluster peer: pure changes of the files that their own programs have made.

use serde_json::{Value, json};

use super::GroupPorts;
use crate::config::group_file::GroupFile;
use crate::config::peer_address::PeerAddress;

/// Changes the configuration of a Kubo so that it speaks with members alone, and announces nothing to others: its only
/// way out is TCP in the private network, and nothing in it names the public one.
pub(super) fn kubo(config: &mut Value, group: &GroupFile, ports: GroupPorts) {
    let own = config["Identity"]["PeerID"].as_str().unwrap_or_default().to_owned();
    let others = others(&group.kubo, &own);
    let peering: Vec<Value> =
        others.iter().map(|peer| json!({ "ID": peer.id(), "Addrs": [before_id(peer)] })).collect();
    let bootstrap: Vec<String> = others.iter().map(|peer| peer.to_string()).collect();
    let swarm = [format!("/ip4/0.0.0.0/tcp/{}", ports.kubo()), format!("/ip6/::/tcp/{}", ports.kubo())];
    for (pointer, value) in [
        ("/Addresses/Swarm", json!(swarm)),
        ("/Addresses/API", json!(loopback(ports.kubo_api()))),
        ("/Addresses/Gateway", json!(loopback(ports.gateway()))),
        ("/Bootstrap", json!(bootstrap)),
        ("/Peering/Peers", json!(peering)),
        ("/AutoConf/Enabled", json!(false)),
        ("/AutoNAT/ServiceMode", json!("disabled")),
        ("/AutoTLS/Enabled", json!(false)),
        ("/DNS/Resolvers", json!({})),
        ("/Discovery/MDNS/Enabled", json!(false)),
        ("/HTTPRetrieval/Enabled", json!(false)),
        ("/Ipns/DelegatedPublishers", json!([])),
        ("/Ipns/UsePubsub", json!(false)),
        // Kubo 0.37 and later report to their makers a quarter of an hour after the start, from a private network too.
        ("/Plugins/Plugins/telemetry/Disabled", json!(true)),
        ("/Plugins/Plugins/telemetry/Config/Mode", json!("off")),
        ("/Provide/Enabled", json!(false)),
        ("/Routing/Type", json!("none")),
        ("/Routing/DelegatedRouters", json!([])),
        ("/Swarm/DisableNatPortMap", json!(true)),
        ("/Swarm/EnableHolePunching", json!(false)),
        ("/Swarm/RelayClient/Enabled", json!(false)),
        ("/Swarm/RelayService/Enabled", json!(false)),
        ("/Version/SwarmCheckEnabled", json!(false)),
    ] {
        put(config, pointer, value);
    }
}

/// Writes the key of a private network as Kubo reads it.
pub(super) fn swarm_key(group: &GroupFile) -> String {
    format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", group.swarm_key.hex())
}

/// Changes the configuration of a cluster peer so that it holds what the group's writers pin, and lets a `pin add` through its
/// proxy for Kubo's RPC be one of the whole group.
pub(super) fn cluster(config: &mut Value, own: &str, group: &GroupFile, ports: GroupPorts) {
    let others: Vec<String> = others(&group.cluster, own).iter().map(|peer| peer.to_string()).collect();
    let trusted = match group.writers.is_empty() {
        // The secret lets in members alone.
        true => vec!["*".to_owned()],
        false => group.writers.clone(),
    };
    let listen = [format!("/ip4/0.0.0.0/tcp/{}", ports.cluster()), format!("/ip6/::/tcp/{}", ports.cluster())];
    for (pointer, value) in [
        ("/cluster/secret", json!(group.cluster_secret.hex())),
        ("/cluster/listen_multiaddress", json!(listen)),
        ("/cluster/peer_addresses", json!(others)),
        ("/cluster/mdns_interval", json!("0s")),
        ("/cluster/enable_relay_hop", json!(false)),
        ("/cluster/replication_factor_min", json!(-1)),
        ("/cluster/replication_factor_max", json!(-1)),
        ("/consensus/crdt/cluster_name", json!(group.name)),
        ("/consensus/crdt/trusted_peers", json!(trusted)),
        // A member that was away learns what it missed from the next of these, which come once a minute by default.
        ("/consensus/crdt/rebroadcast_interval", json!("10s")),
        ("/api/restapi/http_listen_multiaddress", json!(loopback(ports.rest()))),
        ("/api/ipfsproxy/listen_multiaddress", json!(loopback(ports.proxy()))),
        ("/api/ipfsproxy/node_multiaddress", json!(loopback(ports.kubo_api()))),
        ("/ipfs_connector/ipfshttp/node_multiaddress", json!(loopback(ports.kubo_api()))),
        ("/ipfs_connector/ipfshttp/connect_swarms_delay", json!("5s")),
        ("/datastore/pebble/pebble_options/cache_size_bytes", json!(16 << 20)),
    ] {
        put(config, pointer, value);
    }
    if let Some(api) = config["api"].as_object_mut() {
        api.remove("pinsvcapi");
    }
}

/// Returns the members but this one.
fn others<'a>(known: &'a [PeerAddress], own: &str) -> Vec<&'a PeerAddress> {
    known.iter().filter(|peer| peer.id() != own).collect()
}

fn before_id(peer: &PeerAddress) -> String {
    let text = peer.to_string();
    text.strip_suffix(&format!("/p2p/{}", peer.id())).unwrap_or(&text).to_owned()
}

fn loopback(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}")
}

/// Puts a value at a path of names, with an object for each that is not there.
fn put(config: &mut Value, pointer: &str, value: Value) {
    let mut at = config;
    for name in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::group_file::GroupKey;

    const OWN: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
    const OTHER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

    fn group(writers: &[&str]) -> GroupFile {
        let at = |port: u16| {
            [("10.0.0.4", OWN), ("10.0.0.5", OTHER)]
                .map(|(host, id)| format!("/ip4/{host}/tcp/{port}/p2p/{id}").parse().unwrap())
                .to_vec()
        };
        GroupFile {
            name: "lab".to_owned(),
            swarm_key: GroupKey([7; 32]),
            cluster_secret: GroupKey([9; 32]),
            writers: writers.iter().map(|it| (*it).to_owned()).collect(),
            kubo: at(4160),
            cluster: at(4161),
        }
    }

    #[test]
    fn kubo_is_left_no_way_to_others_and_keeps_what_is_its_own() {
        let mut config = json!({
            "Identity": { "PeerID": OWN }, "Bootstrap": ["auto"], "Datastore": { "StorageMax": "10GB" },
            "Routing": { "DelegatedRouters": ["auto"] }, "DNS": { "Resolvers": { ".": "auto" } },
        });
        kubo(&mut config, &group(&[]), GroupPorts { base: 4160 });
        assert_eq!(config["Datastore"]["StorageMax"], "10GB");
        assert_eq!(
            config["Bootstrap"],
            json!([format!("/ip4/10.0.0.5/tcp/4160/p2p/{OTHER}")]),
            "all members but itself"
        );
        assert_eq!(config["Peering"]["Peers"], json!([{ "ID": OTHER, "Addrs": ["/ip4/10.0.0.5/tcp/4160"] }]));
        assert_eq!(config["Routing"], json!({ "Type": "none", "DelegatedRouters": [] }));
        assert_eq!(config["Addresses"]["API"], "/ip4/127.0.0.1/tcp/4162");
        let text = config.to_string();
        assert_eq!(config["Plugins"]["Plugins"]["telemetry"], json!({ "Disabled": true, "Config": { "Mode": "off" } }));
        for public in ["auto\"", "quic", "udp", "libp2p.io", "https"] {
            assert!(!text.contains(public), "{public}: {text}");
        }
        assert_eq!(swarm_key(&group(&[])).lines().nth(2), Some(&*"07".repeat(32)));
    }

    #[test]
    fn every_member_writes_unless_writers_are_named() {
        let fresh =
            json!({ "api": { "pinsvcapi": {}, "restapi": {}, "ipfsproxy": {} }, "cluster": { "peername": "a" } });
        for (writers, trusted) in [(&[][..], json!(["*"])), (&[OTHER], json!([OTHER]))] {
            let mut config = fresh.clone();
            cluster(&mut config, OWN, &group(writers), GroupPorts { base: 4160 });
            assert_eq!(config["consensus"]["crdt"]["trusted_peers"], trusted);
            assert_eq!(config["cluster"]["peer_addresses"], json!([format!("/ip4/10.0.0.5/tcp/4161/p2p/{OTHER}")]));
            assert_eq!(config["cluster"]["peername"], "a");
            assert_eq!(config["api"].as_object().unwrap().len(), 2, "no port for pinning services");
            assert_eq!(config["api"]["ipfsproxy"]["listen_multiaddress"], "/ip4/127.0.0.1/tcp/4165");
        }
    }
}
