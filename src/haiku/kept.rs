//! The snapshot in use, on disk: it is served until a newer one is proven, and what is newer is held against it.
//!
//! ```text
//! <state>/haiku/<name>/snapshot.json   facts, description and signature; written last
//! <state>/haiku/<name>/<sha256>.hpkr   the list
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::snapshot::{HaikuSnapshot, SnapshotFiles};
use crate::base::fsx;
use crate::base::name::FileName;
use crate::config::HaikuConfig;

/// Most bytes of `snapshot.json`: a description, a signature and a few facts.
const FACTS_MOST: u64 = 256 << 10;

/// Most bytes of a list, as of its reader.
const LIST_MOST: u64 = 64 << 20;

/// A snapshot in use.
#[derive(Clone, Debug)]
pub(crate) struct KeptSnapshot {
    pub(crate) snapshot: HaikuSnapshot,
    /// Where its packages are: the base URL after all redirects, so that a moving alias is followed once a snapshot.
    pub(crate) base: String,
    /// The time at which a server was last seen to have it, in Unix seconds.
    pub(crate) checked: u64,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    version: u32,
    list: String,
    base: String,
    checked: u64,
    info: String,
    signature: String,
}

/// The place of a repository's snapshot.
pub(crate) struct SnapshotShelf {
    dir: PathBuf,
    uid: u32,
}

impl SnapshotShelf {
    /// Returns the place for a repository below the state directory of the user `uid`.
    pub(crate) fn of(state: &Path, name: &str, uid: u32) -> Self {
        Self { dir: state.join("haiku").join(name), uid }
    }

    /// Returns the snapshot in use, proven once more by the key of today; `None` where there is none that is.
    pub(crate) fn load(&self, repo: &HaikuConfig) -> Option<KeptSnapshot> {
        let facts = fsx::read_small(&self.facts(), self.uid, FACTS_MOST).ok()?;
        let facts: Facts = serde_json::from_slice(&facts).ok()?;
        let name = FileName::new(format!("{}.hpkr", facts.list)).ok()?;
        let list = fsx::read_small(&self.dir.join(name.as_str()), self.uid, LIST_MOST).ok()?;
        let files = SnapshotFiles { list, signature: facts.signature.into_bytes(), info: facts.info.into_bytes() };
        let snapshot = HaikuSnapshot::proven(files, repo.minisign.value().ok()?, None).ok()?;
        Some(KeptSnapshot { snapshot, base: facts.base, checked: facts.checked })
    }

    /// Keeps `kept` in place of the one before.
    pub(crate) fn keep(&self, kept: &KeptSnapshot) -> io::Result<()> {
        let list = kept.snapshot.sha256.to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let facts = Facts {
            version: 1,
            base: kept.base.clone(),
            checked: kept.checked,
            info: text(&kept.snapshot.files.info),
            signature: text(&kept.snapshot.files.signature),
            list: list.clone(),
        };
        fs::create_dir_all(&self.dir)?;
        let file = format!("{list}.hpkr");
        if !self.dir.join(&file).exists() {
            fsx::replace_synced(&self.dir.join(&file), &kept.snapshot.files.list)?;
        }
        fsx::replace_synced(&self.facts(), &serde_json::to_vec(&facts)?)?;
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(".hpkr") && name != file) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn facts(&self) -> PathBuf {
        self.dir.join("snapshot.json")
    }
}
