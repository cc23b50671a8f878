//! Who does the work on a group's files: a thread that has become their user, where root runs this.
//!
//! That user's programs speak with the network. What they left in their directory (links, FIFOs, a directory that is renamed
//! at the right moment) can then lead to nothing that the user could not open anyway.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::panic;
use std::path::Path;
use std::thread;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

use crate::base::error::Error;
use crate::base::users::{self, User};

/// The user whose files the system's groups are, and who runs their two programs.
const USER: &str = "pkgswarm-group";

/// Does `work` as the user of the system's groups where root runs this, and there is such a user; else as this one.
///
/// # Errors
/// `Local` where root cannot become that user, and those of `work`.
pub(super) fn with<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let Some(user) = owner() else { return work() };
    let done = thread::scope(|scope| {
        let as_user = || {
            leave_root(user).map_err(|e| Error::local(USER, format!("root cannot become that user here: {e}")))?;
            work()
        };
        scope.spawn(as_user).join()
    });
    done.unwrap_or_else(|thrown| panic::resume_unwind(thrown))
}

/// Makes the directory that the groups are in, private to their user.
///
/// # Errors
/// Those of the file system.
pub(super) fn own_place(above: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
    // It is that user's once the unit has run; until then it is root's, and so is what is above it.
    match owner() {
        Some(user) if fs::metadata(above)?.uid() == 0 => {
            std::os::unix::fs::chown(above, Some(user.uid), Some(user.gid))
        }
        _ => Ok(()),
    }
}

/// Makes a directory that only its user can enter.
///
/// # Errors
/// Those of the file system; one that is there is one.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Returns the user of the system's groups, if root runs this.
fn owner() -> Option<User> {
    rustix::process::getuid().is_root().then(|| users::named(USER)).flatten()
}

/// Makes this thread, and what it starts, that user's for good; other threads stay root's (credentials(7)).
fn leave_root(user: User) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
