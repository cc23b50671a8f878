//! The archive of a table: which files have left it, and how long that is remembered.
//!
//! What has left is told by the table that was published last, which the chain keeps. The archive that follows counts once
//! it is in the publisher's memory, in the same write as the new table: a run that is killed before finds the old pair
//! again, one that is killed after finds the new one. So nothing is lost, and nothing is there twice
//! (`a_publisher_that_is_killed_neither_loses_nor_doubles_what_left`).

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::PublishError;
use super::chain::{Chain, ChainLink};
use crate::base::cid::{BlockCid, Cid};
use crate::base::digest::Sha256;
use crate::base::name::FileName;
use crate::config::retention::RetentionRule;
use crate::index::archive::{self, ArchiveError, ArchivedEntry};
use crate::index::manifest::{ArchiveTable, Packed};
use crate::index::table::{self, Entry, Reader};
use crate::lists::pacman::names;

/// Seconds of a day. As with the content that is kept, a file grows old between two days.
const DAY: u64 = 86_400;
/// Most files that are remembered of one table, the last ones: a fifth of what readers take.
const FILES_MOST: usize = 200_000;

/// The archive of one table, as it was published last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArchiveLink {
    /// See [`ArchiveTable`], as for the next three.
    pub(super) since: u64,
    pub(super) entries: u64,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    /// Digest and size of the compressed archive.
    pub(super) packed: (Sha256, u64),
    /// Files that came into the table where no file of their package was, and since when, Unix seconds. All others came when
    /// their forerunner left.
    #[serde(default)]
    pub(super) came: BTreeMap<String, u64>,
}

/// What was published before, as far as the next tree depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FormerIndex<'a> {
    pub(super) tables: Option<&'a BTreeMap<String, ChainLink>>,
    pub(super) archives: Option<&'a BTreeMap<String, ArchiveLink>>,
    /// The files that the target of bytes has, with the pin of the last publication.
    pub(super) has: Option<&'a HashSet<BlockCid>>,
}

impl FormerIndex<'_> {
    /// True if the bytes of this file are there.
    pub(super) fn has(&self, cid: Cid) -> bool {
        self.has.is_some_and(|has| BlockCid::of(cid).is_some_and(|cid| has.contains(&cid)))
    }
}

/// The archive of one table, as it is to be published.
pub(super) struct KeptArchive {
    pub(super) link: ArchiveLink,
    /// The compressed archive.
    pub(super) packed: Vec<u8>,
    /// What is in it.
    pub(super) files: Vec<ArchivedEntry>,
    /// The reason why it begins anew.
    pub(super) warning: Option<String>,
}

impl KeptArchive {
    /// Makes the archive that follows on the former publication, once `plain` is the table. `now` in Unix seconds.
    pub(super) fn next(
        rule: &RetentionRule,
        chain: &Chain,
        key: &str,
        former: FormerIndex<'_>,
        plain: &[u8],
        now: u64,
    ) -> Result<Self, PublishError> {
        let link = former.archives.and_then(|archives| archives.get(key));
        let mut next = Self::opened(chain, key, link, now);
        let before = former.tables.and_then(|tables| tables.get(key));
        if before.is_none_or(|before| before.sha256 != Sha256::of(plain)) {
            let new = entries(plain)?;
            if let Some(before) = before {
                match chain.table(before.sha256).and_then(|old| entries(&old).ok()) {
                    Some(old) => next.follow(&old, &new, now),
                    None => next.begins_anew(key, "the table before is", now),
                }
            }
            // A file that was issued again under its name is that file from then on.
            next.files.retain(|file| new.get(&file.entry.name).is_none_or(|now| is_same(now, &file.entry)));
            let is_here = |name: &String| FileName::new(name.clone()).is_ok_and(|name| new.contains_key(&name));
            next.link.came.retain(|name, _| is_here(name));
        }
        next.retain(rule, now);
        next.write(chain, link)?;
        Ok(next)
    }

    /// Reads the last one.
    fn opened(chain: &Chain, key: &str, link: Option<&ArchiveLink>, now: u64) -> Self {
        let new = |link: Option<&ArchiveLink>| {
            let came = link.map(|link| link.came.clone()).unwrap_or_default();
            let none = Sha256::of(b"");
            let link = ArchiveLink { since: now, entries: 0, sha256: none, size: 0, packed: (none, 0), came };
            Self { link, packed: Vec::new(), files: Vec::new(), warning: None }
        };
        let Some(link) = link else { return new(None) };
        let mut files = Vec::new();
        let read = chain.packed(link.packed.0, link.packed.1).filter(|packed| {
            let read = archive::read(&packed[..], &link.table(), |file| {
                files.push(file);
                Ok::<(), ArchiveError>(())
            });
            read.is_ok()
        });
        match read {
            Some(packed) => Self { link: link.clone(), packed, files, warning: None },
            None => {
                let mut next = new(Some(link));
                next.begins_anew(key, "it is", now);
                next
            }
        }
    }

    /// Has it tell nothing of the time before `now`.
    fn begins_anew(&mut self, key: &str, what: &str, now: u64) {
        self.link.since = now;
        self.warning = Some(format!("the archive of {key} begins anew: {what} not here any more, or damaged"));
    }

