//! Fetches pending updates before the user upgrades, so that `pacman -Su` needs no network for them.
//!
//! One run: refresh a private copy of the databases, ask pacman for the upgrade's packages, choose by quota and
//! age, remove superseded files, fetch the rest with its signatures into the store, pin it in Kubo, save the
//! state. Each step leaves the machine in order, so the next run continues one that was killed.
//!
//! ```text
//! <store>/prefetch/lock         one run at a time
//! <store>/prefetch/db/          private databases (`databases.rs`)
//! <store>/prefetch/signatures/  signatures without proof (`kept.rs`)
//! <store>/prefetch/state.json   the state of each update (`state.rs`)
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::env::{self, Env};
use crate::base::error::Error;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::base::runtime::{self, block_on};
use crate::base::users;
use crate::config::Settings;
use crate::engine::deliver::Receipt;
use crate::engine::want::Want;
use crate::lists::pacman::pacman_conf::{PacmanConf, SignatureCheck};
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::machine::conditions::Surroundings;
use crate::machine::lists::Lists;
use crate::pins::keep::Ledger;
use crate::report::{self, ProgressBars, counted};
use crate::trust::plan::Expect;

pub(crate) mod choose;
pub(crate) mod databases;
pub(crate) mod fetch;
pub(crate) mod kept;
pub(crate) mod pending;
pub(crate) mod pins;
pub(crate) mod reasons;
pub mod state;

use choose::{UpdateChoice, choose};
use databases::Databases;
use fetch::PrefetchProgress;
use kept::KeptSignatures;
use pending::Update;
use pins::PendingFile;
use state::{PendingUpdate, PrefetchState, UpdateStanding};

/// The options of a run.
#[derive(Clone, Default, Debug)]
pub(crate) struct PrefetchOptions {
    /// Only these packages; all when empty.
    pub(crate) only: Vec<String>,
    /// List, and fetch nothing.
    pub(crate) dry_run: bool,
    /// Ignore the conditions.
    pub(crate) now: bool,
}

/// The result of a run.
#[derive(Default, Debug)]
pub(crate) struct PrefetchReport {
    /// The reason why nothing was done, if so.
    pub(crate) postponed: Option<String>,
    /// All pending updates and their standing.
    pub(crate) updates: Vec<PendingUpdate>,
    /// Bytes of the packages that were fetched in this run.
    pub(crate) fetched: u64,
    /// Failures. Updates that have arrived are kept all the same.
    pub(crate) failures: Vec<Error>,
    /// Minor failures.
    pub(crate) warnings: Vec<String>,
    /// Sources that failed although another one delivered, one line each, for those who ask (`PKGSWARM_VERBOSE`).
    pub(crate) passed_over: Vec<String>,
}

/// Makes one run. `arrived` receives the progress repeatedly.
///
/// # Errors
/// `Interrupted`; `Local` without a lasting store, or when its disk is full; `Usage` when pacman is not usable.
pub(crate) fn run(
    env: &Env,
    settings: &Settings,
    options: &PrefetchOptions,
    arrived: &mut dyn FnMut(PrefetchProgress),
) -> Result<PrefetchReport, Error> {
    if let (false, Some(why)) = (options.now, Surroundings::now().objection(settings)) {
        return Ok(PrefetchReport { postponed: Some(why), ..PrefetchReport::default() });
    }
    let beside = Path::new("/var/tmp");
    let machine = Machine::open(env, settings, beside)?;
    let system = Lists::of(&machine);
    let missing = settings.store_dir.as_ref().filter(|dir| !dir.exists());
    if machine.store.is_passing() || missing.is_some() {
        return Err(no_store(&machine, missing));
    }
    let store = machine.store.dir().to_owned();
    let below = store.join("prefetch");
    fsx::own_dir(&below, env.uid).map_err(|e| Error::local(below.display(), e))?;
    let Ok(_alone) = fsx::lock(&below.join("lock"), Duration::ZERO) else {
        return Ok(PrefetchReport {
            postponed: Some("another prefetch is at work".to_owned()),
            ..PrefetchReport::default()
        });
    };
    let conf = system.conf().cloned();
    say_warnings(&system);
    let conf = conf.ok_or_else(|| {
        Error::usage("pacman.conf", "pacman's configuration is not known").hint("`pacman-conf` shows what pacman says")
    })?;
    let databases = Databases::open(&below, env.uid, &conf)?;
    let bars = Rc::new(ProgressBars::new(settings.progress));
    let mut call = Call::with(Lists::of(&machine).with_databases(databases.dir()), beside).telling(bars);
    let (cancel, mut all) = (call.cancel.clone(), Receipt::default());
    let mut failures = runtime::run(&cancel, databases.refresh(&mut call, &conf, &mut all))?;
    let work = PrefetchWork {
        env,
        settings,
        options,
        conf: &conf,
        machine,
        updated: call.lists,
        system,
        store: store.clone(),
        now: clock::now(),
    };
    let last = PrefetchState::read(&store);
    say_warnings(&work.updated);
    let updates = pending::pending(&work.updated, databases.dir())?;
    let installed = pending::installed(&databases.dir().join("local"));
    for name in options.only.iter().filter(|name| !updates.iter().any(|update| update.name == **name)) {
        match installed.get(name) {
            Some(version) => all.warnings.push(format!("{name} {version}: no update is pending")),
            None => failures.push(Error::usage(name, "no package of this name is installed, and none is pending")),
        }
    }
    let (wants, mut state) = work.plan(updates, &last, &mut failures);
    say_warnings(&work.updated);
    let mut fetched = 0;
    if !options.dry_run {
        // Files that pacman has by now make room first. A failed sweep only leaves more files.
        let _ = work.machine.store.sweep(&conf.cache_dirs);
        work.let_go(&last, &state);
        fetched = work.fetch(wants, &mut state, (&mut failures, &mut all), arrived)?;
        work.offer(&state);
        work.pin(&mut state, &mut all.warnings);
        state.write(&store).map_err(|e| Error::local(store.display(), e))?;
    }
    let (updates, Receipt { warnings, passed_over, .. }) = (state.updates, all);
    Ok(PrefetchReport { postponed: None, updates, fetched, failures, warnings, passed_over })
}

