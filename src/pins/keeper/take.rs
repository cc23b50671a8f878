//! Fetches the files that a round takes, several at a time, each with a deadline of its own. The root grows with them
//! every so often: a round that is killed loses little, and Kubo's collector finds nothing that is in no root for long.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::bring::{Bringer, NotBrought};
use super::disk::cost;
use super::state::KeptEntry;
use super::work::KeeperAtWork;
use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::engine::hub::Hub;

/// Files that are on their way at a time.
pub(crate) const AT_ONCE: usize = 6;
/// Files that come, and time that passes, until the root is renewed.
const ROLL_AFTER: usize = 200;
const ROLL_EVERY: Duration = Duration::from_secs(60);
/// Files that are written down as coming at a time.
const WINDOW: usize = 128;
/// Files without a source, with none in between that came, after which a round looks for no more.
const IN_VAIN: usize = 64;
/// Time after which no further file is begun; the next round goes on.
const ROUND_MOST: Duration = Duration::from_secs(2 * 3600);

/// The progress of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeeperProgress {
    /// Files that came.
    pub(crate) files: usize,
    /// Files that were to come.
    pub(crate) of_files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// The bytes of all.
    pub(crate) of_bytes: u64,
}

/// The result of the fetching.
#[derive(Default, Debug)]
pub(super) struct Harvest {
    /// Files that are kept now.
    pub(super) files: usize,
    /// Bytes that sources sent for them.
    pub(super) came: u64,
    /// Files that no source had.
    pub(super) missed: Vec<Cid>,
    /// Files that found no room on the disk.
    pub(super) without_room: usize,
    /// Files that are left to the next round.
    pub(super) left: usize,
    /// One of the reasons why a file did not come.
    pub(super) why: Option<Error>,
}

/// What is on its way and in no root yet.
#[derive(Default)]
struct Pending {
    /// Files that are on their way, with the bytes that they will take.
    running: BTreeMap<Cid, u64>,
    /// Files that came since the root was renewed.
    arrived: usize,
    /// Files that Kubo had before.
    found: BTreeSet<Cid>,
    /// Files that are written down as coming.
    written: BTreeSet<Cid>,
}

