//! The forms in which a user writes a CID: the CID alone, a path below it, an `ipfs://` URL, the URL of a gateway.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::base::cid::{Cid, CidError};

/// A CID and the path below it, as in `ipfs://CID/a/b`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The root. It may hold its block itself.
    pub cid: Cid,
    /// Names of directory entries: none is empty, `.` or `..`, none has a slash or a zero byte in it.
    pub path: Vec<String>,
}

/// The reason why a text that is plainly an address cannot be fetched. Trying again does not help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// It names something that is not read here, or is no CID.
    #[error("{0}")]
    Cid(CidError),
    /// A name that points at one thing today and at another tomorrow.
    #[error("it is an IPNS name, which can change and proves no file")]
    Ipns,
    /// `ipfs://CID?…`
    #[error("a CID names bytes and has no query, found \"?{0}\"")]
    Query(String),
    /// The path has a name in it that no directory has.
    #[error("{0:?} cannot be the name of an entry")]
    Name(String),
}

impl AddressError {
    /// Returns the advice for the user.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            AddressError::Cid(_) => {
                "`ipfs get` reads CIDs of other kinds; a CID is written exactly as it was given, A is not a"
            }
            AddressError::Ipns => "`ipfs resolve -r /ipns/NAME` prints the CID that it points at now; fetch that",
            AddressError::Query(_) => "leave out the question mark and all after it",
            AddressError::Name(_) => "write / between the names of a path, and %XX for odd characters in a URL",
        }
    }
}

/// Shortest text that is read as a CID of a foreign kind where it could also be a package name. The shortest such
/// CIDs in use, of a sha1, have 38 characters.
const FOREIGN_LEAST: usize = 32;

