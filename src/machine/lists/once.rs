//! Warnings that appear once in a run of pacman, which starts a process for each file.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::Lists;
use crate::base::digest::Sha256;

impl Lists {
    /// Keeps a warning for the next [`take_warnings`](Self::take_warnings), once.
    pub fn warn_once(&self, text: &str) {
        if let Some(unsaid) = &self.unsaid {
            let is_said = self.mark("said", text).is_some_and(|mark| mark.exists());
            return unsaid.set(unsaid.get() || !is_said);
        }
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.iter().any(|(known, _)| known == text) {
            warnings.push((text.to_owned(), false));
        }
    }

    /// Returns the warnings since the last time that no earlier call of this run of pacman was given. The caller has
    /// them read: only a message with a reader is recorded, and read-ahead, which begins first, has none.
    pub fn take_warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.borrow_mut();
        let new = warnings.iter_mut().filter_map(|(text, is_taken)| {
            let is_new = !std::mem::replace(is_taken, true);
            is_new.then(|| text.clone())
        });
        let is_first = |text: &String| {
            let made = self.mark("said", text).map(File::create_new);
            !made.is_some_and(|made| made.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists))
        };
        new.filter(is_first).collect()
    }

    /// Returns a file that tells the later calls of this run of pacman about `what`; it is removed with the record
    /// of the run. `None` where no pacman calls, or without a lasting store.
    pub(super) fn mark(&self, kind: &str, what: &str) -> Option<PathBuf> {
        let key = &Sha256::of(what.as_bytes()).to_string()[..12];
        let is_run = self.pacman_run.is_of_pacman() && !self.machine.store.is_passing();
        is_run.then(|| self.machine.store.health_dir().join(format!("{kind}-{}-{key}", self.pacman_run.name)))
    }
}
