//! `publish`: from a directory made by repo-add or of Haiku's, or a mirror that is followed, to a signed index and a plain
//! tree under one IPNS name.
//!
//! ```text
//! collect      ->  tree           ->  seal                 ->  targets
//! Collection       Tree               Sealed                   PublishReport
//! repos, files     CIDs, tables       sequence, expiry,        Kubo with its name, the plain copy;
//! on this disk     and directories    diffs, signature         each fails for itself
//! ```
//!
//! Each step takes the value of the one before, and nothing but the last leaves this machine: a daemon receives
//! blocks and a root and decides nothing. Beside them stand the publisher's memory (`last`: the sequence that never
//! goes back; `chain`: the diffs; `hash`: files that need not be read again).
//!
//! # Room
//!
//! - In: a directory made by repo-add or of Haiku's, or mirrors; and a key
//! - Out: blocks, a signed manifest, a tree under one IPNS name
//! - May use: base, config, dag, engine, haiku, index, lists, machine, net, pins, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! error follower holders tests
//! record
//! chain hash
//! archive collect
//! kept
//! tree
//! follow page
//! joining
//! seal
//! last
//! targets
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::base::cid::{BlockCid, Cid};
use crate::base::name::RepoName;
use crate::config::ContentRule;
use crate::config::peer_address::PeerAddress;
use crate::config::retention::RetentionRule;
use crate::index::ipns::Name;
use crate::index::manifest::FUTURE_MOST;
use crate::index::minisign::{PublicKey, SecretKey};
use crate::net::kubo::{Kubo, KuboError};

mod archive;
mod chain;
mod collect;
mod error;
mod follow;
mod follower;
mod hash;
mod holders;
mod joining;
mod kept;
mod last;
mod page;
mod record;
mod seal;
mod targets;
mod tree;

use archive::FormerIndex;
use collect::collect;
pub use error::{FollowError, PublishError};
pub use follow::FollowOptions;
pub(crate) use follow::machine_in;
use follow::{ArrivedPin, ArrivedPins, BytesTo, arrived_count};
pub use follower::FollowerTemplate;
pub use holders::Holder;
pub(crate) use holders::{HolderApi, HolderReach, HolderRecord, HoldingWord, release};
use last::PublisherMemory;
pub(crate) use record::{ArchiveRecord, Backlog, PublicationRecord, RepoRecord, RunOutcome, RunRecord, RunWord};
use targets::PublishTarget;
pub use targets::TargetFailure;
use targets::kubo::KuboTarget;
use tree::Tree;

/// Most diffs that are kept for a table; fewer when they would not be smaller than the table.
///
pub(crate) use crate::index::diff::DIFFS_KEPT;

/// The parameters of a publication.
pub struct PublishOptions {
    /// The publisher's name in manifest and pins, at most 64 bytes.
    pub publisher: String,
    /// Directories made by repo-add or of Haiku's, images, or trees of them.
    pub dirs: Vec<PathBuf>,
    /// The key that must have signed lists of Haiku's, and images; `None` for any, or no signature.
    pub list_key: Option<PublicKey>,
    /// Mirrors to follow, beside them.
    pub follow: Option<FollowOptions>,
    /// The directory of this publisher's memory; for this publisher alone, kept between runs.
    pub state_dir: PathBuf,
    /// Repositories of the last publication that this one may leave out.
    pub drop: Vec<String>,
    /// The daemon's key to publish under; made if there is none of that name.
    pub key: String,
    /// Signs the manifest, when given.
    pub minisign: Option<SecretKey>,
    /// What is kept of the packages.
    pub content: ContentRule,
    /// How long superseded files are remembered; `None`: not at all.
    pub retention: Option<RetentionRule>,
    /// Validity of manifest and record. Default 48 h, as long as DHT servers keep records.
    pub lifetime: Duration,
    /// Time for which caches may keep the name's answer. Default 5 min, as in Kubo.
    pub ttl: Duration,
    /// `Server` URLs named in the manifest, by repo.
    pub upstream: BTreeMap<RepoName, Vec<String>>,
    /// Where clients may begin to look for what is published.
    pub find: FindHints,
    /// The directory for a plain copy of manifest, signature, tables, root blocks and record, to be served over
    /// HTTP.
    pub out: Option<PathBuf>,
    /// What shall pin the publication besides the daemon.
    pub holders: Vec<Holder>,
    /// What those are told who would hold it as followers of a cluster.
    pub followers: Option<FollowerTemplate>,
    /// Unix seconds.
    pub now: u64,
}

impl PublishOptions {
    /// Returns the directory of root blocks: in the plain copy, else beside the memory where they are all that is kept of
    /// some files; `None` where no root block is needed for itself.
    fn roots_dir(&self) -> Option<PathBuf> {
        let own = (self.content != ContentRule::All).then(|| self.own_roots());
        self.out.as_ref().map(|dir| dir.join(hash::ROOTS)).or(own)
    }

