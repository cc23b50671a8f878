//! What is kept of a mirror that is followed: databases, signatures, and of each package its root, once its bytes are
//! elsewhere.
//!
//! | file, below `follow/` in the publisher's state | what |
//! |---|---|
//! | `followed.json` | the snapshot that was published, and the record of each mirror |
//! | `databases/SHA256` | the databases, and what stands beside them |
//! | `packages/SHA256` | packages that are on their way to the targets |
//! | `signatures/SHA256` | the signature of the package with that digest; empty where it has none |
//! | `checked` | the keyring, and the packages whose signature it has checked |
//! | `held` | sha256, size, CID and DAG size of packages whose bytes were let go |
//! | `arrived` | packages that Kubo has, and no root holds yet (`arrived.rs`) |
//! | `downloads/` | the store of the deliveries |

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::FollowError;
use super::ask::MirrorNotes;
use super::budget::BackfillRecord;
use crate::base::cid::BlockCid;
use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey, Lasting, ReplaceOptions, Replacement};
use crate::lists::pacman::syncdb::{self, DatabaseError, Limits};
use crate::publish::hash::Hashed;

/// Seconds for which the databases of a mirror may be of another moment than its `lastupdate`.
pub(super) const SETTLING: u64 = 3600;

/// What was read of the mirrors.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct FollowMemory {
    /// The snapshot that was published last.
    pub(super) snapshot: Option<FollowedSnapshot>,
    /// The snapshot that was read last and is newer than that one, whose packages have not all come yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) coming: Option<FollowedSnapshot>,
    /// Unix seconds of the last comparison of whole databases.
    pub(super) compared: u64,
    /// The `lastupdate` of the last snapshot that was read, and the Unix seconds at which it was read first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<(u64, u64)>,
    /// The keyring that has checked the databases that were read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) keyring: Option<Sha256>,
    /// Unix seconds of the last run in which a mirror said its `lastupdate`.
    #[serde(default)]
    pub(super) heard: u64,
    /// What was spent of the budget for the backlog.
    #[serde(default)]
    pub(super) backfill: BackfillRecord,
    /// The packages of the backlog that did not come, and the Unix seconds at which they were asked for last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) missed: BTreeMap<Sha256, u64>,
    /// The mirrors, by their address.
    #[serde(default)]
    pub(super) mirrors: BTreeMap<String, MirrorRecord>,
    /// What this run has learnt of them, until [`settle`](Self::settle).
    #[serde(skip)]
    pub(super) notes: Rc<MirrorNotes>,
}

impl FollowMemory {
    /// Remembers that a snapshot was read at `now`, in Unix seconds. The `lastupdate` of a first one may be of any age.
    pub(super) fn has_read(&mut self, snapshot: &FollowedSnapshot, is_first: bool, now: u64) {
        if let Some(lastupdate) = snapshot.lastupdate
            && self.began.is_none_or(|(began, _)| began != lastupdate)
        {
            self.began = Some((lastupdate, if is_first { 0 } else { now }));
        }
    }

    /// Returns true for an hour after a `lastupdate` was read first: a mirror that brings it before its databases has them
    /// by then.
    pub(super) fn is_settling(&self, lastupdate: Option<u64>, now: u64) -> bool {
        let began = self.began.filter(|(began, _)| Some(*began) == lastupdate);
        began.is_some_and(|(_, since)| since <= now && now - since < SETTLING)
    }

    /// Takes over what was learnt of mirrors in the run that ends at `now`, in Unix seconds.
    pub(super) fn settle(&mut self, now: u64) {
        for (mirror, seconds) in self.notes.rests() {
            self.mirrors.entry(mirror).or_default().not_before = now.saturating_add(seconds);
        }
        for (mirror, since) in self.notes.unsettled.take() {
            self.mirrors.entry(mirror).or_default().unsettled = Some(since);
        }
        for (mirror, since) in self.notes.newer.take() {
            self.mirrors.entry(mirror).or_default().newer = since;
        }
    }
}

