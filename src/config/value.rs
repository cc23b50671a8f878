//! The values of settings: reading the text of each shape, and printing sizes for people.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;

use crate::base::name::RepoName;
use crate::config::SharePolicy;
use crate::config::key::Shape;
use crate::config::network::Network;
use crate::config::time_window::TimeWindow;
use crate::config::typed::SettingValues;
use crate::config::url::{BaseUrl, RpcAddress, without_secret};
use crate::config::written::Written;

impl Shape {
    /// Reads the text of a setting of this shape into its field, which stays as it was after an error.
    ///
    /// # Errors
    /// A sentence that says what was expected and what was found.
    pub(crate) fn read(self, text: &str, into: &mut SettingValues) -> Result<(), String> {
        self.put(text, into).ok_or_else(|| {
            let expected = self.expected();
            if matches!(self, Shape::Url(_) | Shape::Urls(_) | Shape::Api(_)) && text.contains('@') {
                let found = list(text).map(without_secret).collect::<Vec<_>>().join(" ");
                return format!("expected {expected} without user name and password, found {found:?}");
            }
            format!("expected {expected}, found {text:?}")
        })
    }

    fn put(self, text: &str, into: &mut SettingValues) -> Option<()> {
        let path = || text.starts_with('/').then(|| PathBuf::from(text));
        let number = |least: u32, most: u32| text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
        match self {
            Shape::Name(_) | Shape::Share(_) if text.is_empty() => return None,
            Shape::Name(field) => *field(into) = (text != "auto").then(|| text.to_owned()),
            Shape::Path(field) => *field(into) = path()?,
            Shape::PathOr(word, field) if text == word => *field(into) = None,
            Shape::PathOr(_, field) => *field(into) = Some(path()?),
            Shape::Url(field) => *field(into) = BaseUrl::parse(text)?,
            Shape::Api(field) => *field(into) = RpcAddress::parse(text)?,
            Shape::Urls(field) => *field(into) = list(text).map(BaseUrl::parse).collect::<Option<_>>()?,
            Shape::Size(field) => *field(into) = size(text)?,
            Shape::Span(field) => *field(into) = span(text)?,
            Shape::Window(field) => *field(into) = TimeWindow::parse(text)?,
            Shape::Number(least, most, field) => *field(into) = number(least, most)?,
            Shape::NumberOrAuto(_, _, field) if text == "auto" => *field(into) = None,
            Shape::NumberOrAuto(least, most, field) => *field(into) = Some(number(least, most)?),
            Shape::Repos(field) => *field(into) = list(text).map(RepoName::new).collect::<Result<_, _>>().ok()?,
            Shape::Share(field) if text == "public" => *field(into) = SharePolicy::Public,
            // A name that no repository can have names none.
            Shape::Share(field) => {
                *field(into) = SharePolicy::Named(list(text).filter_map(|name| RepoName::new(name).ok()).collect());
            }
            Shape::Networks(field) => *field(into) = list(text).map(network).collect(),
            Shape::Addresses(field) => *field(into) = list(text).map(address).collect(),
            Shape::Interfaces(field) => *field(into) = list(text).map(interface).collect(),
            Shape::Words(field) => *field(into) = list(text).map(str::to_owned).collect(),
            Shape::YesNo(field) => {
                *field(into) = match text {
                    "true" => true,
                    "false" => false,
                    _ => return None,
                };
            }
            Shape::Choice(words, field) => *field(into) = words.iter().find(|word| **word == text)?,
        }
        Some(())
    }

    /// Describes a good text in an error.
    fn expected(self) -> String {
        let fixed = match self {
            Shape::Name(_) | Shape::Share(_) => "a text",
            Shape::PathOr("none", _) => "an absolute path, or none",
            Shape::Path(_) | Shape::PathOr(..) => "an absolute path",
            Shape::Url(_) => "an http or https URL",
            Shape::Api(_) => "unix: and an absolute path, or an http or https URL",
            Shape::Urls(_) => "http or https URLs",
            Shape::Size(_) => "a size like \"2 GiB\"",
            Shape::Span(_) => "a time span like \"5 s\"",
            Shape::Window(_) => "any, or a time of day like \"22:00-06:00\"",
            Shape::Number(_, u32::MAX, _) => "a whole number",
            Shape::Number(least, most, _) => return format!("a whole number from {least} to {most}"),
            Shape::NumberOrAuto(least, most, _) => return format!("a number from {least} to {most}, or auto"),
            Shape::Repos(_) => "names of repositories, as in pacman.conf",
            Shape::Networks(_) | Shape::Addresses(_) | Shape::Interfaces(_) | Shape::Words(_) => "words",
            Shape::YesNo(_) => "one of true, false",
            Shape::Choice(words, _) => return format!("one of {}", words.join(", ")),
        };
        fixed.to_owned()
    }
}

