//! What is on the daemon's own disk, and where that is.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{ANSWER_MOST, Kubo, KuboError, KuboErrorKind, QUICK};
use crate::base::cid::Cid;

impl Kubo {
    /// True if a block is there. No network.
    pub(crate) async fn has_block(&self, cid: Cid) -> Result<bool, KuboError> {
        let args = [("arg", &*cid.to_string()), ("offline", "true")];
        match self.call("block/stat", &args, None, QUICK, ANSWER_MOST).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.kind == KuboErrorKind::Absent => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Returns the path of the daemon's repository, on the machine of the daemon. It counts all blocks for that.
    pub(crate) async fn repo_path(&self) -> Result<PathBuf, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            repo_path: PathBuf,
        }
        let wire: Wire = self.json("repo/stat", &[], Duration::from_secs(60)).await?;
        Ok(wire.repo_path)
    }

    /// True if its RPC is on loopback or a Unix socket: then the daemon runs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let is_loopback = || {
            let host = self.api.as_ref()?.host_str()?;
            let ip = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
            Some(host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()))
        };
        self.door.client.is_some() || is_loopback().unwrap_or(false)
    }
}
