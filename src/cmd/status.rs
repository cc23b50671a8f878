//! `pkgswarm status`: whether pacman uses this program, what is shared with which neighbours, pending updates, stores,
//! indexes, Kubo. Bounded in time, changes nothing.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::cli::StatusArgs;
use crate::clock;
use crate::cmd::neighbours::DaemonView;
use crate::cmd::screen::Screen;
use crate::config::{IndexConfig, Settings};
use crate::distro::question::ConfQuestion;
use crate::doctor::pacman;
use crate::env::Env;
use crate::handover::{self, HandoverTarget};
use crate::http::Http;
use crate::index::in_use;
use crate::kubo::keep::Ledger;
use crate::kubo::{Kubo, KuboPeer, RepoSize};
use crate::prefetch::pins;
use crate::prefetch::state::PrefetchState;
use crate::runtime::block_on;
use crate::store::contents::{self, Use};

/// Longest wait for Kubo as a whole, and for pacman-conf at the same time; answers that come later are left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, args: &StatusArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &StatusArgs) -> anyhow::Result<u8> {
    let status = Status::now(env, settings);
    match args.json {
        true => writeln!(crate::report::out(), "{}", status.as_json())?,
        false => status.page(Screen::new(env), args.long).show()?,
    }
    Ok(0)
}

mod page;

pub use page::versions;

/// Everything that is shown.
struct Status<'a> {
    settings: &'a Settings,
    now: u64,
    pacman: PacmanUse,
    kubo: KuboStatus,
    daemon: DaemonView,
    indexes: Vec<IndexStatus>,
    /// Existing stores, their use, and the bytes that Kubo cached on their behalf.
    stores: Vec<(&'a Path, Use, u64)>,
    updates: PrefetchState,
}

/// The program that pacman downloads with.
enum PacmanUse {
    /// This one.
    Ours,
    /// pacman's own downloader.
    BuiltIn,
    /// Another one, by its XferCommand.
    Other(String),
    /// pacman-conf gave no answer, for this reason.
    Unknown(String),
}

impl PacmanUse {
    fn now(settings: &Settings) -> Self {
        let question = ConfQuestion { config: settings.pacman_conf.clone(), ..ConfQuestion::default() };
        match question.ask_within(PATIENCE) {
            Err(e) => Self::Unknown(e.to_string()),
            Ok(conf) => match conf.xfer_command {
                None => Self::BuiltIn,
                Some(command) if pacman::is_ours(&command) => Self::Ours,
                Some(command) => Self::Other(command),
            },
        }
    }
}

/// The local Kubo.
enum KuboStatus {
    /// Not asked, for this reason.
    NotAsked(&'static str),
    /// It did not answer; the text tells why.
    Silent(String),
    Answers {
        version: String,
        peers: Vec<KuboPeer>,
        size: Option<RepoSize>,
        /// Updates pinned by prefetch.
        pinned: Option<usize>,
    },
}

/// One index.
struct IndexStatus {
    name: String,
    repos: Vec<String>,
    sequence: Option<u64>,
    created: Option<u64>,
    expires: Option<u64>,
    is_due: bool,
}

impl<'a> Status<'a> {
    fn now(env: &Env, settings: &'a Settings) -> Self {
        let now = SystemTime::now();
        let held = settings.stores.iter().filter_map(|dir| {
            let ledger = Ledger::at(dir).total().unwrap_or(0);
            Some((dir.as_path(), contents::usage(dir).ok()?, ledger))
        });
        let states = settings.stores.iter().map(|dir| PrefetchState::now(dir));
        let (asked, pacman) = std::thread::scope(|scope| {
            let pacman = scope.spawn(|| PacmanUse::now(settings));
            let asked = block_on(async { tokio::join!(daemon(env, settings), DaemonView::ask(settings)) });
            (asked, pacman.join().expect("asking pacman-conf does not panic"))
        });
        let interrupted = || "interrupted".to_owned();
        let (kubo, daemon) =
            asked.unwrap_or_else(|| (KuboStatus::Silent(interrupted()), DaemonView::Silent(interrupted())));
        Self {
            settings,
            now: clock::unix(now),
            pacman,
            kubo,
            daemon,
            indexes: settings.indexes.iter().map(|one| index(settings, one, now)).collect(),
            stores: held.collect(),
            updates: states.max_by_key(|state| state.checked).unwrap_or_default(),
        }
    }

