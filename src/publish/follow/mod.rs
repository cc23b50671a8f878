//! A mirror as the source of a publication, followed over HTTP without a copy of it.
//!
//! ```text
//! pulse              ->  snapshot            ->  arrivals              ->  collect … targets
//! lastupdate of each     databases of one        packages and              as of a directory; then
//! mirror                 moment, that count      signatures that differ    bytes are let go
//! ```
//!
//! What is published is always a whole snapshot, each file of which was proven by its database. When nothing newer can
//! be had, the former snapshot stays, and is renewed; when a mirror may be lying, nothing is published at all.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio_util::sync::CancellationToken;

use super::chain::ChainLink;
use super::collect::{CollectedFile, CollectedRepo, Collection, Role};
use super::hash::is_rooted;
use super::kept::{Keepable, KeptContent};
use super::record::Backlog;
use super::tree::Tree;
use super::{FollowError, Phase, PublishError, PublishOptions};
use crate::base::cid::BlockCid;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::fsx::{self, FileKey};
use crate::base::name::{FileName, RepoName};
use crate::config::template::MirrorTemplate;
use crate::config::{AskPolicy, Settings};
use crate::engine::hub::Hub;
use crate::machine::Machine;
use crate::net::kubo::Kubo;

mod arrivals;
mod arrived;
mod ask;
mod backfill;
mod beside;
mod budget;
mod checked;
mod former;
mod holdings;
mod keyring;
mod memory;
mod pulse;
mod snapshot;
mod voice;

use arrivals::{ArrivalDesk, signature_name};
pub(super) use arrived::{ArrivedPin, ArrivedPins, arrived_count};
use backfill::bring;
use checked::CheckedPackages;
use former::FormerTables;
pub(super) use holdings::BytesTo;
use holdings::Holdings;
use memory::{FollowMemory, FollowPlace, FollowedDatabase};
use snapshot::{ReadSnapshot, SnapshotReader, kept, kept_repos, key};

/// Seconds after which databases are compared whole, although `lastupdate` is the same.
const COMPARE: u64 = 86_400;
/// Most bytes of files that are on their way: what it holds is what is left of interrupted runs.
const STORE_MOST: u64 = 1 << 50;
/// Most transfers at a time.
const TRANSFERS: usize = 16;

/// The mirrors of a publication.
pub struct FollowOptions {
    /// This machine, with a store of this publication's own.
    pub(crate) machine: Rc<Machine>,
    /// At least one.
    pub(crate) mirrors: Vec<MirrorTemplate>,
    /// At least one.
    pub(crate) repos: Vec<RepoName>,
    /// At least one.
    pub(crate) archs: Vec<String>,
    /// Keys that must have signed every package, and databases that have a signature.
    pub(crate) keyring: Option<PathBuf>,
    /// True for the lists of files, `REPO.files`, as well.
    pub(crate) files: bool,
    /// Most bytes a day of packages that were there before this publisher began.
    pub(crate) backfill: Option<u64>,
}

impl FollowOptions {
    /// Lists each repository with each architecture.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (&RepoName, &str)> {
        self.repos.iter().flat_map(|repo| self.archs.iter().map(move |arch| (repo, &**arch)))
    }
}

/// Makes the machine of a publisher whose state is in `state_dir`: its store is there, and mirrors are all that it asks.
///
/// # Errors
/// `Local` when there is no place for a store; trying again does not help.
pub(crate) fn machine_in(env: &Env, settings: &Settings, state_dir: &Path) -> Result<Rc<Machine>, Error> {
    let store = memory::dir_in(state_dir).join("downloads");
    std::fs::create_dir_all(&store).map_err(|e| Error::local(store.display(), e))?;
    let settings = Settings {
        store_dir: Some(store),
        storeless: false,
        store_max: STORE_MOST,
        kubo: AskPolicy::No,
        lan: AskPolicy::No,
        ..settings.clone()
    };
    Machine::open(env, &settings, state_dir)
}

/// The mirrors as they are to be published.
pub(super) struct Followed {
    machine: Rc<Machine>,
    place: FollowPlace,
    memory: FollowMemory,
    read: ReadSnapshot,
    /// The packages in it, once they were listed.
    packages: HashSet<Sha256>,
    /// For the user.
    pub(super) warnings: Vec<String>,
    /// The packages in it that get no entry yet.
    waiting: HashSet<Sha256>,
    /// The reason why this is the former snapshot.
    pub(super) late: Option<FollowError>,
}

