//! The only place where a file gets the name that the caller asked for.
//!
//! pacman takes whatever is at `%o` as complete when we exit 0. So the bytes are first in a file without a name in
//! the same directory, a copy where the source file stays in use, and the name is given only in exchange for
//! [`Accepted`]. Killed at any instant, there is either no new file or the whole one (`tests/cases/xfer_kill.rs`).
//!
//! A character device that is there keeps its name: the bytes are written into it once they are accepted, as curl does
//! at once (`tests/cases/devices.rs`). A FIFO is replaced like a file: opening it would wait for a reader, without end
//! where another user left it there.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::fsx;
use crate::trust::verify::{self, Accepted, MismatchError, Verified};

/// Bytes that are written to a device at a time.
const PART: u64 = 64 << 10;

/// A path to which a file will be delivered. It is unchanged until [`Staged::commit`].
#[derive(Debug)]
pub struct Output {
    dir: OwnedFd,
    dir_path: PathBuf,
    name: String,
    path: PathBuf,
    /// True when a device is there, which takes the bytes.
    is_stream: bool,
}

/// The copy that has no name yet. Dropping it removes it.
pub struct Staged<'a> {
    output: &'a Output,
    file: File,
    /// The temporary name, where the file system has no unnamed files.
    named: Option<tempfile::TempPath>,
}

