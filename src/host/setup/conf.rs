//! The change to pacman.conf, as text: a line of ours goes into `[options]`, and those with the same key become
//! comments; a line of ours goes below the header of each repository.
//!
//! Lines are read as pacman reads them (pacman 7.1.0, `src/common/ini.c`): trimmed of white space, which `\r` is as
//! well; a `#` at the start makes a comment; `[name]` opens a section, as often as it likes; the last value of an
//! option wins, and of `CacheServer` all count, in their order. Whether pacman understands the result as meant,
//! `pacman-conf` says before anything is written ([`super::pacman`]).

/// The beginning of our lines.
const MARK: &str = "# Written by `pkgswarm setup`; `pkgswarm setup --undo` takes it back.";

/// The key of our lines in the sections of repositories.
const CACHE: &str = "CacheServer";

/// One line as pacman sees it, in search of a key.
#[derive(PartialEq, Eq, Debug)]
enum PacmanConfLine<'a> {
    /// `[name]`
    Section(&'a [u8]),
    /// `key = …`, with the value.
    Value(&'a [u8]),
    /// The same behind a `#`, as pacman's own file has it for an example.
    Example,
    /// Anything else.
    Other,
}

/// Returns `text` with `value` as that of the option `key`, or without the option. All other bytes stay; comments are
/// all that is added to lines.
///
/// Ours goes below the last line of the key, commented out or not, of any `[options]`; else below the first
/// `[options]`; else, with an `[options]` of its own, to the end.
pub(crate) fn with_option(text: &[u8], key: &str, value: Option<&str>) -> Vec<u8> {
    let (mut in_options, mut header, mut last) = (false, None, None);
    let mut lines: Vec<(bool, &[u8])> = Vec::new();
    for raw in text.split_inclusive(|byte| *byte == b'\n') {
        let line = read(raw, key);
        if let PacmanConfLine::Section(name) = line {
            in_options = name == b"options";
            header = header.or(in_options.then_some(lines.len()));
        }
        let is_value = in_options && matches!(line, PacmanConfLine::Value(_));
        if is_value || in_options && line == PacmanConfLine::Example {
            last = Some(lines.len());
        }
        lines.push((is_value, raw));
    }
    let mut out = Vec::with_capacity(text.len() + 200);
    let below = last.or(header);
    for (at, (is_value, raw)) in lines.iter().enumerate() {
        if *is_value {
            out.push(b'#');
        }
        out.extend_from_slice(raw);
        if let Some(value) = value.filter(|_| below == Some(at)) {
            add(&mut out, raw, &format!("{MARK}\n{key} = {value}\n"));
        }
    }
    if let Some(value) = value.filter(|_| below.is_none()) {
        let last = lines.last().map_or(&b"\n"[..], |(_, raw)| raw);
        add(&mut out, last, &format!("\n[options]\n{MARK}\n{key} = {value}\n"));
    }
    out
}

/// Returns `text` with `url` as the first `CacheServer` of the sections that `is_wanted` names. What is there stays,
/// `CacheServer` lines included.
pub(crate) fn with_cache_server(text: &[u8], url: &str, is_wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut out = Vec::with_capacity(text.len() + 1000);
    for raw in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(raw);
        if let PacmanConfLine::Section(name) = read(raw, CACHE)
            && name != b"options"
            && !seen.contains(&name)
            && is_wanted(name)
        {
            seen.push(name);
            add(&mut out, raw, &format!("{MARK}\n{CACHE} = {url}\n"));
        }
    }
    out
}

/// Returns `text` without what [`with_cache_server`] adds, wherever that stands.
pub(crate) fn without_cache_server(text: &[u8], url: &str) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let is_ours = |at: usize| {
        let next = lines.get(at + 1).map(|raw| read(raw, CACHE));
        is_mark(lines[at]) && next == Some(PacmanConfLine::Value(url.as_bytes()))
    };
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(raw) = lines.get(at) {
        if !is_ours(at) {
            out.extend_from_slice(raw);
            at += 1;
            continue;
        }
        at += 2;
        if !lines[at - 1].ends_with(b"\n") {
            // The line before had no ending either.
            let ending = if out.ends_with(b"\r\n") { 2 } else { usize::from(out.ends_with(b"\n")) };
            out.truncate(out.len() - ending);
        }
    }
    out
}

