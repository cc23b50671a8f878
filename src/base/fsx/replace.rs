//! A file replaced in one step: the new one is written under a hidden name beside it, and renamed.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid};
use tempfile::NamedTempFile;

/// Beginning of the names of files that are not complete yet, and of directories that end with their process.
pub(crate) const TEMPORARY: &str = ".pkgswarm-";

/// The durability of a replacement: through the end of this process, or through a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lasting {
    /// The kernel writes it when it likes: after a power cut the file may be the old one, or empty.
    Cached,
    /// The bytes are on the disk before they get the name: a power cut leaves the old file or the new one.
    Synced,
    /// As `Synced`, owner and mode included, and the name is on the disk too: a power cut leaves the new file.
    Named,
}

/// The owner, mode and lasting of a new file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplaceOptions {
    /// Permission bits.
    pub(crate) mode: u32,
    /// User and group; `None` leaves those of this process.
    pub(crate) owner: Option<(u32, u32)>,
    /// Its durability.
    pub(crate) lasting: Lasting,
}

/// A complete file with a hidden name, ready to take another one's place. Removed on drop.
#[derive(Debug)]
pub(crate) struct Replacement {
    temp: NamedTempFile,
    path: PathBuf,
    lasting: Lasting,
}

/// Adds `line`, with its end, to the file at `path`. One before it that was cut short is ended first: it is a line of its
/// own, and takes this one not with it (`a_line_that_was_cut_short_takes_no_other_with_it`).
///
/// # Errors
/// Those of the file; it may end with a part of the line then.
pub(crate) fn add_line(path: &Path, line: &str, lasting: Lasting) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).read(true).open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let end = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{end}{line}").as_bytes())?;
    if lasting == Lasting::Cached { Ok(()) } else { file.sync_data() }
}

impl Replacement {
    /// Makes the file that is to be at `path`, in the same directory, with the content that `write` writes.
    ///
    /// # Errors
    /// Those of `write` and of the file system; then nothing is left, and the old file stays.
    pub(crate) fn prepare(
        path: &Path,
        options: &ReplaceOptions,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Self> {
        let ReplaceOptions { mode, owner, lasting } = *options;
        let mut temp = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(directory(path))?;
        write(temp.as_file_mut())?;
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(temp.as_file(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        // After the owner, because that change clears some bits.
        rustix::fs::fchmod(temp.as_file(), Mode::from(mode))?;
        match lasting {
            Lasting::Cached => {}
            Lasting::Synced => temp.as_file().sync_data()?,
            Lasting::Named => temp.as_file().sync_all()?,
        }
        Ok(Self { temp, path: path.to_owned(), lasting })
    }

    /// Renames it: readers see the old file or this one.
    ///
    /// # Errors
    /// Those of the file system; the old file stays, unless only its directory could not be synced.
    pub(crate) fn commit(self) -> io::Result<()> {
        self.temp.persist(&self.path).map_err(|e| e.error)?;
        name_lasts(&self.path, self.lasting)
    }

    /// Names it where there is no file of that name.
    ///
    /// # Errors
    /// `AlreadyExists`, and those of the file system.
    pub(crate) fn commit_new(self) -> io::Result<()> {
        self.temp.persist_noclobber(&self.path).map_err(|e| e.error)?;
        name_lasts(&self.path, self.lasting)
    }
}

/// Writes a small file in one step. It may be lost in a power cut: for what can be made again.
///
/// # Errors
/// Those of the file system; then no temporary file is left and the old file stays.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let options = ReplaceOptions { mode, owner: None, lasting: Lasting::Cached };
    Replacement::prepare(path, &options, |to| to.write_all(bytes))?.commit()
}

/// Writes a file of mode 0644 in one step, and before that to the disk: a power cut must not leave a file full of
/// zeros that lists nothing.
///
/// # Errors
/// As of [`replace`].
pub(crate) fn replace_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_synced_by(path, |to| to.write_all(bytes))
}

/// Works as [`replace_synced`], with the bytes that `write` writes, in pieces of any size.
///
/// # Errors
/// Those of `write`, and as of [`replace`].
pub(crate) fn replace_synced_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let options = ReplaceOptions { mode: 0o644, owner: None, lasting: Lasting::Synced };
    let buffered = |to: &mut File| {
        let mut buffer = BufWriter::with_capacity(1 << 18, to);
        write(&mut buffer)?;
        buffer.flush()
    };
    Replacement::prepare(path, &options, buffered)?.commit()
}

fn name_lasts(path: &Path, lasting: Lasting) -> io::Result<()> {
    match lasting {
        Lasting::Named => File::open(directory(path))?.sync_all(),
        Lasting::Cached | Lasting::Synced => Ok(()),
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_replaced_file_has_its_bytes_its_mode_and_no_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        replace_synced(&path, b"old").unwrap();
        replace_synced(&path, b"new").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode()), (b"new".to_vec(), 0o644));
        replace(&path, b"private", 0o600).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode()), (b"private".to_vec(), 0o600));
        let options = ReplaceOptions { mode: 0o440, owner: None, lasting: Lasting::Named };
        Replacement::prepare(&path, &options, |to| to.write_all(b"named")).unwrap().commit().unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode()), (b"named".to_vec(), 0o440));
        let second = Replacement::prepare(&path, &options, |to| to.write_all(b"second")).unwrap();
        assert_eq!(second.commit_new().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"named");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace_synced(&path, b"old").unwrap();
        replace_synced_by(&path, |_| Err(io::Error::other("stopped"))).unwrap_err();
        let options = ReplaceOptions { mode: 0o644, owner: None, lasting: Lasting::Cached };
        drop(Replacement::prepare(&path, &options, |to| to.write_all(b"dropped")).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
