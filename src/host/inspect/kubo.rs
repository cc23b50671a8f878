//! A Kubo daemon's report about itself: asked in parallel, each question with a deadline.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::base::env::Env;
use crate::config::{AskPolicy, Settings};
use crate::net::http::Http;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, KuboPeer, RepoSize};
use crate::pacman::prefetch::pins;

/// What is asked, beside its release, its size and its peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KuboQuestion {
    /// Its configuration, and its gateway.
    Configuration,
    /// The pins of prefetch, and what it has given.
    Use,
}

/// The reason why Kubo is not asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KuboUnasked {
    /// The settings forbid it: `kubo.enabled` is false.
    Off,
    /// The environment sets a proxy, and `kubo.enabled` does not demand Kubo.
    BehindProxy,
}

impl KuboUnasked {
    /// Returns the reason, where there is one.
    pub(crate) fn of(env: &Env, settings: &Settings) -> Option<Self> {
        match settings.kubo {
            AskPolicy::No => Some(Self::Off),
            AskPolicy::Auto if env.has_proxy() => Some(Self::BehindProxy),
            _ => None,
        }
    }

    /// Describes it for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Off => "kubo.enabled is false",
            Self::BehindProxy => "the environment sets a proxy",
        }
    }
}

/// The Kubo daemon of this machine, as far as it can be seen.
#[derive(Debug)]
pub(crate) enum KuboView {
    /// Not asked.
    NotAsked(KuboUnasked),
    /// No address that was asked answers.
    Gone {
        /// True when the settings demand one.
        wanted: bool,
        /// The reason.
        why: String,
    },
    /// It answers.
    Here(Box<KuboAnswers>),
}

/// The answers. `None` stands for no answer in time, or no question.
#[derive(Debug, Default)]
pub(crate) struct KuboAnswers {
    /// Address of the RPC.
    pub(crate) api: String,
    /// Address of the gateway.
    pub(crate) gateway_url: String,
    /// The file with the secret for the RPC.
    pub(crate) token_file: Option<PathBuf>,
    /// The longest wait for each.
    pub(crate) patience: Duration,
    /// Its release, or the RPC's refusal to tell.
    pub(crate) version: Option<Result<String, KuboError>>,
    /// The gateway's acceptance of a request that every gateway serves.
    pub(crate) gateway: Option<Result<(), KuboError>>,
    /// Its configuration; `Null` when unknown.
    pub(crate) config: Value,
    /// Its disk use.
    pub(crate) repo: Option<RepoSize>,
    /// Peers that it is connected to.
    pub(crate) peers: Option<Vec<KuboPeer>>,
    /// The number of updates that prefetch pinned there.
    pub(crate) pinned: Option<usize>,
    /// Bytes of blocks that it has given to other peers since its start.
    pub(crate) given: Option<u64>,
    /// True when the process was started with `--enable-gc`; `None` when that cannot be seen, or it uses another
    /// port than Kubo's own.
    pub(crate) collects: Option<bool>,
    /// What others are to find there.
    pub(crate) gives: KuboGift,
}

/// What others are to find in this machine's Kubo, by the settings.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum KuboGift {
    #[default]
    Nothing,
    /// Shares: pins, so `Provide.Strategy` may leave out everything else.
    Shares,
    /// What is installed (`kubo.share`), with shares or without: no pin holds it, so `all` alone announces it.
    Installed,
}

impl KuboGift {
    pub(crate) fn of(settings: &Settings) -> Self {
        match settings.kubo_shares_installed {
            true => Self::Installed,
            false if settings.keeps.is_empty() => Self::Nothing,
            false => Self::Shares,
        }
    }
}

impl Default for KuboView {
    fn default() -> Self {
        Self::Gone { wanted: false, why: "interrupted".to_owned() }
    }
}

/// Returns the RPC and gateway of the settings, with a client that connects within `patience`.
pub(crate) fn client(settings: &Settings, patience: Duration) -> Kubo {
    Kubo::configured(settings, &Http::new(settings.connect.min(patience)))
}

impl KuboView {
    /// Asks the daemon, where it may be asked. Needs no longer than `patience`.
    pub(crate) async fn ask(env: &Env, settings: &Settings, question: KuboQuestion, patience: Duration) -> Self {
        if let Some(why) = KuboUnasked::of(env, settings) {
            return Self::NotAsked(why);
        }
        let kubo = client(settings, patience);
        let is_examined = question == KuboQuestion::Configuration;
        let (version, gateway, config, repo, peers, pinned, given) = tokio::join!(
            answered(true, patience, kubo.version()),
            answered(is_examined, patience, kubo.has_gateway()),
            answered(is_examined, patience, kubo.config()),
            answered(true, patience, kubo.repo_size()),
            answered(true, patience, kubo.peers()),
            answered(!is_examined, patience, pins::ours(&kubo)),
            answered(!is_examined, patience, kubo.bytes_sent()),
        );
        if let Some(Err(fault)) = &version
            && is_unreachable(fault)
            && (!is_examined || gateway.as_ref().is_some_and(|answer| answer.as_ref().is_err_and(is_unreachable)))
        {
            return Self::Gone { wanted: settings.kubo == AskPolicy::Yes, why: fault.told(&settings.kubo_api) };
        }
        Self::Here(Box::new(KuboAnswers {
            api: settings.kubo_api.to_string(),
            gateway_url: settings.kubo_gateway.to_string(),
            token_file: settings.kubo_token.clone(),
            patience,
            version,
            gateway,
            config: config.and_then(Result::ok).unwrap_or_default(),
            repo: repo.and_then(Result::ok),
            peers: peers.and_then(Result::ok),
            pinned: pinned.and_then(Result::ok).map(|pins| pins.len()),
            gives: KuboGift::of(settings),
            given: given.and_then(Result::ok),
            // The process behind another port cannot be seen from here.
            collects: (is_examined && settings.kubo_api.port() == Some(5001)).then(collects).flatten(),
        }))
    }

