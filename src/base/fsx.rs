//! Files in directories that others may write to: opened without following links, named only when complete.
//!
//! System calls go through rustix, not libc: fakeroot, under which checkupdates runs pacman, fakes libc's answers.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags};

mod bounded;
mod from_start;
mod key;
mod replace;

pub(crate) use bounded::{count_lines, open_trusted, read_followed, read_small, read_up_to};
pub(crate) use from_start::FromStart;
pub use key::FileKey;
pub(crate) use replace::{
    Lasting, ReplaceOptions, Replacement, TEMPORARY, add_line, replace, replace_synced, replace_synced_by,
};

/// The type of tmpfs in statfs(2) (linux/magic.h).
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Bytes that the kernel copies at a time: few calls, and the copy is still cached when it is read.
const PIECE: usize = 1 << 20;

/// Opens a regular file for reading; a link, FIFO, device or directory in its place is an error, not a wait.
pub(crate) fn open_read(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    regular(&file)?;
    Ok(file)
}

/// Opens a regular file for reading, or what a link leads to, as pacman does. A FIFO, a device, a socket or a directory in
/// its place is an error, not a wait; `/dev/null` is an empty file.
///
/// # Errors
/// `IsADirectory`, `Other` for what else is no file, and those of open(2).
pub(crate) fn open_followed(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Errno::ISDIR.into()),
        FileType::CharacterDevice if stat.st_rdev == rustix::fs::makedev(1, 3) => Ok(file), // null(4)
        _ => regular(&file).map(|_| file),
    }
}

/// Opens or makes a regular file for reading and writing, which must belong to `uid` and have no second name.
///
/// A new file is private to this user: another process that can open a file can lock it, and block this one.
pub(crate) fn open_own(path: &Path, uid: u32) -> io::Result<File> {
    open_ours(path, uid, OFlags::CREATE)
}

/// Returns the same, but makes none.
pub(crate) fn reopen_own(path: &Path, uid: u32) -> io::Result<File> {
    open_ours(path, uid, OFlags::empty())
}

fn open_ours(path: &Path, uid: u32, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    let file = File::from(rustix::fs::open(path, flags, Mode::from(0o600))?);
    let stat = regular(&file)?;
    if stat.st_uid != uid || stat.st_nlink > 1 {
        return Err(io::Error::other(format!("belongs to user {}, or has a second name", stat.st_uid)));
    }
    Ok(file)
}

/// Opens or makes the lock file at `path` and waits for its lock, but not longer than `patience`.
///
/// The file is private to this user: another process that can open it can lock it.
pub(crate) fn lock(path: &Path, patience: Duration) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= patience => {
                let why = format!("another process has held the lock for {} s", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Returns the status of an open file that must be a regular one.
pub(crate) fn regular(file: &File) -> io::Result<Stat> {
    let stat = rustix::fs::fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(stat)
}

/// Makes a directory of ours, and its parents, or accepts one that only `uid` and root can write to.
pub(crate) fn own_dir(path: &Path, uid: u32) -> io::Result<()> {
    // It nearly always exists, and asking for that is cheaper than being refused.
    let stat = match rustix::fs::lstat(path) {
        Err(Errno::NOENT) => {
            make_dir(path)?;
            rustix::fs::lstat(path)?
        }
        stat => stat?,
    };
    let mode = stat.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Directory {
        return Err(io::Error::other("is not a directory"));
    }
    if stat.st_uid != uid {
        return Err(io::Error::other(format!("belongs to user {}, not to {uid}", stat.st_uid)));
    }
    if mode & 0o022 != 0 {
        return Err(io::Error::other("others may write to it"));
    }
    Ok(())
}

/// Makes a directory and its parents; one that another process has just made is as good.
fn make_dir(path: &Path) -> io::Result<()> {
    let made = match rustix::fs::mkdir(path, Mode::from(0o755)) {
        Err(Errno::NOENT) => {
            std::fs::create_dir_all(path.parent().ok_or(Errno::NOENT)?)?;
            rustix::fs::mkdir(path, Mode::from(0o755))
        }
        made => made,
    };
    if made == Err(Errno::EXIST) { Ok(()) } else { Ok(made?) }
}

/// Makes an unnamed file in `dir`; where the file system has none, one whose name is removed at once.
pub(crate) fn unnamed(dir: &Path) -> io::Result<File> {
    unnamed_yet(dir).or_else(|_| tempfile::tempfile_in(dir))
}

/// Makes an unnamed file in `dir` that [`link`] can give a name.
///
/// # Errors
/// Where the file system has none (NFS, FAT), where it could not be linked (no `/proc`), and those of making a file.
pub(crate) fn unnamed_yet(dir: &Path) -> io::Result<File> {
    may_link()?;
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(dir, flags, Mode::from(0o644))?))
}

