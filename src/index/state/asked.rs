//! The results of the routes to an index at the last refresh: for people, nothing depends on it.

use serde::{Deserialize, Serialize};

/// The result of one route to an index at the last refresh.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteRecord {
    /// The route: `kubo`, `url`, a gateway's host, …
    pub via: String,
    /// Milliseconds from the first request to the decision.
    pub took_ms: u64,
    /// `proven`, `refused`, `failed` or `late`.
    pub outcome: String,
    /// The sequence that was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The reason why its answer does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Unix seconds.
    pub at: u64,
}

/// Reads the results; empty for a damaged file.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<RouteRecord> {
    serde_json::from_slice(bytes).unwrap_or_default()
}
