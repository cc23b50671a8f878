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

/// Longest wait for an answer: less than pacman's patience.
const PATIENCE: Duration = Duration::from_secs(8);

/// A question, which answers itself.
type DeskQuestion = Box<dyn FnOnce(&Desk) + Send>;

/// The desks of the process. They end with this value.
pub(super) struct Desks {
    questions: mpsc::Sender<DeskQuestion>,
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
        let next = Arc::new(Mutex::new(next));
        for _ in 0..DESKS {
            let (next, means) = (Arc::clone(&next), Arc::clone(means));
            thread::Builder::new().name("desk".to_owned()).spawn(move || work(&next, &means))?;
        }
        Ok(Self { questions })
    }

    /// Asks a desk; `None` where none answers in time.
    pub(super) async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Desk) -> T + Send + 'static) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let question: DeskQuestion = Box::new(move |desk| {
            // Not for a client that has left.
            if !tell.is_closed() {
                let _ = tell.send(question(desk));
            }
        });
        self.questions.send(question).ok()?;
        tokio::time::timeout(PATIENCE, told).await.ok()?.ok()
    }
}

fn work(next: &Mutex<mpsc::Receiver<DeskQuestion>>, means: &Arc<EndpointMeans>) {
    let mut desk: Option<Desk> = None;
    loop {
        let question = locked(next).recv();
        let Ok(question) = question else { return };
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
            let _turn = locked(&means.renewing);
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
