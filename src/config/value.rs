//! Reading and printing the values of settings: sizes, time spans, URLs.

use std::time::Duration;

use crate::config::key::Shape;
use crate::name::RepoName;

const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

const SPANS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `100 KiB`, `2GiB`, `512`; whole numbers only.
pub fn size(text: &str) -> Option<u64> {
    with_unit(text, SIZES)
}

/// Reads `300 ms`, `5 s`, `10 min`, `6 h`, `2 d`; whole numbers with a unit.
pub fn span(text: &str) -> Option<Duration> {
    with_unit(text, SPANS).map(Duration::from_millis)
}

/// Reads a whole number from 1 to 8.
pub fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=8).contains(count))
}

/// Reads an http or https URL without credentials, query or fragment, and drops a slash at its end.
///
/// `localhost` becomes 127.0.0.1: Kubo's gateway redirects the name to a subdomain (boxo, gateway/hostname.go:60).
pub fn url(text: &str) -> Option<String> {
    let mut url = reqwest::Url::parse(text).ok()?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || has_credentials || url.query().or(url.fragment()).is_some() {
        return None;
    }
    if url.host_str() == Some("localhost") {
        url.set_host(Some("127.0.0.1")).ok()?;
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Prefix of a Unix socket's path in an address.
pub const UNIX: &str = "unix:";

/// Reads the address of Kubo's RPC: an http or https URL, `unix:` and an absolute path, or a multiaddress as Kubo writes it.
pub fn api(text: &str) -> Option<String> {
    let path = text.strip_prefix("/unix").or_else(|| text.strip_prefix("unix://")).or_else(|| text.strip_prefix(UNIX));
    if let Some(path) = path {
        return (path.starts_with('/') && path.len() > 1).then(|| format!("{UNIX}{path}"));
    }
    let Some(address) = text.strip_prefix('/') else { return url(text) };
    let parts: Vec<&str> = address.trim_end_matches('/').split('/').collect();
    let (kind, host, port, scheme) = match parts[..] {
        [kind, host, "tcp", port] | [kind, host, "tcp", port, "http"] => (kind, host, port, "http"),
        [kind, host, "tcp", port, "https"] | [kind, host, "tcp", port, "tls", "http"] => (kind, host, port, "https"),
        _ => return None,
    };
    match kind {
        "ip4" | "dns" | "dns4" | "dns6" => url(&format!("{scheme}://{host}:{port}")),
        "ip6" => url(&format!("{scheme}://[{host}]:{port}")),
        _ => None,
    }
}

/// Hides a possible password in a text that was to be a URL and is not.
pub fn without_secret(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…@{rest}")
        }
        None => text.to_owned(),
    }
}

/// Returns the URL of `path`, which begins with a slash and may have a query, below `base`. The path of `base` is
/// kept, as for a gateway behind a prefix of another server.
pub fn below(base: &reqwest::Url, path: &str) -> reqwest::Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// A time of day, every day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// Always.
    Any,
    /// From one minute of the day until before another one; over midnight when that is not later.
    From(u16, u16),
}

/// Reads `any` or `22:00-06:30`.
pub fn window(text: &str) -> Option<Window> {
    if text == "any" {
        return Some(Window::Any);
    }
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.trim().split_once(':')?;
        let two = |text: &str, most: u16| -> Option<u16> {
            let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten().filter(|number| *number <= most)
        };
        Some(two(hour, 23)? * 60 + two(minute, 59)?)
    };
    let (from, until) = text.split_once('-')?;
    Some(Window::From(minute(from)?, minute(until)?))
}

/// Splits a list at commas and white space.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty())
}

/// Checks `text` for a setting of this shape, and describes the error if there is one.
pub fn check(shape: Shape, text: &str) -> Result<(), String> {
    let (good, wanted) = match shape {
        Shape::Text => (!text.is_empty(), "a text".to_owned()),
        Shape::Path => (text == "auto" || text.starts_with('/'), "an absolute path".to_owned()),
        Shape::PathOrNone => (text == "none" || text.starts_with('/'), "an absolute path, or none".to_owned()),
        Shape::Api => (api(text).is_some(), "unix: and an absolute path, or an http or https URL".to_owned()),
        Shape::Url => (url(text).is_some(), "an http or https URL".to_owned()),
        Shape::UrlList => (list(text).all(|item| url(item).is_some()), "http or https URLs".to_owned()),
        Shape::Count => (count(text).is_some(), "a whole number from 1 to 8".to_owned()),
        Shape::RepoList => {
            (list(text).all(|item| RepoName::new(item).is_ok()), "names of repositories, as in pacman.conf".to_owned())
        }
        Shape::Words => (true, "words".to_owned()),
        Shape::Number => (text.parse::<u32>().is_ok(), "a whole number".to_owned()),
        Shape::Size => (size(text).is_some(), "a size like \"2 GiB\"".to_owned()),
        Shape::Span => (span(text).is_some(), "a time span like \"5 s\"".to_owned()),
        Shape::UpTo(most) => {
            let fits = text.parse().is_ok_and(|number| (1..=most).contains(&number));
            (text == "auto" || fits, format!("a number from 1 to {most}, or auto"))
        }
        Shape::Window => (window(text).is_some(), "any, or a time of day like \"22:00-06:00\"".to_owned()),
        Shape::Choice(words) => (words.contains(&text), format!("one of {}", words.join(", "))),
    };
    if good {
        return Ok(());
    }
    let is_url = matches!(shape, Shape::Url | Shape::UrlList | Shape::Api);
    if is_url && text.contains('@') {
        let found = list(text).map(without_secret).collect::<Vec<_>>().join(" ");
        return Err(format!("expected {wanted} without user name and password, found {found:?}"));
    }
    Err(format!("expected {wanted}, found {text:?}"))
}

