//! The REST API of an ipfs-cluster, with peers that say what a test has them say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value, json};

use super::server::{Reply, Request, Server};

/// The peer that is asked.
pub const OWN: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

/// What it has, and what its peers say.
#[derive(Default)]
pub struct FakeClusterState {
    /// Names in the pinset, by root.
    pub pinset: BTreeMap<String, String>,
    /// Status, attempts and error of each peer, by its id, for each root.
    pub peers: BTreeMap<String, (&'static str, u64, &'static str)>,
    /// What one of them says of one root instead.
    pub of_root: BTreeMap<(String, String), &'static str>,
}

/// The cluster.
pub struct FakeCluster {
    server: Server,
    state: Arc<Mutex<FakeClusterState>>,
}

impl FakeCluster {
    pub fn of_peers<'p>(peers: impl IntoIterator<Item = (&'p str, &'static str)>) -> Self {
        let state = Arc::new(Mutex::new(FakeClusterState::default()));
        let shared = state.clone();
        let cluster = Self { server: Server::start(move |request| reply(&mut shared.lock().unwrap(), request)), state };
        cluster.all_say(peers);
        cluster
    }

    /// Has exactly these peers say this.
    pub fn all_say<'p>(&self, peers: impl IntoIterator<Item = (&'p str, &'static str)>) {
        let said = |status| (status, if status == "pin_error" { 3 } else { 0 }, "");
        self.peek().peers = peers.into_iter().map(|(id, status)| (id.to_owned(), said(status))).collect();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub fn peek(&self) -> MutexGuard<'_, FakeClusterState> {
        self.state.lock().unwrap()
    }

    /// Lists the roots in the pinset.
    pub fn pinned(&self) -> Vec<String> {
        self.peek().pinset.keys().cloned().collect()
    }

    /// Lists method and target of each request.
    pub fn was_asked(&self) -> Vec<String> {
        self.server.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

fn reply(state: &mut FakeClusterState, request: &Request) -> Reply {
    let path = request.path();
    let words: Vec<&str> = path.split('/').collect();
    let pin = |cid: &str, name: &str| json!({ "cid": cid, "name": name });
    let text = match (&*request.method, &words[..]) {
        ("GET", ["allocations"]) => {
            let lines = state.pinset.iter().map(|(cid, name)| pin(cid, name).to_string() + "\n");
            return Reply::new(200, lines.collect::<String>());
        }
        ("GET", ["allocations", cid]) => match state.pinset.get(*cid) {
            Some(name) => pin(cid, name),
            None => return Reply::new(404, r#"{"code":404,"message":"not found"}"#),
        },
        ("POST", ["pins", cid]) => {
            let name = request.query("name").unwrap_or_default();
            state.pinset.insert((*cid).to_owned(), name.clone());
            pin(cid, &name)
        }
        ("DELETE", ["pins", cid]) => pin(cid, &state.pinset.remove(*cid).unwrap_or_default()),
        ("GET", ["pins", cid]) | ("POST", ["pins", cid, "recover"]) => {
            let is_local = request.query("local").as_deref() == Some("true");
            let told = state.peers.iter().filter(|(id, _)| !is_local || *id == OWN);
            let of = |(id, (status, attempts, error)): (&String, &(&str, u64, &str))| {
                let status = state.of_root.get(&(id.clone(), (*cid).to_owned())).unwrap_or(status);
                (id.clone(), json!({ "status": status, "attempt_count": attempts, "error": error }))
            };
            let peers: Map<String, Value> = told.map(of).collect();
            json!({ "cid": cid, "peer_map": peers })
        }
        _ => return Reply::new(400, "{}"),
    };
    Reply::new(200, text.to_string())
}
