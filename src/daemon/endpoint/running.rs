//! The answers that are being sent: what the page shows of them, and the line of the journal that each one ends with.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::name::{FileName, RepoName};
use crate::engine::deliver::Receipt;
use crate::pacman::background;
use crate::store::Store;
use crate::store::journal::By;

/// An answer with a file.
#[derive(Debug)]
pub(crate) struct SentFile {
    /// Its name.
    pub(crate) name: FileName,
    /// Its repository.
    pub(crate) repo: RepoName,
    /// Bytes to send: of the part that the client wants.
    pub(crate) total: u64,
    /// Bytes sent so far.
    pub(crate) sent: Cell<u64>,
    /// The client.
    pub(crate) client: IpAddr,
    /// The time of its request.
    pub(crate) begun: Instant,
}

/// Lines of the journal that wait to be written; more are left out.
const RECORDS: usize = 4096;

/// Longest wait for them at the end.
const LAST: Duration = Duration::from_secs(2);

/// All of them, and their sums since the start.
#[derive(Default)]
pub(crate) struct RunningAnswers {
    records: OnceCell<AnswerRecords>,
    last: Cell<u64>,
    running: RefCell<BTreeMap<u64, Rc<SentFile>>>,
    files: Cell<u64>,
    bytes: Cell<u64>,
}

/// One of them, until it is dropped.
pub(super) struct RunningAnswer {
    all: Rc<RunningAnswers>,
    number: u64,
    file: Rc<SentFile>,
    /// What came from sources for it.
    pub(super) receipt: Rc<RefCell<Receipt>>,
}

impl RunningAnswers {
    /// Begins an answer.
    pub(super) fn begin(self: &Rc<Self>, file: SentFile) -> RunningAnswer {
        self.last.set(self.last.get() + 1);
        let (number, file) = (self.last.get(), Rc::new(file));
        self.running.borrow_mut().insert(number, Rc::clone(&file));
        RunningAnswer { all: Rc::clone(self), number, file, receipt: Rc::default() }
    }

    /// Has a line of the journal of `store` written for each answer from now on.
    pub(super) fn record(&self, records: AnswerRecords) {
        let _ = self.records.set(records);
    }

    /// Has a line written for what sources sent of a file for which no answer is given yet.
    pub(super) fn received(&self, (repo, name): (RepoName, FileName), begun: Instant, receipt: Receipt) {
        if let Some(records) = self.records.get() {
            let _ = records.tell.try_send(AnswerRecord { name, repo, delivered: None, begun, receipt });
        }
    }

    /// Counts the answers that are running.
    pub(super) fn count(&self) -> usize {
        self.running.borrow().len()
    }

    /// Counts those that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.files.get()
    }

    /// Lists those that are running, in the order in which they began.
    pub(crate) fn list(&self) -> Vec<Rc<SentFile>> {
        self.running.borrow().values().map(Rc::clone).collect()
    }

    /// Counts the files and bytes of all answers that have ended.
    pub(crate) fn sums(&self) -> (u64, u64) {
        (self.files.get(), self.bytes.get())
    }
}

/// What the journal is told of an answer.
struct AnswerRecord {
    name: FileName,
    repo: RepoName,
    delivered: Option<u64>,
    begun: Instant,
    receipt: Receipt,
}

/// The thread that writes the journal: that may wait for a disk.
pub(super) struct AnswerRecords {
    tell: mpsc::SyncSender<AnswerRecord>,
    written: mpsc::Receiver<()>,
}

impl AnswerRecords {
    /// Starts it.
    ///
    /// # Errors
    /// When this machine allows no more threads.
    pub(super) fn start(store: &Arc<Store>) -> io::Result<Self> {
        let (tell, told) = mpsc::sync_channel::<AnswerRecord>(RECORDS);
        let (done, written) = mpsc::channel();
        let store = Arc::clone(store);
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            for AnswerRecord { name, repo, delivered, begun, receipt } in told {
                background::note_in(&store, By::Endpoint, (Some(&repo), &name), delivered, begun, &receipt);
            }
            drop(done);
        })?;
        Ok(Self { tell, written })
    }

    /// Waits until all are written, within two seconds.
    fn end(self) {
        drop(self.tell);
        let _ended = self.written.recv_timeout(LAST);
    }
}

impl Drop for RunningAnswers {
    fn drop(&mut self) {
        if let Some(records) = self.records.take() {
            records.end();
        }
    }
}

impl RunningAnswer {
    /// Adds bytes that were handed to the connection.
    pub(super) fn sent(&self, bytes: u64) {
        self.file.sent.set(self.file.sent.get() + bytes);
    }
}

impl Drop for RunningAnswer {
    fn drop(&mut self) {
        self.all.running.borrow_mut().remove(&self.number);
        let SentFile { name, repo, sent, begun, .. } = &*self.file;
        self.all.files.set(self.all.files.get() + 1);
        self.all.bytes.set(self.all.bytes.get() + sent.get());
        let delivered = Some(sent.get()).filter(|sent| *sent > 0);
        let receipt = self.receipt.take();
        let record = AnswerRecord { name: name.clone(), repo: repo.clone(), delivered, begun: *begun, receipt };
        if let Some(records) = self.all.records.get() {
            // Statistics must not hold up a delivery.
            let _ = records.tell.try_send(record);
        }
    }
}
