//! A Kubo node of the test's own: no bootstrap peers, nothing announced, free ports.

use super::json_tree::put;
use super::swarm::bytes_below;
use super::{Host, Parts, Process, Ran, command, run, scratch, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The node's way to find content beyond its connected peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Nothing.
    None,
    /// A distributed hash table among the nodes of its network.
    Dht,
}

/// One node with a repository of its own.
pub struct Kubo {
    parts: Parts,
    repo: TempDir,
    prefix: Vec<String>,
    daemon: Option<Process>,
}

impl Kubo {
    /// Starts a node on this machine's loopback addresses, without multicast DNS.
    pub fn start(parts: &Parts) -> Kubo {
        let mut kubo = Kubo::init(parts, &[], Routing::None);
        kubo.start_again();
        kubo
    }

    /// Starts a node on a host; nodes of one network find each other by multicast DNS.
    pub fn start_on(parts: &Parts, host: &Host, routing: Routing) -> Kubo {
        let mut kubo = Kubo::init(parts, &host.prefix(), routing);
        kubo.start_again();
        kubo
    }

    /// Starts a node on loopback that finds names among the nodes of this machine, after a change of its settings.
    pub fn naming(parts: &Parts, change: impl FnOnce(&mut Value)) -> Kubo {
        let mut kubo = Kubo::init(parts, &[], Routing::Dht);
        kubo.configure(|config| {
            put(config, "/Routing/LoopbackAddressesOnLanDHT", json!(true));
            change(config);
        });
        kubo.start_again();
        kubo
    }

    /// Starts a node on a host, without multicast DNS.
    pub fn start_alone_on(parts: &Parts, host: &Host, routing: Routing) -> Kubo {
        let mut kubo = Kubo::init(parts, &host.prefix(), routing);
        kubo.configure(|config| put(config, "/Discovery/MDNS/Enabled", json!(false)));
        kubo.start_again();
        kubo
    }

    /// Makes a node that was never started.
    fn init(parts: &Parts, prefix: &[&str], routing: Routing) -> Kubo {
        let prefix: Vec<String> = prefix.iter().map(|&word| word.to_owned()).collect();
        let kubo = Kubo { parts: parts.clone(), repo: scratch("kubo"), prefix, daemon: None };
        kubo.ipfs(&["init", "--profile=autoconf-off,announce-off,unixfs-v1-2025"]).ok();
        let on_lan = !kubo.prefix.is_empty();
        kubo.configure(|config| {
            let settings = [
                ("/Bootstrap", json!([])),
                ("/Routing/Type", json!(if routing == Routing::Dht { "dht" } else { "none" })),
                ("/Routing/DelegatedRouters", json!([])),
                ("/Discovery/MDNS/Enabled", json!(on_lan)),
                ("/Addresses/API", json!("/ip4/127.0.0.1/tcp/0")),
                ("/Addresses/Gateway", json!("/ip4/127.0.0.1/tcp/0")),
                ("/Addresses/Swarm", swarm_addresses(on_lan)),
                ("/Swarm/DisableNatPortMap", json!(true)),
                ("/Swarm/RelayClient/Enabled", json!(false)),
                ("/Swarm/RelayService/Enabled", json!(false)),
                ("/Swarm/EnableHolePunching", json!(false)),
                ("/AutoTLS/Enabled", json!(false)),
                ("/AutoNAT/ServiceMode", json!("disabled")),
                ("/HTTPRetrieval/Enabled", json!(false)),
                ("/Version/SwarmCheckEnabled", json!(false)),
                ("/Internal/NonPublicAddrPublishing", json!(true)),
            ];
            for (pointer, value) in settings {
                put(config, pointer, value);
            }
        });
        kubo
    }

