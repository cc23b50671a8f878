//! The state between refreshes: the highest sequence seen from each key, and the last good copy of each index.
//!
//! It is in the state directory (`/var/lib/pkgswarm`), because removing a cache must not allow the return of an
//! old index. One writer at a time, by a lock beside it; readers need no lock, files are replaced by rename.
//!
//! ```text
//! <state>/index/index.json                            the highest sequence of each key (`memory`)
//! <state>/index/asked/<name>                          the results of the routes at the last refresh (`asked`)
//! <state>/index/index/<name>/pkgswarm.json            the manifest of the last good copy
//! <state>/index/index/<name>/<manifest>.<kind>        its proofs, by the manifest's sha256
//! <state>/index/index/<name>/<sha256>.ndjson          its tables (`made`)
//! <state>/index/index/<name>/<repo>-<arch>.catalogue  the tables compiled, for downloads
//! <state>/index/index/<name>/expires                  its expiry, for downloads; `expired` once that was seen
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::{MANIFEST_MOST, Manifest, ManifestError, Table};
use super::table::{Reader, TableError};
use crate::base::cid::Codec;
use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey};
use crate::base::name::{FileName, RepoName};
use crate::base::size::BLOCK_MOST;
use crate::lists::catalogue::{self, CatalogueEntry, CatalogueError};
use crate::lists::system::Signature;

mod asked;
mod made;
mod memory;

pub(crate) use asked::RouteRecord;
pub use made::TableBytes;
pub use memory::{SeenSequence, SequenceMemory};

/// Most bytes of the state file; a key takes about 200.
const STATE_MOST: u64 = 1 << 20;

/// The directory of all state.
#[derive(Clone, Debug)]
pub struct IndexState {
    dir: PathBuf,
}

/// The last good copy of an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexCopy {
    /// The manifest, which was proven when it was stored.
    pub manifest: Manifest,
    /// Its bytes as signed, for passing on.
    pub(crate) bytes: Vec<u8>,
    /// The directory of its tables.
    dir: PathBuf,
}

