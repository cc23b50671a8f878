//! What a keeper knows from one round to the next. All of it can be lost: the pinned root has the keeper's key and its
//! files, and the next round goes on from there (`a_lost_state_is_made_anew_from_the_pinned_root`).
//!
//! ```text
//! <state>/keep/NAME/lock         one round at a time
//! <state>/keep/NAME/state.json   this
//! <state>/keep/NAME/kubo.json    where Kubo's repository is
//! <state>/keep/NAME/keepers.json other holders that were seen
//! <state>/keep/NAME/coming.json  files that may be in Kubo and are in no root yet, written before they come
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cost::{cost, cost_in_store};
use super::share::{KeeperKey, Sightings};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::fsx;

/// Most bytes that are read: some 400,000 files.
const MOST: u64 = 64 << 20;

/// A file of the share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptEntry {
    /// Its bytes.
    pub size: u64,
    /// True if it was not here before, in Kubo or the store: then its bytes go with it.
    pub ours: bool,
    /// Its digest, where it is kept in the store of this machine; `None` for a file in Kubo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The round since which the index lacks it; `None` while it is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u32>,
}

impl KeptEntry {
    /// Makes that of a file in Kubo.
    pub fn in_kubo(size: u64, ours: bool) -> Self {
        Self { size, ours, sha256: None, gone: None }
    }

    /// Returns the bytes that it takes on the disk at most.
    pub(super) fn cost(&self) -> u64 {
        if self.sha256.is_some() { cost_in_store(self.size) } else { cost(self.size) }
    }
}

/// The last round.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LastRound {
    /// When it ended, Unix seconds.
    pub(crate) at: u64,
    /// The reason why it failed, if it did.
    pub(crate) failed: Option<String>,
    /// What it has to say, one line each.
    pub(crate) notes: Vec<String>,
    /// Files of the index that may be kept.
    pub(crate) index_files: u64,
    /// Bytes of these.
    pub(crate) index_bytes: u64,
    /// Rounds that failed since the last one that did not.
    pub(crate) failures: u32,
    /// Bytes that have come in all rounds.
    pub(crate) came: u64,
    /// Files of the index of which no other holder was seen, one, two, and more.
    pub(crate) coverage: [u64; 4],
}

/// The state of one keeper.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct KeeperState {
    /// The random number by which its share differs from those of others.
    pub(crate) key: Sha256,
    /// The number of rounds.
    pub(crate) round: u32,
    /// The pinned root.
    pub(crate) root: Option<Cid>,
    /// The files in it.
    pub(crate) files: BTreeMap<Cid, KeptEntry>,
    /// Files that are in no root any more, and whose blocks are still to be removed, with their bytes.
    pub(crate) leaving: BTreeMap<Cid, u64>,
    /// What is remembered of the files of the index.
    #[serde(default)]
    pub(crate) seen: Sightings,
    /// Files that did not come, and the first round that tries them again.
    pub(crate) missing: BTreeMap<Cid, u32>,
    /// The last round.
    #[serde(default)]
    pub(crate) last: LastRound,
}

impl KeeperState {
    /// Makes the state of a new keeper.
    fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self {
            key: Sha256(key),
            round: 0,
            root: None,
            files: BTreeMap::new(),
            leaving: BTreeMap::new(),
            seen: Sightings::default(),
            missing: BTreeMap::new(),
            last: LastRound::default(),
        })
    }

    /// Returns the keeper's number.
    pub(super) fn keeper_key(&self) -> KeeperKey {
        KeeperKey(self.key.0)
    }
}

/// Where Kubo's repository was, when it said so last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct KnownRepo {
    /// The address of its RPC.
    pub(crate) kubo: String,
    /// The path that it named.
    pub(crate) repo: PathBuf,
    /// The path whose disk is measured for it; `None` where this user cannot look at that disk.
    pub(crate) measured: Option<PathBuf>,
}

/// The directory of one keeper.
#[derive(Clone, Debug)]
pub(crate) struct KeeperPlace(PathBuf);

