//! Threads for closes that may block: connections with a descriptor in their queue, which only an attacker sends.
//! Other connections are closed elsewhere, so only the attacker waits for these.
//!
//! A blocked close is interrupted again and again: a lingering socket is closed by then (net/core/stream.c of
//! Linux, `sk_stream_wait_close`), so even many of them are gone soon. A close that no signal ends costs its user
//! two threads.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;

/// Most threads that close for one user, and for all. Origin: chosen by us; the unit allows the daemon 64 tasks, and it
/// has about ten without these.
const THREADS_OF_USER: usize = 2;
const THREADS: usize = 24;

/// Interval between interrupts of the threads.
const TICK: Duration = Duration::from_millis(2);

/// A value that is closed by being dropped.
type ClosedOnDrop = Box<dyn Any + Send>;

/// The threads and their queue. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Closers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: HashMap<u32, VecDeque<ClosedOnDrop>>,
    threads: HashMap<u64, Closer>,
    next_id: u64,
    is_interrupting: bool,
}

struct Closer {
    /// The user whose values this thread closes.
    user: u32,
    /// The pthread to interrupt, once the thread runs. As a number: with some C libraries it is a pointer.
    name: Option<usize>,
}

impl Closers {
    /// Drops `what` on a thread of `user`, now or when one is free.
    pub(super) fn close(&self, user: u32, what: impl Any + Send) {
        let mut state = self.state();
        state.waiting.entry(user).or_default().push_back(Box::new(what));
        if !state.is_interrupting {
            let this = self.clone();
            state.is_interrupting = spawned(move || this.interrupt());
        }
        let of_user = state.threads.values().filter(|closer| closer.user == user).count();
        if of_user < THREADS_OF_USER && state.threads.len() < THREADS {
            let (this, id) = (self.clone(), state.next_id);
            state.next_id += 1;
            // If no thread can be started, the value waits for an existing one or for the next.
            if spawned(move || this.run(id)) {
                state.threads.insert(id, Closer { user, name: None });
            }
        }
    }

    /// Closes values of this thread's user, then of users without a thread.
    fn run(&self, id: u64) {
        let name = pthread_self() as usize;
        loop {
            // Its own statement: nothing is closed while the state is locked.
            let next = self.state().next(id, name);
            let Some(next) = next else { return };
            drop(next);
        }
    }

    /// Interrupts the threads for as long as there are any.
    fn interrupt(&self) {
        // A signal without a handler, or an ignored one, interrupts nothing.
        let handled = signal_hook::flag::register(signal_hook::consts::SIGURG, Arc::new(AtomicBool::new(false)));
        loop {
            thread::sleep(TICK);
            let mut state = self.state();
            if state.threads.is_empty() && state.waiting.is_empty() {
                state.is_interrupting = false;
                break;
            }
            // No thread ends while the state is locked.
            for name in state.threads.values().filter_map(|closer| closer.name) {
                let _ = pthread_kill(name as Pthread, Signal::SIGURG);
            }
        }
        if let Ok(handled) = handled {
            signal_hook::low_level::unregister(handled);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

impl State {
    /// Returns the next value for thread `id` to close; `None` ends the thread.
    fn next(&mut self, id: u64, name: usize) -> Option<ClosedOnDrop> {
        let mut user = self.threads.get(&id)?.user;
        if !self.waiting.contains_key(&user) {
            let has_thread = |user: &u32| self.threads.values().any(|closer| closer.user == *user);
            let Some(other) = self.waiting.keys().copied().find(|user| !has_thread(user)) else {
                self.threads.remove(&id);
                return None;
            };
            user = other;
        }
        self.threads.insert(id, Closer { user, name: Some(name) });
        let line = self.waiting.get_mut(&user)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&user);
        }
        next
    }
}

fn spawned(work: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name("closer".to_owned()).stack_size(64 << 10).spawn(work).is_ok()
}
