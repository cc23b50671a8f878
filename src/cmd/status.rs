//! `pkgswarm status`: the state of Kubo, our own daemon and its neighbours, indexes, stores, pending updates.
//! Bounded in time, changes nothing.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::cli::JsonArgs;
use crate::clock;
use crate::cmd::neighbours::DaemonView;
use crate::config::value::show_size;
use crate::config::{IndexConfig, Settings};
use crate::env::Env;
use crate::handover::{self, HandoverTarget};
use crate::http::Http;
use crate::index::{in_use, time};
use crate::kubo::keep::Ledger;
use crate::kubo::{Kubo, KuboPeer, RepoSize};
use crate::name::shown;
use crate::prefetch::pins;
use crate::prefetch::state::{PrefetchState, UpdateStanding};
use crate::report::counted;
use crate::runtime::block_on;
use crate::store::contents::{self, Use};

/// Longest wait for Kubo as a whole; answers that come later are left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    let status = Status::now(env, settings);
    let mut out = crate::report::out();
    match args.json {
        true => writeln!(out, "{}", status.as_json())?,
        false => out.write_all(status.as_text().as_bytes())?,
    }
    Ok(0)
}

/// Everything that is shown.
struct Status<'a> {
    settings: &'a Settings,
    now: u64,
    kubo: KuboStatus,
    daemon: DaemonView,
    indexes: Vec<IndexStatus>,
    /// Existing stores, their use, and the bytes that Kubo cached on their behalf.
    stores: Vec<(&'a Path, Use, u64)>,
    updates: PrefetchState,
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
        let asked = block_on(async { tokio::join!(daemon(env, settings), DaemonView::ask(settings)) });
        let interrupted = || "interrupted".to_owned();
        let (kubo, daemon) =
            asked.unwrap_or_else(|| (KuboStatus::Silent(interrupted()), DaemonView::Silent(interrupted())));
        Self {
            settings,
            now: clock::unix(now),
            kubo,
            daemon,
            indexes: settings.indexes.iter().map(|one| index(settings, one, now)).collect(),
            stores: held.collect(),
            updates: states.max_by_key(|state| state.checked).unwrap_or_default(),
        }
    }

    fn ago(&self, at: u64) -> String {
        time::span(self.now.saturating_sub(at))
    }

    fn as_text(&self) -> String {
        let mut rows: Vec<(&str, String)> = Vec::new();
        match &self.kubo {
            KuboStatus::NotAsked(why) => rows.push(("kubo", format!("not asked: {why}"))),
            KuboStatus::Silent(why) => rows.push(("kubo", format!("does not answer: {}", shown(why)))),
            KuboStatus::Answers { version, peers, size, pinned } => {
                let on_lan = neighbours(peers).len();
                let size = size.map(|size| format!("; {} of {} used", show_size(size.used), show_size(size.most)));
                let pinned =
                    pinned.filter(|count| *count > 0).map(|count| format!(", {} pinned", counted(count, "update")));
                let (size, pinned) = (size.unwrap_or_default(), pinned.unwrap_or_default());
                let peers_are = format!("{}, {on_lan} on the LAN", counted(peers.len(), "peer"));
                rows.push((
                    "kubo",
                    format!("{} at {}: {peers_are}{size}{pinned}", shown(version), self.settings.kubo_api),
                ));
                // The daemon's own lines follow.
                for (peer, at) in neighbours(peers).into_iter().filter(|(peer, _)| !self.daemon.shows(&peer.id)) {
                    rows.push(("  lan", format!("{at}  {}", shown(&peer.id))));
                }
            }
        }
        rows.extend(self.daemon.as_text());
        if self.indexes.is_empty() {
            rows.push(("index", "none in use; pkgswarm index add NAME KEY adds one".to_owned()));
        }
        for index in &self.indexes {
            let life = match (index.created, index.expires) {
                (Some(_), Some(expires)) if expires < self.now => format!("EXPIRED {} ago", self.ago(expires)),
                (Some(created), Some(expires)) => {
                    let left = time::span(expires.saturating_sub(self.now));
                    format!("{} old, expires in {left}", self.ago(created))
                }
                _ => "never fetched".to_owned(),
            };
            let due = if index.is_due { ", due for a refresh" } else { "" };
            rows.push(("index", format!("{}  {life}{due}  for {}", index.name, index.repos.join(", "))));
        }
        if self.stores.is_empty() {
            rows.push(("store", "none yet".to_owned()));
        }
        for (dir, held, kubo) in &self.stores {
            let (bytes, max) = (show_size(held.bytes + held.partial), show_size(self.settings.store_max));
            let mut line = format!("{}  {}, {bytes} of {max}", dir.display(), counted(held.files, "file"));
            if held.partial > 0 {
                line += &format!(", {} of it not complete", show_size(held.partial));
            }
            if *kubo > 0 {
                line +=
                    &format!("; Kubo cached {} for it, of {}", show_size(*kubo), show_size(self.settings.kubo_keep));
            }
            rows.push(("store", line));
        }
        rows.extend(self.updates_as_text());
        rows.iter().map(|(what, text)| format!("{what:8}  {text}\n")).collect()
    }

    fn updates_as_text(&self) -> Vec<(&'static str, String)> {
        let state = &self.updates;
        if state.checked == 0 {
            return vec![("updates", "not known; pkgswarm prefetch looks for them".to_owned())];
        }
        let (here, bytes) = state.ready();
        let (count, ago) = (state.updates.len(), self.ago(state.checked));
        let text = match count {
            0 => format!("none pending, as of {ago} ago"),
            _ => format!("{count} pending, {here} of them here ({}), as of {ago} ago", show_size(bytes)),
        };
        let missing = state.updates.iter().filter_map(|one| {
            let why = match &one.stands {
                UpdateStanding::Here => return None,
                UpdateStanding::Left(left) => left.words().to_owned(),
                UpdateStanding::Pending => "not fetched yet".to_owned(),
                UpdateStanding::Failed(why) => why.clone(),
            };
            Some(("  not", format!("{}  {}: {}", shown(&one.line()), show_size(one.size), shown(&why))))
        });
        std::iter::once(("updates", text)).chain(missing).collect()
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
        json!({
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
        Err(_) => KuboStatus::Silent(format!("nothing within {} s", PATIENCE.as_secs())),
        Ok(Err(fault)) => KuboStatus::Silent(fault.to_string()),
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
