//! The statements of the indexes in use about a database: its permitted bytes, and whole snapshots of a
//! repository.
//!
//! The manifest is read here, a few kilobytes of JSON, because a `-Sy` asks for few databases; packages never are
//! looked up this way.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::config::IndexConfig;
use crate::engine::deliver::Candidate;
use crate::engine::want::{self, Want};
use crate::index::in_use;
use crate::index::manifest::{Database, MANIFEST_MOST, Manifest, TableContent};
use crate::index::time::span;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::trust::plan::Expect;
use crate::trust::plan::Plan;

/// One state of a repository, as a proven, unexpired index describes it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The index's name.
    pub(crate) index: String,
    /// The index's sequence.
    pub(crate) sequence: u64,
    /// The database that was asked for.
    pub(crate) database: Database,
    /// Its signature, where the publisher has one.
    pub(crate) signature: Option<Database>,
    /// True unless its publisher says that it has no packages, or has something to say that is not known here.
    has_packages: bool,
    /// The compiled table that belongs to it.
    table: PathBuf,
}

/// Returns the newest snapshot that any index in use has of the database `want`, by the date at its publisher.
pub(crate) fn newest(lists: &Lists, want: &Want) -> Option<Snapshot> {
    newest_of(lists, want, |_| true)
}

/// Does the same among those whose publisher does not say that it lacks the packages that are new in it.
pub(crate) fn newest_with_packages(lists: &Lists, want: &Want) -> Option<Snapshot> {
    newest_of(lists, want, |snapshot| snapshot.has_packages)
}

fn newest_of(lists: &Lists, want: &Want, is_wanted: impl Fn(&Snapshot) -> bool) -> Option<Snapshot> {
    let repo = &want.repo.as_ref()?.name;
    let now = SystemTime::now();
    let indexes = lists.machine().settings.indexes.iter();
    let found = indexes.filter_map(|index| of(lists, index, repo, &want.name, now)).filter(is_wanted);
    found.max_by_key(|snapshot| (snapshot.database.modified, snapshot.sequence))
}

fn of(lists: &Lists, index: &IndexConfig, repo: &RepoName, name: &FileName, now: SystemTime) -> Option<Snapshot> {
    if !index.may_describe(repo.as_str()) {
        return None;
    }
    let (state, own, now) =
        (in_use::state(&lists.machine().settings), in_use::copy_name(index), clock::checked_unix(now)?);
    if !state.is_in_force(&own, now).ok()? {
        return None;
    }
    let arch = lists.arch();
    let table = state.catalogue_path(&own, repo, &arch);
    let file = fsx::open_trusted(&table.with_file_name("pkgswarm.json")).ok()??;
    let bytes = fsx::read_up_to(file, MANIFEST_MOST as u64).ok()??;
    let manifest = Manifest::decode(&bytes).ok()?;
    manifest.check_time(now).ok()?;
    let listed = manifest.tables.into_iter().find(|table| table.repo == *repo && table.arch == arch)?;
    let named = |name: &str| listed.databases.iter().find(|database| database.name.as_str() == name).cloned();
    let database = named(name.as_str())?;
    let signature = named(&format!("{name}.sig"));
    let has_packages = listed.content.is_none_or(TableContent::has_new);
    let (index, sequence) = (index.name.clone(), manifest.sequence);
    Some(Snapshot { index, sequence, database, signature, has_packages, table })
}

impl Snapshot {
    /// Plans exactly this database.
    pub(crate) fn plan(&self) -> Plan {
        let Database { sha256, size, .. } = self.database;
        Plan { cid: self.database.cid(), ..Plan::without_cid(Expect::Exact { sha256, size }) }
    }

    /// Returns the peers to ask for it that are not known to be down. The user added the index for this
    /// repository, so peers may learn of the request.
    pub(crate) fn by_content(&self, call: &Call) -> Vec<Candidate> {
        let mut candidates = want::by_content(&call.machine, &self.plan());
        candidates.retain(|candidate| !candidate.host().is_some_and(|host| call.health.is_down(&host)));
        candidates
    }

    /// Describes the index and its age: `index arch, 5 h old`.
    pub(crate) fn described(&self) -> String {
        let now = clock::now();
        let age = span(now.saturating_sub(self.database.modified.unwrap_or(self.sequence)));
        format!("index {}, {age} old", self.index)
    }

    /// Keeps the table beside the database, for as long as that is in use: the index itself may move on before pacman
    /// asks for the packages, and a file of more than 1 MiB cannot be asked of peers without its root.
    ///
    /// # Errors
    /// Those of the file system; the snapshot must not be used then.
    pub(crate) fn keep_table(&self, to: &std::path::Path) -> io::Result<()> {
        let mut table = fsx::open_trusted(&self.table)?.ok_or(io::ErrorKind::NotFound)?;
        fsx::replace_synced_by(to, |to| io::copy(&mut table, to).map(drop))
    }

    /// Returns the origin of the delivered database as text, for the request of its signature that follows.
    pub(crate) fn origin(&self) -> String {
        match &self.signature {
            Some(signature) => format!("index:{}:{}:{}", self.index, signature.size, signature.sha256),
            None => format!("index:{}", self.index),
        }
    }
}

/// Reads [`Snapshot::origin`]: the index, and size and sha256 of the signature that belongs to the database.
pub(crate) fn read_origin(text: &str) -> Option<(&str, Option<(u64, Sha256)>)> {
    let mut parts = text.strip_prefix("index:")?.split(':');
    let index = parts.next()?;
    let signature = parts.next().zip(parts.next());
    Some((index, signature.and_then(|(size, sha256)| Some((size.parse().ok()?, sha256.parse().ok()?)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_tells_index_and_signature() {
        let sha256 = Sha256::of(b"signature");
        assert_eq!(read_origin(&format!("index:arch:310:{sha256}")), Some(("arch", Some((310, sha256)))));
        assert_eq!(read_origin("index:arch"), Some(("arch", None)));
        assert_eq!(read_origin("http://m/core.db"), None);
    }
}
