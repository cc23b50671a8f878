//! The line of a delivered file: in pacman's columns on a terminal, in words anywhere else; and the line that closes
//! a run.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt::Write as _;

use crate::base::name::shown;
use crate::config::value::show_size;
use crate::report::columns::{Paper, Span, Tone, cut, width, wrap};
use crate::report::counted;
use crate::report::layout::name_and_size;
use crate::store::journal::FileOrigin;

/// Columns of a terminal that does not tell.
pub(super) const USUAL: usize = 80;

/// Columns before a remark that has a line of its own.
const INDENT: usize = 4;

/// A delivered file, for people.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// Its file name.
    pub(crate) name: &'a str,
    /// Its size, in bytes.
    pub(crate) size: u64,
    /// The sources.
    pub(crate) origin: &'a FileOrigin,
    /// The reason for accepting it without a proof.
    pub(crate) waiver: Option<&'a str>,
    /// True if every file of its kind has that waiver, so that a user can do nothing about it: left out on a terminal.
    pub(crate) is_usual: bool,
    /// The words for a file that the store had: `fetched ahead`.
    pub(crate) stored: &'a str,
}

impl Delivered<'_> {
    /// Returns what is printed about it, without the last end of a line: one line, on a terminal more where remarks
    /// do not fit.
    pub(crate) fn on(&self, paper: Paper) -> String {
        match paper.is_terminal {
            true => self.in_columns(paper.width.unwrap_or(USUAL), paper.has_styles),
            false => self.in_words(),
        }
    }

    fn in_words(&self) -> String {
        let Self { name, size, origin, .. } = self;
        let from = match (origin.is_stored, origin.source.is_empty()) {
            (false, _) => origin.shown(),
            (true, true) => format!("here, {}", self.stored),
            (true, false) => format!("{}, {}", origin.shown(), self.stored),
        };
        let notes: Vec<String> = self.notes(self.waiver).into_iter().map(|(note, _)| note).collect();
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        shown_whole(&format!("{name}  {}  from {from}{notes}", show_size(*size)))
    }

    fn in_columns(&self, columns: usize, has_styles: bool) -> String {
        let start = name_and_size(self.name, self.size, columns) + "  ";
        let source = shown_whole(&self.origin.shown());
        let mut line = match columns.checked_sub(width(&start)) {
            Some(room) if room > 0 => start + &self.source_in(&source, room),
            _ => cut(&start, columns).into_owned(),
        };
        let waiver = self.waiver.filter(|_| !self.is_usual);
        let notes = self.notes(waiver);
        let paint = |text: &str, tone: Tone| if has_styles { tone.paint(text) } else { text.to_owned() };
        let length: usize = notes.iter().map(|(note, _)| width(note) + 2).sum();
        if notes.is_empty() {
            return line.trim_end().to_owned();
        }
        if width(&line) + 1 + length <= columns {
            let painted: Vec<String> = notes.iter().map(|(note, tone)| paint(note, *tone)).collect();
            let _ = write!(line, " ({})", painted.join("; "));
            return line;
        }
        for (note, tone) in notes {
            let text = format!("{}{note}", " ".repeat(INDENT.min(columns / 4)));
            for row in wrap(&[Span { text, tone }], columns, INDENT) {
                let row: String = row.into_iter().map(|span| span.text).collect();
                let _ = write!(line, "\n{}", paint(&row, tone));
            }
        }
        line
    }

    /// Fits the source into the columns that are left: the host is cut last, since it tells who sent the file.
    fn source_in(&self, source: &str, room: usize) -> String {
        let short = self.stored.rsplit(' ').next().unwrap_or_default();
        let ends = match (self.origin.is_stored, source.is_empty()) {
            (false, _) => vec![String::new()],
            (true, true) => vec![self.stored.to_owned(), short.to_owned()],
            (true, false) => vec![format!(", {}", self.stored), format!(", {short}")],
        };
        let end = ends.iter().find(|end| width(source) + width(end) <= room).or(ends.last());
        let end = cut(end.map_or("", String::as_str), room);
        format!("{}{end}", cut(source, room - width(&end)))
    }

    /// Lists the remarks: the waiver, the sources that were refused, those that were too slow.
    fn notes(&self, waiver: Option<&str>) -> Vec<(String, Tone)> {
        let waiver = waiver.map(|label| (format!("unproven: {label}"), Tone::Plain));
        let refused = self.origin.refused.iter().map(|text| (shown_whole(text), Tone::Bad));
        let late = self.origin.late.iter().map(|text| (shown_whole(text), Tone::Plain));
        waiver.into_iter().chain(refused).chain(late).collect()
    }
}

