//! The daemon that shares with the local network: running, answering, and with a network to share with.

use std::path::PathBuf;

use super::{Check, Finding};
use crate::host::inspect::daemon::{DaemonReport, DaemonView};

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "lan-program",
        about: "The unit of the daemon is installed with the daemon's program.",
        look: |facts| {
            let say = |missing: &PathBuf| {
                let says =
                    format!("pkgswarm-daemon.service is installed without {}: it cannot start", missing.display());
                Finding::warning(says, "install pkgswarm again")
            };
            facts.system.missing_daemon.iter().map(say).collect()
        },
    },
    Check {
        name: "lan-daemon",
        about: "A daemon that runs answers; else downloads go on without neighbours.",
        look: |facts| match &facts.daemon {
            DaemonView::Silent(why) => vec![Finding::warning(
                format!("the pkgswarm daemon does not answer ({why}), so nothing comes from neighbours"),
                "sudo systemctl restart pkgswarm-daemon.service",
            )],
            _ => vec![],
        },
    },
    Check {
        name: "lan-trust",
        about: "A daemon that runs trusts the network that this machine is in; on others it neither asks nor answers.",
        look: |facts| facts.daemon.report().and_then(idle).into_iter().collect(),
    },
];

/// Returns the reason why a daemon that runs shares nothing, where it does not.
fn idle(report: &DaemonReport) -> Option<Finding> {
    let is_unseen = |stands: &str| stands.ends_with("the router is not seen now");
    if report.trusted.as_ref().is_some_and(Vec::is_empty) {
        let says = "the daemon runs and trusts no network, so nothing is shared";
        return Some(Finding::note(says, "sudo pkgswarm lan trust"));
    }
    if report.networks.iter().any(|network| network.used) {
        return None;
    }
    Some(if report.networks.iter().any(|network| is_unseen(&network.stands)) {
        Finding::note(
            "the daemon runs, and the router of the trusted network is not seen, so nothing is shared now",
            "connect to anything through the router; `sudo pkgswarm lan trust` trusts another router",
        )
    } else {
        Finding::note(
            "the daemon runs, and no network that it trusts is here, so nothing is shared now",
            "pkgswarm lan ls shows which; sudo pkgswarm lan trust adds the present one",
        )
    })
}
