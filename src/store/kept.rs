//! Files of shares that are kept in this store (`pkgswarm keep` without Kubo), a directory a share: no
//! eviction, no sweep and no `store clean` removes them, and they are handed out like others without leaving.
//!
//! ```text
//! <store>/kept/<share>/<key>       proven once, and proven again at each delivery
//! <store>/kept/<share>/<key>.name  as beside a stored file
//! <store>/left/<share>/            files of shares that ended, under pacman's names: the user's own
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tempfile::{NamedTempFile, TempPath};

use super::note::Note;
use super::sweep::{list, remove};
use super::{Stay, Store};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::store::journal::FileOrigin;
use crate::trust::verify::{self, Verified};

/// The directories of the shares, in a store.
const KEPT: &str = "kept";
const LEFT: &str = "left";

/// The files of one share.
#[derive(Clone, Debug)]
pub(crate) struct StoreShare {
    store: PathBuf,
    dir: PathBuf,
}

/// Returns the directory of all shares in the store at `store`.
pub(crate) fn shares_dir(store: &Path) -> PathBuf {
    store.join(KEPT)
}

/// Lists the directories of the shares in the store at `store`, which may be another user's.
pub(crate) fn share_dirs(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(shares_dir(store)).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|of| of.is_dir())).map(|entry| entry.path()).collect()
}

/// Returns the path of a kept file in the store at `store`.
pub(super) fn find(store: &Path, sha256: Sha256) -> Option<PathBuf> {
    let paths = share_dirs(store).into_iter().map(|dir| dir.join(sha256.to_string()));
    paths.into_iter().find(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()))
}

impl StoreShare {
    /// Returns the share `name` in the store at `store`; it need not exist.
    pub(crate) fn of(store: &Path, name: &str) -> Self {
        Self { store: store.to_owned(), dir: shares_dir(store).join(name) }
    }

    /// True if it was begun, and has not ended.
    pub(crate) fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    /// Returns its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins it, or checks that only `uid` and root can write to it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn begin(&self, uid: u32) -> io::Result<()> {
        fsx::own_dir(&shares_dir(&self.store), uid)?;
        fsx::own_dir(&self.dir, uid)
    }

    /// Lists its files with their bytes, and removes what a killed process left in parts.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn files(&self) -> io::Result<BTreeMap<Sha256, u64>> {
        let mut files = BTreeMap::new();
        let mut notes = Vec::new();
        for (path, meta) in list(&self.dir)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            match (name.parse::<Sha256>(), name.strip_suffix(".name").and_then(|key| key.parse::<Sha256>().ok())) {
                (Ok(sha256), _) => drop(files.insert(sha256, meta.len())),
                (_, Some(sha256)) => notes.push((sha256, path)),
                _ if name.starts_with(fsx::TEMPORARY) => fs::remove_file(&path)?,
                _ => {}
            }
        }
        for (_, path) in notes.iter().filter(|(sha256, _)| !files.contains_key(sha256)) {
            fs::remove_file(path)?;
        }
        Ok(files)
    }

    /// Adds the proven bytes of `file`: by its name, where it is the caller's own, else as a copy, which costs
    /// nothing where the file system shares extents. A copy is proven itself.
    ///
    /// # Errors
    /// Those of the file system, `StorageFull` among them; `InvalidData` when the file changed meanwhile. Then
    /// nothing was added.
    pub(crate) fn put(
        &self,
        file: &File,
        own: Option<TempPath>,
        told: (&FileName, &FileOrigin),
        proof: &Verified,
    ) -> io::Result<()> {
        let to = self.path(proof.sha256());
        let (name, from) = told;
        Note::write(&to, name, Stay::Lasting, from)?;
        if let Some(own) = own {
            // The daemon, which has a user of its own, reads it too.
            rustix::fs::fchmod(file, Mode::from(0o644))?;
            return own.persist(&to).map_err(|e| e.error);
        }
        if find(&self.store, proof.sha256()).is_some_and(|other| other != to && fs::hard_link(other, &to).is_ok()) {
            return Ok(());
        }
        let copy = tempfile::Builder::new().prefix(fsx::TEMPORARY).tempfile_in(&self.dir)?;
        self.copied(file, copy, &to, proof)
    }

    fn copied(&self, file: &File, copy: NamedTempFile, to: &Path, proof: &Verified) -> io::Result<()> {
        if fsx::reflink(file, copy.as_file(), proof.size()) {
            verify::prove(copy.as_file(), proof.sha256(), proof.size())
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        } else {
            verify::prove_copy(file, copy.as_file(), proof.sha256(), proof.size())?
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        }
        rustix::fs::fchmod(copy.as_file(), Mode::from(0o644))?;
        copy.persist(to).map(drop).map_err(|e| e.error)
    }

    /// Takes a file over that lies in the store for the user; false where it is not there, or will be handed
    /// out once. [`StoreShare::give_back`] is the way back.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn take_over(&self, sha256: Sha256) -> io::Result<bool> {
        let from = self.stored(sha256);
        let note = Note::beside(&from);
        let Some(name) = note.name.and_then(|name| FileName::new(name).ok()) else { return Ok(false) };
        if note.stay == Stay::Passing {
            return Ok(false);
        }
        let to = self.path(sha256);
        Note::write(&to, &name, Stay::Lasting, &note.from)?;
        if let Ok(file) = fsx::open_read(&from) {
            rustix::fs::fchmod(file, Mode::from(0o644))?;
        }
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        }
        let _ = fs::remove_file(from.with_extension("name"));
        Ok(true)
    }

    /// Gives a file back to the store, where it is the user's as before.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn give_back(&self, sha256: Sha256) -> io::Result<()> {
        let (from, to) = (self.path(sha256), self.stored(sha256));
        let note = Note::beside(&from);
        if let Some(name) = note.name.and_then(|name| FileName::new(name).ok()) {
            Note::write(&to, &name, Stay::Lasting, &note.from)?;
        }
        match fs::rename(&from, &to) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        remove(&from)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn remove(&self, sha256: Sha256) -> io::Result<()> {
        remove(&self.path(sha256))
    }

    /// Opens a file, not proven.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(&self, sha256: Sha256) -> io::Result<File> {
        fsx::open_read(&self.path(sha256))
    }

    /// Returns the directory to which [`StoreShare::leave`] moves files.
    pub(crate) fn left_dir(&self) -> PathBuf {
        self.store.join(LEFT).join(self.dir.file_name().unwrap_or_default())
    }

    /// Leaves a file to the user, under pacman's name for it, where no command of ours touches it any more.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn leave(&self, sha256: Sha256, uid: u32) -> io::Result<()> {
        let from = self.path(sha256);
        let dir = self.left_dir();
        fsx::own_dir(&dir, uid)?;
        let name = Note::beside(&from).name.and_then(|name| FileName::new(name).ok());
        let name = name.map_or_else(|| sha256.to_string(), |name| name.to_string());
        let mut to = dir.join(&name);
        if to.exists() {
            // Two repositories have different files of one name.
            to = dir.join(format!("{sha256}-{name}"));
        }
        fs::rename(&from, to)?;
        remove(&from)
    }

    /// Ends a share whose files have gone.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn end(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn path(&self, sha256: Sha256) -> PathBuf {
        self.dir.join(sha256.to_string())
    }

    fn stored(&self, sha256: Sha256) -> PathBuf {
        self.store.join("files").join(sha256.to_string())
    }
}

