//! The catalogue: one sorted file per source table, in which a fresh process finds a package without parsing a
//! table.
//!
//! Unpacking a database of 14,500 packages takes 50 ms, and pacman starts a new process for every file. So each
//! table (a sync database, an index table) is compiled once into this form and then searched with a few `pread`
//! calls: no memory map, which another process could change or shorten during a search, and hence no unsafe code.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

mod compile;
mod layout;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::cid::{Cid, Codec};
use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey};
use crate::base::name::FileName;
use crate::base::size;
use crate::lists::system::Signature;

pub(crate) use compile::{anew, is_valid, of_source};
pub use layout::write;

/// The expected content of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueEntry {
    /// Its name, unique in the table.
    pub name: FileName,
    /// Its size in bytes.
    pub size: u64,
    /// Its sha256.
    pub sha256: Sha256,
    /// The digest of its dag-pb root block, where an index names it. Not kept for files that are their own
    /// block, which have none.
    pub root: Option<Sha256>,
    /// Its detached signature.
    pub signature: Option<Signature>,
    /// The time at which it was built, in Unix seconds, where the list tells it.
    pub built: Option<u32>,
}

impl CatalogueEntry {
    /// Returns the CID of the file; `None` when it is larger than one chunk and no index names its root.
    pub fn cid(&self) -> Option<Cid> {
        size::own_block(self.size, self.sha256).or_else(|| self.root.map(Cid::dag_pb))
    }
}

/// A compiled table, open for searching.
#[derive(Debug)]
pub struct Catalogue {
    bytes: Bytes,
    at: PathBuf,
    header: layout::Header,
}

/// The reason why a catalogue cannot be searched.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The compiled file is damaged. Compiling it again replaces it; [`of_source`] does so by itself.
    #[error("{}: damaged at byte {at}: {problem}", path.display())]
    Damaged {
        /// The compiled file.
        path: PathBuf,
        /// Offset of the damage.
        at: u64,
        /// Description of the damage.
        problem: &'static str,
    },
    /// The compiled file or its source cannot be opened, read or written, or another user could have written to
    /// it.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// The source is no list of files.
    #[error("{}: {cause}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// The error in it.
        cause: SourceError,
    },
    /// Two records with one name, which would be ambiguous.
    #[error("{0} is listed twice")]
    Twice(FileName),
    /// Another process wrote to the source while it was read. Trying again helps.
    #[error("{}: changed while it was read", .0.display())]
    Changed(PathBuf),
    /// More than the layout can hold: 2^32 bytes.
    #[error("the table is too large")]
    TooLarge,
}

/// The reason why the reader of a system's list refuses it. The text is the reader's.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is no such list, or is damaged. Fetching it again may help.
    #[error("{0}")]
    Malformed(String),
    /// It has a form that the system reads and this program does not.
    #[error("{0}")]
    Unsupported(String),
    /// It has more in it than is read here.
    #[error("{0}")]
    TooLarge(String),
    /// The file system does not give its bytes.
    #[error("{0}")]
    Unread(String),
}

impl CatalogueError {
    /// Returns true when the table cannot be read here, which proves nothing about the table: it may be sound, and
    /// list any file. Content that was read and is malformed is another case.
    pub(crate) fn is_about_reading(&self) -> bool {
        match self {
            Self::File { .. } | Self::Changed(_) | Self::Damaged { .. } => true,
            Self::Source { cause, .. } => matches!(cause, SourceError::Unread(_)),
            Self::Twice(_) | Self::TooLarge => false,
        }
    }

    /// Returns true when there is more in it than is read here. The system, which has no such limits, may use it.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge | Self::Source { cause: SourceError::TooLarge(_), .. })
    }

    /// Returns true when there is no such file.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::File { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

impl Catalogue {
    /// Opens the compiled file at `path`; `None` when there is none.
    ///
    /// # Errors
    /// `File` when it cannot be read or belongs to a user other than the reader and root; `Damaged`.
    pub fn open(path: &Path) -> Result<Option<Self>, CatalogueError> {
        let file = |cause| CatalogueError::File { path: path.to_owned(), cause };
        match fsx::open_trusted(path).map_err(file)? {
            Some(opened) => Self::over(Bytes::File(opened), path).map(Some),
            None => Ok(None),
        }
    }

