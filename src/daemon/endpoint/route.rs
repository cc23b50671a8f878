//! The path of a request and the host that it names: what is asked for. Decided without any input or output, so that no
//! path opens a file or leads to another host (`tests/cases/endpoint_hostile.rs`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::net::IpAddr;

use hyper::http::uri::Authority;
use percent_encoding::percent_decode_str;

use crate::base::name::FileName;

/// Most bytes of a path. The longest file name has 255, and the directories before it are of the user's own choice.
const PATH_MOST: usize = 4096;

/// Directories before the file name that are kept: `$repo/os/$arch`.
const HINTS: usize = 3;

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// The page for people.
    Page,
    /// The numbers for Prometheus.
    Metrics,
    /// The state, as JSON.
    Status,
    /// What this process alone knows of its state, as JSON: for the other commands.
    Own,
    /// A file of a repository.
    File(RoutedFile),
}

/// A file that a path names, below any prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutedFile {
    /// Its name, the last part of the path.
    pub name: FileName,
    /// The last parts before it, at most three: a repository and an architecture are among them.
    pub hints: Vec<String>,
}

/// The reason why a path leads nowhere. Trying again does not help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// More bytes than any file here has in its path.
    #[error("the path is too long")]
    Long,
    /// A path that no client of a package manager sends: `..`, a NUL, an encoded slash, a broken escape.
    #[error("the path is malformed")]
    Malformed,
    /// No file has such a name.
    #[error("no such file")]
    Missing,
}

/// Reads the path of a request, without its query.
///
/// # Errors
/// `RouteError`, each with a status of its own.
pub fn route(path: &str) -> Result<Route, RouteError> {
    if path.len() > PATH_MOST {
        return Err(RouteError::Long);
    }
    let below = path.strip_prefix('/').ok_or(RouteError::Malformed)?;
    match below {
        "" => return Ok(Route::Page),
        "metrics" => return Ok(Route::Metrics),
        "status.json" => return Ok(Route::Status),
        "endpoint.json" => return Ok(Route::Own),
        _ => {}
    }
    let mut parts = parts(below)?;
    let name = parts.pop().filter(|_| !below.ends_with('/')).ok_or(RouteError::Missing)?;
    let name = FileName::new(name).map_err(|_| RouteError::Missing)?;
    let hints = parts.split_off(parts.len().saturating_sub(HINTS));
    Ok(Route::File(RoutedFile { name, hints }))
}

/// Returns the parts of a path, decoded. libalpm cuts one slash from the end of a server, and joins with another; Haiku's
/// tools cut none: an empty part is none.
pub(super) fn parts(path: &str) -> Result<Vec<String>, RouteError> {
    path.split('/').filter(|part| !part.is_empty()).map(decoded).collect()
}

/// Decodes one part of a path.
fn decoded(part: &str) -> Result<String, RouteError> {
    let bytes = part.as_bytes();
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !is_escape(at)) {
        return Err(RouteError::Malformed);
    }
    let text = percent_decode_str(part).decode_utf8().map_err(|_| RouteError::Malformed)?;
    let is_plain = !text.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) && text != "." && text != "..";
    if is_plain { Ok(text.into_owned()) } else { Err(RouteError::Malformed) }
}

/// Returns true when a request that names `host` is meant for this endpoint: an address of this machine, `localhost`, or
/// one of `names`. A page of another site that has its name lead to this machine names that site (DNS rebinding).
/// `local` is the address at which the client is connected.
pub fn is_own_host(host: &str, local: IpAddr, names: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback() || address == local.to_canonical();
    }
    let whole = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let name = whole(name);
    name == "localhost" || names.iter().any(|own| whole(own) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Option<(String, Vec<String>)> {
        match route(path) {
            Ok(Route::File(RoutedFile { name, hints })) => Some((name.to_string(), hints)),
            _ => None,
        }
    }

    #[test]
    fn the_last_part_of_a_path_is_the_name_and_those_before_it_are_hints() {
        let hints = |hints: &[&str]| hints.iter().map(|hint| (*hint).to_owned()).collect::<Vec<_>>();
        for (path, name, before) in [
            (
                "/core/os/x86_64/zlib-1:1.3-1-x86_64.pkg.tar.zst",
                "zlib-1:1.3-1-x86_64.pkg.tar.zst",
                &["core", "os", "x86_64"][..],
            ),
            ("/any/prefix/core/os/x86_64//core.db", "core.db", &["core", "os", "x86_64"]),
            ("/core.db", "core.db", &[]),
            ("/c%6fre/g++%2d1-1-any.pkg.tar.zst.sig", "g++-1-1-any.pkg.tar.zst.sig", &["core"]),
            ("/metrics/x", "x", &["metrics"]),
        ] {
            assert_eq!(file(path), Some((name.to_owned(), hints(before))), "{path}");
        }
        let known = ["/", "/metrics", "/status.json"].map(|path| route(path).unwrap());
        assert_eq!(known, [Route::Page, Route::Metrics, Route::Status]);
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in [
            "",
            "core.db",
            "/core/../core.db",
            "/..",
            "/./core.db",
            "/%2e%2e/core.db",
            "/core%2fos%2Fx86_64/core.db",
            "/core.db%00",
            "/core.db%0a",
            "/a%5cb",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
        ] {
            assert_eq!(route(path), Err(RouteError::Malformed), "{path}");
        }
        assert_eq!(route("/core/os/x86_64/"), Err(RouteError::Missing));
        assert_eq!(route(&format!("/{}", "a".repeat(300))), Err(RouteError::Missing));
        assert_eq!(route(&format!("/{}", "a/".repeat(3000))), Err(RouteError::Long));
    }

    #[test]
    fn only_names_and_addresses_of_this_machine_are_its_own() {
        let local: IpAddr = "192.168.1.2".parse().unwrap();
        let names = ["cache.lan".to_owned()];
        for host in
            ["127.0.0.1:4011", "127.9.9.9", "[::1]:4011", "localhost", "LOCALHOST.:1", "192.168.1.2:4011", "Cache.LAN."]
        {
            assert!(is_own_host(host, local, &names), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "192.168.1.3",
            "localhost.evil.example",
            "user@localhost",
            "cache.lan.evil",
            "[::2]",
            "a b",
        ] {
            assert!(!is_own_host(host, local, &names), "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_routed_name_is_plain_whatever_the_path(path in "/.{0,60}") {
            if let Ok(Route::File(RoutedFile { name, hints })) = route(&path) {
                let mut parts = hints.iter().map(String::as_str).chain([name.as_str()]);
                assert!(parts.all(|part| part != ".." && !part.contains(['/', '\0'])));
            }
        }

        #[test]
        fn any_host_is_judged_without_panic(host in ".{0,40}") {
            let _ = is_own_host(&host, IpAddr::from([127, 0, 0, 1]), &[]);
        }
    }
}
