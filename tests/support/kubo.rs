//! A Kubo daemon without a network: gateway and RPC over its given content, with Kubo's traps on request.
//!
//! Facts: `doc/facts/kubo.md`. A missing block is searched without a result, as by the real one: the gateway stays
//! silent, `block/get` until its `timeout`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pkgswarm::dag::build::{build, build_blocks};
use pkgswarm::dag::dir::{self, DirectoryEntry};

use super::json_tree::put;
use super::kubo_disk::FakeDisk;
use super::kubo_share;
use super::mirror::file_reply;
use super::peering::FakePeering;
use super::script::{Misbehaves, Script, Scripts};
use super::server::{Ending, Reply, Request, Server};

/// The directory without entries, the first root of MFS.
const EMPTY: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

/// One way to misbehave, for tables of them.
pub type BendKubo = fn(FakeKubo) -> FakeKubo;

/// A daemon with its two ports. Scripts are about the gateway: the path of a file is `ipfs/CID`, that of a raw block
/// `block/CID`.
pub struct FakeKubo {
    gateway: Server,
    api: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    blocks: HashMap<String, Vec<u8>>,
    /// Roots and the names of their pins.
    pinned: BTreeMap<String, String>,
    /// The demanded `Authorization`, if its API is guarded.
    secret: Option<&'static str>,
    /// The root of MFS.
    mfs: Option<String>,
    /// Not here yet, but a peer of the network has it.
    far: HashSet<String>,
    records: HashMap<String, Vec<u8>>,
    /// Its configuration, as `config/show` prints it.
    config: serde_json::Value,
    version: Option<&'static str>,
    used: Option<u64>,
    /// Its StorageMax, where that is not ten gigabytes.
    most: Option<u64>,
    /// The other peers of the network that have a file; without an entry no peer answers.
    providers: HashMap<String, usize>,
    /// Calls of its RPC until one hangs.
    until_hung: Option<usize>,
    /// True while no pin can be removed.
    keeps_pins: bool,
    /// True while its Bitswap does not know its peer, and asks it for nothing.
    is_deaf: bool,
    peers: usize,
    peering: FakePeering,
    disk: FakeDisk,
    /// True if searches for names never end, as with an unreachable DHT.
    lost: bool,
    scripts: Scripts,
}

impl FakeKubo {
    /// Makes a healthy daemon without content.
    pub fn empty() -> Self {
        let state = Arc::new(Mutex::new(State { peers: 1, config: serde_json::json!({}), ..State::default() }));
        let (a, b) = (state.clone(), state.clone());
        Self {
            gateway: Server::start(move |request| a.lock().unwrap().gateway(request)),
            api: Server::start(move |request| b.lock().unwrap().rpc(request)),
            state,
        }
    }

    /// Adds a file with all its blocks, under its CID in our profile.
    pub fn holding(self, bytes: &[u8]) -> Self {
        let mut blocks = Vec::new();
        let built = build_blocks(bytes, |cid, block| {
            blocks.push((cid.to_string(), block.to_vec()));
            Ok(())
        });
        let cid = built.expect("memory can be read").root.to_string();
        self.state.lock().unwrap().blocks.extend(blocks);
        self.holding_as(&cid, bytes)
    }

    /// Makes a file available from the network; once fetched, it is kept.
    pub fn finding(self, bytes: &[u8]) -> Self {
        let cid = build(bytes).expect("memory can be read").root.to_string();
        self.state.lock().unwrap().far.insert(cid);
        self.holding(bytes)
    }

    /// Counts bytes of the files that it keeps, local ones only.
    pub fn kept(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.files.iter().filter(|(cid, _)| !state.far.contains(*cid)).map(|(_, bytes)| bytes.len()).sum()
    }

    /// Adds a file under this CID, unchecked.
    pub fn holding_as(self, cid: &str, bytes: &[u8]) -> Self {
        self.state.lock().unwrap().files.insert(cid.to_owned(), bytes.to_vec());
        self
    }

    /// Adds a single block, unchecked.
    pub fn holding_block(self, cid: &str, bytes: &[u8]) -> Self {
        self.state.lock().unwrap().blocks.insert(cid.to_owned(), bytes.to_vec());
        self
    }

    /// Keeps this CID from `block/rm`.
    pub fn pinning(self, cid: &str) -> Self {
        self.pin(cid, "");
        self
    }

    /// Pins this CID, as the user does.
    pub fn pin(&self, cid: &str, name: &str) {
        self.state.lock().unwrap().pinned.insert(cid.to_owned(), name.to_owned());
    }

