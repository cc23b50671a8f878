//! `publish`: from a directory made by repo-add to a signed index and a plain tree under one IPNS name.
//!
//! Everything is computed here (`tree`), so that the daemon receives blocks and a root and decides nothing. The
//! order makes an interruption harmless: check and hash, send the blocks with the root pinned, read them back,
//! publish the name, read the record back, and only then unpin the former publication.
//!
//! # Room
//!
//! - In: a directory made by repo-add and a key
//! - Out: blocks, a signed manifest, a tree under one IPNS name
//! - May use: base, dag, index, lists, net
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! error
//! chain hash scan tests
//! last tree
//! check
//! ```

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::name::RepoName;
use crate::base::size::SIGNATURE_MOST;
use crate::index::ipns::Name;
use crate::index::manifest::FUTURE_MOST;
use crate::index::minisign::SecretKey;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, Publication};

mod chain;
mod check;
mod error;
mod hash;
mod last;
mod scan;
mod tree;

use chain::Chain;
pub use error::PublishError;
use hash::{HashMemory, Hashed, sweep_roots};
use last::{PublishedIndex, PublisherMemory};
use scan::{Role, ScannedRepo};
use tree::{Content, Sealed, TreeFile, UploadState};

/// Putting a record to the DHT takes a minute at times.
const ANNOUNCE: Duration = Duration::from_secs(300);
/// Slowest upload that is waited for, in bytes a second: the daemon is on this machine or near.
const SLOWEST: u64 = 1 << 20;

/// Most diffs that are kept for a table; fewer when they would not be smaller than the table.
///
pub use crate::index::diff::DIFFS_KEPT;

/// The parameters of a publication.
pub struct PublishOptions {
    /// The publisher's name in manifest and pins, at most 64 bytes.
    pub publisher: String,
    /// Directories made by repo-add, or trees `<repo>/os/<arch>` of them.
    pub dirs: Vec<PathBuf>,
    /// The directory of this publisher's memory; for this publisher alone, kept between runs.
    pub state_dir: PathBuf,
    /// Repositories of the last publication that this one may leave out.
    pub drop: Vec<String>,
    /// The daemon's key to publish under; made if there is none of that name.
    pub key: String,
    /// Signs the manifest, when given.
    pub minisign: Option<SecretKey>,
    /// Validity of manifest and record. Default 48 h, as long as DHT servers keep records.
    pub lifetime: Duration,
    /// Time for which caches may keep the name's answer. Default 5 min, as in Kubo.
    pub ttl: Duration,
    /// `Server` URLs named in the manifest, by repo.
    pub upstream: BTreeMap<RepoName, Vec<String>>,
    /// The directory for a plain copy of manifest, signature, tables, root blocks and record, to be served over
    /// HTTP.
    pub out: Option<PathBuf>,
    /// Unix seconds.
    pub now: u64,
}

