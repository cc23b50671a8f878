//! The files that are to be fetched, in order, and the threads that take them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::engine::hub::Duty;
use crate::engine::want::Want;

/// A file to fetch.
pub(super) struct FileJob {
    pub(super) want: Want,
    pub(super) duty: Duty,
}

/// The files that no thread has taken yet.
pub(super) struct JobQueue {
    queue: Mutex<QueuedJobs>,
    came: Condvar,
    /// Counts changes, for those who do not block.
    changes: watch::Sender<u64>,
    stopped: AtomicBool,
}

struct QueuedJobs {
    jobs: VecDeque<FileJob>,
    /// The threads that take any file. Without one, no file is taken any more.
    workers: usize,
    is_closed: bool,
}

impl JobQueue {
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let queue = Mutex::new(QueuedJobs { jobs: VecDeque::new(), workers, is_closed: false });
        Arc::new(Self { queue, came: Condvar::new(), changes: watch::Sender::new(0), stopped: AtomicBool::new(false) })
    }

    /// Adds a file. Dropped at once where it would not be taken, and so without a result.
    pub(super) fn push(&self, job: FileJob) {
        let mut queue = self.locked();
        if !queue.is_closed {
            queue.jobs.push_back(job);
        }
        drop(queue);
        self.came.notify_one();
        self.changed();
    }

    /// Begins no more files.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for the next file to fetch; `None` at the end.
    pub(super) fn next(&self) -> Option<FileJob> {
        let wait = |queue: &mut QueuedJobs| queue.jobs.is_empty() && !queue.is_closed;
        let mut queue = self.came.wait_while(self.locked(), wait).expect("nothing panics while it is held");
        if self.is_stopped() {
            // Dropped, they are not begun any more.
            queue.jobs.clear();
        }
        queue.jobs.pop_front()
    }

    /// Takes the first file of which this is true, if there is one now.
    pub(super) fn take(&self, fits: impl Fn(&Want) -> bool) -> Option<FileJob> {
        if self.is_stopped() {
            return None;
        }
        let mut queue = self.locked();
        let at = queue.jobs.iter().position(|job| fits(&job.want))?;
        queue.jobs.remove(at)
    }

    /// Returns a count that changes with the queue.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns true once no file comes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.locked().is_closed
    }

    /// Ends the threads, after the files that they have.
    pub(super) fn close(&self) {
        let mut queue = self.locked();
        queue.is_closed = true;
        let left = std::mem::take(&mut queue.jobs);
        drop(queue);
        drop(left);
        self.came.notify_all();
        self.changed();
    }

    /// Counts a thread that takes no more.
    pub(super) fn leave(&self) {
        let mut queue = self.locked();
        queue.workers -= 1;
        let is_last = queue.workers == 0;
        drop(queue);
        if is_last {
            self.close();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn locked(&self) -> MutexGuard<'_, QueuedJobs> {
        self.queue.lock().expect("nothing panics while it is held")
    }
}
