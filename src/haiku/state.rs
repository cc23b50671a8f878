//! The state of a repository, for people and programs: its list, the servers that failed, the limit.

use serde::{Deserialize, Serialize};

use super::kept::{KeptSnapshots, ServerRecord};
use crate::config::HaikuConfig;

/// A repository as it is served.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SnapshotState {
    /// Its name on this machine.
    pub(crate) name: String,
    /// Its path at the endpoint.
    pub(crate) path: String,
    /// Packages in its list; `None` where there is none.
    pub(crate) packages: Option<usize>,
    /// The sum of the list.
    pub(crate) sha256: Option<String>,
    /// When the list was signed, in Unix seconds, where its signature tells it.
    pub(crate) signed: Option<u64>,
    /// When its signature was checked last.
    pub(crate) proven: Option<u64>,
    /// When a server was last seen to have it.
    pub(crate) checked: Option<u64>,
    /// Seconds for which it is served without that.
    pub(crate) max_age: u64,
    /// Former lists whose packages clients still get.
    pub(crate) former: usize,
    /// What each server answered when it was asked last.
    pub(crate) servers: Vec<ServerRecord>,
}

impl SnapshotState {
    /// Describes a repository.
    pub(crate) fn of(config: &HaikuConfig, kept: Option<&KeptSnapshots>, servers: Vec<ServerRecord>) -> Self {
        let newest = kept.map(|kept| &kept.newest);
        Self {
            name: config.name.clone(),
            path: config.path.clone(),
            packages: newest.map(|kept| kept.snapshot.packages.len()),
            sha256: newest.map(|kept| kept.snapshot.sha256.to_string()),
            signed: newest.and_then(|kept| kept.snapshot.signed),
            proven: newest.map(|kept| kept.proven),
            checked: newest.map(|kept| kept.checked),
            max_age: config.max_age.as_secs(),
            former: kept.map_or(0, |kept| kept.former.len()),
            servers,
        }
    }

    /// Returns the seconds since a server last had the list; `None` where there is none.
    pub(crate) fn age(&self, now: u64) -> Option<u64> {
        self.checked.map(|checked| now.saturating_sub(checked))
    }

    /// Returns true where pkgman gets an error: there is no list, or one that no server has had for too long.
    pub(crate) fn is_out(&self, now: u64) -> bool {
        self.age(now).is_none_or(|age| age > self.max_age)
    }

    /// Returns the servers that failed when they were asked last, each with the reason.
    pub(crate) fn failing(&self) -> impl Iterator<Item = (&ServerRecord, &str)> {
        self.servers.iter().filter_map(|server| Some((server, server.why.as_deref()?)))
    }
}
