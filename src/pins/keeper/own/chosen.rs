//! Which shares are kept in the store.

use std::path::Path;
use std::rc::Rc;

use super::serves::ShareServing;
use crate::base::error::Error;
use crate::config::{AskPolicy, KeepConfig, Settings};
use crate::machine::Machine;
use crate::net::kubo::KuboErrorKind;
use crate::pins::keeper::state::KeeperState;
use crate::store::kept::StoreShare;

/// Returns the share `name`, where it is kept in the store of this user.
pub(crate) fn share_in_store(settings: &Settings, name: &str) -> Option<StoreShare> {
    let dir: &Path = settings.store_dir.as_deref()?;
    Some(StoreShare::of(dir, name)).filter(StoreShare::exists)
}

/// Returns the share `name` where it is kept in a store that this user sees; with `is_roots`, in that of root's downloads.
pub(crate) fn share_seen(settings: &Settings, name: &str, is_roots: bool) -> Option<StoreShare> {
    let stores = if is_roots { settings.stores.last() } else { settings.store_dir.as_ref() };
    stores.map(|dir| StoreShare::of(dir, name)).filter(StoreShare::exists)
}

/// True for a share that is kept in the store: one that was begun there, and a new one where Kubo is not asked or does not
/// run, and the daemon serves.
///
/// # Errors
/// A usage error where neither can serve it, with the command by which one of them can.
pub(in crate::pins::keeper) async fn is_chosen(
    machine: &Rc<Machine>,
    config: &KeepConfig,
    state: &KeeperState,
) -> Result<bool, Error> {
    if share_in_store(&machine.settings, &config.name).is_some() {
        return Ok(true);
    }
    let is_begun = state.root.is_some() || !state.files.is_empty();
    let asks_kubo = machine.asks_kubo();
    if !asks_kubo && is_begun {
        let why = "its share is in Kubo, and kubo.enabled is false, or a proxy is set";
        return Err(Error::usage(&config.name, why).hint("pkgswarm config kubo.enabled"));
    }
    if is_begun || machine.settings.kubo == AskPolicy::Yes {
        return Ok(false);
    }
    match ShareServing::ask(&machine.settings, machine.store.dir()).await {
        Err(why) if !asks_kubo => Err(why.error_beside("kubo.enabled is false, or a proxy is set", &config.name)),
        // Kubo's own error says more.
        Err(_) => Ok(false),
        Ok(_) if !asks_kubo => Ok(true),
        Ok(_) => Ok(machine.kubo().peer_id().await.is_err_and(|fault| fault.kind == KuboErrorKind::Unreachable)),
    }
}