/// Prints the warnings of the lists, once, where standard error has a reader.
fn say_warnings(lists: &Lists) {
    if env::is_heard() {
        report::warn(&lists.take_warnings());
    }
}

/// Returns the error that there is no place where updates could be kept.
fn no_store(machine: &Machine, missing: Option<&PathBuf>) -> Error {
    let Some(dir) = missing else {
        let error = match machine.settings.store_dir.as_ref().zip(machine.no_store.as_ref()) {
            Some((dir, why)) => Error::local(dir.display(), format!("prefetch cannot use this store: {why}")),
            None => Error::local("store.dir", "prefetch needs a store that lasts"),
        };
        return error.hint("pkgswarm config store.dir");
    };
    let user = users::name_of(machine.env.uid);
    let by_hand = format!("sudo install -d -o {user} -g {user} {}", dir.display());
    let made =
        if dir.starts_with("/var/cache/pkgswarm") { "sudo systemd-tmpfiles --create pkgswarm.conf, or " } else { "" };
    Error::local(dir.display(), format!("the store is not there, and user {user} cannot make it"))
        .hint(format!("{made}{by_hand}"))
}

struct PrefetchWork<'a> {
    env: &'a Env,
    settings: &'a Settings,
    options: &'a PrefetchOptions,
    conf: &'a PacmanConf,
    machine: Rc<Machine>,
    /// The lists of the private databases.
    updated: Lists,
    /// The lists of pacman's own databases.
    system: Lists,
    store: PathBuf,
    now: u64,
}