/// The databases of one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FollowedSnapshot {
    /// Unix seconds; `None` for mirrors without that file.
    pub(super) lastupdate: Option<u64>,
    /// By `REPO/os/ARCH`.
    pub(super) databases: BTreeMap<String, FollowedDatabase>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FollowedDatabase {
    pub(super) sha256: Sha256,
    /// Its date at the mirror, Unix seconds.
    pub(super) modified: Option<u64>,
    /// The files beside it, by what follows the repository's name: `db.sig`, `files`, `files.sig`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) beside: BTreeMap<String, FollowedPart>,
}

/// A file beside a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FollowedPart {
    pub(super) sha256: Sha256,
    /// Its date at the mirror, Unix seconds.
    pub(super) modified: Option<u64>,
}

impl FollowedSnapshot {
    /// Returns true for the same databases, whatever their dates.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_there = |(name, database): (&String, &FollowedDatabase)| {
            other.databases.get(name).is_some_and(|its| its.is_same(database))
        };
        self.databases.len() == other.databases.len() && self.databases.iter().all(is_there)
    }
}

impl FollowedDatabase {
    /// Returns true for the same database with the same files beside it, whatever their dates.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let digests = |of: &Self| of.beside.iter().map(|(name, part)| (name.clone(), part.sha256)).collect::<Vec<_>>();
        self.sha256 == other.sha256 && digests(self) == digests(other)
    }

    /// Lists the digests of it and of the files beside it.
    pub(super) fn digests(&self) -> impl Iterator<Item = Sha256> {
        std::iter::once(self.sha256).chain(self.beside.values().map(|part| part.sha256))
    }
}

/// What is known of one mirror.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct MirrorRecord {
    /// Unix seconds of the last question for `lastupdate`.
    pub(super) asked: u64,
    /// Unix seconds before which it does not want to be asked.
    pub(super) not_before: u64,
    /// What its `lastupdate` said, and the date of that file.
    pub(super) lastupdate: Option<u64>,
    pub(super) modified: Option<u64>,
    /// The `lastupdate` at which it had another database than the others, as in the middle of its synchronisation, and
    /// since when, Unix seconds.
    #[serde(default)]
    pub(super) unsettled: Option<(u64, u64)>,
    /// Unix seconds since when each database that came from it was dated later than its `lastupdate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newer: Option<u64>,
}

/// The directory.
#[derive(Debug)]
pub(super) struct FollowPlace(PathBuf);

impl FollowPlace {
    pub(super) fn open(dir: PathBuf) -> Result<Self, FollowError> {
        for part in ["databases", "packages", "signatures"] {
            fs::create_dir_all(dir.join(part)).map_err(FollowError::local(&dir))?;
        }
        Ok(Self(dir))
    }

    pub(super) fn database(&self, sha256: Sha256) -> PathBuf {
        self.0.join("databases").join(sha256.to_string())
    }

    /// Returns the place of a list of files on its way.
    pub(super) fn coming(&self) -> PathBuf {
        self.0.join("databases").join("coming")
    }

    /// Keeps a database, or what stands beside one, with its date, which the index names.
    pub(super) fn keep_database(
        &self,
        sha256: Sha256,
        modified: Option<u64>,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), FollowError> {
        let path = self.database(sha256);
        if path.exists() {
            return Ok(());
        }
        let options = ReplaceOptions { mode: 0o644, owner: None, lasting: Lasting::Synced };
        let kept = Replacement::prepare(&path, &options, |to| {
            write(to)?;
            let date = modified.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            date.map_or(Ok(()), |date| to.set_modified(date))
        });
        kept.and_then(Replacement::commit).map(drop).map_err(FollowError::local(path))
    }

    /// Returns the place of what a keyring has checked.
    pub(super) fn checked(&self) -> PathBuf {
        self.0.join("checked")
    }

