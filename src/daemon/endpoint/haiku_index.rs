//! What indexes say of Haiku's repositories: the size and the root of a package, so that it streams leaf by leaf and no
//! server is asked how large it is; and a whole snapshot, for when no server has one.
//!
//! An index decides nothing here. The list is the one that the repository's key has signed, a package is what that list
//! says, and an entry counts with that name and sum alone. An index that goes on listing an old list does not keep it in
//! use: only a server, or a newer signature, does that (`tests/cases/haiku_publish.rs`).

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::HttpEndpoint;
use super::desk::Desk;
use super::haiku_repos::HaikuRepo;
use super::known::KnownPackage;
use super::transfer;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::config::written::Written;
use crate::config::{HaikuConfig, Settings};
use crate::engine::deliver::Delivery;
use crate::engine::want::{Want, by_content};
use crate::haiku::kept::KeptSnapshot;
use crate::haiku::snapshot::{HaikuSnapshot, SnapshotFiles, SnapshotRefusal};
use crate::index::in_use;
use crate::index::manifest::HAIKU;
use crate::index::minisign::SIGNATURE_MOST;
use crate::lists::catalogue::Catalogue;
use crate::lists::haiku::repo_info::REPO_INFO_MOST;
use crate::lists::system::NameKind;
use crate::machine::Machine;
use crate::report::log;
use crate::trust::look::FileShape;
use crate::trust::plan::{IndexEntry, Knowledge, Known, Plan, plan};

/// Longest wait for the files of a snapshot. pkgman waits as long as we do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of a list, as of its reader.
const LIST_MOST: u64 = 64 << 20;

/// Returns what the indexes in force say of a package with this name and sum, for machines of `arch`.
pub(super) async fn entries(endpoint: &HttpEndpoint, arch: &str, name: &FileName, sha256: Sha256) -> Vec<IndexEntry> {
    let (arch, name) = (arch.to_owned(), name.clone());
    let look = move |desk: &Desk| {
        let settings = &desk.machine.settings;
        let mut entries = Vec::new();
        for (index, repo) in granted(settings) {
            let table = in_use::table(settings, index, repo.as_str(), &arch, SystemTime::now());
            let known = table.ok().flatten().and_then(|table| known(&table, &name));
            let known = known.filter(|known| known.sha256 == sha256);
            entries.extend(known.map(|known| IndexEntry { index: index.name.clone(), known }));
        }
        entries
    };
    endpoint.desks.ask(look).await.unwrap_or_default()
}

/// Plans a package of this size, with the root that the indexes name, where they agree about it.
pub(super) fn planned(name: &FileName, (sha256, size): (Sha256, u64), entries: &[IndexEntry]) -> Plan {
    let known = Known { size, sha256, root: None };
    let indexes = entries.iter().filter(|entry| entry.known.size == size).cloned().collect();
    let knowledge = Knowledge { in_repo: true, database: Some(known), indexes, ..Knowledge::default() };
    plan(name, NameKind::Package, &knowledge).unwrap_or_else(|_| known.plan())
}

/// The files of a snapshot, as an index lists them.
struct ListedSnapshot {
    index: String,
    /// When the index was made, in Unix seconds.
    created: u64,
    list: Known,
    signature: Known,
    info: Known,
}

/// Looks for a newer snapshot in the indexes, where no server has confirmed the one in use; true where one of them has it.
/// The one in use stays where they have none that is proven; the log says why.
pub(super) async fn renew(
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    repo: &HaikuRepo,
    client: IpAddr,
) -> bool {
    let known = repo.known(machine).await;
    let known = known.as_deref().map(|known| &known.newest);
    let config = repo.config.clone();
    let look = move |desk: &Desk| listed(&desk.machine.settings, &config);
    for listed in endpoint.desks.ask(look).await.unwrap_or_default() {
        // Its word makes a list no fresher.
        if known.is_some_and(|known| known.snapshot.sha256 == listed.list.sha256) {
            continue;
        }
        let taking = timeout(PATIENCE, taken(endpoint, machine, repo, &listed, (known, client)));
        match taking.await.unwrap_or_else(|_| Err("its files did not come within a minute".to_owned())) {
            Ok(snapshot) => {
                let from = format!("haiku {}: the list is that of the index {}", repo.config.name, listed.index);
                log::info(|| from);
                repo.accept(machine, snapshot).await;
                return true;
            }
            Err(why) => log::warn(&format!("haiku {}: index {}: {why}", repo.config.name, listed.index)),
        }
    }
    false
}