impl PrefetchWork<'_> {
    /// Returns the standing of each update before anything is fetched, and the files to fetch.
    fn plan(
        &self,
        updates: Vec<Update>,
        last: &PrefetchState,
        failures: &mut Vec<Error>,
    ) -> (Vec<Want>, PrefetchState) {
        let mut known = Vec::new();
        for update in updates {
            match Want::in_repo(&self.updated, &update.repo, update.file.clone()) {
                Ok(want) => known.push((update, want)),
                // A disagreement about one file does not exclude the others.
                Err(e) => failures.push(e),
            }
        }
        let since = |name: &str| last.since.get(name).copied().unwrap_or(self.now).min(self.now);
        let choices: Vec<UpdateChoice> = known
            .iter()
            .map(|(update, want)| UpdateChoice {
                size: want.plan.expect.size().unwrap_or(0),
                waits: Duration::from_secs(self.now - since(&update.name)),
                wanted: self.options.only.is_empty() || self.options.only.contains(&update.name),
                here: self.has(want),
            })
            .collect();
        let most = self.settings.prefetch.max.min(self.settings.store_max);
        let verdicts = choose(&choices, most, self.settings.prefetch.age);
        let mut state = PrefetchState { checked: self.now, ..PrefetchState::default() };
        let mut wants = Vec::new();
        for (((update, want), choice), verdict) in known.into_iter().zip(choices).zip(verdicts) {
            state.since.insert(update.name.clone(), since(&update.name));
            let expected = match want.plan.expect {
                Expect::Exact { sha256, .. } => Some(sha256),
                Expect::Waived(_) => None,
            };
            let is_complete = choice.here && !self.lacks_signature(&want, expected);
            let stands = match (verdict, is_complete, expected) {
                (Some(left), ..) => UpdateStanding::Left(left),
                (None, true, _) => UpdateStanding::Here,
                (None, false, None) => UpdateStanding::Failed(
                    "its database names no sha256, so that nothing can be kept for it".to_owned(),
                ),
                (None, false, Some(_)) if self.options.dry_run => UpdateStanding::Pending,
                (None, false, Some(_)) => UpdateStanding::Failed("not fetched yet".to_owned()),
            };
            if verdict.is_none() && !is_complete && expected.is_some() {
                if !choice.here {
                    wants.push(want.clone());
                }
                wants.extend(self.signature(&want, expected));
            }
            state.updates.push(PendingUpdate {
                repo: update.repo.to_string(),
                name: update.name.clone(),
                old: update.old,
                new: update.new,
                file: update.file.to_string(),
                size: choice.size,
                sha256: expected,
                since: since(&update.name),
                stands,
                pinned: false,
            });
        }
        (wants, state)
    }

    /// True if the file of `want` is in the store or in one of pacman's caches.
    fn has(&self, want: &Want) -> bool {
        let Expect::Exact { sha256, size } = want.plan.expect else { return false };
        self.machine.store.has(sha256, size) || in_cache(self.conf, want.name.as_str(), size)
    }

    /// True if pacman would fetch the signature of a package from the network.
    fn lacks_signature(&self, want: &Want, package: Option<Sha256>) -> bool {
        self.signature(want, package).is_some()
    }

    /// Returns the signature of a package to fetch, if pacman checks it and it is not here.
    fn signature(&self, want: &Want, package: Option<Sha256>) -> Option<Want> {
        let repo = self.conf.repo(&want.repo.as_ref()?.name)?;
        if repo.sig_level.package == SignatureCheck::Never {
            return None;
        }
        let name = FileName::new(format!("{}.sig", want.name)).ok()?;
        let cached = self.conf.cache_dirs.iter().any(|dir| dir.join(name.as_str()).exists());
        if cached || package.is_some_and(|package| KeptSignatures::of(&self.store).has(package)) {
            return None;
        }
        let signature = Want::in_repo(&self.updated, &repo.name, name).ok()?;
        match signature.plan.expect {
            Expect::Exact { sha256, size } if self.machine.store.has(sha256, size) => None,
            _ => Some(signature),
        }
    }

    /// Removes from the store former updates that are not kept any more, and the signatures of all updates that
    /// are not kept.
    fn let_go(&self, last: &PrefetchState, state: &PrefetchState) {
        let kept: Vec<Sha256> =
            state.updates.iter().filter(|one| !one.is_let_go()).filter_map(|one| one.sha256).collect();
        for old in last.updates.iter().filter_map(|one| one.sha256).filter(|sha256| !kept.contains(sha256)) {
            self.machine.store.let_go(old);
        }
        KeptSignatures::of(&self.store).retain(&kept);
        // As the youngest files, they are evicted last.
        kept.iter().for_each(|sha256| self.machine.store.freshen(*sha256));
    }

    fn is_here(&self, one: &PendingUpdate) -> bool {
        let Some(sha256) = one.sha256 else { return false };
        self.machine.store.has(sha256, one.size) || in_cache(self.conf, &one.file, one.size)
    }

    /// Lets the daemon offer files that are here and may be shared (`share.stores`): it scans when the state is
    /// written.
    fn offer(&self, state: &PrefetchState) {
        for one in state.updates.iter().filter(|one| one.is_here()) {
            let repo = RepoName::new(&one.repo).ok().filter(|repo| self.system.may_share(repo));
            if let (Some(sha256), Some(_)) = (one.sha256, repo) {
                self.machine.store.open_to_all(sha256);
            }
        }
    }

    /// Pins files that are here and may be shared, and unpins those that are not pending any more. Kubo serves
    /// neighbours only: if it does not answer, that is a warning, not a failure.
    fn pin(&self, state: &mut PrefetchState, warnings: &mut Vec<String>) {
        if !self.settings.prefetch.pin || !self.machine.asks_kubo() {
            return;
        }
        let (kubo, ledger) = (self.machine.kubo(), Ledger::at(&self.store));
        let path = |one: &PendingUpdate| {
            let repo = RepoName::new(&one.repo).ok().filter(|repo| one.is_here() && self.system.may_share(repo));
            let path = self.machine.store.files_dir().join(one.sha256.filter(|_| repo.is_some())?.to_string());
            path.exists().then_some(path)
        };
        let pending = state.updates.iter().filter(|one| !one.is_let_go());
        let pending =
            pending.filter_map(|one| Some(PendingFile { name: FileName::new(&one.file).ok()?, path: path(one) }));
        let failed = match block_on(pins::keep(&kubo, &ledger, &pending.collect::<Vec<_>>())) {
            // No answer is usual on machines without Kubo.
            Some(Err(_)) => None,
            Some(Ok(done)) => {
                for one in state.updates.iter_mut().filter(|one| one.is_here()) {
                    one.pinned = done.pinned.iter().any(|file| file.as_str() == one.file);
                }
                let left = (done.left > 0).then(|| format!("{} are left to the next run", counted(done.left, "pin")));
                done.failed.first().map(ToString::to_string).or(left)
            }
            None => Some("interrupted".to_owned()),
        };
        if let Some(why) = failed {
            warnings.push(format!("not everything could be pinned: {why}"));
        }
    }
}

/// True if a package cache has a file of this name and size; pacman proves it.
fn in_cache(conf: &PacmanConf, file: &str, size: u64) -> bool {
    let is_it =
        |dir: &PathBuf| std::fs::metadata(dir.join(file)).is_ok_and(|meta| meta.is_file() && meta.len() == size);
    conf.cache_dirs.iter().any(is_it)
}
