//! The lists that decide what a file is: what the repositories of a package system say exists ([`List`]), and the tables
//! of the indexes.
//!
//! What pacman lists depends on the run that called (`--config`, `--dbpath`, `--arch`), so lists belong to one run. They
//! are read when they are first asked for.
//!
//! | file | what |
//! |---|---|
//! | `list` | the trait that a package system stands behind |
//! | `pacman`, `conf`, `shape` | pacman's implementation: the databases; the configuration; what its files look like |
//! | `knowledge` | everything that all lists say about one file |
//! | `once` | warnings, once in a run |
//! | `due` | what takes long, to be done on another thread before it is needed |

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use reqwest::Url;

use crate::base::name::{FileName, RepoName};
use crate::config::SharePolicy;
use crate::lists::pacman::caller::Caller;
use crate::lists::pacman::pacman_run::PacmanRun;
use crate::lists::pacman::version;
use crate::lists::system::Repository;
use crate::machine::Machine;

mod conf;
mod due;
mod knowledge;
mod list;
mod once;
mod pacman;
mod shape;

pub use list::{List, ListTable, NameReading, NoRepos};
pub use pacman::PacmanList;

/// Reads a file name by the rules of the package systems known here, for those who have a name alone: a line of the
/// journal, a file in a directory. Pacman's is the only one so far.
pub fn read(name: &FileName) -> NameReading<'_> {
    pacman::read(name)
}

/// The lists of one package system and the indexes, as one run of pacman or another program sees them.
pub struct Lists {
    machine: Rc<Machine>,
    pacman_run: Rc<PacmanRun>,
    list: Rc<dyn List>,
    /// The same one, where it is pacman's.
    pacman: Option<Rc<PacmanList>>,
    /// Set for silent lists: true when a message was withheld.
    unsaid: Option<Cell<bool>>,
    /// The warnings so far; true for those that were taken.
    warnings: RefCell<Vec<(String, bool)>>,
}

impl Lists {
    /// Makes the lists of pacman, for the run that this process works for. Reads none of them yet.
    pub fn of(machine: &Rc<Machine>) -> Self {
        let pacman_run = Rc::new(PacmanRun::of(&machine.env));
        let pacman = Rc::new(PacmanList::new(&pacman_run, None));
        Self { pacman: Some(Rc::clone(&pacman)), ..Self::new(machine, pacman_run, pacman) }
    }

    /// Makes the lists of pacman for a run that no process of pacman stands for: that of a server's clients.
    pub(crate) fn of_run(machine: &Rc<Machine>, pacman_run: PacmanRun) -> Self {
        let pacman_run = Rc::new(pacman_run);
        let pacman = Rc::new(PacmanList::new(&pacman_run, None));
        Self { pacman: Some(Rc::clone(&pacman)), ..Self::new(machine, pacman_run, pacman) }
    }

