//! The running daemon's report about itself and its neighbours, as `pkgswarm status` shows it.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::value::show_size;
use crate::config::{AskPolicy, Settings};
use crate::name::shown;
use crate::report::counted;
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
    agent: String,
    listening: Vec<String>,
    networks: Vec<NetworkView>,
    peers: Vec<PeerView>,
    known_peers: usize,
    transfers: usize,
    shared_files: usize,
    shared_bytes: u64,
}

#[derive(Deserialize)]
struct NetworkView {
    interface: String,
    address: String,
    network: String,
    stands: String,
}

#[derive(Deserialize)]
struct PeerView {
    id: String,
    address: String,
    agent: String,
    bytes_sent: u64,
    bytes_received: u64,
}

impl DaemonView {
    /// Asks the daemon.
    pub async fn ask(settings: &Settings) -> Self {
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

    /// Returns lines for people: subject and text.
    pub fn as_text(&self) -> Vec<(&'static str, String)> {
        let report = match self {
            Self::NotAsked => return vec![("daemon", "not asked: lan.enabled is false".to_owned())],
            Self::NotRunning => return vec![("daemon", "does not run".to_owned())],
            Self::Silent(why) => return vec![("daemon", format!("does not answer: {}", shown(why)))],
            Self::Answers(report, _) => report,
        };
        let offered = format!("{} offered ({})", counted(report.shared_files, "file"), show_size(report.shared_bytes));
        let peers = match report.known_peers.saturating_sub(report.peers.len()) {
            0 => counted(report.peers.len(), "peer"),
            away => format!("{}, {away} more known", counted(report.peers.len(), "peer")),
        };
        let transfers = match report.transfers {
            0 => String::new(),
            some => format!(", {} on the way", counted(some, "file")),
        };
        let mut rows = vec![("daemon", format!("{}: {peers}, {offered}{transfers}", shown(&report.agent)))];
        rows.extend(report.networks.iter().map(|it| {
            let text = format!("{}  {} on {}, {}", it.network, it.address, it.interface, it.stands);
            ("  net", shown(&text).into_owned())
        }));
        rows.extend(report.listening.iter().map(|it| ("  at", shown(it).into_owned())));
        rows.extend(report.peers.iter().map(|it| ("  peer", it.as_text())));
        rows
    }

    /// True if the peer of this id is the daemon itself, or one that it is connected to.
    pub fn shows(&self, id: &str) -> bool {
        match self {
            Self::Answers(report, _) => report.id == id || report.peers.iter().any(|peer| peer.id == id),
            _ => false,
        }
    }

    /// Returns the daemon's report for programs, and whether it runs.
    pub fn as_json(&self) -> Value {
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
    fn as_text(&self) -> String {
        // The port of an incoming connection carries no information, and the transport is always TCP.
        let ip = self.address.split('/').nth(2).unwrap_or(&self.address);
        let agent = if self.agent.is_empty() { "unknown program" } else { &self.agent };
        let (sent, received) = (show_size(self.bytes_sent), show_size(self.bytes_received));
        format!("{}  {}  {sent} sent, {received} received  {}", shown(ip), shown(agent), shown(&self.id))
    }
}
