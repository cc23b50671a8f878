//! Clears up after pacman: what has come to its package cache leaves the endpoint's store, as soon as no client is served
//! and no file on its way.

use std::rc::Rc;
use std::time::Duration;

use super::HttpEndpoint;
use super::desk::Desk;
use crate::engine::deliver::Receipt;
use crate::machine::call::Call;
use crate::store::Store;

/// Interval between looks whether there is something to clear up.
const LOOK: Duration = Duration::from_secs(5);

/// Time until the first look whether an index is due, and between later ones.
const INDEXES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(900));

/// Has due indexes refreshed for ever: pacman asks a `CacheServer` for no database, so no `-Sy` shows when.
pub(super) async fn keep_indexes(endpoint: Rc<HttpEndpoint>) {
    let (mut wait, later) = INDEXES;
    loop {
        tokio::time::sleep(std::mem::replace(&mut wait, later)).await;
        let look = |desk: &Desk| {
            let call = Call::with(desk.lists.again(), desk.machine.store.dir());
            desk.means.tidy_up(&call, &Receipt::default(), true);
        };
        endpoint.desks.ask(look).await;
    }
}

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