    pub(super) fn package(&self, sha256: Sha256) -> PathBuf {
        self.place("packages", sha256)
    }

    pub(super) fn signature(&self, package: Sha256) -> PathBuf {
        self.place("signatures", package)
    }

    /// Joins without more room than the path needs: tens of thousands are kept.
    fn place(&self, part: &str, sha256: Sha256) -> PathBuf {
        let mut path = self.0.join(part).join(sha256.to_string());
        path.shrink_to_fit();
        path
    }

    /// Reads the memory; that of a first run is empty.
    ///
    /// # Errors
    /// [`FollowError::Memory`] when it is damaged: without it, mirrors could be set back.
    pub(super) fn memory(&self) -> Result<FollowMemory, FollowError> {
        let path = self.0.join("followed.json");
        match fsx::read_followed(&path, 64 << 20) {
            Ok(None) => Ok(FollowMemory::default()),
            Ok(Some(bytes)) => {
                serde_json::from_slice(&bytes).map_err(|e| FollowError::Memory { path, why: e.to_string() })
            }
            Err(error) => Err(FollowError::Local { path, error }),
        }
    }

    /// Removes the bytes of a package, if they are here.
    pub(super) fn drop_package(&self, sha256: Sha256) -> Result<(), FollowError> {
        let path = self.package(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FollowError::Local { path, error }),
            _ => Ok(()),
        }
    }

    /// Returns true for a file among the packages that are on their way.
    pub(super) fn is_package(&self, path: &Path) -> bool {
        path.starts_with(self.0.join("packages"))
    }

    pub(super) fn save(&self, memory: &FollowMemory) -> Result<(), FollowError> {
        let path = self.0.join("followed.json");
        let json = serde_json::to_vec(memory).expect("texts and numbers always make JSON");
        fsx::replace_synced(&path, &json).map_err(FollowError::local(path))
    }

    /// Reads the packages whose bytes were let go. Damaged lines are dropped: such a package is fetched again.
    pub(super) fn held(&self) -> HashMap<Sha256, Hashed> {
        let text = fs::read_to_string(self.0.join("held")).unwrap_or_default();
        text.lines().filter_map(read_held).map(|hashed| (hashed.sha256, hashed)).collect()
    }

    /// Writes them.
    pub(super) fn hold<'h>(&self, held: impl Iterator<Item = &'h Hashed>) -> Result<(), FollowError> {
        let path = self.0.join("held");
        let mut lines: Vec<String> = held.map(held_line).collect();
        lines.sort();
        lines.dedup();
        let text = lines.concat();
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        fsx::replace_synced(&path, text.as_bytes()).map_err(FollowError::local(path))
    }

    /// Adds one.
    pub(super) fn hold_one(&self, hashed: &Hashed) -> Result<(), FollowError> {
        let path = self.0.join("held");
        fsx::add_line(&path, &held_line(hashed), Lasting::Cached).map_err(FollowError::local(path))
    }

    /// Removes what is neither of the snapshot that was published last nor of the one that is coming: however many runs
    /// are late, no more than that is kept (`runs_that_are_late_keep_no_more_than_two_snapshots`). Nothing is removed where
    /// one of their databases cannot be read. Returns the paths of what is listed.
    pub(super) fn keep_listed(&self, memory: &FollowMemory) -> Option<HashSet<PathBuf>> {
        let mut kept = HashSet::new();
        let snapshots = memory.snapshot.iter().chain(&memory.coming);
        for database in snapshots.flat_map(|snapshot| snapshot.databases.values()) {
            kept.extend(database.digests().map(|sha256| self.database(sha256)));
            let file = fsx::open_read(&self.database(database.sha256)).ok()?;
            let read = syncdb::read::<DatabaseError>(&file, &Limits::default(), |package| {
                kept.extend(
                    package.sha256.into_iter().flat_map(|sha256| [self.package(sha256), self.signature(sha256)]),
                );
                Ok(())
            });
            read.ok()?;
        }
        self.sweep(&kept);
        Some(kept)
    }

    /// Removes databases, packages and signatures whose path is not in `kept`.
    pub(super) fn sweep(&self, kept: &HashSet<PathBuf>) {
        for part in ["databases", "packages", "signatures"] {
            for old in fs::read_dir(self.0.join(part)).into_iter().flatten().flatten() {
                if !kept.contains(&old.path()) {
                    // A file that cannot be removed now is removed next time.
                    let _ = fs::remove_file(old.path());
                }
            }
        }
    }
}