impl KeeperAtWork<'_> {
    /// Fetches these files, in this order, as far as there is room.
    ///
    /// # Errors
    /// `Interrupted`, and what ends a round: Kubo takes no more, or this machine failed. What came is kept.
    pub(super) async fn take(
        &mut self,
        files: &[Cid],
        cancel: &CancellationToken,
        told: &mut dyn FnMut(KeeperProgress),
    ) -> Result<Harvest, Error> {
        let hub = Hub::new(2 * AT_ONCE, cancel.child_token());
        let bringer = &Bringer::new(self.machine, hub, self.config.mirrors);
        let mut entries: Vec<_> =
            files.iter().filter_map(|cid| Some((*cid, self.index.files.get(cid)?.clone()))).collect();
        if !self.config.mirrors {
            // What no other peer was found to hold hardly comes: it keeps nothing else from coming.
            entries.sort_by_key(|(cid, _)| self.state.seen.others(cid) == Some(0));
        }
        let of_bytes = entries.iter().map(|(_, entry)| entry.known.size).sum();
        let (of_files, begun) = (entries.len(), Instant::now());
        let mut queue: VecDeque<_> = entries.iter().collect();
        let (mut harvest, mut pending) = (Harvest::default(), Pending::default());
        let (mut bytes, mut in_vain, mut rolled, mut over) = (0, 0, Instant::now(), None);
        let mut work = FuturesUnordered::new();
        loop {
            let goes_on = over.is_none() && in_vain < IN_VAIN && begun.elapsed() < ROUND_MOST;
            while goes_on
                && work.len() < AT_ONCE
                && let Some((cid, entry)) = queue.pop_front()
            {
                let takes = cost(entry.known.size);
                let reserved: u64 = pending.running.values().sum();
                // The quota may have no room for what the rule chose, where files stay that it let go of.
                if self.used() + reserved + takes > self.config.quota {
                    continue;
                }
                // Twice: on its way it is in the store as well, maybe on the same disk.
                if self.disk.room() < reserved.saturating_add(takes).saturating_mul(2) {
                    harvest.without_room += 1;
                    continue;
                }
                if !pending.written.contains(cid) && !pending.found.contains(cid) {
                    self.write_down(&mut pending, [*cid].into_iter().chain(queue.iter().map(|(cid, _)| *cid))).await?;
                }
                pending.running.insert(*cid, takes);
                work.push(async move { (*cid, entry, bringer.bring(*cid, entry).await) });
            }
            told(KeeperProgress { files: harvest.files, of_files, bytes, of_bytes });
            let is_open = pending.arrived > 0 || !self.state.leaving.is_empty();
            let is_due = pending.arrived >= ROLL_AFTER || (is_open && rolled.elapsed() >= ROLL_EVERY);
            if is_due {
                self.roll_with(&mut pending).await?;
                rolled = Instant::now();
            }
            let next = tokio::time::timeout(ROLL_EVERY, cancel.run_until_cancelled(work.next()));
            let Ok(next) = next.await else { continue };
            let Some(next) = next else {
                over = Some(Error::new(
                    ErrorKind::Interrupted,
                    &self.config.name,
                    "interrupted; what has arrived is kept",
                ));
                break;
            };
            let Some((cid, entry, result)) = next else { break };
            let takes = pending.running.remove(&cid).unwrap_or(0);
            match result {
                Ok(sent) => {
                    let ours = !pending.found.contains(&cid);
                    self.state.files.insert(cid, KeptEntry { size: entry.known.size, ours, gone: None });
                    self.state.missing.remove(&cid);
                    self.state.leaving.remove(&cid);
                    self.disk.add(takes);
                    (harvest.files, harvest.came) = (harvest.files + 1, harvest.came + sent);
                    bytes += entry.known.size;
                    (pending.arrived, in_vain) = (pending.arrived + 1, 0);
                }
                Err(NotBrought::Missed(error)) => {
                    self.drop_part(cid, takes, &pending).await;
                    self.state.missing.insert(cid, self.state.round);
                    harvest.missed.push(cid);
                    harvest.why = harvest.why.or(Some(error));
                    in_vain += 1;
                }
                Err(NotBrought::Over(error)) => {
                    self.drop_part(cid, takes, &pending).await;
                    over = over.or(Some(error));
                }
            }
        }
        harvest.left = queue.len() + pending.running.len();
        drop(work);
        if pending.arrived > 0 || over.is_none() {
            let rolled = self.roll_with(&mut pending).await;
            over = over.or(rolled.err());
        }
        over.map_or(Ok(harvest), Err)
    }

    /// Renews the root, and writes down what is on its way still.
    async fn roll_with(&mut self, pending: &mut Pending) -> Result<(), Error> {
        pending.written = pending.running.keys().filter(|cid| !pending.found.contains(cid)).copied().collect();
        self.roll(&pending.written).await?;
        pending.arrived = 0;
        Ok(())
    }

    /// Has what came of a file in parts leave with the next root: it is in the store, from where a later round goes on.
    async fn drop_part(&mut self, cid: Cid, takes: u64, pending: &Pending) {
        // A Kubo that does not answer may have some of it.
        if !pending.found.contains(&cid) && self.kubo.has_block(cid).await.unwrap_or(true) {
            self.state.leaving.insert(cid, takes);
        }
    }

    /// Writes down which files come next, but for those that Kubo has already: these are not the keeper's.
    async fn write_down(&self, pending: &mut Pending, next: impl Iterator<Item = Cid>) -> Result<(), Error> {
        for cid in next.take(WINDOW) {
            match self.kubo.has_block(cid).await.map_err(|e| self.failed(&e))? {
                true => pending.found.insert(cid),
                false => pending.written.insert(cid),
            };
        }
        self.place.expect(&pending.written)
    }
}
