//! The indexes in use on this machine, as far as they may be offered to neighbours.
//!
//! Another user refreshes them, and this process does not rely on that user: each copy is proven again with the
//! configured keys, and its tables by their hashes, before any file is offered because of it.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::fsx::FileKey;
use crate::base::name::RepoName;
use crate::config::IndexConfig;
use crate::index::accept::{AcceptedIndex, Grant, IndexOffer, accept};
use crate::index::in_use;
use crate::index::manifest::Table;
use crate::index::passed::Passed;
use crate::index::state::{self, IndexCopy};
use crate::lists::catalogue::Catalogue;
use crate::machine::lists::Lists;
use crate::node::indexes;
use crate::node::shelf::{Shelf, Shelved};
use crate::store::Store;

/// A file that is offered because of its sha256, under any name.
pub(super) struct OfferedBySha256 {
    pub(super) path: PathBuf,
    /// The repository that it belongs to.
    pub(super) repo: String,
    pub(super) sha256: Sha256,
}

/// The offers and answers derived from the indexes in use.
#[derive(Default)]
pub(super) struct IndexesInUse {
    /// Answers to index requests, by key.
    pub(super) answers: HashMap<String, indexes::IndexAnswer>,
    /// Manifests and their proofs, tables, and the databases and signatures that they list.
    pub(super) files: Vec<OfferedBySha256>,
    /// The listed files of each repository.
    pub(super) tables: Vec<(RepoName, Catalogue)>,
}

impl IndexesInUse {
    /// Reads and proves all of them. Proven tables are put on `shelf`, because they are hashed anyway.
    pub(super) fn of(lists: &Lists, shelf: &Shelf, store: &Store) -> Self {
        let mut all = Self::default();
        for index in lists.machine().settings.indexes.iter().filter(|index| lists.machine().may_pass_on(index)) {
            // A copy that is not proven is skipped; `index refresh` tells why.
            all.add(lists, index, shelf, store);
        }
        all
    }

    fn add(&mut self, lists: &Lists, index: &IndexConfig, shelf: &Shelf, store: &Store) -> Option<()> {
        let (name, grant) = (in_use::copy_name(index), in_use::grant(index).ok()?);
        let held = in_use::state(&lists.machine().settings).held(&name).ok()??;
        let proofs = ["minisig", "ipns-record", "root"];
        let [minisig, record, root] = proofs.map(|kind| held.proof(kind));
        let offer = IndexOffer { manifest: held.bytes.clone(), minisig, record, root };
        let now = clock::now();
        let accepted = accept(&grant, None, &offer, now).ok()?;
        let shared: Vec<&Table> = grant.tables(&accepted.manifest).filter(|it| lists.may_share(&it.repo)).collect();
        let repo = &shared.first()?.repo;
        for (key, answer) in answers(&grant, &offer, &accepted, now) {
            self.answers.insert(key, answer);
        }
        let part = |path, bytes: &[u8]| OfferedBySha256 { path, repo: repo.to_string(), sha256: Sha256::of(bytes) };
        self.files.push(part(held.path(), &held.bytes));
        for (kind, bytes) in [("minisig", &offer.minisig), ("root", &offer.root)] {
            self.files.extend(bytes.as_ref().map(|bytes| part(held.proof_path(kind), bytes)));
        }
        for table in shared {
            let compiled = store.cache_dir().join(format!("{name}-{}-{}.catalogue", table.repo, table.arch));
            let Some(catalogue) = proven_table(&held, table, shelf, compiled) else { continue };
            let path = held.table(table.sha256);
            self.files.push(OfferedBySha256 { path, repo: table.repo.to_string(), sha256: table.sha256 });
            if table.arch == lists.arch() {
                self.tables.push((table.repo.clone(), catalogue));
                self.files.extend(databases(lists, table));
            }
        }
        Some(())
    }
}

/// Makes the answers to neighbours about an index: the same for each of its keys.
fn answers(
    grant: &Grant,
    offer: &IndexOffer,
    accepted: &AcceptedIndex,
    now: u64,
) -> Vec<(String, indexes::IndexAnswer)> {
    let record = grant.ipns.zip(offer.record.as_ref());
    let life = record.and_then(|(name, record)| Some(name.verify(record, now).ok()?.expires));
    let expires = accepted.manifest.expires.min(life.unwrap_or(u64::MAX));
    let manifest = Some(Cid::raw(accepted.seen.manifest));
    let passed = Passed { record: offer.record.clone(), manifest, minisig: offer.minisig.clone() };
    let answer = indexes::IndexAnswer { answer: passed.write().into(), expires };
    grant.keys().into_iter().map(|key| (key, answer.clone())).collect()
}

/// Returns a table of the copy `held` if it is the one in the manifest, compiled at `compiled` by and for this
/// user.
fn proven_table(held: &IndexCopy, table: &Table, shelf: &Shelf, compiled: PathBuf) -> Option<Catalogue> {
    let path = held.table(table.sha256);
    let known = shelf.at(&path).filter(|file| file.sha256 == table.sha256);
    let file = match known {
        Some(file) => file,
        None => {
            let file = Shelved::read(&path, table.repo.as_str()).ok()?;
            if file.sha256 != table.sha256 {
                return None;
            }
            shelf.add(file.clone());
            file
        }
    };
    let is_of = |catalogue: &Catalogue, key: FileKey| catalogue.matches(key) && file.is_current();
    if let Ok(Some(catalogue)) = Catalogue::open(&compiled)
        && is_of(&catalogue, file.key)
    {
        return Some(catalogue);
    }
    state::compile(&path, table, &compiled).ok()?;
    Catalogue::open(&compiled).ok().flatten().filter(|catalogue| is_of(catalogue, file.key))
}

/// Lists the sync databases of a repository and their signatures at pacman's paths, as the index lists them.
fn databases(lists: &Lists, table: &Table) -> Vec<OfferedBySha256> {
    let listed = table.databases.iter().filter_map(|database| {
        let path = lists.database_path(&database.name)?;
        Some(OfferedBySha256 { path, repo: table.repo.to_string(), sha256: database.sha256 })
    });
    listed.collect()
}
