//! What has left the tables of the indexes in use, looked up when a user asks for it. A refresh fetches no archive: it is
//! delivered by what the signed manifest says of it, kept in the store like any other file, and read anew for each question.

use std::io::BufReader;
use std::time::{Duration, SystemTime};

use futures_util::stream::{FuturesOrdered, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::all::target;
use super::files::IndexFile;
use super::{RefreshMeans, Work};
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx::FromStart;
use crate::base::name::{FileName, RepoName};
use crate::config::IndexConfig;
use crate::engine::deliver::{Obtained, Purpose};
use crate::engine::find::is_meant;
use crate::engine::hub::Hub;
use crate::index::archive::{self, ArchiveError, ArchivedEntry};
use crate::index::in_use;
use crate::index::manifest::{ArchiveTable, Table};
use crate::index::table::Entry;
use crate::index::time;
use crate::lists::catalogue::Catalogue;
use crate::machine::lists::Lists;
use crate::trust::plan::Known;

/// Longest wait for the archives; all of them are asked for at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file that an index proves, and the time in which its repository had it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ArchivedFile {
    /// The index.
    pub(crate) index: String,
    pub(crate) repo: RepoName,
    pub(crate) name: FileName,
    pub(crate) known: Known,
    /// Unix seconds since when the repository had it; `None`: before the archive began.
    pub(crate) from: Option<u64>,
    /// Unix seconds until when; `None` for one that it has still.
    pub(crate) until: Option<u64>,
}

/// The archive of one repository in one index in use.
pub(crate) struct HeldArchive {
    index: IndexConfig,
    table: Table,
    archive: ArchiveTable,
    /// The table that the files have left.
    current: Catalogue,
}

/// The archives of the indexes in use, in the order in which files are looked up.
pub(crate) struct Archives<'l> {
    lists: &'l Lists,
    held: Vec<HeldArchive>,
}

/// The reason why an archive is not read to its end.
struct Unread(String);

impl From<ArchiveError> for Unread {
    fn from(error: ArchiveError) -> Self {
        Self(error.to_string())
    }
}

impl<'l> Archives<'l> {
    /// Finds the archives that the manifests in use name. Asks no source.
    pub(crate) fn of(lists: &'l Lists) -> Self {
        let (settings, arch, now) = (&lists.machine().settings, lists.arch(), SystemTime::now());
        let state = in_use::state(settings);
        let mut held = Vec::new();
        for repo in lists.repo_names() {
            for index in settings.indexes.iter().filter(|index| index.may_describe(repo.as_str())) {
                let name = in_use::copy_name(index);
                if !in_use::is_in_force(settings, index, now).unwrap_or(false) {
                    continue;
                }
                let Ok(Some(copy)) = state.held(&name) else { continue };
                let mut tables = copy.manifest.tables.into_iter();
                let Some(table) =
                    tables.find(|table| table.repo == repo && table.arch == arch && table.system.is_none())
                else {
                    continue;
                };
                let Some(archive) = table.archive else { continue };
                let Ok(Some(current)) = Catalogue::open(&state.catalogue_path(&name, &repo, &arch)) else { continue };
                held.push(HeldArchive { index: index.clone(), table, archive, current });
            }
        }
        Self { lists, held }
    }

