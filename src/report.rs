//! What people see while and after a file is fetched: a bar on a terminal, one quiet line otherwise.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::value::show_size;
use crate::name::shown;

/// Progress of one file. Draws nothing before `SOON`, so that short transfers do not flicker.
pub struct Progress {
    bar: RefCell<Option<ProgressBar>>,
    wanted: bool,
    name: String,
    total: Option<u64>,
    since: Instant,
}

const SOON: Duration = Duration::from_millis(150);

impl Progress {
    /// A bar when `wanted`, else silence.
    pub fn new(wanted: bool, name: &str, total: Option<u64>) -> Self {
        let bar = RefCell::new(None);
        Self { bar, wanted, name: shown(name).into_owned(), total, since: Instant::now() }
    }

    /// Sets how many bytes are here and who sends them.
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

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
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

/// Writes one line to stderr. A closed stderr is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", shown(line));
}

/// Whether stderr leads anywhere: not where it is /dev/null, as in the background.
pub fn is_heard() -> bool {
    let null = rustix::fs::makedev(1, 3); // null(4)
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|found| {
        let is_device = rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::CharacterDevice;
        !(is_device && found.st_rdev == null)
    })
}

/// The line of a delivered file: name, size, where from, and the waiver if there is one.
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
    fn the_templates_are_valid() {
        let _ = (style(true), style(false));
    }
}