fn network(text: &str) -> Written<Network> {
    Written::new(text, text.parse().map_err(|e| format!("{e}, found {text:?}")))
}

fn address(text: &str) -> Written<SocketAddr> {
    let bad = |_| format!("expected an address with a port like 127.0.0.1:4011, found {text:?}");
    Written::new(text, text.parse().map_err(bad))
}

fn interface(text: &str) -> Written<Pattern> {
    let pattern = Pattern::new(text);
    Written::new(text, pattern.map_err(|e| format!("expected a name, possibly with * and ?, found {text:?}: {e}")))
}

/// Reads the name of a repository that an index may speak for.
pub(crate) fn repo(text: &str) -> Written<RepoName> {
    Written::new(text, RepoName::new(text).map_err(|e| e.to_string()))
}

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
pub(crate) fn size(text: &str) -> Option<u64> {
    with_unit(text, SIZES)
}

/// Reads `300 ms`, `5 s`, `10 min`, `6 h`, `2 d`; whole numbers with a unit.
pub(crate) fn span(text: &str) -> Option<Duration> {
    with_unit(text, SPANS).map(Duration::from_millis)
}

/// Splits a list at commas and white space.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty())
}

/// Prints bytes for people: `17 B`, `1.5 MiB`.
pub(crate) fn show_size(bytes: u64) -> String {
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
    use crate::config::keys::find;

    fn shape(name: &str) -> Shape {
        find(name).unwrap().shape
    }

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
    fn a_refused_url_is_shown_without_its_password() {
        for shape in ["kubo.gateway", "gateways.urls", "kubo.api"].map(shape) {
            for text in ["http://user:hush@host", "https://good.example http://user:hu@sh@host/", "user:hush@host"] {
                let said = shape.read(text, &mut SettingValues::default()).unwrap_err();
                assert!(!said.contains("hush") && !said.contains("hu@") && said.contains("host"), "{said}");
            }
        }
    }

    #[test]
    fn a_wrong_value_says_what_was_expected() {
        let mut values = SettingValues::default();
        let mut wrong = |name, text| shape(name).read(text, &mut values).unwrap_err();
        assert_eq!(wrong("store.max", "lots"), "expected a size like \"2 GiB\", found \"lots\"");
        assert_eq!(wrong("kubo.search", "c"), "expected one of last, always, never, found \"c\"");
        let wanted = "expected a number from 1 to 16, or auto, found";
        for text in ["0", "17", "-1", "x"] {
            assert_eq!(wrong("ahead.parallel", text), format!("{wanted} {text:?}"));
        }
        assert_eq!(wrong("mirrors.split", "0"), "expected a whole number from 1 to 8, found \"0\"");
    }

    #[test]
    fn the_last_text_that_is_understood_counts() {
        let mut values = SettingValues::default();
        let mut read = |name, text| shape(name).read(text, &mut values).is_ok();
        assert!(
            read("store.dir", "/x") && read("store.dir", "auto") && read("state.dir", "/y") && !read("state.dir", "y")
        );
        assert!(read("ahead.parallel", "auto") && read("ahead.parallel", "16") && !read("ahead.parallel", "17"));
        assert!(read("mirrors.split", "3") && !read("mirrors.split", "9"));
        assert_eq!((values.store_dir, values.state_dir), (None, Some(PathBuf::from("/y"))));
        assert_eq!((values.ahead_parallel, values.mirrors_split), (Some(16), 3));
    }

    #[test]
    fn sizes_are_shown_for_people() {
        assert_eq!(show_size(17), "17 B");
        assert_eq!(show_size(3 << 19), "1.5 MiB");
    }

    #[test]
    fn what_a_few_commands_need_is_no_error_elsewhere() {
        let mut values = SettingValues::default();
        shape("lan.networks").read("home 10.1.2.3/8", &mut values).unwrap();
        shape("lan.interfaces").read("en*,eth[", &mut values).unwrap();
        let (networks, interfaces) = (values.lan_networks, values.lan_interfaces);
        assert_eq!(networks, ["home", "10.1.2.3/8"]);
        assert_eq!(networks[1].value().unwrap().to_string(), "10.0.0.0/8");
        assert!(Written::values(&networks).unwrap_err().ends_with(", found \"home\""));
        assert!(interfaces[0].value().is_ok() && interfaces[1].value().unwrap_err().contains("found \"eth[\""));
    }
}
