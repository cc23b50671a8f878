//! The history of the tables: the last one of each repo, and the diffs that lead to it.
//!
//! Kept in the publisher's state directory under the sha256 of their content. A missing or damaged file costs
//! clients a whole table once, and is never an error.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DIFFS_KEPT, PublishError};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::index::diff::Changes;
use crate::index::manifest::{DIFF_MOST, Diff, Table};
use crate::index::table::PLAIN_MOST;

/// The last published state of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChainLink {
    /// The sequence that it was first published with.
    pub(super) changed: u64,
    /// Digest of the uncompressed table.
    pub(super) sha256: Sha256,
    /// Oldest first.
    pub(super) diffs: Vec<Diff>,
}

/// Returns a table's key: `<repo>-<arch>`.
pub(super) fn table_key(table: &Table) -> String {
    format!("{}-{}", table.repo, table.arch)
}

/// The directory of the files.
pub(super) struct Chain {
    dir: PathBuf,
}

impl Chain {
    pub(super) fn at(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("tables") }
    }

    /// Returns the state to publish with `sequence` for the table `plain`, which takes `whole` bytes compressed:
    /// the state after `before`, and the bytes of its diffs.
    pub(super) fn next(
        &self,
        before: Option<&ChainLink>,
        plain: &[u8],
        whole: u64,
        sequence: u64,
    ) -> (ChainLink, Vec<Vec<u8>>) {
        let sha256 = Sha256::of(plain);
        let mut link = match before {
            Some(before) if before.sha256 == sha256 => before.clone(),
            _ => ChainLink { changed: sequence, sha256, diffs: Vec::new() },
        };
        let mut diffs: Vec<(Diff, Vec<u8>)> = Vec::new();
        for diff in before.iter().flat_map(|before| &before.diffs) {
            match self.read(diff.sha256, "ndjson.zst", DIFF_MOST) {
                Some(bytes) => diffs.push((*diff, bytes)),
                // Diffs before a gap lead nowhere.
                None => diffs.clear(),
            }
        }
        if let Some(before) = before.filter(|before| before.changed < link.changed) {
            let old = self.table(before.sha256);
            let changes = old.and_then(|old| Changes::between(&old[..], plain).ok());
            match changes.and_then(|changes| changes.pack()) {
                Some(bytes) => {
                    let (size, sha256) = (bytes.len() as u64, Sha256::of(&bytes));
                    diffs.push((Diff { from: before.changed, size, sha256 }, bytes));
                }
                None => diffs.clear(),
            }
        }
        let total = |diffs: &[(Diff, Vec<u8>)]| diffs.iter().map(|(diff, _)| diff.size).sum::<u64>();
        while diffs.len() > DIFFS_KEPT || (!diffs.is_empty() && total(&diffs) >= whole) {
            diffs.remove(0);
        }
        let (listed, bytes) = diffs.into_iter().unzip();
        link.diffs = listed;
        (link, bytes)
    }

    /// Returns the directory of the files.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads a compressed archive that was published, of so many bytes; `None` when it is not here any more.
    pub(super) fn packed(&self, sha256: Sha256, size: u64) -> Option<Vec<u8>> {
        self.read(sha256, "ndjson.zst", size)
    }

    /// Writes new tables, and what is compressed: diffs and archives. To be done before they count as published.
    pub(super) fn keep<'b>(
        &self,
        tables: impl Iterator<Item = &'b [u8]>,
        packed: impl Iterator<Item = &'b [u8]>,
    ) -> Result<(), PublishError> {
        let files = tables.map(|bytes| (bytes, "ndjson")).chain(packed.map(|bytes| (bytes, "ndjson.zst")));
        for (bytes, ending) in files {
            let path = self.path(Sha256::of(bytes), ending);
            let at = |error| PublishError::Io { path: path.clone(), error };
            fs::create_dir_all(&self.dir).map_err(at)?;
            if !fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64) {
                fsx::replace_synced(&path, bytes).map_err(at)?;
            }
        }
        Ok(())
    }

    /// Removes files that none of `links` needs, and that are none of these archives. To be done after both were saved.
    pub(super) fn sweep<'l>(&self, links: impl Iterator<Item = &'l ChainLink>, archives: impl Iterator<Item = Sha256>) {
        let mut needed: BTreeSet<PathBuf> = archives.map(|sha256| self.path(sha256, "ndjson.zst")).collect();
        for link in links {
            needed.insert(self.path(link.sha256, "ndjson"));
            needed.extend(link.diffs.iter().map(|diff| self.path(diff.sha256, "ndjson.zst")));
        }
        for old in fs::read_dir(&self.dir).into_iter().flatten().flatten().filter(|old| !needed.contains(&old.path())) {
            // A file that cannot be removed now is removed next time.
            let _ = fs::remove_file(old.path());
        }
    }

    /// Reads the last published state of a table; `None` when it is missing or damaged.
    pub(super) fn table(&self, sha256: Sha256) -> Option<Vec<u8>> {
        self.read(sha256, "ndjson", PLAIN_MOST)
    }

    fn path(&self, sha256: Sha256, ending: &str) -> PathBuf {
        self.dir.join(format!("{sha256}.{ending}"))
    }

    fn read(&self, sha256: Sha256, ending: &str, most: u64) -> Option<Vec<u8>> {
        let bytes = fsx::read_followed(&self.path(sha256, ending), most).ok()??;
        (Sha256::of(&bytes) == sha256).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a table of `count` entries, the first of them of this day.
    fn table(day: u64, count: u64) -> Vec<u8> {
        let line = |n| format!("{{\"name\":\"{n:04}\",\"sha256\":\"{}\"}}\n", Sha256::of(format!("{n}").as_bytes()));
        let first = format!("{{\"name\":\"0000\",\"sha256\":\"{}\"}}\n", Sha256::of(&day.to_le_bytes()));
        (first + &(1..count).map(line).collect::<String>()).into_bytes()
    }

    fn kept(chain: &Chain, link: &ChainLink, plain: &[u8], diffs: &[Vec<u8>]) {
        chain.keep([plain].into_iter(), diffs.iter().map(|diff| &diff[..])).unwrap();
        chain.sweep([link].into_iter(), std::iter::empty());
    }

    #[test]
    fn each_change_adds_a_diff_until_there_are_enough_and_the_same_table_adds_none() {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::at(dir.path());
        let mut last: Option<ChainLink> = None;
        for day in 0..DIFFS_KEPT as u64 + 5 {
            let (link, diffs) = chain.next(last.as_ref(), &table(day, 3), 1 << 20, 100 + day);
            kept(&chain, &link, &table(day, 3), &diffs);
            assert_eq!((link.changed, link.diffs.len()), (100 + day, DIFFS_KEPT.min(day as usize)));
            let (same, _) = chain.next(Some(&link), &table(day, 3), 1 << 20, 1000);
            assert_eq!(same, link);
            last = Some(link);
        }
        let link = last.unwrap();
        let from: Vec<u64> = link.diffs.iter().map(|diff| diff.from).collect();
        assert_eq!(from, (104..104 + DIFFS_KEPT as u64).collect::<Vec<_>>());
        let files = fs::read_dir(dir.path().join("tables")).unwrap().count();
        assert_eq!(files, DIFFS_KEPT + 1, "diffs and the last table, nothing older");
    }

    #[test]
    fn a_chain_stays_smaller_than_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::at(dir.path());
        let mut last: Option<ChainLink> = None;
        for day in 0..6 {
            let (link, diffs) = chain.next(last.as_ref(), &table(day, 3), 250, 100 + day);
            kept(&chain, &link, &table(day, 3), &diffs);
            assert!(link.diffs.iter().map(|diff| diff.size).sum::<u64>() < 250, "{link:?}");
            last = Some(link);
        }
        assert_eq!(last.unwrap().diffs.len(), 2);
    }

    #[test]
    fn a_damaged_chain_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::at(dir.path());
        let (first, diffs) = chain.next(None, &table(0, 3), 1 << 20, 100);
        kept(&chain, &first, &table(0, 3), &diffs);
        let (second, diffs) = chain.next(Some(&first), &table(1, 3), 1 << 20, 101);
        kept(&chain, &second, &table(1, 3), &diffs);
        fs::write(chain.path(second.diffs[0].sha256, "ndjson.zst"), "x").unwrap();
        let (third, diffs) = chain.next(Some(&second), &table(2, 3), 1 << 20, 102);
        assert_eq!((third.diffs[0].from, third.diffs.len()), (101, 1));
        kept(&chain, &third, &table(2, 3), &diffs);
        fs::remove_file(chain.path(third.sha256, "ndjson")).unwrap();
        let (fourth, _) = chain.next(Some(&third), &table(3, 3), 1 << 20, 103);
        assert_eq!(fourth, ChainLink { changed: 103, sha256: Sha256::of(&table(3, 3)), diffs: Vec::new() });
    }
}