/// The reason why a table was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The delivered bytes are not the table; the text has the difference.
    #[error("{0}")]
    Wrong(String),
    /// This machine failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The reason why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// This machine failed; the text names the path.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The memory of sequences is damaged. It is not discarded silently: old indexes could come back then.
    #[error("{path} is damaged ({reason}); remove it to forget which sequences were seen")]
    Damaged {
        /// The state file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
    /// A table is malformed: the publisher's mistake.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A table could not be compiled.
    #[error(transparent)]
    Compile(#[from] CatalogueError),
    /// The stored copy has changed since it was stored. A refresh replaces it.
    #[error("the stored copy of the index is damaged: {0}")]
    Copy(#[from] ManifestError),
}

impl IndexState {
    /// Opens the state in `dir`, which is made when first written.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Returns the highest sequence seen from any of `keys` (those of [`super::accept::Grant::keys`]).
    pub(crate) fn seen(&self, keys: &[String]) -> Result<Option<SeenSequence>, StateError> {
        Ok(self.read()?.highest(keys).cloned())
    }

    /// Remembers `seen` for each of `keys`; a higher sequence remembered before stays.
    pub fn note(&self, keys: &[String], seen: &SeenSequence) -> Result<(), StateError> {
        let _lock = self.lock()?;
        let mut all = self.read()?;
        all.note(keys, seen);
        replace(&self.file(), &all.to_bytes()).map_err(at(&self.file()))
    }

    /// Returns the last good copy of the index called `name`; `None` when there is none yet.
    pub fn held(&self, name: &FileName) -> Result<Option<IndexCopy>, StateError> {
        let dir = self.copy_dir(name);
        let path = dir.join("pkgswarm.json");
        let Some(bytes) = fsx::read_followed(&path, MANIFEST_MOST as u64).map_err(at(&path))? else {
            return Ok(None);
        };
        Ok(Some(IndexCopy { manifest: Manifest::decode(&bytes)?, bytes, dir }))
    }

    /// Returns the path of the uncompressed table with this sha256 in the copy of `name`; may exist already.
    pub(crate) fn table_path(&self, name: &FileName, sha256: Sha256) -> PathBuf {
        self.copy_dir(name).join(format!("{sha256}.ndjson"))
    }

    /// Stores `table`, made of what sources delivered, if that gives exactly the table and all of its lines are
    /// entries.
    ///
    /// # Errors
    /// `Wrong` when it is not the table: another source, or another way, may give it.
    pub fn keep_table(&self, name: &FileName, table: &Table, made: TableBytes<'_>) -> Result<(), KeepError> {
        let path = self.table_path(name, table.sha256);
        let mut failed = None;
        let dir = self.copy_dir(name);
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let written = fsx::replace_synced_by(&path, |to| {
            made.write(table, to)?.map_err(|why| {
                failed = Some(why);
                io::Error::other("not the table")
            })
        });
        if let Some(why) = failed {
            return Err(KeepError::Wrong(why));
        }
        written.map_err(at(&path))?;
        // Read once before anything is switched: a publisher can sign a malformed table.
        let file = File::open(&path).map_err(at(&path))?;
        let mut lines = Reader::plain(io::BufReader::new(file), table.entries);
        lines.try_for_each(|line| line.map(drop)).map_err(|why| {
            let _ = fs::remove_file(&path);
            KeepError::Wrong(why.to_string())
        })
    }

    /// Makes `manifest` the last good copy of `name`, with its proofs, compiles the tables of `repos`, and removes
    /// files that only older copies needed. Those tables must be there already, and proven.
    pub fn hold(
        &self,
        name: &FileName,
        manifest: &[u8],
        proofs: &[(&str, &[u8])],
        repos: &[RepoName],
    ) -> Result<(), StateError> {
        let _lock = self.lock()?;
        let dir = self.copy_dir(name);
        let parsed = Manifest::decode(manifest)?;
        let own = Sha256::of(manifest);
        // Its content names the copy by its expiry.
        let mut keep = vec![dir.join("expired")];
        for table in parsed.tables.iter().filter(|table| repos.contains(&table.repo)) {
            let plain = self.table_path(name, table.sha256);
            let compiled = self.catalogue_path(name, &table.repo, &table.arch);
            compile(&plain, table, &compiled)?;
            keep.extend([plain, compiled]);
        }
        // Tables and proofs have hashes in their names, so the rename of the manifest switches them. Downloads use
        // the new catalogues already; a copy in which only those are new is not complete for `has`.
        for (kind, bytes) in proofs {
            let path = dir.join(format!("{own}.{kind}"));
            replace(&path, bytes).map_err(at(&path))?;
            keep.push(path);
        }
        // After the catalogues: a crash in between must not lengthen the validity of old ones.
        let life = dir.join("expires");
        replace(&life, format!("{}\n", parsed.expires).as_bytes()).map_err(at(&life))?;
        let path = dir.join("pkgswarm.json");
        replace(&path, manifest).map_err(at(&path))?;
        keep.extend([life, path]);
        for old in fs::read_dir(&dir).map_err(at(&dir))?.flatten().filter(|old| !keep.contains(&old.path())) {
            // A file that cannot be removed now is removed next time.
            let _ = fs::remove_file(old.path());
        }
        Ok(())
    }

    /// Returns the path of the compiled table of one repo of the index `name`, in which a download looks its file
    /// up.
    pub fn catalogue_path(&self, name: &FileName, repo: &RepoName, arch: &str) -> PathBuf {
        self.copy_dir(name).join(format!("{repo}-{arch}.catalogue"))
    }

    /// Returns the Unix seconds at which the copy of `name` expires; `None` when there is none. Reads one line, no
    /// JSON.
    ///
    /// # Errors
    /// `File` when there is one and it cannot be read here, `Damaged` when it holds no time.
    pub fn expires(&self, name: &FileName) -> Result<Option<u64>, CatalogueError> {
        let path = self.copy_dir(name).join("expires");
        let line = match fsx::read_followed(&path, 64) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(cause) => return Err(CatalogueError::File { path, cause }),
        };
        let time = std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse().ok());
        time.map(Some).ok_or(CatalogueError::Damaged { path, at: 0, problem: "it holds no time" })
    }

    /// True if there is a copy of `name` that is not expired at `now` (Unix seconds), and was not seen expired
    /// before: it does not come back when the clock is set back. Reads one line or two.
    ///
    /// # Errors
    /// As [`IndexState::expires`].
    pub(crate) fn is_in_force(&self, name: &FileName, now: u64) -> Result<bool, CatalogueError> {
        let Some(expires) = self.expires(name)? else { return Ok(false) };
        let over = self.copy_dir(name).join("expired");
        let was_seen = || {
            let line = fsx::read_followed(&over, 64).ok().flatten().unwrap_or_default();
            std::str::from_utf8(&line).is_ok_and(|line| line.trim().parse() == Ok(expires))
        };
        if expires >= now {
            return Ok(!was_seen());
        }
        if !was_seen() {
            // A user without write access does not keep it in force either; users with access record it.
            let _ = replace(&over, format!("{expires}\n").as_bytes());
        }
        Ok(false)
    }

    /// True if the copy of `name` is that of `manifest` and complete for `repos`.
    pub(crate) fn has(&self, name: &FileName, manifest: Sha256, repos: &[RepoName]) -> bool {
        let Ok(Some(held)) = self.held(name) else { return false };
        let mut tables = held.manifest.tables.iter().filter(|table| repos.contains(&table.repo));
        Sha256::of(&held.bytes) == manifest
            && self.expires(name).is_ok_and(|expires| expires == Some(held.manifest.expires))
            && tables.all(|table| {
                let compiled = catalogue::Catalogue::open(&self.catalogue_path(name, &table.repo, &table.arch));
                let source = FileKey::at(&held.table(table.sha256));
                matches!((compiled, source), (Ok(Some(compiled)), Ok(source)) if compiled.matches(source))
            })
    }

    /// Returns the results of the routes to the index `name` at its last refresh; empty when unknown.
    pub(crate) fn asked(&self, name: &FileName) -> Vec<RouteRecord> {
        let bytes = fsx::read_followed(&self.asked_path(name), STATE_MOST).ok().flatten();
        bytes.map(|bytes| asked::from_bytes(&bytes)).unwrap_or_default()
    }

    /// Stores those results.
    pub(crate) fn note_asked(&self, name: &FileName, asked: &[RouteRecord]) -> Result<(), StateError> {
        let path = self.asked_path(name);
        let json = serde_json::to_vec(asked).expect("texts and numbers always make JSON");
        replace(&path, &json).map_err(at(&path))
    }

    /// Returns the path of what is remembered of mirrors that are ahead of it (`index::stale`).
    pub(crate) fn lag_path(&self, name: &FileName) -> PathBuf {
        self.dir.join("lag").join(name.as_str())
    }

    /// Removes the copy of `name`; the memory of its keys stays.
    pub(crate) fn forget_copy(&self, name: &FileName) -> Result<(), StateError> {
        let dir = self.copy_dir(name);
        let _ = fs::remove_file(self.asked_path(name));
        let _ = fs::remove_file(self.lag_path(name));
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&dir)(e)),
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<SequenceMemory, StateError> {
        let path = self.file();
        let damaged = |reason: String| StateError::Damaged { path: path.clone(), reason };
        match fsx::read_followed(&path, STATE_MOST) {
            Ok(None) => Ok(SequenceMemory::default()),
            Ok(Some(bytes)) => SequenceMemory::from_bytes(&bytes).map_err(|e| damaged(e.to_string())),
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Err(damaged("it is larger than 1 MiB".to_owned())),
            Err(e) => Err(at(&path)(e)),
        }
    }

    /// Waits for another writer; a refresh holds this lock for as long as it compiles tables.
    fn lock(&self) -> Result<File, StateError> {
        let path = self.dir.join("index.lock");
        fs::create_dir_all(&self.dir).map_err(at(&self.dir))?;
        fsx::lock(&path, Duration::from_secs(30)).map_err(at(&path))
    }

    fn file(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    fn asked_path(&self, name: &FileName) -> PathBuf {
        self.dir.join("asked").join(name.as_str())
    }

    /// Returns the directory of the copy of the index `name`, once there is one.
    pub(crate) fn copy_dir(&self, name: &FileName) -> PathBuf {
        self.dir.join("index").join(name.as_str())
    }
}

