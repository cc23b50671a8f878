//! The values of settings: reading the text of each shape, and printing sizes for people.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;

use crate::config::SharePolicy;
use crate::config::key::Shape;
use crate::config::network::Network;
use crate::config::url::{BaseUrl, RpcAddress, without_secret};
use crate::config::written::Written;
use crate::name::RepoName;

/// The meaning of a setting's text: one variant for each type that a [`Shape`] leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// [`Shape::Name`]; `None` for `auto`.
    Name(Option<String>),
    /// [`Shape::Path`].
    Path(PathBuf),
    /// [`Shape::PathOr`]; `None` for the word.
    PathOr(Option<PathBuf>),
    /// [`Shape::Url`].
    Url(BaseUrl),
    /// [`Shape::Api`].
    Api(RpcAddress),
    /// [`Shape::Urls`].
    Urls(Vec<BaseUrl>),
    /// [`Shape::Size`], in bytes.
    Size(u64),
    /// [`Shape::Span`].
    Span(Duration),
    /// [`Shape::Window`].
    Window(Window),
    /// [`Shape::Number`].
    Number(u32),
    /// [`Shape::NumberOrAuto`]; `None` for `auto`.
    NumberOrAuto(Option<u32>),
    /// [`Shape::Repos`].
    Repos(Vec<RepoName>),
    /// [`Shape::Share`].
    Share(SharePolicy),
    /// [`Shape::Networks`].
    Networks(Vec<Written<Network>>),
    /// [`Shape::Interfaces`].
    Interfaces(Vec<Written<Pattern>>),
    /// [`Shape::Words`].
    Words(Vec<String>),
    /// [`Shape::YesNo`].
    YesNo(bool),
    /// [`Shape::Choice`].
    Choice(&'static str),
}

impl Shape {
    /// Reads the text of a setting of this shape.
    ///
    /// # Errors
    /// A sentence that says what was expected and what was found.
    pub fn read(self, text: &str) -> Result<Value, String> {
        self.value(text).ok_or_else(|| {
            let expected = self.expected();
            if matches!(self, Shape::Url | Shape::Urls | Shape::Api) && text.contains('@') {
                let found = list(text).map(without_secret).collect::<Vec<_>>().join(" ");
                return format!("expected {expected} without user name and password, found {found:?}");
            }
            format!("expected {expected}, found {text:?}")
        })
    }

    fn value(self, text: &str) -> Option<Value> {
        let path = || text.starts_with('/').then(|| PathBuf::from(text));
        let number = |least: u32, most: u32| text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
        Some(match self {
            Shape::Name if text.is_empty() => return None,
            Shape::Name => Value::Name((text != "auto").then(|| text.to_owned())),
            Shape::Path => Value::Path(path()?),
            Shape::PathOr(word) if text == word => Value::PathOr(None),
            Shape::PathOr(_) => Value::PathOr(Some(path()?)),
            Shape::Url => Value::Url(BaseUrl::parse(text)?),
            Shape::Api => Value::Api(RpcAddress::parse(text)?),
            Shape::Urls => Value::Urls(list(text).map(BaseUrl::parse).collect::<Option<_>>()?),
            Shape::Size => Value::Size(size(text)?),
            Shape::Span => Value::Span(span(text)?),
            Shape::Window => Value::Window(Window::parse(text)?),
            Shape::Number(least, most) => Value::Number(number(least, most)?),
            Shape::NumberOrAuto(..) if text == "auto" => Value::NumberOrAuto(None),
            Shape::NumberOrAuto(least, most) => Value::NumberOrAuto(Some(number(least, most)?)),
            Shape::Repos => Value::Repos(list(text).map(RepoName::new).collect::<Result<_, _>>().ok()?),
            Shape::Share if text.is_empty() => return None,
            Shape::Share if text == "public" => Value::Share(SharePolicy::Public),
            // A name that no repository can have names none.
            Shape::Share => {
                Value::Share(SharePolicy::Named(list(text).filter_map(|name| RepoName::new(name).ok()).collect()))
            }
            Shape::Networks => Value::Networks(list(text).map(network).collect()),
            Shape::Interfaces => Value::Interfaces(list(text).map(interface).collect()),
            Shape::Words => Value::Words(list(text).map(str::to_owned).collect()),
            Shape::YesNo => Value::YesNo(match text {
                "true" => true,
                "false" => false,
                _ => return None,
            }),
            Shape::Choice(words) => Value::Choice(words.iter().find(|word| **word == text)?),
        })
    }

