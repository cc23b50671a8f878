//! What is on the daemon's own disk, and where that is.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{ANSWER_MOST, Kubo, KuboError, KuboErrorKind, QUICK};
use crate::base::cid::Cid;

/// Longest wait while it counts its blocks.
const COUNTING: Duration = Duration::from_secs(300);

/// Of the system, as the daemon sees it. `total_space` is not the size of the disk: Kubo 0.43 has the available bytes there.
#[derive(Deserialize)]
struct WireSystem {
    diskinfo: WireDisk,
    environment: Option<WireEnvironment>,
}

#[derive(Deserialize)]
struct WireDisk {
    free_space: u64,
}

#[derive(Deserialize)]
struct WireEnvironment {
    #[serde(rename = "IPFS_PATH", default)]
    ipfs_path: PathBuf,
}

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

    /// Returns the path of the daemon's repository, on the machine of the daemon. Where the daemon was not started with
    /// `IPFS_PATH` it counts all its blocks for that: minutes, for a large one on a slow disk.
    pub(crate) async fn repo_path(&self) -> Result<PathBuf, KuboError> {
        if let Ok(WireSystem { environment: Some(WireEnvironment { ipfs_path }), .. }) = self.system().await
            && ipfs_path.is_absolute()
        {
            return Ok(ipfs_path);
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            repo_path: PathBuf,
        }
        let wire: Wire = self.json("repo/stat", &[], COUNTING).await?;
        Ok(wire.repo_path)
    }

    /// Returns the free bytes of the file system of the daemon's repository, those for root included.
    pub(crate) async fn disk_free(&self) -> Result<u64, KuboError> {
        Ok(self.system().await?.diskinfo.free_space)
    }

    async fn system(&self) -> Result<WireSystem, KuboError> {
        self.json("diag/sys", &[], QUICK).await
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