    fn as_json(&self) -> Value {
        let kubo = match &self.kubo {
            KuboStatus::NotAsked(why) => json!({"asked": false, "why": why}),
            KuboStatus::Silent(why) => json!({"asked": true, "answers": false, "why": why}),
            KuboStatus::Answers { version, peers, size, pinned } => {
                let lan = neighbours(peers).into_iter().map(|(peer, at)| json!({"id": peer.id, "address": at}));
                json!({
                    "asked": true, "answers": true, "version": version, "peers": peers.len(),
                    "lan": lan.collect::<Vec<_>>(),
                    "used": size.map(|size| size.used), "most": size.map(|size| size.most), "pinned": pinned,
                })
            }
        };
        let indexes = self.indexes.iter().map(|index| {
            json!({
                "name": index.name, "repos": index.repos, "sequence": index.sequence, "created": index.created,
                "expires": index.expires, "due": index.is_due,
                "expired": index.expires.is_some_and(|expires| expires < self.now),
            })
        });
        let stores = self.stores.iter().map(|(dir, held, kubo)| {
            json!({
                "dir": dir.to_string_lossy(), "files": held.files, "bytes": held.bytes, "partial": held.partial,
                "max": self.settings.store_max, "kubo_cached": kubo, "kubo_keep": self.settings.kubo_keep,
            })
        });
        let checked = (self.updates.checked > 0).then_some(self.updates.checked);
        let (uses, why) = match &self.pacman {
            PacmanUse::Ours => (Some(true), None),
            PacmanUse::BuiltIn => (Some(false), None),
            PacmanUse::Other(command) => (Some(false), Some(command)),
            PacmanUse::Unknown(why) => (None, Some(why)),
        };
        json!({
            "pacman": {"uses": uses, "why": why},
            "kubo": kubo,
            "daemon": self.daemon.as_json(),
            "indexes": indexes.collect::<Vec<_>>(),
            "stores": stores.collect::<Vec<_>>(),
            "updates": {"checked": checked, "pending": self.updates.updates},
        })
    }
}

/// Asks Kubo for its status, as far as it answers in time.
async fn daemon(env: &Env, settings: &Settings) -> KuboStatus {
    match settings.kubo {
        crate::config::AskPolicy::No => return KuboStatus::NotAsked("kubo.enabled is false"),
        crate::config::AskPolicy::Auto if env.has_proxy() => {
            return KuboStatus::NotAsked("the environment sets a proxy");
        }
        _ => {}
    }
    let http = Http::new(settings.connect.min(PATIENCE));
    let kubo = Kubo::configured(settings, &http);
    let (version, peers, size, pinned) = tokio::join!(
        tokio::time::timeout(PATIENCE, kubo.version()),
        tokio::time::timeout(PATIENCE, kubo.peers()),
        tokio::time::timeout(PATIENCE, kubo.repo_size()),
        tokio::time::timeout(PATIENCE, pins::ours(&kubo)),
    );
    match version {
        Err(_) => KuboStatus::Silent(format!(
            "Kubo does not answer at {}: nothing within {} s",
            settings.kubo_api,
            PATIENCE.as_secs()
        )),
        Ok(Err(fault)) => KuboStatus::Silent(fault.told(&settings.kubo_api)),
        Ok(Ok(version)) => KuboStatus::Answers {
            version,
            peers: peers.ok().and_then(Result::ok).unwrap_or_default(),
            size: size.ok().and_then(Result::ok),
            pinned: pinned.ok().and_then(Result::ok).map(|pins| pins.len()),
        },
    }
}

/// Lists the peers on the local network with their addresses: each once, however many connections it has.
fn neighbours(peers: &[KuboPeer]) -> Vec<(&KuboPeer, IpAddr)> {
    let mut found: Vec<(&KuboPeer, IpAddr)> = Vec::new();
    for (peer, at) in peers.iter().filter_map(|peer| Some((peer, near(peer)?))) {
        if !found.iter().any(|(known, _)| known.id == peer.id) {
            found.push((peer, at));
        }
    }
    found
}

/// Returns the address of a peer on the local network: a private one, and not by way of a relay.
fn near(peer: &KuboPeer) -> Option<IpAddr> {
    if peer.address.contains("p2p-circuit") {
        return None;
    }
    let mut parts = peer.address.split('/').skip(1);
    let ip: IpAddr = match (parts.next()?, parts.next()?) {
        ("ip4" | "ip6", ip) => ip.parse().ok()?,
        _ => return None,
    };
    let is_near = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    is_near.then_some(ip)
}

fn index(settings: &Settings, index: &IndexConfig, now: SystemTime) -> IndexStatus {
    let held = in_use::state(settings).held(&in_use::copy_name(index)).ok().flatten().map(|held| held.manifest);
    IndexStatus {
        name: index.name.clone(),
        repos: index.repos.iter().map(ToString::to_string).collect(),
        sequence: held.as_ref().map(|manifest| manifest.sequence),
        created: held.as_ref().map(|manifest| manifest.created),
        expires: held.as_ref().map(|manifest| manifest.expires),
        is_due: in_use::is_due(settings, index, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_with_two_connections_is_one_peer() {
        let peer = |id: &str, address: &str| KuboPeer { id: id.to_owned(), address: address.to_owned() };
        let peers = [
            peer("a", "/ip4/192.168.1.7/tcp/4001"),
            peer("a", "/ip4/192.168.1.7/udp/4001/quic-v1"),
            peer("b", "/ip4/192.168.1.8/tcp/4001"),
        ];
        let found: Vec<&str> = neighbours(&peers).into_iter().map(|(peer, _)| &*peer.id).collect();
        assert_eq!(found, ["a", "b"]);
    }

    #[test]
    fn peers_on_the_lan_are_those_with_private_addresses_and_without_a_relay() {
        let near = |address: &str| near(&KuboPeer { id: "x".to_owned(), address: address.to_owned() });
        assert_eq!(near("/ip4/192.168.1.7/tcp/4001"), "192.168.1.7".parse().ok());
        assert_eq!(near("/ip6/fe80::1/udp/4001/quic-v1"), "fe80::1".parse().ok());
        for far in [
            "/ip4/1.2.3.4/tcp/4001",
            "/ip4/192.168.1.7/tcp/4001/p2p/12D3/p2p-circuit",
            "/dns4/x/tcp/1",
            "/ip4/nonsense/tcp/1",
            "",
        ] {
            assert_eq!(near(far), None, "{far}");
        }
    }
}
