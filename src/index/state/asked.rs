//! The results of the routes to an index at the last refresh: for people, nothing depends on it.

use serde::{Deserialize, Serialize};

/// The result of one route to an index at the last refresh.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RouteRecord {
    /// The route: `kubo`, `url`, a gateway's host, …
    pub(crate) via: String,
    /// Milliseconds from the first request to the decision.
    pub(crate) took_ms: u64,
    /// `proven`, `refused`, `failed` or `late`.
    pub(crate) outcome: String,
    /// The sequence that was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
    /// The reason why its answer does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// Unix seconds.
    pub(crate) at: u64,
}

/// Reads the results; empty for a damaged file.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<RouteRecord> {
    serde_json::from_slice(bytes).unwrap_or_default()
}
