//! The snapshot in use, on disk: it is served until a newer one is proven, and what is newer is held against it. Those
//! before it stay for a while: a client that has not refreshed asks for their packages.
//!
//! ```text
//! <state>/haiku/<name>/snapshot.json   facts, description and signature, of the former ones too; written last
//! <state>/haiku/<name>/<sha256>.hpkr   a list
//! <state>/haiku/<name>/servers.json    what each server answered when it was asked last
//! <state>/haiku/<name>/lock            held while one is kept
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::snapshot::{HaikuSnapshot, Precursor, SnapshotFiles};
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::config::HaikuConfig;

/// Most bytes of `snapshot.json`: a few descriptions, signatures and facts.
const FACTS_MOST: u64 = 1 << 20;

/// Most bytes of `servers.json`.
const SERVERS_MOST: u64 = 256 << 10;

/// Most bytes of a list, as of its reader.
const LIST_MOST: u64 = 64 << 20;

/// Longest wait for another process that keeps one.
const LOCK: Duration = Duration::from_secs(10);

/// Former lists that are kept. Haiku's repositories get one a day or so.
const FORMER: usize = 3;

/// A snapshot in use.
#[derive(Clone, Debug)]
pub(crate) struct KeptSnapshot {
    pub(crate) snapshot: HaikuSnapshot,
    /// Where its packages are: the base URL after all redirects, so that a moving alias is followed once a snapshot.
    pub(crate) base: String,
    /// The time at which a server was last seen to have it, in Unix seconds; of one that an index brought, the time at
    /// which that was made.
    pub(crate) checked: u64,
    /// The time at which its signature was checked last.
    pub(crate) proven: u64,
}

/// The snapshot in use, and those before it that clients may still have.
#[derive(Clone, Debug)]
pub(crate) struct KeptSnapshots {
    /// The one in use.
    pub(crate) newest: KeptSnapshot,
    /// Those before it, the latest first.
    pub(crate) former: Vec<KeptSnapshot>,
}

/// What a server answered when it was asked last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ServerRecord {
    /// Its address.
    pub(crate) url: String,
    /// When, in Unix seconds.
    pub(crate) at: u64,
    /// The reason why it did not send a list, for people; `None` where it did.
    pub(crate) why: Option<String>,
    /// True where what it sent is not proven.
    #[serde(default)]
    pub(crate) refused: bool,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    version: u32,
    list: String,
    base: String,
    checked: u64,
    info: String,
    signature: String,
    /// The time at which a newer one replaced it; of former ones alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Facts>,
}

/// The place of a repository's snapshot.
pub(crate) struct SnapshotShelf {
    dir: PathBuf,
    uid: u32,
}

impl KeptSnapshots {
    /// Returns the snapshot that has this package, and its sum there. Where several have it under one name, that of
    /// the list `held` decides, which the client was given, then the newest.
    pub(crate) fn find(&self, name: &FileName, held: Option<Sha256>) -> Option<(&KeptSnapshot, Sha256)> {
        let all = || std::iter::once(&self.newest).chain(&self.former);
        let first = all().filter(|kept| Some(kept.snapshot.sha256) == held);
        first.chain(all()).find_map(|kept| Some((kept, *kept.snapshot.packages.get(name)?)))
    }

    /// Returns the sums of all files of this name.
    pub(crate) fn sums(&self, name: &FileName) -> impl Iterator<Item = Sha256> {
        let all = std::iter::once(&self.newest).chain(&self.former);
        all.filter_map(|kept| kept.snapshot.packages.get(name).copied())
    }

    /// Returns these with a snapshot that was taken now, which may be the newest once more.
    pub(crate) fn followed_by(self, newest: KeptSnapshot) -> Self {
        let before = std::iter::once(self.newest).chain(self.former);
        let former = before.filter(|kept| kept.snapshot.sha256 != newest.snapshot.sha256).take(FORMER).collect();
        Self { newest, former }
    }

