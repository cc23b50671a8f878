//! The fourth step: the places where a publication is put, each for itself.
//!
//! All are looked at first; where each has this content and more than half of its validity is left, nothing is
//! done. Else one publication is sealed for all of them. A target that fails leaves the others, and the failure is
//! said (`a_target_that_fails_leaves_the_others`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use futures_util::future::LocalBoxFuture;

use self::copy::CopyTarget;
use super::chain::Chain;
use super::last::{PublishedIndex, PublisherMemory};
use super::record::{ArchiveRecord, RepoRecord};
use super::seal::{Sealed, seal};
use super::tree::Tree;
use super::{Did, Phase, PublishError, PublishOptions, PublishReport};
use crate::index::ipns::Name;

mod check;
pub(super) mod copy;
pub(super) mod kubo;
mod upload;

/// What a target shows before anything is sealed.
pub(super) struct TargetView {
    /// The last publication there, if it has the content of this tree.
    pub(super) same: Option<PublishedIndex>,
    /// True if that one is in place and need not be renewed.
    pub(super) is_current: bool,
    /// Highest sequence that was seen there. The next one is higher.
    pub(super) floor: u64,
    /// The name that it publishes under.
    pub(super) name: Option<Name>,
}

/// The record of the name, which a target has signed for the publication.
pub(super) struct SignedRecord {
    /// Its bytes, where the target gives them out.
    pub(super) bytes: Option<Vec<u8>>,
}

/// A publication to be placed.
pub(super) struct TargetOffer<'a> {
    pub(super) sealed: &'a Sealed<'a>,
    pub(super) memory: &'a mut PublisherMemory,
    pub(super) progress: &'a mut dyn FnMut(Phase, u64, u64),
    /// The record of the name, if a target before this one has signed it.
    pub(super) signed: Option<&'a SignedRecord>,
}

/// The result of placing a publication at one target.
#[derive(Default)]
pub(super) struct Placement {
    /// Files that it did not have.
    pub(super) new_files: usize,
    /// Bytes of blocks that were sent.
    pub(super) sent: u64,
    pub(super) signed: Option<SignedRecord>,
    pub(super) warnings: Vec<String>,
}

/// A place where publications are put.
pub(super) trait PublishTarget {
    /// Returns what it is called in messages.
    fn label(&self) -> String;
    /// Looks at what is there. Changes nothing that clients see.
    fn look<'a>(
        &'a mut self,
        tree: &'a Tree,
        memory: &'a PublisherMemory,
    ) -> LocalBoxFuture<'a, Result<TargetView, PublishError>>;
    /// Refuses what cannot be placed, before a sequence is used up and anything is sent. `is_signed` is true if a
    /// target before this one is going to sign the name.
    fn check<'a>(
        &'a mut self,
        _sealed: &'a Sealed<'a>,
        _is_signed: bool,
        _progress: &'a mut dyn FnMut(Phase, u64, u64),
    ) -> LocalBoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }
    /// Places it. After a failure the former publication is there, or this one in part, and the next run continues.
    fn place<'a>(&'a mut self, offer: TargetOffer<'a>) -> LocalBoxFuture<'a, Result<Placement, PublishError>>;
}

/// A target that did not get the publication.
#[derive(Debug)]
pub struct TargetFailure {
    /// The target.
    pub(crate) target: String,
    /// The reason.
    pub(crate) error: PublishError,
}

/// Adds the plain copy to targets that sign the name: if a directory is configured, or if there is no other target.
///
/// A copy without a directory beside a signer would be served by doing nothing, and a sequence used up with it
/// (`where_no_target_can_be_served_the_first_says_why_and_no_sequence_is_used_up`).
pub(super) fn with_copy<'t>(
    options: &'t PublishOptions,
    signers: Vec<Box<dyn PublishTarget + 't>>,
) -> Vec<Box<dyn PublishTarget + 't>> {
    let is_alone = signers.is_empty();
    let mut targets = signers;
    if is_alone || options.out.is_some() {
        targets.push(Box::new(CopyTarget { options, is_alone }));
    }
    targets
}

