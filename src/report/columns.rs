//! Text in the columns of a terminal: how wide it is, how it is cut and broken, and the few styles that mean something.
//!
//! Widths are those of `console` (Unicode's East Asian Width; an escape sequence has none). Text that goes in here is
//! fit to print already: `crate::base::name::shown` escapes control characters.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use console::{Style, measure_text_width};

use crate::base::env::Env;

/// Stands for the part of a text that was cut out.
const CUT: &str = "…";

/// Columns that are used at least, however narrow a terminal says that it is.
const LEAST: usize = 20;

/// A meaning that a terminal shows by a style.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Tone {
    /// None.
    #[default]
    Plain,
    /// A heading, or the answer to the question.
    Strong,
    /// What few readers look for: defaults, comments.
    Quiet,
    /// What is as it should be.
    Good,
    /// What works less well than it could.
    Poor,
    /// What fails, was refused or is expired.
    Bad,
}

impl Tone {
    /// Returns the text in this style.
    pub(crate) fn paint(self, text: &str) -> String {
        let style = match self {
            Self::Plain => return text.to_owned(),
            Self::Strong => Style::new().bold(),
            Self::Quiet => Style::new().dim(),
            Self::Good => Style::new().green(),
            Self::Poor => Style::new().yellow(),
            Self::Bad => Style::new().red().bold(),
        };
        style.force_styling(true).apply_to(text).to_string()
    }
}

/// The end of an output, as far as a layout has to know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paper {
    /// Columns of a line; `None` where lines may have any length.
    pub(crate) width: Option<usize>,
    /// True if it shows styles.
    pub(crate) has_styles: bool,
    /// True if a user reads it as it comes, and no program.
    pub(crate) is_terminal: bool,
}

impl Paper {
    /// Looks at an open output. The variable COLUMNS counts where a terminal has no size, as a serial line. On anything
    /// but a terminal lines have any length: shells, watch(1) and CI export COLUMNS, and a program that reads a pipe
    /// would get names without their middles (`tests/cases/widths.rs`, `nothing_is_cut_on_a_pipe`).
    ///
    /// Styles are for terminals alone; NO_COLOR with any text (no-color.org) and TERM=dumb turn them off.
    pub(crate) fn of(output: impl AsFd + IsTerminal, env: &Env) -> Self {
        let is_terminal = output.is_terminal();
        let told = || env.var("COLUMNS").and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
        let width = if is_terminal { columns(output).or_else(told) } else { None };
        let has_styles = is_terminal && env.var("NO_COLOR").is_none() && env.var("TERM").is_some_and(|it| it != "dumb");
        Self { width: width.map(|width: usize| width.max(LEAST)), has_styles, is_terminal }
    }
}

/// Returns the columns of the terminal behind a descriptor; `None` where there is none, or it has no size.
pub(crate) fn columns(output: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(output).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Counts the columns of a text.
pub fn width(text: &str) -> usize {
    measure_text_width(text)
}

/// Cuts a text to at most `most` columns, in its middle: both ends of a name tell it from others.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let Some(left) = most.checked_sub(width(CUT)) else { return Cow::Borrowed("") };
    let tail_most = left / 2;
    let head = head(text, left - tail_most);
    let tail_at = text.char_indices().rev().map(|(at, _)| at).take_while(|at| width(&text[*at..]) <= tail_most).last();
    Cow::Owned(format!("{head}{CUT}{}", tail_at.map_or("", |at| &text[at..])))
}

/// Returns the longest beginning of a text that has at most `most` columns.
fn head(text: &str, most: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    &text[..ends.take_while(|end| width(&text[..*end]) <= most).last().unwrap_or(0)]
}

/// A piece of a line, in one style.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// The text, fit to print.
    pub(crate) text: String,
    /// Its style.
    pub(crate) tone: Tone,
}

/// A part of a text that a line does not end in.
struct TextUnit<'t> {
    text: &'t str,
    /// True for a command between backticks: a user copies it, and half of it may do harm.
    is_command: bool,
}

/// Splits a text after its spaces, but not between backticks nor after the `# ` before a command that comes next, if that
/// fits into `most` columns.
fn units(text: &str, most: usize) -> Vec<TextUnit<'_>> {
    let ticks = text.matches('`').count();
    let (mut units, mut from, mut seen) = (Vec::new(), 0, 0);
    let mut add = |from: usize, to: usize| {
        let text = &text[from..to];
        if !text.is_empty() {
            units.push(TextUnit { text, is_command: text.matches('`').count() > 1 });
        }
    };
    for (at, c) in text.char_indices() {
        if text[at..].starts_with("# ") && text[..at].trim().is_empty() && width(&text[at..]) <= most {
            from = at;
            break;
        }
        // The last one of an odd number ends nothing.
        seen += usize::from(c == '`');
        if c == ' ' && (seen % 2 == 0 || seen == ticks) {
            add(from, at + 1);
            from = at + 1;
        }
    }
    add(from, text.len());
    units
}

/// True for a line that a user copies as a whole: the command of a hint or a fix.
pub fn is_to_copy(line: &str) -> bool {
    ["hint: ", "fix: "].iter().any(|start| line.trim_start().starts_with(start))
}