    /// Returns the snapshot whose list has this sum.
    pub(crate) fn of_list(&self, sha256: Sha256) -> Option<&KeptSnapshot> {
        std::iter::once(&self.newest).chain(&self.former).find(|kept| kept.snapshot.sha256 == sha256)
    }
}

impl SnapshotShelf {
    /// Returns the place for a repository below the state directory of the user `uid`.
    pub(crate) fn of(state: &Path, name: &str, uid: u32) -> Self {
        Self { dir: state.join("haiku").join(name), uid }
    }

    /// Returns the snapshot in use, proven once more by the key of today; `None` where there is none that is.
    pub(crate) fn load(&self, repo: &HaikuConfig) -> Option<KeptSnapshot> {
        self.proven(repo, self.facts()?)
    }

    /// Returns it with those before it, each proven in the same way.
    pub(crate) fn load_all(&self, repo: &HaikuConfig) -> Option<KeptSnapshots> {
        let mut facts = self.facts()?;
        let former = still(std::mem::take(&mut facts.former), repo.max_age);
        let newest = self.proven(repo, facts)?;
        Some(KeptSnapshots {
            newest,
            former: former.into_iter().filter_map(|facts| self.proven(repo, facts)).collect(),
        })
    }

    fn proven(&self, repo: &HaikuConfig, facts: Facts) -> Option<KeptSnapshot> {
        let name = FileName::new(format!("{}.hpkr", facts.list)).ok()?;
        let list = fsx::read_small(&self.dir.join(name.as_str()), self.uid, LIST_MOST).ok()?;
        let files = SnapshotFiles {
            list: list.into(),
            signature: facts.signature.into_bytes().into(),
            info: facts.info.into_bytes().into(),
        };
        let snapshot = HaikuSnapshot::proven(files, repo.minisign.value().ok()?, None).ok()?;
        Some(KeptSnapshot { snapshot, base: facts.base, checked: facts.checked, proven: clock::now() })
    }

