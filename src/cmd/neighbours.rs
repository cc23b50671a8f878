//! The running daemon's report about itself and its neighbours, as `pkgswarm status` shows it.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{AskPolicy, Settings};
use crate::socket;

/// Longest wait for the daemon, which answers from memory.
const PATIENCE: Duration = Duration::from_secs(1);

/// The daemon of this machine.
pub enum DaemonView {
    /// Not asked, because `lan.enabled` is false.
    NotAsked,
    /// No daemon runs.
    NotRunning,
    /// It gave no proper answer; the text tells why.
    Silent(String),
    /// Its report, typed and as JSON.
    Answers(Box<DaemonReport>, Value),
}

/// The daemon's report about itself.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct DaemonReport {
    id: String,
    /// Its agent string among peers.
    pub agent: String,
    /// Its addresses, for lan.peers of another machine.
    pub listening: Vec<String>,
    /// The networks that this machine is in.
    pub networks: Vec<NetworkView>,
    /// The neighbours that it is connected to.
    pub peers: Vec<PeerView>,
    /// Known neighbours, connected or not.
    pub known_peers: usize,
    /// Files under way from neighbours.
    pub transfers: usize,
    /// False where it offers no files; an older daemon does not tell.
    pub sharing: Option<bool>,
    /// Files that it offers.
    pub shared_files: usize,
    /// Their bytes.
    pub shared_bytes: u64,
}

/// A network that this machine is in.
#[derive(Deserialize)]
pub struct NetworkView {
    /// The interface that leads there.
    pub interface: String,
    /// This machine's address there.
    pub address: String,
    /// The network, as `pkgswarm lan trust` writes it.
    pub network: String,
    /// True if the daemon asks and answers there.
    #[serde(default)]
    pub used: bool,
    /// The same in words, with the reason.
    pub stands: String,
    /// The command by which the daemon uses it; an older daemon does not tell.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// A neighbour that the daemon is connected to.
#[derive(Deserialize)]
pub struct PeerView {
    /// Its peer id.
    pub id: String,
    /// The address of the newest connection.
    pub address: String,
    /// Its agent string; empty until it is known.
    pub agent: String,
    /// Bytes of blocks that went to it.
    pub bytes_sent: u64,
    /// Bytes of blocks that came from it.
    pub bytes_received: u64,
}

impl DaemonView {
    /// Asks the daemon.
    pub(super) async fn ask(settings: &Settings) -> Self {
        if settings.lan == AskPolicy::No {
            return Self::NotAsked;
        }
        match tokio::time::timeout(PATIENCE, socket::ask(&settings.socket, "status")).await {
            Err(_) => Self::Silent(format!("nothing within {} s", PATIENCE.as_secs())),
            Ok(Err(e)) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Self::NotRunning
            }
            Ok(Err(e)) => Self::Silent(e.to_string()),
            Ok(Ok(document)) => match DaemonReport::deserialize(&document) {
                Ok(report) => Self::Answers(Box::new(report), document),
                Err(e) => Self::Silent(format!("malformed reply from the daemon: {e}")),
            },
        }
    }

    /// Returns its report about itself, if it answered.
    pub(super) fn report(&self) -> Option<&DaemonReport> {
        match self {
            Self::Answers(report, _) => Some(report),
            _ => None,
        }
    }

    /// True if the peer of this id is the daemon itself, or one that it is connected to.
    pub(super) fn shows(&self, id: &str) -> bool {
        match self {
            Self::Answers(report, _) => report.id == id || report.peers.iter().any(|peer| peer.id == id),
            _ => false,
        }
    }

    /// Returns the daemon's report for programs, and whether it runs.
    pub(super) fn as_json(&self) -> Value {
        match self {
            Self::NotAsked => json!({"asked": false, "why": "lan.enabled is false"}),
            Self::NotRunning => json!({"asked": true, "answers": false, "why": "does not run"}),
            Self::Silent(why) => json!({"asked": true, "answers": false, "why": why}),
            Self::Answers(_, said) => {
                let mut document = json!({"asked": true, "answers": true});
                if let (Value::Object(document), Value::Object(said)) = (&mut document, said.clone()) {
                    document.extend(said);
                }
                document
            }
        }
    }
}

impl PeerView {
    /// Returns its IP address. The port of an incoming connection carries no information, and the transport is always
    /// TCP.
    pub(super) fn ip(&self) -> &str {
        self.address.split('/').nth(2).unwrap_or(&self.address)
    }
}

impl NetworkView {
    /// Returns the range without the router's hardware address.
    pub(super) fn range(&self) -> &str {
        self.network.split('@').next().unwrap_or_default()
    }
}
