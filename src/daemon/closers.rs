//! Threads for what may block when it is closed: connections with a descriptor in their queue, which only an attacker
//! sends. Others never come here, so that nobody but him waits for them.
//!
//! Who is waited for is interrupted again and again: a socket that lingers is closed by then (net/core/stream.c of Linux,
//! `sk_stream_wait_close`). So even many of them are gone soon; what no signal ends costs its user two threads.

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

/// How often the threads are interrupted.
const TICK: Duration = Duration::from_millis(2);

/// What is closed by dropping it.
type Closed = Box<dyn Any + Send>;

/// The threads, and what waits for them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Closers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: HashMap<u32, VecDeque<Closed>>,
    threads: HashMap<u64, Closer>,
    next_id: u64,
    is_interrupting: bool,
}

struct Closer {
    /// Whose things it closes.
    user: u32,
    /// What it is interrupted by, once it runs. As a number: with some C libraries it is a pointer.
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
            // Where there can be no more threads it waits for one that is there, or for the next who comes.
            if spawned(move || this.run(id)) {
                state.threads.insert(id, Closer { user, name: None });
            }
        }
    }

    /// Closes for the user of this thread, then for those who have none.
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
        // A signal that nobody handles, or that is ignored, interrupts nothing.
        let handled = signal_hook::flag::register(signal_hook::consts::SIGURG, Arc::new(AtomicBool::new(false)));
        loop {
            thread::sleep(TICK);
            let mut state = self.state();
            if state.threads.is_empty() && state.waiting.is_empty() {
                state.is_interrupting = false;
                break;
            }
            // None of them ends while this is locked.
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
    /// What the thread `id` closes next; `None` ends it.
    fn next(&mut self, id: u64, name: usize) -> Option<Closed> {
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
