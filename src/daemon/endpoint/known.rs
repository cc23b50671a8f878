//! The lists in use: what pacman's databases and the indexes say exists. They are looked at again while the endpoint
//! runs, for a `-Sy` and for a changed configuration, and what takes long is done on another thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::route::RoutedFile;
use crate::base::clock;
use crate::base::name::RepoName;
use crate::engine::want::Want;
use crate::lists::pacman::pacman_run::PacmanRun;
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::report::log;
use crate::trust::plan::Expect;

/// Time for which the configuration of pacman is taken as it was.
const FRESH: Duration = Duration::from_secs(1);

/// Silence after which the next request counts as another run of pacman: what was learnt of sources in one is forgotten
/// in the next.
const RUN: Duration = Duration::from_secs(30);

/// Warnings that are remembered, so that each is written once.
const SAID: usize = 200;

/// The lists as they were a moment ago.
#[derive(Default)]
pub(super) struct ListsInUse {
    lists: RefCell<Option<ListsThen>>,
    renewing: Mutex<()>,
    compiling: Mutex<()>,
    run: RefCell<Option<(Instant, PacmanRun)>>,
    runs: Cell<u64>,
    said: RefCell<BTreeSet<String>>,
}

/// The lists of a machine, and the time when they were made.
type ListsThen = (Instant, Rc<Machine>, Rc<Lists>);

/// A file that the lists know.
#[derive(Debug)]
pub(super) struct KnownPackage {
    /// The file, its proof and its sources.
    pub(super) want: Want,
    /// Its repository.
    pub(super) repo: RepoName,
    /// The date at which it was built, where the list tells it.
    pub(super) built: Option<SystemTime>,
}

impl ListsInUse {
    /// Returns the lists, not older than a second.
    pub(super) async fn get(&self, machine: &Rc<Machine>) -> Rc<Lists> {
        if let Some(lists) = self.fresh(machine) {
            return lists;
        }
        let _turn = self.renewing.lock().await;
        if let Some(lists) = self.fresh(machine) {
            return lists;
        }
        let lists = self.new_lists(machine);
        if let Some(ask) = lists.question_due() {
            let _asked = tokio::task::spawn_blocking(ask).await;
        }
        // Read from what was kept just now.
        let _known = lists.repos();
        self.say(&lists);
        let lists = Rc::new(lists);
        *self.lists.borrow_mut() = Some((Instant::now(), Rc::clone(machine), Rc::clone(&lists)));
        lists
    }

    /// Makes lists for one delivery, in the present run of requests.
    pub(super) fn new_lists(&self, machine: &Rc<Machine>) -> Lists {
        Lists::of_run(machine, self.run())
    }

    /// Returns the run that a request of this moment belongs to.
    fn run(&self) -> PacmanRun {
        let now = Instant::now();
        let mut known = self.run.borrow_mut();
        let going_on = known.take().filter(|(last, _)| now.duration_since(*last) < RUN);
        let run = going_on.map(|(_, run)| run).unwrap_or_else(|| {
            self.runs.set(self.runs.get() + 1);
            // No process started at that time, so that it counts as over when it is cleared up after.
            PacmanRun::without_caller(format!("{}-{}{}", std::process::id(), clock::now(), self.runs.get()))
        });
        *known = Some((now, run.clone()));
        run
    }

    fn fresh(&self, machine: &Rc<Machine>) -> Option<Rc<Lists>> {
        let lists = self.lists.borrow();
        let (made, of, lists) = lists.as_ref()?;
        (made.elapsed() < FRESH && Rc::ptr_eq(of, machine)).then(|| Rc::clone(lists))
    }

    /// Writes the warnings of these lists to the log, each once.
    pub(super) fn say(&self, lists: &Lists) {
        let mut said = self.said.borrow_mut();
        for warning in lists.take_warnings() {
            if said.len() < SAID && said.insert(warning.clone()) {
                log::warn(&warning);
            }
        }
    }

    /// Finds the package that a path names, in the repository that it names, else in the first that lists it. `None`
    /// where no list knows it, or none that can be read: nothing else is ever fetched.
    pub(super) async fn package(&self, lists: &Lists, routed: &RoutedFile) -> Option<KnownPackage> {
        for repo in repos(lists, &routed.hints) {
            if lists.compilation_due(&repo).is_some() {
                // Once for all who ask after a `-Sy`.
                let _turn = self.compiling.lock().await;
                if let Some(compile) = lists.compilation_due(&repo) {
                    let _compiled = tokio::task::spawn_blocking(compile).await;
                }
            }
            let want = Want::in_repo(lists, &repo, routed.name.clone());
            self.say(lists);
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
            return Some(KnownPackage { want, repo, built });
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
