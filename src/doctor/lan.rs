//! The daemon that shares with the local network: running, and with somebody to share with.

use super::{Check, Finding};
use crate::config::Settings;

/// The daemon, as far as it can be seen without asking it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lan {
    /// Whether its socket is there.
    pub runs: bool,
    /// How many networks are trusted.
    pub networks: usize,
}

impl Lan {
    /// Looks for the socket.
    pub fn look(settings: &Settings) -> Self {
        Self { runs: settings.socket.exists(), networks: settings.lan_networks.len() }
    }
}

/// In the order in which they are reported.
pub const CHECKS: &[Check] = &[Check {
    name: "lan-trust",
    about: "A daemon that runs trusts a network; on others it neither asks nor answers.",
    look: |facts| {
        if !facts.lan.runs || facts.lan.networks > 0 {
            return vec![];
        }
        vec![Finding::note("the daemon runs and trusts no network, so nothing is shared", "sudo pkgswarm lan trust")]
    },
}];