    /// Lists its pins and their names.
    pub fn pins(&self) -> BTreeMap<String, String> {
        self.state.lock().unwrap().pinned.clone()
    }

    /// Lets in only requests with this `Authorization`, as with `API.Authorizations`.
    pub fn guarded(self, secret: &'static str) -> Self {
        self.state.lock().unwrap().secret = Some(secret);
        self
    }

    /// Serves its API on a Unix socket at this path as well.
    pub fn on_socket(&self, path: &Path) {
        let (listener, api) = (UnixListener::bind(path).expect("a socket of ours"), self.api.address());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let api = TcpStream::connect(api).expect("our own server");
                let (mut from, mut to) = (client.try_clone().expect("a socket"), api.try_clone().expect("a socket"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
                let (mut from, mut to) = (api, client);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        });
    }

    /// Adds this CID to MFS, in a directory below its root.
    pub fn keeping_in_mfs(self, cid: &str) -> Self {
        let mut state = self.state.lock().unwrap();
        let mut root = cid.parse().expect("a CID");
        for name in ["file", "dir"] {
            let entry = DirectoryEntry { name: name.to_owned(), cid: root, dag_size: 1 };
            let built = dir::build(&[entry], |block| _ = state.blocks.insert(block.cid.to_string(), block.bytes));
            root = built.expect("one entry").root;
        }
        state.mfs = Some(root.to_string());
        drop(state);
        self
    }

    /// Adds the signed record of an IPNS name.
    pub fn naming(self, name: &str, record: &[u8]) -> Self {
        self.state.lock().unwrap().records.insert(name.to_owned(), record.to_vec());
        self
    }

    /// Makes searches for names never end.
    pub fn without_a_network(self) -> Self {
        self.state.lock().unwrap().lost = true;
        self
    }

    /// Sets this value of its configuration, by a JSON pointer.
    pub fn configured(self, pointer: &str, value: serde_json::Value) -> Self {
        put(&mut self.state.lock().unwrap().config, pointer, value);
        self
    }

    /// Sets its version.
    pub fn version(self, version: &'static str) -> Self {
        self.state.lock().unwrap().version = Some(version);
        self
    }

    /// Makes its repo use so many bytes of its ten gigabytes.
    pub fn using(self, bytes: u64) -> Self {
        self.state.lock().unwrap().used = Some(bytes);
        self
    }

    /// Makes its repo no larger than this.
    pub fn holding_at_most(&self, bytes: u64) {
        self.state.lock().unwrap().most = Some(bytes);
    }

    /// Has the network say that so many other peers have a file.
    pub fn provided_by(&self, cid: &str, others: usize) {
        self.state.lock().unwrap().providers.insert(cid.to_owned(), others);
    }

    /// Answers so many calls of its RPC, and hangs from then on.
    pub fn hang_after(&self, calls: Option<usize>) {
        self.state.lock().unwrap().until_hung = calls;
    }

    /// Fails to remove pins from now on, or no more.
    pub fn keeping_pins(&self, keeps: bool) {
        self.state.lock().unwrap().keeps_pins = keeps;
    }

    /// Has a connection that its Bitswap does not know of, until that is made anew.
    pub fn deaf(self) -> Self {
        self.state.lock().unwrap().is_deaf = true;
        self
    }

    /// Lists the blocks that no pin reaches.
    pub fn loose_blocks(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let pinned = kubo_share::pinned(&state.blocks, &state.pinned);
        state.blocks.keys().filter(|cid| !pinned.contains(*cid)).cloned().collect()
    }

    /// Lists what the pin of this name reaches, and whether there is one such pin and all of it is there.
    pub fn pinned_under(&self, name: &str) -> Option<HashSet<String>> {
        let state = self.state.lock().unwrap();
        let mut roots = state.pinned.iter().filter(|(_, found)| *found == name);
        let (root, _) = roots.next()?;
        assert!(roots.next().is_none(), "two pins are called {name}");
        Some(kubo_share::below(&state.blocks, root).expect("all of a pinned root is there"))
    }

    /// Loses a block, as after a damage of its disk.
    pub fn lose(&self, cid: &str) {
        self.state.lock().unwrap().blocks.remove(cid);
    }

    /// Loses all that no pin reaches, as by `ipfs repo gc`.
    pub fn collect_garbage(&self) {
        let loose = self.loose_blocks();
        let mut state = self.state.lock().unwrap();
        for cid in loose {
            state.blocks.remove(&cid);
            state.files.remove(&cid);
        }
    }

    /// Unpins a root, as the user does.
    pub fn unpin(&self, cid: &str) {
        self.state.lock().unwrap().pinned.remove(cid);
    }

