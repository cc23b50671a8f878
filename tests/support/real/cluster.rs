//! One peer of an ipfs-cluster, beside a Kubo node, on loopback ports of its own.

use super::json_tree::put;
use super::{Kubo, Parts, Process, command, free_port, run, scratch, until};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The user of its REST API, and the password.
pub const CLUSTER_USER: (&str, &str) = ("publisher", "pa:ss word");

/// One peer.
pub struct ClusterPeer {
    program: std::path::PathBuf,
    home: TempDir,
    daemon: Option<Process>,
    rest: u16,
    services: u16,
    swarm: u16,
}

impl ClusterPeer {
    /// Starts a peer that trusts itself alone.
    pub fn start(parts: &Parts, kubo: &Kubo) -> Self {
        let mut peer = Self::init(parts, kubo);
        let own = json!([peer.id()]);
        peer.configure(|config| put(config, "/consensus/crdt/trusted_peers", own));
        peer.start_again();
        peer
    }

    /// Starts a peer that follows `writer`, and writes nothing itself.
    pub fn following(writer: &Self, parts: &Parts, kubo: &Kubo) -> Self {
        let mut peer = Self::init(parts, kubo);
        let (secret, trusted, address) = (writer.secret(), json!([writer.id()]), json!([writer.address()]));
        peer.configure(|config| {
            put(config, "/cluster/secret", secret);
            put(config, "/cluster/peer_addresses", address);
            put(config, "/cluster/follower_mode", json!(true));
            put(config, "/consensus/crdt/trusted_peers", trusted);
        });
        peer.start_again();
        peer
    }

    fn init(parts: &Parts, kubo: &Kubo) -> Self {
        let (rest, services, swarm) = (free_port(), free_port(), free_port());
        let program = parts.cluster();
        let peer = Self { program, home: scratch("cluster"), daemon: None, rest, services, swarm };
        run(peer.call().args(["init", "--consensus", "crdt"])).ok();
        let tcp = |port: u16| json!(format!("/ip4/127.0.0.1/tcp/{port}"));
        let api = kubo.api();
        let node = tcp(api.rsplit(':').next().expect("a port").parse().expect("a port"));
        peer.configure(|config| {
            put(config, "/cluster/listen_multiaddress", json!([tcp(swarm)]));
            put(config, "/cluster/mdns_interval", json!("0s"));
            put(config, "/cluster/monitor_ping_interval", json!("2s"));
            // A peer that starts learns from it what it has missed; a minute by default.
            put(config, "/consensus/crdt/rebroadcast_interval", json!("2s"));
            put(config, "/api/restapi/http_listen_multiaddress", tcp(rest));
            put(config, "/api/restapi/basic_auth_credentials", json!({ CLUSTER_USER.0: CLUSTER_USER.1 }));
            put(config, "/api/pinsvcapi/http_listen_multiaddress", tcp(services));
            put(config, "/api/pinsvcapi/basic_auth_credentials", json!({ CLUSTER_USER.0: CLUSTER_USER.1 }));
            config["api"].as_object_mut().expect("a section").remove("ipfsproxy");
            put(config, "/ipfs_connector/ipfshttp/node_multiaddress", node);
            put(config, "/datastore/pebble/pebble_options/cache_size_bytes", json!(1 << 22));
        });
        peer
    }

    fn call(&self) -> Command {
        let mut program = command(&self.program);
        program.env("IPFS_CLUSTER_PATH", self.home.path());
        program
    }

    fn file(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.home.path().join(name)).expect("a file of the peer")).expect("JSON")
    }

    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.file("service.json");
        change(&mut config);
        fs::write(self.home.path().join("service.json"), config.to_string()).expect("a file of the peer");
    }

    /// Returns the secret of its network.
    pub fn secret(&self) -> Value {
        self.file("service.json")["cluster"]["secret"].clone()
    }

    fn id(&self) -> String {
        self.file("identity.json")["id"].as_str().expect("an id").to_owned()
    }

    /// Returns the address at which other peers find it.
    pub fn address(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", self.swarm, self.id())
    }

    /// Starts it after a stop, and waits until it answers.
    pub fn start_again(&mut self) {
        let daemon = self.daemon.insert(Process::start(self.call().arg("daemon")));
        let url = format!("http://127.0.0.1:{}/health", self.rest);
        until("the cluster's peer answers", Duration::from_secs(60), || {
            assert!(daemon.runs(), "the cluster's peer has ended: {}", daemon.said());
            let answer =
                run(command("curl").args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", &url]));
            (answer.stdout == "204").then_some(())
        });
    }

    /// Kills it, as a loss of power does.
    pub fn kill(&mut self) {
        self.daemon.take().expect("a peer that runs").kill();
    }

    /// Returns the URL of its REST API.
    pub fn rest(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// Returns the URL of its pinning service.
    pub fn service(&self) -> String {
        format!("http://127.0.0.1:{}", self.services)
    }

    /// Calls its REST API, and returns the answer's lines.
    pub fn ask(&self, method: &str, path: &str) -> Vec<Value> {
        let (url, user) = (format!("{}{path}", self.rest()), format!("{}:{}", CLUSTER_USER.0, CLUSTER_USER.1));
        let answer = run(command("curl").args(["--silent", "--user", &user, "--request", method, &url])).ok();
        answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Lists its pinset: roots and names.
    pub fn pins(&self) -> Vec<(String, String)> {
        let text = |pin: &Value, key: &str| pin[key].as_str().expect("a text").to_owned();
        self.ask("GET", "/allocations").iter().map(|pin| (text(pin, "cid"), text(pin, "name"))).collect()
    }

    /// Returns a token of its REST API and its pinning service.
    pub fn token(&self) -> String {
        self.ask("POST", "/token")[0]["token"].as_str().expect("a token").to_owned()
    }
}