    /// Returns the one beside the memory.
    fn own_roots(&self) -> PathBuf {
        self.state_dir.join(hash::ROOTS)
    }
}

/// Addresses that the manifest names: with them a first look-up needs no search of the network.
#[derive(Clone, Default, Debug)]
pub struct FindHints {
    /// The publisher's own peers; public ones alone.
    pub(crate) peers: Vec<PeerAddress>,
    /// Trustless gateways; public https URLs.
    pub(crate) gateways: Vec<String>,
}

/// A step of the work, for progress. Units are bytes, except in [`Phase::Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Fetching packages from mirrors.
    Fetch,
    /// Reading databases; counted in files.
    Scan,
    /// Computing CIDs of files that changed.
    Hash,
    /// Before anything is sent: (bytes that the daemon's disk use will grow by, bytes that are free there). Where packages are
    /// sent as they come, first for them, then for the rest.
    Cost,
    /// Sending blocks to the daemon.
    Upload,
    /// Reading them back.
    Check,
}

/// The effect of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Content changed and is published.
    Published,
    /// Nothing changed; manifest and record were renewed.
    Renewed,
    /// Nothing changed and more than half of the validity is left.
    Unchanged,
}

/// The result of a run.
#[derive(Debug)]
pub struct PublishReport {
    /// The effect.
    pub did: Did,
    /// The published directory.
    pub root: Cid,
    /// Sequence of manifest and record.
    pub sequence: u64,
    /// Unix seconds.
    pub(crate) created: u64,
    /// Unix seconds.
    pub(crate) expires: u64,
    /// The repositories in it.
    pub(crate) repos: Vec<RepoRecord>,
    /// The targets, in their order, by the names that messages give them.
    pub(crate) targets: Vec<String>,
    /// The name to give to users; `None` offline.
    pub name: Option<Name>,
    /// Packages, signatures and databases that it is about.
    pub files: usize,
    /// What mirrors have and it does not list yet.
    pub(crate) backlog: Backlog,
    /// Packages of them whose bytes are not kept.
    pub(crate) bare: usize,
    /// Files that were not in the last publication.
    pub new_files: usize,
    /// Bytes of blocks that were sent to the daemon.
    pub sent: u64,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// The reason why this is what was published before, where a mirror is followed.
    pub(crate) late: Option<PublishError>,
    /// Targets that did not get it, or not all of it; the next run continues.
    pub(crate) failed: Vec<TargetFailure>,
    /// The clusters and pinning services that shall hold it; `None` where they were not asked, because Kubo has not got it.
    pub(crate) holders: Option<Vec<HolderRecord>>,
}

impl PublishReport {
    /// Adds up what has left all repositories; `None` where nothing is remembered.
    pub(crate) fn archive(&self) -> Option<ArchiveRecord> {
        ArchiveRecord::sum(&self.repos)
    }
}