    /// True if no index in use has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Finds the file that `what` means: a file name, name-version, or a sha256. Of several, the one that left last.
    ///
    /// # Errors
    /// `NoSource` when no archive has it; one that could not be read is named.
    pub(crate) async fn find(&self, what: &str) -> Result<ArchivedFile, Error> {
        let mut tried = Vec::new();
        let digest = what.parse::<Sha256>().ok();
        let signed = FileName::new(what).ok().and_then(|name| self.lists.read(&name).signed);
        let mut arriving = self.arriving();
        for held in &self.held {
            let mut found: Option<ArchivedEntry> = None;
            let read = held.read(arriving.next().await, |file| {
                let name = &file.entry.name;
                let is_it = digest == Some(file.entry.sha256)
                    || is_meant(self.lists, name, what)
                    || signed.as_ref() == Some(name);
                if is_it && found.as_ref().is_none_or(|found| found.until < file.until) {
                    found = Some(file);
                }
            });
            match (read, found) {
                (Err(why), _) => tried.push(held.line(&why)),
                (Ok(()), Some(found)) => match signed.as_ref().filter(|signed| **signed == found.entry.name) {
                    None => return Ok(held.archived(found)),
                    Some(_) => {
                        if let Some(signature) = held.signature(&found, what) {
                            return Ok(signature);
                        }
                    }
                },
                (Ok(()), None) => {}
            }
        }
        let error =
            Error::new(ErrorKind::NoSource, what, "no sync database, no index in use and no archive of one lists it");
        Err(with_tried(error, &tried).hint("`pkgswarm index show NAME` tells since when an index has an archive"))
    }

    /// Finds what the first repository that knows `package` had of it at the time `at` (Unix seconds).
    ///
    /// # Errors
    /// `NoSource` when that is not known: the message says since when it is.
    pub(crate) async fn current_at(&self, package: &str, at: u64) -> Result<ArchivedFile, Error> {
        let (mut early, mut tried) = (None, Vec::new());
        let mut arriving = self.arriving();
        for held in &self.held {
            let is_of = |name: &FileName| self.lists.read(name).package.is_some_and(|parts| parts.name == package);
            let mut versions: Vec<ArchivedEntry> = Vec::new();
            let read = held.read(arriving.next().await, |file| {
                if is_of(&file.entry.name) {
                    versions.push(file);
                }
            });
            if let Err(why) = read {
                tried.push(held.line(&why));
                continue;
            }
            versions.sort_by_key(|file| file.until);
            let mut known: Vec<ArchivedFile> = versions.into_iter().map(|file| held.archived(file)).collect();
            let last = known.last().and_then(|file| file.until);
            known.extend(self.current(held, package, last));
            let Some(oldest) = known.first() else { continue };
            let (begins, oldest) = (held.archive.since, oldest.clone());
            let there = known.into_iter().find(|file| file.until.is_none_or(|until| until > at));
            match there.filter(|file| at >= begins && file.from.is_none_or(|from| from <= at)) {
                Some(file) => return Ok(file),
                None => early = early.or(Some(held.unknown(package, at, &oldest))),
            }
        }
        let nowhere = || {
            let why = "neither the tables nor the archives of the indexes in use have a package of this name";
            Error::new(ErrorKind::NoSource, package, why)
        };
        Err(with_tried(early.unwrap_or_else(nowhere), &tried))
    }

    /// Returns the version that the table has. When it came is told by the one before, and by its own date: a package cannot
    /// have been there before it was built.
    fn current(&self, held: &HeldArchive, package: &str, last: Option<u64>) -> Option<ArchivedFile> {
        let is_of = |file: &FileName, of: &str| self.lists.read(file).package.is_some_and(|parts| parts.name == of);
        let found = held.current.by_package_name(package, is_of).ok()?.pop()?;
        let database = self.lists.repo(&held.table.repo).and_then(|repo| self.lists.table(&repo.name).ok()?);
        let built = database.and_then(|database| database.find(&found.name).ok()??.built).map(u64::from);
        let from = last.into_iter().chain(built.filter(|built| *built > held.archive.since)).max();
        let known =
            Known { size: found.size, sha256: found.sha256, root: found.cid().filter(|_| found.root.is_some()) };
        let (index, repo) = (held.index.name.clone(), held.table.repo.clone());
        Some(ArchivedFile { index, repo, name: found.name, known, from, until: None })
    }

    /// Delivers the archives, all at once and in their order, each with the reason why it did not come. What is still on its way
    /// when the answer is known is let go.
    fn arriving(&self) -> FuturesOrdered<impl Future<Output = Result<Obtained, String>>> {
        let until = Instant::now() + PATIENCE;
        let arrived = |held| async move {
            let delivered = tokio::time::timeout_at(until, self.deliver(held)).await;
            delivered.unwrap_or_else(|_| Err(format!("did not arrive within {} s", PATIENCE.as_secs())))
        };
        self.held.iter().map(arrived).collect()
    }

