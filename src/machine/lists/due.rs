//! What takes long when the lists are asked the first time after a change. A server has it done on another thread first;
//! the lists then find the result on the disk.

use super::Lists;
use crate::base::name::RepoName;
use crate::lists::catalogue;
use crate::lists::pacman::entries::entries;
use crate::lists::pacman::question::PATIENCE;

impl Lists {
    /// Returns the question for `pacman-conf`, where its last answer is not valid any more.
    pub(crate) fn question_due(&self) -> Option<impl FnOnce() + Send + use<>> {
        let question = self.pacman.as_ref()?.question(self).ok()?;
        let directory = self.machine.store.cache_dir();
        let is_due = question.recall(&directory).is_none();
        // An error is met again by who needs the answer, and told there.
        is_due.then_some(move || drop(question.ask_and_keep(&directory, PATIENCE)))
    }

    /// Returns the compilation of the database of `repo`, where that has changed since the last one.
    pub(crate) fn compilation_due(&self, repo: &RepoName) -> Option<impl FnOnce() + Send + use<>> {
        let (database, cache) = self.pacman.as_ref()?.database_paths(self, repo)?;
        let is_due = !catalogue::is_valid(&database, &cache) && database.exists();
        is_due.then_some(move || drop(catalogue::of_source(&database, &cache, entries)))
    }

    /// Returns true for the name of an architecture whose packages this machine installs.
    pub(crate) fn is_arch(&self, name: &str) -> bool {
        self.arch() == name || self.conf().is_some_and(|conf| conf.architectures.iter().any(|arch| arch == name))
    }
}
