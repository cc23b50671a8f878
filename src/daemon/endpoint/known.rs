//! The package that a request means: what pacman's databases and the indexes say exists.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::desk::Desk;
use super::route::RoutedFile;
use crate::base::name::RepoName;
use crate::engine::want::Want;
use crate::machine::lists::Lists;
use crate::report::log;
use crate::trust::plan::Expect;

/// A file that the lists know.
#[derive(Clone, Debug)]
pub(super) struct KnownPackage {
    /// The file, its proof and its sources.
    pub(super) want: Want,
    /// Its repository.
    pub(super) repo: RepoName,
    /// The date at which it was built, where the list tells it.
    pub(super) built: Option<SystemTime>,
    /// True where peers may be asked for it, and other machines may have it.
    pub(super) may_share: bool,
}

impl Desk {
    /// Finds the package that a path names, in the repository that it names, else in the first that lists it. `None`
    /// where no list knows it, or none that can be read: nothing else is ever fetched.
    pub(super) fn package(&self, routed: &RoutedFile) -> Option<KnownPackage> {
        let lists = &self.lists;
        for repo in repos(lists, &routed.hints) {
            if lists.compilation_due(&repo).is_some() {
                // Once for all who ask after a `-Sy`.
                let _turn = self.means.compiler();
                if let Some(compile) = lists.compilation_due(&repo) {
                    compile();
                }
            }
            let want = Want::in_repo(lists, &repo, routed.name.clone());
            self.means.say(lists);
            let want = match want {
                Ok(want) if matches!(want.plan.expect, Expect::Exact { .. }) => want,
                Ok(_) => continue,
                Err(error) => {
                    log::info(|| format!("{}: {error}", routed.name));
                    continue;
                }
            };
            let entry = lists.table(&repo).ok().flatten().and_then(|table| table.find(&routed.name).ok()?);
            let built = entry.and_then(|entry| entry.built).map(|at| UNIX_EPOCH + Duration::from_secs(at.into()));
            let may_share = lists.may_share(&repo);
            return Some(KnownPackage { want, repo, built, may_share });
        }
        None
    }
}

/// Returns the repositories that a path may mean: the one that it names, else all. None where it names an architecture
/// that is not this machine's: other distributions have files of the same names.
pub(super) fn repos(lists: &Lists, hints: &[String]) -> Vec<RepoName> {
    let mut after = hints.iter().skip_while(|hint| *hint != "os").skip(1);
    if after.next().is_some_and(|arch| !lists.is_arch(arch)) {
        return Vec::new();
    }
    let all = lists.repo_names();
    match hints.iter().find_map(|hint| all.iter().find(|repo| repo.as_str() == hint)) {
        Some(named) => vec![named.clone()],
        // `$repo/os/$arch` with a repository that this machine does not have.
        None if hints.iter().any(|hint| hint == "os") => Vec::new(),
        None => all,
    }
}
