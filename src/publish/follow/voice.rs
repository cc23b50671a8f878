//! Whether two mirrors are two witnesses: what counts when two hosts agree must not come from one host under two names.
//!
//! Two ports of one host, and two names of one address, are one voice
//! (`two_ports_of_one_host_and_two_names_of_one_address_are_one_voice`). Names are resolved once a run, beside the first
//! questions; where they cannot be, as behind a proxy, they count as they are written.
//!
//! So are two names of one domain, which has one owner: `ipv4.mirror.example.org` and `ipv6.mirror.example.org`. The domain
//! is told by a rule, not by the public suffix list: that list is thousands of rules that grow old in a program, and decides
//! here about no more than which two mirrors are two. The rule errs on the side of too few witnesses, which is said
//! (`names_of_one_domain_are_one_voice`).

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
        one != other && !are_kin(&one, &other) && !self.0.get(&one).is_some_and(share)
    }
}

/// Returns true for two names of one domain: both are in the same domain of two names, or of three below a country's domains
/// for kinds (`co.uk`, `edu.cn`); or one is below the other; or both are directly below the same one.
fn are_kin(one: &str, other: &str) -> bool {
    let is_address = |host: &str| host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    if is_address(one) || is_address(other) {
        return false;
    }
    let is_below = |lower: &str, upper: &str| {
        upper.contains('.') && lower.strip_suffix(upper).is_some_and(|rest| rest.ends_with('.'))
    };
    let above =
        |host: &str| host.split_once('.').map(|(_, above)| above.to_owned()).filter(|above| above.contains('.'));
    let are_beside = above(one).is_some() && above(one) == above(other);
    is_below(one, other)
        || is_below(other, one)
        || are_beside
        || domain(one).is_some_and(|its| domain(other) == Some(its))
}

/// The words that stand below a country's domain for kinds of owners.
const KINDS: &[&str] = &[
    "ac", "ad", "asn", "art", "biz", "co", "com", "ed", "edu", "ernet", "gen", "go", "gob", "gov", "gr", "govt", "id",
    "idf", "ind", "info", "int", "k12", "lg", "ltd", "me", "mi", "mil", "muni", "ne", "net", "nhs", "nic", "nom", "or",
    "org", "plc", "pro", "re", "res", "sch", "school", "web",
];

/// Returns the domain of a name that has an owner; `None` for a name without a dot.
fn domain(host: &str) -> Option<&str> {
    let dots: Vec<usize> = host.rmatch_indices('.').map(|(at, _)| at).collect();
    let last = *dots.first()?;
    let begin = |dot: Option<&usize>| dot.map_or(0, |at| at + 1);
    let second = begin(dots.get(1));
    let is_kind = host.len() - last == 3 && KINDS.contains(&&host[second..last]);
    Some(&host[if is_kind { begin(dots.get(2)) } else { second }..])
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

    #[test]
    fn names_of_one_domain_are_one_voice() {
        for (one, other, expected) in [
            ("ipv4.mirror.example.org", "ipv6.mirror.example.org", true),
            ("mirrors.example.org", "mirrors.edge.example.org", true),
            ("example.org", "ipv4.example.org", true),
            ("ftp.fau.de", "mirror.fau.de", true),
            ("eu.mirror.abc.de", "ftp.abc.de", true),
            ("a.b.fau.de", "c.fau.de", true),
            ("a.mirror.one.ac.jp", "ftp.two.ac.jp", false),
            ("a.mirror.example.co.uk", "b.example.co.uk", true),
            ("mirror.one.co.uk", "mirror.two.co.uk", false),
            ("mirrors.tuna.tsinghua.edu.cn", "mirrors.ustc.edu.cn", false),
            ("mirror.example.org", "mirror.example.net", false),
            ("notexample.org", "example.org", false),
            ("localhost", "mirror", false),
            ("127.0.0.1", "128.0.0.1", false),
            ("[::1]", "[::2]", false),
        ] {
            assert_eq!((are_kin(one, other), are_kin(other, one)), (expected, expected), "{one} {other}");
        }
    }

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