/// Lists the snapshots of a repository in the indexes in force: those of tables that stand where its servers have it.
fn listed(settings: &Settings, config: &HaikuConfig) -> Vec<ListedSnapshot> {
    let is_at = |path: &str, place: &str| {
        let rest = path.trim_matches('/').strip_suffix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let mut found = Vec::new();
    for index in &settings.indexes {
        let copy = in_use::copy_name(index);
        if !in_use::is_in_force(settings, index, SystemTime::now()).unwrap_or(false) {
            continue;
        }
        let Ok(Some(held)) = in_use::state(settings).held(&copy) else { continue };
        for table in held.manifest.tables.iter().filter(|table| index.may_describe(table.repo.as_str())) {
            let Some(system) = table.system.as_ref().filter(|system| system.name == HAIKU) else { continue };
            let mut places =
                std::iter::once(config.path.as_str()).chain(config.urls.iter().map(|url| url.url().path()));
            if !places.any(|path| is_at(path, &system.path)) {
                continue;
            }
            let compiled = in_use::state(settings).catalogue_path(&copy, &table.repo, &table.arch);
            let Ok(Some(table)) = Catalogue::open(&compiled) else { continue };
            let file = |name: &str| FileName::new(name).ok().and_then(|name| known(&table, &name));
            if let (Some(list), Some(signature), Some(info)) = (file("repo"), file("repo.minisig"), file("repo.info")) {
                let (index, created) = (index.name.clone(), held.manifest.created);
                found.push(ListedSnapshot { index, created, list, signature, info });
            }
        }
    }
    found
}

/// Fetches the files of a snapshot, and proves them by the key of the repository.
async fn taken(
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    repo: &HaikuRepo,
    listed: &ListedSnapshot,
    (known, client): (Option<&KeptSnapshot>, IpAddr),
) -> Result<KeptSnapshot, String> {
    let file = async |name, wanted, most| fetched(endpoint, machine, repo, (name, wanted, most), client).await;
    let signature = file("repo.minisig", listed.signature, SIGNATURE_MOST as u64).await?;
    let key = repo.config.minisign.value().map_err(|why| format!("its key: {why}"))?.clone();
    let comment = key.comment(&signature).map_err(|error| SnapshotRefusal::from(error).to_string())?;
    let precursor = known.map(|known| known.snapshot.precursor());
    let precedes = precursor.map_or(Ok(()), |known| known.precedes(listed.list.sha256, comment.timestamp()));
    precedes.map_err(|refused| refused.to_string())?;
    // No key has signed it: that of a server stays.
    let info = match known {
        Some(known) => known.snapshot.files.info.clone(),
        None => file("repo.info", listed.info, REPO_INFO_MOST as u64).await?.into(),
    };
    let list = file("repo", listed.list, LIST_MOST).await?.into();
    let files = SnapshotFiles { list, signature: signature.into(), info };
    let proving = tokio::task::spawn_blocking(move || HaikuSnapshot::proven(files, &key, precursor));
    let snapshot = proving.await.map_err(|e| e.to_string())?.map_err(|refused| refused.to_string())?;
    let base = known.map(|known| known.base.clone());
    let base = base.or_else(|| repo.config.urls.first().map(ToString::to_string)).unwrap_or_default();
    let checked = listed.created.min(clock::now());
    Ok(KeptSnapshot { snapshot, base, checked, proven: clock::now() })
}

/// Fetches one of them by its content, through the hub.
async fn fetched(
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    repo: &HaikuRepo,
    (name, known, most): (&'static str, Known, u64),
    client: IpAddr,
) -> Result<Vec<u8>, String> {
    if known.size > most {
        return Err(format!("{name}: {} bytes, and at most {most} are allowed", known.size));
    }
    let (plan, of_repo) = (known.plan(), RepoName::new(repo.config.name.as_str()).map_err(|e| e.to_string())?);
    let candidates = by_content(machine, &plan);
    let file = FileName::new(name).map_err(|e| e.to_string())?;
    let want = Want { name: file, shape: FileShape::ANY, repo: None, plan, candidates, doubt: None };
    let wanted = KnownPackage { want, repo: of_repo, built: None, may_share: true };
    let nowhere = || format!("{name}: there is no source of it by its content");
    let joined = transfer::join(endpoint, &wanted, Some(client), false).ok_or_else(nowhere)?;
    let Delivery { result, .. } = joined.ticket.result().await.ok_or_else(nowhere)?;
    let obtained = result.map_err(|error| error.to_string())?.ok_or_else(nowhere)?;
    let reading = tokio::task::spawn_blocking(move || fsx::read_part(&obtained.file, 0, known.size));
    reading.await.map_err(|e| e.to_string())?.map_err(|e| format!("{name}: {e}"))
}

/// Iterates over the repositories that the indexes may speak for.
fn granted(settings: &Settings) -> impl Iterator<Item = (&crate::config::IndexConfig, &RepoName)> {
    settings.indexes.iter().flat_map(|index| {
        let repos = index.repos.iter().filter_map(|repo| Written::value(repo).ok());
        repos.map(move |repo| (index, repo))
    })
}

/// Returns what a table lists of a file.
fn known(table: &Catalogue, name: &FileName) -> Option<Known> {
    let entry = table.find(name).ok()??;
    Some(Known { size: entry.size, sha256: entry.sha256, root: entry.cid().filter(|_| entry.root.is_some()) })
}