    /// Describes a good text in an error.
    fn expected(self) -> String {
        let fixed = match self {
            Shape::Name | Shape::Share => "a text",
            Shape::PathOr("none") => "an absolute path, or none",
            Shape::Path | Shape::PathOr(_) => "an absolute path",
            Shape::Url => "an http or https URL",
            Shape::Api => "unix: and an absolute path, or an http or https URL",
            Shape::Urls => "http or https URLs",
            Shape::Size => "a size like \"2 GiB\"",
            Shape::Span => "a time span like \"5 s\"",
            Shape::Window => "any, or a time of day like \"22:00-06:00\"",
            Shape::Number(_, u32::MAX) => "a whole number",
            Shape::Number(least, most) => return format!("a whole number from {least} to {most}"),
            Shape::NumberOrAuto(least, most) => return format!("a number from {least} to {most}, or auto"),
            Shape::Repos => "names of repositories, as in pacman.conf",
            Shape::Networks | Shape::Interfaces | Shape::Words => "words",
            Shape::YesNo => "one of true, false",
            Shape::Choice(words) => return format!("one of {}", words.join(", ")),
        };
        fixed.to_owned()
    }
}

fn network(text: &str) -> Written<Network> {
    Written::new(text, text.parse().map_err(|e| format!("{e}, found {text:?}")))
}

fn interface(text: &str) -> Written<Pattern> {
    let pattern = Pattern::new(text);
    Written::new(text, pattern.map_err(|e| format!("expected a name, possibly with * and ?, found {text:?}: {e}")))
}

/// Reads the name of a repository that an index may speak for.
pub fn repo(text: &str) -> Written<RepoName> {
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
pub fn size(text: &str) -> Option<u64> {
    with_unit(text, SIZES)
}

/// Reads `300 ms`, `5 s`, `10 min`, `6 h`, `2 d`; whole numbers with a unit.
pub fn span(text: &str) -> Option<Duration> {
    with_unit(text, SPANS).map(Duration::from_millis)
}

/// A time of day, every day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// Always.
    Any,
    /// From one minute of the day until before another one; over midnight when that is not later.
    From(u16, u16),
}

impl Window {
    /// Reads `any` or `22:00-06:30`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "any" {
            return Some(Self::Any);
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
        Some(Self::From(minute(from)?, minute(until)?))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        match *self {
            Self::Any => f.write_str("any"),
            Self::From(from, until) => write!(f, "{}-{}", clock(from), clock(until)),
        }
    }
}

/// Splits a list at commas and white space.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty())
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
    fn a_refused_url_is_shown_without_its_password() {
        for shape in [Shape::Url, Shape::Urls, Shape::Api] {
            for text in ["http://user:hush@host", "https://good.example http://user:hu@sh@host/", "user:hush@host"] {
                let said = shape.read(text).unwrap_err();
                assert!(!said.contains("hush") && !said.contains("hu@") && said.contains("host"), "{said}");
            }
        }
    }

    #[test]
    fn a_window_is_two_times_of_day() {
        assert_eq!(Window::parse("any"), Some(Window::Any));
        assert_eq!(Window::parse("22:00-06:30"), Some(Window::From(1320, 390)));
        assert_eq!(Window::parse("00:00 - 23:59"), Some(Window::From(0, 1439)));
        for bad in ["", "22-6", "24:00-01:00", "1:00-2:00", "10:60-11:00", "+1:00-02:00", "10:00"] {
            assert_eq!(Window::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wrong_value_says_what_was_expected() {
        let parallel = Shape::NumberOrAuto(1, 16);
        assert_eq!(Shape::Size.read("lots").unwrap_err(), "expected a size like \"2 GiB\", found \"lots\"");
        assert_eq!(Shape::Choice(&["a", "b"]).read("c").unwrap_err(), "expected one of a, b, found \"c\"");
        assert_eq!(Shape::PathOr("auto").read("auto"), Ok(Value::PathOr(None)));
        assert_eq!(parallel.read("auto"), Ok(Value::NumberOrAuto(None)));
        assert_eq!(parallel.read("16"), Ok(Value::NumberOrAuto(Some(16))));
        let wanted = "expected a number from 1 to 16, or auto, found";
        for wrong in ["0", "17", "-1", "x"] {
            assert_eq!(parallel.read(wrong).unwrap_err(), format!("{wanted} {wrong:?}"));
        }
        assert_eq!(Shape::Number(1, 8).read("3"), Ok(Value::Number(3)));
        assert_eq!(Shape::Number(1, 8).read("0").unwrap_err(), "expected a whole number from 1 to 8, found \"0\"");
    }

    #[test]
    fn sizes_are_shown_for_people() {
        assert_eq!(show_size(17), "17 B");
        assert_eq!(show_size(3 << 19), "1.5 MiB");
    }

    #[test]
    fn what_a_few_commands_need_is_no_error_elsewhere() {
        let Ok(Value::Networks(networks)) = Shape::Networks.read("home 10.1.2.3/8") else { panic!("no networks") };
        assert_eq!(networks, ["home", "10.1.2.3/8"]);
        assert_eq!(networks[1].value().unwrap().to_string(), "10.0.0.0/8");
        assert!(Written::values(&networks).unwrap_err().ends_with(", found \"home\""));
        let Ok(Value::Interfaces(interfaces)) = Shape::Interfaces.read("en*,eth[") else { panic!("no interfaces") };
        assert!(interfaces[0].value().is_ok() && interfaces[1].value().unwrap_err().contains("found \"eth[\""));
    }
}