/// Publishes `tree` at all `targets`, in their order.
///
/// # Errors
/// That of the first target, when no target could be served. Else the failures are in the report.
pub(super) async fn publish(
    targets: &mut [Box<dyn PublishTarget + '_>],
    options: &PublishOptions,
    tree: &Tree,
    memory: &mut PublisherMemory,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<PublishReport, PublishError> {
    let labels: Vec<String> = targets.iter().map(|target| target.label()).collect();
    let (mut views, mut failed) = (Vec::new(), Vec::new());
    let mut due = Vec::new();
    for target in targets {
        match target.look(tree, memory).await {
            Ok(view) => {
                due.push((target, view.name.is_some()));
                views.push(view);
            }
            Err(error) => failed.push(TargetFailure { target: target.label(), error }),
        }
    }
    let name = views.iter().find_map(|view| view.name);
    let same = views.first().and_then(|view| view.same.as_ref());
    if let (Some(index), true, true) = (same, failed.is_empty(), views.iter().all(|view| view.is_current)) {
        return Ok(report(Did::Unchanged, index, tree, name, labels));
    }
    let did = if same.is_some() { Did::Renewed } else { Did::Published };
    let floor = views.iter().map(|view| view.floor).max().unwrap_or(0);
    let sequence = options.now.max(memory.sequence.max(floor) + 1);
    let sealed = seal(options, tree, sequence, &memory.tables, name.as_ref())?;
    let (mut ready, mut is_signed) = (Vec::new(), false);
    for (target, signs) in due {
        match target.check(&sealed, is_signed, progress).await {
            Ok(()) => {
                ready.push(target);
                is_signed |= signs;
            }
            Err(error) => failed.push(TargetFailure { target: target.label(), error }),
        }
    }
    if !ready.is_empty() {
        give_out(options, &sealed, memory)?;
    }
    let mut done = report(did, &PublishedIndex::of(&sealed, name.as_ref()), tree, name, labels);
    let (mut signed, mut placed) = (None, 0);
    for target in ready {
        let offer = TargetOffer { sealed: &sealed, memory, progress, signed: signed.as_ref() };
        match target.place(offer).await {
            Ok(placement) => {
                placed += 1;
                done.new_files += placement.new_files;
                done.sent += placement.sent;
                done.warnings.extend(placement.warnings);
                signed = placement.signed.or(signed);
            }
            Err(error) => failed.push(TargetFailure { target: target.label(), error }),
        }
    }
    match failed.is_empty() || placed > 0 {
        true => Ok(PublishReport { failed, ..done }),
        false => Err(failed.swap_remove(0).error),
    }
}

/// Records the sequence and its tables as published, before anything else happens.
fn give_out(options: &PublishOptions, sealed: &Sealed<'_>, memory: &mut PublisherMemory) -> Result<(), PublishError> {
    let chain = Chain::at(&options.state_dir);
    let archives = &sealed.tree.archives;
    let packed = archives.values().map(|archive| &archive.packed).chain(sealed.diffs.values());
    chain.keep(sealed.tree.plain.iter().map(|table| &table[..]), packed.map(|bytes| &bytes[..]))?;
    memory.sequence = sealed.manifest.sequence;
    memory.tables = sealed.links.clone();
    // Together: what left between two tables is in the archive of the second.
    memory.archives = archives.iter().map(|(key, archive)| (key.clone(), archive.link.clone())).collect();
    memory.save(&options.state_dir)?;
    chain.sweep(memory.tables.values(), memory.archives.values().map(|archive| archive.packed.0));
    Ok(())
}

fn report(did: Did, index: &PublishedIndex, tree: &Tree, name: Option<Name>, targets: Vec<String>) -> PublishReport {
    let repos = tree.tables.iter().zip(&tree.states).map(|(table, state)| RepoRecord {
        repo: table.repo.to_string(),
        arch: table.arch.clone(),
        packages: state.packages,
        size: state.size,
        lastupdate: state.lastupdate,
        unlisted: state.backlog.packages,
        unlisted_bytes: state.backlog.bytes,
        archive: state.archive.map(|archive| ArchiveRecord {
            files: archive.files,
            with_bytes: archive.kept,
            size: archive.size,
            since: archive.since,
            oldest: archive.oldest,
        }),
    });
    PublishReport {
        did,
        root: index.root,
        sequence: index.sequence,
        created: index.created,
        expires: index.expires,
        repos: repos.collect(),
        targets,
        name,
        files: tree.count,
        backlog: tree.backlog(),
        bare: tree.bare,
        new_files: 0,
        sent: 0,
        warnings: tree.warnings.clone(),
        late: None,
        failed: Vec::new(),
        holders: None,
    }
}

#[cfg(test)]
mod tests;
