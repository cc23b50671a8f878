//! The threads that make transfers: the engine blocks where it reads, hashes and writes files, so each transfer has one
//! alone. A mirror sees as many at a time as pacman would make connections, and one more for signatures and databases, on
//! which packages wait; where it speaks HTTP/2, as many as go over one connection. The others wait for their turn.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
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
    /// The mirror at which it waits for its turn.
    pub(super) turn: Option<MirrorTurn>,
    /// The client that waits for it.
    pub(super) client: Option<IpAddr>,
    /// Cancelled when no client waits for it any more.
    pub(super) cancel: CancellationToken,
    pub(super) work: Box<dyn FnOnce(&mut TransferThread) + Send>,
}

/// A place in the queue of a mirror.
#[derive(Clone, Debug)]
pub(super) struct MirrorTurn {
    url: Url,
    queue: MirrorQueue,
}

/// The queue of a mirror, by host. Files that neighbours may have wait in one of their own (true): they need the mirror
/// where no neighbour has them, and wait for none of its other files.
type MirrorQueue = (String, bool);

impl MirrorTurn {
    /// Makes one at this mirror, for a file that a neighbour may have, or not.
    pub(super) fn at(url: Url, is_near: bool) -> Self {
        Self { queue: (http::host(&url), is_near), url }
    }
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
    at: HashMap<MirrorQueue, usize>,
    /// The same, by client.
    of: HashMap<IpAddr, usize>,
    /// The time at which one has begun last, by mirror.
    moved: HashMap<MirrorQueue, Instant>,
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

    /// Has the transfer of `key` take its turn among those that clients wait for, as this one does.
    pub(super) fn promote(&self, key: Sha256, client: Option<IpAddr>) {
        let mut state = locked(&self.0.state);
        let Some(job) = state.waiting.iter_mut().find(|job| job.key == Some(key)) else { return };
        if job.client.is_none_or(|first| is_foreign(&first)) {
            job.client = client.or(job.client);
        }
        if job.urgency == Urgency::Ahead {
            job.urgency = Urgency::Client;
            self.0.wake(&mut state);
        }
    }

    /// Returns true where the transfer of `key` waits for its turn at a mirror at which none has begun for so long.
    pub(super) fn is_stuck(&self, key: Sha256, long: Duration) -> bool {
        locked(&self.0.state).is_stuck(key, long)
    }

    /// Looks whether more may begin, since a mirror turned out to carry more at a time.
    pub(super) fn look(&self) {
        self.0.wake(&mut locked(&self.0.state));
    }
}

impl ThreadsInner {
    /// Has another thread look for a transfer that may begin.
    fn wake(self: &Arc<Self>, state: &mut ThreadsState) {
        let is_any_free = state.idle > 0 || state.threads < RUNNING;
        // Else those that end look by themselves: with thousands that wait, a look is long for the connections' thread.
        if !is_any_free || self.next(state).is_none() {
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
        let connections = self.means.connections.as_ref();
        state.next(|mirror| connections.map_or(connections_of(u32::MAX), |shared| shared.at_once(mirror)))
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
            let Some((job, under_way)) = state.take(place) else { continue };
            self.wake(&mut state);
            drop(state);
            (job.work)(&mut thread);
            state = locked(&self.state);
            state.ended(under_way);
        }
    }
}

fn is_foreign(client: &IpAddr) -> bool {
    !client.is_loopback()
}

/// What a transfer counts for while it is under way.
struct UnderWay {
    queue: Option<MirrorQueue>,
    client: Option<IpAddr>,
}

impl ThreadsState {
    /// Returns the place of the transfer whose turn it is, where a mirror may be asked for so many files `at_once`.
    fn next(&self, at_once: impl Fn(&Url) -> usize) -> Option<usize> {
        let mut limits: HashMap<MirrorQueue, usize> = HashMap::new();
        let mut may_begin = |job: &TransferJob| {
            let Some(turn) = job.turn.as_ref().filter(|_| !job.cancel.is_cancelled()) else { return true };
            let known = limits.get(&turn.queue).copied();
            let at_once = known.unwrap_or_else(|| *limits.entry(turn.queue.clone()).or_insert(at_once(&turn.url)));
            // The last place is for what packages wait for, the one before for a client that asks for another file.
            let left_free = match job.urgency {
                Urgency::First => 0,
                Urgency::Client => 1,
                Urgency::Ahead => 2,
            };
            self.at.get(&turn.queue).copied().unwrap_or(0) < at_once.saturating_sub(left_free).max(1)
        };
        // This machine comes first, then who has the fewest under way: large files of one machine hold up no other.
        let rank = |job: &TransferJob| {
            let of_client = job.client.filter(|_| job.urgency == Urgency::Client);
            (of_client.is_some_and(|client| is_foreign(&client)), of_client.map(|client| self.of.get(&client).copied()))
        };
        [Urgency::First, Urgency::Client, Urgency::Ahead].into_iter().find_map(|urgency| {
            let jobs = self.waiting.iter().enumerate().filter(|(_, job)| job.urgency == urgency);
            jobs.filter(|(_, job)| may_begin(job)).min_by_key(|(_, job)| rank(job)).map(|(place, _)| place)
        })
    }