    /// Counts bytes of all its blocks.
    pub fn block_bytes(&self) -> u64 {
        self.state.lock().unwrap().blocks.values().map(|block| block.len() as u64).sum()
    }

    /// Removes all its peers.
    pub fn alone(self) -> Self {
        self.state.lock().unwrap().peers = 0;
        self
    }

    /// Returns its list of peers to which it keeps connections.
    pub fn peering(&self) -> FakePeering {
        self.state.lock().unwrap().peering.clone()
    }

    /// Returns the disk of its repository.
    pub fn disk(&self) -> FakeDisk {
        self.state.lock().unwrap().disk.clone()
    }

    /// Returns its present configuration.
    pub fn config(&self) -> serde_json::Value {
        self.state.lock().unwrap().config.clone()
    }

    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway.address()
    }
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api.address())
    }
    pub fn gateway(&self) -> &Server {
        &self.gateway
    }
    pub fn api(&self) -> &Server {
        &self.api
    }

    /// True if the block is still there.
    pub fn has_block(&self, cid: &str) -> bool {
        self.state.lock().unwrap().blocks.contains_key(cid)
    }

    /// Lists the requests to gateway and RPC together.
    pub fn requests(&self) -> Vec<Request> {
        [self.gateway.requests(), self.api.requests()].concat()
    }
}

impl Misbehaves for FakeKubo {
    fn bend(self, change: impl FnOnce(&mut Script)) -> Self {
        self.state.lock().unwrap().scripts.bend(change);
        self
    }
    fn on(self, path: &str) -> Self {
        self.state.lock().unwrap().scripts.on(path);
        self
    }
    fn honest(self) -> Self {
        self.state.lock().unwrap().scripts.honest();
        self
    }
}

impl State {
    fn gateway(&mut self, request: &Request) -> Reply {
        let path = request.path();
        let host = request.header("host").unwrap_or_default().to_owned();
        if let Some(name) = path.strip_prefix("ipns/").or_else(|| path.strip_prefix("routing/v1/ipns/")) {
            let script = self.scripts.take(&path);
            let mut reply = self.record(name);
            if path.starts_with("routing/") && reply.status == 404 {
                // Servers of this kind report it with a success of another type
                // (`specs:src/routing/http-routing-v1.md`).
                reply = Reply::new(200, "delegate error: routing: not found\n").with("Content-Type", "text/plain");
                reply.ending = self.record(name).ending;
            }
            return script.bend(request, reply, true);
        }
        let Some(cid) = path.strip_prefix("ipfs/").map(|rest| rest.split('/').next().unwrap_or_default().to_owned())
        else {
            return Reply::new(404, "404 page not found\n");
        };
        if let Some(port) = host.strip_prefix("localhost") {
            return Reply::new(301, "").with("Location", format!("http://{cid}.ipfs.localhost{port}/"));
        }
        if cid == "bafkqaaa" {
            return Reply::new(200, "").with("X-Ipfs-Path", "/ipfs/bafkqaaa");
        }
        let raw = request.query("format").as_deref() == Some("raw")
            || request.header("accept").is_some_and(|accept| accept.contains("application/vnd.ipld.raw"));
        let script = self.scripts.take(&if raw { format!("block/{cid}") } else { path.clone() });
        let cached = request.header("cache-control").is_some_and(|value| value.contains("only-if-cached"));
        let near = !self.far.contains(&cid);
        if !cached && request.method == "GET" && !self.is_deaf {
            self.far.remove(&cid);
        }
        let comes = near || !(cached || self.is_deaf);
        let found = if raw { self.blocks.get(&cid) } else { self.files.get(&cid) }.filter(|_| comes);
        let (reply, last) = match found {
            None if cached => (Reply::new(412, "not in the local datastore\n"), false),
            None => {
                let mut silent = Reply::new(504, "");
                silent.ending = Ending::Silence;
                (silent, false)
            }
            Some(bytes) => file_reply(bytes, request, &script),
        };
        let kind = if raw { "application/vnd.ipld.raw" } else { "application/octet-stream" };
        let mut reply = reply
            .with("X-Ipfs-Path", format!("/ipfs/{cid}"))
            .with("X-Ipfs-Roots", &cid)
            .with("Cache-Control", "public, max-age=29030400, immutable");
        // The real gateway sends no date for immutable content.
        reply.headers.retain(|(name, _)| name != "Last-Modified" && name != "Content-Type");
        script.bend(request, reply.with("Content-Type", kind), last)
    }

