//! A system file that is changed as a whole: read with its owner and mode, and replaced so that no process sees
//! half of it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::error::Error;
use crate::base::fsx::{self, Lasting, ReplaceOptions, Replacement};

/// Most bytes of a file that is edited; pacman.conf has three thousand.
const MOST: u64 = 1 << 20;

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct Original {
    /// Its path as given, for people.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its path with links resolved.
    resolved: PathBuf,
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Original {
    /// Reads the file; a symbolic link is followed, and the link's target will be replaced.
    ///
    /// # Errors
    /// `Local` when it cannot be read, is no regular file or larger than a MiB. `Usage` when it has a second name (a
    /// hard link), which would go on naming the old text.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |e: io::Error| Error::local(path.display(), format!("cannot be read: {e}"));
        let resolved = fs::canonicalize(path).map_err(failed)?;
        let file = fsx::open_read(&resolved).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.nlink() > 1 {
            return Err(Error::usage(path.display(), "has a second name (a hard link), which would keep the old text"));
        }
        let Some(bytes) = fsx::read_up_to(file, MOST).map_err(failed)? else {
            return Err(Error::local(path.display(), format!("is larger than {MOST} bytes")));
        };
        let (uid, gid, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
        Ok(Self { path: path.to_owned(), bytes, resolved, uid, gid, mode })
    }

    /// Replaces the content, and keeps owner and mode.
    ///
    /// The bytes are on the disk under another name before they get this one: a crash leaves the old file or the
    /// new one.
    ///
    /// # Errors
    /// `Local`, with the file unchanged: when it has changed since it was read, or the directory cannot be written
    /// to.
    pub(crate) fn replace(&self, bytes: &[u8]) -> Result<(), Error> {
        let failed = |e: io::Error| {
            let error = Error::local(self.path.display(), format!("was not changed: {e}"));
            if e.kind() == io::ErrorKind::PermissionDenied { error.hint("run it as root") } else { error }
        };
        let options = ReplaceOptions { mode: self.mode, owner: Some((self.uid, self.gid)), lasting: Lasting::Named };
        let ready = Replacement::prepare(&self.resolved, &options, |to| to.write_all(bytes)).map_err(failed)?;
        if Self::read(&self.resolved)?.bytes != self.bytes {
            return Err(failed(io::Error::other("another process has changed it meanwhile")));
        }
        ready.commit().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn the_target_of_a_link_gets_the_bytes_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o440)).unwrap();
        symlink("real", &link).unwrap();
        Original::read(&link).unwrap().replace(b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o440);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn the_owner_stays() {
        if !rustix::process::geteuid().is_root() {
            return; // only root can give files away; tests/run runs as root
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
        Original::read(&path).unwrap().replace(b"new").unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid()), (12, 34));
    }

    #[test]
    fn a_file_that_changed_since_it_was_read_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let original = Original::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(original.replace(b"new").unwrap_err().message.contains("meanwhile"));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_with_a_second_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::hard_link(&path, dir.path().join("other")).unwrap();
        assert!(Original::read(&path).unwrap_err().message.contains("second name"));
    }
}
