//! The threads that make transfers: the engine blocks where it reads, hashes and writes files, so each transfer has one
//! alone. A mirror sees as many at a time as pacman would make connections, and one more for signatures and databases, on
//! which packages wait; where it speaks HTTP/2, as many as go over one connection. The others wait for their turn.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio_util::sync::CancellationToken;

use super::means::{EndpointMeans, connections_of, locked};
use crate::base::digest::Sha256;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::net::http;

/// Most transfers at a time. Each has a thread, one open file, and buffers of its sources.
const RUNNING: usize = 64;

/// Time for which a thread takes its lists as they were.
const FRESH: Duration = Duration::from_secs(1);

/// The order in which transfers have their turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Urgency {
    /// Small, and others wait for it: a signature, a database.
    First,
    /// A client waits for it.
    Client,
    /// It will be asked for.
    Ahead,
}

/// A transfer to be made.
pub(super) struct TransferJob {
    pub(super) urgency: Urgency,
    /// The key of its file in the hub.
    pub(super) key: Option<Sha256>,
    /// The mirror that is asked, where nothing nearer is.
    pub(super) mirror: Option<Url>,
    /// Cancelled when no client waits for it any more.
    pub(super) cancel: CancellationToken,
    pub(super) work: Box<dyn FnOnce(&mut TransferThread) + Send>,
}

/// The threads, and what waits for them. Cheap to clone.
#[derive(Clone)]
pub(super) struct TransferThreads(Arc<ThreadsInner>);

struct ThreadsInner {
    means: Arc<EndpointMeans>,
    state: Mutex<ThreadsState>,
    came: Condvar,
}

#[derive(Default)]
struct ThreadsState {
    waiting: VecDeque<TransferJob>,
    /// Transfers under way, by mirror.
    at: HashMap<String, usize>,
    threads: usize,
    idle: usize,
}

/// One thread, with what transfers need.
pub(super) struct TransferThread {
    pub(super) means: Arc<EndpointMeans>,
    pub(super) machine: Rc<Machine>,
    lists: Lists,
    made: Instant,
    /// Of its settings.
    number: u64,
}

impl TransferThread {
    fn new(means: &Arc<EndpointMeans>) -> Self {
        let (number, settings) = means.settings();
        let machine = means.machine(&settings);
        let lists = means.new_lists(&machine);
        Self { means: Arc::clone(means), machine, lists, made: Instant::now(), number }
    }

    /// Makes the call of one transfer.
    pub(super) fn call(&mut self) -> Call {
        let (number, settings) = self.means.settings();
        if number != self.number {
            (self.machine, self.number) = (self.means.machine(&settings), number);
        }
        if self.made.elapsed() >= FRESH || !Rc::ptr_eq(self.lists.machine(), &self.machine) {
            (self.lists, self.made) = (self.means.new_lists(&self.machine), Instant::now());
        }
        Call::with(self.lists.again(), self.machine.store.dir())
    }
}

impl TransferThreads {
    /// Has no thread yet.
    pub(super) fn new(means: &Arc<EndpointMeans>) -> Self {
        Self(Arc::new(ThreadsInner { means: Arc::clone(means), state: Mutex::default(), came: Condvar::new() }))
    }

    /// Has a transfer made when its turn comes.
    pub(super) fn push(&self, job: TransferJob) {
        let mut state = locked(&self.0.state);
        state.waiting.push_back(job);
        self.0.wake(&mut state);
    }

    /// Has the transfer of `key` take its turn among those that clients wait for.
    pub(super) fn promote(&self, key: Sha256) {
        let mut state = locked(&self.0.state);
        let job = state.waiting.iter_mut().find(|job| job.key == Some(key));
        if let Some(job) = job.filter(|job| job.urgency == Urgency::Ahead) {
            job.urgency = Urgency::Client;
            self.0.wake(&mut state);
        }
    }

    /// Looks whether more may begin, since a mirror turned out to carry more at a time.
    pub(super) fn look(&self) {
        self.0.wake(&mut locked(&self.0.state));
    }
}

impl ThreadsInner {
    /// Has another thread look for a transfer that may begin.
    fn wake(self: &Arc<Self>, state: &mut ThreadsState) {
        if self.next(state).is_none() {
            return;
        }
        if state.idle > 0 {
            self.came.notify_one();
        } else if state.threads < RUNNING {
            let this = Arc::clone(self);
            // Without one more, those that there are take it one by one.
            let started = thread::Builder::new().name("transfer".to_owned()).spawn(move || this.work());
            state.threads += usize::from(started.is_ok());
        }
    }

    /// Returns the place of the transfer whose turn it is.
    fn next(&self, state: &ThreadsState) -> Option<usize> {
        let mut limits = HashMap::new();
        let mut may_begin = |job: &TransferJob| {
            let Some(mirror) = job.mirror.as_ref().filter(|_| !job.cancel.is_cancelled()) else { return true };
            let under_way = state.at.get(&http::host(mirror)).copied().unwrap_or(0);
            let connections = self.means.connections.as_ref();
            let at_once = connections.map_or(connections_of(u32::MAX), |shared| {
                *limits.entry(http::host(mirror)).or_insert_with(|| shared.at_once(mirror))
            });
            // The last place is for what packages wait for, the one before for a client that asks for another file.
            let left_free = match job.urgency {
                Urgency::First => 0,
                Urgency::Client => 1,
                Urgency::Ahead => 2,
            };
            under_way < at_once.saturating_sub(left_free).max(1)
        };
        let of = |urgency: Urgency| move |(_, job): &(usize, &TransferJob)| job.urgency == urgency;
        [Urgency::First, Urgency::Client, Urgency::Ahead].into_iter().find_map(|urgency| {
            let mut jobs = state.waiting.iter().enumerate().filter(of(urgency));
            jobs.find(|(_, job)| may_begin(job)).map(|(place, _)| place)
        })
    }

    fn work(self: &Arc<Self>) {
        let mut thread = TransferThread::new(&self.means);
        let mut state = locked(&self.state);
        loop {
            let Some(place) = self.next(&state) else {
                state.idle += 1;
                state = self.came.wait(state).expect("nothing panics while it is held");
                state.idle -= 1;
                continue;
            };
            let Some(TransferJob { mirror, work, .. }) = state.waiting.remove(place) else { continue };
            let at = mirror.as_ref().map(http::host);
            if let Some(at) = &at {
                *state.at.entry(at.clone()).or_default() += 1;
            }
            self.wake(&mut state);
            drop(state);
            work(&mut thread);
            state = locked(&self.state);
            if let Some(at) = at {
                let is_last = state.at.get_mut(&at).is_some_and(|count| {
                    *count -= 1;
                    *count == 0
                });
                if is_last {
                    state.at.remove(&at);
                }
            }
        }
    }
}
