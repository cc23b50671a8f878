//! Desks: threads that look into lists and small files for the thread of the connections, which never waits for a disk. A
//! question is answered in one go: the entry of a package, its signature, and its bytes where it is small and here.

use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::means::{EndpointMeans, connections_of, locked};
use crate::machine::Machine;
use crate::machine::lists::Lists;

/// Threads. One that a slow disk holds up leaves the others.
const DESKS: usize = 4;

/// Time for which the configuration of pacman is taken as it was.
const FRESH: Duration = Duration::from_secs(1);

/// Longest wait for an answer: what follows it has its time within pacman's patience, too.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longest wait for an answer while a list is compiled anew, as after a `-Sy`.
const COMPILED: Duration = Duration::from_secs(6);

/// Time after which that hangs as well.
const COMPILING: Duration = Duration::from_secs(30);

/// A question, which answers itself.
type DeskQuestion = Box<dyn FnOnce(&Desk) + Send>;

/// The desks of the process. They end with this value.
pub(super) struct Desks {
    questions: mpsc::Sender<DeskQuestion>,
    waiting: Arc<WaitingQuestions>,
    means: Arc<EndpointMeans>,
}

/// The questions that no desk has taken yet, and since when none was taken.
struct WaitingQuestions(Mutex<(usize, Instant)>);

impl Default for WaitingQuestions {
    fn default() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }
}

impl WaitingQuestions {
    fn came(&self) {
        let mut state = locked(&self.0);
        if state.0 == 0 {
            state.1 = Instant::now();
        }
        state.0 += 1;
    }

    fn taken(&self) {
        let mut state = locked(&self.0);
        *state = (state.0.saturating_sub(1), Instant::now());
    }

    /// Returns true where they wait for so long, and not for a list that is compiled since `compiling`.
    fn are_stuck(&self, long: Duration, compiling: Option<Instant>) -> bool {
        if compiling.is_some_and(|since| since.elapsed() < COMPILING) {
            return false;
        }
        let state = locked(&self.0);
        state.0 > 0 && state.1.elapsed() >= long
    }
}

/// One desk, with the lists as they were a moment ago.
pub(super) struct Desk {
    pub(super) means: Arc<EndpointMeans>,
    pub(super) machine: Rc<Machine>,
    pub(super) lists: Lists,
    made: Instant,
    /// Of its settings.
    number: u64,
}

impl Desks {
    /// Starts them. There are as many questions at a time as there are connections.
    ///
    /// # Errors
    /// When this machine allows no more threads.
    pub(super) fn start(means: &Arc<EndpointMeans>) -> std::io::Result<Self> {
        let (questions, next) = mpsc::channel();
        let (next, waiting) = (Arc::new(Mutex::new(next)), Arc::<WaitingQuestions>::default());
        for _ in 0..DESKS {
            let (next, means, waiting) = (Arc::clone(&next), Arc::clone(means), Arc::clone(&waiting));
            thread::Builder::new().name("desk".to_owned()).spawn(move || work(&next, &means, &waiting))?;
        }
        Ok(Self { questions, waiting, means: Arc::clone(means) })
    }

    /// Returns true where questions wait and no desk has taken one for so long: all of them hang on something, like a
    /// disk or a share that is gone.
    pub(super) fn are_stuck(&self, long: Duration) -> bool {
        self.waiting.are_stuck(long, self.means.compiling_since())
    }

    /// Asks a desk; `None` where none answers in time, and at once where all of them hang: each file would cost pacman
    /// that time (test `desks_that_all_hang_cost_one_wait_and_not_one_for_each_file`).
    pub(super) async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Desk) -> T + Send + 'static) -> Option<T> {
        if self.are_stuck(PATIENCE) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let question: DeskQuestion = Box::new(move |desk| {
            // Not for a client that has left.
            if !tell.is_closed() {
                let _ = tell.send(question(desk));
            }
        });
        self.waiting.came();
        self.questions.send(question).ok()?;
        let mut told = told;
        match tokio::time::timeout(PATIENCE, &mut told).await {
            Ok(answer) => answer.ok(),
            // All who ask just after a `-Sy` wait for the same list.
            Err(_) if self.means.compiling_since().is_some() => {
                tokio::time::timeout(COMPILED - PATIENCE, told).await.ok()?.ok()
            }
            Err(_) => None,
        }
    }
}

fn work(next: &Mutex<mpsc::Receiver<DeskQuestion>>, means: &Arc<EndpointMeans>, waiting: &WaitingQuestions) {
    let mut desk: Option<Desk> = None;
    loop {
        let question = locked(next).recv();
        let Ok(question) = question else { return };
        waiting.taken();
        let present = desk.take().filter(Desk::is_fresh).unwrap_or_else(|| Desk::new(means));
        question(&present);
        desk = Some(present);
    }
}

impl Desk {
    /// Makes one, also for another thread than those of the desks.
    pub(super) fn new(means: &Arc<EndpointMeans>) -> Self {
        let (number, settings) = means.settings();
        let machine = means.machine(&settings);
        let lists = means.new_lists(&machine);
        if lists.question_due().is_some() {
            // By one of them.
            let _turn = locked(&means.renewing.turn);
            if let Some(ask) = lists.question_due() {
                ask();
            }
        }
        // Read from what was kept just now.
        let _known = lists.repos();
        means.say(&lists);
        if let (Some(connections), Some(conf)) = (&means.connections, lists.conf()) {
            connections.allow(connections_of(conf.parallel_downloads));
        }
        Self { means: Arc::clone(means), machine, lists, made: Instant::now(), number }
    }

    fn is_fresh(&self) -> bool {
        self.made.elapsed() < FRESH && self.means.settings().0 == self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desks_that_wait_for_a_new_list_do_not_count_as_hung_ones() {
        let waiting = WaitingQuestions::default();
        assert!(!waiting.are_stuck(Duration::ZERO, None), "none waits");
        waiting.came();
        assert!(waiting.are_stuck(Duration::ZERO, None));
        assert!(!waiting.are_stuck(Duration::ZERO, Some(Instant::now())));
        assert!(waiting.are_stuck(Duration::ZERO, Instant::now().checked_sub(COMPILING)), "that hangs as well");
    }
}
