//! A small disk of its own for a package cache and the store.

use super::pacman::user_dir;
use super::{PacmanRoot, command, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A place where disks of different sizes can be put in.
pub struct Disk {
    dir: TempDir,
}

/// A disk that is put in, empty but for its two directories; it is taken out when this is dropped.
pub struct Inserted<'a>(&'a Path);

impl Disk {
    /// Where none is put in yet.
    pub fn slot() -> Disk {
        let disk = Disk { dir: scratch("disk") };
        fs::create_dir(disk.at()).expect("a directory");
        disk
    }

    fn at(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Where the store will be on it.
    pub fn store(&self) -> PathBuf {
        self.at().join("store")
    }

    /// The files that the store on it has.
    pub fn stored(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store().join("files")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Has pacman keep its package cache on it.
    pub fn holds_cache_of(&self, pacman: &PacmanRoot) {
        fs::remove_dir_all(pacman.cache()).expect("an empty cache");
        std::os::unix::fs::symlink(self.at().join("cache"), pacman.cache()).expect("a link");
    }

    /// Puts one of this size in.
    ///
    /// # Errors
    /// Where this machine mounts none.
    pub fn insert(&self, bytes: u64) -> Result<Inserted<'_>, String> {
        let options = format!("size={bytes},mode=0755");
        let status = command("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(self.at()).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err("this machine mounts no tmpfs".into());
        }
        let inserted = Inserted(self.dir.path());
        fs::create_dir(self.at().join("cache")).expect("a directory");
        user_dir(&self.store());
        Ok(inserted)
    }
}

impl Drop for Inserted<'_> {
    fn drop(&mut self) {
        // A process that has just been told to end may be there still.
        let _ = command("umount").arg("--lazy").arg(self.0.join("disk")).status();
    }
}
