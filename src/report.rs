//! Output during and after a fetch: a bar on a terminal, one quiet line otherwise.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::columns;
use crate::config::value::show_size;
use crate::listener::Listener;
use crate::name::{is_hidden, shown};

pub mod log;

/// The progress of one file. Draws nothing before `SOON`, so that short transfers do not flicker.
pub struct ProgressLine {
    bar: RefCell<Option<ProgressBar>>,
    wanted: bool,
    name: String,
    total: Option<u64>,
    since: Instant,
}

const SOON: Duration = Duration::from_millis(150);

impl ProgressLine {
    /// Makes a bar when `wanted`, else one that draws nothing.
    pub fn new(wanted: bool, name: &str, total: Option<u64>) -> Self {
        let bar = RefCell::new(None);
        Self { bar, wanted, name: shown(name).into_owned(), total, since: Instant::now() }
    }

    /// Sets the number of bytes received and their source.
    pub fn at(&self, bytes: u64, from: &str) {
        if !self.wanted || (self.bar.borrow().is_none() && self.since.elapsed() < SOON) {
            return;
        }
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(self.total, ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style(self.total.is_some()));
            bar.set_prefix(self.name.clone());
            bar.with_position(bytes)
        });
        bar.set_position(bytes);
        if bar.message() != from {
            bar.set_message(from.to_owned());
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Listener for ProgressLine {
    fn arrived(&self, bytes: u64, from: &str) {
        self.at(bytes, from);
    }
}

/// Shows deliveries on a terminal: a bar for the file that is on its way.
pub struct ProgressBars {
    wanted: bool,
    now: RefCell<Option<ProgressLine>>,
}

impl ProgressBars {
    /// Shows bars when `wanted`, else only why a delivery pauses.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, now: RefCell::new(None) }
    }
}

impl Listener for ProgressBars {
    fn begins(&self, name: &str, size: Option<u64>) {
        *self.now.borrow_mut() = Some(ProgressLine::new(self.wanted, name, size));
    }

    fn arrived(&self, bytes: u64, from: &str) {
        if let Some(now) = &*self.now.borrow() {
            now.at(bytes, from);
        }
    }

    fn waits(&self, why: &str) {
        say(why);
    }

    fn ends(&self) {
        self.now.take();
    }
}

fn style(sized: bool) -> ProgressStyle {
    let template = if sized {
        "{prefix} {bytes}/{total_bytes} {bytes_per_sec} {eta} from {msg} [{wide_bar}] {percent}%"
    } else {
        "{prefix} {bytes} {bytes_per_sec} from {msg} {spinner}"
    };
    ProgressStyle::with_template(template).expect("the template is fixed and valid").progress_chars("#>-")
}

/// Returns a number with its noun in English: `1 file`, `2 files`.
pub fn counted(number: impl fmt::Display, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// True after [`be_quiet`].
static QUIET: AtomicBool = AtomicBool::new(false);

/// Has [`say`] leave out, for the rest of this process, all but errors, warnings and hints.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Writes one line to stderr; a terminal gets it broken between words. A closed stderr is no reason to fail.
pub fn say(line: &str) {
    let matters = ["error: ", "warning: ", "hint: "].iter().any(|start| line.starts_with(start));
    if QUIET.load(Ordering::Relaxed) && !matters {
        return;
    }
    complain(&format!("{}\n", shown(line)));
}

/// Writes one line of data to standard output; a terminal gets it broken between words.
///
/// # Errors
/// Those of standard output.
pub fn tell(line: &str) -> io::Result<()> {
    let line = format!("{}\n", shown(line));
    let fitted = columns::columns(io::stdout()).map(|most| columns::wrapped(&line, most));
    out().write_all(fitted.as_deref().unwrap_or(&line).as_bytes())
}

/// Writes lines that are fit to print to stderr, as [`say`] does.
pub fn complain(lines: &str) {
    let fitted = columns::columns(io::stderr()).map(|most| columns::wrapped(lines, most));
    let _ = io::stderr().write_all(fitted.as_deref().unwrap_or(lines).as_bytes());
}

/// Writes troubles that are no reason to stop, one line each.
pub fn warn(troubles: &[String]) {
    troubles.iter().for_each(|trouble| say(&format!("warning: {trouble}")));
}

/// Standard output for text and JSON: all output of a command goes through here, files aside.
///
/// Names are foreign text. Invisible characters ([`is_hidden`]) are written as `\u202e`, which in JSON is the same
/// text. Ends of lines stay.
pub struct Out(io::StdoutLock<'static>);

/// Locks standard output for printing.
pub fn out() -> Out {
    Out(io::stdout().lock())
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().any(must_be_escaped) => {
                self.0.write_all(escaped(text).as_bytes())?;
                Ok(bytes.len())
            }
            _ => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn must_be_escaped(c: char) -> bool {
    !matches!(c, '\n' | '\t') && is_hidden(c)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match must_be_escaped(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}")),
            false => out.push(c),
        }
    }
    out
}

/// Returns the line of a delivered file: name, size, source, and the waiver if there is one.
pub fn delivered(name: &str, size: u64, from: &str, note: Option<&str>) -> String {
    let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
    format!("{name}  {}  from {from}{note}", show_size(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivered_file_is_one_line() {
        assert_eq!(delivered("a.db", 17, "m.example", Some("unproven")), "a.db  17 B  from m.example (unproven)");
    }

    #[test]
    fn what_is_not_seen_is_printed_as_json_spells_it() {
        let name = "a\u{202e}b\u{e0041}\u{85}c\n";
        assert_eq!(escaped(name), "a\\u202eb\\udb40\\udc41\\u0085c\n");
        let json = serde_json::json!({"name": name}).to_string();
        let read: serde_json::Value = serde_json::from_str(&escaped(&json)).unwrap();
        assert_eq!(read["name"], name);
        assert!(!escaped(&json).chars().any(is_hidden));
    }

    #[test]
    fn the_templates_are_valid() {
        let _ = (style(true), style(false));
    }
}
