//! A small disk of its own for a package cache and the store.

use super::pacman::user_dir;
use super::{PacmanRoot, command, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A slot for disks of different sizes.
pub struct Disk {
    dir: TempDir,
}

/// An inserted disk, empty but for its two directories; removed on drop.
pub struct Inserted<'a>(&'a Path);

impl Disk {
    /// Makes an empty slot.
    pub fn slot() -> Disk {
        let disk = Disk { dir: scratch("disk") };
        fs::create_dir(disk.at()).expect("a directory");
        disk
    }

    fn at(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Returns the path for the store on it.
    pub fn store(&self) -> PathBuf {
        self.at().join("store")
    }

    /// Lists the files of the store on it.
    pub fn stored(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store().join("files")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Puts pacman's package cache on it.
    pub fn holds_cache_of(&self, pacman: &PacmanRoot) {
        fs::remove_dir_all(pacman.cache()).expect("an empty cache");
        std::os::unix::fs::symlink(self.at().join("cache"), pacman.cache()).expect("a link");
    }

    /// Inserts a disk of this size.
    ///
    /// # Errors
    /// If this machine does not allow mounting.
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
        // A process that has just been told to end may still be there.
        let _ = command("umount").arg("--lazy").arg(self.0.join("disk")).status();
    }
}
