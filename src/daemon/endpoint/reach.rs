//! Whether a mirror can be reached at all: one that is slow has to be waited for, and what others say of its files counts
//! for nothing meanwhile. An attempt to connect tells it; a request that hangs may do so on a connection of before.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::HttpEndpoint;

/// Longest wait for a connection. One segment that is lost is sent again after a second (RFC 6298, section 2).
const PATIENCE: Duration = Duration::from_millis(1500);

/// Most hosts that are tried.
const HOSTS: usize = 4;

/// Time for which the last result holds.
const FRESH: Duration = Duration::from_secs(5);

/// The last result, for all who ask meanwhile.
#[derive(Default)]
pub(super) struct MirrorReach(Mutex<Option<ReachSeen>>);

/// A result, the hosts that were tried, and the time of it.
struct ReachSeen {
    hosts: BTreeSet<String>,
    at: Instant,
    is_one: bool,
}

/// Returns true where a connection to one of the first of these mirrors can be made; also where a proxy stands between,
/// which alone knows.
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
    let mut last = endpoint.transfers.reach.0.lock().await;
    if let Some(seen) = last.as_ref().filter(|seen| seen.hosts == hosts && seen.at.elapsed() < FRESH) {
        return seen.is_one;
    }
    let names = &endpoint.transfers.names;
    let connects = async |at| TcpStream::connect(at).await.is_ok();
    let tries = hosts.iter().map(async |host| {
        let found = names.find(host, PATIENCE).await;
        is_any(found.into_iter().map(connects)).await
    });
    let is_one = timeout(PATIENCE, is_any(tries)).await.unwrap_or(false);
    *last = Some(ReachSeen { hosts, at: Instant::now(), is_one });
    is_one
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
