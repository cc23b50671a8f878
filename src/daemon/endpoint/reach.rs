//! Whether a mirror can be reached at all: one that is slow has to be waited for, and what others say of its files counts
//! for nothing meanwhile. An attempt to connect tells it; a request that hangs may do so on a connection of before.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared};
use futures_util::stream::FuturesUnordered;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::HttpEndpoint;

/// Longest wait for a connection. One segment that is lost is sent again after a second (RFC 6298, section 2).
const PATIENCE: Duration = Duration::from_millis(1500);

/// Most hosts that are tried.
const HOSTS: usize = 4;

/// Time for which a result holds, from the begin of its attempt on.
const FRESH: Duration = Duration::from_secs(5);

/// An attempt to connect, for all who wait for it.
type HostLook = Shared<LocalBoxFuture<'static, bool>>;

/// The last attempt at each host, and when it began.
#[derive(Default)]
pub(super) struct MirrorReach(RefCell<BTreeMap<String, (Instant, HostLook)>>);

impl MirrorReach {
    /// Returns what the last attempt at `host` has shown, or shows; `begin` makes a new one, which goes on without those
    /// who wait for it.
    async fn of<F: Future<Output = bool> + 'static>(&self, host: &str, begin: impl FnOnce() -> F) -> bool {
        let look = {
            let mut looks = self.0.borrow_mut();
            looks.retain(|_, (begun, _)| begun.elapsed() < FRESH);
            let begun = || {
                let look = tokio::task::spawn_local(timeout(PATIENCE, begin()));
                let look = look.map(|ended| ended.is_ok_and(|shown| shown.unwrap_or(false)));
                (Instant::now(), look.boxed_local().shared())
            };
            looks.entry(host.to_owned()).or_insert_with(begun).1.clone()
        };
        look.await
    }
}

/// Returns true where a connection to one of the first of these mirrors can be made, within [`PATIENCE`]; also where a
/// proxy stands between, which alone knows.
pub(super) async fn reaches_one(endpoint: &HttpEndpoint, mirrors: &[Url]) -> bool {
    if endpoint.machine().http.has_proxies() {
        return true;
    }
    let host = |url: &Url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?));
    let mut hosts = BTreeSet::new();
    for host in mirrors.iter().filter_map(host) {
        if hosts.len() < HOSTS {
            hosts.insert(host);
        }
    }
    let tries = hosts.iter().map(async |host| {
        let (names, name) = (Rc::clone(&endpoint.transfers.names), host.clone());
        let connects = async |at| TcpStream::connect(at).await.is_ok();
        let look = || async move { is_any(names.find(&name, PATIENCE).await.into_iter().map(connects)).await };
        endpoint.transfers.reach.of(host, look).await
    });
    is_any(tries).await
}

/// Returns true as soon as one of them is.
async fn is_any(all: impl Iterator<Item = impl Future<Output = bool>>) -> bool {
    let mut all: FuturesUnordered<_> = all.collect();
    while let Some(is_one) = all.next().await {
        if is_one {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn mirrors_that_drop_packets_are_tried_side_by_side_and_once_for_all_who_ask() {
        let (reach, begun) = (MirrorReach::default(), Rc::<Cell<u32>>::default());
        let asked = (0..20).map(|number| {
            let begun = Rc::clone(&begun);
            let look = move || async move {
                begun.set(begun.get() + 1);
                std::future::pending().await
            };
            reach.of(["a:80", "b:80"][number % 2], look)
        });
        let since = Instant::now();
        let all = LocalSet::new().run_until(futures_util::future::join_all(asked)).await;
        assert!(!all.contains(&true));
        assert_eq!((begun.get(), since.elapsed()), (2, PATIENCE));
    }
}
