//! Stored files, proven again before they are handed out: on threads of their own, and once.
//!
//! A file whose state is the one in which it was proven is not read again. Proving all that a store may hold takes
//! seconds, and only the requesters of those files wait for that.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::digest::Sha256;
use crate::base::fsx::FileKey;
use crate::store::Store;
use crate::trust::verify::Verified;

/// Files that are read at a time: half of the daemon's reading threads, so that blocks are sent meanwhile.
const READING: usize = 2;

/// States that are remembered. Origin: chosen by us; a store holds fewer files.
const REMEMBERED: usize = 10_000;

/// The proven states of the store's files.
pub(super) struct ProvenStates {
    store: &'static Store,
    states: Mutex<HashMap<Sha256, (FileKey, Verified)>>,
    reading: Arc<Semaphore>,
    /// Each user has one file read at a time.
    of_users: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

impl ProvenStates {
    pub(super) fn of(store: &'static Store) -> Self {
        let reading = Arc::new(Semaphore::new(READING));
        Self { store, states: Mutex::default(), reading, of_users: Mutex::default() }
    }

    /// Returns the file with this sha256 and size, if the store has it. A file that is no longer proven is
    /// removed.
    pub(super) async fn find(self: &Arc<Self>, user: u32, sha256: Sha256, size: u64) -> Option<(File, Verified)> {
        if !self.store.has(sha256, size) {
            return None;
        }
        if let Some(known) = self.known(sha256, size) {
            return Some(known);
        }
        let turn = self.turn(user).await?;
        let this = Arc::clone(self);
        let read = move || {
            // Another request may have had it read meanwhile.
            if let Some(known) = this.known(sha256, size) {
                return Some(known);
            }
            let held = this.store.find(sha256, size)?;
            this.note(&held.kept.file, held.proof);
            drop(turn);
            Some((held.kept.file, held.proof))
        };
        tokio::task::spawn_blocking(read).await.ok()?
    }

    /// Returns the file, if it is in the state in which it was proven.
    fn known(&self, sha256: Sha256, size: u64) -> Option<(File, Verified)> {
        let (known, proof) = self.states().get(&sha256).copied().filter(|(known, _)| known.size == size)?;
        let file = self.store.peek(sha256).ok().filter(|file| FileKey::of(file).is_ok_and(|now| now == known))?;
        Some((file, proof))
    }

    /// Records that this file has just been proven.
    pub(super) fn note(&self, file: &File, proof: Verified) {
        let Ok(state) = FileKey::of(file) else { return };
        let mut states = self.states();
        if states.len() >= REMEMBERED {
            states.clear();
        }
        states.insert(proof.sha256(), (state, proof));
    }

    /// Waits for the right to read a file, held until drop.
    async fn turn(&self, user: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = {
            let mut of_users = self.of_users.lock().expect("nothing panics while it is held");
            of_users.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            Arc::clone(of_users.entry(user).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        let own = own.acquire_owned().await.ok()?;
        Some([own, Arc::clone(&self.reading).acquire_owned().await.ok()?])
    }

    fn states(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, (FileKey, Verified)>> {
        self.states.lock().expect("nothing panics while it is held")
    }

    /// Holds up all reading until the value is dropped.
    #[cfg(test)]
    pub(super) async fn hold_up(&self) -> OwnedSemaphorePermit {
        let all = Arc::clone(&self.reading).acquire_many_owned(READING as u32).await;
        all.expect("it is never closed")
    }
}
