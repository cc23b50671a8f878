//! The progress of one file: a bar on a terminal; elsewhere one line for a file that takes longer than two seconds.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::listener::Listener;
use crate::config::ProgressMode;
use crate::config::value::show_size;
use crate::report::columns::columns;
use crate::report::layout::{BarState, Rest, bar};
use crate::report::line::USUAL;
use crate::report::rate::ArrivalRate;
use crate::report::say;
use crate::store::journal::FileOrigin;

/// Time before a bar is drawn, so that short transfers do not flicker.
const SOON: Duration = Duration::from_millis(150);

/// Interval between two pictures of a bar.
const FRAME: Duration = Duration::from_millis(125);

/// Time after which a file is worth a line where no bar can be drawn.
const LONG: Duration = Duration::from_secs(2);

/// Shortest sleep between two looks at what is due.
const SHORTEST: Duration = Duration::from_millis(20);

/// Interval at which the rest of the run is looked at again.
const REST: Duration = Duration::from_secs(1);

/// The progress of one file.
pub struct ProgressLine {
    mode: ProgressMode,
    name: String,
    total: Option<u64>,
    begun: Instant,
    rest: Option<RestOf>,
    state: RefCell<ProgressState>,
}

/// A function that returns what the run has still to fetch beside the file of this name.
pub type RestOf = Rc<dyn Fn(&str) -> Option<Rest>>;

struct ProgressState {
    /// Bytes that are here, and the source of the last ones.
    bytes: u64,
    from: String,
    rate: Option<ArrivalRate>,
    rest: Option<Rest>,
    rest_seen: Option<Instant>,
    drawn: Option<Instant>,
    /// True once there is a line on the terminal, or one was written elsewhere.
    is_shown: bool,
}

impl ProgressLine {
    /// Makes the progress of the file `name` of `total` bytes.
    pub fn new(mode: ProgressMode, name: &str, total: Option<u64>) -> Self {
        let state = ProgressState {
            bytes: 0,
            from: String::new(),
            rate: None,
            rest: None,
            rest_seen: None,
            drawn: None,
            is_shown: false,
        };
        let (name, begun, state) = (name.to_owned(), Instant::now(), RefCell::new(state));
        Self { mode, name, total, begun, rest: None, state }
    }

    /// Sets the bytes that were here before: they are progress, and no speed.
    fn keep(&self, bytes: u64) {
        let mut state = self.state.borrow_mut();
        (state.bytes, state.rate) = (bytes, Some(ArrivalRate::new(self.begun, bytes)));
    }

    /// Sets the number of bytes that are here, and the source of the last ones, in the words of `--json`.
    pub(crate) fn at(&self, bytes: u64, from: &str) {
        if self.mode == ProgressMode::Silent {
            return;
        }
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        state.bytes = bytes;
        state.rate.get_or_insert_with(|| ArrivalRate::new(now, bytes)).at(now, bytes);
        if state.from != from {
            from.clone_into(&mut state.from);
        }
        drop(state);
        self.draw(now);
    }

    /// Returns the time until there is something to draw although nothing has arrived; `None` when there never is.
    fn due(&self) -> Option<Duration> {
        let state = self.state.borrow();
        let at = match self.mode {
            ProgressMode::Silent => return None,
            ProgressMode::Line => (!state.is_shown).then_some(self.begun + LONG)?,
            ProgressMode::Bar => state.drawn.map_or(self.begun + SOON, |drawn| drawn + FRAME),
        };
        Some(at.saturating_duration_since(Instant::now()))
    }

    fn draw(&self, now: Instant) {
        match self.mode {
            ProgressMode::Silent => {}
            ProgressMode::Line => {
                let mut state = self.state.borrow_mut();
                if !state.is_shown && now.saturating_duration_since(self.begun) >= LONG {
                    state.is_shown = true;
                    say(&self.in_words(&state.from));
                }
            }
            ProgressMode::Bar => self.draw_bar(now),
        }
    }

    fn in_words(&self, from: &str) -> String {
        let from = if from.is_empty() { String::new() } else { format!("  from {}", FileOrigin::from(from).shown()) };
        let size = self.total.map(|total| format!("  {}", show_size(total))).unwrap_or_default();
        format!("fetching {}{size}{from}", self.name)
    }

