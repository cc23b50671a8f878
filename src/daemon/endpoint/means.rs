//! What the threads of the endpoint share: settings, store, connections, and what they know. Each thread makes the rest of
//! it for itself, since lists and clients belong to one.

use std::collections::BTreeSet;
use std::process::Child;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::copies::SharedCopies;
use super::held::HeldBytes;
use super::in_hand::SignaturesInHand;
use super::states::ProvenHere;
use crate::base::clock;
use crate::base::env::Env;
use crate::config::Settings;
use crate::engine::deliver::Receipt;
use crate::lists::pacman::pacman_run::PacmanRun;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::net::http::shared::SharedConnections;
use crate::pacman::background;
use crate::report::log;
use crate::store::Store;

/// Silence after which the next request counts as another run of pacman: what was learnt of sources in one is forgotten
/// in the next.
const RUN: Duration = Duration::from_secs(30);

/// Warnings that are remembered, so that each is written once.
const SAID: usize = 200;

/// Least time between two processes that trim what Kubo has cached, and refresh indexes.
const TRIMMING: Duration = Duration::from_secs(60);

/// The means of all threads.
pub(super) struct EndpointMeans {
    env: Env,
    pub(super) store: Arc<Store>,
    /// `None` where this machine allows no thread for them: then each thread has its own.
    pub(super) connections: Option<Arc<SharedConnections>>,
    settings: Mutex<(u64, Arc<Settings>)>,
    run: Mutex<RunNow>,
    /// Held by the thread that asks `pacman-conf`, or compiles a list: the others find the result.
    pub(super) renewing: ListTurn,
    /// The last process that keeps house, and when it was started.
    trimming: Mutex<Option<(Instant, Child)>>,
    pub(super) memory: EndpointMemory,
}

/// What the threads remember.
#[derive(Default)]
pub(super) struct EndpointMemory {
    /// The states in which files of this machine were proven.
    pub(super) proven: ProvenHere,
    pub(super) signatures: SignaturesInHand,
    /// The bytes of small files that wait for their clients.
    pub(super) held: HeldBytes,
    pub(super) copies: SharedCopies,
}

/// The run of pacman that requests of this moment belong to, and what was said so far.
#[derive(Default)]
struct RunNow {
    last: Option<(Instant, PacmanRun)>,
    count: u64,
    said: BTreeSet<String>,
}

/// Most connections to a mirror that does not speak HTTP/2, besides that for signatures: `ParallelDownloads` may say more,
/// since those of pacman end at this endpoint. Origin: chosen by us.
const CONNECTIONS: usize = 8;

/// Returns how many connections a mirror sees that does not speak HTTP/2.
pub(super) fn connections_of(parallel_downloads: u32) -> usize {
    (parallel_downloads as usize).clamp(1, CONNECTIONS) + 1
}

/// The turn to make a list anew.
#[derive(Default)]
pub(super) struct ListTurn {
    pub(super) turn: Mutex<()>,
    /// Since when the thread that has it compiles.
    compiling_since: Mutex<Option<Instant>>,
}

/// A thread's turn to compile a list.
pub(super) struct CompilerTurn<'a> {
    means: &'a EndpointMeans,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for CompilerTurn<'_> {
    fn drop(&mut self) {
        *locked(&self.means.renewing.compiling_since) = None;
    }
}

impl EndpointMeans {
    /// Makes those of a process with this machine. Mirrors see the requests of all threads over these `connections`.
    pub(super) fn of(machine: &Machine, connections: Option<Arc<SharedConnections>>) -> Arc<Self> {
        Arc::new(Self {
            env: machine.env.clone(),
            store: Arc::clone(&machine.store),
            connections,
            settings: Mutex::new((0, Arc::new(machine.settings.clone()))),
            run: Mutex::default(),
            renewing: ListTurn::default(),
            trimming: Mutex::default(),
            memory: EndpointMemory::default(),
        })
    }

    /// Waits for the turn to compile a list.
    pub(super) fn compiler(&self) -> CompilerTurn<'_> {
        let turn = locked(&self.renewing.turn);
        *locked(&self.renewing.compiling_since) = Some(Instant::now());
        CompilerTurn { means: self, _turn: turn }
    }

    /// Returns since when a list is compiled.
    pub(super) fn compiling_since(&self) -> Option<Instant> {
        *locked(&self.renewing.compiling_since)
    }

    /// Goes on with other settings.
    pub(super) fn apply(&self, settings: &Settings) {
        let mut now = locked(&self.settings);
        *now = (now.0 + 1, Arc::new(settings.clone()));
    }

    /// Returns the settings of this moment, and their number, which tells them from others.
    pub(super) fn settings(&self) -> (u64, Arc<Settings>) {
        let now = locked(&self.settings);
        (now.0, Arc::clone(&now.1))
    }

    /// Makes the machine of one thread, with these settings.
    pub(super) fn machine(&self, settings: &Settings) -> Rc<Machine> {
        // With a limit on the rate, files are left unread for long, and over one connection those would hold up others.
        let shared = self.connections.as_ref().filter(|_| settings.rate.is_none());
        Machine::of_store(&self.env, settings, &self.store, shared)
    }

    /// Makes lists in the present run of requests. Reads none of them yet.
    pub(super) fn new_lists(&self, machine: &Rc<Machine>) -> Lists {
        Lists::of_run(machine, self.run())
    }

    /// Returns the run that a request of this moment belongs to.
    fn run(&self) -> PacmanRun {
        let (now, mut known) = (Instant::now(), locked(&self.run));
        let going_on = known.last.take().filter(|(last, _)| now.duration_since(*last) < RUN);
        let run = going_on.map(|(_, run)| run).unwrap_or_else(|| {
            known.count += 1;
            // No process started at that time, so that it counts as over when it is cleared up after.
            PacmanRun::without_caller(format!("{}-{}{}", std::process::id(), clock::now(), known.count))
        });
        known.last = Some((now, run.clone()));
        run
    }

    /// Writes the warnings of these lists to the log, each once.
    pub(super) fn say(&self, lists: &Lists) {
        let warnings = lists.take_warnings();
        if warnings.is_empty() {
            return;
        }
        let mut run = locked(&self.run);
        let is_new = |warning: &String| run.said.len() < SAID && run.said.insert(warning.clone());
        let new: Vec<String> = warnings.into_iter().filter(is_new).collect();
        drop(run);
        new.iter().for_each(|warning| log::warn(warning));
    }

    /// Starts what is due after a transfer, or after a `-Sy`, which `is_refresh`: one process at a time, and one a minute
    /// at most.
    pub(super) fn tidy_up(&self, call: &Call, receipt: &Receipt, is_refresh: bool) {
        let mut last = locked(&self.trimming);
        let is_at_work = last.as_mut().is_some_and(|(since, child)| {
            // Waited for, so that it leaves no zombie.
            !matches!(child.try_wait(), Ok(Some(_))) || since.elapsed() < TRIMMING
        });
        if !is_at_work && let Some(child) = background::after(call, receipt, is_refresh) {
            *last = Some((Instant::now(), child));
        }
    }
}

pub(super) fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().expect("nothing panics while it is held")
}