/// A step of the work, for progress. Units are bytes, except in [`Phase::Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading databases; counted in files.
    Scan,
    /// Computing CIDs of files that changed.
    Hash,
    /// Once, before anything is sent: (bytes that the daemon's disk use will grow by, bytes that are free there).
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
#[derive(Clone, Debug)]
pub struct PublishReport {
    /// The effect.
    pub did: Did,
    /// The published directory.
    pub root: Cid,
    /// Sequence of manifest and record.
    pub sequence: u64,
    /// Unix seconds.
    pub expires: u64,
    /// The name to give to users; `None` offline.
    pub name: Option<Name>,
    /// Files in the tree.
    pub files: usize,
    /// Files that were not in the last publication.
    pub new_files: usize,
    /// Bytes of blocks that were sent to the daemon.
    pub sent: u64,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Publishes; without `kubo` only builds and signs, into `options.out`.
///
/// # Errors
/// See [`PublishError`]. After an interruption at any point, the next run continues.
pub async fn run(
    options: &PublishOptions,
    kubo: Option<&Kubo>,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<PublishReport, PublishError> {
    let _lock = last::lock(&options.state_dir)?;
    let mut last = PublisherMemory::open(&options.state_dir)?;
    if last.sequence > options.now + FUTURE_MOST {
        return Err(PublishError::Clock { last: last.sequence, now: options.now });
    }
    let repos = scan::scan(&options.dirs)?;
    let missing = last.left_out(&repos, &options.drop);
    if !missing.is_empty() {
        return Err(PublishError::LeftOut(missing));
    }
    let files = repos.iter().map(|repo| repo.files.len() as u64).sum();
    progress(Phase::Scan, files, files);
    let paths: Vec<&Path> = repos.iter().flat_map(|repo| repo.files.values()).map(|found| &*found.path).collect();
    let mut memory = HashMemory::open(&options.state_dir, options.out.as_deref());
    let hashed = memory.hash(&paths, progress)?;
    memory.keep_only(&paths)?;
    compare(&repos, &hashed)?;
    let content = Content::build(options, &repos, &hashed)?;
    match kubo {
        Some(kubo) => online(options, kubo, &content, &mut last, progress).await,
        None => offline(options, &content, &mut last),
    }
}

/// Checks every package against the database, byte for byte.
fn compare(repos: &[ScannedRepo], hashed: &[Hashed]) -> Result<(), PublishError> {
    for (found, hashed) in repos.iter().flat_map(|repo| repo.files.values()).zip(hashed) {
        let path = || found.path.clone();
        if found.key.is_some_and(|key| key != hashed.key) {
            return Err(PublishError::Changed(path()));
        }
        match found.role {
            Role::Package { size, sha256 } if (size, sha256) != (hashed.size, hashed.sha256) => {
                let why = format!("its sha256 is {}, the database says {sha256}", hashed.sha256);
                return Err(PublishError::Package { path: path(), why });
            }
            Role::PackageSignature if !(1..=SIGNATURE_MOST as u64).contains(&hashed.size) => {
                let why = format!("a signature of {} bytes; 1 to 16384 are allowed", hashed.size);
                return Err(PublishError::Package { path: path(), why });
            }
            _ => {}
        }
    }
    Ok(())
}

fn offline(
    options: &PublishOptions,
    content: &Content,
    last: &mut PublisherMemory,
) -> Result<PublishReport, PublishError> {
    let before = last.offline.as_ref().filter(|index| index.content == content.fingerprint);
    if let Some(index) = before.filter(|index| index.is_fresh(options.now) && is_written(options, index)) {
        return Ok(report(Did::Unchanged, index, content, None));
    }
    let did = if before.is_some() { Did::Renewed } else { Did::Published };
    let sealed = content.seal(options, options.now.max(last.sequence + 1), &last.tables)?;
    let index = remembered(content, &sealed, None);
    last.offline = Some(index.clone());
    give_out(options, content, &sealed, last)?;
    write_out(options, content, &sealed, None)?;
    Ok(report(did, &index, content, None))
}

async fn online(
    options: &PublishOptions,
    kubo: &Kubo,
    content: &Content,
    last: &mut PublisherMemory,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<PublishReport, PublishError> {
    let name = key(options, kubo).await?;
    // The blocks of the last publication that the daemon still has; its pin may have been removed by hand.
    let before = match &last.online {
        Some(index) if kubo.is_pinned(index.root).await? => Some(index.clone()),
        _ => None,
    };
    let published = kubo.record(&name.to_string(), Duration::from_secs(30)).await.ok();
    let published = published.and_then(|bytes| name.verify(&bytes, 0).ok());
    let floor = published.as_ref().map_or(0, |record| record.sequence);
    let same = before.as_ref().filter(|index| index.content == content.fingerprint);
    let same = same.filter(|index| index.name.as_deref() == Some(&*name.to_string()));
    if let Some(index) = same.filter(|index| index.is_fresh(options.now)) {
        // A daemon that forgot the name gets it again.
        let known = published.is_some_and(|record| record.root() == Ok(index.root));
        if (known || !index.record) && is_written(options, index) {
            return Ok(report(Did::Unchanged, index, content, Some(name)));
        }
    }
    let did = if same.is_some() { Did::Renewed } else { Did::Published };

    let sealed = content.seal(options, options.now.max(last.sequence.max(floor) + 1), &last.tables)?;
    let had = before.as_ref().map(|index| &index.files);
    let mut seen = HashSet::new();
    let fresh =
        |file: &&TreeFile| had.is_none_or(|had| !had.contains(&file.hashed.cid)) && seen.insert(file.hashed.cid);
    let new: Vec<TreeFile> = content.files.iter().filter(fresh).cloned().collect();
    let cost = new.iter().map(|file| file.hashed.dag_size).sum::<u64>()
        + sealed.blocks.iter().map(|block| block.bytes.len() as u64).sum::<u64>();
    let size = kubo.repo_size().await?;
    let free = size.most.saturating_sub(size.used);
    progress(Phase::Cost, cost, free);
    if cost > free {
        return Err(PublishError::Space { need: cost, free });
    }
    last.pending.push(sealed.root);
    give_out(options, content, &sealed, last)?;

    upload(kubo, &sealed, &new, cost, progress).await?;
    let pin = format!("pkgswarm:{}", options.publisher);
    kubo.pin(sealed.root, &pin, ANNOUNCE).await?;
    check::read_back(kubo, &sealed, &new, progress).await?;
    let (key, root, sequence) = (&*options.key, sealed.root, sealed.manifest.sequence);
    let what = Publication { key, root, sequence, lifetime: options.lifetime, ttl: options.ttl };
    kubo.publish(&what, ANNOUNCE).await?;
    let mut index = remembered(content, &sealed, Some(&name));
    last.online = Some(index.clone());
    last.save(&options.state_dir)?;

    let record = check::record(kubo, &name, &sealed, options.now).await?;
    index.record = record.is_some();
    let mut report = PublishReport { new_files: new.len(), sent: cost, ..report(did, &index, content, Some(name)) };
    if record.is_none() {
        let text = "the daemon does not give out the name's record (Routing.Type none?): others cannot find it";
        report.warnings.push(text.to_owned());
    }
    write_out(options, content, &sealed, record.as_deref())?;
    // An import pins before it can name the pin, so pins without our name can be ours as well.
    let pinned = kubo.pinned_as(&pin).await?;
    for old in pinned.iter().chain(&last.pending).filter(|old| **old != sealed.root) {
        kubo.unpin(*old).await?;
    }
    last.pending.clear();
    last.online = Some(index);
    last.save(&options.state_dir)?;
    Ok(report)
}

/// Records the sequence and its tables as published, before anything else happens.
fn give_out(
    options: &PublishOptions,
    content: &Content,
    sealed: &Sealed,
    last: &mut PublisherMemory,
) -> Result<(), PublishError> {
    let chain = Chain::at(&options.state_dir);
    chain.keep(content.plain.iter().map(|table| &table[..]), sealed.diffs.values().map(|diff| &diff[..]))?;
    last.sequence = sealed.manifest.sequence;
    last.tables = sealed.links.clone();
    last.save(&options.state_dir)?;
    chain.sweep(last.tables.values());
    Ok(())
}

async fn key(options: &PublishOptions, kubo: &Kubo) -> Result<Name, PublishError> {
    let found = kubo.keys().await?.into_iter().find(|(name, _)| *name == options.key);
    let name = match found {
        Some((_, name)) => name,
        None => kubo.generate_key(&options.key).await?,
    };
    name.parse().map_err(|_| PublishError::Key(options.key.clone()))
}

async fn upload(
    kubo: &Kubo,
    sealed: &Sealed,
    new: &[TreeFile],
    cost: u64,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<(), PublishError> {
    let upload = UploadState::default();
    let body = upload.start(sealed.root, sealed.blocks.clone(), new.to_vec());
    let deadline = ANNOUNCE + Duration::from_secs(cost / SLOWEST);
    let import = kubo.import(body, sealed.root, true, deadline);
    tokio::pin!(import);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let done = loop {
        tokio::select! {
            done = &mut import => break done,
            _ = tick.tick() => progress(Phase::Upload, upload.sent.load(Ordering::Relaxed), cost),
        }
    };
    progress(Phase::Upload, upload.sent.load(Ordering::Relaxed), cost);
    match (done, upload.failure()) {
        (_, Some(ours)) => Err(ours),
        (Err(fault), None) if fault.kind == KuboErrorKind::NoSpace => {
            Err(KuboError::new(fault.call, fault.kind, format!("{}; nothing was switched", fault.text)).into())
        }
        (done, None) => Ok(done?),
    }
}

/// Writes the plain copy for HTTP. The manifest is written last, so that an incomplete copy has none.
fn write_out(
    options: &PublishOptions,
    content: &Content,
    sealed: &Sealed,
    record: Option<&[u8]>,
) -> Result<(), PublishError> {
    let Some(out) = &options.out else { return Ok(()) };
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        let replace = |path: &Path| {
            std::fs::create_dir_all(path.parent().unwrap_or(out))?;
            crate::base::fsx::replace_synced(path, bytes)
        };
        replace(&path).map_err(|error| PublishError::Io { path, error })
    };
    sealed
        .diffs
        .iter()
        .chain(content.packed.iter().map(|(path, packed)| (path, packed)))
        .try_for_each(|(path, bytes)| write(path, bytes))?;
    write("pkgswarm.root", &sealed.root_block)?;
    if let Some(record) = record {
        write("pkgswarm.ipns-record", record)?;
    }
    if let Some(minisig) = &sealed.minisig {
        write("pkgswarm.json.minisig", minisig.as_bytes())?;
    }
    write("pkgswarm.json", &sealed.bytes)?;
    sweep_roots(out, content.files.iter().map(|file| &file.hashed));
    for table in &sealed.manifest.tables {
        let dir = out.join(table.diff_dir());
        for old in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = old.file_name();
            let is_diff = name.to_str().is_some_and(|name| name.ends_with(".ndjson.zst"));
            let is_listed = |path: &String| out.join(path) == old.path();
            if is_diff && !sealed.diffs.keys().any(is_listed) {
                // A file that cannot be removed now is removed next time.
                let _ = std::fs::remove_file(old.path());
            }
        }
    }
    Ok(())
}

/// True if the plain copy, if one is configured, is that of `run`.
fn is_written(options: &PublishOptions, index: &PublishedIndex) -> bool {
    options.out.as_ref().is_none_or(|out| {
        std::fs::read(out.join("pkgswarm.json")).is_ok_and(|bytes| Sha256::of(&bytes) == index.manifest)
    })
}

fn remembered(content: &Content, sealed: &Sealed, name: Option<&Name>) -> PublishedIndex {
    PublishedIndex {
        root: sealed.root,
        sequence: sealed.manifest.sequence,
        created: sealed.manifest.created,
        expires: sealed.manifest.expires,
        content: content.fingerprint,
        manifest: Sha256::of(&sealed.bytes),
        name: name.map(Name::to_string),
        record: false,
        files: content.files.iter().map(|file| file.hashed.cid).collect(),
    }
}

fn report(did: Did, index: &PublishedIndex, content: &Content, name: Option<Name>) -> PublishReport {
    PublishReport {
        did,
        root: index.root,
        sequence: index.sequence,
        expires: index.expires,
        name,
        files: content.files.len(),
        new_files: 0,
        sent: 0,
        warnings: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
