//! What outlives a refresh: the highest sequence seen from each key, and the last good copy of each index.
//!
//! Lives in the state directory (`/var/lib/pkgswarm`), because removing a cache must not open the way back to an old
//! index. One writer at a time, by a lock beside it; readers need no lock, files are replaced by rename.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::{BadManifest, MANIFEST_MOST, Manifest};
use crate::digest::Sha256;
use crate::name::FileName;

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

    /// Makes `manifest` the last good copy of `name`, with the proofs that came along, and removes what only older
    /// copies needed. Its tables must be there already.
    pub fn hold(&self, name: &FileName, manifest: &[u8], proofs: &[(&str, &[u8])]) -> Result<(), BadState> {
        let _lock = self.lock()?;
        let dir = self.copy_dir(name);
        let parsed = Manifest::decode(manifest)?;
        let own = Sha256::of(manifest);
        // Everything has the hash of what it belongs to in its name, so the rename of the manifest is the switch.
        let mut keep: Vec<PathBuf> = parsed.tables.iter().map(|table| self.table_path(name, table.sha256)).collect();
        for (kind, bytes) in proofs {
            let path = dir.join(format!("{own}.{kind}"));
            replace(&path, bytes).map_err(at(&path))?;
            keep.push(path);
        }
        let path = dir.join("pkgswarm.json");
        replace(&path, manifest).map_err(at(&path))?;
        keep.push(path);
        for old in fs::read_dir(&dir).map_err(at(&dir))?.flatten().filter(|old| !keep.contains(&old.path())) {
            // What cannot be removed now is removed next time.
            let _ = fs::remove_file(old.path());
        }
        Ok(())
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

    /// Waits for the other writer; a refresh holds this for milliseconds.
    fn lock(&self) -> Result<File, BadState> {
        let path = self.dir.join("index.lock");
        fs::create_dir_all(&self.dir).map_err(at(&self.dir))?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
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

/// Replaces the file at `path` by way of a temporary neighbour; the directory is made when missing.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut new = tempfile::Builder::new().prefix(".pkgswarm-").tempfile_in(dir)?;
    new.write_all(bytes)?;
    rustix::fs::fchmod(new.as_file(), rustix::fs::Mode::from_raw_mode(0o644))?;
    // A power cut must not leave an empty file that remembers nothing.
    new.as_file().sync_data()?;
    new.persist(path).map(drop).map_err(|e| e.error)
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
    use super::*;

    fn seen(sequence: u64) -> Seen {
        Seen { sequence, manifest: Sha256::of(&sequence.to_le_bytes()), fetched: 1, expires: 2 }
    }

    fn name() -> FileName {
        FileName::new("arch").unwrap()
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
        let old = state.keep_table(&name(), b"old").unwrap();
        let table = state.keep_table(&name(), b"table").unwrap();
        let bytes = sample().encode();
        state.hold(&name(), &bytes, &[("minisig", b"sig")]).unwrap();
        let held = state.held(&name()).unwrap().unwrap();
        assert_eq!((held.manifest.clone(), held.bytes.clone()), (sample(), bytes));
        assert_eq!(held.table(sample().tables[0].sha256), table);
        assert_eq!(fs::read(&table).unwrap(), b"table");
        assert_eq!((held.proof("minisig"), held.proof("ipns-record")), (Some(b"sig".to_vec()), None));
        assert!(!old.exists());
        state.forget_copy(&name()).unwrap();
        assert_eq!(state.held(&name()).unwrap(), None);
    }

    #[test]
    fn a_damaged_copy_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        state.hold(&name(), &sample().encode(), &[]).unwrap();
        fs::write(dir.path().join("index/arch/pkgswarm.json"), "x").unwrap();
        assert!(matches!(state.held(&name()), Err(BadState::Copy(_))));
    }
}
