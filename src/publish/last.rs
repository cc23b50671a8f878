//! The last publication: the sequence that must not go back, and the blocks that need not be sent again.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PublishError;
use super::archive::ArchiveLink;
use super::chain::ChainLink;
use super::seal::Sealed;
use crate::base::cid::{BlockCid, Cid};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::RepoName;
use crate::index::ipns::Name;

/// The memory of one publisher, in its state directory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PublisherMemory {
    /// Highest sequence ever published, offline or online.
    pub(super) sequence: u64,
    /// The publication that the daemon has.
    pub(super) online: Option<PublishedIndex>,
    /// Roots that were sent and perhaps pinned, and never became the publication: to be unpinned.
    #[serde(default)]
    pub(super) pending: Vec<Cid>,
    /// The publication written by `--offline`.
    pub(super) offline: Option<PublishedIndex>,
    /// The tables as they were published last, online or offline.
    #[serde(default)]
    pub(super) tables: BTreeMap<String, ChainLink>,
    /// What has left them, where that is remembered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) archives: BTreeMap<String, ArchiveLink>,
}

/// One publication.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PublishedIndex {
    pub(super) root: Cid,
    pub(super) sequence: u64,
    /// Unix seconds.
    pub(super) created: u64,
    /// Unix seconds.
    pub(super) expires: u64,
    /// `Tree::fingerprint`.
    pub(super) content: Sha256,
    /// Digest of the manifest.
    pub(super) manifest: Sha256,
    /// The IPNS name.
    pub(super) name: Option<String>,
    /// True if the record could be read back.
    pub(super) record: bool,
    /// CIDs of all files in it; a root block that is there by itself is a file of its own.
    pub(super) files: HashSet<BlockCid>,
}

impl PublishedIndex {
    /// Describes a publication, for the next run.
    pub(super) fn of(sealed: &Sealed<'_>, name: Option<&Name>) -> Self {
        Self {
            root: sealed.root,
            sequence: sealed.manifest.sequence,
            created: sealed.manifest.created,
            expires: sealed.manifest.expires,
            content: sealed.tree.fingerprint,
            manifest: Sha256::of(&sealed.bytes),
            name: name.map(Name::to_string),
            record: false,
            files: sealed.tree.files.iter().map(|file| file.hashed.cid).collect(),
        }
    }

    /// True if more than half of its validity is left.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        let life = self.expires.saturating_sub(self.created);
        now >= self.created && now.saturating_sub(self.created) <= life / 2
    }
}

impl PublisherMemory {
    /// Reads the memory in `dir`. A damaged one is an error: sequences could go back without it.
    pub(super) fn open(dir: &Path) -> Result<Self, PublishError> {
        let path = file(dir);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(PublishError::Io { path, error }),
        };
        serde_json::from_slice(&bytes).map_err(|e| PublishError::Memory { path, why: e.to_string() })
    }

    /// Returns the files that the daemon has, as it has `told`, else those that it was given last. Where it lacks them after
    /// all, the run fails when it is asked for room; and what it has is not let go because it was slow once
    /// (`a_daemon_that_does_not_tell_once_loses_no_archived_file`).
    pub(super) fn has_given<'a>(&'a self, told: Option<&'a HashSet<BlockCid>>) -> Option<&'a HashSet<BlockCid>> {
        told.or(self.online.as_ref().map(|index| &index.files))
    }

    /// Lists the tables of the last publication, `REPO-ARCH`, that are neither in `tables` (repository and architecture) nor
    /// dropped on purpose, by that name or their repository's.
    pub(super) fn left_out(&self, tables: &[(&RepoName, &str)], dropped: &[String]) -> Vec<String> {
        let is_dropped = |table: &str| {
            dropped.iter().any(|name| name == table || table.rsplit_once('-').is_some_and(|(repo, _)| name == repo))
        };
        let is_here = |table: &str| tables.iter().any(|(repo, arch)| table == format!("{repo}-{arch}"));
        self.tables.keys().filter(|table| !is_here(table) && !is_dropped(table)).cloned().collect()
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), PublishError> {
        let path = file(dir);
        let json = serde_json::to_vec(self).expect("texts and numbers always make JSON");
        fsx::replace_synced(&path, &json).map_err(|error| PublishError::Io { path, error })
    }
}

/// Makes this the only run of the publisher until the file is closed.
pub(super) fn lock(dir: &Path) -> Result<File, PublishError> {
    let path = dir.join("lock");
    let at = |error| PublishError::Io { path: path.clone(), error };
    fs::create_dir_all(dir).map_err(at)?;
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(PublishError::Busy),
        Err(fs::TryLockError::Error(error)) => Err(at(error)),
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("published.json")
}
