//! What prefetch remembers between two runs, and what `status`, `why` and the notification read: one small JSON file in
//! the store, replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::choose::LeftOut;
use super::pending::installed;
use crate::digest::Sha256;
use crate::fsx;
use crate::name::{FileName, RepoName};

/// Most bytes that are read: some 30,000 pending packages.
const MOST: u64 = 16 << 20;

/// How one pending update stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "stands", content = "why")]
pub enum UpdateStanding {
    /// It is here, proven, with its signature where pacman wants one.
    Here,
    /// It was not fetched, for this reason.
    Left(LeftOut),
    /// It could not be had; in words.
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
    pub size: u64,
    /// What the file must be; none where the database names no sha256.
    pub sha256: Option<Sha256>,
    /// Since when some version of the package has been pending, Unix seconds.
    pub since: u64,
    /// How it stands.
    #[serde(flatten)]
    pub stands: UpdateStanding,
    /// Whether it is pinned in Kubo.
    pub pinned: bool,
}

impl PendingUpdate {
    /// Whether it is here.
    pub fn is_here(&self) -> bool {
        self.stands == UpdateStanding::Here
    }

    /// As `checkupdates` prints it; what comes in newly has no old version.
    pub fn line(&self) -> String {
        match &self.old {
            Some(old) => format!("{} {old} -> {}", self.name, self.new),
            None => format!("{} {}", self.name, self.new),
        }
    }
}

/// The last run.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrefetchState {
    /// When the databases were looked at, Unix seconds.
    pub checked: u64,
    /// Everything that was pending then, in pacman's order.
    pub updates: Vec<PendingUpdate>,
    /// Since when each package has been pending, those included that are let go by now.
    #[serde(default)]
    pub since: BTreeMap<String, u64>,
}

impl PrefetchState {
    /// What the last run in `store` left; nothing when there was none, or when it cannot be read.
    ///
    /// Names come from a file that somebody else may own: what is not a plain name is left out.
    pub fn read(store: &Path) -> Self {
        let Ok(file) = fsx::open_read(&path(store)) else { return Self::default() };
        let mut bytes = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(file, MOST), &mut bytes);
        read.map_or_else(|_| Self::default(), |_| Self::from_bytes(&bytes))
    }

    /// The same of the file's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut state: Self = serde_json::from_slice(bytes).unwrap_or_default();
        let plain = |text: &str| FileName::new(text).is_ok();
        state.updates.retain(|update| {
            RepoName::new(&update.repo).is_ok()
                && [&update.name, &update.new, &update.file].into_iter().chain(&update.old).all(|text| plain(text))
        });
        state
    }

    /// What the last run in `store` left, without what has been installed since.
    pub fn now(store: &Path) -> Self {
        let mut state = Self::read(store);
        let installed = installed(&store.join("prefetch/db/local"));
        state.updates.retain(|update| installed.get(&update.name) != Some(&update.new));
        state
    }

    /// Replaces what is remembered in `store`.
    ///
    /// # Errors
    /// When it cannot be written; then the last one stays.
    pub fn write(&self, store: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec(self).expect("plain data makes JSON");
        json.push(b'\n');
        fsx::replace(&path(store), &json, 0o644)
    }

    /// Number and bytes of what is here.
    pub fn ready(&self) -> (usize, u64) {
        let here = self.updates.iter().filter(|update| update.is_here());
        here.fold((0, 0), |(count, bytes), update| (count + 1, bytes + update.size))
    }
}

/// The file; a user's unit watches it for the notification.
pub fn path(store: &Path) -> PathBuf {
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
