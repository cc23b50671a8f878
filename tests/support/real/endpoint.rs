//! `pkgswarm endpoint`, as its unit runs it: as a user without privileges.

use super::{PacmanRoot, Process, Swarm, bytes_below, until};
use std::time::Duration;

/// An endpoint with the configuration of this pacman.
pub struct EndpointProcess {
    pub swarm: Swarm,
    pub process: Process,
    /// The value of a `CacheServer` on this machine.
    pub url: String,
}

impl EndpointProcess {
    /// Starts it on a free port.
    pub fn of(pacman: &PacmanRoot) -> EndpointProcess {
        EndpointProcess::with(pacman, Swarm::install())
    }

    /// Starts this installation; on a free port, where it says nothing else.
    pub fn with(pacman: &PacmanRoot, swarm: Swarm) -> EndpointProcess {
        let path = format!("{}:{}", pacman.bin().display(), std::env::var("PATH").unwrap_or_default());
        let mut start = swarm.command_as_user(&["endpoint"]);
        start.env("PKGSWARM_PACMAN_CONF", pacman.config()).env("PATH", path);
        start.env("PKGSWARM_ENDPOINT_ENABLED", "true");
        if swarm.environment().iter().all(|(name, _)| name != "PKGSWARM_ENDPOINT_LISTEN") {
            start.env("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:0");
        }
        if swarm.environment().iter().all(|(name, _)| name != "PKGSWARM_ENDPOINT_WAIT") {
            // So that no miss is the machine's.
            start.env("PKGSWARM_ENDPOINT_WAIT", "3 s");
        }
        start.env("PKGSWARM_DAEMON_LOG", "info");
        let mut process = Process::start(&mut start);
        let address = until("the endpoint listens", Duration::from_secs(30), || {
            assert!(process.runs(), "the endpoint ended at its start:\n{}", process.said());
            let said = process.said();
            let (_, rest) = said.split_once("listens on http://")?;
            let (address, _) = rest.split_once('\n')?;
            Some(address.to_owned())
        });
        EndpointProcess { swarm, process, url: format!("http://{address}/$repo/os/$arch") }
    }

    /// Counts the bytes in its store.
    pub fn store_bytes(&self) -> u64 {
        bytes_below(&self.swarm.program().with_file_name("store"))
    }
}
