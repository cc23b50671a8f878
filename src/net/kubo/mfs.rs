//! The blocks that MFS reaches (`ipfs files`): files that the user keeps and that no pin protects.
//!
//! Kubo's own collector starts at the root of MFS as it does at pins, and skips blocks that are not on the disk
//! (Kubo 0.43, `gc/gc.go`, `bestEffortRoots`). This does the same: offline, for nodes of any codec, with blocks
//! compared by their hash, as on Kubo's disk.

use std::collections::HashSet;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::{ANSWER_MOST, Kubo, KuboError, KuboErrorKind, QUICK};
use crate::base::cid::{AnyCid, Codec};
use crate::base::digest::Sha256;
use crate::dag::unixfs;

/// A walk of MFS that is repeated when its root has changed.
pub(super) struct Mfs {
    /// Blocks whose reachability is in question.
    watched: HashSet<Sha256>,
    /// Those of them that MFS reaches, or reached at the last walk.
    reached: HashSet<Sha256>,
    /// Nodes that were read; their links never change.
    seen: HashSet<AnyCid>,
    root: Option<AnyCid>,
    until: Instant,
}

impl Mfs {
    /// Watches these blocks, and gives up at `until`.
    pub(super) fn watching(watched: HashSet<Sha256>, until: Instant) -> Self {
        Self { watched, reached: HashSet::new(), seen: HashSet::new(), root: None, until }
    }

    /// Returns the watched blocks that MFS reaches now.
    ///
    /// # Errors
    /// When MFS could not be walked: then it is unknown what it reaches.
    pub(super) async fn reached(&mut self, kubo: &Kubo) -> Result<&HashSet<Sha256>, KuboError> {
        let root = kubo.mfs_root().await?;
        if self.root != Some(root) {
            self.root = None;
            self.look(kubo, root).await?;
            self.root = Some(root);
        }
        Ok(&self.reached)
    }

    async fn look(&mut self, kubo: &Kubo, root: AnyCid) -> Result<(), KuboError> {
        let mut unread = vec![root];
        self.note(root);
        while let Some(node) = unread.pop() {
            if Instant::now() >= self.until {
                let text = "MFS holds more than can be looked through in time; nothing is removed without that";
                return Err(KuboError::new("files/stat", KuboErrorKind::Deadline, text));
            }
            if self.seen.contains(&node) {
                continue;
            }
            let links = match kubo.local_links(node).await? {
                Some(links) => links,
                None if node == root => {
                    return Err(KuboError::new("files/stat", KuboErrorKind::Absent, "the root of MFS is missing"));
                }
                // This node keeps no block below it on this disk.
                None => Vec::new(),
            };
            for link in links {
                self.note(link);
                if !link.is_leaf() {
                    unread.push(link);
                }
            }
            self.seen.insert(node);
        }
        Ok(())
    }

    fn note(&mut self, cid: AnyCid) {
        self.reached.extend(cid.sha256().filter(|digest| self.watched.contains(digest)));
    }
}

impl Kubo {
    /// Returns the current root of MFS.
    async fn mfs_root(&self) -> Result<AnyCid, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            hash: String,
        }
        let wire: Wire = self.json("files/stat", &[("arg", "/"), ("hash", "true"), ("offline", "true")], QUICK).await?;
        read("files/stat", &wire.hash)
    }

    /// Lists the links of a node on the daemon's own disk; `None` when it is not there. No network.
    async fn local_links(&self, cid: AnyCid) -> Result<Option<Vec<AnyCid>>, KuboError> {
        const CALL: &str = "block/get";
        let malformed = |text: String| KuboError::new(CALL, KuboErrorKind::Malformed, text);
        if let Some(cid) = cid.readable().ok().filter(|cid| cid.codec() == Codec::DagPb) {
            let block = match cid.inline() {
                Some(block) => Some(block.to_vec()),
                None => self.local_block(cid).await?,
            };
            let Some(block) = block else { return Ok(None) };
            let hashes = unixfs::hashes(&block).map_err(|e| malformed(format!("{cid}: {e}")))?;
            let links = hashes.into_iter().map(AnyCid::from_bytes).collect::<Result<_, _>>();
            return links.map(Some).map_err(|e| malformed(format!("{cid}: {e}")));
        }
        // The daemon decodes codecs that are not decoded here, and returns DAG-JSON.
        let args = [("arg", &*cid.to_string()), ("output-codec", "dag-json"), ("offline", "true")];
        let answer = match self.call("dag/get", &args, None, QUICK, 16 * ANSWER_MOST).await {
            Err(fault) if fault.kind == KuboErrorKind::Absent => return Ok(None),
            answer => answer?,
        };
        let value: Value = serde_json::from_slice(&answer)
            .map_err(|e| KuboError::new("dag/get", KuboErrorKind::Malformed, e.to_string()))?;
        let mut links = Vec::new();
        collect(&value, &mut links)?;
        Ok(Some(links))
    }
}

/// Collects the links of a node in DAG-JSON: `{"/": "CID"}`.
fn collect(value: &Value, links: &mut Vec<AnyCid>) -> Result<(), KuboError> {
    match value {
        Value::Object(fields) => match fields.get("/") {
            Some(Value::String(cid)) => links.push(read("dag/get", cid)?),
            _ => fields.values().try_for_each(|value| collect(value, links))?,
        },
        Value::Array(values) => values.iter().try_for_each(|value| collect(value, links))?,
        _ => {}
    }
    Ok(())
}

fn read(call: &'static str, cid: &str) -> Result<AnyCid, KuboError> {
    cid.parse().map_err(|e| KuboError::new(call, KuboErrorKind::Malformed, format!("{cid}: {e}")))
}