impl KeeperPlace {
    /// Returns that of the share `name`; it need not exist.
    pub(crate) fn of(state_dir: &Path, name: &str) -> Self {
        Self(state_dir.join("keep").join(name))
    }

    /// Makes it, and takes its lock; `None` while another process has it.
    ///
    /// # Errors
    /// `Local` when it cannot be made.
    pub(super) fn enter(&self) -> Result<Option<File>, Error> {
        fs::create_dir_all(&self.0).map_err(|e| Error::local(self.0.display(), e))?;
        let path = self.0.join("lock");
        match fsx::lock(&path, std::time::Duration::ZERO) {
            Ok(lock) => Ok(Some(lock)),
            Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => Ok(None),
            Err(e) => Err(Error::local(path.display(), e)),
        }
    }

    /// True if a round was ever made.
    pub(crate) fn exists(&self) -> bool {
        self.state().exists()
    }

    /// Returns the state; `None` where there is none, or it is damaged.
    pub(crate) fn read(&self) -> Option<KeeperState> {
        let bytes = fsx::read_followed(&self.state(), MOST).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Returns the state, or that of a new keeper; true for that.
    ///
    /// # Errors
    /// `Local` when this machine gives no random numbers.
    pub(super) fn open(&self) -> Result<(KeeperState, bool), Error> {
        match self.read() {
            Some(state) => Ok((state, false)),
            None => Ok((KeeperState::new().map_err(|e| Error::local("/dev/urandom", e))?, true)),
        }
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// `Local` when it cannot be written; then the former one stays.
    pub(super) fn write(&self, state: &KeeperState) -> Result<(), Error> {
        replace(&self.state(), state)
    }

    /// Lists the files that may have come and be in no root.
    pub(super) fn coming(&self) -> BTreeSet<Cid> {
        let bytes = fsx::read_followed(&self.0.join("coming.json"), MOST).ok().flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Replaces that list.
    ///
    /// # Errors
    /// As of [`KeeperPlace::write`].
    pub(super) fn expect(&self, coming: &BTreeSet<Cid>) -> Result<(), Error> {
        replace(&self.0.join("coming.json"), coming)
    }

    /// Returns where Kubo's repository was; `None` where that was never found.
    pub(crate) fn repo(&self) -> Option<KnownRepo> {
        let bytes = fsx::read_followed(&self.0.join("kubo.json"), MOST).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes that down.
    ///
    /// # Errors
    /// As of [`KeeperPlace::write`].
    pub(super) fn remember(&self, repo: &KnownRepo) -> Result<(), Error> {
        replace(&self.0.join("kubo.json"), repo)
    }

    /// Returns what was noted of other keepers.
    pub(super) fn keepers(&self) -> Option<Vec<u8>> {
        fsx::read_followed(&self.0.join("keepers.json"), MOST).ok().flatten()
    }

    /// Replaces that.
    ///
    /// # Errors
    /// As of [`KeeperPlace::write`].
    pub(super) fn note_keepers(&self, keepers: &impl Serialize) -> Result<(), Error> {
        replace(&self.0.join("keepers.json"), keepers)
    }

    /// Lists the files that came because of the other shares of this machine.
    pub(super) fn ours_elsewhere(&self) -> BTreeSet<Cid> {
        let mut ours = BTreeSet::new();
        let shares = self.0.parent().and_then(|all| fs::read_dir(all).ok());
        for share in shares.into_iter().flatten().flatten().map(|entry| Self(entry.path())) {
            if let Some(state) = share.read().filter(|_| share.0 != self.0) {
                ours.extend(state.files.iter().filter(|(_, file)| file.ours).map(|(cid, _)| *cid));
                ours.extend(state.leaving.keys());
                ours.extend(share.coming());
            }
        }
        ours
    }

    /// Removes all of it.
    ///
    /// # Errors
    /// `Local` when it cannot be removed.
    pub(super) fn forget(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::local(self.0.display(), e)),
            _ => Ok(()),
        }
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }
}

fn replace(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec(value).expect("plain data makes JSON");
    fsx::replace(path, &json, 0o644).map_err(|e| Error::local(path.display(), e))
}