/// Follows the mirrors, for a publication of what is `beside` them as well, whose packages go where `bytes_to` says.
/// `tables` are those that were published last.
///
/// # Errors
/// [`FollowError`]: there is no snapshot that could be published, or none may be.
pub(super) async fn follow(
    options: &FollowOptions,
    publish: &PublishOptions,
    beside: &Collection,
    bytes_to: BytesTo<'_>,
    tables: impl Iterator<Item = &ChainLink>,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<Followed, FollowError> {
    let place = FollowPlace::open(memory::dir_in(&publish.state_dir))?;
    let mut memory = place.memory()?;
    // Before anything is asked or forgotten.
    let keyring = options.keyring.as_deref().map(checked::digest).transpose()?;
    let former = memory.snapshot.as_ref().and_then(|snapshot| kept(options, &place, snapshot));
    let before = match (&former, &memory.snapshot) {
        (None, Some(snapshot)) if options.backfill.is_some() => kept_repos(options, &place, snapshot),
        _ => Vec::new(),
    };
    if let (Some(listed), BytesTo::Kubo { arrived, .. }) = (place.keep_listed(&memory), bytes_to) {
        // What fails is tried again by the next run.
        let _ = arrived.release(|pin| !listed.contains(&place.package(pin.package))).await;
    }
    let former_tables = FormerTables::of(&publish.state_dir, tables);
    let checked = match options.keyring.as_ref().zip(keyring) {
        Some((keyring, digest)) => Some(CheckedPackages::open(&place, keyring, digest).await?),
        None => None,
    };
    let mut warnings: Vec<String> = checked.iter().filter_map(|checked| checked.doubt.clone()).collect();
    let holdings = Holdings { held: place.held(), publish, beside, bytes_to, former: former_tables, before, checked };
    let newer = newer(options, &place, &mut memory, former, &holdings, &mut warnings, progress).await;
    // What the mirrors said is remembered, whatever came of it. A run may have taken hours.
    memory.settle(publish.now.max(clock::now()));
    let (read, late) = match newer {
        Ok(read) => (read, None),
        Err(NotNewer { error, former: Some(former) }) if !error.is_alarm() => (former, Some(error)),
        Err(NotNewer { error, .. }) => {
            place.save(&memory)?;
            return Err(error);
        }
    };
    place.save(&memory)?;
    let waiting = holdings.waiting(&place, &read.repos, options.backfill.is_some());
    let (machine, packages) = (Rc::clone(&options.machine), HashSet::new());
    Ok(Followed { machine, place, memory, read, packages, warnings, waiting, late })
}

/// Puts root blocks that are missing here to their place, from beside the memory, or from the daemon that has the files or
/// these blocks: where a publication keeps less than before, or has a plain copy from now on, its packages need not come
/// again for them (`root_blocks_move_to_a_new_plain_copy_without_their_packages`).
///
/// # Errors
/// `Local`. A daemon that fails is left: then the packages come again.
pub(super) async fn recall_roots(
    publish: &PublishOptions,
    kubo: Option<&Kubo>,
    bytes_to: BytesTo<'_>,
) -> Result<(), FollowError> {
    let Some(roots) = publish.roots_dir() else { return Ok(()) };
    let place = FollowPlace::open(memory::dir_in(&publish.state_dir))?;
    let (held, own) = (place.held(), publish.own_roots());
    for hashed in held.values().filter(|held| !is_rooted(&roots, held)) {
        let cid = hashed.cid;
        let here = std::fs::read(own.join(cid.to_string())).ok().filter(|block| Sha256::of(block) == cid.digest());
        let block = match (here, kubo) {
            (Some(block), _) => block,
            // In the tree, the root of a file that is not there is a raw block.
            (None, Some(kubo)) if bytes_to.has(cid) || bytes_to.has(BlockCid::raw(cid.digest())) => {
                let Ok(Some(block)) = kubo.local_block(cid.into()).await else { return Ok(()) };
                block
            }
            (None, _) => continue,
        };
        let path = roots.join(cid.to_string());
        std::fs::create_dir_all(&roots).map_err(FollowError::local(&path))?;
        fsx::replace_synced(&path, &block).map_err(FollowError::local(&path))?;
    }
    Ok(())
}

/// The reason why there is nothing newer, and the former snapshot, if there is one.
struct NotNewer {
    error: FollowError,
    former: Option<ReadSnapshot>,
}

/// Returns the newest snapshot, with all its files here or at the targets.
async fn newer(
    options: &FollowOptions,
    place: &FollowPlace,
    memory: &mut FollowMemory,
    former: Option<ReadSnapshot>,
    holdings: &Holdings<'_>,
    warnings: &mut Vec<String>,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<ReadSnapshot, NotNewer> {
    let now = holdings.publish.now;
    let pulses = match pulse::pulses(options, memory, now).await {
        Ok(pulses) => pulses,
        Err(error) => return Err(NotNewer { error, former }),
    };
    warnings.extend(pulses.warnings.iter().cloned());
    let is_settling = memory.is_settling(pulses.lastupdate, now);
    let keyring = holdings.checked.as_ref().map(|checked| checked.keyring);
    let is_rekeyed = options.keyring.is_some() && memory.keyring != keyring;
    // A comparison waits for another day while the mirrors that could make it are not of one state.
    let days = if pulses.ahead.is_empty() { 1 } else { 2 };
    // One that a clock has dated which was ahead of this one does not count.
    let is_compared = memory.compared <= now && now < memory.compared.saturating_add(days * COMPARE);
    let is_as_wanted = |database: &FollowedDatabase| database.beside.contains_key("files") == options.files;
    let is_same = |read: &&ReadSnapshot| read.snapshot.lastupdate == pulses.lastupdate;
    // True where databases are read anew although `lastupdate` is the same: then they come whole.
    let is_whole = former.as_ref().filter(is_same).is_some_and(|read| {
        pulses.lastupdate.is_some() && !(is_compared && read.snapshot.databases.values().all(is_as_wanted))
    });
    let is_fresh = pulses.lastupdate.is_some() && !is_whole && !is_rekeyed;
    let is_known = former.as_ref().is_some_and(|read| is_same(&read)) && (is_fresh || pulses.is_early);
    if let [ahead, ..] = &pulses.ahead[..]
        && pulses.current.is_empty()
        && !is_known
    {
        let error = FollowError::Unproven { database: "lastupdate".to_owned(), host: ahead.clone() };
        return Err(NotNewer { error, former });
    }
    let roots = holdings.publish.roots_dir();
    let hub = Hub::new(TRANSFERS, CancellationToken::new());
    let checked = holdings.checked.as_ref();
    let (is_new, came, bytes_to) = (false, Default::default(), holdings.bytes_to);
    let mut desk =
        ArrivalDesk { options, place, pulses: &pulses, roots, bytes_to, hub, checked, is_new, is_whole, came };
    // What does not come of this is no reason to call a run late: it is not known that anything is missing.
    let looks_again = is_known && is_settling && !pulses.is_early;
    let read = if former.is_some() && (is_known || pulses.is_early) && !looks_again {
        None
    } else {
        let snapshot = former.as_ref().map(|read| &read.snapshot);
        let records = memory.mirrors.clone();
        let reader =
            SnapshotReader { options, place, former: snapshot, is_whole, is_settling, is_rekeyed, records, now };
        match reader.read(&pulses).await {
            Ok(read) => {
                if is_whole || former.is_none() {
                    memory.compared = now;
                }
                memory.has_read(&read.snapshot, former.is_none(), now);
                memory.keyring = keyring;
                Some(read).filter(|read| !looks_again || snapshot.is_none_or(|former| !read.snapshot.is_same(former)))
            }
            Err(error) if looks_again && !error.is_alarm() => None,
            Err(error) => return Err(NotNewer { error, former }),
        }
    };
    desk.is_new = read.is_some();
    let read = match (read, former) {
        (None, Some(former)) => {
            // Bytes may be missing all the same: a target may have lost them.
            return match bring(&desk, &former, Some(&former), holdings, memory, warnings, progress).await {
                Ok(()) => Ok(former),
                // Not the fault of a mirror: none was to be asked.
                Err(error) if pulses.is_early && !error.is_of_target() => {
                    let error = FollowError::Nowhere { what: "what is missing".to_owned(), tried: pulses.warnings };
                    Err(NotNewer { error, former: None })
                }
                Err(error) => Err(NotNewer { error, former: None }),
            };
        }
        (read, former) => (read.expect("it was read, as there is no former one"), former),
    };
    let (read, former) = read;
    memory.coming = Some(read.snapshot.clone());
    if let Err(error) = place.save(memory) {
        return Err(NotNewer { error, former });
    }
    match bring(&desk, &read, former.as_ref(), holdings, memory, warnings, progress).await {
        Ok(()) => Ok(read),
        Err(error) => Err(NotNewer { error, former }),
    }
}

impl Followed {
    /// Lists the files of the snapshot, as [`collect`](super::collect::collect) does those of a directory. To be called once:
    /// what the databases said of packages is taken along.
    pub(super) fn repos(&mut self) -> Result<Vec<CollectedRepo>, PublishError> {
        let held = self.place.held();
        let mut repos = Vec::new();
        for listed in &mut self.read.repos {
            let database = &self.read.snapshot.databases[&key(&listed.repo, &listed.arch)];
            let path = self.place.database(database.sha256);
            let state = FileKey::at(&path).map_err(|error| PublishError::Io { path: path.clone(), error })?;
            let name = |text: String| FileName::new(text).map_err(|_| PublishError::Reserved(listed.repo.clone()));
            let file = CollectedFile { path, role: Role::Database, key: Some(Box::new(state)), held: None };
            let mut files = vec![(name(format!("{}.db", listed.repo))?, file)];
            for (suffix, part) in &database.beside {
                let path = self.place.database(part.sha256);
                let file = CollectedFile { path, role: Role::Database, key: None, held: None };
                files.push((name(format!("{}.{suffix}", listed.repo))?, file));
            }
            let mut backlog = Backlog::default();
            for package in std::mem::take(&mut listed.packages) {
                // `arrivals` has refused packages without.
                let (Some(size), Some(sha256)) = (package.size, package.sha256) else { continue };
                self.packages.insert(sha256);
                if self.waiting.contains(&sha256) {
                    backlog.add(size);
                    continue;
                }
                let path = self.place.package(sha256);
                let held = held.get(&sha256).filter(|held| held.size == size && !path.exists()).copied().map(Box::new);
                // Tens of thousands of paths where nothing is would be megabytes.
                let path = if held.is_some() { PathBuf::new() } else { path };
                let role = Role::Package { size, sha256, built: package.build_date };
                let signature = signature_name(&package.file);
                files.push((package.file, CollectedFile { path, role, key: None, held }));
                let path = self.place.signature(sha256);
                if let Some(name) = signature
                    && std::fs::metadata(&path).is_ok_and(|found| found.len() > 0)
                {
                    let role = Role::PackageSignature;
                    files.push((name, CollectedFile { path, role, key: None, held: None }));
                }
            }
            let lastupdate = self.read.snapshot.lastupdate;
            // A map that is made of all at once is half as large as one that grows in order.
            let files: BTreeMap<_, _> = files.into_iter().collect();
            let (name, arch) = (listed.repo.clone(), listed.arch.clone());
            repos.push(CollectedRepo { name, arch, files, lastupdate, system: None, backlog });
        }
        Ok(repos)
    }

    /// Remembers the snapshot as published, before any target has it: a run that is killed between two targets must not
    /// leave clients with more than is remembered, or mirrors could be set back to what was before. All files are here,
    /// so the next run can place it whatever the targets have
    /// (`what_a_target_may_have_is_never_taken_back_by_mirrors_that_are_set_back`).
    pub(super) fn give_out(&mut self) -> Result<(), FollowError> {
        self.memory.snapshot = Some(self.read.snapshot.clone());
        if self.late.is_none() {
            self.memory.coming = None;
        }
        self.place.save(&self.memory)
    }

    /// Removes a package that is not what its database says any more, so that the next run fetches it. Any other `error`
    /// is returned as it came.
    pub(super) fn without_damage(&self, error: PublishError) -> PublishError {
        match error {
            PublishError::Package { path, why } if self.place.is_package(&path) => match std::fs::remove_file(&path) {
                Ok(()) => FollowError::Damaged { path, why }.into(),
                Err(error) => PublishError::Io { path, error },
            },
            other => other,
        }
    }

    /// Lets go what is not needed any more; with `is_everywhere`, when no target lacks anything, also the bytes of
    /// packages. A run that is late keeps everything: what it fetched of the newer snapshot is needed by the next, which
    /// lets go what is of neither ([`FollowPlace::keep_listed`]).
    pub(super) fn published(self, tree: &Tree, is_everywhere: bool) -> Result<Option<FollowError>, FollowError> {
        if self.late.is_some() {
            return Ok(self.late);
        }
        let digests = || self.packages.iter().copied();
        let mut kept: HashSet<PathBuf> = digests().map(|sha256| self.place.signature(sha256)).collect();
        let databases = self.read.snapshot.databases.values();
        kept.extend(databases.flat_map(FollowedDatabase::digests).map(|sha256| self.place.database(sha256)));
        checked::keep_only(&self.place, &self.packages)?;
        if is_everywhere {
            self.place.hold(tree.listed.iter().filter(|hashed| self.packages.contains(&hashed.sha256)))?;
        } else {
            kept.extend(digests().map(|sha256| self.place.package(sha256)));
        }
        self.place.sweep(&kept);
        // Parts of packages that are not listed any more; what cannot be removed now is removed next time.
        let store = &self.machine.store;
        let parts = store.arriving().into_iter().map(|(sha256, _)| sha256);
        parts.filter(|sha256| !self.packages.contains(sha256)).for_each(|sha256| store.let_go(sha256));
        let _ = store.sweep(&[]);
        Ok(None)
    }
}