    /// Opens a compiled table in memory; `at` is its name in messages.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn in_memory(bytes: Vec<u8>, at: &Path) -> Result<Self, CatalogueError> {
        Self::over(Bytes::Memory(bytes), at)
    }

    fn over(bytes: Bytes, at: &Path) -> Result<Self, CatalogueError> {
        let mut out = Self { bytes, at: at.to_owned(), header: layout::Header::default() };
        let mut head = [0; layout::HEADER];
        out.read(0, &mut head)?;
        let length = out.bytes.length().map_err(|cause| CatalogueError::File { path: at.to_owned(), cause })?;
        out.header = layout::Header::decode(&head, length).map_err(|problem| out.damaged(0, problem))?;
        Ok(out)
    }

    /// Returns true when this was compiled from exactly that state of the source.
    pub(crate) fn matches(&self, source: FileKey) -> bool {
        self.header.source == source
    }

    /// Returns the number of listed files.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn len(&self) -> usize {
        self.header.count as usize
    }

    /// Returns true for an empty table, which is legal.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn is_empty(&self) -> bool {
        self.header.count == 0
    }

    /// Finds the file called `name`. `None` means that the table is sound and does not list it.
    ///
    /// About 15 steps in 20,000 records, each of two small reads.
    ///
    /// # Errors
    /// `Damaged`, `File`.
    pub fn find(&self, name: &FileName) -> Result<Option<CatalogueEntry>, CatalogueError> {
        let at = self.first_not_before(name.as_str())?;
        Ok(self.get(at)?.filter(|record| record.name == *name))
    }

    /// Finds the content that the table lists for `name`: as [`Catalogue::find`], and for a signature from the entry of
    /// the file that it signs, `signed`, without a root.
    ///
    /// # Errors
    /// `Damaged`, `File`.
    pub(crate) fn find_content(
        &self,
        name: &FileName,
        signed: Option<&FileName>,
    ) -> Result<Option<CatalogueEntry>, CatalogueError> {
        let Some(signed) = signed else { return self.find(name) };
        let signature = self.find(signed)?.and_then(|record| record.signature);
        Ok(signature.map(|Signature { size, sha256 }| CatalogueEntry {
            name: name.clone(),
            size: size.into(),
            sha256,
            root: None,
            signature: None,
            built: None,
        }))
    }

    /// Returns all files of the package called `name`, of which `is_of` knows the file names: usually one, in some tables
    /// several versions.
    ///
    /// # Errors
    /// `Damaged`, `File`.
    pub fn by_package_name(
        &self,
        name: &str,
        is_of: impl Fn(&FileName, &str) -> bool,
    ) -> Result<Vec<CatalogueEntry>, CatalogueError> {
        let prefix = format!("{name}-");
        let mut found = Vec::new();
        let mut at = self.first_not_before(&prefix)?;
        while let Some(record) = self.get(at)?.filter(|record| record.name.as_str().starts_with(&prefix)) {
            if is_of(&record.name, name) {
                found.push(record);
            }
            at += 1;
        }
        Ok(found)
    }

    /// Returns the first file with this sha256, by reading every record (tens of milliseconds in the largest
    /// tables).
    ///
    /// # Errors
    /// `Damaged`, `File`.
    pub fn by_sha256(&self, sha256: Sha256) -> Result<Option<CatalogueEntry>, CatalogueError> {
        self.first(|record| record.sha256 == sha256)
    }

    /// Returns the first file with this CID, in either version of CIDs, by reading every record.
    ///
    /// # Errors
    /// `Damaged`, `File`.
    pub fn by_cid(&self, cid: Cid) -> Result<Option<CatalogueEntry>, CatalogueError> {
        let digest = cid.digest();
        match cid.codec() {
            Codec::Raw => self.first(|record| size::is_own_block(record.size) && record.sha256 == digest),
            Codec::DagPb => self.first(|record| record.root == Some(digest)),
        }
    }

    /// Iterates over all records, sorted by name, and ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<CatalogueEntry, CatalogueError>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let next = self.get(at);
            at = if next.is_ok() { at + 1 } else { self.header.count };
            next.transpose()
        })
    }

    fn first(&self, wanted: impl Fn(&CatalogueEntry) -> bool) -> Result<Option<CatalogueEntry>, CatalogueError> {
        self.iter().find(|record| record.as_ref().map_or(true, &wanted)).transpose()
    }

    /// Returns the position of the first record whose name is not before `name`.
    fn first_not_before(&self, name: &str) -> Result<u32, CatalogueError> {
        self.first_where(|record| record.name.as_str() < name)
    }

    fn first_where(&self, is_before: impl Fn(&CatalogueEntry) -> bool) -> Result<u32, CatalogueError> {
        let (mut low, mut high) = (0, self.header.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)? {
                Some(record) if is_before(&record) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn get(&self, at: u32) -> Result<Option<CatalogueEntry>, CatalogueError> {
        if at >= self.header.count {
            return Ok(None);
        }
        let offset = layout::HEADER as u64 + u64::from(at) * layout::FIXED as u64;
        let mut fixed = [0; layout::FIXED];
        self.read(offset, &mut fixed)?;
        let section =
            layout::TailPosition::decode(&fixed, &self.header).map_err(|problem| self.damaged(offset, problem))?;
        let mut tail = [0; layout::LONGEST_TAIL];
        let tail = &mut tail[..section.length];
        self.read(section.offset, tail)?;
        let record = layout::decode(&fixed, tail).map_err(|problem| self.damaged(offset, problem))?;
        Ok(Some(record))
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), CatalogueError> {
        self.bytes.read_at(offset, buf).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(offset, "it ends here"),
            _ => CatalogueError::File { path: self.at.clone(), cause },
        })
    }

    fn damaged(&self, at: u64, problem: &'static str) -> CatalogueError {
        CatalogueError::Damaged { path: self.at.clone(), at, problem }
    }
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buf, offset),
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)?.get(..buf.len()));
                buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(FileKey::of(file)?.size),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests;
