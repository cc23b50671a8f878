//! Peers of an ipfs-cluster, each beside a Kubo node: on loopback ports of their own, or on hosts.

use super::json_tree::put;
use super::{Host, Kubo, Parts, Process, command, free_port, run, scratch, until};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The user of its REST API, and the password.
pub const CLUSTER_USER: (&str, &str) = ("publisher", "pa:ss word");

/// How often peers tell of themselves and of their lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClusterPace {
    /// Each two seconds.
    Hasty,
    /// As ipfs-cluster does it where nothing is set: each 15 seconds, and once a minute.
    Usual,
}

/// One peer.
pub struct ClusterPeer {
    parts: Parts,
    prefix: Vec<String>,
    ip: String,
    home: TempDir,
    daemon: Option<Process>,
    rest: u16,
    services: u16,
    swarm: u16,
}

impl ClusterPeer {
    /// Starts a peer that trusts itself alone.
    pub fn start(parts: &Parts, kubo: &Kubo) -> Self {
        Self::init(parts, kubo, None, ClusterPace::Hasty).writing()
    }

    /// Starts such a peer on a host, whose REST API is for that host alone.
    pub fn start_on(parts: &Parts, kubo: &Kubo, host: &Host, pace: ClusterPace) -> Self {
        Self::init(parts, kubo, Some(host), pace).writing()
    }

    fn writing(mut self) -> Self {
        let peer = &mut self;
        let own = json!([peer.id()]);
        peer.configure(|config| put(config, "/consensus/crdt/trusted_peers", own));
        peer.start_again();
        self
    }

    /// Starts a peer of another cluster that tries to join the one of `id` and `service`, without the secret.
    pub fn without_secret_of(parts: &Parts, kubo: &Kubo, id: &str, service: &Value) -> Self {
        let mut peer = Self::init(parts, kubo, None, ClusterPace::Hasty);
        let listens = service["cluster"]["listen_multiaddress"][0].as_str().expect("an address");
        let address = format!("{}/p2p/{id}", listens.replace("0.0.0.0", "127.0.0.1"));
        peer.configure(|config| {
            put(config, "/cluster/peer_addresses", json!([address]));
            put(config, "/consensus/crdt/cluster_name", service["consensus"]["crdt"]["cluster_name"].clone());
        });
        peer.start_again();
        peer
    }

    /// Starts a peer on a host that follows `writer`, and writes nothing itself.
    pub fn following(writer: &Self, kubo: &Kubo, host: &Host, pace: ClusterPace) -> Self {
        let mut peer = Self::init(&writer.parts, kubo, Some(host), pace);
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

    fn init(parts: &Parts, kubo: &Kubo, host: Option<&Host>, pace: ClusterPace) -> Self {
        let prefix = host.map(|host| host.prefix().map(str::to_owned).to_vec()).unwrap_or_default();
        let ip = host.map_or("127.0.0.1", Host::address).to_owned();
        let (rest, services, swarm) = (free_port(), free_port(), free_port());
        let peer = Self {
            parts: parts.clone(),
            prefix,
            ip: ip.clone(),
            home: scratch("cluster"),
            daemon: None,
            rest,
            services,
            swarm,
        };
        run(peer.call().args(["init", "--consensus", "crdt"])).ok();
        let tcp = |port: u16| json!(format!("/ip4/127.0.0.1/tcp/{port}"));
        let api = kubo.api();
        let node = tcp(api.rsplit(':').next().expect("a port").parse().expect("a port"));
        peer.configure(|config| {
            put(config, "/cluster/listen_multiaddress", json!([format!("/ip4/{ip}/tcp/{swarm}")]));
            put(config, "/cluster/mdns_interval", json!("0s"));
            if pace == ClusterPace::Hasty {
                put(config, "/cluster/monitor_ping_interval", json!("2s"));
                // A peer that starts learns from it what it has missed.
                put(config, "/consensus/crdt/rebroadcast_interval", json!("2s"));
            }
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
        let mut program = self.on_its_host(self.parts.cluster());
        program.env("IPFS_CLUSTER_PATH", self.home.path());
        program
    }

    /// Builds a command on the host of this peer.
    fn on_its_host(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let Some((first, rest)) = self.prefix.split_first() else { return command(program) };
        let mut on_host = command(first);
        on_host.args(rest).arg(program);
        on_host
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
        format!("/ip4/{}/tcp/{}/p2p/{}", self.ip, self.swarm, self.id())
    }

    /// Starts it after a stop, and waits until it answers.
    pub fn start_again(&mut self) {
        self.daemon = Some(Process::start(self.call().arg("daemon")));
        let url = format!("{}/health", self.rest());
        until("the cluster's peer answers", Duration::from_secs(60), || {
            let daemon = self.daemon.as_mut().expect("it was started");
            assert!(daemon.runs(), "the cluster's peer has ended: {}", daemon.said());
            let code = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", &url];
            let answer = run(self.on_its_host("curl").args(code));
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
        let answer = run(self.on_its_host("curl").args(["--silent", "--user", &user, "--request", method, &url])).ok();
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