impl IndexCopy {
    /// Returns the path of the table with this sha256.
    pub(crate) fn table(&self, sha256: Sha256) -> PathBuf {
        self.dir.join(format!("{sha256}.ndjson"))
    }

    /// Reads a proof stored with it: `minisig`, `ipns-record` or `root`.
    pub(crate) fn proof(&self, kind: &str) -> Option<Vec<u8>> {
        fsx::read_followed(&self.proof_path(kind), BLOCK_MOST as u64).ok().flatten()
    }

    /// Returns the path of such a proof, if it is stored.
    pub(crate) fn proof_path(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", Sha256::of(&self.bytes)))
    }

    /// Returns the path of the manifest.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("pkgswarm.json")
    }
}

/// Reads the uncompressed table at `plain` to its end, which checks every line of it, and compiles it to `to`.
///
/// # Errors
/// When it is not a table of so many entries, and those of the file system.
pub(crate) fn compile(plain: &Path, table: &Table, to: &Path) -> Result<(), StateError> {
    let file = File::open(plain).map_err(at(plain))?;
    let key = FileKey::of(&file).map_err(at(plain))?;
    let mut records = Vec::new();
    for entry in Reader::plain(io::BufReader::new(file), table.entries) {
        let entry = entry?;
        let root = (entry.cid.codec() == Codec::DagPb).then(|| entry.cid.digest());
        // The reader allows 16 KiB.
        let signature = entry.signature.map(|(size, sha256)| Signature { size: size as u32, sha256 });
        records.push(CatalogueEntry {
            name: entry.name,
            size: entry.size,
            sha256: entry.sha256,
            root,
            signature,
            built: None,
        });
    }
    Ok(catalogue::write(to, records, key)?)
}

/// Replaces the file at `path`, synced, through a temporary file beside it; the directory is made when missing.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fsx::replace_synced(path, bytes)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError + '_ {
    move |error| StateError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
