//! The hub of a process: one transfer for one expectation, however many ask for the file, and whatever for.
//!
//! Each who asks gets a [`Ticket`]: with it one waits for the result, sees the progress, and reads leaves that are
//! proven before the whole is there, and nothing else. The first one also gets the [`Duty`] to have the file
//! fetched, which it does itself (`pkgswarm xfer`) or leaves to a thread of its choice ([`gather`](crate::pacman::gather)).
//! A transfer ends with its last ticket: then its token is cancelled, and not one byte more is asked for.
//!
//! Between processes the store's lock remains the only meeting point. A hub holds no bytes of files: what it costs
//! is bounded by the number of its transfers, with one open file for each and one for each listener that is served.
//!
//! ```text
//! let (ticket, duty) = hub.join(Some(sha256))?;
//! if let Some(duty) = duty { … duty.finish(result) }       // by the first who asks
//! let result = ticket.result().await;                      // by each
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::listener::{Listener, StayWish};
use crate::engine::deliver::{Delivery, Obtained};

mod files;

pub use files::{Wanted, deliver, key, obtain};

/// The result of a transfer: a file, or `None` where the call that wanted it has had it meanwhile.
pub(crate) type HubResult = Delivery<Option<Obtained>>;

/// The transfers of a process, by the digest of each whole file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(Arc<HubInner>);

#[derive(Debug)]
struct HubInner {
    most: usize,
    cancel: CancellationToken,
    running: Mutex<RunningTransfers>,
}

/// The transfers that have no result yet. A key is removed and its place given back at the same time, so that no
/// caller is refused for a transfer that is over.
#[derive(Debug)]
struct RunningTransfers {
    /// All, also those without a key.
    count: usize,
    by_key: HashMap<Sha256, Weak<Transfer>>,
}

/// One transfer, held by its tickets. Cancelled when the last one is dropped.
#[derive(Debug)]
struct Transfer {
    progress: watch::Receiver<HubProgress>,
    cancel: CancellationToken,
    result: Mutex<Option<HubResult>>,
    /// The partial file, for reading only.
    file: Mutex<Option<Arc<File>>>,
    wants_leaves: AtomicBool,
    asks_house: AtomicBool,
    /// The strongest wish of its listeners.
    stays: Mutex<StayWish>,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// The progress of a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct HubProgress {
    /// True once sources are asked, where who has the duty says so ([`Duty::begin`]): before that it waits for its turn,
    /// or what an earlier run left is hashed again.
    pub(crate) is_begun: bool,
    /// True while a source has said that it fetches the file itself, and sends it then.
    pub(crate) is_promised: bool,
    /// Bytes that have come, proven or not. Fewer than before, when wrong ones were dropped.
    pub(crate) bytes: u64,
    /// The end of the leaves, from the beginning of the file on, that are proven by the root.
    pub(crate) proven: u64,
    /// True once the root turned out to be another file's: leaves that were read are none of this file.
    pub(crate) is_withdrawn: bool,
    /// True once there is a result.
    pub(crate) is_over: bool,
}

/// The refusal of a transfer: as many as there may be are running.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} files are on their way already")]
pub struct HubFullError(usize);

/// A listener's part in a transfer.
#[derive(Debug)]
pub struct Ticket(Arc<Transfer>);

/// The place of proven bytes in a file that is not whole yet.
#[derive(Clone, Debug)]
pub(crate) struct ProvenPart {
    /// The file, for reading only.
    pub(crate) file: Arc<File>,
    /// Offset of the first byte.
    pub(crate) at: u64,
    /// Number of bytes.
    pub(crate) len: u64,
}

/// The duty to make a transfer. Dropped without a result, it leaves its listeners without one.
#[derive(Debug)]
pub struct Duty {
    hub: Arc<HubInner>,
    key: Option<Sha256>,
    transfer: Weak<Transfer>,
    tell: Arc<watch::Sender<HubProgress>>,
    cancel: CancellationToken,
    has_left: bool,
}

/// The ticket of who has joined, and the duty where it is the first.
pub(crate) type Joined = (Ticket, Option<Duty>);

impl Hub {
    /// Makes a hub for at most so many transfers at a time. All end when `cancel` is cancelled.
    pub fn new(most: usize, cancel: CancellationToken) -> Self {
        let running = Mutex::new(RunningTransfers { count: 0, by_key: HashMap::new() });
        Self(Arc::new(HubInner { most, cancel, running }))
    }

    /// Returns the token that cancels all transfers.
    pub fn cancel(&self) -> &CancellationToken {
        &self.0.cancel
    }

    /// Counts the transfers.
    pub fn count(&self) -> usize {
        self.0.running.lock().expect("nothing panics while it is held").count
    }

    /// Returns true while there is a transfer of `key`.
    pub(crate) fn is_running(&self, key: Sha256) -> bool {
        let running = self.0.running.lock().expect("nothing panics while it is held");
        running.by_key.get(&key).and_then(Weak::upgrade).is_some_and(|transfer| !transfer.cancel.is_cancelled())
    }

