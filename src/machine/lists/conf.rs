//! pacman's configuration, as the pacman that called has it.

use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::Lists;
use crate::base::env;
use crate::base::fsx;
use crate::base::program::SilentError;
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::lists::pacman::question::{ConfError, ConfQuestion, PATIENCE};
use crate::trust::plan::{Knowledge, UnreadList};

/// Longest wait for `pacman-conf` in the background: its answer is kept, and proves later requests.
const NO_HURRY: Duration = Duration::from_secs(60);

const HIDDEN: &str = "the command line of the pacman that has called cannot be read (/proc is not mounted, hides \
    it, or ends at a wrapper): its options are not known, files that the usual lists do not have are not proven, and \
    nothing is fetched ahead";

/// The reason why there is no configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoConf {
    /// This machine has no pacman.
    NoPacman,
    /// It could not be read.
    Unread,
}

impl Lists {
    /// Returns pacman's configuration; `None` where there is none, or it cannot be read. Runs `pacman-conf` only
    /// when a file changed.
    pub fn conf(&self) -> Option<&PacmanConf> {
        self.known_conf().as_ref().ok()
    }

    /// Returns the knowledge of a file without the calling pacman's configuration: none, and why.
    pub fn without_conf(&self) -> Knowledge {
        let unread = (*self.known_conf() != Err(NoConf::NoPacman)).then_some(UnreadList::Configuration);
        Knowledge { unread, for_others: !self.is_for_pacman(), ..Knowledge::default() }
    }

    /// Returns the package caches, if an earlier call has kept the answer; runs no program.
    pub fn kept_cache_dirs(&self) -> Vec<PathBuf> {
        let kept = self.question().ok().and_then(|question| question.recall(&self.machine.store.cache_dir()));
        kept.map(|conf| conf.cache_dirs).unwrap_or_default()
    }

    fn known_conf(&self) -> &Result<PacmanConf, NoConf> {
        self.conf.get_or_init(|| {
            if self.pacman_run.is_hidden {
                self.warn_once(HIDDEN);
            }
            let question = self.question();
            let config = question.as_ref().map(|question| question.config.clone()).ok();
            question.map_err(|e| e.to_string()).and_then(|question| self.ask(&question)).map_err(|why| {
                let is_missing = |config: &PathBuf| rustix::fs::stat(config).is_err_and(|e| e == Errno::NOENT);
                if self.pacman_run.caller.is_none()
                    && !self.pacman_run.is_hidden
                    && config.as_ref().is_some_and(is_missing)
                {
                    return NoConf::NoPacman;
                }
                let config = config.map(|config| format!("{}: ", config.display())).unwrap_or_default();
                self.warn_once(&format!(
                    "{config}pacman's configuration is not known, and nothing is proven by its lists: {why}"
                ));
                NoConf::Unread
            })
        })
    }

    /// Returns the query for `pacman-conf`.
    fn question(&self) -> Result<ConfQuestion, ConfError> {
        let mut question = self.pacman_run.caller.as_ref().map(ConfQuestion::of).transpose()?.unwrap_or_default();
        if self.pacman_run.caller.as_ref().is_none_or(|caller| caller.arguments.config.is_none()) {
            question.config = self.machine.settings.pacman_conf.clone();
        }
        if let Some(databases) = &self.databases {
            question.db_path = Some(databases.clone());
        }
        Ok(question)
    }

    /// Runs `pacman-conf` unless the last answer is valid. A program that gave no answer in time is not run again
    /// in this run of pacman; read-ahead waits for longer, and keeps the answer for later calls.
    fn ask(&self, question: &ConfQuestion) -> Result<PacmanConf, String> {
        let directory = self.machine.store.cache_dir();
        if let Some(conf) = question.recall(&directory) {
            return Ok(conf);
        }
        let slow = self.mark("slow", &format!("{question:?}"));
        let is_waited_for = self.unsaid.is_some() || env::is_heard();
        let earlier = slow.as_ref().filter(|_| is_waited_for).and_then(|slow| {
            let bytes = fsx::read_small(slow, self.machine.env.uid, 4096).ok()?;
            String::from_utf8(bytes).ok()
        });
        if let Some(why) = earlier {
            return Err(why);
        }
        let patience = if is_waited_for { PATIENCE } else { NO_HURRY };
        question.ask_and_keep(&directory, patience).map_err(|error| {
            let why = error.to_string();
            if let (ConfError::Silent(SilentError::TooSlow { .. }), Some(slow)) = (&error, slow) {
                let _waited_for_again = fsx::replace(&slow, why.as_bytes(), 0o600);
            }
            why
        })
    }
}
