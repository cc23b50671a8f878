//! Small files of our own that are trusted without proof: cached output of programs, compiled tables.
//!
//! They live in directories that several users may write to, so only files of the reader itself or of root are
//! trusted. They are replaced by rename, never written in place. The owner is read by a system call: `fakeroot`
//! (checkupdates runs pacman in it) fakes the owners and the user id that libc returns.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};

/// The state of one file: it changes when the file is replaced or written to.
///
/// All zero stands for "not from a file".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FileKey {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last status change, nanoseconds since 1970; unlike the modification time no program can set it.
    pub ctime_ns: i64,
}

impl FileKey {
    /// Returns the state of an open file.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    /// Returns the state of the file at `path`, symbolic links followed, as pacman follows them.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::stat(path)?))
    }

    // The widths of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    fn from_stat(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// Opens `path` for reading if it is a regular file of the reader's real user or root that no other user may write
/// to.
///
/// `None` when there is no such file. A symbolic link in the last component is not followed.
///
/// # Errors
/// `PermissionDenied` for a file of another user, a link, or another type of file; otherwise those of open(2).
pub fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(refused("it is a symbolic link")),
        Err(error) => return Err(error.into()),
    };
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused("it is not a regular file"));
    }
    let own = rustix::process::getuid().as_raw();
    if stat.st_uid != own && stat.st_uid != 0 {
        return Err(refused("it belongs to another user"));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refused("others may write to it"));
    }
    Ok(Some(file))
}

/// Puts a new file at `path`, mode 0644, by way of a hidden temporary file beside it and rename.
///
/// The bytes are on disk before the rename: a power cut must not leave a file full of zeros that lists nothing.
///
/// # Errors
/// Those of `write` and of the file system; then no temporary file is left and the old file stays.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::Builder::new().prefix(".pkgswarm-").tempfile_in(directory)?;
    let mut buffered = io::BufWriter::with_capacity(1 << 18, temporary.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    rustix::fs::fchmod(temporary.as_file(), Mode::from_raw_mode(0o644))?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_replaced_file_has_its_bytes_its_mode_and_no_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(open(&path).unwrap().is_none());
        replace(&path, |to| to.write_all(b"old")).unwrap();
        replace(&path, |to| to.write_all(b"new")).unwrap();
        let mut text = String::new();
        open(&path).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace(&path, |to| to.write_all(b"old")).unwrap();
        replace(&path, |_| Err(io::Error::other("stopped"))).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_directories_and_files_that_others_may_write_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace(&path, |to| to.write_all(b"x")).unwrap();
        symlink(&path, dir.path().join("link")).unwrap();
        std::fs::copy(&path, dir.path().join("open")).unwrap();
        std::fs::set_permissions(dir.path().join("open"), PermissionsExt::from_mode(0o666)).unwrap();
        for bad in [dir.path().join("link"), dir.path().join("open"), dir.path().to_owned()] {
            assert_eq!(open(&bad).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{}", bad.display());
        }
    }

    #[test]
    fn the_key_changes_with_every_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace(&path, |to| to.write_all(b"1")).unwrap();
        let kept = File::open(&path).unwrap();
        let key = FileKey::at(&path).unwrap();
        assert_eq!(FileKey::of(&kept).unwrap(), key);
        replace(&path, |to| to.write_all(b"2")).unwrap();
        assert_ne!(FileKey::at(&path).unwrap(), key);
    }
}