/// Prints bytes for people: `17 B`, `1.5 MiB`.
pub fn show_size(bytes: u64) -> String {
    let (unit, scale) = SIZES[..4].iter().find(|(_, scale)| bytes >= *scale).copied().unwrap_or(("B", 1));
    if scale == 1 {
        return format!("{bytes} B");
    }
    format!("{:.1} {unit}", bytes as f64 / scale as f64)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_read_with_their_units() {
        assert_eq!(size("2 GiB"), Some(2 << 30));
        assert_eq!(size("512"), Some(512));
        assert_eq!(size("1 GB"), Some(1_000_000_000));
        assert_eq!(span("300 ms"), Some(Duration::from_millis(300)));
        assert_eq!(span("6h"), Some(Duration::from_secs(21_600)));
        for bad in ["", "GiB", "-1", "1.5 GiB", "5 parsecs", "99999999999 TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(span("5"), None);
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
            ("unix:run/x", None),
            ("unix:/", None),
            ("/ip4/127.0.0.1/udp/5001", None),
            ("/run/ipfs/api.sock", None),
            ("http://user:secret@127.0.0.1:5001", None),
        ] {
            assert_eq!(api(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn a_refused_url_is_shown_without_its_password() {
        for shape in [Shape::Url, Shape::UrlList, Shape::Api] {
            for text in ["http://user:hush@host", "https://good.example http://user:hu@sh@host/", "user:hush@host"] {
                let said = check(shape, text).unwrap_err();
                assert!(!said.contains("hush") && !said.contains("hu@") && said.contains("host"), "{said}");
            }
        }
    }

    #[test]
    fn the_path_of_a_configured_address_is_kept() {
        let at = |base: &str| below(&base.parse().unwrap(), "/ipfs/bafk?format=raw").to_string();
        assert_eq!(at("https://gate.example"), "https://gate.example/ipfs/bafk?format=raw");
        assert_eq!(at(&url("https://gate.example/sub/").unwrap()), "https://gate.example/sub/ipfs/bafk?format=raw");
    }

    #[test]
    fn a_window_is_two_times_of_day() {
        assert_eq!(window("any"), Some(Window::Any));
        assert_eq!(window("22:00-06:30"), Some(Window::From(1320, 390)));
        assert_eq!(window("00:00 - 23:59"), Some(Window::From(0, 1439)));
        for bad in ["", "22-6", "24:00-01:00", "1:00-2:00", "10:60-11:00", "+1:00-02:00", "10:00"] {
            assert_eq!(window(bad), None, "{bad}");
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
    fn a_wrong_value_says_what_was_expected() {
        assert_eq!(check(Shape::Size, "lots").unwrap_err(), "expected a size like \"2 GiB\", found \"lots\"");
        assert_eq!(check(Shape::Choice(&["a", "b"]), "c").unwrap_err(), "expected one of a, b, found \"c\"");
        assert_eq!(check(Shape::Path, "auto"), Ok(()));
        assert_eq!((check(Shape::UpTo(16), "auto"), check(Shape::UpTo(16), "16")), (Ok(()), Ok(())));
        let wanted = "expected a number from 1 to 16, or auto, found";
        for wrong in ["0", "17", "-1", "x"] {
            assert_eq!(check(Shape::UpTo(16), wrong).unwrap_err(), format!("{wanted} {wrong:?}"));
        }
        assert_eq!(check(Shape::Count, "3"), Ok(()));
        assert_eq!(check(Shape::Count, "0").unwrap_err(), "expected a whole number from 1 to 8, found \"0\"");
    }

    #[test]
    fn sizes_are_shown_for_people() {
        assert_eq!(show_size(17), "17 B");
        assert_eq!(show_size(3 << 19), "1.5 MiB");
    }
}
