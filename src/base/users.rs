//! User names and ids from `/etc/passwd`, and the access of a user to a file. The users in question are always
//! local ones.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// One user of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct User {
    /// User id.
    pub(crate) uid: u32,
    /// Its main group.
    pub(crate) gid: u32,
}

/// The users that may do the work of root where none is named, in this order.
pub(crate) const USUAL: [&str; 3] = ["pkgswarm", "alpm", "nobody"];

/// The number that belongs to no user: the kernel returns it where it has no number for a user
/// (`/proc/sys/kernel/overflowuid`). Most systems name it `nobody`.
pub(crate) const STRAY: User = User { uid: 65_534, gid: 65_534 };

/// Returns the user called `name`.
pub(crate) fn named(name: &str) -> Option<User> {
    find(&passwd(), |fields| fields[0] == name)
}

/// Returns the user with this id.
pub(crate) fn with_id(uid: u32) -> Option<User> {
    find(&passwd(), |fields| fields[2].parse() == Ok(uid))
}

/// Returns true when this is the number that no user has, on a system that gives it no name either: nothing is
/// kept under it.
pub(crate) fn is_stray(uid: u32) -> bool {
    uid == STRAY.uid && with_id(uid).is_none()
}

/// Returns the name of the user with this id, else the id itself.
pub fn name_of(uid: u32) -> String {
    let passwd = passwd();
    let line = passwd.lines().find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(uid));
    line.and_then(|line| line.split(':').next()).map_or_else(|| uid.to_string(), str::to_owned)
}

/// The kind of access to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// To read it.
    Read = 4,
    /// To run it.
    Execute = 1,
}

/// Returns the path that keeps `user` from reading or running `path`: the file, or the first closed directory on
/// the way.
///
/// Decides by owner, group and mode alone, with no other groups than the main one, as pacman leaves its download
/// user none (pacman 7.1.0, `lib/libalpm/sandbox.c`). `None` also where a part cannot be inspected from here; a
/// directory that is closed to this process is found all the same, since its own mode can be read from above.
pub(crate) fn obstacle(path: &Path, user: User, wish: Access) -> Option<PathBuf> {
    if user.uid == 0 {
        return None;
    }
    let real = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok()?;
    let mut way: Vec<&Path> = real.ancestors().collect();
    way.reverse();
    let last = way.len() - 1;
    let closed = |(at, path): &(usize, &Path)| {
        let want = if *at == last { wish } else { Access::Execute } as u32;
        std::fs::metadata(path).is_ok_and(|found| {
            let shift = match () {
                () if found.uid() == user.uid => 6,
                () if found.gid() == user.gid => 3,
                () => 0,
            };
            found.mode() >> shift & want == 0
        })
    };
    way.into_iter().enumerate().find(closed).map(|(_, path)| path.to_owned())
}

/// Bytes of `/proc/PID/status` that are read: those of interest stand at its beginning, and the kernel tells no size.
const STATUS: usize = 4096;

/// A process as the kernel knows it: a process cannot fake this by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    /// Its parent; 0 where that is in another process namespace.
    pub(crate) parent: i32,
    /// Its real, effective and saved user id.
    pub(crate) uids: [u32; 3],
}

/// Inspects the process `pid`.
///
/// # Errors
/// `NotFound` when it has ended or is hidden, `InvalidData` for unexpected content; those of reading.
pub(crate) fn of_process(pid: i32) -> io::Result<Process> {
    let mut status = Vec::with_capacity(STATUS);
    std::fs::File::open(format!("/proc/{pid}/status"))?.take(STATUS as u64).read_to_end(&mut status)?;
    process(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads `/proc/PID/status` (proc(5)). The name in its first line is escaped, so that it can make no line of its own.
/// Needs no more than the beginning, up to the line `Uid`.
pub(crate) fn process(status: &[u8]) -> Option<Process> {
    let status = String::from_utf8_lossy(status);
    let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let mut uids = line("Uid")?.split_ascii_whitespace().map(|id| id.parse().ok());
    let uids = [uids.next()??, uids.next()??, uids.next()??];
    Some(Process { parent: line("PPid")?.trim().parse().ok()?, uids })
}

fn passwd() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// Finds a line of passwd(5): name, password, uid, gid, and three more, with colons between.
fn find(text: &str, is_it: impl Fn(&[&str]) -> bool) -> Option<User> {
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 4)
        .find(|fields| is_it(fields))
        .and_then(|fields| Some(User { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_stands_in_a_users_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (closed, file) = (dir.path().join("closed"), dir.path().join("closed/file"));
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::create_dir(&closed).unwrap();
        std::fs::write(&file, "").unwrap();
        mode(dir.path(), 0o755);
        mode(&file, 0o644);
        let stranger = User { uid: 54_321, gid: 54_321 };
        let found = |wish| obstacle(&file, stranger, wish);
        mode(&closed, 0o755);
        assert_eq!((found(Access::Read), found(Access::Execute)), (None, Some(file.canonicalize().unwrap())));
        mode(&closed, 0o700);
        assert_eq!(found(Access::Read), Some(closed.canonicalize().unwrap()));
        let owner = std::fs::metadata(&file).unwrap().uid();
        assert_eq!(obstacle(&file, User { uid: owner, gid: 54_321 }, Access::Read), None);
        assert_eq!(obstacle(&file, User { uid: 0, gid: 0 }, Access::Execute), None);
    }

    #[test]
    fn users_are_found_by_name_and_id() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nalpm:x:946:945::/:/usr/bin/nologin\n";
        let alpm = Some(User { uid: 946, gid: 945 });
        assert_eq!(find(text, |fields| fields[0] == "alpm"), alpm);
        assert_eq!(find(text, |fields| fields[2] == "946"), alpm);
        assert_eq!(find(text, |fields| fields[0] == "broken"), None);
    }

    #[test]
    fn a_process_is_read_with_all_its_users() {
        let status = "Name:\tUid:\\n1\nUmask:\t0022\nPPid:\t7\nUid:\t1000\t0\t5\t6\n";
        assert_eq!(process(status.as_bytes()), Some(Process { parent: 7, uids: [1000, 0, 5] }));
        assert_eq!((process(b""), process(b"PPid:\t7\nUid:\t1000\t0\n")), (None, None));
        let own = of_process(std::process::id() as i32).unwrap();
        assert_eq!(own.uids[0], rustix::process::getuid().as_raw());
        assert_eq!(of_process(i32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
