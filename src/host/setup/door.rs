//! The ways on which pacman can reach this program.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Downloads at a time that setup offers for the endpoint. They end on this machine; towards mirrors the endpoint keeps
/// to fewer connections. Origin: chosen by us.
pub(crate) const STREAMS: u32 = 16;

/// A way on which pacman reaches this program. The words of `--door` and their help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PacmanDoor {
    /// XferCommand: pacman's command line, one file after the other; nothing has to run
    #[default]
    Xfer,
    /// CacheServer: pacman's own downloader with its bars and parallel downloads, and every front-end of libalpm
    Cache,
    /// Both: XferCommand for pacman's command line, CacheServer for front-ends
    Both,
}

impl PacmanDoor {
    /// True if the endpoint is asked.
    pub(crate) fn has_endpoint(self) -> bool {
        self != Self::Xfer
    }
}