impl Output {
    /// Opens the directory of `path`, which must exist and take new files.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let bad = |why: &str| Error::usage(path.display(), why).hint("give the path of the file to write");
        let name = path.file_name().ok_or_else(|| bad("the output path has no file name"))?;
        let name = name.to_str().ok_or_else(|| bad("the output name is not UTF-8"))?.to_owned();
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(bad("the output path ends in a slash"));
        }
        let dir_path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&dir_path, flags, Mode::empty())
            .map_err(|e| Error::local(dir_path.display(), format!("the output directory cannot be opened: {e}")))?;
        let output = Self { dir, dir_path, name, path: path.to_owned(), is_stream: false };
        let no = |why: &str| Error::local(path.display(), format!("the output path is {why}"));
        match output.kind(AtFlags::SYMLINK_NOFOLLOW) {
            Some(FileType::Directory) => Err(no("a directory")),
            Some(FileType::CharacterDevice) => output.into_stream(),
            Some(FileType::BlockDevice) => Err(no("a disk")),
            Some(FileType::Socket) => Err(no("a socket")),
            // Not followed: in a directory of another user, that user would choose what is written to.
            Some(FileType::Symlink) => match output.kind(AtFlags::empty()) {
                None | Some(FileType::RegularFile | FileType::Directory | FileType::Fifo) => Ok(output),
                Some(_) => Err(no("a link to a device").hint("name the device itself; `-o -` is standard output")),
            },
            _ => Ok(output),
        }
    }

    /// Returns the path that was asked for.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that the file will be in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir_path
    }

    /// Copies the first `len` bytes of `from` into a file without a name, on the output's file system.
    pub fn stage(&self, from: &File, len: u64) -> Result<Staged<'_>, Error> {
        let staged = self.stage_empty()?;
        fsx::copy(from, &staged.file, len).map_err(|e| self.failed(&e))?;
        Ok(staged)
    }

    /// Stages a file that no other process uses: where room is short, each part is removed from it once it was
    /// copied.
    pub(crate) fn stage_spent(&self, from: &File, len: u64) -> Result<Staged<'_>, Error> {
        if !self.is_short(len) {
            return self.stage(from, len);
        }
        let staged = self.stage_empty()?;
        fsx::move_telling(from, &staged.file, len, |_| ()).map_err(|e| self.failed(&e))?;
        Ok(staged)
    }

    /// Stages a copy and proves it to have the digest `sha256` and `len` bytes; else the inner error tells the
    /// difference. From a `spent` file each part is removed once it was copied, where room is short.
    pub(crate) fn stage_and_prove(
        &self,
        from: &File,
        sha256: Sha256,
        len: u64,
        spent: bool,
    ) -> Result<(Staged<'_>, Result<Verified, MismatchError>), Error> {
        let staged = self.stage_empty()?;
        let proof = match spent && self.is_short(len) {
            true => verify::prove_moved(from, &staged.file, sha256, len),
            false => verify::prove_copy(from, &staged.file, sha256, len),
        };
        Ok((staged, proof.map_err(|e| self.failed(&e))?))
    }

    /// Returns true when there is little room beside a file of `len` bytes.
    fn is_short(&self, len: u64) -> bool {
        fsx::room(&self.dir_path) < len.saturating_add(fsx::LITTLE_ROOM)
    }

    fn stage_empty(&self) -> Result<Staged<'_>, Error> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let unnamed = || rustix::fs::openat(&self.dir, ".", flags, Mode::from(0o600));
        match fsx::may_link().and_then(|()| unnamed()) {
            Ok(fd) => Ok(Staged { output: self, file: File::from(fd), named: None }),
            // Some file systems have no unnamed files; and some containers hide /proc.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let temp = tempfile::Builder::new().prefix(fsx::TEMPORARY).tempfile_in(&self.dir_path);
                let (file, path) = temp.map_err(|e| self.failed(&e))?.into_parts();
                Ok(Staged { output: self, file, named: Some(path) })
            }
            Err(e) => Err(self.failed(&e.into())),
        }
    }

    /// Stages a file itself, whose only user must be the caller. [`Staged::commit`] fails on another file system.
    ///
    /// # Errors
    /// `Unsupported` where the bytes are to be written into a device.
    pub(crate) fn stage_itself(&self, file: &File) -> io::Result<Staged<'_>> {
        if self.is_stream {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Staged { output: self, file: file.try_clone()?, named: None })
    }

    fn failed(&self, e: &io::Error) -> Error {
        let hint = match e.kind() {
            io::ErrorKind::StorageFull => "free some space there; nothing that was fetched is lost",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "choose a directory you can write to"
            }
            _ => return Error::local(self.path.display(), format!("cannot be written: {e}")),
        };
        Error::local(self.path.display(), format!("cannot be written: {e}")).hint(hint)
    }

    /// Returns what is at the path.
    fn kind(&self, flags: AtFlags) -> Option<FileType> {
        let found = rustix::fs::statat(&self.dir, self.name.as_str(), flags).ok()?;
        Some(FileType::from_raw_mode(found.st_mode))
    }

    /// Makes the output of a path where a device is: what arrives is collected elsewhere.
    fn into_stream(self) -> Result<Self, Error> {
        let dir_path = std::env::temp_dir();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&dir_path, flags, Mode::empty())
            .map_err(|e| Error::local(dir_path.display(), format!("the directory cannot be opened: {e}")))?;
        Ok(Self { dir, dir_path, is_stream: true, ..self })
    }
}

