//! Files without a proof that are needed soon: set aside for one pacman run, and handed out once.
//!
//! The store proper is keyed by sha256, which is known for a signature only if an index lists it. Fetched ahead,
//! it waits here under its name, in a directory of this run of pacman, and is sniffed again when it is taken out.
//! When the run is over its directory is removed, by the process that made it or by the next one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::clock;
use crate::base::fsx;
use crate::store::Store;

/// Most bytes that one of these files may have, with its first line: signatures have at most 16 KiB.
const MOST: u64 = 64 << 10;

/// The extension of a file that marks one as delivered to pacman; its content does not matter.
const HANDED_OUT: &str = "handed-out";

/// The directory of one run.
#[derive(Debug)]
pub(crate) struct Aside {
    dir: PathBuf,
    uid: u32,
}

/// A file that was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SetAside {
    /// Its content.
    pub(crate) bytes: Vec<u8>,
    /// The source that delivered it, for people.
    pub(crate) from: String,
    /// Its date at the source, to the second.
    pub(crate) modified: Option<SystemTime>,
}

impl Store {
    /// Opens the files set aside for the run of pacman called `pacman_run`. Makes nothing on disk before a file is put
    /// there.
    pub(crate) fn aside(&self, pacman_run: &str) -> Aside {
        Aside { dir: self.dir().join("aside").join(pacman_run), uid: self.uid }
    }

    /// Removes the files set aside for runs that are over.
    pub(crate) fn clear_aside(&self, is_over: impl Fn(&str) -> bool) {
        let Ok(entries) = std::fs::read_dir(self.dir().join("aside")) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_none_or(&is_over)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Aside {
    /// Adds a file under `key`, a plain file name without a dot.
    ///
    /// # Errors
    /// When it cannot be written, or files are not set aside for this run any more; then it is not added.
    pub(crate) fn put(&self, key: &str, file: &SetAside) -> io::Result<()> {
        let date = file.modified.map_or(0, clock::unix);
        let head = format!("{date} {}\n", file.from.replace('\n', " "));
        fsx::replace(&self.dir.join(key), &[head.as_bytes(), &file.bytes].concat(), 0o600)
    }

    /// Takes out the file called `key`. `None` when there is none, when another process took it first, or when it
    /// belongs to another user.
    pub(crate) fn take(&self, key: &str) -> Option<SetAside> {
        let path = self.dir.join(key);
        let bytes = take_once(&path, &path.with_extension(HANDED_OUT), self.uid, MOST, Some)?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (date, from) = std::str::from_utf8(&bytes[..end]).ok()?.split_once(' ')?;
        let date: u64 = date.parse().ok()?;
        let modified = (date > 0).then(|| UNIX_EPOCH.checked_add(Duration::from_secs(date))).flatten();
        Some(SetAside { bytes: bytes[end + 1..].to_vec(), from: from.to_owned(), modified })
    }

    /// True if there is a file called `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        std::fs::symlink_metadata(self.dir.join(key)).is_ok()
    }

    /// Makes the directory: from then on [`Aside::is_open`], until it is removed.
    ///
    /// # Errors
    /// When it cannot be made; trying again does not help.
    pub(crate) fn open(&self) -> io::Result<()> {
        fsx::own_dir(&self.dir, self.uid)
    }

    /// True if files are being set aside for this run.
    pub(crate) fn is_open(&self) -> bool {
        self.dir.is_dir()
    }

    /// Records that pacman got the file called `key` in another way: it is not to be fetched again.
    pub(crate) fn note_handed_out(&self, key: &str) {
        if self.is_open() {
            // Without the mark, it is fetched once more than needed.
            let _ = std::fs::File::create_new(self.dir.join(key).with_extension(HANDED_OUT));
        }
    }

    /// True if pacman has got the file called `key` already.
    pub(crate) fn was_handed_out(&self, key: &str) -> bool {
        std::fs::symlink_metadata(self.dir.join(key).with_extension(HANDED_OUT)).is_ok()
    }

    /// True if no file is left to hand out.
    pub(crate) fn is_empty(&self) -> bool {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.map(|entry| PathBuf::from(entry.file_name())).all(|name| name.extension() == Some(HANDED_OUT.as_ref()))
    }

    /// Removes the files that were not taken.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }

    /// Returns its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Takes out the unproven file at `path`, which has the name `taken` from then on. `None` when there is none, when it
/// belongs to another user or has more than `most` bytes, when `read` does not accept it, or when another process
/// took it first.
pub(crate) fn take_once<T>(
    path: &Path,
    taken: &Path,
    uid: u32,
    most: u64,
    read: impl FnOnce(Vec<u8>) -> Option<T>,
) -> Option<T> {
    let found = read(fsx::read_small(path, uid, most).ok()?)?;
    // In one step, in which only one of several processes can succeed. Removing it and creating a mark would cost a
    // new inode, and ext4 searches long for one if many were freed lately (fs/ext4/ialloc.c, recently_deleted).
    std::fs::rename(path, taken).ok()?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::store;

    fn signature() -> SetAside {
        let modified = UNIX_EPOCH.checked_add(Duration::from_secs(1_000_000_000));
        SetAside { bytes: b"\x89\n\0bytes".to_vec(), from: "m.example".to_owned(), modified }
    }

    #[test]
    fn what_was_set_aside_is_handed_out_once_and_to_its_run_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let aside = store.aside("7-1");
        assert!(aside.is_empty() && !aside.is_open() && aside.put("a", &signature()).is_err());
        aside.open().unwrap();
        aside.put("a", &signature()).unwrap();
        assert!(aside.has("a") && !aside.is_empty() && store.aside("8-1").take("a").is_none());
        assert!(!aside.was_handed_out("a"));
        assert_eq!(aside.take("a"), Some(signature()));
        assert!(aside.take("a").is_none() && aside.is_empty() && aside.was_handed_out("a"));
        aside.note_handed_out("b");
        assert!(aside.was_handed_out("b") && aside.is_empty());
        aside.put("undated", &SetAside { modified: None, ..signature() }).unwrap();
        assert_eq!(aside.take("undated").unwrap().modified, None);
    }

    #[test]
    fn what_a_finished_run_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        for pacman_run in ["7-1", "8-1"] {
            store.aside(pacman_run).open().unwrap();
            store.aside(pacman_run).put("x", &signature()).unwrap();
        }
        store.clear_aside(|pacman_run| pacman_run == "7-1");
        assert!(!store.aside("7-1").has("x") && store.aside("8-1").has("x"));
        store.aside("8-1").remove();
        store.aside("8-1").note_handed_out("x");
        assert_eq!(std::fs::read_dir(dir.path().join("store/aside")).unwrap().count(), 0);
    }

    #[test]
    fn a_link_or_a_damaged_file_is_not_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        let aside = store(dir.path(), 1 << 20).aside("7-1");
        aside.open().unwrap();
        aside.put("x", &signature()).unwrap();
        std::os::unix::fs::symlink("x", aside.dir().join("link")).unwrap();
        std::fs::write(aside.dir().join("bad"), b"no first line").unwrap();
        assert!(aside.take("link").is_none() && aside.take("bad").is_none() && aside.take("x").is_some());
    }
}
