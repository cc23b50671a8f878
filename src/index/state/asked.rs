//! How the ways to an index fared when they were last asked: for people, nothing depends on it.

use serde::{Deserialize, Serialize};

/// How one way to an index fared when it was last asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WayRecord {
    /// Which way: `kubo`, `url`, a gateway's host, …
    pub via: String,
    /// Milliseconds from the first request to the decision.
    pub took_ms: u64,
    /// `proven`, `refused`, `failed` or `late`.
    pub outcome: String,
    /// The sequence that was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Why nothing of it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Unix seconds.
    pub at: u64,
}

/// Reads what was noted; nothing of what is damaged.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<WayRecord> {
    serde_json::from_slice(bytes).unwrap_or_default()
}