    /// Answers with the record of a name, like the gateway.
    fn record(&self, name: &str) -> Reply {
        let mut reply = match self.records.get(name) {
            Some(record) => Reply::new(200, record.as_slice()).with("Content-Type", "application/vnd.ipfs.ipns-record"),
            None => Reply::new(404, "routing: not found\n"),
        };
        if self.lost {
            reply.ending = Ending::Silence;
        }
        reply
    }

    fn rpc(&mut self, request: &Request) -> Reply {
        let path = request.path();
        let call = path.strip_prefix("api/v0/").unwrap_or_default();
        if request.method != "POST" {
            Reply::new(405, "405 - Method Not Allowed\n").with("Allow", "OPTIONS, POST")
        } else if request.header("user-agent").is_some_and(|agent| agent.starts_with("Mozilla")) {
            Reply::new(403, "403 - Forbidden\n")
        } else if self.secret.is_some_and(|secret| request.header("authorization") != Some(secret)) {
            Reply::new(
                403,
                "Kubo RPC Access Denied: Please provide a valid authorization token as defined in the API.Authorizations configuration.\n",
            )
        } else if self.until_hung == Some(0) {
            let mut silent = Reply::new(504, "");
            silent.ending = Ending::Silence;
            silent
        } else {
            self.until_hung = self.until_hung.map(|left| left - 1);
            self.call(call, request)
        }
    }

