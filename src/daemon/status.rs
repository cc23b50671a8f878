//! The daemon's report on itself, as JSON: for `pkgswarm status`, `shared` and `lan ls`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::node::networks::NetworkStanding;
use crate::node::{AGENT, Node};
use crate::store::contents::name_at;

/// Reports the node, its networks and its neighbours.
pub(crate) fn status(node: &Node, transfers: usize, stores: &[PathBuf]) -> Value {
    let peers = node.peers().into_iter().map(|(id, info)| {
        let traffic = node.bitswap.traffic(id);
        json!({
            "id": id.to_string(),
            "address": info.address.to_string(),
            "agent": info.agent,
            "pkgswarm": info.is_ours,
            "bytes_sent": traffic.sent,
            "bytes_received": traffic.received,
        })
    });
    let networks = node.networks().into_iter().map(|(here, stands)| {
        json!({
            "interface": here.interface,
            "address": here.address.addr().to_string(),
            "network": here.network().to_string(),
            "used": stands == NetworkStanding::Used,
            "stands": stands.words(),
            "remedy": stands.remedy(),
        })
    });
    let listening = node.listening().into_iter().map(|address| format!("{address}/p2p/{}", node.id));
    let (files, bytes) = node.shelf.size();
    json!({
        "id": node.id.to_string(),
        "agent": AGENT,
        "listening": listening.collect::<Vec<_>>(),
        "networks": networks.collect::<Vec<_>>(),
        "peers": peers.collect::<Vec<_>>(),
        "known_peers": node.known().len(),
        "transfers": transfers,
        "given": node.bitswap.given(),
        "trusted": node.trusted(),
        "sharing": node.shelf.is_open(),
        "shared_files": files,
        "shared_bytes": bytes,
        "stores": stores.iter().map(|store| store.to_string_lossy()).collect::<Vec<_>>(),
    })
}

/// Lists every file that is offered, and to whose networks.
pub(crate) fn shared(node: &Node) -> Value {
    let files = node.shelf.files().into_iter().map(|file| {
        json!({
            "name": name_at(&file.path).map(|name| name.to_string()),
            "path": file.path.to_string_lossy(),
            "repo": file.repo,
            "size": file.key.size,
            "sha256": file.sha256,
            "cid": file.root(),
        })
    });
    let used = node.networks().into_iter().filter(|(_, stands)| *stands == NetworkStanding::Used);
    json!({
        "sharing": node.shelf.is_open(),
        "files": files.collect::<Vec<_>>(),
        "networks": used.map(|(here, _)| here.network().to_string()).collect::<Vec<_>>(),
    })
}