fn shown_whole(text: &str) -> String {
    shown(text).into_owned()
}

/// What a run of pacman has fetched, once it has all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct RunTotal {
    /// Packages.
    pub(crate) packages: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes of these that each kind of source sent, in words: `mirrors`, `neighbours`; most first.
    pub(crate) by_kind: Vec<(String, u64)>,
    /// Bytes of these that no mirror sent.
    pub(crate) saved: u64,
}

impl RunTotal {
    /// Returns it in a sentence: `7 packages, 52.6 MiB: neighbours 33.2 MiB, mirrors 19.4 MiB (63 % saved)`.
    pub(crate) fn sentence(&self) -> String {
        let Self { packages, bytes, by_kind, saved } = self;
        let what = format!("{}, {}", counted(packages, "package"), show_size(*bytes));
        match by_kind.as_slice() {
            [] => what,
            [(kind, _)] if *saved == 0 => format!("{what} from {kind}"),
            [(kind, _)] => format!("{what} from {kind}, no mirror was needed"),
            several => {
                let parts: Vec<String> =
                    several.iter().map(|(kind, bytes)| format!("{kind} {}", show_size(*bytes))).collect();
                let percent = saved.saturating_mul(100) / (*bytes).max(1);
                let saved = if percent > 0 { format!(" ({percent} % saved)") } else { String::new() };
                format!("{what}: {}{saved}", parts.join(", "))
            }
        }
    }
}