/// Counts the lines that introduce ours.
pub(crate) fn marks(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').filter(|line| is_mark(line)).count()
}

fn is_mark(line: &[u8]) -> bool {
    trimmed(line) == MARK.as_bytes()
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

fn read<'a>(raw: &'a [u8], key: &str) -> PacmanConfLine<'a> {
    let line = trimmed(raw);
    if let [b'[', name @ .., b']'] = line {
        return PacmanConfLine::Section(name);
    }
    let value = |line: &'a [u8]| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        (trimmed(&line[..at]) == key.as_bytes()).then(|| trimmed(&line[at + 1..]))
    };
    match line {
        [b'#', rest @ ..] if value(rest).is_some() => PacmanConfLine::Example,
        [b'#', ..] => PacmanConfLine::Other,
        _ => value(line).map_or(PacmanConfLine::Other, PacmanConfLine::Value),
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
        let text = String::from_utf8(with_option(text.as_bytes(), "XferCommand", Some("us"))).unwrap();
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
            assert_eq!(
                (marks(before.as_bytes()), marks(&with_option(before.as_bytes(), "XferCommand", Some("us")))),
                (0, 1)
            );
        }
    }

    #[test]
    fn lines_go_on_ending_as_they_do() {
        assert_eq!(changed("[options]\r\nColor\r\n"), "[options]\r\n<us>\r\nColor\r\n");
        assert_eq!(changed("[options]"), "[options]\n<us>");
    }

    #[test]
    fn an_option_is_taken_out_and_its_example_stays() {
        let without = |text: &str| String::from_utf8(with_option(text.as_bytes(), "XferCommand", None)).unwrap();
        assert_eq!(
            without("[options]\n#XferCommand = a\n XferCommand = b\n"),
            "[options]\n#XferCommand = a\n# XferCommand = b\n"
        );
        assert_eq!(without("[options]\nColor\n"), "[options]\nColor\n");
        assert_eq!(without("[core]\nXferCommand = b\n"), "[core]\nXferCommand = b\n");
    }

    #[test]
    fn our_cache_server_is_the_first_of_each_repository_and_is_taken_out_again() {
        for (before, after) in [
            ("[options]\nColor\n[core]\nServer = x\n", "[options]\nColor\n[core]\n<us>\nServer = x\n"),
            (
                "[core]\nCacheServer = y\n[extra]\nInclude = m\n",
                "[core]\n<us>\nCacheServer = y\n[extra]\n<us>\nInclude = m\n",
            ),
            ("#[core]\n [core] \r\nServer = x\r\n", "#[core]\n [core] \r\n<us>\r\nServer = x\r\n"),
            (
                "[local]\nServer = x\n[core]\nServer = x\n[core]\n",
                "[local]\nServer = x\n[core]\n<us>\nServer = x\n[core]\n",
            ),
            ("[options]\n[core]", "[options]\n[core]\n<us>"),
            ("[core]\r\nServer = x\r\n[extra]", "[core]\r\n<us>\r\nServer = x\r\n[extra]\n<us>"),
        ] {
            let ours = format!("{MARK}\nCacheServer = us\n");
            let text = with_cache_server(before.as_bytes(), "us", |name| name != b"local");
            let shown = String::from_utf8(text.clone()).unwrap().replace(&ours, "<us>\n");
            let shown = shown.replace(&ours.replace('\n', "\r\n"), "<us>\r\n").replace(ours.trim_end(), "<us>");
            assert_eq!(shown, after);
            assert_eq!(String::from_utf8(without_cache_server(&text, "us")).unwrap(), before);
            assert_eq!(without_cache_server(&text, "another"), text, "lines of another address are not these");
        }
    }

    #[test]
    fn a_path_with_a_space_is_one_word_and_one_with_quotes_is_none() {
        assert_eq!(word("/usr/bin/pkgswarm").unwrap(), "/usr/bin/pkgswarm");
        assert_eq!(word("/opt/my tools/pkgswarm").unwrap(), "\"/opt/my tools/pkgswarm\"");
        assert_eq!(word("/opt/\"x"), None);
        assert_eq!(word("/opt/\n[x]"), None);
    }
}
