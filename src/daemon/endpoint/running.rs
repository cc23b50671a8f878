//! The answers that are being sent: what the page shows of them, and the line of the journal that each one ends with.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use crate::base::name::{FileName, RepoName};
use crate::engine::deliver::Receipt;
use crate::machine::Machine;
use crate::pacman::background;
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

/// All of them, and their sums since the start.
#[derive(Default)]
pub(crate) struct RunningAnswers {
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
    machine: Rc<Machine>,
    /// What came from sources for it.
    pub(super) receipt: Rc<RefCell<Receipt>>,
}

impl RunningAnswers {
    /// Begins an answer.
    pub(super) fn begin(self: &Rc<Self>, machine: &Rc<Machine>, file: SentFile) -> RunningAnswer {
        self.last.set(self.last.get() + 1);
        let (number, file) = (self.last.get(), Rc::new(file));
        self.running.borrow_mut().insert(number, Rc::clone(&file));
        let (all, machine) = (Rc::clone(self), Rc::clone(machine));
        RunningAnswer { all, number, file, machine, receipt: Rc::default() }
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
        let receipt = self.receipt.borrow();
        background::note(&self.machine, By::Endpoint, (Some(repo), name), delivered, *begun, &receipt);
    }
}