    fn call(&mut self, call: &str, request: &Request) -> Reply {
        let arg = request.query("arg").unwrap_or_default();
        let arg = arg.trim_start_matches("/ipfs/").to_owned();
        match call {
            "version" => {
                let version = self.version.unwrap_or("0.43.1");
                json(&format!(
                    r#"{{"Version":"{version}","Commit":"","Repo":"18","System":"amd64/linux","Golang":"go1.26"}}"#
                ))
            }
            "config/show" => json(&self.config.to_string()),
            // Kubo keeps a value that was set to null as null.
            "config" => {
                let values: Vec<String> = request.queries("arg");
                let value = values.get(1).map(|text| serde_json::from_str(text).expect("JSON, as json=true says"));
                if let Some(value) = value {
                    put(&mut self.config, &format!("/{}", values[0].replace('.', "/")), value);
                }
                json(&format!(r#"{{"Key":"{}","Value":null}}"#, values[0]))
            }
            "key/ls" => json(r#"{"Keys":[{"Name":"self","Id":"k51self"}]}"#),
            "swarm/peers" if self.peers == 0 => json(r#"{"Peers":null}"#),
            "swarm/peers" => json(r#"{"Peers":[{"Addr":"/ip4/192.0.2.1/tcp/4001","Peer":"12D3"}]}"#),
            "swarm/peering/ls" | "swarm/peering/add" | "swarm/peering/rm" => json(&self.peering.answer(call, &arg)),
            "block/get" => match self.blocks.get(&arg).filter(|_| !self.far.contains(&arg)) {
                Some(block) => Reply::new(200, block.as_slice()).with("X-Stream-Output", "1"),
                None if arg == EMPTY => Reply::new(200, &b"\n\x02\x08\x01"[..]).with("X-Stream-Output", "1"),
                None if request.query("offline").as_deref() == Some("true") => {
                    failure(&format!("block was not found locally (offline): ipld: could not find {arg}"))
                }
                None => {
                    let mut late = failure("context deadline exceeded");
                    late.after = request.query("timeout").map_or(Duration::from_secs(60), |text| duration(&text));
                    late
                }
            },
            "block/stat" => match self.blocks.get(&arg).filter(|_| !self.far.contains(&arg)) {
                Some(block) => json(&format!(r#"{{"Key":"{arg}","Size":{}}}"#, block.len())),
                None => failure(&format!("block was not found locally (offline): ipld: could not find {arg}")),
            },
            "id" => json(r#"{"ID":"own","Addresses":[]}"#),
            "routing/findprovs" => {
                let Some(others) = self.providers.get(&arg) else { return json("") };
                let found = (0..*others)
                    .map(|n| format!(r#"{{"ID":"","Type":4,"Responses":[{{"ID":"peer{n}","Addrs":[]}}]}}"#));
                let heard = r#"{"ID":"far","Type":1,"Responses":null}"#.to_owned();
                json(&found.chain([heard]).collect::<Vec<_>>().join("\n"))
            }
            "bitswap/stat" => {
                let peers = if self.is_deaf { "" } else { r#""12D3""# };
                json(&format!(r#"{{"Peers":[{peers}],"DataSent":7,"DataReceived":0}}"#))
            }
            "swarm/disconnect" => json("{}"),
            "swarm/connect" => {
                self.is_deaf = false;
                json("{}")
            }
            "dag/import" => {
                let Some(blocks) = kubo_share::blocks_of(request) else { return failure("unexpected EOF") };
                let count = blocks.len();
                self.far.retain(|cid| blocks.iter().all(|(came, _)| came != cid));
                self.blocks.extend(blocks);
                json(&format!(r#"{{"Stats":{{"BlockCount":{count},"BlockBytesCount":1}}}}"#))
            }
            "block/rm" => {
                let pinned = kubo_share::pinned(&self.blocks, &self.pinned);
                let line = |arg: &String| {
                    if pinned.contains(arg) {
                        return format!(r#"{{"Hash":"{arg}","Error":"pinned: recursive"}}"#);
                    }
                    self.blocks.remove(arg);
                    self.files.remove(arg);
                    format!(r#"{{"Hash":"{arg}"}}"#)
                };
                json(&request.queries("arg").iter().map(line).collect::<Vec<_>>().join("\n"))
            }
            "files/stat" => {
                let root = self.mfs.as_deref().unwrap_or(EMPTY);
                json(&format!(r#"{{"Hash":"{root}","Size":0,"CumulativeSize":4,"Blocks":0,"Type":"directory"}}"#))
            }
            "pin/ls" if arg.is_empty() => {
                let part = request.query("name").unwrap_or_default();
                let pins = self.pinned.iter().filter(|(_, name)| name.contains(&part));
                let keys = pins.map(|(cid, name)| format!(r#""{cid}":{{"Type":"recursive","Name":"{name}"}}"#));
                json(&format!(r#"{{"Keys":{{{}}}}}"#, keys.collect::<Vec<_>>().join(",")))
            }
            "pin/ls" if self.pinned.contains_key(&arg) => {
                let name = &self.pinned[&arg];
                json(&format!(r#"{{"Keys":{{"{arg}":{{"Type":"recursive","Name":"{name}"}}}}}}"#))
            }
            "pin/ls" => failure(&format!("path '{arg}' is not pinned")),
            "pin/add" if kubo_share::below(&self.blocks, &arg).is_some() => {
                self.pinned.insert(arg.clone(), request.query("name").unwrap_or_default());
                json(&format!(r#"{{"Pins":["{arg}"]}}"#))
            }
            // A pin that is there goes first, and its blocks are searched without an end.
            "pin/add" => {
                self.pinned.remove(&arg);
                let mut silent = Reply::new(504, "");
                silent.ending = Ending::Silence;
                silent
            }
            "pin/rm" if self.keeps_pins => failure("pin: context canceled"),
            "pin/rm" => match self.pinned.remove(&arg) {
                Some(_) => json(&format!(r#"{{"Pins":["{arg}"]}}"#)),
                None => failure("not pinned or pinned indirectly"),
            },
            "name/get" if self.lost => {
                let mut late = failure("context deadline exceeded");
                late.after = request.query("timeout").map_or(Duration::from_secs(60), |text| duration(&text));
                late
            }
            "name/get" => match self.records.get(arg.trim_start_matches("/ipns/")) {
                Some(record) => Reply::new(200, record.as_slice()).with("X-Stream-Output", "1"),
                None => failure("routing: not found"),
            },
            "repo/stat" => {
                let used = self.used.unwrap_or_else(|| self.blocks.values().map(|block| block.len() as u64).sum());
                let (most, blocks) = (self.most.unwrap_or(10_000_000_000), self.blocks.len());
                let sizes = format!(r#""RepoSize":{used},"StorageMax":{most}"#);
                if request.query("size-only").as_deref() == Some("true") {
                    return json(&format!(r#"{{{sizes},"NumObjects":0,"RepoPath":"","Version":""}}"#));
                }
                let Some(path) = self.disk.path_after_counting() else { return failure("context deadline exceeded") };
                json(&format!(r#"{{{sizes},"NumObjects":{blocks},"RepoPath":"{path}","Version":"fs-repo@18"}}"#))
            }
            "diag/sys" => json(&self.disk.diag_sys()),
            _ => Reply::new(404, "404 page not found\n"),
        }
    }
}

fn json(text: &str) -> Reply {
    Reply::new(200, format!("{text}\n")).with("Content-Type", "application/json")
}

fn failure(message: &str) -> Reply {
    let mut reply = json(&format!(r#"{{"Message":"{message}","Code":0,"Type":"error"}}"#));
    reply.status = 500;
    reply
}

/// Parses the part of Go's durations that clients use: `900ms`, `5s`.
fn duration(text: &str) -> Duration {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count = text[..split].parse().unwrap_or(60);
    if &text[split..] == "ms" { Duration::from_millis(count) } else { Duration::from_secs(count) }
}
