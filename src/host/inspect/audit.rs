//! The packages on this machine, compared with every list that names them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::dag::build::{BuiltFile, build};
use crate::index::in_use;
use crate::lists::catalogue::Catalogue;
use crate::machine::lists::{self, Lists};

/// A list of files: a sync database or the table of an index.
pub(crate) struct Voice {
    /// The list, in words.
    pub(crate) list: String,
    table: Catalogue,
}

/// An index that is not compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mute {
    /// Its copy has expired.
    Expired,
    /// There is no copy.
    NeverFetched,
}

/// The lists to compare with, and the indexes that are left out.
pub(crate) type Voices<'a> = (Vec<Voice>, Vec<(&'a str, Mute)>);

/// Returns the sync databases, and the tables of the indexes in use: those named, or all. And the indexes of these
/// that are left out.
///
/// # Errors
/// `Usage` when a sync database does not parse.
pub(crate) fn voices<'a>(lists: &'a Lists, names: &[PathBuf]) -> Result<Voices<'a>, Error> {
    let is_wanted = |index: &str| names.is_empty() || names.iter().any(|name| name == Path::new(index));
    let mut voices = Vec::new();
    for repo in lists.repo_names() {
        if let Some(table) = lists.repo(&repo).map(|_| lists.table(&repo)).transpose()?.flatten() {
            voices.push(Voice { list: format!("the sync database {repo}"), table });
        }
        let tables = lists.tables(repo.as_str()).into_iter().filter(|(index, _)| is_wanted(index));
        voices.extend(tables.map(|(index, table)| Voice { list: format!("index {index} for {repo}"), table }));
    }
    let (now, settings) = (clock::now(), &lists.machine().settings);
    let mute = settings.indexes.iter().filter(|index| is_wanted(&index.name)).filter_map(|index| {
        let expires = in_use::state(settings).expires(&in_use::copy_name(index)).ok().flatten();
        let why = match expires {
            Some(expires) if expires > now => return None,
            Some(_) => Mute::Expired,
            None => Mute::NeverFetched,
        };
        Some((index.name.as_str(), why))
    });
    Ok((voices, mute.collect()))
}

/// Returns the files themselves, and the packages and signatures in directories, sorted by path within each.
///
/// # Errors
/// `Local` when a file or directory cannot be read.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |e: io::Error| Error::local(path.display(), format!("cannot be read: {e}"));
        if !path.metadata().map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = path.read_dir().map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let mut packages: Vec<PathBuf> =
            entries.iter().map(|entry| entry.path()).filter(|path| is_package(path)).collect();
        packages.sort();
        files.extend(packages);
    }
    Ok(files)
}

fn is_package(path: &Path) -> bool {
    let is_of_package = |name| lists::read(&name).shape.kind.is_of_package();
    name_of(path).is_some_and(is_of_package) && path.is_file()
}

fn name_of(path: &Path) -> Option<FileName> {
    FileName::new(path.file_name()?.to_str()?).ok()
}

/// The statement of one list about one file.
pub(crate) struct Claim<'a> {
    /// The list, in words.
    pub(crate) list: &'a str,
    /// The size that it names.
    pub(crate) size: u64,
    /// The sha256 that it names.
    pub(crate) sha256: Sha256,
    /// The CID that it names.
    pub(crate) cid: Option<Cid>,
}

impl Claim<'_> {
    fn agrees(&self, here: &BuiltFile) -> bool {
        let same_cid = self.cid.is_none_or(|cid| cid == here.root);
        (self.size, self.sha256) == (here.size, here.sha256) && same_cid
    }
}

/// One file, and the lists that name it.
pub(crate) struct Audited<'a> {
    /// Its path.
    pub(crate) path: &'a Path,
    /// Its content.
    pub(crate) here: BuiltFile,
    /// The statements of the lists.
    pub(crate) said: Vec<Claim<'a>>,
}

impl Audited<'_> {
    /// Lists the statements that do not fit the file.
    pub(crate) fn disagreements(&self) -> impl Iterator<Item = &Claim<'_>> {
        self.said.iter().filter(|said| !said.agrees(&self.here))
    }
}

/// Hashes a file and asks the lists about it; `at` is told how many bytes were read and the file's name.
///
/// # Errors
/// Those of reading it.
pub(crate) fn audit<'a>(path: &'a Path, voices: &'a [Voice], at: &mut dyn FnMut(u64, &str)) -> io::Result<Audited<'a>> {
    let file = fsx::open_followed(path)?;
    let name = name_of(path).ok_or_else(|| io::Error::other("its name cannot be that of a package"))?;
    let (shown, signed) = (name.to_string(), lists::read(&name).signed);
    let here = build(CountingReader { file, at, name: &shown })?;
    let said = voices.iter().filter_map(|voice| {
        // A damaged table is skipped here; looking a package up reports the damage.
        let listed = voice.table.find_content(&name, signed.as_ref()).ok()??;
        // Nothing names the CID of a signature.
        let cid = if signed.is_some() { None } else { listed.cid() };
        Some(Claim { list: &voice.list, size: listed.size, sha256: listed.sha256, cid })
    });
    Ok(Audited { path, here, said: said.collect() })
}

/// The sums of an audit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct AuditCount {
    /// Files that were read.
    pub(crate) files: usize,
    /// Files that a list names.
    pub(crate) listed: usize,
    /// Files about which a list says otherwise.
    pub(crate) disagreeing: usize,
    /// Files that could not be read.
    pub(crate) unread: usize,
}

impl AuditCount {
    /// Counts a file.
    pub(crate) fn add(&mut self, audited: &Audited<'_>) {
        self.files += 1;
        self.listed += usize::from(!audited.said.is_empty());
        self.disagreeing += usize::from(audited.disagreements().next().is_some());
    }
}

/// A reader that tells its progress.
struct CountingReader<'a> {
    file: File,
    at: &'a mut dyn FnMut(u64, &str),
    name: &'a str,
}

impl Read for CountingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        (self.at)(got as u64, self.name);
        Ok(got)
    }
}
