//! Two indexes of the same repositories, entry by entry: publishers that follow one upstream say the same of each file, and
//! lack at most what the other has had for hours.

use std::collections::BTreeMap;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::name::FileName;
use crate::config::{IndexConfig, Settings};
use crate::index::in_use;
use crate::index::manifest::{Manifest, Table};
use crate::lists::catalogue::{Catalogue, CatalogueEntry};

/// What an index says of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SaidEntry {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    /// `None` for a file that has no root under our profile.
    pub(crate) cid: Option<Cid>,
    /// The sha256 of its signature.
    pub(crate) signature: Option<Sha256>,
}

/// A file about which two indexes do not say the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ComparedEntry {
    /// `core x86_64`
    pub(crate) table: String,
    pub(crate) name: FileName,
    /// What each says; `None` where it does not list the file.
    pub(crate) sides: [Option<SaidEntry>; 2],
}

/// Two indexes, compared.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Comparison {
    /// Files of which both say the same.
    pub(crate) alike: usize,
    /// All others, table by table, sorted by name.
    pub(crate) entries: Vec<ComparedEntry>,
    /// Tables that both have.
    pub(crate) tables: Vec<String>,
}

/// An index on this machine, to be compared.
pub(crate) struct ComparedIndex<'s> {
    settings: &'s Settings,
    index: &'s IndexConfig,
    /// Its manifest.
    pub(crate) manifest: Manifest,
}

impl<'s> ComparedIndex<'s> {
    /// Opens the copy of an index; `None` when it was never fetched.
    ///
    /// # Errors
    /// When the copy cannot be read by this user.
    pub(crate) fn open(settings: &'s Settings, index: &'s IndexConfig) -> Result<Option<Self>, Error> {
        let held = in_use::state(settings).held(&in_use::copy_name(index));
        let held = held.map_err(|e| Error::local(settings.state_dir.display(), e))?;
        Ok(held.map(|held| Self { settings, index, manifest: held.manifest }))
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.manifest.tables.iter().filter(|table| self.index.may_describe(table.repo.as_str()))
    }

    fn entries(&self, table: &Table) -> Result<BTreeMap<FileName, SaidEntry>, Error> {
        let path =
            in_use::state(self.settings).catalogue_path(&in_use::copy_name(self.index), &table.repo, &table.arch);
        let wrong = |e: &dyn std::fmt::Display| Error::local(path.display(), e).hint("pkgswarm index refresh");
        let catalogue = Catalogue::open(&path).map_err(|e| wrong(&e))?;
        let Some(catalogue) = catalogue else { return Err(wrong(&"the table is missing")) };
        let said = |entry: CatalogueEntry| {
            let signature = entry.signature.map(|signature| signature.sha256);
            let said = SaidEntry { size: entry.size, sha256: entry.sha256, cid: entry.cid(), signature };
            (entry.name, said)
        };
        catalogue.iter().map(|entry| entry.map(said)).collect::<Result<_, _>>().map_err(|e| wrong(&e))
    }
}

impl Comparison {
    /// Compares every table that both have.
    ///
    /// # Errors
    /// When one of them cannot be read by this user.
    pub(crate) fn of(one: &ComparedIndex<'_>, other: &ComparedIndex<'_>) -> Result<Self, Error> {
        let mut out = Self::default();
        for table in one.tables() {
            let Some(theirs) = other.tables().find(|it| (&it.repo, &it.arch) == (&table.repo, &table.arch)) else {
                continue;
            };
            let called = format!("{} {}", table.repo, table.arch);
            out.add(&called, one.entries(table)?, other.entries(theirs)?);
            out.tables.push(called);
        }
        Ok(out)
    }

    fn add(&mut self, table: &str, one: BTreeMap<FileName, SaidEntry>, mut other: BTreeMap<FileName, SaidEntry>) {
        let mut entries = Vec::new();
        for (name, said) in one {
            match other.remove(&name) {
                Some(theirs) if theirs == said => self.alike += 1,
                theirs => entries.push((name, [Some(said), theirs])),
            }
        }
        entries.extend(other.into_iter().map(|(name, said)| (name, [None, Some(said)])));
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let entry = |(name, sides)| ComparedEntry { table: table.to_owned(), name, sides };
        self.entries.extend(entries.into_iter().map(entry));
    }

    /// Counts the files of which they say different things.
    pub(crate) fn differing(&self) -> usize {
        self.entries.iter().filter(|entry| entry.sides.iter().all(Option::is_some)).count()
    }

    /// Counts the files that only the first or the second lists.
    pub(crate) fn alone(&self, side: usize) -> usize {
        self.entries.iter().filter(|entry| entry.sides[side].is_some() && entry.sides[1 - side].is_none()).count()
    }
}
