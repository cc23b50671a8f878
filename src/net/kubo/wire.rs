//! Lines of Kubo's RPC answers, as far as they are read.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireKey {
    pub(super) name: String,
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireImport {
    pub(super) root: Option<WireRoot>,
    pub(super) stats: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireRoot {
    pub(super) cid: WireCid,
    #[serde(default)]
    pub(super) pin_error_msg: String,
}

#[derive(Deserialize)]
pub(super) struct WireCid {
    #[serde(rename = "/")]
    pub(super) cid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireRemoved {
    #[serde(default)]
    pub(super) error: String,
}
