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

/// The URL of `path`, which begins with a slash and may have a query, below `base`: what stands in the path of `base` is kept,
/// as for a gateway behind a prefix of another server.
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

/// Says what is wrong with `text` for a setting of this shape, if anything.
pub fn check(shape: Shape, text: &str) -> Result<(), String> {
    let (good, wanted) = match shape {
        Shape::Text => (!text.is_empty(), "a text".to_owned()),
        Shape::Path => (text == "auto" || text.starts_with('/'), "an absolute path".to_owned()),
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
    if good { Ok(()) } else { Err(format!("expected {wanted}, found {text:?}")) }
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