    fn draw_bar(&self, now: Instant) {
        let mut state = self.state.borrow_mut();
        let wait = state.drawn.map_or(self.begun + SOON, |drawn| drawn + FRAME);
        if now < wait {
            return;
        }
        if let Some(rest) = &self.rest
            && state.rest_seen.is_none_or(|seen| now.saturating_duration_since(seen) >= REST)
        {
            (state.rest, state.rest_seen) = (rest(&self.name), Some(now));
        }
        let from = if state.from.is_empty() { String::new() } else { FileOrigin::from(&*state.from).shown() };
        let picture = BarState {
            name: &self.name,
            bytes: state.bytes,
            total: self.total,
            rate: state.rate.as_ref().and_then(|rate| rate.per_second(now)),
            from: &from,
            rest: state.rest,
        };
        let line = bar(&picture, columns(io::stderr()).unwrap_or(USUAL));
        // First the old picture goes: after a line of all columns, the cursor still stands on its last one.
        let _ = write!(io::stderr().lock(), "\r\u{1b}[K{line}");
        (state.drawn, state.is_shown) = (Some(now), true);
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        let mut state = self.state.borrow_mut();
        if self.mode == ProgressMode::Bar && std::mem::take(&mut state.is_shown) {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
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

/// Shows deliveries to people: the progress of the file that is on its way, and why one pauses.
pub struct ProgressBars {
    mode: ProgressMode,
    rest: Option<RestOf>,
    now: RefCell<Option<ProgressLine>>,
}

impl ProgressBars {
    /// Shows them in this form.
    pub fn new(mode: ProgressMode) -> Self {
        Self { mode, rest: None, now: RefCell::new(None) }
    }

    /// Shows the rest of the run as well; `rest` is called once a second.
    pub(crate) fn with_rest(self, rest: RestOf) -> Self {
        Self { rest: Some(rest), ..self }
    }

    /// Does the work, and shows meanwhile what is due although nothing arrives: a rate that falls, a file that takes
    /// long.
    pub(crate) async fn while_shown<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let due = self.now.borrow().as_ref().and_then(ProgressLine::due);
            tokio::select! {
                biased;
                done = &mut work => return done,
                // Without a file on its way, one may come.
                () = tokio::time::sleep(due.unwrap_or(SOON).max(SHORTEST)) => {
                    if let Some(now) = &*self.now.borrow() {
                        now.draw(Instant::now());
                    }
                }
            }
        }
    }
}

impl Listener for ProgressBars {
    fn begins(&self, name: &str, size: Option<u64>) {
        let mut line = ProgressLine::new(self.mode, name, size);
        line.rest.clone_from(&self.rest);
        *self.now.borrow_mut() = Some(line);
    }

    fn kept(&self, bytes: u64) {
        if let Some(now) = &*self.now.borrow() {
            now.keep(bytes);
        }
    }

    fn arrived(&self, bytes: u64, from: &str) {
        if let Some(now) = &*self.now.borrow() {
            now.at(bytes, from);
        }
    }

    fn waits(&self, why: &str) {
        if let Some(now) = &*self.now.borrow() {
            now.clear();
        }
        say(why);
    }

    fn ends(&self) {
        self.now.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_takes_long_is_one_line_where_no_bar_can_be_drawn() {
        let progress = ProgressLine::new(ProgressMode::Line, "a-1-1-any.pkg.tar.zst", Some(3 << 20));
        assert_eq!(progress.in_words("lan"), "fetching a-1-1-any.pkg.tar.zst  3.0 MiB  from a neighbour");
        assert_eq!(progress.in_words(""), "fetching a-1-1-any.pkg.tar.zst  3.0 MiB");
        assert!(progress.due().is_some_and(|due| due <= LONG));
        progress.draw(progress.begun + LONG);
        assert_eq!(progress.due(), None, "it is written once");
    }

    #[test]
    fn nothing_is_due_where_nothing_is_shown() {
        let progress = ProgressLine::new(ProgressMode::Silent, "a", None);
        progress.at(5, "m.example");
        assert_eq!(progress.due(), None);
    }
}