    /// Changes its configuration file, which counts from the next start on.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.repo.path().join("config");
        let mut config = serde_json::from_slice(&fs::read(&path).expect("Kubo's configuration")).expect("JSON");
        change(&mut config);
        fs::write(&path, config.to_string()).expect("Kubo's configuration");
    }

    /// Starts it, with its former addresses if it ran before.
    pub fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "it is running");
        // A crash leaves these behind, and they would be read as those of the new run.
        for file in ["api", "gateway"] {
            let _ = fs::remove_file(self.repo.path().join(file));
        }
        let mut daemon = Process::start(&mut self.command(&["daemon"], true));
        until("Kubo is ready", Duration::from_secs(60), || {
            assert!(daemon.runs(), "Kubo ended at its start:\n{}", daemon.said());
            daemon.said().contains("Daemon is ready").then_some(())
        });
        self.daemon = Some(daemon);
        let (api, gateway) = (self.api(), self.gateway());
        self.configure(|config| {
            put(config, "/Addresses/API", json!(multiaddr(&api)));
            put(config, "/Addresses/Gateway", json!(multiaddr(&gateway)));
        });
    }

    /// Stops it regularly.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(Signal::TERM);
            daemon.wait();
        }
    }

    /// Kills it, like a crash.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Makes it hang: it accepts connections and never answers.
    pub fn freeze(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Continues it.
    pub fn thaw(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Returns the URL of its RPC.
    pub fn api(&self) -> String {
        let address = fs::read_to_string(self.repo.path().join("api")).expect("a node that ran");
        let port = address.trim().rsplit('/').next().expect("a port").to_owned();
        format!("http://127.0.0.1:{port}")
    }

    /// Returns the URL of its gateway.
    pub fn gateway(&self) -> String {
        fs::read_to_string(self.repo.path().join("gateway")).expect("a node that ran").trim().to_owned()
    }

    /// Returns its process id.
    pub fn process_id(&self) -> u32 {
        self.running().id()
    }

    /// Returns its directory.
    pub fn path(&self) -> &Path {
        self.repo.path()
    }

    /// Runs one command of its own program.
    pub fn ipfs(&self, arguments: &[&str]) -> Ran {
        run(&mut self.call(arguments))
    }

    /// Builds one command of its own program.
    pub fn call(&self, arguments: &[&str]) -> Command {
        self.command(arguments, false)
    }

    /// Returns its peer id.
    pub fn id(&self) -> String {
        self.ipfs(&["id", "--format=<id>"]).ok().stdout.trim().to_owned()
    }

    /// Lists its connected peers.
    pub fn peers(&self) -> Vec<String> {
        let listing = self.ipfs(&["swarm", "peers"]).ok().stdout;
        listing.lines().filter_map(|line| line.rsplit('/').next()).map(str::to_owned).collect()
    }

    /// Waits until it is connected to another node and would ask it for blocks.
    ///
    /// A node that is dialled while it starts can accept the connection before its Bitswap listens for connections (boxo
    /// v0.42.1, bitswap/network/bsnet/ipfs_impl.go, `Start`: those that are there already are not counted). Then it never
    /// asks that peer for anything until the connection is made anew, as is done here.
    pub fn meets(&self, other: &Kubo) {
        let id = other.id();
        until("the nodes meet", Duration::from_secs(30), || self.peers().contains(&id).then_some(()));
        let (dir, mut asked) = (scratch("probe"), 0);
        let mut gets = |limit: &str| {
            asked += 1;
            let probe = dir.path().join("probe");
            fs::write(&probe, format!("{id} {asked}")).expect("a block");
            let cid = other.ipfs(&["block", "put", &probe.display().to_string()]).ok().stdout;
            self.ipfs(&["block", "get", "--timeout", limit, cid.trim()]).status.success()
        };
        if !gets("5s") {
            let listing = self.ipfs(&["swarm", "peers"]).ok().stdout;
            let address = listing.lines().find(|line| line.ends_with(&id)).expect("the node that was met");
            self.ipfs(&["swarm", "disconnect", &format!("/p2p/{id}")]).ok();
            self.ipfs(&["swarm", "connect", address]).ok();
            until("Bitswap knows the other node", Duration::from_secs(30), || gets("2s").then_some(()));
        }
    }

    /// Connects it to a node on the same loopback.
    pub fn connect(&self, other: &Kubo) {
        let listing = other.ipfs(&["id", "--format=<addrs>"]).ok().stdout;
        let address = listing.lines().find(|line| line.contains("/tcp/")).expect("an address");
        self.ipfs(&["swarm", "connect", address]).ok();
    }

    /// Adds a file, or a directory, with the profile of pkgswarm's CIDs, and returns its CID.
    pub fn add(&self, file: &Path) -> String {
        self.add_in_chunks(file, 1 << 20)
    }

    /// Adds a file cut into chunks of so many bytes; returns its CID.
    pub fn add_in_chunks(&self, file: &Path, chunk: u32) -> String {
        let profile = ["--cid-version=1", "--raw-leaves", &format!("--chunker=size-{chunk}"), "--max-file-links=1024"];
        let mut add = self.command(&["add", "--quieter", "--recursive", "--dereference-symlinks"], false);
        run(add.args(profile).arg(file)).ok().stdout.trim().to_owned()
    }

    /// Counts bytes of blocks that it has sent to other nodes since its start.
    pub fn bytes_sent(&self) -> u64 {
        let stat = self.ipfs(&["bitswap", "stat"]).ok().stdout;
        let line = stat.lines().find_map(|line| line.trim().strip_prefix("data sent: "));
        line.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("no count of bytes sent in:\n{stat}"))
    }

    /// Counts bytes that its gateway has sent since its start, by its own count.
    pub fn bytes_of_gateway(&self) -> u64 {
        let mut curl = command(self.prefix.first().map_or("curl", String::as_str));
        if !self.prefix.is_empty() {
            curl.args(&self.prefix[1..]).arg("curl");
        }
        let metrics = run(curl.arg("--silent").arg(format!("{}/debug/metrics/prometheus", self.api()))).ok().stdout;
        let counter = |line: &&str| {
            line.starts_with("http_server_response_body_size_bytes_sum{")
                && line.contains("http_route=\"/ipfs/\"")
                && ["200", "206"].iter().any(|code| line.contains(&format!("status_code=\"{code}\"")))
        };
        let sums = metrics.lines().filter(counter).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        sums.sum::<f64>() as u64
    }

    /// Returns the disk space of its blocks.
    pub fn bytes_kept(&self) -> u64 {
        bytes_below(&self.repo.path().join("blocks"))
    }

    fn running(&self) -> &Process {
        self.daemon.as_ref().expect("a running node")
    }

    fn command(&self, arguments: &[&str], tied: bool) -> Command {
        let mut words: Vec<PathBuf> = self.prefix.iter().map(PathBuf::from).collect();
        if tied {
            // It must not outlive this process.
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(PathBuf::from));
        }
        words.push(self.parts.ipfs());
        let mut all = command(&words[0]);
        all.args(&words[1..]).args(arguments);
        all.env("IPFS_PATH", self.repo.path()).env("IPFS_TELEMETRY", "off").env("HOME", self.repo.path());
        all
    }
}

fn swarm_addresses(on_lan: bool) -> Value {
    if on_lan {
        json!(["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"])
    } else {
        json!(["/ip4/127.0.0.1/tcp/0"])
    }
}

fn multiaddr(url: &str) -> String {
    let port = url.rsplit(':').next().expect("a port").trim_end_matches('/');
    format!("/ip4/127.0.0.1/tcp/{port}")
}
