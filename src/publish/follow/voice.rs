//! Whether two mirrors are two witnesses: what counts when two hosts agree must not come from one host under two names.
//!
//! Two ports of one host, and two names of one address, are one voice
//! (`two_ports_of_one_host_and_two_names_of_one_address_are_one_voice`). Names are resolved once a run, beside the first
//! questions; where they cannot be, as behind a proxy, they count as they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;

use crate::config::template::MirrorTemplate;

/// Time for all names together.
const RESOLVE: Duration = Duration::from_secs(5);

/// The addresses of the mirrors that are asked over http.
#[derive(Debug, Default)]
pub(super) struct MirrorVoices(BTreeMap<String, BTreeSet<IpAddr>>);

impl MirrorVoices {
    /// Resolves the names of those of `mirrors` that need a second witness.
    pub(super) async fn of(mirrors: &[&MirrorTemplate]) -> Self {
        let hosts: BTreeSet<String> =
            mirrors.iter().filter(|mirror| !mirror.is_https()).filter_map(|mirror| bare_host(mirror)).collect();
        let found = join_all(hosts.into_iter().map(|host| async {
            let addresses = tokio::time::timeout(RESOLVE, resolve(&host)).await.unwrap_or_default();
            (host, addresses)
        }));
        Self(found.await.into_iter().collect())
    }

    /// Returns true when the two are of different hosts.
    pub(super) fn differ(&self, one: &MirrorTemplate, other: &MirrorTemplate) -> bool {
        let (Some(one), Some(other)) = (bare_host(one), bare_host(other)) else { return false };
        let share = |addresses: &BTreeSet<IpAddr>| self.0.get(&other).is_some_and(|its| !its.is_disjoint(addresses));
        one != other && !self.0.get(&one).is_some_and(share)
    }
}

/// Returns the host of a mirror without its port, in lower case.
fn bare_host(mirror: &MirrorTemplate) -> Option<String> {
    let url: Url = mirror.file("", "", "")?;
    Some(url.host_str()?.trim_end_matches('.').to_ascii_lowercase())
}

async fn resolve(host: &str) -> BTreeSet<IpAddr> {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return BTreeSet::from([address.to_canonical()]);
    }
    let found = tokio::net::lookup_host((host, 0)).await;
    found.map(|all| all.map(|address| address.ip().to_canonical()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_ports_of_one_host_and_two_names_of_one_address_are_one_voice() {
        let urls = [
            "http://127.0.0.1:80/$repo",
            "http://127.0.0.1:81/$repo",
            "http://LOCALHOST/$repo",
            "http://[::ffff:127.0.0.1]/$repo",
            "http://127.0.0.2/$repo",
            "http://a.invalid/$repo",
            "http://b.invalid/$repo",
            "http://a.invalid./x/$repo",
        ];
        let all = urls.map(|url| MirrorTemplate::parse(url).unwrap());
        let voices = MirrorVoices::of(&all.iter().collect::<Vec<_>>()).await;
        let first = &all[0];
        let differ: Vec<bool> = all.iter().map(|mirror| voices.differ(first, mirror)).collect();
        assert_eq!(differ, [false, false, false, false, true, true, true, true]);
        assert!(voices.differ(&all[5], &all[6]), "names without an address count as they are written");
        assert!(!voices.differ(&all[5], &all[7]));
    }
}