    /// Adds what is in `old` and not in `new`.
    fn follow(&mut self, old: &BTreeMap<FileName, Entry>, new: &BTreeMap<FileName, Entry>, now: u64) {
        // After all that left before, whatever the clock says.
        let before = self.files.iter().map(|file| file.until + 1).max();
        let until = now.max(self.link.since).max(before.unwrap_or(0));
        let mut last: HashMap<String, u64> = HashMap::new();
        for file in &self.files {
            let until = last.entry(package(&file.entry.name)).or_default();
            *until = file.until.max(*until);
        }
        for (name, entry) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            let came = self.link.came.remove(name.as_str()).or_else(|| last.get(&package(name)).copied());
            let from = came.filter(|from| *from < until);
            self.files.push(ArchivedEntry { entry: entry.clone(), from, until });
        }
        let packages: HashSet<String> = old.keys().map(package).collect();
        let is_new = |name: &&FileName| !old.contains_key(*name) && !packages.contains(&package(name));
        self.link.came.extend(new.keys().filter(is_new).map(|name| (name.to_string(), until)));
    }

    /// Removes what is older than the rule allows.
    fn retain(&mut self, rule: &RetentionRule, now: u64) {
        let oldest = rule.age.map_or(0, |age| (now - now % DAY).saturating_sub(age.as_secs()));
        let versions = rule.versions.unwrap_or(u64::MAX);
        self.files.sort_by(|a, b| (b.until, &a.entry.name).cmp(&(a.until, &b.entry.name)));
        let (mut kept, mut of, mut since) = (0, HashMap::new(), self.link.since);
        self.files.retain(|file| {
            if file.until < oldest || kept == FILES_MOST {
                // Of the time before, it does not tell all any more.
                since = since.max(file.until);
                return false;
            }
            // The one after it says since when it was there.
            let count: &mut u64 = of.entry(package(&file.entry.name)).or_default();
            *count += 1;
            let stays = *count <= versions;
            kept += usize::from(stays);
            stays
        });
        self.link.since = since;
    }

    /// Compresses it, if it differs from the last one.
    fn write(&mut self, chain: &Chain, before: Option<&ArchiveLink>) -> Result<(), PublishError> {
        self.files.sort_by(|a, b| (&a.entry.name, a.until).cmp(&(&b.entry.name, b.until)));
        let plain =
            archive::write(&self.files).map_err(|error| PublishError::Io { path: chain.dir().to_owned(), error })?;
        let (sha256, size) = archive::measure(&plain);
        let is_same = before.is_some_and(|before| before.sha256 == sha256) && !self.packed.is_empty();
        if !is_same {
            self.packed = table::pack(&plain);
            self.link.packed = archive::measure(&self.packed);
        }
        (self.link.entries, self.link.sha256, self.link.size) = (self.files.len() as u64, sha256, size);
        Ok(())
    }
}

/// Chooses the files of all `archives` whose bytes are kept: those that are there, as many as the quota of the publication
/// allows, and the ones that left first go first. What several tables had counts once, and what is `current` does not.
pub(super) fn with_bytes<'a>(
    archives: impl Iterator<Item = &'a KeptArchive>,
    rule: &RetentionRule,
    former: FormerIndex<'_>,
    current: &HashSet<BlockCid>,
) -> HashSet<Cid> {
    let is_current = |cid: Cid| BlockCid::of(cid).is_some_and(|cid| current.contains(&cid));
    let files = archives.flat_map(|archive| &archive.files);
    let mut there: Vec<&ArchivedEntry> = files.filter(|file| former.has(file.entry.cid)).collect();
    there.sort_by(|a, b| (b.until, &a.entry.name).cmp(&(a.until, &b.entry.name)));
    let (mut room, mut chosen) = (rule.bytes.unwrap_or(u64::MAX), HashSet::new());
    let mut is_full = false;
    for Entry { cid, size, .. } in there.into_iter().map(|file| &file.entry) {
        if is_current(*cid) {
            chosen.insert(*cid);
        } else if !is_full && !chosen.contains(cid) {
            match room.checked_sub(*size) {
                Some(left) => {
                    room = left;
                    chosen.insert(*cid);
                }
                None => is_full = true,
            }
        }
    }
    chosen
}

impl ArchiveLink {
    /// Describes it for the manifest.
    pub(super) fn table(&self) -> ArchiveTable {
        let (sha256, size) = self.packed;
        // The CID is the tree's to know: reading needs none.
        let packed = Packed { cid: Cid::raw(sha256), sha256, size };
        ArchiveTable { since: self.since, entries: self.entries, sha256: self.sha256, size: self.size, packed }
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    (one.size, one.sha256) == (other.size, other.sha256)
}

/// Returns what a file is a version of: its package, pacman's or Haiku's (NAME-VERSION-REVISION-ARCH.hpkg), or itself.
fn package(name: &FileName) -> String {
    if let Some(parts) = names::package(name) {
        return parts.name.to_owned();
    }
    let of_haiku = name.as_str().strip_suffix(".hpkg").and_then(|stem| stem.rsplitn(4, '-').nth(3));
    of_haiku.unwrap_or(name.as_str()).to_owned()
}

fn entries(plain: &[u8]) -> Result<BTreeMap<FileName, Entry>, PublishError> {
    let lines = plain.iter().filter(|byte| **byte == b'\n').count() as u64;
    let read = Reader::plain(plain, lines).map(|entry| entry.map(|entry| (entry.name.clone(), entry)));
    read.collect::<Result<_, _>>()
        .map_err(|why| PublishError::Io { path: "the table".into(), error: std::io::Error::other(why.to_string()) })
}

#[cfg(test)]
mod tests;