/// Opens the same file anew, for reading only and with a position of its own.
///
/// # Errors
/// Where `/proc` is not mounted.
pub(crate) fn reading(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes a file of these bytes that is in memory alone.
///
/// # Errors
/// When this process can open no more files.
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let file = File::from(rustix::fs::memfd_create(c"pkgswarm", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

/// Reads `len` bytes at `at`, or as many as there are.
pub fn read_part(file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64)? {
            0 => break,
            got => filled += got,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Reads at most `len` bytes at `at` that are in memory already, none at the end of the file; `None` where the disk would
/// have to be asked, and where the file system cannot tell (FUSE). Files of tmpfs, which cannot either, are in memory.
pub(crate) fn read_cached(file: &File, at: u64, len: usize) -> Option<io::Result<Vec<u8>>> {
    let mut bytes = vec![0; len];
    let read = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut bytes)], at, ReadWriteFlags::NOWAIT);
    match read {
        Ok(read) => {
            bytes.truncate(read);
            Some(Ok(bytes))
        }
        Err(Errno::OPNOTSUPP) if rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == TMPFS) => {
            Some(read_part(file, at, len as u64))
        }
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => None,
        Err(e) => Some(Err(e.into())),
    }
}

/// Copies the first `len` bytes of `from` to the start of `to`, in the kernel where it can.
///
/// A copy or reflink, never a link: pacman changes owner and mode of the file that it gets (pacman 7.1,
/// dload.c:76-91).
///
/// Where blocks cannot be shared their space is allocated first: a full disk is an error at once. It also spares
/// pacman a wait when it replaces a database: ext4 otherwise begins to write a file out when it is renamed over
/// another one (its mount option `auto_da_alloc`).
pub(crate) fn copy(from: &File, to: &File, len: u64) -> io::Result<()> {
    copy_telling(from, to, len, |_| ())
}

