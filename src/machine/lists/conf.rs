//! pacman's configuration, as the pacman that called has it.

use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::{Lists, NoRepos, PacmanList};
use crate::base::env;
use crate::base::fsx;
use crate::base::program::SilentError;
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::lists::pacman::question::{ConfError, ConfQuestion, PATIENCE};

/// Longest wait for `pacman-conf` in the background: its answer is kept, and proves later requests.
const NO_HURRY: Duration = Duration::from_secs(60);

const HIDDEN: &str = "the command line of the pacman that has called cannot be read (/proc is not mounted, hides \
    it, or ends at a wrapper): its options are not known, files that the usual lists do not have are not proven, and \
    nothing is fetched ahead";

impl PacmanList {
    /// Returns pacman's configuration. Runs `pacman-conf` only when a file changed.
    pub(super) fn conf(&self, lists: &Lists) -> &Result<PacmanConf, NoRepos> {
        self.conf.get_or_init(|| {
            if self.run.is_hidden {
                lists.warn_once(HIDDEN);
            }
            let question = self.question(lists);
            let config = question.as_ref().map(|question| question.config.clone()).ok();
            question.map_err(|e| e.to_string()).and_then(|question| self.ask(lists, &question)).map_err(|why| {
                let is_missing = |config: &PathBuf| rustix::fs::stat(config).is_err_and(|e| e == Errno::NOENT);
                if self.run.caller.is_none() && !self.run.is_hidden && config.as_ref().is_some_and(is_missing) {
                    return NoRepos::Absent;
                }
                let config = config.map(|config| format!("{}: ", config.display())).unwrap_or_default();
                lists.warn_once(&format!(
                    "{config}pacman's configuration is not known, and nothing is proven by its lists: {why}"
                ));
                NoRepos::Unread
            })
        })
    }

    /// Returns the query for `pacman-conf`.
    pub(super) fn question(&self, lists: &Lists) -> Result<ConfQuestion, ConfError> {
        let mut question = self.run.caller.as_ref().map(ConfQuestion::of).transpose()?.unwrap_or_default();
        if self.run.caller.as_ref().is_none_or(|caller| caller.arguments.config.is_none()) {
            question.config = lists.machine.settings.pacman_conf.clone();
        }
        if let Some(databases) = &self.databases {
            question.db_path = Some(databases.clone());
        }
        Ok(question)
    }

    /// Runs `pacman-conf` unless the last answer is valid. A program that gave no answer in time is not run again
    /// in this run of pacman; read-ahead waits for longer, and keeps the answer for later calls.
    fn ask(&self, lists: &Lists, question: &ConfQuestion) -> Result<PacmanConf, String> {
        let directory = lists.machine.store.cache_dir();
        if let Some(conf) = question.recall(&directory) {
            return Ok(conf);
        }
        let slow = lists.mark("slow", &format!("{question:?}"));
        let is_waited_for = lists.unsaid.is_some() || env::is_heard();
        let earlier = slow.as_ref().filter(|_| is_waited_for).and_then(|slow| {
            let bytes = fsx::read_small(slow, lists.machine.env.uid, 4096).ok()?;
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
