//! The origin of a delivered file: the sources that sent it, and those that were tried in vain.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::net::IpAddr;

use super::Contribution;

/// The origin of a delivered file. Its [`Display`](fmt::Display) is the text of `--json`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FileOrigin {
    /// The source in the words of `--json`: `lan`, `kubo`, `m.example`; several are joined by ` + `.
    pub(crate) source: String,
    /// Addresses of the neighbours that sent it, as far as the daemon has named them.
    pub(crate) neighbours: Vec<IpAddr>,
    /// Bytes of the file that each source sent, named as in the journal; empty when that is not known.
    pub(crate) shares: Vec<Contribution>,
    /// Sources that sent wrong bytes before: `refused from mirror m.example: sha256 is …`.
    pub(crate) refused: Vec<String>,
    /// Sources that were given up because they were too slow: `10.78.0.1 was too slow`.
    pub(crate) late: Vec<String>,
    /// True if the store had the file before it was asked for.
    pub(crate) is_stored: bool,
}

/// Most texts of one kind that are read from a note.
const TEXTS_MOST: usize = 16;

impl FileOrigin {
    /// Returns the source as the screen names it: `neighbour 10.78.0.1`, `Kubo`, `m.example`.
    pub(crate) fn shown(&self) -> String {
        self.source.split(" + ").map(|source| self.one_shown(source)).collect::<Vec<_>>().join(" + ")
    }

    fn one_shown(&self, source: &str) -> String {
        let (word, rest) = source.split_at(source.find([' ', ',']).unwrap_or(source.len()));
        match word {
            "lan" => format!("{}{rest}", neighbours(&self.neighbours)),
            "kubo" => format!("Kubo{rest}"),
            _ => source.to_owned(),
        }
    }

    /// Adds a remark to the source.
    pub(crate) fn remark(&mut self, text: &str) {
        self.source = format!("{} ({text})", self.source);
    }

    /// Returns the lines that keep it beside a stored file: the source, then one line for each further fact.
    pub(crate) fn to_lines(&self) -> String {
        let neighbours = self.neighbours.iter().map(|address| format!("neighbour {address}"));
        let shares = self.shares.iter().map(|share| format!("share {} {}", share.bytes, share.source));
        let refused = self.refused.iter().map(|text| format!("refused {text}"));
        let late = self.late.iter().map(|text| format!("late {text}"));
        let lines = std::iter::once(self.source.clone()).chain(neighbours).chain(shares).chain(refused).chain(late);
        lines.map(|line| line.replace('\n', " ") + "\n").collect()
    }

    /// Reads these lines. An unknown one is skipped.
    pub(crate) fn from_lines<'a>(mut lines: impl Iterator<Item = &'a str>) -> Self {
        let source = lines.next().unwrap_or_default().to_owned();
        let mut origin = Self { source, ..Self::default() };
        for line in lines {
            match line.split_once(' ') {
                Some(("neighbour", address)) => origin.neighbours.extend(address.parse::<IpAddr>().ok()),
                Some(("share", share)) => origin.shares.extend(share.split_once(' ').and_then(|(bytes, source)| {
                    Some(Contribution { source: source.to_owned(), bytes: bytes.parse().ok()? })
                })),
                Some(("refused", text)) if origin.refused.len() < TEXTS_MOST => origin.refused.push(text.to_owned()),
                Some(("late", text)) if origin.late.len() < TEXTS_MOST => origin.late.push(text.to_owned()),
                _ => {}
            }
        }
        origin
    }
}

/// Names the neighbours by their addresses.
fn neighbours(addresses: &[IpAddr]) -> String {
    let list = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    match addresses.len() {
        0 => "a neighbour".to_owned(),
        1 => format!("neighbour {list}"),
        _ => format!("neighbours {list}"),
    }
}

impl fmt::Display for FileOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_stored, self.source.is_empty()) {
            (false, _) => f.write_str(&self.source),
            (true, true) => f.write_str("store"),
            (true, false) => write!(f, "store ({})", self.source),
        }
    }
}

impl<T: Into<String>> From<T> for FileOrigin {
    fn from(source: T) -> Self {
        Self { source: source.into(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_named_by_its_address_and_json_keeps_its_words() {
        let mut origin = FileOrigin::from("lan + m.example");
        assert_eq!(origin.shown(), "a neighbour + m.example");
        origin.neighbours = vec!["10.78.0.1".parse().unwrap()];
        assert_eq!((&*origin.shown(), &*origin.to_string()), ("neighbour 10.78.0.1 + m.example", "lan + m.example"));
        origin.is_stored = true;
        assert_eq!(origin.to_string(), "store (lan + m.example)");
        assert_eq!(FileOrigin::from("kubo (index arch, 5 min old)").shown(), "Kubo (index arch, 5 min old)");
        assert_eq!(FileOrigin::from("lan.example.org").shown(), "lan.example.org");
    }

    #[test]
    fn all_of_it_is_kept_beside_a_stored_file() {
        let origin = FileOrigin {
            neighbours: vec!["10.78.0.1".parse().unwrap(), "fe80::1".parse().unwrap()],
            shares: vec![Contribution { source: "mirror m.example:80".to_owned(), bytes: 7 }],
            refused: vec!["refused from mirror a: sha256 is 1, expected 2".to_owned()],
            late: vec!["10.78.0.2 was too slow".to_owned()],
            ..FileOrigin::from("lan + m.example:80")
        };
        assert_eq!(FileOrigin::from_lines(origin.to_lines().lines()), origin);
        assert_eq!(
            FileOrigin::from_lines("m.example\nnews of a later version\n".lines()),
            FileOrigin::from("m.example")
        );
        assert_eq!(FileOrigin::from_lines("".lines()), FileOrigin::default());
    }
}
