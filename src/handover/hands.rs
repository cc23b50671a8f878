//! Who does the work for root: an unprivileged user, or root itself where the kernel lets it become no other.

use std::thread;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::config::Settings;
use crate::error::Error;
use crate::users::{self, STRAY, User};

/// Whose hands touch foreign bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hands {
    /// A child's, which has become this user.
    Of(User),
    /// Root's own: `download.user` says so.
    Own,
}

/// Who is to do the work for root.
///
/// Where no user is named at all, in an image whose passwd has root alone, it is the user with the number that no user
/// has, and nothing is kept under that number.
///
/// # Errors
/// `Usage` when `download.user` names a user who does not exist.
pub fn hands(settings: &Settings) -> Result<Hands, Error> {
    let of = |user: User| if user.uid == 0 { Hands::Own } else { Hands::Of(user) };
    if let Some(name) = &settings.download_user {
        return users::named(name).map(of).ok_or_else(|| {
            Error::usage("download.user", format!("there is no user {name:?}"))
                .hint("create it with systemd-sysusers, or set download.user to another one; `auto` finds one")
        });
    }
    let not_root = |user: &User| user.uid != 0;
    let owner = settings.store_dir.as_ref().and_then(|dir| rustix::fs::lstat(dir).ok());
    let owner = owner.and_then(|stat| users::with_id(stat.st_uid)).filter(not_root);
    let first = || users::USUAL.iter().find_map(|name| users::named(name).filter(not_root));
    Ok(Hands::Of(owner.or_else(first).unwrap_or(STRAY)))
}

/// Why the kernel does not let this process become `user`: `EPERM` without the right to change users, `EINVAL` where the
/// user namespace has no such user. `None` when it does, or when it fails for a reason that may pass.
///
/// Tried on a thread, which ends with it: Linux changes users one thread at a time (setuid(2)).
pub(super) fn refusal(user: User) -> Option<Errno> {
    let change = move || {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_gid(Gid::from_raw(user.gid))?;
        rustix::thread::set_thread_uid(Uid::from_raw(user.uid))
    };
    let tried = thread::Builder::new().spawn(change).ok()?.join().ok()?;
    tried.err().filter(|e| matches!(*e, Errno::PERM | Errno::INVAL))
}

/// The settings for root where it has to do the work itself: with a store that is its own, or without a lasting one. What
/// root made here would be in the way of the user whose it is to be.
pub(super) fn as_is(settings: &Settings) -> Settings {
    let is_ours =
        settings.store_dir.as_ref().and_then(|dir| rustix::fs::lstat(dir).ok()).is_some_and(|stat| stat.st_uid == 0);
    Settings { storeless: !is_ours, ..settings.clone() }
}