    /// Returns true while there is a transfer of `key` that asks the house ([`Ticket::ask_house`]), and nothing of the file
    /// has come.
    pub(crate) fn waits_for_house(&self, key: Sha256) -> bool {
        let running = self.0.running.lock().expect("nothing panics while it is held");
        running.by_key.get(&key).and_then(Weak::upgrade).is_some_and(|transfer| {
            let has_none = transfer.progress.borrow().bytes == 0;
            has_none && transfer.asks_house.load(Ordering::Relaxed) && !transfer.cancel.is_cancelled()
        })
    }

    /// Joins the transfer of `key`. Where there is none, it is to be made by who takes the duty. Nothing is shared
    /// without a key.
    ///
    /// # Errors
    /// When too many are running; trying again helps.
    pub fn join(&self, key: Option<Sha256>) -> Result<Joined, HubFullError> {
        let mut running = self.0.running.lock().expect("nothing panics while it is held");
        let known = key.and_then(|key| running.by_key.get(&key)).and_then(Weak::upgrade);
        // One that is cancelled, and has not ended yet, has no result to wait for.
        if let Some(transfer) = known.filter(|transfer| !transfer.cancel.is_cancelled()) {
            return Ok((Ticket(transfer), None));
        }
        if running.count >= self.0.most {
            return Err(HubFullError(self.0.most));
        }
        running.count += 1;
        let (tell, progress) = watch::channel(HubProgress::default());
        let cancel = self.0.cancel.child_token();
        let transfer = Arc::new(Transfer {
            progress,
            cancel: cancel.clone(),
            result: Mutex::new(None),
            file: Mutex::new(None),
            wants_leaves: AtomicBool::new(false),
            asks_house: AtomicBool::new(false),
            stays: Mutex::default(),
        });
        if let Some(key) = key {
            running.by_key.insert(key, Arc::downgrade(&transfer));
        }
        let (hub, shown) = (Arc::clone(&self.0), Arc::downgrade(&transfer));
        let duty = Duty { hub, key, transfer: shown, tell: Arc::new(tell), cancel, has_left: false };
        Ok((Ticket(transfer), Some(duty)))
    }
}

impl Ticket {
    /// Notes that the endpoints of the house are among its sources.
    pub(crate) fn ask_house(&self) {
        self.0.asks_house.store(true, Ordering::Relaxed);
    }

    /// Waits for the result; `None` where the duty was dropped without one.
    pub async fn result(self) -> Option<HubResult> {
        self.over().await;
        match Arc::try_unwrap(self.0) {
            Ok(mut last) => last.result.get_mut().expect("nothing panics while it is held").take(),
            Err(shared) => shared.result.lock().expect("nothing panics while it is held").as_mut().map(files::share),
        }
    }

    /// Returns the progress, now and later. It keeps no transfer alive.
    pub(crate) fn progress(&self) -> watch::Receiver<HubProgress> {
        self.0.progress.clone()
    }

    /// Opens the partial file, or the whole one, for a listener in another process, which proves each byte itself: it
    /// may read up to [`HubProgress::proven`], and all at the end. `None` before there is one, and where `/proc` is not
    /// mounted.
    pub(crate) fn partial(&self) -> Option<File> {
        let file = self.0.file.lock().expect("nothing panics while it is held").clone();
        file?.try_clone().ok()
    }

    /// Waits for the end of the transfer.
    pub(crate) async fn over(&self) {
        // The sender is only dropped after the end.
        let _ = self.progress().wait_for(|progress| progress.is_over).await;
    }

    /// Has leaves proven as they come, for [`read_proven`](Self::read_proven). It may cost the root block.
    pub(crate) fn want_leaves(&self) {
        self.0.wants_leaves.store(true, Ordering::Relaxed);
    }

    /// Wishes where the file stays. Who comes when it is whole already may come too late.
    pub(crate) fn want_stay(&self, wish: StayWish) {
        let mut strongest = self.0.stays.lock().expect("nothing panics while it is held");
        *strongest = wish.max(*strongest);
    }

    /// Counts the listeners, this one among them.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn listeners(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Reads proven bytes from `at` on, at most `most`, before the whole file is there; none where none are proven yet,
    /// or not any more, and none after the end, when the result has the file. Only that tells for certain whether
    /// they are of it: a listener that hands them on must be able to break off.
    ///
    /// # Errors
    /// When the partial file cannot be read.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn read_proven(&self, at: u64, most: u64) -> io::Result<Vec<u8>> {
        let Some(part) = self.proven_part(at, most) else { return Ok(Vec::new()) };
        let bytes = fsx::read_part(&part.file, part.at, part.len)?;
        Ok(if self.is_still(&part) { bytes } else { Vec::new() })
    }

    /// Returns where to read these bytes, for who reads elsewhere than on this thread; `None` where none are proven.
    /// What was read counts where [`Ticket::is_still`] says so afterwards.
    pub(crate) fn proven_part(&self, at: u64, most: u64) -> Option<ProvenPart> {
        let file = self.0.file.lock().expect("nothing panics while it is held");
        let HubProgress { proven, .. } = *self.0.progress.borrow();
        let file = file.as_ref().filter(|_| at < proven)?;
        Some(ProvenPart { file: Arc::clone(file), at, len: most.min(proven - at) })
    }

    /// Returns true while the bytes of this part are proven ones of the file: nothing is written over them before it is
    /// told that they are not, and another file has another place.
    pub(crate) fn is_still(&self, part: &ProvenPart) -> bool {
        let file = self.0.file.lock().expect("nothing panics while it is held");
        let HubProgress { is_withdrawn, is_over, .. } = *self.0.progress.borrow();
        !is_withdrawn && !is_over && file.as_ref().is_some_and(|file| Arc::ptr_eq(file, &part.file))
    }
}