/// Returns the directory of a state directory in which a mirror is followed.
pub(super) fn dir_in(state_dir: &Path) -> PathBuf {
    state_dir.join("follow")
}

fn held_line(Hashed { sha256, size, cid, dag_size, .. }: &Hashed) -> String {
    format!("{sha256} {size} {cid} {dag_size}\n")
}

fn read_held(line: &str) -> Option<Hashed> {
    let mut words = line.split(' ');
    let sha256: Sha256 = words.next()?.parse().ok()?;
    let size: u64 = words.next()?.parse().ok()?;
    let cid: BlockCid = words.next()?.parse().ok()?;
    let dag_size: u64 = words.next()?.parse().ok()?;
    Some(held(sha256, size, cid, dag_size))
}

/// Makes the facts about a file that is not on this disk.
fn held(sha256: Sha256, size: u64, cid: BlockCid, dag_size: u64) -> Hashed {
    let key = FileKey { dev: 0, ino: 0, size, mtime_ns: 0, ctime_ns: 0 };
    Hashed { cid, sha256, size, dag_size, key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_read_again_and_damaged_lines_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let place = FollowPlace::open(dir.path().join("follow")).unwrap();
        let digest = Sha256::of(b"a");
        let one = held(digest, 1, BlockCid::raw(digest), 1);
        place.hold([&one, &one].into_iter()).unwrap();
        let path = dir.path().join("follow/held");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
        fs::write(&path, format!("x y\n{text}{} 1 broken 1\n", Sha256::of(b"b"))).unwrap();
        assert_eq!(place.held(), HashMap::from([(digest, one)]));
    }

    #[test]
    fn a_line_that_was_cut_short_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = FollowPlace::open(dir.path().to_owned()).unwrap();
        let all = [b"a", b"b", b"c"].map(|bytes| held(Sha256::of(bytes), 1, BlockCid::raw(Sha256::of(bytes)), 1));
        place.hold([&all[0]].into_iter()).unwrap();
        let torn = fs::read_to_string(dir.path().join("held")).unwrap() + "0123";
        fs::write(dir.path().join("held"), torn).unwrap();
        for hashed in &all[1..] {
            place.hold_one(hashed).unwrap();
        }
        assert_eq!(place.held(), all.iter().map(|hashed| (hashed.sha256, *hashed)).collect());
    }

    #[test]
    fn a_damaged_memory_is_an_error_and_what_is_not_kept_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let place = FollowPlace::open(dir.path().to_owned()).unwrap();
        assert_eq!(place.memory().unwrap().compared, 0, "a first run has none");
        let memory = FollowMemory { compared: 7, ..FollowMemory::default() };
        place.save(&memory).unwrap();
        assert_eq!(place.memory().unwrap().compared, 7);
        for damaged in ["{", ""] {
            fs::write(dir.path().join("followed.json"), damaged).unwrap();
            assert!(matches!(place.memory(), Err(FollowError::Memory { .. })), "{damaged:?}");
        }
        let (old, kept) = (place.package(Sha256::of(b"old")), place.database(Sha256::of(b"kept")));
        for path in [&old, &kept] {
            fs::write(path, "x").unwrap();
        }
        place.sweep(&HashSet::from([kept.clone()]));
        assert!(!old.exists() && kept.exists());
    }
}
