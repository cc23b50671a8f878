//! Our daemon's report about itself, its networks and its neighbours.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{AskPolicy, Settings};
use crate::net::socket;

/// The daemon of this machine.
#[derive(Debug)]
pub(crate) enum DaemonView {
    /// Not asked, because `lan.enabled` is false.
    NotAsked,
    /// No daemon runs.
    NotRunning,
    /// It gave no proper answer; the text tells why.
    Silent(String),
    /// Its report, typed and as JSON.
    Answers(Box<DaemonReport>, Value),
}

impl Default for DaemonView {
    fn default() -> Self {
        Self::Silent("interrupted".to_owned())
    }
}

/// The daemon's report about itself. An older daemon does not tell all of it.
#[derive(Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct DaemonReport {
    /// Its peer id.
    pub(crate) id: String,
    /// Its agent string among peers.
    pub(crate) agent: String,
    /// Its addresses, for lan.peers of another machine.
    pub(crate) listening: Vec<String>,
    /// The networks that this machine is in.
    pub(crate) networks: Vec<NetworkView>,
    /// The networks that it trusts.
    pub(crate) trusted: Option<Vec<String>>,
    /// The neighbours that it is connected to.
    pub(crate) peers: Vec<PeerView>,
    /// Known neighbours, connected or not.
    pub(crate) known_peers: usize,
    /// Files under way from neighbours.
    pub(crate) transfers: usize,
    /// Bytes of blocks that it has given to neighbours since its start.
    pub(crate) given: Option<u64>,
    /// False where it offers no files.
    pub(crate) sharing: Option<bool>,
    /// Files that it offers.
    pub(crate) shared_files: usize,
    /// Their bytes.
    pub(crate) shared_bytes: u64,
}

/// A network that this machine is in.
#[derive(Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkView {
    /// The interface that leads there.
    pub(crate) interface: String,
    /// This machine's address there.
    pub(crate) address: String,
    /// The network, as `pkgswarm lan trust` writes it.
    pub(crate) network: String,
    /// True if the daemon asks and answers there.
    pub(crate) used: bool,
    /// The same in words, with the reason.
    pub(crate) stands: String,
    /// The command by which the daemon uses it.
    pub(crate) remedy: Option<String>,
}

/// A neighbour that the daemon is connected to.
#[derive(Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct PeerView {
    /// Its peer id.
    pub(crate) id: String,
    /// The address of the newest connection.
    pub(crate) address: String,
    /// Its agent string; empty until it is known.
    pub(crate) agent: String,
    /// Bytes of blocks that went to it.
    pub(crate) bytes_sent: u64,
    /// Bytes of blocks that came from it.
    pub(crate) bytes_received: u64,
}

impl DaemonView {
    /// Asks the daemon, where it may be asked.
    pub(super) async fn ask_of(settings: &Settings, patience: Duration) -> Self {
        if settings.lan == AskPolicy::No { Self::NotAsked } else { Self::ask(settings, patience).await }
    }

    /// Asks the daemon. A report that does not tell the trusted networks is completed from the settings.
    pub(super) async fn ask(settings: &Settings, patience: Duration) -> Self {
        match tokio::time::timeout(patience, socket::ask(&settings.socket, "status")).await {
            Err(_) => Self::Silent(format!("nothing within {} s", patience.as_secs())),
            Ok(Err(e)) if is_absence(&e) => Self::NotRunning,
            Ok(Err(e)) => Self::Silent(e.to_string()),
            Ok(Ok(document)) => match DaemonReport::deserialize(&document) {
                Ok(report) => Self::Answers(Box::new(report.completed(settings)), document),
                Err(e) => Self::Silent(format!("malformed reply from the daemon: {e}")),
            },
        }
    }

    /// Returns its report about itself, if it answered.
    pub(crate) fn report(&self) -> Option<&DaemonReport> {
        match self {
            Self::Answers(report, _) => Some(report),
            _ => None,
        }
    }

    /// True if the peer of this id is the daemon itself, or one that it is connected to.
    pub(crate) fn shows(&self, id: &str) -> bool {
        match self {
            Self::Answers(report, _) => report.id == id || report.peers.iter().any(|peer| peer.id == id),
            _ => false,
        }
    }
}

/// True for the error of asking where no daemon runs.
pub(crate) fn is_absence(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

impl DaemonReport {
    fn completed(mut self, settings: &Settings) -> Self {
        self.trusted.get_or_insert_with(|| settings.lan_networks.iter().map(ToString::to_string).collect());
        self
    }
}

impl PeerView {
    /// Returns its IP address. The port of an incoming connection carries no information, and the transport is always
    /// TCP.
    pub(crate) fn ip(&self) -> &str {
        self.address.split('/').nth(2).unwrap_or(&self.address)
    }
}

impl NetworkView {
    /// Returns the range without the router's hardware address.
    pub(crate) fn range(&self) -> &str {
        self.network.split('@').next().unwrap_or_default()
    }
}
