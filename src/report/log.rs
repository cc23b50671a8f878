//! The daemon's log: one line an event on stderr, with a level that journald reads (sd-daemon(3), systemd 252).
//!
//! Foreign text is shown without control characters ([`shown`]), so that no peer can begin a line of its own
//! (`a_peer_begins_no_line_of_its_own`).

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::base::name::shown;
use crate::config::LogLevel;

/// The weight up to which events are written. The process has one log, as it has one stderr.
static MOST: AtomicU8 = AtomicU8::new(LogLevel::Warning as u8);

/// True where stderr leads to journald.
static IS_JOURNAL: AtomicBool = AtomicBool::new(false);

/// Writes with levels if stderr is the stream that `$JOURNAL_STREAM` names, by device and inode: processes inherit the
/// variable that do not write there (systemd.exec(5)).
pub(crate) fn know_journal(named: Option<&str>) {
    let stderr = rustix::fs::fstat(io::stderr()).ok();
    let is_it = stderr.is_some_and(|stat| named == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)));
    IS_JOURNAL.store(is_it, Ordering::Relaxed);
}

/// Writes events up to this weight from now on. Before, warnings alone are written.
pub(crate) fn write_up_to(level: LogLevel) {
    MOST.store(level as u8, Ordering::Relaxed);
}

/// Writes a warning.
pub(crate) fn warn(line: &str) {
    write(LogLevel::Warning, || line.to_owned());
}

/// Writes an event of every day; `line` is made only where such events are written.
pub(crate) fn info(line: impl FnOnce() -> String) {
    write(LogLevel::Info, line);
}

fn write(level: LogLevel, line: impl FnOnce() -> String) {
    if level as u8 <= MOST.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{}", formed(level, IS_JOURNAL.load(Ordering::Relaxed), &line()));
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
    fn a_variable_that_names_another_stream_is_not_believed() {
        let stat = rustix::fs::fstat(io::stderr()).expect("stderr");
        for (named, is_it) in [
            (None, false),
            (Some("8:12345".to_owned()), false),
            (Some("nonsense".to_owned()), false),
            (Some(format!("{}:{}", stat.st_dev, stat.st_ino)), true),
        ] {
            know_journal(named.as_deref());
            assert_eq!(IS_JOURNAL.swap(false, Ordering::Relaxed), is_it, "{named:?}");
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
