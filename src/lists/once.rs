//! Messages that appear once in a run of pacman, which starts a process for each file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use super::Lists;
use crate::digest::Sha256;
use crate::report;

/// The messages of this process.
static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Lists {
    /// Prints `text` unless an earlier call of this run of pacman printed it; without a pacman, once in this
    /// process.
    pub fn say_once(&self, text: &str) {
        let mark = self.mark("said", text);
        if let Some(unsaid) = &self.unsaid {
            return unsaid.set(unsaid.get() || mark.is_none_or(|mark| !mark.exists()));
        }
        // Only a message with a reader is recorded: read-ahead, which begins first, has none.
        if !report::is_heard() || !SAID.lock().is_ok_and(|mut said| said.insert(text.to_owned())) {
            return;
        }
        let made = mark.map(File::create_new);
        if !made.is_some_and(|made| made.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)) {
            report::say(text);
        }
    }

    /// Returns a file that tells the later calls of this run of pacman about `what`; it is removed with the record
    /// of the run. `None` where no pacman calls, or without a lasting store.
    pub(super) fn mark(&self, kind: &str, what: &str) -> Option<PathBuf> {
        let key = &Sha256::of(what.as_bytes()).to_string()[..12];
        let is_run = self.pacman_run.is_of_pacman() && !self.machine.store.is_passing();
        is_run.then(|| self.machine.store.health_dir().join(format!("{kind}-{}-{key}", self.pacman_run.name)))
    }
}
