//! Clears up after pacman: what has come to its package cache leaves the endpoint's store, as soon as no client is served
//! and no file on its way.

use std::time::Duration;

use super::HttpEndpoint;
use crate::store::Store;

/// Interval between looks whether there is something to clear up.
const LOOK: Duration = Duration::from_secs(5);

/// Clears up for ever, on another thread: files are compared by their bytes.
pub(super) async fn tidy(endpoint: &HttpEndpoint) {
    let (mut seen, mut tidied) = (0, 0);
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        let served = endpoint.views.running.ended();
        let is_quiet = served == std::mem::replace(&mut seen, served);
        if !is_quiet || served == tidied || endpoint.views.running.count() > 0 || endpoint.transfers.hub.count() > 0 {
            continue;
        }
        tidied = served;
        let machine = endpoint.machine();
        let Some(caches) = endpoint.desks.ask(|desk| desk.lists.cache_dirs().to_vec()).await else { continue };
        let (dir, uid, most) = (machine.store.dir().to_owned(), machine.env.uid, machine.settings.store_max);
        // What fails now is done the next time.
        let sweep = move || Store::open(&dir, uid, most).and_then(|store| store.sweep(&caches));
        let _ = tokio::task::spawn_blocking(sweep).await;
    }
}
