//! The daemon's log: one line an event on stderr, with a level that journald reads (sd-daemon(3), systemd 252).
//!
//! Foreign text is shown without control characters ([`shown`]), so that no peer can begin a line of its own
//! (`a_peer_begins_no_line_of_its_own`).

use std::io::{self, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::LogLevel;
use crate::name::shown;

/// The weight up to which events are written. The process has one log, as it has one stderr.
static MOST: AtomicU8 = AtomicU8::new(LogLevel::Warning as u8);

/// True where stderr leads to journald (systemd.exec(5), `$JOURNAL_STREAM`).
static IS_JOURNAL: LazyLock<bool> = LazyLock::new(|| std::env::var_os("JOURNAL_STREAM").is_some());

/// Writes events up to this weight from now on. Before, warnings alone are written.
pub fn write_up_to(level: LogLevel) {
    MOST.store(level as u8, Ordering::Relaxed);
}

/// Writes a warning.
pub fn warn(line: &str) {
    write(LogLevel::Warning, || line.to_owned());
}

/// Writes an event of every day; `line` is made only where such events are written.
pub fn info(line: impl FnOnce() -> String) {
    write(LogLevel::Info, line);
}

fn write(level: LogLevel, line: impl FnOnce() -> String) {
    if level as u8 <= MOST.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{}", formed(level, *IS_JOURNAL, &line()));
    }
}

/// Returns the line as it is written. The numbers are those of syslog(3).
fn formed(level: LogLevel, for_journal: bool, line: &str) -> String {
    let before = match (level, for_journal) {
        (LogLevel::Warning, true) => "<4>",
        (LogLevel::Warning, false) => "warning: ",
        (LogLevel::Info, true) => "<6>",
        (LogLevel::Info, false) => "",
    };
    format!("{before}{}", shown(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_begins_no_line_of_its_own() {
        let line = "neighbour 10.0.0.1 (evil\n<0>the disk is on fire\u{202e}\u{1b}[2J)";
        for level in [LogLevel::Warning, LogLevel::Info] {
            let text = formed(level, true, line);
            assert!(!text.contains(['\n', '\u{1b}', '\u{202e}']), "{text:?}");
        }
    }

    #[test]
    fn journald_reads_the_level_and_people_read_a_word() {
        assert_eq!(formed(LogLevel::Warning, true, "x"), "<4>x");
        assert_eq!(formed(LogLevel::Info, true, "x"), "<6>x");
        assert_eq!(formed(LogLevel::Warning, false, "x"), "warning: x");
        assert_eq!(formed(LogLevel::Info, false, "x"), "x");
    }
}