impl Staged<'_> {
    /// Returns the file itself, for a reader after it got its name.
    ///
    /// # Errors
    /// When this process has too many open files.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name, mode 0644 and, when given, the source's date.
    ///
    /// Replaces a file at that path; a link is replaced itself, not its target. A device takes the bytes, and keeps its
    /// mode and date.
    pub fn commit(self, accepted: &Accepted, modified: Option<SystemTime>) -> Result<(), Error> {
        let output = self.output;
        let found = fsx::regular(&self.file).map_err(|e| output.failed(&e))?.st_size.unsigned_abs();
        assert_eq!(found, accepted.size(), "the staged copy is the file that was accepted");
        match output.is_stream {
            true => self.write_out(found).map_err(|e| output.failed(&e)),
            false => self.name_it(modified).map_err(|e| output.failed(&e)),
        }
    }

    /// Writes the bytes into the device.
    fn write_out(self, len: u64) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut to = File::from(rustix::fs::open(&self.output.path, flags, Mode::empty())?);
        if FileType::from_raw_mode(rustix::fs::fstat(&to)?.st_mode) != FileType::CharacterDevice {
            return Err(io::Error::other("something else is there now"));
        }
        // That was for the opening alone: a terminal that is slow is waited for.
        rustix::fs::fcntl_setfl(&to, OFlags::empty())?;
        let mut at = 0;
        while at < len {
            let part = fsx::read_part(&self.file, at, (len - at).min(PART))?;
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all(&part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn name_it(self, modified: Option<SystemTime>) -> io::Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from(0o644))?;
        if let Some(since_epoch) = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            let time = Timespec { tv_sec: since_epoch.as_secs().cast_signed(), tv_nsec: 0 };
            rustix::fs::futimens(&self.file, &Timestamps { last_access: time, last_modification: time })?;
        }
        let Output { dir, name, path, .. } = self.output;
        if let Some(temp) = self.named {
            return temp.persist(path).map_err(|e| e.error);
        }
        match fsx::link(&self.file, dir, name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // A stale .part, as pacman 6 leaves it: only rename can replace.
                let hidden = format!("{}{}-{:?}", fsx::TEMPORARY, std::process::id(), std::time::Instant::now());
                let hidden: String =
                    hidden.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
                fsx::link(&self.file, dir, &hidden)?;
                let renamed = rustix::fs::renameat(dir, hidden.as_str(), dir, name.as_str());
                if renamed.is_err() {
                    let _ = rustix::fs::unlinkat(dir, hidden.as_str(), rustix::fs::AtFlags::empty());
                }
                Ok(renamed?)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::verify::prove;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    fn source(bytes: &[u8]) -> (File, Accepted) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let proof = prove(&file, Sha256::of(bytes), bytes.len() as u64).unwrap();
        (file, Accepted::Proven(proof))
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_staged_file_that_is_not_committed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = source(b"bytes");
        let output = Output::at(&dir.path().join("x.part")).unwrap();
        drop(output.stage(&file, 5).unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_file_staged_itself_gets_its_name_in_exchange_for_the_proof() {
        let dir = tempfile::tempdir().unwrap();
        let (loose, path) = (dir.path().join("loose"), dir.path().join("x.part"));
        std::fs::write(&loose, "bytes").unwrap();
        let file = File::options().read(true).write(true).open(&loose).unwrap();
        let accepted = Accepted::Proven(prove(&file, Sha256::of(b"bytes"), 5).unwrap());
        let output = Output::at(&path).unwrap();
        drop(output.stage_itself(&file).unwrap());
        assert_eq!(names(dir.path()), ["loose"]);
        output.stage_itself(&file).unwrap().commit(&accepted, None).unwrap();
        std::fs::remove_file(&loose).unwrap();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.nlink(), meta.len()), (0o644, 1, 5));
    }

    #[test]
    fn links_are_replaced_and_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, accepted) = source(b"new");
        let (secret, path) = (dir.path().join("secret"), dir.path().join("x.part"));
        std::fs::write(&secret, "old").unwrap();
        symlink(&secret, &path).unwrap();
        let output = Output::at(&path).unwrap();
        let then = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        output.stage(&file, 3).unwrap().commit(&accepted, Some(then)).unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"old");
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert!(meta.is_file());
        assert_eq!((meta.mode() & 0o7777, meta.nlink(), meta.mtime()), (0o644, 1, 1_000_000_000));
        assert_eq!(names(dir.path()), ["secret", "x.part"]);
    }

    #[test]
    fn directories_and_paths_without_a_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Output::at(dir.path()).unwrap_err().message, "the output path is a directory");
        assert!(Output::at(Path::new("/")).unwrap_err().message.contains("no file name"));
        assert!(Output::at(&dir.path().join("no/x")).unwrap_err().message.contains("cannot be opened"));
    }
}
