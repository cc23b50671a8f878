//! The state that prefetch keeps between two runs, and that `status`, `why` and the notification read: one small
//! JSON file in the store, replaced as a whole.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::choose::LeftOut;
use super::pending::installed;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};

/// Most bytes that are read: some 30,000 pending packages.
const MOST: u64 = 16 << 20;

/// The standing of one pending update.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "stands", content = "why")]
pub(crate) enum UpdateStanding {
    /// Here, proven, with its signature if pacman checks one.
    Here,
    /// Left out, for this reason.
    Left(LeftOut),
    /// To be fetched: only a run that fetches nothing leaves it so.
    Pending,
    /// Not available; in words.
    Failed(String),
}

/// One pending update.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PendingUpdate {
    /// Its repository.
    pub repo: String,
    /// The package's name.
    pub name: String,
    /// The version that was installed.
    pub old: Option<String>,
    /// The pending version.
    pub new: String,
    /// Its file.
    pub file: String,
    /// Size of the file in bytes.
    pub(crate) size: u64,
    /// The expected digest; none if the database has no sha256.
    pub(crate) sha256: Option<Sha256>,
    /// Unix seconds since when a version of the package has been pending.
    pub(crate) since: u64,
    /// Its standing.
    #[serde(flatten)]
    pub(crate) stands: UpdateStanding,
    /// True if it is pinned in Kubo.
    pub(crate) pinned: bool,
}

impl PendingUpdate {
    /// True if it is here.
    pub(crate) fn is_here(&self) -> bool {
        self.stands == UpdateStanding::Here
    }

    /// True if it was left out by choice. An update that a run did not ask for stays as it is.
    pub(crate) fn is_let_go(&self) -> bool {
        matches!(self.stands, UpdateStanding::Left(LeftOut::Quota | LeftOut::Age))
    }

    /// Formats it like `checkupdates`; a new package has no old version.
    pub(crate) fn line(&self) -> String {
        match &self.old {
            Some(old) => format!("{} {old} -> {}", self.name, self.new),
            None => format!("{} {}", self.name, self.new),
        }
    }
}

/// The last run.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrefetchState {
    /// When the databases were refreshed, Unix seconds.
    pub(crate) checked: u64,
    /// All updates pending then, in pacman's order.
    pub updates: Vec<PendingUpdate>,
    /// Since when each package has been pending, including those left out by now.
    #[serde(default)]
    pub since: BTreeMap<String, u64>,
}

impl PrefetchState {
    /// Reads the state of the last run in `store`; empty when there was none, or when it cannot be read.
    ///
    /// Another user may own the file that names come from: names that are not plain are left out.
    pub(crate) fn read(store: &Path) -> Self {
        let Ok(file) = fsx::open_read(&path(store)) else { return Self::default() };
        let mut bytes = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(file, MOST), &mut bytes);
        read.map_or_else(|_| Self::default(), |_| Self::from_bytes(&bytes))
    }

    /// Reads the same from the file's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut state: Self = serde_json::from_slice(bytes).unwrap_or_default();
        let plain = |text: &str| FileName::new(text).is_ok();
        state.updates.retain(|update| {
            RepoName::new(&update.repo).is_ok()
                && [&update.name, &update.new, &update.file].into_iter().chain(&update.old).all(|text| plain(text))
        });
        state
    }

    /// Reads the state of the last run in `store`, without updates that have been installed since.
    pub(crate) fn now(store: &Path) -> Self {
        let mut state = Self::read(store);
        let installed = installed(&store.join("prefetch/db/local"));
        state.updates.retain(|update| installed.get(&update.name) != Some(&update.new));
        state
    }

    /// Replaces the state in `store`.
    ///
    /// # Errors
    /// When it cannot be written; then the former one stays.
    pub(crate) fn write(&self, store: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec(self).expect("plain data makes JSON");
        json.push(b'\n');
        fsx::replace(&path(store), &json, 0o644)
    }

    /// Counts the files that are here, and their bytes.
    pub(crate) fn ready(&self) -> (usize, u64) {
        let here = self.updates.iter().filter(|update| update.is_here());
        here.fold((0, 0), |(count, bytes), update| (count + 1, bytes + update.size))
    }
}

/// Returns the path of the state; a user's unit watches it for the notification.
pub(crate) fn path(store: &Path) -> PathBuf {
    store.join("prefetch").join("state.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(name: &str, stands: UpdateStanding) -> PendingUpdate {
        PendingUpdate {
            repo: "core".to_owned(),
            name: name.to_owned(),
            old: Some("1-1".to_owned()),
            new: "2-1".to_owned(),
            file: format!("{name}-2-1-any.pkg.tar.zst"),
            size: 7,
            sha256: Some(Sha256::of(b"x")),
            since: 5,
            stands,
            pinned: false,
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let store = tempfile::tempdir().unwrap();
        assert_eq!(PrefetchState::read(store.path()), PrefetchState::default());
        std::fs::create_dir(store.path().join("prefetch")).unwrap();
        let updates = vec![
            pending("a", UpdateStanding::Here),
            pending("b", UpdateStanding::Left(LeftOut::Quota)),
            pending("c", UpdateStanding::Failed("gone".to_owned())),
        ];
        let state = PrefetchState { checked: 9, updates, since: BTreeMap::from([("a".to_owned(), 5)]) };
        state.write(store.path()).unwrap();
        assert_eq!(PrefetchState::read(store.path()), state);
        assert_eq!(state.ready(), (1, 7));
    }

    #[test]
    fn names_that_are_not_plain_are_left_out() {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join("prefetch")).unwrap();
        let state = PrefetchState {
            updates: vec![pending("../x", UpdateStanding::Here), pending("a", UpdateStanding::Here)],
            ..PrefetchState::default()
        };
        state.write(store.path()).unwrap();
        assert_eq!(PrefetchState::read(store.path()).updates.len(), 1);
        std::fs::write(path(store.path()), "{").unwrap();
        assert_eq!(PrefetchState::read(store.path()), PrefetchState::default());
    }
}