    /// Takes the transfer at this place, which is under way from now on.
    fn take(&mut self, place: usize) -> Option<(TransferJob, UnderWay)> {
        let job = self.waiting.remove(place)?;
        let under_way = UnderWay { queue: job.turn.as_ref().map(|turn| turn.queue.clone()), client: job.client };
        if let Some(queue) = &under_way.queue {
            *self.at.entry(queue.clone()).or_default() += 1;
            if !job.cancel.is_cancelled() {
                self.moved.insert(queue.clone(), Instant::now());
            }
        }
        if let Some(client) = under_way.client {
            *self.of.entry(client).or_default() += 1;
        }
        Some((job, under_way))
    }

    /// Counts a transfer no more.
    fn ended(&mut self, UnderWay { queue, client }: UnderWay) {
        fn less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: Option<K>) {
            if let Some(Entry::Occupied(mut count)) = key.map(|key| counts.entry(key)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        less(&mut self.at, queue);
        less(&mut self.of, client);
    }

    fn is_stuck(&self, key: Sha256, long: Duration) -> bool {
        let job = self.waiting.iter().find(|job| job.key == Some(key));
        let turn = job.and_then(|job| job.turn.as_ref());
        turn.is_some_and(|turn| self.moved.get(&turn.queue).is_some_and(|at| at.elapsed() >= long))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 4] = [127, 0, 0, 1];

    fn job(number: u8, is_near: bool, client: Option<[u8; 4]>) -> TransferJob {
        let url = Url::parse("http://mirror.example/core.db").unwrap();
        TransferJob {
            urgency: if client.is_some() { Urgency::Client } else { Urgency::Ahead },
            key: Some(Sha256([number; 32])),
            turn: Some(MirrorTurn::at(url, is_near)),
            client: client.map(IpAddr::from),
            cancel: CancellationToken::new(),
            work: Box::new(|_| ()),
        }
    }

    /// Has all begin that may, and returns their numbers.
    fn begin(state: &mut ThreadsState, at_once: usize) -> (Vec<u8>, Vec<UnderWay>) {
        let taken = std::iter::from_fn(|| state.take(state.next(|_| at_once)?));
        taken.map(|(job, under_way)| (job.key.unwrap().0[0], under_way)).unzip()
    }

    #[test]
    fn files_that_a_neighbour_may_have_are_no_more_at_a_time_than_others_and_wait_for_none_of_them() {
        let mut state = ThreadsState::default();
        state.waiting.extend((0..9).map(|number| job(number, false, Some(OWN))));
        assert_eq!(begin(&mut state, 4).0, [0, 1, 2]);
        state.waiting.extend((10..20).map(|number| job(number, true, Some(OWN))));
        state.waiting.extend((20..30).map(|number| job(number, true, None)));
        let (begun, mut under_way) = begin(&mut state, 4);
        assert_eq!(begun, [10, 11, 12]);
        state.ended(under_way.pop().unwrap());
        assert_eq!(begin(&mut state, 4).0, [13]);
    }

    #[test]
    fn this_machine_comes_first_and_large_files_of_one_machine_hold_up_no_other() {
        let (greedy, modest) = ([192, 168, 1, 2], [192, 168, 1, 3]);
        let mut state = ThreadsState::default();
        state.waiting.extend((0..9).map(|number| job(number, false, Some(greedy))));
        let (begun, mut under_way) = begin(&mut state, 4);
        assert_eq!(begun, [0, 1, 2]);
        state.waiting.extend([job(10, false, Some(modest)), job(11, false, Some(OWN)), job(12, false, Some(modest))]);
        let mut next = || {
            state.ended(under_way.remove(0));
            let (begun, more) = begin(&mut state, 4);
            under_way.extend(more);
            begun
        };
        assert_eq!([next(), next(), next(), next(), next()], [[11], [10], [3], [4], [12]]);
    }

    #[test]
    fn a_file_is_stuck_where_its_mirror_has_begun_none_for_long() {
        let mut state = ThreadsState::default();
        state.waiting.extend((0..4).map(|number| job(number, false, Some(OWN))));
        let key = Sha256([3; 32]);
        assert!(!state.is_stuck(key, Duration::ZERO), "it may begin");
        begin(&mut state, 3);
        assert!(state.is_stuck(key, Duration::ZERO) && !state.is_stuck(key, Duration::from_secs(3600)));
        assert!(!state.is_stuck(Sha256([0; 32]), Duration::ZERO), "it has begun");
    }
}
