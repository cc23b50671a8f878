//! Kubo's own settings and state, as its RPC reports them: for showing, judging and changing them.

use serde_json::Value;

use super::{ANSWER_MOST, Kubo, KuboError, QUICK};

impl Kubo {
    /// Returns the whole configuration without its secrets. Unset values are absent, `null` or empty.
    pub(crate) async fn config(&self) -> Result<Value, KuboError> {
        self.json("config/show", &[], QUICK).await
    }

    /// Sets one value, named like `Swarm.ConnMgr.HighWater`. Kubo reads it at its next start.
    ///
    /// `null` is as good as absent: Kubo then uses its default. There is no call that removes a value; `config/replace`
    /// keeps what the new configuration leaves out (Kubo 0.43, `repo/fsrepo/fsrepo.go`, SetConfig; tried).
    pub(crate) async fn set_config(&self, key: &str, value: &Value) -> Result<(), KuboError> {
        let args = [("arg", key), ("arg", &value.to_string()), ("json", "true")];
        self.call("config", &args, None, QUICK, ANSWER_MOST).await.map(drop)
    }

    /// Checks that a Kubo gateway answers at the gateway's address: it serves the empty file without a look-up.
    pub(crate) async fn has_gateway(&self) -> Result<(), KuboError> {
        // The identity CID of no bytes (multiformats: `01 55 00 00`).
        let answer = self.file("/ipfs/bafkqaaa", QUICK).await?;
        if answer.headers().contains_key("x-ipfs-path") {
            return Ok(());
        }
        Err(KuboError::new("gateway file", super::KuboErrorKind::Malformed, "the answer is not one of an IPFS gateway"))
    }
}
