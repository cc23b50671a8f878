//! Addresses in settings: a server that is asked below a path, and Kubo's RPC.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

/// An http or https URL without credentials, query or fragment, below whose path files are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl(Url);

impl Default for BaseUrl {
    /// Returns the loopback address.
    fn default() -> Self {
        Self(Url::parse("http://127.0.0.1").expect("a URL"))
    }
}

impl BaseUrl {
    /// Reads an http or https URL without credentials, query or fragment, and drops slashes at its end.
    ///
    /// `localhost` becomes 127.0.0.1: Kubo's gateway redirects the name to a subdomain (boxo, gateway/hostname.go:60).
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || has_credentials || url.query().or(url.fragment()).is_some() {
            return None;
        }
        if url.host_str() == Some("localhost") {
            url.set_host(Some("127.0.0.1")).ok()?;
        }
        let path = url.path().trim_end_matches('/');
        if path.len() < url.path().len() {
            let path = path.to_owned();
            url.set_path(&path);
        }
        Some(Self(url))
    }

    /// Returns it as a URL. One without a path ends with a slash, as every URL does.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Returns the URL of `path` below it, as [`below`] does.
    pub(crate) fn below(&self, path: &str) -> Url {
        below(&self.0, path)
    }
}

/// Returns the URL of `path`, which begins with a slash and may have a query, below `base`. The path of `base` is
/// kept, as for a gateway behind a prefix of another server.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// Writes it without a slash at its end.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl serde::Serialize for BaseUrl {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The address of Kubo's RPC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RpcAddress {
    /// A server over TCP.
    Http(BaseUrl),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl Default for RpcAddress {
    /// Returns the loopback address.
    fn default() -> Self {
        Self::Http(BaseUrl::default())
    }
}

impl RpcAddress {
    /// Reads an http or https URL, `unix:` and an absolute path, or a multiaddress as Kubo writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let path =
            text.strip_prefix("/unix").or_else(|| text.strip_prefix("unix://")).or_else(|| text.strip_prefix("unix:"));
        if let Some(path) = path {
            // One slash: after `unix:` two would begin an authority.
            let below = path.trim_start_matches('/');
            return (path.len() > below.len() && !below.is_empty()).then(|| Self::Unix(Path::new("/").join(below)));
        }
        let url = |text: &str| BaseUrl::parse(text).map(Self::Http);
        let Some(address) = text.strip_prefix('/') else { return url(text) };
        let parts: Vec<&str> = address.trim_end_matches('/').split('/').collect();
        let (kind, host, port, scheme) = match parts[..] {
            [kind, host, "tcp", port] | [kind, host, "tcp", port, "http"] => (kind, host, port, "http"),
            [kind, host, "tcp", port, "https"] | [kind, host, "tcp", port, "tls", "http"] => {
                (kind, host, port, "https")
            }
            _ => return None,
        };
        match kind {
            "ip4" | "dns" | "dns4" | "dns6" => url(&format!("{scheme}://{host}:{port}")),
            "ip6" => url(&format!("{scheme}://[{host}]:{port}")),
            _ => None,
        }
    }

    /// Returns the TCP port that is named in it.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Http(base) => base.url().port(),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for RpcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(base) => fmt::Display::fmt(base, f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Hides a possible password in a text that was to be a URL and is not.
pub(crate) fn without_secret(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…@{rest}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<String> {
        BaseUrl::parse(text).map(|base| base.to_string())
    }

    #[test]
    fn the_address_of_an_rpc_is_read_as_kubo_writes_it() {
        for (text, read) in [
            ("http://localhost:5001/", Some("http://127.0.0.1:5001")),
            ("/ip4/127.0.0.1/tcp/5001", Some("http://127.0.0.1:5001")),
            ("/ip6/::1/tcp/5001", Some("http://[::1]:5001")),
            ("/dns4/kubo.lan/tcp/443/https", Some("https://kubo.lan")),
            ("unix:/run/ipfs/api.sock", Some("unix:/run/ipfs/api.sock")),
            ("unix:///run/ipfs/api.sock", Some("unix:/run/ipfs/api.sock")),
            ("/unix/run/ipfs/api.sock", Some("unix:/run/ipfs/api.sock")),
            ("unix:////run/ipfs/api.sock", Some("unix:/run/ipfs/api.sock")),
            ("unix:run/x", None),
            ("unix:/", None),
            ("/ip4/127.0.0.1/udp/5001", None),
            ("/run/ipfs/api.sock", None),
            ("http://user:secret@127.0.0.1:5001", None),
        ] {
            assert_eq!(RpcAddress::parse(text).map(|it| it.to_string()).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn the_path_of_a_configured_address_is_kept() {
        let at = |base: &str| BaseUrl::parse(base).unwrap().below("/ipfs/bafk?format=raw").to_string();
        assert_eq!(at("https://gate.example"), "https://gate.example/ipfs/bafk?format=raw");
        for base in ["https://gate.example/sub/", "https://gate.example/sub", "https://gate.example/sub//"] {
            assert_eq!(at(base), "https://gate.example/sub/ipfs/bafk?format=raw");
        }
    }

    #[test]
    fn localhost_is_read_as_127_0_0_1() {
        assert_eq!(url("http://localhost:8080/").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(url("ftp://x"), None);
        for bad in ["http://user:secret@x", "http://:secret@x", "http://x/?", "http://x/#y"] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for (text, written) in
            [("http://x//", "http://x"), ("https://x/a%20b/", "https://x/a%20b"), ("HTTP://X", "http://x")]
        {
            let base = BaseUrl::parse(text).unwrap();
            assert_eq!(base.to_string(), written);
            assert_eq!(BaseUrl::parse(&base.to_string()), Some(base));
        }
    }
}