    /// Makes the lists of the package system that `list` is of. Reads none of them yet.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn over(machine: &Rc<Machine>, list: Rc<dyn List>) -> Self {
        Self::new(machine, Rc::new(PacmanRun::of(&machine.env)), list)
    }

    fn new(machine: &Rc<Machine>, pacman_run: Rc<PacmanRun>, list: Rc<dyn List>) -> Self {
        let warnings = machine.warning().map(|text| (text, false)).into_iter().collect();
        Self {
            machine: Rc::clone(machine),
            pacman_run,
            list,
            pacman: None,
            unsaid: None,
            warnings: RefCell::new(warnings),
        }
    }

    /// Returns the same lists with warnings of their own.
    pub(crate) fn again(&self) -> Self {
        let (machine, pacman_run) = (&self.machine, Rc::clone(&self.pacman_run));
        Self { pacman: self.pacman.clone(), ..Self::new(machine, pacman_run, Rc::clone(&self.list)) }
    }

    /// Has them keep no warnings: see [`Lists::has_unsaid`].
    pub(crate) fn silent(self) -> Self {
        Self { unsaid: Some(Cell::new(false)), ..self }
    }

    /// Keeps compiled lists on `machine` from now on, another view of the same one.
    pub(crate) fn move_to(&mut self, machine: &Rc<Machine>) {
        self.machine = Rc::clone(machine);
    }

    /// Returns the machine that has them.
    pub(crate) fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    /// Returns the run of pacman that sees them.
    pub(crate) fn pacman_run(&self) -> &Rc<PacmanRun> {
        &self.pacman_run
    }

    /// Returns true when silent lists have withheld a message.
    pub(crate) fn has_unsaid(&self) -> bool {
        self.unsaid.as_ref().is_some_and(Cell::get)
    }

    /// Reads a file name by the rules of the package system.
    pub fn read<'n>(&self, name: &'n FileName) -> NameReading<'n> {
        self.list.read(name)
    }

    /// Returns the repositories of the package system, in the order in which it prefers them.
    ///
    /// # Errors
    /// As of [`List::repos`].
    pub fn repos(&self) -> Result<Vec<&Repository>, NoRepos> {
        self.list.repos(self)
    }

    /// Returns the repository called `name`.
    pub fn repo(&self, name: &RepoName) -> Option<&Repository> {
        self.repos().ok()?.into_iter().find(|repo| repo.name == *name)
    }

    /// Returns the repositories of the package system in their order, then those that only an index speaks for.
    pub(crate) fn repo_names(&self) -> Vec<RepoName> {
        let configured = self.repos().into_iter().flatten().map(|repo| repo.name.clone());
        let mut names: Vec<RepoName> = configured.collect();
        let indexed = self.machine.settings.indexes.iter().flat_map(|index| &index.repos);
        for name in indexed.filter_map(|name| name.value().ok().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the directories in which the system itself keeps packages.
    pub fn cache_dirs(&self) -> &[PathBuf] {
        self.list.caches(self)
    }

    /// Returns the directories in which a change may be one of the system's lists.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        self.list.places(self)
    }

    /// Returns the architecture of the system's files.
    pub(crate) fn arch(&self) -> String {
        self.list.arch(self)
    }

    /// Returns true when the package system itself called. pacman is known by what its process is called, or where
    /// `/proc` hides that, by what it tells in the environment.
    pub(crate) fn is_for_system(&self) -> bool {
        let is_pacmans = || self.pacman_run.is_of_pacman() || version::of_caller(&self.machine.env).is_some();
        self.pacman.is_none() || is_pacmans()
    }

    /// Returns true when a pacman called whose options are not known: it may use other lists than these.
    pub(crate) fn may_be_others(&self) -> bool {
        self.pacman.is_some() && self.pacman_run.is_hidden
    }

    /// Returns true when a source that sends nothing may be given up when no other is left: not where the user
    /// lifted that (`DisableDownloadTimeout` in pacman.conf, `--disable-download-timeout`).
    pub(crate) fn has_timeouts(&self) -> bool {
        let lifted = |caller: &Caller| caller.arguments.disable_download_timeout;
        let configured = || self.conf().is_some_and(|conf| conf.has_flag("DisableDownloadTimeout"));
        !self.pacman_run.caller.as_ref().is_some_and(lifted) && !configured()
    }

    /// Returns true for the URL of a file or server at this machine's own endpoint.
    fn is_own_endpoint(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.machine.settings.endpoint.is_at(&url, &[]))
    }

    /// Returns true when peers may be asked for files of `repo`, and so learn that they are wanted here.
    pub fn may_share(&self, repo: &RepoName) -> bool {
        let indexed = self.machine.settings.indexes.iter().any(|index| index.may_describe(repo.as_str()));
        indexed || self.may_give(repo)
    }

    /// Returns true when files of `repo` may be put where the whole world finds them: its servers look public, or
    /// `share.repos` names it. That an index lists them is not enough: it may be that of a private network.
    pub(crate) fn may_give(&self, repo: &RepoName) -> bool {
        match &self.machine.settings.share {
            SharePolicy::Public => self.repo(repo).is_some_and(|repo| repo.is_public(|url| self.is_own_endpoint(url))),
            SharePolicy::Named(names) => names.contains(repo),
        }
    }
}