/// Breaks a line between words, so that no line of the result has more than `most` columns; a word that is longer is
/// broken as well, a command between backticks never. Lines after the first begin with `indent` spaces.
pub(crate) fn wrap(spans: &[Span], most: usize, indent: usize) -> Vec<Vec<Span>> {
    let mut lines: Vec<Vec<Span>> = vec![Vec::new()];
    let indent = if indent + LEAST / 2 > most { 0 } else { indent };
    let (mut used, mut is_new) = (0, true);
    let words =
        spans.iter().flat_map(|span| units(&span.text, most - indent).into_iter().map(|unit| (unit, span.tone)));
    let start = |lines: &mut Vec<Vec<Span>>| {
        trim(lines.last_mut().expect("one line at least"));
        lines.push(vec![Span { text: " ".repeat(indent), tone: Tone::Plain }]);
        indent
    };
    for (word, tone) in words {
        let mut rest = word.text;
        if used + width(rest.trim_end()) > most && !is_new {
            used = start(&mut lines);
        }
        while used + width(rest.trim_end()) > most && !word.is_command {
            let part = head(rest, most.saturating_sub(used).max(2));
            push(lines.last_mut().expect("one line at least"), part, tone);
            rest = &rest[part.len()..];
            if part.is_empty() {
                break;
            }
            used = start(&mut lines);
        }
        push(lines.last_mut().expect("one line at least"), rest, tone);
        used += width(rest);
        is_new = false;
    }
    trim(lines.last_mut().expect("one line at least"));
    lines
}

fn push(line: &mut Vec<Span>, text: &str, tone: Tone) {
    match line.last_mut() {
        Some(last) if last.tone == tone => last.text.push_str(text),
        _ => line.push(Span { text: text.to_owned(), tone }),
    }
}

/// Removes spaces at the end of a line.
fn trim(line: &mut Vec<Span>) {
    while let Some(last) = line.last_mut() {
        last.text.truncate(last.text.trim_end_matches(' ').len());
        if !last.text.is_empty() {
            return;
        }
        line.pop();
    }
}

/// Breaks lines of plain text for a reader at a terminal of `most` columns. A line that goes on is indented by two more
/// than it is itself. A hint or a fix stays as it is ([`is_to_copy`]): the terminal goes on below, and copies it whole.
pub(crate) fn wrapped(text: &str, most: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let (bare, end) = line.strip_suffix('\n').map_or((line, ""), |bare| (bare, "\n"));
        if width(bare) <= most || is_to_copy(bare) {
            out += line;
            continue;
        }
        let indent = bare.len() - bare.trim_start_matches(' ').len() + 2;
        let lines = wrap(&[Span { text: bare.to_owned(), tone: Tone::Plain }], most, indent);
        let lines: Vec<String> =
            lines.into_iter().map(|line| line.into_iter().map(|span| span.text).collect()).collect();
        out += &lines.join("\n");
        out += end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_in_its_middle_to_the_column() {
        assert_eq!(cut("linux-6.18.1-1-any", 18), "linux-6.18.1-1-any");
        assert_eq!(cut("linux-6.18.1-1-any", 11), "linux…1-any");
        for most in 0..30 {
            for text in ["linux-6.18.1-1-any.pkg.tar.zst", "日本語のパッケージ名前はここにあります", "a"]
            {
                assert!(width(&cut(text, most)) <= most, "{text} in {most}");
            }
        }
        assert_eq!(cut("日本語パッケージ", 8), "日本…ジ");
    }

    #[test]
    fn a_line_is_broken_between_words_and_a_long_word_within() {
        let text = "one two three four five six\n  seven eight nine ten\n";
        assert_eq!(wrapped(text, 20), "one two three four\n  five six\n  seven eight nine\n    ten\n");
        let name = "x".repeat(70);
        for most in [20, 30, 60, 80] {
            let text = wrapped(
                &format!("error: {name}: 日本語のパッケージ名前はここにあります expected 999999999999 bytes\nnote: b"),
                most,
            );
            assert!(text.lines().all(|line| width(line) <= most), "{text}");
            assert_eq!(text.matches('x').count(), name.len() + 1, "nothing is lost: {text}");
        }
        assert_eq!(wrapped("short\n\nlines", 80), "short\n\nlines");
    }

    #[test]
    fn no_command_is_broken() {
        let text = "no file: `sudo pkgswarm setup --only pacman` or `a`, `b c`, don`t know it where it went\n";
        let broken = wrapped(text, 30);
        assert_eq!(
            broken,
            "no file:\n  `sudo pkgswarm setup --only pacman`\n  or `a`, `b c`, don`t know it\n  where it went\n"
        );
        for line in [
            "hint: sudo systemctl start ipfs, and then pkgswarm config kubo.api\n",
            "  fix: ipfs config profile apply x && ipfs config --json Routing.DelegatedRouters '[]'\n",
        ] {
            assert_eq!(wrapped(line, 30), line);
        }
        let spans = [("off: no trusted network is here", Tone::Plain), ("   # sudo pkgswarm lan trust", Tone::Quiet)];
        let spans = spans.map(|(text, tone)| Span { text: text.to_owned(), tone });
        let lines = wrap(&spans, 40, 0);
        let lines: Vec<String> = lines.into_iter().map(|line| line.into_iter().map(|it| it.text).collect()).collect();
        assert_eq!(lines, ["off: no trusted network is here", "# sudo pkgswarm lan trust"]);
    }

    #[test]
    fn styles_have_no_width_and_stay_with_their_words() {
        assert_eq!(width(&Tone::Bad.paint("EXPIRED")), 7);
        assert_eq!(Tone::Plain.paint("a"), "a");
        let spans = [("sharing is ", Tone::Plain), ("off", Tone::Poor)];
        let spans = spans.map(|(text, tone)| Span { text: text.to_owned(), tone });
        let lines = wrap(&spans, 9, 0);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], [Span { text: "is ".into(), tone: Tone::Plain }, spans[1].clone()]);
    }
}