/// Makes `to` share the blocks of the first `len` bytes of `from`, at almost no cost; false where it cannot.
pub(crate) fn reflink(from: &File, to: &File, len: u64) -> bool {
    let is_whole = regular(from).is_ok_and(|stat| stat.st_size.unsigned_abs() == len);
    is_whole && rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Bytes of free room below which nothing is kept twice: less, and a large package does not fit, nor what pacman
/// makes of what was fetched.
pub(crate) const LITTLE_ROOM: u64 = 1 << 30;

/// Returns bytes that an unprivileged user may still write on the file system of `at`; more than there can be
/// where none can be told.
pub(crate) fn room(at: &Path) -> u64 {
    rustix::fs::statvfs(at).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Works as [`copy`]; calls `told` again and again with the number of bytes copied.
pub(crate) fn copy_telling(from: &File, to: &File, len: u64, told: impl FnMut(u64)) -> io::Result<()> {
    if reflink(from, to, len) {
        let mut told = told;
        told(len);
        return Ok(());
    }
    // An error of a file system that cannot allocate in advance is no obstacle to copying; these three are.
    let full = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG];
    if let Err(e) = rustix::fs::fallocate(to, FallocateFlags::empty(), 0, len)
        && full.contains(&e)
    {
        return Err(e.into());
    }
    in_pieces(from, to, len, told)
}

/// Copies like [`copy_telling`], and gives the room of each piece of `from` back before the next one is copied:
/// both together need the room of one and of a piece. What is left in `from` is of no use, however this ends;
/// where holes cannot be made, or it is not open for writing, it stays as it was.
pub(crate) fn move_telling(from: &File, to: &File, len: u64, mut told: impl FnMut(u64)) -> io::Result<()> {
    if reflink(from, to, len) {
        told(len);
        return Ok(());
    }
    let mut freed = 0;
    in_pieces(from, to, len, |at| {
        told(at);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(from, hole, freed, at - freed).is_ok() {
            freed = at;
        }
    })
}

fn in_pieces(from: &File, to: &File, len: u64, mut told: impl FnMut(u64)) -> io::Result<()> {
    let (mut read_at, mut write_at) = (0, 0);
    while read_at < len {
        let want = usize::try_from(len - read_at).unwrap_or(usize::MAX).min(PIECE);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), want) {
            // Some file systems return this when they cannot; a file that is too short is found by hand as well.
            Ok(0) if read_at == 0 => return copy_by_hand(from, to, len, told),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => told(write_at),
            Err(Errno::INTR) => {}
            Err(e) if read_at == 0 && !matches!(e, Errno::NOSPC | Errno::FBIG) => {
                return copy_by_hand(from, to, len, told);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, len: u64, mut told: impl FnMut(u64)) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut at = 0;
    while at < len {
        let want = buffer.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
        match from.read_at(&mut buffer[..want], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => {
                to.write_all_at(&buffer[..got], at)?;
                at += got as u64;
                told(at);
            }
        }
    }
    Ok(())
}

/// Checks whether [`link`] can work here.
///
/// # Errors
/// `NOENT` where `/proc` is not mounted.
pub(crate) fn may_link() -> Result<(), Errno> {
    rustix::fs::stat("/proc/self/fd").map(drop)
}

/// Gives an unnamed file its first name in `dir`. Fails when the name is taken.
pub(crate) fn link(file: &File, dir: impl AsFd, name: &str) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Ok(rustix::fs::linkat(CWD, path, dir, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn what_lies_in_memory_is_read_at_once() {
        let file = in_memory(b"0123456789").unwrap();
        assert_eq!(read_cached(&file, 3, 4).unwrap().unwrap(), b"3456");
        assert_eq!(read_cached(&file, 10, 4).unwrap().unwrap(), b"");
    }

    #[test]
    fn links_fifos_and_directories_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        rustix::fs::mkfifoat(CWD, path("fifo"), Mode::from(0o644)).unwrap();
        assert!(open_read(&path("file")).is_ok());
        for bad in ["link", "fifo", ".", "missing"] {
            assert!(open_read(&path(bad)).is_err(), "{bad}");
        }
        for bad in ["fifo", ".", "missing"] {
            assert!(open_followed(&path(bad)).is_err(), "{bad}");
        }
        assert!(open_followed(&path("link")).is_ok() && open_followed(Path::new("/dev/null")).is_ok());
    }

    #[test]
    fn a_file_with_a_second_name_is_not_ours_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        open_own(&path, uid()).unwrap();
        std::fs::hard_link(&path, dir.path().join("b")).unwrap();
        assert!(open_own(&path, uid()).is_err());
    }

    #[test]
    fn a_lock_is_exclusive_and_is_not_waited_for_without_end() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        assert_eq!(held.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(lock(&path, Duration::from_millis(30)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
        let own = open_own(&dir.path().join("own"), uid()).unwrap();
        assert_eq!(own.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_not_ours() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/store");
        own_dir(&path, uid()).unwrap();
        own_dir(&path, uid()).unwrap();
        assert!(own_dir(&path, uid() + 1).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(own_dir(&path, uid()).is_err());
    }

    #[test]
    fn what_is_moved_leaves_no_room_taken_behind_it() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_500_000_u32).map(|i| (i % 251) as u8).collect();
        let len = bytes.len() as u64;
        let (from, to) = (unnamed(dir.path()).unwrap(), unnamed(dir.path()).unwrap());
        from.write_all_at(&bytes, 0).unwrap();
        let before = from.metadata().unwrap().blocks();
        move_telling(&from, &to, len, |_| ()).unwrap();
        assert_eq!(read_part(&to, 0, len).unwrap(), bytes);
        let is_shared = reflink(&to, &unnamed(dir.path()).unwrap(), len);
        let after = from.metadata().unwrap().blocks();
        assert!(is_shared || after * 512 < 65_536 && before * 512 >= len, "{before} blocks, then {after}");
        // What cannot be freed is copied all the same.
        let path = dir.path().join("named");
        std::fs::write(&path, &bytes).unwrap();
        let third = unnamed(dir.path()).unwrap();
        move_telling(&open_read(&path).unwrap(), &third, len, |_| ()).unwrap();
        assert!(read_part(&third, 0, len).unwrap() == bytes && std::fs::read(&path).unwrap() == bytes);
    }

    #[test]
    fn copies_are_equal_and_short_sources_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (unnamed(dir.path()).unwrap(), unnamed(dir.path()).unwrap());
        (&from).write_all(&[7; 300_000]).unwrap();
        copy(&from, &to, 300_000).unwrap();
        assert_eq!(regular(&to).unwrap().st_size, 300_000);
        let third = unnamed(dir.path()).unwrap();
        copy_by_hand(&from, &third, 300_000, |_| ()).unwrap();
        assert_eq!(regular(&third).unwrap().st_size, 300_000);
        assert!(copy(&from, &to, 300_001).is_err());
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
