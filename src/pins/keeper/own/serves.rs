//! Who serves a share that is in the store: `pkgswarm daemon` of this machine, to the networks that it trusts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::base::error::{Error, ErrorKind};
use crate::config::{AskPolicy, Settings};
use crate::net::socket;

/// Longest wait for the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the daemon says of the serving.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct ShareServing {
    /// The networks to which it serves now; empty where this machine is in none that is trusted.
    pub(crate) networks: Vec<String>,
    /// Bytes that it gave to neighbours since it started, of all that it offers.
    pub(crate) given: Option<u64>,
}

/// The reason why no neighbour gets anything of a share in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unserved {
    /// `lan.enabled` is false.
    Off,
    /// The daemon does not run, or does not answer: why.
    Silent(String),
    /// `lan.share` is false.
    SharesNothing,
    /// No network is trusted.
    TrustsNone,
    /// It offers other stores than this user's.
    OtherStores,
}

/// The part of the daemon's report that counts here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DaemonServing {
    sharing: Option<bool>,
    trusted: Vec<String>,
    given: Option<u64>,
    networks: Vec<DaemonNetwork>,
    /// Older daemons do not tell.
    stores: Option<Vec<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DaemonNetwork {
    network: String,
    used: bool,
}

/// The part of its list of shared files that counts here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SharedList {
    files: Vec<SharedPath>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SharedPath {
    path: String,
}

impl ShareServing {
    /// Asks the daemon how it serves a share in this store.
    ///
    /// # Errors
    /// The reason why it serves nothing. Asking again later helps once the user did something about it.
    pub(crate) async fn ask(settings: &Settings, store: &Path) -> Result<Self, Unserved> {
        if settings.lan == AskPolicy::No {
            return Err(Unserved::Off);
        }
        let document = asked(settings, "status").await.map_err(Unserved::Silent)?;
        let report = DaemonServing::deserialize(&document).map_err(|e| Unserved::Silent(e.to_string()))?;
        if report.sharing == Some(false) {
            return Err(Unserved::SharesNothing);
        }
        if report.trusted.is_empty() {
            return Err(Unserved::TrustsNone);
        }
        // It follows the configuration, so what was set after its start counts as well.
        let is_named = settings.share_stores.iter().any(|named| named == store);
        if !is_named && report.stores.is_some_and(|stores| !stores.iter().any(|offered| offered == store)) {
            return Err(Unserved::OtherStores);
        }
        let used = report.networks.into_iter().filter(|network| network.used);
        Ok(Self { networks: used.map(|network| network.network).collect(), given: report.given })
    }

    /// Counts the files below `dir` that the daemon offers; `None` where it does not tell.
    pub(crate) async fn count(settings: &Settings, dir: &Path) -> Option<usize> {
        let document = asked(settings, "shared").await.ok()?;
        let list = SharedList::deserialize(&document).ok()?;
        Some(list.files.iter().filter(|file| Path::new(&file.path).parent() == Some(dir)).count())
    }
}

async fn asked(settings: &Settings, what: &str) -> Result<serde_json::Value, String> {
    match tokio::time::timeout(PATIENCE, socket::ask(&settings.socket, what)).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs())),
    }
}

impl Unserved {
    /// Says it in words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Off => "pkgswarm daemon is not asked: lan.enabled is false".to_owned(),
            Self::Silent(why) => format!("pkgswarm daemon does not answer: {why}"),
            Self::SharesNothing => "pkgswarm daemon offers nothing: lan.share is false".to_owned(),
            Self::TrustsNone => "pkgswarm daemon trusts no network".to_owned(),
            Self::OtherStores => "pkgswarm daemon offers other stores than this user's".to_owned(),
        }
    }

    /// Returns the command that changes it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Off => "pkgswarm config lan.enabled",
            Self::Silent(_) => "sudo systemctl enable --now pkgswarm-daemon.service",
            Self::SharesNothing => "pkgswarm config lan.share",
            Self::TrustsNone => "sudo pkgswarm lan trust",
            Self::OtherStores => "sudo pkgswarm keep NAME --quota SIZE; or name the store in share.stores",
        }
    }

    /// Makes the error of a share in the store that gets no further.
    pub(super) fn error(&self, name: &str) -> Error {
        let why = format!("no machine gets anything of the share in the store: {}", self.words());
        Error::new(ErrorKind::NoSource, name, why).hint(self.remedy())
    }

    /// Makes the error of a share that neither Kubo nor the daemon could serve.
    pub(super) fn error_beside(&self, kubo: &str, name: &str) -> Error {
        let why = format!("a share needs Kubo or pkgswarm daemon to serve it: {kubo}; {}", self.words());
        Error::usage(name, why).hint(format!("{}; or run Kubo: pkgswarm config kubo.enabled", self.remedy()))
    }
}
