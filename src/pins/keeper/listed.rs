//! The files of an index that a keeper may hold, from the copy that the last refresh accepted.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::time::SystemTime;

use super::cost::cost;
use super::share::ShareFile;
use crate::base::cid::Cid;
use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::config::{KeepConfig, Settings};
use crate::index::in_use;
use crate::index::table::Reader;
use crate::lists::pacman::{names, vercmp};
use crate::trust::plan::Known;

/// A file of the index.
#[derive(Clone, Debug)]
pub(super) struct ShareEntry {
    /// The first repository that has it.
    pub(super) repo: RepoName,
    pub(super) name: FileName,
    pub(super) known: Known,
}

/// What the index lists.
#[derive(Default, Debug)]
pub(super) struct ShareIndex {
    pub(super) files: BTreeMap<Cid, ShareEntry>,
    /// The reason why nothing new is taken; then `files` may lack what is still kept.
    pub(super) not_in_force: Option<String>,
    /// A sentence for each repository of the share that the index does not have; then `files` may lack the same.
    pub(super) unlisted: Vec<String>,
}

impl ShareIndex {
    /// Reads the tables of the repositories that are kept.
    ///
    /// # Errors
    /// `Local` when there is a copy that cannot be read; a refresh replaces it.
    pub(super) fn read(settings: &Settings, keep: &KeepConfig) -> Result<Self, Error> {
        let none = |why: &str| Ok(Self { not_in_force: Some(why.to_owned()), ..Self::default() });
        let Some(index) = settings.indexes.iter().find(|index| index.name == keep.name) else {
            return none("it is not in use any more");
        };
        let unreadable = |e: &dyn std::fmt::Display| {
            Error::local(&keep.name, format!("the copy of the index cannot be read: {e}"))
                .hint(format!("pkgswarm index refresh {}", keep.name))
        };
        let held = in_use::state(settings).held(&in_use::copy_name(index)).map_err(|e| unreadable(&e))?;
        let Some(held) = held else { return none("it was never fetched") };
        let is_wanted = |repo: &RepoName| {
            index.may_describe(repo.as_str())
                && (keep.repos.is_empty() || keep.repos.iter().any(|kept| kept.text() == repo.as_str()))
        };
        let mut files = BTreeMap::new();
        for table in held.manifest.tables.iter().filter(|table| is_wanted(&table.repo)) {
            let file = File::open(held.table(table.sha256)).map_err(|e| unreadable(&e))?;
            for entry in Reader::plain(BufReader::new(file), table.entries) {
                let entry = entry.map_err(|e| unreadable(&e))?;
                let known = Known { size: entry.size, sha256: entry.sha256, root: Some(entry.cid) };
                files.entry(entry.cid).or_insert(ShareEntry { repo: table.repo.clone(), name: entry.name, known });
            }
        }
        if keep.newest {
            retain_newest(&mut files);
        }
        let is_in_force = in_use::is_in_force(settings, index, SystemTime::now()).map_err(|e| unreadable(&e))?;
        let not_in_force = (!is_in_force).then(|| "it has expired".to_owned());
        let listed: Vec<&str> = held.manifest.tables.iter().map(|table| table.repo.as_str()).collect();
        Ok(Self { files, not_in_force, unlisted: keep.unlisted(&listed) })
    }

    /// Lists the files for the rule, but for those that are left out.
    pub(super) fn shares(&self, is_left_out: impl Fn(&Cid) -> bool) -> Vec<ShareFile> {
        let files = self.files.iter().filter(|(cid, _)| !is_left_out(cid));
        files.map(|(cid, entry)| ShareFile { cid: *cid, size: cost(entry.known.size) }).collect()
    }
}

/// Drops the packages of which the same repository has a newer version. Files of another kind stay.
fn retain_newest(files: &mut BTreeMap<Cid, ShareEntry>) {
    let mut newest: BTreeMap<(RepoName, String, String), String> = BTreeMap::new();
    let key = |entry: &ShareEntry| {
        let parts = names::package(&entry.name)?;
        Some(((entry.repo.clone(), parts.name.to_owned(), parts.arch.to_owned()), parts.version.to_owned()))
    };
    for (key, version) in files.values().filter_map(key) {
        let known = newest.entry(key).or_insert_with(|| version.clone());
        if vercmp::compare(&version, known) == Ordering::Greater {
            *known = version;
        }
    }
    files.retain(|_, entry| key(entry).is_none_or(|(key, version)| newest[&key] == version));
}