/// Publishes; without `kubo` only builds and signs, into `options.out`.
///
/// # Errors
/// See [`PublishError`]: no target got the publication whole. After an interruption at any point, the next run
/// continues.
pub async fn run(
    options: &PublishOptions,
    kubo: Option<&Kubo>,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<PublishReport, PublishError> {
    let _lock = last::lock(&options.state_dir)?;
    let mut memory = PublisherMemory::open(&options.state_dir)?;
    if memory.sequence > options.now + FUTURE_MOST {
        return Err(PublishError::Clock { last: memory.sequence, now: options.now });
    }
    let mut collection = collect(&options.dirs, options.list_key.as_ref())?;
    // Before a byte is fetched for it.
    let mut tables: Vec<(&RepoName, &str)> = collection.repos.iter().map(|repo| (&repo.name, &*repo.arch)).collect();
    tables.extend(options.follow.iter().flat_map(FollowOptions::wanted));
    let missing = memory.left_out(&tables, &options.drop);
    if !missing.is_empty() {
        return Err(PublishError::LeftOut(missing));
    }
    if let Some((repo, _)) = tables.iter().find(|(repo, _)| repo.as_str() == hash::ROOTS)
        && (options.content != ContentRule::All || options.retention.is_some())
    {
        return Err(PublishError::Reserved((*repo).clone()));
    }
    if let Some((repo, _)) =
        tables.iter().find(|(repo, _)| repo.as_str() == tree::ARCHIVE || collection.has_top(repo, tree::ARCHIVE))
        && options.retention.is_some()
    {
        return Err(PublishError::Reserved((*repo).clone()));
    }
    drop(tables);
    let mut followed = None;
    let is_asked = options.follow.is_some() || options.retention.is_some();
    // Without Kubo no target could be served, and nothing is fetched in vain.
    let delivered = match kubo.filter(|_| is_asked) {
        Some(kubo) => delivered(kubo, &memory).await.map(Some).or_else(|e| unheard(options, e.into()))?,
        None => None,
    };
    let arrived = match kubo {
        Some(kubo) => ArrivedPins::open(&options.state_dir, kubo).await.map(Some).or_else(|e| unheard(options, e))?,
        None => None,
    };
    if let Some(mirrors) = &options.follow {
        let bytes_to = match delivered.as_ref().zip(arrived.as_ref()) {
            Some((delivered, arrived)) => BytesTo::Kubo { delivered, arrived },
            None => BytesTo::Nowhere,
        };
        follow::recall_roots(options, kubo, bytes_to).await?;
        let beside = &collection;
        let mut mirrors = follow::follow(mirrors, options, beside, bytes_to, memory.tables.values(), progress).await?;
        collection = collection.with(mirrors.repos()?)?;
        followed = Some(mirrors);
    }
    let files = collection.files().count() as u64;
    progress(Phase::Scan, files, files);
    let (former_tables, archives) = (Some(&memory.tables), Some(&memory.archives));
    let given = kubo.and_then(|_| memory.has_given(delivered.as_ref()));
    let former = FormerIndex { tables: former_tables, archives, has: given };
    let tree = Tree::of(options, collection, former, progress).map_err(|error| match &followed {
        Some(followed) => followed.without_damage(error),
        None => error,
    })?;
    if let Some(followed) = &mut followed {
        followed.give_out()?;
    }
    let signers =
        kubo.map(|kubo| Box::new(KuboTarget::new(options, kubo, arrived.as_ref())) as Box<dyn PublishTarget + '_>);
    let mut targets = targets::with_copy(options, signers.into_iter().collect());
    let done = targets::publish(&mut targets, options, &tree, &mut memory, progress).await;
    let failures = done.as_ref().map_or_else(std::slice::from_ref, |_| &[]).iter();
    let failures = failures.chain(done.iter().flat_map(|report| &report.failed).map(|failure| &failure.error));
    failures.for_each(|error| without_damaged_root(options, error));
    let mut report = done?;
    // What a run that is late has earned of a newer snapshot is needed by the next one.
    if report.failed.is_empty() && followed.as_ref().is_none_or(|followed| followed.late.is_none()) {
        sweep_roots(options, &tree);
    }
    let held = memory.online.as_ref().filter(|index| index.root == report.root);
    if let (Some(index), Some(arrived)) = (held, &arrived) {
        // A run that is late leaves what came of the newer snapshot to the next one.
        let is_late = followed.as_ref().is_some_and(|followed| followed.late.is_some());
        let is_over = |pin: &ArrivedPin| !is_late || index.files.contains(&pin.cid);
        if let Err(error) = arrived.release_below(index.root, is_over).await {
            report.warnings.push(format!("packages stay pinned by themselves until the next run: {error}"));
        }
    }
    let unasked = if kubo.is_none() { arrived_count(&options.state_dir) } else { 0 };
    if unasked > 0 {
        let what = format!("packages of the publisher, {unasked} by its list, may still be pinned by themselves");
        report.warnings.push(format!("{what} at the Kubo that is no target any more, until they are unpinned there"));
    }
    if let Some(kubo) = kubo.filter(|_| held.is_some()) {
        let whose = (&*options.publisher, report.name.as_ref(), &*options.state_dir);
        report.holders = Some(holders::hold(&options.holders, whose, kubo, report.root).await);
    }
    if let Some(mut followed) = followed {
        report.warnings.splice(..0, followed.warnings.drain(..));
        report.late = followed.published(&tree, report.failed.is_empty())?.map(PublishError::Follow);
    }
    Ok(report)
}

/// Leaves a daemon that does not tell to its target, which says why, unless packages of mirrors are to go there.
fn unheard<T>(options: &PublishOptions, error: FollowError) -> Result<Option<T>, FollowError> {
    if error.is_of_target() && options.follow.is_none() { Ok(None) } else { Err(error) }
}

/// Removes root blocks that belong to no file of `tree`, and all where there are no more to be any.
fn sweep_roots(options: &PublishOptions, tree: &Tree) {
    let roots = options.roots_dir();
    if let Some(roots) = &roots {
        hash::sweep_roots(roots, tree.listed.iter());
    }
    let own = options.own_roots();
    if roots.as_ref() != Some(&own) {
        hash::sweep_roots(&own, std::iter::empty());
    }
}

/// Removes a root block that is not what its name says, which `error` tells: the next run fetches it.
fn without_damaged_root(options: &PublishOptions, error: &PublishError) {
    if let PublishError::Changed(path) = error
        && options.roots_dir().is_some_and(|roots| path.starts_with(roots))
    {
        // One that cannot be removed is told by the same error again.
        let _ = std::fs::remove_file(path);
    }
}

/// Returns the files that the daemon has by the last publication.
async fn delivered(kubo: &Kubo, memory: &PublisherMemory) -> Result<HashSet<BlockCid>, KuboError> {
    let Some(index) = &memory.online else { return Ok(HashSet::new()) };
    let is_there = kubo.is_pinned(index.root).await?;
    Ok(if is_there { index.files.clone() } else { HashSet::new() })
}

#[cfg(test)]
mod tests;