impl Store {
    /// Returns the path of a proven file: among those that come and go, else among those of shares.
    pub(super) fn place_of(&self, sha256: Sha256) -> PathBuf {
        let usual = self.files_dir().join(sha256.to_string());
        match fs::symlink_metadata(&usual) {
            Ok(_) => usual,
            Err(_) => find(self.dir(), sha256).unwrap_or(usual),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, store};
    use super::*;

    fn share(dir: &Path, store: &Store) -> StoreShare {
        let share = StoreShare::of(store.dir(), "arch");
        share.begin(rustix::process::getuid().as_raw()).unwrap();
        assert!(dir.join("store/kept/arch").is_dir());
        share
    }

    #[test]
    fn a_kept_file_is_handed_out_and_nothing_that_makes_room_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 150);
        let share = share(dir.path(), &store);
        let sha256 = keep(&store, &[1; 100]);
        assert!(share.take_over(sha256).unwrap());
        assert_eq!(fs::read_dir(store.files_dir()).unwrap().count(), 0);
        keep(&store, &[2; 100]);
        keep(&store, &[3; 100]);
        store.make_room(u64::MAX);
        store.shrink_to(0).unwrap();
        fs::write(dir.path().join("a-1-1-any.pkg.tar.zst"), [1; 100]).unwrap();
        store.sweep(&[dir.path().to_owned()]).unwrap();
        store.let_go(sha256);
        store.forget(sha256);
        assert!(store.has(sha256, 100) && store.find(sha256, 100).is_some() && store.take_out(sha256).is_none());
        assert_eq!(share.files().unwrap(), BTreeMap::from([(sha256, 100)]));
        share.give_back(sha256).unwrap();
        assert!(share.files().unwrap().is_empty() && store.files_dir().join(sha256.to_string()).exists());
        assert_eq!(fs::read_dir(share.dir()).unwrap().count(), 0, "no note is left");
        assert!(store.take_out(sha256).is_some(), "it is one like others");
    }

    #[test]
    fn a_damaged_kept_file_is_dropped_by_who_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let share = share(dir.path(), &store);
        let sha256 = keep(&store, b"package");
        share.take_over(sha256).unwrap();
        fs::write(share.dir().join(sha256.to_string()), b"damaged").unwrap();
        assert!(store.find(sha256, 7).is_none() && share.files().unwrap().is_empty());
    }

    #[test]
    fn two_shares_have_one_copy_and_what_is_left_has_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let (one, uid) = (share(dir.path(), &store), rustix::process::getuid().as_raw());
        let sha256 = keep(&store, b"package");
        one.take_over(sha256).unwrap();
        let two = StoreShare::of(store.dir(), "other");
        two.begin(uid).unwrap();
        let found = store.find(sha256, 7).unwrap();
        let name = FileName::new("a-1-1-any.pkg.tar.zst".to_owned()).unwrap();
        two.put(&found.kept.file, None, (&name, &found.kept.from), &found.proof).unwrap();
        let inode = |share: &StoreShare| rustix::fs::stat(share.dir().join(sha256.to_string())).unwrap().st_ino;
        assert_eq!(inode(&one), inode(&two));
        one.leave(sha256, uid).unwrap();
        one.end().unwrap();
        assert_eq!(fs::read(store.dir().join("left/arch/a-1-1-any.pkg.tar.zst")).unwrap(), b"package");
        assert!(!one.exists() && store.has(sha256, 7), "the other has it");
    }

    #[test]
    fn what_a_killed_process_left_in_parts_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let share = share(dir.path(), &store);
        let sha256 = Sha256::of(b"x");
        fs::write(share.dir().join(".pkgswarm-abc"), b"half").unwrap();
        fs::write(share.dir().join(format!("{sha256}.name")), b"a\n").unwrap();
        assert!(share.files().unwrap().is_empty());
        assert_eq!(fs::read_dir(share.dir()).unwrap().count(), 0);
    }
}