/// Returns the line that closes a run; `sentence` is foreign text where a child has made it.
pub(crate) fn closing(sentence: &str, paper: Paper) -> String {
    let sentence = shown(sentence);
    if !paper.is_terminal {
        return sentence.into_owned();
    }
    let (text, columns) = (format!(" {sentence}"), paper.width.unwrap_or(USUAL));
    let rows = wrap(&[Span { text, tone: Tone::Plain }], columns, INDENT);
    let rows: Vec<String> = rows.into_iter().map(|row| row.into_iter().map(|span| span.text).collect()).collect();
    match paper.has_styles {
        true => rows.iter().map(|row| Tone::Strong.paint(row)).collect::<Vec<_>>().join("\n"),
        false => rows.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(columns: usize) -> Paper {
        Paper { width: Some(columns), has_styles: false, is_terminal: true }
    }

    const LOG: Paper = Paper { width: None, has_styles: false, is_terminal: false };

    fn delivered<'a>(name: &'a str, size: u64, origin: &'a FileOrigin) -> Delivered<'a> {
        Delivered { name, size, origin, waiver: None, is_usual: false, stored: "fetched ahead" }
    }

    #[test]
    fn a_delivered_file_is_one_line_in_the_columns_of_pacman() {
        let mut origin = FileOrigin::from("mirror.example");
        let zlib = "zlib-1.3.1-2-any.pkg.tar.zst";
        let line = delivered(zlib, 93_491, &origin).on(terminal(100));
        assert_eq!(line, " zlib-1.3.1-2-any                 91.3 KiB  mirror.example");
        let database =
            Delivered { waiver: Some("database from a mirror"), is_usual: true, ..delivered("core.db", 791, &origin) };
        assert_eq!(database.on(terminal(80)), " core.db                   791 B  mirror.example");
        assert_eq!(database.on(LOG), "core.db  791 B  from mirror.example (unproven: database from a mirror)");
        origin.is_stored = true;
        let line = delivered(zlib, 93_491, &origin).on(terminal(80));
        assert_eq!(line, " zlib-1.3.1-2-any       91.3 KiB  mirror.example, fetched ahead");
        assert_eq!(
            delivered(zlib, 93_491, &origin).on(LOG),
            "zlib-1.3.1-2-any.pkg.tar.zst  91.3 KiB  from mirror.example, fetched ahead"
        );
        let neighbour = FileOrigin { neighbours: vec!["10.78.0.1".parse().unwrap()], ..FileOrigin::from("lan") };
        let line = delivered(zlib, 93_491, &neighbour).on(terminal(80));
        assert_eq!(line, " zlib-1.3.1-2-any       91.3 KiB  neighbour 10.78.0.1");
    }

    #[test]
    fn a_refused_source_is_named_with_both_digests_on_lines_of_its_own() {
        let refused = "refused from mirror empty.example: sha256 is ee8e…af9f, expected 5b30…863e".to_owned();
        let origin = FileOrigin { refused: vec![refused.clone()], ..FileOrigin::from("mirror.example") };
        let name = "curl-8.16.0-1-x86_64.pkg.tar.zst";
        let line = delivered(name, 1 << 20, &origin).on(terminal(80));
        assert_eq!(line, format!(" curl-8.16.0-1-x86_64    1.0 MiB  mirror.example\n    {refused}"));
        let line = delivered(name, 1 << 20, &origin).on(terminal(200));
        assert!(line.ends_with(&format!("  mirror.example ({refused})")) && !line.contains('\n'), "{line}");
        assert_eq!(
            delivered(name, 1 << 20, &origin).on(LOG),
            format!("{name}  1.0 MiB  from mirror.example ({refused})")
        );
        let red = Paper { has_styles: true, ..terminal(80) };
        assert!(delivered(name, 1 << 20, &origin).on(red).contains("\u{1b}[31m"));
        let late = FileOrigin { late: vec!["10.78.0.1 was too slow".to_owned()], ..FileOrigin::from("mirror.example") };
        let line = delivered(name, 1 << 20, &late).on(red);
        assert_eq!(line, " curl-8.16.0-1-x86_64    1.0 MiB  mirror.example (10.78.0.1 was too slow)");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let wide = "日本語のパッケージ名前はここにあります-1.0-1-any.pkg.tar.zst";
        let long = format!("{}-1.0-1-x86_64.pkg.tar.zst", "x".repeat(200));
        let host = "geo.mirror.with.a.very.long.name.of.some.university.example.org:8080".to_owned();
        let sources = ["m.example".to_owned(), host.clone(), format!("{host} + lan + kubo"), "日本語".repeat(20)];
        for columns in [20, 30, 59, 60, 69, 70, 80, 89, 90, 100, 200] {
            for name in ["a", "core.db", wide, &long, "a\u{202e}b\u{7}c-1-1-any.pkg.tar.zst"] {
                for (source, is_stored) in sources.iter().flat_map(|source| [(source, false), (source, true)]) {
                    let refused = vec![format!("refused from mirror {host}: sha256 is ee8e…af9f, expected 5b30…863e")];
                    let notes =
                        FileOrigin { refused, late: vec![format!("{wide} was too slow")], ..FileOrigin::default() };
                    for origin in [FileOrigin::default(), notes] {
                        let origin = FileOrigin { source: source.clone(), is_stored, ..origin };
                        let file = Delivered {
                            waiver: Some("not listed with a checksum"),
                            ..delivered(name, 999_999_999_999, &origin)
                        };
                        let text = file.on(terminal(columns));
                        assert!(text.lines().all(|line| width(line) <= columns), "{columns}: {text}");
                        assert!(!text.replace('\n', "").chars().any(crate::base::name::is_hidden), "{text:?}");
                        assert!(!file.on(LOG).contains('\n'));
                    }
                }
            }
        }
    }

    #[test]
    fn a_run_is_closed_with_what_each_kind_of_source_sent() {
        let by_kind = vec![("neighbours".to_owned(), 34_812_723), ("mirrors".to_owned(), 20_342_374)];
        let total = RunTotal { packages: 7, bytes: 55_155_097, saved: 34_812_723, by_kind };
        assert_eq!(total.sentence(), "7 packages, 52.6 MiB: neighbours 33.2 MiB, mirrors 19.4 MiB (63 % saved)");
        assert!(width(&closing(&total.sentence(), terminal(80))) <= 80);
        assert!(closing(&total.sentence(), terminal(60)).lines().all(|line| width(line) <= 60));
        let one = RunTotal { packages: 2, bytes: 100, saved: 0, by_kind: vec![("mirrors".to_owned(), 100)] };
        assert_eq!(closing(&one.sentence(), LOG), "2 packages, 100 B from mirrors");
        let lan = RunTotal { saved: 100, by_kind: vec![("neighbours".to_owned(), 100)], ..one };
        assert_eq!(lan.sentence(), "2 packages, 100 B from neighbours, no mirror was needed");
    }
}
