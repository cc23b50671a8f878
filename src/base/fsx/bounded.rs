//! Small files read whole, up to a limit: a longer file was not written by the program that should have.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::{open_followed, open_read};

/// Bytes of which the lines are counted at a time.
const PART: usize = 16 << 10;

/// Reads all of `from`; `None` when it has more than `most` bytes.
///
/// # Errors
/// Those of read(2).
pub(crate) fn read_up_to(from: impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    up_to(from, most, 0)
}

/// Does it with room for `expected` bytes, which saves calls where it is right.
fn up_to(from: impl Read, most: u64, expected: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(expected);
    from.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Reads a small file of ours or root's; any other owner, or more than `most` bytes, is an error.
pub(crate) fn read_small(path: &Path, uid: u32, most: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open_small(path, uid)?;
    let expected = usize::try_from(size).unwrap_or(0).min(64 << 10) + 1;
    up_to(file, most, expected)?.ok_or_else(|| too_large(most))
}

/// Counts the ends of lines in a file that [`read_small`] would read, a part at a time: memory that was not in use
/// before costs more than the calls.
pub(crate) fn count_lines(path: &Path, uid: u32, most: u64) -> io::Result<usize> {
    let (mut file, size) = open_small(path, uid)?;
    let (mut part, mut lines, mut read) = (vec![0; PART], 0, 0);
    while read < size {
        let got = match file.read(&mut part) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            got => got?,
        };
        read += got as u64;
        if got == 0 {
            break;
        }
        if read > most {
            return Err(too_large(most));
        }
        lines += part[..got].chunks(255).map(ends).sum::<usize>();
    }
    Ok(lines)
}

/// Counts the ends of lines among at most 255 bytes, sixteen at a time: the compiler sees that a byte holds the sum.
fn ends(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>().into()
}

/// Opens a file of ours or root's; returns its size too.
fn open_small(path: &Path, uid: u32) -> io::Result<(File, u64)> {
    let file = open_read(path)?;
    let stat = rustix::fs::fstat(&file)?;
    if stat.st_uid != uid && stat.st_uid != 0 {
        return Err(io::Error::other(format!("belongs to user {}", stat.st_uid)));
    }
    Ok((file, stat.st_size.unsigned_abs()))
}

fn too_large(most: u64) -> io::Error {
    io::Error::other(format!("is larger than {most} bytes"))
}

/// Reads the file at `path`, links followed; `None` when it is missing.
///
/// # Errors
/// `FileTooLarge` when it has more than `most` bytes; those of [`open_followed`].
pub(crate) fn read_followed(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match open_followed(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    read_up_to(file, most)?.map(Some).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// Opens `path` for reading if it is a regular file of the reader's real user or root that no other user may write
/// to: its content is trusted without proof.
///
/// `None` when there is no such file. A symbolic link in the last component is not followed. The owner is read by a
/// system call: `fakeroot` (checkupdates runs pacman in it) fakes the owners and the user id that libc returns.
///
/// # Errors
/// `PermissionDenied` for a file of another user, a link, or another type of file; otherwise those of open(2).
pub(crate) fn open_trusted(path: &Path) -> io::Result<Option<File>> {
    let refused = |why: &'static str| io::Error::new(io::ErrorKind::PermissionDenied, why);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_directories_and_files_that_others_may_write_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(open_trusted(&path).unwrap().is_none());
        std::fs::write(&path, b"x").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(read_up_to(open_trusted(&path).unwrap().unwrap(), 1).unwrap(), Some(b"x".to_vec()));
        symlink(&path, dir.path().join("link")).unwrap();
        std::fs::copy(&path, dir.path().join("open")).unwrap();
        std::fs::set_permissions(dir.path().join("open"), PermissionsExt::from_mode(0o666)).unwrap();
        for bad in [dir.path().join("link"), dir.path().join("open"), dir.path().to_owned()] {
            assert_eq!(open_trusted(&bad).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{}", bad.display());
        }
    }

    #[test]
    fn lines_are_counted_over_the_ends_of_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "line of a list\n".repeat(5000)).unwrap();
        assert_eq!(count_lines(&path, rustix::process::getuid().as_raw(), 1 << 20).unwrap(), 5000);
    }

    #[test]
    fn a_file_of_just_the_limit_is_read_and_a_longer_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(read_followed(&path, 3).unwrap(), None);
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(read_followed(&path, 3).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(read_small(&path, uid, 3).unwrap(), b"abc");
        assert_eq!(read_followed(&path, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!((count_lines(&path, uid, 3).unwrap(), count_lines(&path, uid, 2).is_err()), (0, true));
        assert_eq!(read_small(&path, uid, 2).unwrap_err().to_string(), "is larger than 2 bytes");
    }
}
