//! `pkgswarm prefetch --notify`: tells the desktop's user that updates are here, once for each set of them.
//!
//! Called by a unit of the user's own session, since the account that prefetches has no desktop. Uses D-Bus
//! through `busctl`, which is part of systemd, as the unit is: a D-Bus library would bring an asynchronous runtime
//! and some 40 crates for one call. Silent where no notification server runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::fsx;
use crate::base::program::{self, SilentError};
use crate::config::Settings;
use crate::config::value::show_size;
use crate::host::inspect::store;
use crate::pacman::prefetch::state::UpdateStanding;

/// Longest wait for the bus, and most bytes of its answer, a number.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_MOST: u64 = 4096;

/// Longest record that is read: a digest and a line break.
const MEMORY: u64 = 128;

/// Runs the command. Never fails for lack of a desktop.
pub(crate) fn run(env: &Env, settings: &Settings) -> anyhow::Result<u8> {
    // Without a home there is no place to record the notification, and no desktop user.
    let Some(memory) = env.home().and_then(|_| memory()) else { return Ok(0) };
    let state = store::updates(settings);
    let (count, bytes) = state.ready();
    // Something is still missing: the next run may bring it.
    if count == 0 || state.updates.iter().any(|one| matches!(one.stands, UpdateStanding::Failed(_))) {
        return Ok(0);
    }
    let set: String = state.updates.iter().filter(|one| one.is_here()).map(|one| format!("{}\n", one.file)).collect();
    let set = Sha256::of(set.as_bytes()).to_string();
    let told = fsx::read_small(&memory, env.uid, MEMORY).unwrap_or_default();
    if String::from_utf8_lossy(&told).trim() == set {
        return Ok(0);
    }
    let (updates, are) = if count == 1 { ("update", "is") } else { ("updates", "are") };
    let title = format!("{count} {updates} ready");
    let text = format!("{} {are} on this machine: pacman -Syu needs to fetch nothing for that.", show_size(bytes));
    if show(&title, &text).is_ok() {
        let dir = memory.parent().expect("a file in a directory");
        std::fs::create_dir_all(dir).map_err(|e| Error::local(dir.display(), e))?;
        fsx::replace(&memory, format!("{set}\n").as_bytes(), 0o600).map_err(|e| Error::local(memory.display(), e))?;
    }
    Ok(0)
}

/// Calls `org.freedesktop.Notifications.Notify` (Desktop Notifications Specification 1.3): program, replaced one,
/// icon, title, text, no actions, no hints, the server's own time to show it.
fn show(title: &str, text: &str) -> Result<String, SilentError> {
    let name = "org.freedesktop.Notifications";
    let call = ["--user", "--", "call", name, "/org/freedesktop/Notifications", name, "Notify", "susssasa{sv}i"];
    let arguments = ["pkgswarm", "0", "system-software-update", title, text, "0", "0", "-1"];
    let mut busctl = Command::new("busctl");
    busctl.args(call).args(arguments);
    program::hear(busctl, b"", PATIENCE, ANSWER_MOST)
}

/// Returns the record of the last notification, in the user's own directory.
fn memory() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "pkgswarm")?;
    Some(dirs.state_dir().unwrap_or(dirs.cache_dir()).join("told"))
}
