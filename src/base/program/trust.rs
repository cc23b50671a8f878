//! Programs that may be run by name, or by a path that another user wrote.
//!
//! `PATH`, and the words with which pacman was started, come from the processes above. If those belong to another
//! user than this process (pacman and its `DownloadUser`, sudo and the user it admits), they must not decide what
//! runs here: sudo leaves both to its caller. Then a program is accepted at a fixed place, or where only root may
//! write on the whole way to it. Root demands as much of every program.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use crate::base::env::HANDOVER;
use crate::base::users;

/// Directories in which distributions put programs.
const FIXED: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
/// Most symbolic links on the way to a program, as in the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Returns true when `PATH` and the caller's name come from this process's own user, who is not root.
fn is_own() -> bool {
    static OWN: OnceLock<bool> = OnceLock::new();
    *OWN.get_or_init(|| {
        let own = rustix::process::getuid().as_raw();
        let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let is_ours = |pid: i32| users::of_process(pid).is_ok_and(|process| process.uids.iter().all(|uid| *uid == own));
        // In the background pacman is no longer the parent; init has replaced it.
        let caller = std::env::var(HANDOVER).ok().map(|pid| pid.parse().unwrap_or(0));
        let is_callers = caller.is_none_or(is_ours);
        own != 0 && is_callers && (is_ours(parent) || parent == 1 && caller.is_some())
    })
}

/// Finds the program that running `program` means, by a name that is looked up in `path`, or by a path.
///
/// `None` when there is none, or none that may be run.
pub(super) fn found(program: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    found_by(program, path, is_own())
}

fn found_by(program: &Path, path: Option<&OsStr>, is_own: bool) -> Option<PathBuf> {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        if is_own || is_fixed(program) || is_roots(program) || is_beside_this(program) {
            return Some(program.to_owned());
        }
        // A program that does not exist at all is not replaced by another.
        return fixed(program.file_name().filter(|_| program.exists())?);
    }
    let mut was_passed_over = path.is_none_or(OsStr::is_empty);
    for file in path.into_iter().flat_map(std::env::split_paths).map(|dir| dir.join(program)) {
        if !is_program(&file) {
            continue;
        }
        if is_own || is_fixed(&file) || is_roots(&file) {
            return Some(file);
        }
        was_passed_over = true;
    }
    if was_passed_over { fixed(program.as_os_str()) } else { None }
}

/// Returns the `PATH` for programs that run here; `None` where they may have this process's own.
pub(super) fn path() -> Option<String> {
    (!is_own()).then(|| FIXED.join(":"))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn is_fixed(path: &Path) -> bool {
    path.parent().is_some_and(|dir| FIXED.iter().any(|fixed| dir == Path::new(fixed)))
}

fn fixed(name: &OsStr) -> Option<PathBuf> {
    FIXED.iter().map(|dir| Path::new(dir).join(name)).find(|path| is_program(path))
}

/// Returns true for a program of ours: a user who could replace it could replace this one.
fn is_beside_this(path: &Path) -> bool {
    std::env::current_exe().is_ok_and(|this| this.parent() == path.parent())
}

/// Returns true when only root may change what `path` leads to: every directory, link and file on the way is
/// root's, and no other user may write to it. In a directory with the sticky bit others may write, but not replace
/// an entry of root's.
fn is_roots(path: &Path) -> bool {
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    let mut way: VecDeque<OsString> = words(path);
    if !path.is_absolute() || !is_closed(&at) {
        return false;
    }
    while let Some(word) = way.pop_front() {
        if word == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&word);
        let Ok(found) = next.symlink_metadata() else { return false };
        if !found.is_symlink() {
            if !is_closed(&next) {
                return false;
            }
            at = next;
            continue;
        }
        links += 1;
        let Ok(target) = next.read_link() else { return false };
        if found.uid() != 0 || links > MOST_LINKS {
            return false;
        }
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for word in words(&target).into_iter().rev() {
            way.push_front(word);
        }
    }
    is_program(&at)
}

fn words(path: &Path) -> VecDeque<OsString> {
    let is_step = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_step).map(|part| part.as_os_str().to_owned()).collect()
}

/// Returns true when this is root's, and others can neither write to it nor replace root's entries in it.
fn is_closed(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        found.uid() == 0 && (found.mode() & 0o022 == 0 || is_sticky)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{chown, symlink};

    fn program(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn only_what_root_alone_may_change_is_run_for_another_user() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        // In a sticky directory, and an entry of root's.
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let own = program(dir.path(), "some-program");
        let link = dir.path().join("link");
        symlink(&own, &link).unwrap();
        assert!(is_roots(&own) && is_roots(&link));
        let search = |is_own| found_by(Path::new("some-program"), Some(dir.path().as_os_str()), is_own);
        assert_eq!((search(false), search(true)), (Some(own.clone()), Some(own.clone())));

        let spoil: [(&str, &dyn Fn()); 4] = [
            ("a file of another user", &|| chown(&own, Some(65_534), None).unwrap()),
            ("a file that others may write", &|| {
                std::fs::set_permissions(&own, Permissions::from_mode(0o777)).unwrap()
            }),
            ("a directory of another user", &|| chown(dir.path(), Some(65_534), None).unwrap()),
            ("an open directory", &|| std::fs::set_permissions(dir.path(), Permissions::from_mode(0o775)).unwrap()),
        ];
        for (what, spoil) in spoil {
            spoil();
            assert!(!is_roots(&own) && !is_roots(&link), "{what}");
            assert_eq!((search(false), found_by(&own, None, false)), (None, None), "{what}");
            assert_eq!(search(true), Some(own.clone()), "{what}");
            chown(&own, Some(0), None).unwrap();
            chown(dir.path(), Some(0), None).unwrap();
            for path in [&own, &dir.path().to_owned()] {
                std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
            }
            assert!(is_roots(&own), "{what} is gone");
        }
        chown(&link, Some(0), None).unwrap();
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        assert!(!is_roots(&link) && is_roots(&own), "a link of another user leads anywhere");
    }

    #[test]
    fn what_was_passed_over_is_looked_for_at_fixed_places() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        program(dir.path(), "sh");
        let sh = found_by(Path::new("sh"), Some(dir.path().as_os_str()), false).unwrap();
        assert!(is_fixed(&sh), "{}", sh.display());
        assert_eq!(found_by(&dir.path().join("sh"), None, false).unwrap(), sh);
        assert_eq!(found_by(Path::new("sh"), Some(OsStr::new("/nonexistent")), false), None, "it is in no place");
    }

    #[test]
    fn relative_places_in_path_are_no_places_for_another_user() {
        assert!(!is_roots(Path::new("bin/sh")) && !is_roots(Path::new("/bin/../nonexistent")));
        assert!(is_roots(Path::new("/")) == is_program(Path::new("/")));
    }
}
