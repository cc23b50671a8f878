//! What is said once in a run of pacman, which starts a process for each file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use super::Session;
use crate::digest::Sha256;
use crate::report;

/// What this process has said.
static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Session {
    /// Says `text` unless it was said before in this run of pacman; by a caller that is no pacman, in this process.
    pub(super) fn say_once(&self, text: &str) {
        let mark = self.mark("said", text);
        if let Some(unsaid) = &self.unsaid {
            return unsaid.set(unsaid.get() || mark.is_none_or(|mark| !mark.exists()));
        }
        // Only what is heard counts as said: read-ahead, which begins first, has no reader.
        if !report::is_heard() || !SAID.lock().is_ok_and(|mut said| said.insert(text.to_owned())) {
            return;
        }
        let made = mark.map(File::create_new);
        if !made.is_some_and(|made| made.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)) {
            report::say(text);
        }
    }

    /// A file that tells the later calls of this run of pacman about `what`; it goes with the memory of the run. `None`
    /// where no pacman calls, or nothing lasts.
    pub(super) fn mark(&self, kind: &str, what: &str) -> Option<PathBuf> {
        let key = &Sha256::of(what.as_bytes()).to_string()[..12];
        let is_run = (self.caller.is_some() || self.is_hidden) && !self.store.is_passing();
        is_run.then(|| self.store.health_dir().join(format!("{kind}-{}-{key}", self.run)))
    }
}
