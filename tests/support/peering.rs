//! The peers to which a fake Kubo keeps connections.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Their ids; clones share them.
#[derive(Clone, Default)]
pub struct FakePeering(Arc<Mutex<BTreeSet<String>>>);

impl FakePeering {
    /// Adds one, as the daemon's user does.
    pub fn add(&self, id: &str) {
        self.0.lock().unwrap().insert(id.to_owned());
    }

    /// Lists them.
    pub fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }

    /// Answers a call of `swarm/peering`.
    pub(super) fn answer(&self, call: &str, arg: &str) -> String {
        let id = arg.rsplit('/').next().unwrap_or_default().to_owned();
        let mut ids = self.0.lock().unwrap();
        match call.rsplit('/').next() {
            Some("add") => drop(ids.insert(id.clone())),
            Some("rm") => drop(ids.remove(&id)),
            _ => {
                let peers: Vec<String> = ids.iter().map(|id| format!(r#"{{"ID":"{id}","Addrs":[]}}"#)).collect();
                return format!(r#"{{"Peers":[{}]}}"#, peers.join(","));
            }
        }
        format!(r#"{{"ID":"{id}","Status":"success"}}"#)
    }
}
