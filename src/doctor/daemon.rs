//! A Kubo daemon's report about itself: asked in parallel, each question with a deadline.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::config::{AskPolicy, Settings};
use crate::env::Env;
use crate::http::Http;
use crate::kubo::{Kubo, KuboError, KuboErrorKind, RepoSize};
use crate::runtime::block_on;

/// Longest wait for all answers together.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state of the daemon, as far as it can be seen.
#[derive(Debug)]
pub enum DaemonFacts {
    /// The settings forbid asking it.
    Off,
    /// Not asked, because the environment sets a proxy.
    BehindProxy,
    /// Neither address answers.
    Gone {
        /// True when the settings demand one.
        wanted: bool,
        /// The reason.
        why: String,
    },
    /// It answers.
    Here(Box<Answers>),
}

/// The answers. `None` stands for no answer in time.
#[derive(Debug, Default)]
pub struct Answers {
    /// Address of the RPC.
    pub api: String,
    /// Address of the gateway.
    pub gateway_url: String,
    /// The file with the secret for the RPC.
    pub token_file: Option<PathBuf>,
    /// The RPC's acceptance of our requests, or its refusal.
    pub rpc: Option<Result<(), KuboError>>,
    /// The gateway's acceptance of a request that every gateway serves.
    pub gateway: Option<Result<(), KuboError>>,
    /// The release as (0, 43) for 0.43.0.
    pub version: Option<(u32, u32)>,
    /// Its configuration; `Null` when unknown.
    pub config: Value,
    /// Its disk use.
    pub repo: Option<RepoSize>,
    /// Peers that it is connected to.
    pub peers: Option<usize>,
    /// True when the process was started with `--enable-gc`; `None` when that cannot be seen, or it uses another
    /// port than Kubo's own.
    pub collects: Option<bool>,
}

impl DaemonFacts {
    /// Asks the daemon. Needs at most three seconds.
    pub fn ask(env: &Env, settings: &Settings) -> Self {
        match settings.kubo {
            AskPolicy::No => return Self::Off,
            AskPolicy::Auto if env.has_proxy() => return Self::BehindProxy,
            _ => {}
        }
        let http = Http::new(settings.connect.min(PATIENCE));
        let kubo = Kubo::configured(settings, &http);
        let asked = async {
            tokio::join!(
                timely(kubo.version()),
                timely(kubo.has_gateway()),
                timely(kubo.config()),
                timely(kubo.repo_size()),
                timely(kubo.peer_count()),
            )
        };
        let Some((version, gateway, config, repo, peers)) = block_on(asked) else { return Self::Off };
        let is_gone = |answer: Option<&KuboError>| answer.is_some_and(|fault| fault.kind == KuboErrorKind::Unreachable);
        let failure = |answer: &Option<Result<(), KuboError>>| answer.as_ref().and_then(|answer| answer.clone().err());
        let rpc = version.as_ref().map(|answer| answer.as_ref().map(drop).map_err(KuboError::clone));
        if let Some(fault) = failure(&rpc)
            && is_gone(Some(&fault))
            && is_gone(failure(&gateway).as_ref())
        {
            return Self::Gone { wanted: settings.kubo == AskPolicy::Yes, why: fault.told(&settings.kubo_api) };
        }
        Self::Here(Box::new(Answers {
            api: settings.kubo_api.to_string(),
            token_file: settings.kubo_token.clone(),
            gateway_url: settings.kubo_gateway.to_string(),
            rpc,
            gateway,
            version: version.and_then(Result::ok).as_deref().and_then(release),
            config: config.and_then(Result::ok).unwrap_or_default(),
            repo: repo.and_then(Result::ok),
            peers: peers.and_then(Result::ok),
            // The process behind another port cannot be seen from here.
            collects: (settings.kubo_api.port() == Some(5001)).then(collects).flatten(),
        }))
    }
}

async fn timely<T>(answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, answer).await.ok()
}

/// Reads a release: `0.43.0-rc1` is (0, 43).
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
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

    #[test]
    fn a_collecting_daemon_is_told_by_its_command_line() {
        assert_eq!(is_collecting(b"/usr/bin/ipfs\0daemon\0--enable-gc\0"), Some(true));
        assert_eq!(is_collecting(b"ipfs\0daemon\0--migrate=true\0"), Some(false));
        assert_eq!(is_collecting(b"/usr/bin/ipfs\0add\0x\0"), None);
        assert_eq!(is_collecting(b"vim\0daemon\0"), None);
    }

    #[test]
    fn releases_are_read() {
        assert_eq!(release("0.43.0-rc1"), Some((0, 43)));
        assert_eq!(release("0.43"), Some((0, 43)));
        assert_eq!(release("dev"), None);
    }
}
