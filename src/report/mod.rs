//! Output for people: the lines and the bar of a file that is fetched, and the doors to stderr and standard output.
//!
//! | file | what |
//! |---|---|
//! | `line` | the line of a delivered file, and the one that closes a run |
//! | `log` | the log of a daemon, with journald's levels |
//! | `progress` | the bar while it arrives, or one line where there is no terminal |
//! | `cell` | text in pieces, each with the style of its meaning |
//! | `layout`, `rate` | the columns, which are pacman's; the rate over the last seconds: both pure |
//!
//! # Room
//!
//! - In: results of deliveries, texts
//! - Out: lines, bars and logs; every character of others made harmless
//! - May use: base, config, lists, store
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! columns log rate
//! cell layout
//! line
//! progress
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::name::{is_hidden, shown};

pub(crate) mod cell;
pub mod columns;
mod layout;
mod line;
pub(crate) mod log;
mod progress;
mod rate;

pub(crate) use layout::Rest;
pub(crate) use line::{Delivered, RunTotal, closing};
pub use progress::{ProgressBars, ProgressLine, RestOf};

/// Returns a number with its noun in English: `1 file`, `2 files`.
pub fn counted(number: impl fmt::Display, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// True after [`be_quiet`].
static QUIET: AtomicBool = AtomicBool::new(false);

/// Has [`say`] leave out, for the rest of this process, all but errors, warnings and hints.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Writes one line to stderr; a terminal gets it broken between words. A closed stderr is no reason to fail.
pub(crate) fn say(line: &str) {
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
pub(crate) fn tell(line: &str) -> io::Result<()> {
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
pub(crate) fn warn(troubles: &[String]) {
    troubles.iter().for_each(|trouble| say(&format!("warning: {trouble}")));
}

/// Writes lines that are fit to print already, as those of [`Delivered::on`] and [`closing`] are, to stderr; none after
/// [`be_quiet`].
pub fn say_lines(lines: &str) {
    if QUIET.load(Ordering::Relaxed) {
        return;
    }
    // At once: standard error has no buffer.
    let _ = io::stderr().write_all(format!("{lines}\n").as_bytes());
}

/// Standard output for text and JSON: all output of a command goes through here, files aside.
///
/// Names are foreign text. Invisible characters ([`is_hidden`]) are written as `\u202e`, which in JSON is the same
/// text. Ends of lines stay.
pub(crate) struct Out(io::StdoutLock<'static>);

/// Locks standard output for printing.
pub(crate) fn out() -> Out {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_printed_as_json_spells_it() {
        let name = "a\u{202e}b\u{e0041}\u{85}c\n";
        assert_eq!(escaped(name), "a\\u202eb\\udb40\\udc41\\u0085c\n");
        let json = serde_json::json!({"name": name}).to_string();
        let read: serde_json::Value = serde_json::from_str(&escaped(&json)).unwrap();
        assert_eq!(read["name"], name);
        assert!(!escaped(&json).chars().any(is_hidden));
    }
}
