//! The plain copy for HTTP: manifest, signature, tables, root blocks and record as files of a directory.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use futures_util::future::LocalBoxFuture;

use super::super::last::{PublishedIndex, PublisherMemory};
use super::super::page::PAGE;
use super::super::seal::Sealed;
use super::super::tree::Tree;
use super::super::{Phase, PublishError, PublishOptions};
use super::{Placement, PublishTarget, TargetOffer, TargetView};
use crate::base::digest::Sha256;
use crate::base::fsx::{self, Lasting, ReplaceOptions, Replacement};

/// A directory, or none: then a publication without Kubo is built, signed, and goes nowhere.
pub(in super::super) struct CopyTarget<'a> {
    pub(in super::super) options: &'a PublishOptions,
    /// True if no name is published with it, and so no record belongs to it.
    pub(in super::super) is_alone: bool,
}

impl CopyTarget<'_> {
    fn former<'m>(&self, memory: &'m PublisherMemory) -> Option<&'m PublishedIndex> {
        if self.is_alone { memory.offline.as_ref() } else { memory.online.as_ref() }
    }

    /// True if the plain copy, if one is configured, is that of `index`.
    fn is_written(&self, index: &PublishedIndex) -> bool {
        self.options.out.as_ref().is_none_or(|out| {
            fs::read(out.join("pkgswarm.json")).is_ok_and(|bytes| Sha256::of(&bytes) == index.manifest)
        })
    }
}

impl PublishTarget for CopyTarget<'_> {
    fn label(&self) -> String {
        match &self.options.out {
            Some(out) => format!("the plain copy in {}", out.display()),
            None => "the memory of the publisher".to_owned(),
        }
    }

    fn look<'a>(
        &'a mut self,
        tree: &'a Tree,
        memory: &'a PublisherMemory,
    ) -> LocalBoxFuture<'a, Result<TargetView, PublishError>> {
        Box::pin(async move {
            let same = self.former(memory).filter(|index| index.content == tree.fingerprint).cloned();
            let is_current =
                same.as_ref().is_some_and(|index| index.is_fresh(self.options.now) && self.is_written(index));
            Ok(TargetView { same, is_current, floor: 0, name: None })
        })
    }

    /// Without a new record clients would find a manifest that the old one does not lead to.
    fn check<'a>(
        &'a mut self,
        _sealed: &'a Sealed<'a>,
        is_signed: bool,
        _progress: &'a mut dyn FnMut(Phase, u64, u64),
    ) -> LocalBoxFuture<'a, Result<(), PublishError>> {
        let may_be = self.is_alone || is_signed;
        Box::pin(async move { if may_be { Ok(()) } else { Err(PublishError::Unsigned) } })
    }

    fn place<'a>(&'a mut self, offer: TargetOffer<'a>) -> LocalBoxFuture<'a, Result<Placement, PublishError>> {
        Box::pin(async move {
            let record = match (self.is_alone, offer.signed) {
                (true, _) => None,
                (false, Some(signed)) => signed.bytes.as_deref(),
                (false, None) => return Err(PublishError::Unsigned),
            };
            if self.is_alone {
                // The files that a daemon has matter; a copy has none.
                offer.memory.offline =
                    Some(PublishedIndex { files: HashSet::new(), ..PublishedIndex::of(offer.sealed, None) });
                offer.memory.save(&self.options.state_dir)?;
            }
            if let Some(out) = &self.options.out {
                write(out, offer.sealed, record)?;
            }
            Ok(Placement::default())
        })
    }
}

fn remove(path: &Path) -> Result<(), PublishError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PublishError::Io { path: path.to_owned(), error }),
        _ => Ok(()),
    }
}

/// Removes the files that a killed run has left in `dir` before they had a name.
fn sweep_unnamed(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(fsx::TEMPORARY)) {
        // One that cannot be removed now is removed next time.
        let _ = fs::remove_file(entry.path());
    }
}

/// Writes the copy. All of it is on the disk before the first file gets its name, so that hardly a moment lies between
/// the first and the last: a copy that is cut short there is refused by clients, which keep what they have, until the
/// next run has completed it. The manifest comes last: a first copy that is cut short has none. Diffs of a former manifest
/// alone are removed; root blocks are when all targets are done.
fn write(out: &Path, sealed: &Sealed<'_>, record: Option<&[u8]>) -> Result<(), PublishError> {
    let tables = sealed.tree.packed.iter().map(|(path, packed)| (path, packed));
    let lists = sealed.diffs.iter().chain(tables).map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    let minisig = sealed.minisig.as_ref().map(|minisig| minisig.as_bytes());
    let proofs = [("pkgswarm.ipns-record", record), ("pkgswarm.json.minisig", minisig)];
    let files: Vec<(PathBuf, &[u8])> = lists
        .chain([("pkgswarm.root", sealed.root_block.as_slice()), (PAGE, sealed.page.as_bytes())])
        .chain(proofs.iter().filter_map(|(name, bytes)| Some((*name, (*bytes)?))))
        .chain([("pkgswarm.json", sealed.bytes.as_slice())])
        .map(|(name, bytes)| (out.join(name), bytes))
        .collect();
    for dir in files.iter().filter_map(|(path, _)| path.parent()).collect::<BTreeSet<_>>() {
        fs::create_dir_all(dir).map_err(|error| PublishError::Io { path: dir.to_owned(), error })?;
        sweep_unnamed(dir);
    }
    let options = ReplaceOptions { mode: 0o644, owner: None, lasting: Lasting::Synced };
    let prepared = files.into_iter().map(|(path, bytes)| {
        let replacement = Replacement::prepare(&path, &options, |to| to.write_all(bytes));
        replacement.map_err(|error| PublishError::Io { path, error })
    });
    let prepared: Vec<Replacement> = prepared.collect::<Result<_, _>>()?;
    for (name, _) in proofs.iter().filter(|(_, bytes)| bytes.is_none()) {
        remove(&out.join(name))?;
    }
    for replacement in prepared {
        replacement.commit().map_err(|error| PublishError::Io { path: out.to_owned(), error })?;
    }
    for table in &sealed.manifest.tables {
        let dir = out.join(table.diff_dir());
        for old in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = old.file_name();
            let is_diff = name.to_str().is_some_and(|name| name.ends_with(".ndjson.zst"));
            let is_listed = |path: &String| out.join(path) == old.path();
            if is_diff && !sealed.diffs.keys().any(is_listed) {
                // A file that cannot be removed now is removed next time.
                let _ = fs::remove_file(old.path());
            }
        }
    }
    Ok(())
}
