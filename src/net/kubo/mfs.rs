//! The root of MFS (`ipfs files`) and the links of nodes below it, read offline.

use serde::Deserialize;
use serde_json::Value;

use super::{ANSWER_MOST, Kubo, KuboError, KuboErrorKind, QUICK};
use crate::base::cid::{AnyCid, Codec};
use crate::dag::unixfs;

impl Kubo {
    /// Returns the current root of MFS.
    pub(crate) async fn mfs_root(&self) -> Result<AnyCid, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            hash: String,
        }
        let wire: Wire = self.json("files/stat", &[("arg", "/"), ("hash", "true"), ("offline", "true")], QUICK).await?;
        read("files/stat", &wire.hash)
    }

    /// Lists the links of a node on the daemon's own disk; `None` when it is not there. No network.
    pub(crate) async fn local_links(&self, cid: AnyCid) -> Result<Option<Vec<AnyCid>>, KuboError> {
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
