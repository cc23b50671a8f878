//! The user that does the work for root: an unprivileged one, or root itself where the kernel allows no other.

use std::borrow::Cow;
use std::thread;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::base::error::Error;
use crate::base::users::{self, STRAY, User};
use crate::config::Settings;

/// The process that handles foreign bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hands {
    /// A child, which has become this user.
    Of(User),
    /// Root itself: `download.user` says so.
    Own,
}

/// Returns the user that is to do the work for root.
///
/// Where `/etc/passwd` has no such user, as in an image with root alone, it is the number 65534, which belongs to
/// no user, and no file is kept under it.
///
/// # Errors
/// `Usage` when `download.user` names a user who does not exist.
pub(crate) fn hands(settings: &Settings) -> Result<Hands, Error> {
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

/// Returns settings with which a package manager's call goes on where `download.user` names a user who does not exist:
/// `auto`, and the mistake to be told (`tests/cases/root.rs`, `a_download_user_that_does_not_exist_is_told_and_stops_no_package`).
pub(crate) fn going_on(settings: &Settings) -> Cow<'_, Settings> {
    let Err(mistake) = hands(settings) else { return Cow::Borrowed(settings) };
    let mut settings = Settings { download_user: None, ..settings.clone() };
    settings.mistakes.push(mistake.to_string());
    Cow::Owned(settings)
}

/// Returns the kernel's reason not to let this process become `user`: `EPERM` without the right to change users,
/// `EINVAL` where the user namespace has no such user. `None` when it does, or for a failure that may pass.
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

/// Returns the settings for root where it has to do the work itself: with a store of its own, or without a lasting
/// one. Files that root made elsewhere would be in the way of the user that they should belong to.
pub(super) fn as_is(settings: &Settings) -> Settings {
    let is_ours =
        settings.store_dir.as_ref().and_then(|dir| rustix::fs::lstat(dir).ok()).is_some_and(|stat| stat.st_uid == 0);
    Settings { storeless: !is_ours, ..settings.clone() }
}
