//! The settings of a group's Kubo and of its cluster peer: pure changes of the files that their own programs have made.

use std::path::Path;

use serde_json::{Value, json};

use super::GroupPorts;
use crate::base::digest::Sha256;
use crate::config::group_file::GroupFile;
use crate::config::peer_address::PeerAddress;

/// The user of a cluster peer's REST API.
const LOGIN: &str = "pkgswarm";

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
        // A gateway lets each web page read what it answers.
        ("/Addresses/Gateway", json!([])),
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
        // After an update Kubo changes its own files; steps that it has not in itself it would fetch from public hosts, or, of
        // an empty list, from those of its makers. Nothing listens there: it fails instead, and says so.
        ("/Migration/DownloadSources", json!(["http://127.0.0.1:9"])),
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
///
/// Both ways to change the group's pins are closed to web pages and to other users of this machine: the proxy, which looks at no
/// origin and knows no password, is a socket in the group's directory, and the REST API demands a password. The proxy finds
/// Kubo by TCP alone (ipfs-cluster 1.1.6, `api/ipfsproxy/ipfsproxy.go`, `nodeHTTPAddr`), so Kubo's own RPC stays there.
pub(super) fn cluster(config: &mut Value, own: &str, group: &GroupFile, (ports, proxy): (GroupPorts, &Path)) {
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
        ("/api/restapi/basic_auth_credentials", json!({ LOGIN: password(own, group) })),
        // The API's own address, where no page is: an empty list would let in all of them (rs/cors, `AllowedOrigins`).
        ("/api/restapi/cors_allowed_origins", json!([format!("http://127.0.0.1:{}", ports.rest())])),
        ("/api/restapi/cors_allow_credentials", json!(false)),
        ("/api/ipfsproxy/listen_multiaddress", json!(format!("/unix{}", proxy.display()))),
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

/// Returns the user and the password of the REST API in a cluster peer's configuration.
pub(super) fn login(config: &Value) -> Option<(String, String)> {
    let password = config["api"]["restapi"]["basic_auth_credentials"][LOGIN].as_str()?;
    Some((LOGIN.to_owned(), password.to_owned()))
}

/// Makes the password of one member's REST API, which none but members can tell.
fn password(own: &str, group: &GroupFile) -> String {
    Sha256::of(format!("REST API of {own} {}", group.cluster_secret.hex()).as_bytes()).to_string()
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
        assert_eq!(config["Addresses"]["Gateway"], json!([]));
        assert_eq!(
            config["Migration"]["DownloadSources"],
            json!(["http://127.0.0.1:9"]),
            "an empty list is the default"
        );
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
            cluster(
                &mut config,
                OWN,
                &group(writers),
                (GroupPorts { base: 4160 }, Path::new("/var/lib/lab/pins.sock")),
            );
            assert_eq!(config["consensus"]["crdt"]["trusted_peers"], trusted);
            assert_eq!(config["cluster"]["peer_addresses"], json!([format!("/ip4/10.0.0.5/tcp/4161/p2p/{OTHER}")]));
            assert_eq!(config["cluster"]["peername"], "a");
            assert_eq!(config["api"].as_object().unwrap().len(), 2, "no port for pinning services");
            assert_eq!(config["api"]["ipfsproxy"]["listen_multiaddress"], "/unix/var/lib/lab/pins.sock");
            let rest = &config["api"]["restapi"];
            assert_eq!(rest["cors_allowed_origins"], json!(["http://127.0.0.1:4163"]), "an empty list lets in all");
            let (_, password) = login(&config).unwrap();
            assert_ne!(password, self::password(OTHER, &group(writers)), "of this member alone");
            let other = GroupFile { cluster_secret: GroupKey([8; 32]), ..group(writers) };
            assert_ne!(password, self::password(OWN, &other), "and not to be told without the secret");
        }
    }
}