    /// Returns the answers of a daemon that tells its release, and that; else the reason.
    pub(crate) fn told(&self) -> Result<(&str, &KuboAnswers), String> {
        match self {
            Self::NotAsked(why) => Err(why.words().to_owned()),
            Self::Gone { why, .. } => Err(why.clone()),
            Self::Here(answers) => match &answers.version {
                Some(Ok(version)) => Ok((version, answers)),
                Some(Err(fault)) => Err(fault.told(&answers.api)),
                None => Err(format!(
                    "Kubo does not answer at {}: nothing within {} s",
                    answers.api,
                    answers.patience.as_secs()
                )),
            },
        }
    }

    /// Lists its peers on the local network with their addresses: each once, however many connections it has.
    pub(crate) fn neighbours(&self) -> Vec<(&KuboPeer, IpAddr)> {
        let peers = self.told().ok().and_then(|(_, answers)| answers.peers.as_deref()).unwrap_or_default();
        let mut found: Vec<(&KuboPeer, IpAddr)> = Vec::new();
        for (peer, at) in peers.iter().filter_map(|peer| Some((peer, near(peer)?))) {
            if !found.iter().any(|(known, _)| known.id == peer.id) {
                found.push((peer, at));
            }
        }
        found
    }
}

impl KuboAnswers {
    /// Returns its release: (0, 43) for `0.43.0-rc1`.
    pub(crate) fn release(&self) -> Option<(u32, u32)> {
        self.patch().map(|(major, minor, _)| (major, minor))
    }

    /// Returns the same with the third number, 0 where there is none; that of a candidate is the one that it is for.
    pub(crate) fn patch(&self) -> Option<(u32, u32, u32)> {
        let version = self.version.as_ref()?.as_deref().ok()?;
        let number = |part: &str| part.split('-').next()?.parse().ok();
        let mut numbers = version.split('.').map_while(number);
        Some((numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
    }
}

async fn answered<T>(is_asked: bool, patience: Duration, answer: impl Future<Output = T>) -> Option<T> {
    if is_asked { tokio::time::timeout(patience, answer).await.ok() } else { None }
}

fn is_unreachable(fault: &KuboError) -> bool {
    fault.kind == KuboErrorKind::Unreachable
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

/// Returns true when an `ipfs daemon` of this machine collects garbage, by its command line. `None` when none is
/// visible.
fn collects() -> Option<bool> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let daemons = lines.filter_map(|line| is_collecting(&line));
    daemons.reduce(|one, other| one || other)
}

/// Tells whether this command line (words ended by NUL) is an `ipfs daemon`, and if so, one with `--enable-gc`.
fn is_collecting(line: &[u8]) -> Option<bool> {
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next()?;
    let words: Vec<&[u8]> = words.collect();
    let is_daemon = program.rsplit(|byte| *byte == b'/').next() == Some(b"ipfs") && words.contains(&&b"daemon"[..]);
    is_daemon.then(|| words.iter().any(|word| *word == b"--enable-gc" || *word == b"--enable-gc=true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(version: &str, peers: Vec<KuboPeer>) -> KuboAnswers {
        KuboAnswers { version: Some(Ok(version.to_owned())), peers: Some(peers), ..KuboAnswers::default() }
    }

    #[test]
    fn a_collecting_daemon_is_told_by_its_command_line() {
        assert_eq!(is_collecting(b"/usr/bin/ipfs\0daemon\0--enable-gc\0"), Some(true));
        assert_eq!(is_collecting(b"ipfs\0daemon\0--migrate=true\0"), Some(false));
        assert_eq!(is_collecting(b"/usr/bin/ipfs\0add\0x\0"), None);
        assert_eq!(is_collecting(b"vim\0daemon\0"), None);
    }

    #[test]
    fn releases_are_read() {
        let release = |version: &str| answers(version, Vec::new()).release();
        assert_eq!(release("0.43.0-rc1"), Some((0, 43)));
        assert_eq!(release("0.43"), Some((0, 43)));
        assert_eq!(release("dev"), None);
        let patch = |version: &str| answers(version, Vec::new()).patch();
        assert_eq!([patch("0.43.1-rc1"), patch("0.43")], [Some((0, 43, 1)), Some((0, 43, 0))]);
    }

    #[test]
    fn a_peer_with_two_connections_is_one_peer() {
        let peer = |id: &str, address: &str| KuboPeer { id: id.to_owned(), address: address.to_owned() };
        let peers = vec![
            peer("a", "/ip4/192.168.1.7/tcp/4001"),
            peer("a", "/ip4/192.168.1.7/udp/4001/quic-v1"),
            peer("b", "/ip4/192.168.1.8/tcp/4001"),
        ];
        let view = KuboView::Here(Box::new(answers("0.43.0", peers)));
        let found: Vec<&str> = view.neighbours().into_iter().map(|(peer, _)| &*peer.id).collect();
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