impl Duty {
    /// Returns the token that is cancelled when no listener is left.
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Tells the listeners that sources are asked from now on.
    pub(crate) fn begin(&self) {
        self.tell.send_modify(|progress| progress.is_begun = true);
    }

    /// Returns the progress so far.
    pub(crate) fn progress(&self) -> HubProgress {
        *self.tell.borrow()
    }

    /// Ends the transfer with its result; returns that where no listener is left.
    pub fn finish(mut self, result: HubResult) -> Option<HubResult> {
        // Under the lock of the map, so that a listener joins before it or begins anew.
        let hub = Arc::clone(&self.hub);
        let mut running = hub.running.lock().expect("nothing panics while it is held");
        self.leave(&mut running);
        let Some(transfer) = self.transfer.upgrade() else { return Some(result) };
        *transfer.result.lock().expect("nothing panics while it is held") = Some(result);
        // Before it is told: a sole listener has it alone then.
        drop(transfer);
        self.tell.send_modify(|progress| progress.is_over = true);
        drop(running);
        None
    }

    /// Lets those who ask from now on begin anew, and gives the place back; the second time does nothing.
    fn leave(&mut self, running: &mut RunningTransfers) {
        if std::mem::replace(&mut self.has_left, true) {
            return;
        }
        running.count -= 1;
        let Some(key) = self.key else { return };
        if running.by_key.get(&key).is_some_and(|known| known.ptr_eq(&self.transfer)) {
            running.by_key.remove(&key);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        let hub = Arc::clone(&self.hub);
        self.leave(&mut hub.running.lock().expect("nothing panics while it is held"));
        self.tell.send_modify(|progress| progress.is_over = true);
    }
}

/// The listener of the engine that passes the progress on to all tickets, and to one listener more.
pub(crate) struct DutyListener<L> {
    transfer: Weak<Transfer>,
    tell: Arc<watch::Sender<HubProgress>>,
    also: L,
}

impl Duty {
    /// Makes the listener for the engine.
    pub(crate) fn listener<L: Listener>(&self, also: L) -> DutyListener<L> {
        DutyListener { transfer: Weak::clone(&self.transfer), tell: Arc::clone(&self.tell), also }
    }
}

impl<L: Listener> Listener for DutyListener<L> {
    fn begins(&self, name: &str, size: Option<u64>) {
        self.also.begins(name, size);
    }

    fn kept(&self, bytes: u64) {
        if bytes > 0 {
            // It is hashed again first, which takes seconds for a large one.
            self.tell.send_modify(|progress| progress.is_begun = false);
        }
        self.also.kept(bytes);
    }

    fn asks(&self) {
        self.tell.send_if_modified(|progress| !std::mem::replace(&mut progress.is_begun, true));
        self.also.asks();
    }

    fn promised(&self, is_promised: bool) {
        self.tell.send_if_modified(|progress| std::mem::replace(&mut progress.is_promised, is_promised) != is_promised);
        self.also.promised(is_promised);
    }

    fn arrived(&self, bytes: u64, from: &str) {
        self.tell.send_modify(|progress| progress.bytes = bytes);
        self.also.arrived(bytes, from);
    }

    fn grows(&self, partial: &File) {
        if let Some(transfer) = self.transfer.upgrade() {
            let mut file = transfer.file.lock().expect("nothing panics while it is held");
            self.tell.send_modify(|progress| progress.proven = 0);
            *file = fsx::reading(partial).ok().map(Arc::new);
        }
        self.also.grows(partial);
    }

    fn wants_leaves(&self) -> bool {
        self.also.wants_leaves()
            || self.transfer.upgrade().is_some_and(|transfer| transfer.wants_leaves.load(Ordering::Relaxed))
    }

    fn stays(&self) -> StayWish {
        let wished =
            self.transfer.upgrade().map(|transfer| *transfer.stays.lock().expect("nothing panics while it is held"));
        wished.unwrap_or_default().max(self.also.stays())
    }

    fn proven(&self, until: u64) {
        self.tell.send_modify(|progress| progress.proven = until);
        self.also.proven(until);
    }

    fn withdrawn(&self) {
        self.tell.send_modify(|progress| progress.is_withdrawn = true);
        self.also.withdrawn();
    }

    fn waits(&self, why: &str) {
        self.also.waits(why);
    }

    fn ends(&self) {
        self.also.ends();
    }
}

#[cfg(test)]
mod tests;
