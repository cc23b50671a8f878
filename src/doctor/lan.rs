//! The daemon that shares with the local network: running, answering, and with a network to share with.

use std::io;
use std::time::Duration;

use super::{Check, Finding};
use crate::config::Settings;
use crate::runtime::block_on;
use crate::socket;

/// Longest wait for an answer, which comes from memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// Our own daemon.
#[derive(Clone, Debug, Default)]
pub struct Lan {
    /// Its answer; `None` where no daemon runs.
    pub answers: Option<Result<(), String>>,
    /// Number of trusted networks.
    pub trusted: usize,
    /// Number of networks in which it is active now.
    pub used: usize,
    /// Number of networks that it would be active in if it saw the trusted router there.
    pub unseen: usize,
}

impl Lan {
    /// Asks the daemon.
    pub fn look(settings: &Settings) -> Self {
        let mut this = Self { trusted: settings.lan_networks.len(), ..Self::default() };
        let asked = async { tokio::time::timeout(PATIENCE, socket::ask(&settings.socket, "status")).await };
        this.answers = match block_on(asked) {
            Some(Ok(Ok(status))) => {
                let networks = status["networks"].as_array().into_iter().flatten();
                let networks: Vec<_> = networks.collect();
                this.used = networks.iter().filter(|network| network["used"] == true).count();
                let is_unseen = |stands: &str| stands.ends_with("the router is not seen now");
                this.unseen = networks.iter().filter(|it| it["stands"].as_str().is_some_and(is_unseen)).count();
                if let Some(trusted) = status["trusted"].as_array() {
                    this.trusted = trusted.len();
                }
                Some(Ok(()))
            }
            Some(Ok(Err(e))) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => None,
            Some(Ok(Err(e))) => Some(Err(e.to_string())),
            Some(Err(_)) => Some(Err(format!("nothing within {} s", PATIENCE.as_secs()))),
            None => None,
        };
        this
    }
}

/// In the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check {
        name: "lan-daemon",
        about: "A daemon that runs answers; else downloads go on without neighbours.",
        look: |facts| match &facts.lan.answers {
            Some(Err(why)) => vec![Finding::warning(
                format!("the pkgswarm daemon does not answer ({why}), so nothing comes from neighbours"),
                "sudo systemctl restart pkgswarm-daemon.service",
            )],
            _ => vec![],
        },
    },
    Check {
        name: "lan-trust",
        about: "A daemon that runs trusts the network that this machine is in; on others it neither asks nor answers.",
        look: |facts| match (&facts.lan.answers, facts.lan.trusted, facts.lan.used) {
            (Some(Ok(())), 0, _) => vec![Finding::note(
                "the daemon runs and trusts no network, so nothing is shared",
                "sudo pkgswarm lan trust",
            )],
            (Some(Ok(())), _, 0) if facts.lan.unseen > 0 => vec![Finding::note(
                "the daemon runs, and the router of the trusted network is not seen, so nothing is shared now",
                "connect to anything through the router; `sudo pkgswarm lan trust` trusts another router",
            )],
            (Some(Ok(())), _, 0) => vec![Finding::note(
                "the daemon runs, and no network that it trusts is here, so nothing is shared now",
                "pkgswarm lan ls shows which; sudo pkgswarm lan trust adds the present one",
            )],
            _ => vec![],
        },
    },
];