    async fn deliver(&self, held: &HeldArchive) -> Result<Obtained, String> {
        let machine = self.lists.machine();
        let target = target(machine, &held.index).map_err(|e| e.message)?;
        let means =
            RefreshMeans::of(machine, Hub::new(1, CancellationToken::new())).map_err(|miss| miss.to_string())?;
        let (state, now) = (in_use::state(&machine.settings), clock::now());
        let work = Work::new(&target, &means, &state, now, PATIENCE).map_err(|e| e.to_string())?;
        let ArchiveTable { packed, .. } = held.archive;
        let path = held.table.archive_path();
        let file = IndexFile { path: &path, sha256: packed.sha256, size: packed.size, cid: Some(packed.cid) };
        // Until the manifest names another, the next question finds it here.
        work.file(&file, Purpose::Caller).await.map_err(|why| why.to_string())
    }
}

fn with_tried(error: Error, tried: &[String]) -> Error {
    tried.iter().fold(error, |error, line| error.tried(line))
}

impl HeldArchive {
    /// Reads what has `arrived` to its end. What it passes on counts when it has ended well.
    fn read(
        &self,
        arrived: Option<Result<Obtained, String>>,
        mut each: impl FnMut(ArchivedEntry),
    ) -> Result<(), String> {
        let obtained = arrived.unwrap_or_else(|| Err("did not arrive".to_owned()))?;
        let from = BufReader::new(FromStart::of(&obtained.file));
        let read = archive::read(from, &self.archive, |file| {
            // The table is what the publisher says of a name; its archive says nothing else.
            let current = self.current.find(&file.entry.name).map_err(|e| Unread(e.to_string()))?;
            if current.is_some_and(|now| (now.size, now.sha256) != (file.entry.size, file.entry.sha256)) {
                return Err(Unread(format!("it has other bytes of {}, which the index lists", file.entry.name)));
            }
            each(file);
            Ok(())
        });
        read.map_err(|Unread(why)| format!("refused: {why}"))
    }

    fn archived(&self, found: ArchivedEntry) -> ArchivedFile {
        let ArchivedEntry { entry: Entry { name, size, sha256, cid, .. }, from, until } = found;
        let known = Known { size, sha256, root: (cid.digest() != sha256).then_some(cid) };
        let (index, repo) = (self.index.name.clone(), self.table.repo.clone());
        ArchivedFile { index, repo, name, known, from, until: Some(until) }
    }

    /// Returns the signature `name` of an archived file, where it has one.
    fn signature(&self, found: &ArchivedEntry, name: &str) -> Option<ArchivedFile> {
        let (size, sha256) = found.entry.signature?;
        let (name, known) = (FileName::new(name).ok()?, Known { size, sha256, root: None });
        Some(ArchivedFile { name, known, ..self.archived(found.clone()) })
    }

    fn line(&self, why: &str) -> String {
        format!("index {}  the archive of {}  {why}", self.index.name, self.table.repo)
    }

    /// Returns the error of a question about a time of which nothing is known.
    fn unknown(&self, package: &str, at: u64, oldest: &ArchivedFile) -> Error {
        let (repo, index) = (&self.table.repo, &self.index.name);
        let asked = time::to_rfc3339(at);
        let why = match at < self.archive.since {
            true => format!(
                "the archive of {repo} in {index} begins at {}, after {asked}",
                time::to_rfc3339(self.archive.since)
            ),
            // Its publisher may have let the ones before go.
            false if oldest.until.is_some() && oldest.from.is_some_and(|from| from > at) => {
                format!(
                    "what {repo} had of it at {asked} is not known: the archive in {index} has only what came later"
                )
            }
            false => format!("{repo} did not have it at {asked}, by the archive in {index}"),
        };
        let hint = format!("the oldest that it knows: `pkgswarm fetch {}`", oldest.name);
        Error::new(ErrorKind::NoSource, package, why).hint(hint)
    }
}
