//! Server URLs of pacman.conf: the file below them that a URL names, and whether they are public.

use crate::base::name::FileName;
use crate::base::public::is_public_host;

/// Returns the file that `url` names directly below `server`.
///
/// libalpm cuts trailing slashes from a server and joins with one; additional ones are ignored here.
pub(super) fn file_below(server: &str, url: &str) -> Option<FileName> {
    let rest = url.strip_prefix(server.trim_end_matches('/'))?;
    let file = rest.trim_start_matches('/');
    (file.len() < rest.len()).then(|| FileName::new(file).ok()).flatten()
}

/// Returns true for a public URL: http or https, a public host, no credentials and no query.
///
/// A query may hold a token, so it counts as credentials. A host without a dot, with a suffix that is never public or
/// an address of a private, local or otherwise special range is not public. Nothing is resolved: a public name may
/// still lead to a private address.
pub fn is_public(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return false;
    }
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    // '@' before the path gives credentials; anywhere else it is no sign of a plain mirror.
    if rest.contains(['?', '@', '\\']) || rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return false;
    }
    match host(authority) {
        Some(host) => is_public_host(&host.to_ascii_lowercase()),
        None => false,
    }
}

/// Returns the host without its port, brackets kept.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_plain =
        port.is_empty() || port.strip_prefix(':').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    (!host.is_empty() && port_is_plain).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_mirrors_are_public() {
        for url in [
            "https://geo.mirror.pkgbuild.com/core/os/x86_64",
            "http://mirror.example.org:8080/arch/",
            "HTTPS://Mirror.Example.ORG./x",
            "https://8.8.8.8/x",
            "http://[2a01:4f8::1]:80/x",
            "https://mirror.example",
        ] {
            assert!(is_public(url), "{url}");
        }
    }

    #[test]
    fn what_only_some_can_reach_is_not_public() {
        for url in [
            "",
            "file:///srv",
            "ftp://mirror.example.org/x",
            "mirror.example.org",
            "https://",
            "https:///x",
            "https://user:pw@mirror.example.org/x",
            "https://mirror.example.org/x?token=1",
            "https://token@mirror.example.org",
            "http://localhost/x",
            "http://LOCALHOST:80",
            "http://nas/x",
            "http://nas.local",
            "http://a.lan./x",
            "http://x.home.arpa",
            "http://127.0.0.1:7077",
            "http://127.1/x",
            "http://0x7f.1",
            "http://2130706433/",
            "http://10.1.2.3",
            "http://192.168.1.1/x",
            "http://172.16.0.1",
            "http://169.254.1.1",
            "http://100.64.0.1",
            "http://0.0.0.0",
            "http://255.255.255.255",
            "http://224.0.0.1",
            "http://[::1]/x",
            "http://[fe80::1]",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
            "http://[2a01::1",
            "http://[::]",
            "http://a b.example",
            "http://mirror.example.org:x/",
            "http://10.0.0.1\\@mirror.example.org/",
            "http://a%40.example/x",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.\u{ff11}/x",
            "http://nas.\u{ff4c}an/x",
        ] {
            assert!(!is_public(url), "{url}");
        }
    }

    #[test]
    fn a_file_is_directly_below_its_server() {
        let below = |server, url| file_below(server, url).map(|file| file.to_string());
        assert_eq!(below("http://a/x/", "http://a/x/f.db").as_deref(), Some("f.db"));
        assert_eq!(below("http://a/x", "http://a/x//f.db").as_deref(), Some("f.db"));
        assert_eq!(below("http://a/x", "http://a/xf.db"), None);
        assert_eq!(below("http://a/x", "http://a/x/y/f.db"), None);
    }
}
