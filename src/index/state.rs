//! What outlives a refresh: the highest sequence seen from each key, and the last good copy of each index.
//!
//! Lives in the state directory (`/var/lib/pkgswarm`), because removing a cache must not open the way back to an old
//! index. One writer at a time, by a lock beside it; readers need no lock, files are replaced by rename.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::manifest::{BadManifest, MANIFEST_MOST, Manifest, Table};
use super::table::{BadTable, Reader};
use crate::catalogue::{self, CatalogueError, Record};
use crate::cid::Codec;
use crate::digest::Sha256;
use crate::distro::syncdb::Signature;
use crate::distro::trusted::{self, FileKey};
use crate::fsx;
use crate::name::{FileName, RepoName};

/// Most bytes of the state file; a key takes about 200.
const STATE_MOST: u64 = 1 << 20;

/// What is remembered of a publisher's key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Highest sequence accepted.
    pub sequence: u64,
    /// Sha256 of the manifest with that sequence: a publisher has one manifest for a sequence.
    pub manifest: Sha256,
    /// Unix seconds at which a source last confirmed it.
    pub fetched: u64,
    /// Unix seconds.
    pub expires: u64,
}

/// The directory that all of this is in.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

/// The last good copy of an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The manifest, which was proven when it was stored.
    pub manifest: Manifest,
    /// Its bytes as signed, for handing on.
    pub bytes: Vec<u8>,
    /// Where its tables are.
    dir: PathBuf,
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BadState {
    /// This machine failed; the text names the path.
    #[error("{path}: {error}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The memory of sequences is damaged. It is not thrown away silently: old indexes could come back then.
    #[error("{path} is damaged ({reason}); remove it to forget which sequences were seen")]
    Damaged {
        /// The state file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A table is not what a table is: the publisher's mistake.
    #[error(transparent)]
    Table(#[from] BadTable),
    /// A table could not be compiled.
    #[error(transparent)]
    Compile(#[from] CatalogueError),
    /// The stored copy is no longer what was stored. A refresh replaces it.
    #[error("the stored copy of the index is damaged: {0}")]
    Copy(#[from] BadManifest),
}

impl State {
    /// The state in `dir`, which is made when first written.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// What was seen of any of `keys` (as [`super::accept::Grant::keys`] gives them), the highest sequence of them.
    pub fn seen(&self, keys: &[String]) -> Result<Option<Seen>, BadState> {
        let all = self.read()?;
        Ok(keys.iter().filter_map(|key| all.get(key)).max_by_key(|seen| seen.sequence).cloned())
    }

    /// Remembers `seen` for each of `keys`; a higher sequence remembered before stays.
    pub fn note(&self, keys: &[String], seen: &Seen) -> Result<(), BadState> {
        let _lock = self.lock()?;
        let mut all = self.read()?;
        for key in keys {
            let old = all.entry(key.clone()).or_insert_with(|| seen.clone());
            if seen.sequence >= old.sequence {
                *old = seen.clone();
            }
        }
        let mut json = serde_json::to_vec_pretty(&all).expect("texts and numbers always make JSON");
        json.push(b'\n');
        replace(&self.file(), &json).map_err(at(&self.file()))
    }

    /// The last good copy of the index called `name`; `None` when there is none yet.
    pub fn held(&self, name: &FileName) -> Result<Option<Held>, BadState> {
        let dir = self.copy_dir(name);
        let path = dir.join("pkgswarm.json");
        let Some(bytes) = read_most(&path, MANIFEST_MOST as u64).map_err(at(&path))? else {
            return Ok(None);
        };
        Ok(Some(Held { manifest: Manifest::decode(&bytes)?, bytes, dir }))
    }

    /// Where a table with this sha256 belongs in the copy of `name`; may exist already.
    pub fn table_path(&self, name: &FileName, sha256: Sha256) -> PathBuf {
        self.copy_dir(name).join(format!("{sha256}.ndjson.zst"))
    }

    /// Puts the bytes of a table there.
    pub fn keep_table(&self, name: &FileName, bytes: &[u8]) -> Result<PathBuf, BadState> {
        let path = self.table_path(name, Sha256::of(bytes));
        replace(&path, bytes).map_err(at(&path))?;
        Ok(path)
    }

    /// Makes `manifest` the last good copy of `name`, with the proofs that came along, compiles the tables of `repos`,
    /// and removes what only older copies needed. Those tables must be there already, and proven.
    pub fn hold(
        &self,
        name: &FileName,
        manifest: &[u8],
        proofs: &[(&str, &[u8])],
        repos: &[RepoName],
    ) -> Result<(), BadState> {
        let _lock = self.lock()?;
        let dir = self.copy_dir(name);
        let parsed = Manifest::decode(manifest)?;
        let own = Sha256::of(manifest);
        let mut keep = Vec::new();
        for table in parsed.tables.iter().filter(|table| repos.contains(&table.repo)) {
            let packed = self.table_path(name, table.sha256);
            let compiled = self.catalogue_path(name, &table.repo, &table.arch);
            compile(&packed, table, &compiled)?;
            keep.extend([packed, compiled]);
        }
        // Everything has the hash of what it belongs to in its name, so the rename of the manifest is the switch.
        for (kind, bytes) in proofs {
            let path = dir.join(format!("{own}.{kind}"));
            replace(&path, bytes).map_err(at(&path))?;
            keep.push(path);
        }
        // After the catalogues: a crash in between must not lengthen the life of old ones.
        let life = dir.join("expires");
        replace(&life, format!("{}\n", parsed.expires).as_bytes()).map_err(at(&life))?;
        let path = dir.join("pkgswarm.json");
        replace(&path, manifest).map_err(at(&path))?;
        keep.extend([life, path]);
        for old in fs::read_dir(&dir).map_err(at(&dir))?.flatten().filter(|old| !keep.contains(&old.path())) {
            // What cannot be removed now is removed next time.
            let _ = fs::remove_file(old.path());
        }
        Ok(())
    }

    /// The compiled table of one repo of the index `name`: what a download looks its file up in.
    pub fn catalogue_path(&self, name: &FileName, repo: &RepoName, arch: &str) -> PathBuf {
        self.copy_dir(name).join(format!("{repo}-{arch}.catalogue"))
    }

    /// Unix seconds at which the copy of `name` stops to count; `None` when there is none. Reads one line, no JSON.
    pub fn expires(&self, name: &FileName) -> Option<u64> {
        let line = read_most(&self.copy_dir(name).join("expires"), 64).ok()??;
        std::str::from_utf8(&line).ok()?.trim().parse().ok()
    }

    /// Whether the copy of `name` is that of `manifest` and complete for `repos`.
    pub fn has(&self, name: &FileName, manifest: Sha256, repos: &[RepoName]) -> bool {
        let Ok(Some(held)) = self.held(name) else { return false };
        let mut tables = held.manifest.tables.iter().filter(|table| repos.contains(&table.repo));
        Sha256::of(&held.bytes) == manifest
            && self.expires(name) == Some(held.manifest.expires)
            && tables.all(|table| {
                let compiled = catalogue::Catalogue::open(&self.catalogue_path(name, &table.repo, &table.arch));
                let source = FileKey::at(&held.table(table.sha256));
                matches!((compiled, source), (Ok(Some(compiled)), Ok(source)) if compiled.matches(source))
            })
    }

    /// Removes the copy of `name`; what was seen of its keys stays.
    pub fn forget_copy(&self, name: &FileName) -> Result<(), BadState> {
        let dir = self.copy_dir(name);
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&dir)(e)),
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<BTreeMap<String, Seen>, BadState> {
        let path = self.file();
        let damaged = |reason: String| BadState::Damaged { path: path.clone(), reason };
        match read_most(&path, STATE_MOST) {
            Ok(None) => Ok(BTreeMap::new()),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string())),
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Err(damaged("it is larger than 1 MiB".to_owned())),
            Err(e) => Err(at(&path)(e)),
        }
    }

    /// Waits for the other writer; a refresh holds this for as long as it compiles tables.
    fn lock(&self) -> Result<File, BadState> {
        let path = self.dir.join("index.lock");
        fs::create_dir_all(&self.dir).map_err(at(&self.dir))?;
        fsx::lock(&path, Duration::from_secs(30)).map_err(at(&path))
    }

    fn file(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    fn copy_dir(&self, name: &FileName) -> PathBuf {
        self.dir.join("index").join(name.as_str())
    }
}

impl Held {
    /// The file of the table with this sha256.
    pub fn table(&self, sha256: Sha256) -> PathBuf {
        self.dir.join(format!("{sha256}.ndjson.zst"))
    }

    /// A proof stored with it: `minisig` or `ipns-record`.
    pub fn proof(&self, kind: &str) -> Option<Vec<u8>> {
        read_most(&self.dir.join(format!("{}.{kind}", Sha256::of(&self.bytes))), 64 << 10).ok().flatten()
    }
}

/// Reads a table to its end, which checks every line of it, and compiles it.
fn compile(packed: &Path, table: &Table, to: &Path) -> Result<(), BadState> {
    let file = File::open(packed).map_err(at(packed))?;
    let key = FileKey::of(&file).map_err(at(packed))?;
    let mut records = Vec::new();
    for entry in Reader::new(io::BufReader::new(file), table.entries)? {
        let entry = entry?;
        let root = (entry.cid.codec() == Codec::DagPb).then(|| entry.cid.digest());
        // The reader allows 16 KiB.
        let signature = entry.signature.map(|(size, sha256)| Signature { size: size as u32, sha256 });
        records.push(Record { name: entry.name, size: entry.size, sha256: entry.sha256, root, signature });
    }
    Ok(catalogue::write(to, records, key)?)
}

/// Replaces the file at `path`, synced, by way of a temporary neighbour; the directory is made when missing.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    trusted::replace(path, |to| to.write_all(bytes))
}

/// Reads a file of at most `most` bytes; `None` when it is missing, `FileTooLarge` when it is longer.
pub(crate) fn read_most(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(bytes))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BadState + '_ {
    move |error| BadState::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::super::table::tests::{entry, written};
    use super::*;

    fn seen(sequence: u64) -> Seen {
        Seen { sequence, manifest: Sha256::of(&sequence.to_le_bytes()), fetched: 1, expires: 2 }
    }

    fn name() -> FileName {
        FileName::new("arch").unwrap()
    }

    fn core() -> RepoName {
        RepoName::new("core").unwrap()
    }

    fn with_table() -> (Manifest, Vec<u8>) {
        let packed = written(&[entry("a", 1), entry("b", 2 << 20)]);
        let mut manifest = sample();
        let sha256 = Sha256::of(&packed);
        let cid = crate::cid::Cid::raw(sha256);
        let size = packed.len() as u64;
        manifest.tables[0] = Table { sha256, size, entries: 2, cid, ..manifest.tables[0].clone() };
        (manifest, packed)
    }

    #[test]
    fn the_highest_sequence_of_a_key_is_never_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path().join("state"));
        let [a, b] = ["ipns:a", "minisign:b"].map(str::to_owned);
        assert_eq!(state.seen(std::slice::from_ref(&a)).unwrap(), None);
        state.note(&[a.clone(), b.clone()], &seen(5)).unwrap();
        state.note(std::slice::from_ref(&a), &seen(4)).unwrap();
        state.note(std::slice::from_ref(&b), &seen(9)).unwrap();
        let again = State::at(dir.path().join("state"));
        assert_eq!(again.seen(std::slice::from_ref(&a)).unwrap(), Some(seen(5)));
        assert_eq!(again.seen(&[a, b]).unwrap(), Some(seen(9)));
    }

    #[test]
    fn a_damaged_memory_is_an_error_and_not_a_fresh_start() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("index.json"), "{").unwrap();
        let state = State::at(dir.path());
        let keys = ["ipns:a".to_owned()];
        assert!(matches!(state.seen(&keys), Err(BadState::Damaged { .. })));
        assert!(matches!(state.note(&keys, &seen(1)), Err(BadState::Damaged { .. })));
        fs::write(dir.path().join("index.json"), vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(matches!(state.seen(&keys), Err(BadState::Damaged { .. })));
    }

    #[test]
    fn the_last_good_copy_is_kept_and_older_parts_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        assert_eq!(state.held(&name()).unwrap(), None);
        let (manifest, packed) = with_table();
        let old = state.keep_table(&name(), b"old").unwrap();
        let table = state.keep_table(&name(), &packed).unwrap();
        let bytes = manifest.encode();
        state.hold(&name(), &bytes, &[("minisig", b"sig")], &[core()]).unwrap();
        let held = state.held(&name()).unwrap().unwrap();
        assert_eq!((held.manifest.clone(), held.bytes.clone()), (manifest.clone(), bytes.clone()));
        assert_eq!(held.table(manifest.tables[0].sha256), table);
        let compiled = state.catalogue_path(&name(), &core(), "x86_64");
        let compiled = catalogue::Catalogue::open(&compiled).unwrap().unwrap();
        let found = compiled.find(&FileName::new("b").unwrap()).unwrap().unwrap();
        assert_eq!((found.size, found.cid()), (2 << 20, Some(entry("b", 2 << 20).cid)));
        assert_eq!(state.expires(&name()), Some(manifest.expires));
        assert!(state.has(&name(), Sha256::of(&bytes), &[core()]));
        assert_eq!((held.proof("minisig"), held.proof("ipns-record")), (Some(b"sig".to_vec()), None));
        assert!(!old.exists());
        fs::remove_file(table).unwrap();
        assert!(!state.has(&name(), Sha256::of(&bytes), &[core()]));
        state.forget_copy(&name()).unwrap();
        assert_eq!(state.held(&name()).unwrap(), None);
    }

    #[test]
    fn tables_of_repos_that_are_not_granted_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        let (manifest, packed) = with_table();
        let table = state.keep_table(&name(), &packed).unwrap();
        state.hold(&name(), &manifest.encode(), &[], &[]).unwrap();
        assert!(!table.exists() && !state.catalogue_path(&name(), &core(), "x86_64").exists());
    }

    #[test]
    fn a_table_that_is_none_does_not_replace_the_good_copy() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        let (manifest, packed) = with_table();
        state.keep_table(&name(), &packed).unwrap();
        state.hold(&name(), &manifest.encode(), &[], &[core()]).unwrap();
        state.keep_table(&name(), b"table").unwrap();
        assert!(matches!(state.hold(&name(), &sample().encode(), &[], &[core()]), Err(BadState::Table(_))));
        assert!(state.has(&name(), Sha256::of(&manifest.encode()), &[core()]));
    }

    #[test]
    fn a_damaged_copy_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        state.hold(&name(), &sample().encode(), &[], &[]).unwrap();
        fs::write(dir.path().join("index/arch/pkgswarm.json"), "x").unwrap();
        assert!(matches!(state.held(&name()), Err(BadState::Copy(_))));
    }
}