    /// Keeps `kept` in place of the one before, which becomes the latest of the former ones where it is another. Returns
    /// false where another process, or another request, has put a newer one there meanwhile: that one stays.
    pub(crate) fn keep(&self, repo: &HaikuConfig, kept: &KeptSnapshot) -> io::Result<bool> {
        fs::create_dir_all(&self.dir)?;
        let _lock = match fsx::lock(&self.dir.join("lock"), LOCK) {
            // That of another user, who keeps lists here as well.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => None,
            locked => Some(locked?),
        };
        if self.precursor(repo).is_some_and(|of| of.precedes(kept.snapshot.sha256, kept.snapshot.signed).is_err()) {
            return Ok(false);
        }
        let list = kept.snapshot.sha256.to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut former = Vec::new();
        if let Some(mut before) = self.facts() {
            let older = std::mem::take(&mut before.former);
            before.replaced = Some(clock::now());
            former =
                still(std::iter::once(before).chain(older).filter(|facts| facts.list != list).collect(), repo.max_age);
        }
        let facts = Facts {
            version: 1,
            base: kept.base.clone(),
            checked: kept.checked,
            info: text(&kept.snapshot.files.info),
            signature: text(&kept.snapshot.files.signature),
            list: list.clone(),
            replaced: None,
            former,
        };
        let file = |list: &str| format!("{list}.hpkr");
        if !self.dir.join(file(&list)).exists() {
            fsx::replace_synced(&self.dir.join(file(&list)), &kept.snapshot.files.list)?;
        }
        fsx::replace_synced(&self.facts_path(), &serde_json::to_vec(&facts)?)?;
        let kept: Vec<String> = std::iter::once(&facts).chain(&facts.former).map(|facts| file(&facts.list)).collect();
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(".hpkr") && !kept.iter().any(|kept| kept == name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(true)
    }

    /// Remembers what servers answered just now. Those that were not asked keep what they answered before; those that
    /// are configured no more are forgotten.
    pub(crate) fn note(&self, repo: &HaikuConfig, answers: Vec<ServerRecord>) -> io::Result<()> {
        let is_configured = |record: &ServerRecord| repo.urls.iter().any(|url| url.to_string() == record.url);
        let mut records = self.servers();
        records.retain(|record| is_configured(record) && answers.iter().all(|answer| answer.url != record.url));
        records.extend(answers);
        fs::create_dir_all(&self.dir)?;
        fsx::replace_synced(&self.dir.join("servers.json"), &serde_json::to_vec(&records)?)
    }

    /// Returns what each server answered when it was asked last.
    pub(crate) fn servers(&self) -> Vec<ServerRecord> {
        let text = fsx::read_small(&self.dir.join("servers.json"), self.uid, SERVERS_MOST).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Returns what a newer one is held against; `None` where there is none with a signature by the key of today.
    fn precursor(&self, repo: &HaikuConfig) -> Option<Precursor> {
        let facts = self.facts()?;
        let comment = repo.minisign.value().ok()?.comment(facts.signature.as_bytes()).ok()?;
        let is_there = self.dir.join(format!("{}.hpkr", facts.list)).exists();
        is_there.then_some(Precursor { sha256: facts.list.parse().ok()?, signed: comment.timestamp() })
    }

    fn facts(&self) -> Option<Facts> {
        serde_json::from_slice(&fsx::read_small(&self.facts_path(), self.uid, FACTS_MOST).ok()?).ok()
    }

    fn facts_path(&self) -> PathBuf {
        self.dir.join("snapshot.json")
    }
}

/// Returns those of the former snapshots that are kept: few, and none that was replaced too long ago.
fn still(former: Vec<Facts>, max_age: Duration) -> Vec<Facts> {
    let now = clock::now();
    let is_young = |facts: &Facts| facts.replaced.is_some_and(|at| now.saturating_sub(at) <= max_age.as_secs());
    former.into_iter().filter(is_young).take(FORMER).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::lists::haiku::repo_info::RepoInfo;

    fn kept(number: u8, packages: &[(&str, u8)]) -> KeptSnapshot {
        let files = SnapshotFiles { list: Bytes::new(), signature: Bytes::new(), info: Bytes::new() };
        let text =
            b"name a\nvendor v\nsummary s\npriority 1\nbaseurl http://h.example\nidentifier i\narchitecture any\n";
        let packages = packages.iter().map(|(name, sum)| (FileName::new(*name).unwrap(), Sha256([*sum; 32])));
        let snapshot = HaikuSnapshot {
            files,
            sha256: Sha256([number; 32]),
            signed: None,
            info: RepoInfo::parse(text).unwrap(),
            packages: Arc::new(packages.collect()),
        };
        KeptSnapshot { snapshot, base: String::new(), checked: 0, proven: 0 }
    }

    #[test]
    fn a_package_is_that_of_the_list_which_the_client_has_and_no_list_stays_for_ever() {
        let first = kept(1, &[("a.hpkg", 1), ("b.hpkg", 2)]);
        let all = KeptSnapshots { newest: first, former: Vec::new() }.followed_by(kept(2, &[("a.hpkg", 3)]));
        let of = |name: &str, held: Option<u8>| {
            let held = held.map(|number| Sha256([number; 32]));
            all.find(&FileName::new(name).unwrap(), held).map(|(_, sum)| sum.0[0])
        };
        assert_eq!([of("a.hpkg", None), of("a.hpkg", Some(2)), of("a.hpkg", Some(1))], [Some(3), Some(3), Some(1)]);
        assert_eq!([of("b.hpkg", Some(2)), of("c.hpkg", Some(1))], [Some(2), None]);
        let again = all.clone().followed_by(kept(2, &[]));
        assert_eq!(again.former.len(), 1, "the same one once more is no other");
        let later = (3..9).fold(all, |all, number| all.followed_by(kept(number, &[])));
        assert_eq!(later.former.iter().map(|kept| kept.snapshot.sha256.0[0]).collect::<Vec<_>>(), [7, 6, 5]);
    }
}