impl Address {
    /// Reads `CID`, `CID/path`, `/ipfs/CID/path` and `ipfs://CID/path`; in a URL the path may be percent-encoded,
    /// and the scheme is of either case. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Result<Self, AddressError>> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "ipfs" => Some(Self::of_url(rest)),
                "ipns" => Some(Err(AddressError::Ipns)),
                _ => None,
            };
        }
        if text.starts_with("/ipns/") {
            return Some(Err(AddressError::Ipns));
        }
        let plain = text.strip_prefix("/ipfs/");
        let mut parts = plain.unwrap_or(text).split('/').filter(|part| !part.is_empty());
        let first = parts.next().unwrap_or_default();
        match Cid::of_address(first) {
            Ok(cid) => Some(Self::below(cid, parts.map(str::to_owned))),
            Err(bad) if plain.is_some() || (bad.is_foreign() && first.len() >= FOREIGN_LEAST) => Some(Err(of(bad))),
            Err(_) => None,
        }
    }

    /// Reads a URL below `gateway`; `None` for a URL elsewhere, or one that asks for more than the bytes of a
    /// file.
    pub fn at_gateway(url: &Url, gateway: &Url) -> Option<Self> {
        let is_local = |url: &Url| match url.host_str() {
            Some(host) => host == "localhost" || host.ends_with(".localhost") || is_loopback(host),
            None => false,
        };
        let same = url.scheme() == gateway.scheme()
            && url.port_or_known_default() == gateway.port_or_known_default()
            && (url.host_str() == gateway.host_str() || (is_local(url) && is_local(gateway)));
        // These only tell a browser how to show the file; its bytes stay the same.
        let asks_more = url.query_pairs().any(|(key, _)| !matches!(&*key, "filename" | "download"));
        if !same || asks_more {
            return None;
        }
        let rest = match url.host_str().and_then(|host| host.strip_suffix(".ipfs.localhost")) {
            Some(cid) => format!("{cid}{}", url.path()),
            None => url.path().strip_prefix(gateway.path().trim_end_matches('/'))?.strip_prefix("/ipfs/")?.to_owned(),
        };
        Self::of_url(&rest).ok()
    }

    /// Reads the part of a URL after the scheme.
    fn of_url(rest: &str) -> Result<Self, AddressError> {
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !query.is_empty() {
            return Err(AddressError::Query(query.to_owned()));
        }
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let cid = Cid::of_address(parts.next().unwrap_or_default()).map_err(of)?;
        let names = parts.map(|part| {
            let name = percent_encoding::percent_decode_str(part).decode_utf8();
            name.map(|name| name.into_owned()).map_err(|_| AddressError::Name(part.to_owned()))
        });
        Self::below(cid, names.collect::<Result<Vec<_>, _>>()?)
    }

    fn below(cid: Cid, names: impl IntoIterator<Item = String>) -> Result<Self, AddressError> {
        let path: Vec<String> = names.into_iter().collect();
        match path.iter().find(|name| matches!(name.as_str(), "." | "..") || name.contains(['/', '\0'])) {
            Some(bad) => Err(AddressError::Name(bad.clone())),
            None => Ok(Self { cid, path }),
        }
    }

    /// Returns the file name to use when the user gives none.
    pub(crate) fn name(&self) -> String {
        self.path.last().cloned().unwrap_or_else(|| self.cid.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/ipfs/{}", self.cid)?;
        self.path.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

fn of(bad: CidError) -> AddressError {
    if bad.is_key() { AddressError::Ipns } else { AddressError::Cid(bad) }
}

fn is_loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

    fn read(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|| panic!("no address: {text}")).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        let plain = Address { cid: CID.parse().unwrap(), path: Vec::new() };
        let upper = cid::multibase::encode(cid::multibase::Base::Base32Upper, plain.cid.to_bytes());
        for text in [CID, &format!("/ipfs/{CID}"), &format!("ipfs://{CID}/"), &format!("IPFS://{CID}#x"), &upper] {
            assert_eq!(read(text), plain, "{text}");
        }
        assert_eq!(read(&format!("Ipfs://{CID}/core/a%20b+c")).path, ["core", "a b+c"]);
        assert_eq!(read(&format!("{CID}/core/a%20b")).name(), "a%20b", "no URL");
        for other in ["zstd", "https://example/x", "libfoo-1.2-3-x86_64.pkg.tar.zst", "", "z", "f", "bafk"] {
            assert_eq!(Address::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_an_address_and_cannot_be_fetched_gets_a_reason_of_its_own() {
        let key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        let refused = |text: &str| Address::parse(text).unwrap_or_else(|| panic!("no address: {text}")).unwrap_err();
        for text in
            [&format!("ipns://{key}/x"), "IPNS://example.org", &format!("/ipns/{key}"), key, "/ipns/example.org"]
        {
            assert_eq!(refused(text), AddressError::Ipns, "{text}");
        }
        let cbor = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";
        assert!(refused(cbor).to_string().contains("dag-cbor"));
        assert!(refused(&format!("ipfs://{cbor}/x")).to_string().contains("dag-cbor"));
        for text in ["ipfs://nonsense", "/ipfs/", "ipfs://qmunllspaccz1vlxqvkxqqlx5r1x345qqfhbsf67hva3nn"] {
            assert!(matches!(refused(text), AddressError::Cid(CidError::Malformed(_))), "{text}");
        }
        assert_eq!(refused(&format!("ipfs://{CID}?format=car")), AddressError::Query("format=car".to_owned()));
        for name in ["..", ".", "a%2Fb", "%2e%2e", "%00"] {
            assert!(matches!(refused(&format!("ipfs://{CID}/{name}")), AddressError::Name(_)), "{name}");
        }
        assert!(matches!(refused(&format!("{CID}/..")), AddressError::Name(_)));
    }

    #[test]
    fn a_url_of_a_gateway_holds_the_cid_that_proves_it() {
        let at = |url: &str, gateway: &str| Address::at_gateway(&url.parse().unwrap(), &gateway.parse().unwrap());
        let local = "http://127.0.0.1:8080";
        let file = Some(read(&format!("{CID}/a b")));
        for url in [
            format!("http://127.0.0.1:8080/ipfs/{CID}/a%20b"),
            format!("http://localhost:8080/ipfs/{CID}/a%20b?filename=x&download=true#part"),
            format!("http://{CID}.ipfs.localhost:8080/a%20b"),
        ] {
            assert_eq!(at(&url, local), file, "{url}");
        }
        assert_eq!(at(&format!("https://gate.example/sub/ipfs/{CID}"), "https://gate.example/sub"), Some(read(CID)));
        for url in [
            format!("http://127.0.0.1:8081/ipfs/{CID}"),
            format!("https://127.0.0.1:8080/ipfs/{CID}"),
            format!("http://example.org:8080/ipfs/{CID}"),
            format!("http://127.0.0.1:8080/ipfs/{CID}?format=raw"),
            format!("http://127.0.0.1:8080/{CID}"),
            "http://127.0.0.1:8080/ipns/example.org/x".to_owned(),
            "http://127.0.0.1:8080/ipfs/nonsense".to_owned(),
        ] {
            assert_eq!(at(&url, local), None, "{url}");
        }
    }
}
