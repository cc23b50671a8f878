//! The change to pacman.conf, as text: our `XferCommand` goes into `[options]`, and those that are there become comments.
//!
//! Lines are read as pacman reads them (pacman 7.1.0, `src/common/ini.c`): trimmed of white space, which `\r` is as
//! well; a `#` at the start makes a comment; `[name]` opens a section, as often as it likes; the last `XferCommand`
//! wins. Whether pacman understands the result as meant, `pacman-conf` says before anything is written
//! ([`super::pacman`]).

/// The beginning of our lines.
const MARK: &str = "# Written by `pkgswarm setup`; `pkgswarm setup --undo` takes it back.";

/// One line as pacman sees it.
#[derive(PartialEq, Eq, Debug)]
enum PacmanConfLine<'a> {
    /// `[name]`
    Section(&'a [u8]),
    /// `XferCommand = …`
    Command,
    /// The same behind a `#`, as pacman's own file has it for an example.
    Example,
    /// Anything else.
    Other,
}

/// Returns `text` with `command` as the value of `XferCommand`. All other bytes stay; comments are all that is
/// added to lines.
///
/// Ours goes below the last `XferCommand`, commented out or not, of any `[options]`; else below the first `[options]`;
/// else, with an `[options]` of its own, to the end.
pub(crate) fn with_command(text: &[u8], command: &str) -> Vec<u8> {
    let (mut in_options, mut header, mut last) = (false, None, None);
    let mut lines: Vec<(bool, &[u8])> = Vec::new();
    for raw in text.split_inclusive(|byte| *byte == b'\n') {
        let line = read(raw);
        if let PacmanConfLine::Section(name) = line {
            in_options = name == b"options";
            header = header.or(in_options.then_some(lines.len()));
        }
        let is_command = in_options && line == PacmanConfLine::Command;
        if is_command || in_options && line == PacmanConfLine::Example {
            last = Some(lines.len());
        }
        lines.push((is_command, raw));
    }
    let mut out = Vec::with_capacity(text.len() + 200);
    let below = last.or(header);
    for (at, (is_command, raw)) in lines.iter().enumerate() {
        if *is_command {
            out.push(b'#');
        }
        out.extend_from_slice(raw);
        if below == Some(at) {
            add(&mut out, raw, &format!("{MARK}\nXferCommand = {command}\n"));
        }
    }
    if below.is_none() {
        let last = lines.last().map_or(&b"\n"[..], |(_, raw)| raw);
        add(&mut out, last, &format!("\n[options]\n{MARK}\nXferCommand = {command}\n"));
    }
    out
}

/// True if the line that introduces ours is still there.
pub(crate) fn has_mark(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| trimmed(line) == MARK.as_bytes())
}

/// Adds lines after `before`, with its line endings.
fn add(out: &mut Vec<u8>, before: &[u8], lines: &str) {
    let ending = if before.ends_with(b"\r\n") { "\r\n" } else { "\n" };
    let mut lines = lines.replace('\n', ending);
    if !before.ends_with(b"\n") {
        // So the file still ends without a line ending.
        lines.insert_str(0, ending);
        lines.truncate(lines.len() - ending.len());
    }
    out.extend_from_slice(lines.as_bytes());
}

fn read(raw: &[u8]) -> PacmanConfLine<'_> {
    let line = trimmed(raw);
    if let [b'[', name @ .., b']'] = line {
        return PacmanConfLine::Section(name);
    }
    let is_key = |line: &[u8]| {
        let key = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        line.contains(&b'=') && trimmed(key) == b"XferCommand"
    };
    match line {
        [b'#', rest @ ..] if is_key(rest) => PacmanConfLine::Example,
        [b'#', ..] => PacmanConfLine::Other,
        _ if is_key(line) => PacmanConfLine::Command,
        _ => PacmanConfLine::Other,
    }
}

/// Trims the white space of C's isspace(3) at both ends.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let from = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let to = text.iter().rposition(|byte| !is_space(byte)).map_or(from, |at| at + 1);
    &text[from..to]
}

/// Quotes `path` as one word of an XferCommand, which pacman splits at white space and quotes (pacman 7.1.0,
/// `src/common/util-common.c`, wordsplit). `None` when that is impossible.
pub(crate) fn word(path: &str) -> Option<String> {
    if path.contains(['"', '\'', '\\']) || path.contains(char::is_control) {
        return None;
    }
    let plain = !path.contains(char::is_whitespace);
    Some(if plain { path.to_owned() } else { format!("\"{path}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str) -> String {
        let ours = format!("{MARK}\nXferCommand = us\n");
        let text = String::from_utf8(with_command(text.as_bytes(), "us")).unwrap();
        text.replace(&ours, "<us>\n").replace(&ours.replace('\n', "\r\n"), "<us>\r\n").replace(ours.trim_end(), "<us>")
    }

    #[test]
    fn our_line_goes_below_the_examples_or_below_the_header() {
        for (before, after) in [
            ("[options]\nColor\n[core]\n", "[options]\n<us>\nColor\n[core]\n"),
            (
                "# top\n[options]\n#XferCommand = a\n# XferCommand=b\nColor\n",
                "# top\n[options]\n#XferCommand = a\n# XferCommand=b\n<us>\nColor\n",
            ),
            ("[core]\nServer = x\n [options]\t\n", "[core]\nServer = x\n [options]\t\n<us>\n"),
            ("[options]\nColor\n[core]\n[options]\nNo\n", "[options]\n<us>\nColor\n[core]\n[options]\nNo\n"),
            ("[core]\nServer = x", "[core]\nServer = x\n\n[options]\n<us>"),
            ("", "\n[options]\n<us>\n"),
            (
                "[core]\n#XferCommand = a\nXferCommand = b\n",
                "[core]\n#XferCommand = a\nXferCommand = b\n\n[options]\n<us>\n",
            ),
        ] {
            assert_eq!(changed(before), after);
        }
    }

    #[test]
    fn another_command_becomes_a_comment() {
        for (before, after) in [
            ("[options]\nXferCommand = curl\nColor\n", "[options]\n#XferCommand = curl\n<us>\nColor\n"),
            (
                "[options]\n  XferCommand=a\n[x]\n[options]\nXferCommand = b",
                "[options]\n#  XferCommand=a\n[x]\n[options]\n#XferCommand = b\n<us>",
            ),
        ] {
            assert_eq!(changed(before), after);
            assert!(!has_mark(before.as_bytes()) && has_mark(&with_command(before.as_bytes(), "us")));
        }
    }

    #[test]
    fn lines_go_on_ending_as_they_do() {
        assert_eq!(changed("[options]\r\nColor\r\n"), "[options]\r\n<us>\r\nColor\r\n");
        assert_eq!(changed("[options]"), "[options]\n<us>");
    }

    #[test]
    fn a_path_with_a_space_is_one_word_and_one_with_quotes_is_none() {
        assert_eq!(word("/usr/bin/pkgswarm").unwrap(), "/usr/bin/pkgswarm");
        assert_eq!(word("/opt/my tools/pkgswarm").unwrap(), "\"/opt/my tools/pkgswarm\"");
        assert_eq!(word("/opt/\"x"), None);
        assert_eq!(word("/opt/\n[x]"), None);
    }
}
