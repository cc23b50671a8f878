//! Fetches the files that a round takes, several at a time, each with a deadline of its own. The root grows with them
//! every so often: a round that is killed loses little, and Kubo's collector finds nothing that is in no root for long.
//!
//! A file of which nothing came in time may be one that a peer has all the same: Kubo's connections are looked at, and it
//! is tried once more at the end, as long as others come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::RoundTerms;
use super::bring::{Bringer, NotBrought, is_whole};
use super::cost::cost;
use super::listed::ShareEntry;
use super::state::KeptEntry;
use super::work::{KeeperAtWork, interrupted};
use crate::base::cid::Cid;
use crate::base::error::Error;
use crate::engine::hub::Hub;
use crate::net::kubo::deaf::DeafPeers;

/// Files that are on their way at a time.
pub(crate) const AT_ONCE: usize = 6;
/// Files that come, and time that passes, until the root is renewed.
const ROLL_AFTER: usize = 200;
const ROLL_EVERY: Duration = Duration::from_secs(60);
/// Files that are written down as coming at a time.
const WINDOW: usize = 128;
/// Files that did not come, with none in between that did, after which a round looks for no more; and the same of those
/// that are tried once more.
pub(super) const IN_VAIN: usize = 64;
const IN_VAIN_AGAIN: usize = 2 * AT_ONCE;
/// Longest wait for the root once the user has interrupted a round: what came is written down in any case.
const LAST_ROOT: Duration = Duration::from_secs(10);
/// Rounds for which a file that no source had is left out of the choice. One of which nothing came in time is so only once
/// that has happened twice.
const LEFT_OUT: u32 = 3;

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
    /// Files that did not come.
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
    /// Files that came because of another share of this machine: the last of the shares removes them.
    elsewhere: BTreeSet<Cid>,
}

/// A file that is fetched.
type WantedFile = (Cid, ShareEntry);

/// The fetching at work.
struct ShareGathering<'e> {
    queue: VecDeque<&'e WantedFile>,
    /// Files of which nothing came in time; they are tried once more.
    late: Vec<&'e WantedFile>,
    is_again: bool,
    /// Files that did not come since the last one that did.
    in_vain: usize,
    pending: Pending,
    harvest: Harvest,
    at: KeeperProgress,
    /// The reason why no further file is begun.
    over: Option<Error>,
}

/// KeeperTransfers that go on whatever else is awaited.
struct KeeperTransfers<F: Future> {
    work: FuturesUnordered<F>,
    /// The results that came meanwhile.
    ended: VecDeque<F::Output>,
}

impl<F: Future> KeeperTransfers<F> {
    fn new() -> Self {
        Self { work: FuturesUnordered::new(), ended: VecDeque::new() }
    }

    fn count(&self) -> usize {
        self.work.len() + self.ended.len()
    }

    async fn next(&mut self) -> Option<F::Output> {
        match self.ended.pop_front() {
            Some(result) => Some(result),
            None => self.work.next().await,
        }
    }

    /// Takes a step while they go on.
    async fn beside<T>(&mut self, step: impl Future<Output = T>) -> T {
        let mut step = pin!(step);
        loop {
            tokio::select! {
                biased;
                done = &mut step => return done,
                Some(result) = self.work.next(), if !self.work.is_empty() => self.ended.push_back(result),
            }
        }
    }
}

impl KeeperAtWork<'_> {
    /// Fetches these files, in this order, as far as there is room and time.
    ///
    /// # Errors
    /// `Interrupted`, and what ends a round: Kubo takes no more, or this machine failed. What came is kept.
    pub(super) async fn take(
        &mut self,
        files: &[Cid],
        terms: &RoundTerms<'_>,
        told: &mut dyn FnMut(KeeperProgress),
    ) -> Result<Harvest, Error> {
        let hub = Hub::new(2 * AT_ONCE, terms.cancel.child_token());
        let bringer = Bringer::new(self.machine, hub, self.config.mirrors, terms.until);
        let mut wanted: Vec<WantedFile> =
            files.iter().filter_map(|cid| Some((*cid, self.index.files.get(cid)?.clone()))).collect();
        // What hardly comes keeps nothing else from coming.
        wanted.sort_by_key(|(cid, _)| self.state.missing.contains_key(cid) || self.is_without_source(cid));
        let elsewhere = if wanted.is_empty() { BTreeSet::new() } else { self.place.ours_elsewhere() };
        let of_bytes = wanted.iter().map(|(_, entry)| entry.known.size).sum();
        let mut gathering = ShareGathering {
            queue: wanted.iter().collect(),
            late: Vec::new(),
            is_again: false,
            in_vain: 0,
            pending: Pending { elsewhere, ..Pending::default() },
            harvest: Harvest::default(),
            at: KeeperProgress { files: 0, of_files: wanted.len(), bytes: 0, of_bytes },
            over: None,
        };
        let name = &self.config.name;
        let work = self.gather(&bringer, terms.until, &mut gathering, told);
        let ended = terms.cancel.run_until_cancelled(work).await;
        let (is_interrupted, is_failed) = (ended.is_none(), matches!(ended, Some(Err(_))));
        let ShareGathering { queue, late, mut pending, mut harvest, over, .. } = gathering;
        let mut over = ended.unwrap_or_else(|| Err(interrupted(name))).err().or(over);
        late.into_iter().for_each(|(cid, _)| self.leave_out(*cid, true, &mut harvest));
        harvest.left = queue.len() + pending.running.len();
        if (pending.arrived > 0 && !is_failed) || over.is_none() {
            let roll = self.roll_with(&mut pending);
            let rolled = match is_interrupted {
                true => tokio::time::timeout(LAST_ROOT, roll).await.unwrap_or(Ok(())),
                false => terms.cancel.run_until_cancelled(roll).await.unwrap_or_else(|| Err(interrupted(name))),
            };
            over = over.or(rolled.err());
        }
        over.map_or(Ok(harvest), Err)
    }

    async fn gather(
        &mut self,
        bringer: &Bringer,
        until: Instant,
        gathering: &mut ShareGathering<'_>,
        told: &mut dyn FnMut(KeeperProgress),
    ) -> Result<(), Error> {
        let (mut transfers, mut ears, kubo) = (KeeperTransfers::new(), DeafPeers::default(), self.kubo.clone());
        if !gathering.queue.is_empty() {
            // A Kubo that does not answer is told of by the first file.
            let _ = ears.mend(&kubo).await;
        }
        let mut rolled = Instant::now();
        loop {
            let most = if gathering.is_again { IN_VAIN_AGAIN } else { IN_VAIN };
            let goes_on = gathering.over.is_none() && gathering.in_vain < most && Instant::now() < until;
            let is_done = gathering.queue.is_empty() && transfers.count() == 0;
            if goes_on && is_done && !gathering.is_again && gathering.harvest.files > 0 {
                (gathering.is_again, gathering.in_vain) = (true, 0);
                gathering.queue = std::mem::take(&mut gathering.late).into();
            }
            while goes_on
                && transfers.count() < AT_ONCE
                && let Some(wanted) = gathering.queue.pop_front()
            {
                if !self.has_room(wanted, gathering) {
                    continue;
                }
                let ShareGathering { pending, queue, .. } = gathering;
                if !pending.written.contains(&wanted.0) && !pending.found.contains(&wanted.0) {
                    let next = [wanted.0].into_iter().chain(queue.iter().map(|(cid, _)| *cid));
                    transfers.beside(self.write_down(pending, next)).await?;
                }
                // What came of it before counts as what is on its way.
                self.state.leaving.remove(&wanted.0);
                pending.running.insert(wanted.0, cost(wanted.1.known.size));
                transfers.work.push(async move { (wanted, bringer.bring(wanted.0, &wanted.1).await) });
            }
            told(gathering.at);
            let is_open = gathering.pending.arrived > 0 || !self.state.leaving.is_empty();
            if gathering.pending.arrived >= ROLL_AFTER || (is_open && rolled.elapsed() >= ROLL_EVERY) {
                // A file that comes for as long as a pin takes is not late for that.
                transfers.beside(self.roll_with(&mut gathering.pending)).await?;
                rolled = Instant::now();
            }
            let Ok(next) = tokio::time::timeout(ROLL_EVERY, transfers.next()).await else { continue };
            let Some((wanted, result)) = next else { return Ok(()) };
            self.ended(wanted, result, gathering).await;
            if gathering.in_vain > 0 && gathering.in_vain.is_multiple_of(AT_ONCE) {
                let _ = transfers.beside(ears.mend(&kubo)).await;
            }
        }
    }

    /// True if quota and disk have room for one more file.
    fn has_room(&self, (cid, entry): &WantedFile, gathering: &mut ShareGathering<'_>) -> bool {
        let takes = cost(entry.known.size);
        let reserved: u64 = gathering.pending.running.values().sum();
        let part = self.state.leaving.get(cid).copied().unwrap_or(0);
        // The quota may have no room for what the rule chose, where files stay that it let go of.
        if self.used() - part + reserved + takes > self.config.quota {
            return false;
        }
        // Twice: on its way it is in the store as well, maybe on the same disk.
        let is_room = self.disk.room() >= reserved.saturating_add(takes).saturating_mul(2);
        gathering.harvest.without_room += usize::from(!is_room);
        is_room
    }

    /// Books the end of one transfer.
    async fn ended<'e>(
        &mut self,
        wanted: &'e WantedFile,
        result: Result<u64, NotBrought>,
        gathering: &mut ShareGathering<'e>,
    ) {
        let ShareGathering { pending, harvest, at, .. } = gathering;
        let (cid, size) = (wanted.0, wanted.1.known.size);
        let takes = pending.running.remove(&cid).unwrap_or(0);
        match result {
            Ok(sent) => {
                let ours = !pending.found.contains(&cid);
                self.state.files.insert(cid, KeptEntry::in_kubo(size, ours));
                self.state.missing.remove(&cid);
                self.disk.add(takes);
                (harvest.files, harvest.came) = (harvest.files + 1, harvest.came + sent);
                (at.files, at.bytes) = (at.files + 1, at.bytes + size);
                (pending.arrived, gathering.in_vain) = (pending.arrived + 1, 0);
            }
            Err(NotBrought::Missed { error, is_late }) => {
                self.drop_part(cid, takes, pending).await;
                harvest.why.get_or_insert(error);
                let is_late = is_late && !self.is_without_source(&cid);
                match is_late && !gathering.is_again {
                    true => gathering.late.push(wanted),
                    false => self.leave_out(cid, is_late, harvest),
                }
                gathering.in_vain += 1;
            }
            Err(NotBrought::Over(error)) => {
                self.drop_part(cid, takes, pending).await;
                gathering.over.get_or_insert(error);
            }
        }
    }

    /// Counts a file as missed; it is left out of the next choices.
    fn leave_out(&mut self, cid: Cid, is_late: bool, harvest: &mut Harvest) {
        let rounds = if is_late && !self.state.missing.contains_key(&cid) { 1 } else { LEFT_OUT };
        self.state.missing.insert(cid, self.state.round.saturating_add(rounds));
        harvest.missed.push(cid);
    }

    /// True if no peer was found that has it, and no mirror is asked.
    fn is_without_source(&self, cid: &Cid) -> bool {
        !self.config.mirrors && self.state.seen.others(cid) == Some(0)
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

    /// Writes down which files come next, but for those that Kubo has whole already: these are not the keeper's.
    async fn write_down(&self, pending: &mut Pending, next: impl Iterator<Item = Cid>) -> Result<(), Error> {
        for cid in next.take(WINDOW) {
            let Pending { written, elsewhere, .. } = &*pending;
            let is_ours = [written, elsewhere].iter().any(|list| list.contains(&cid));
            let is_ours = is_ours || self.state.leaving.contains_key(&cid);
            match !is_ours && is_whole(&self.kubo, cid).await.map_err(|e| self.failed(&e))? {
                true => pending.found.insert(cid),
                false => pending.written.insert(cid),
            };
        }
        self.place.expect(&pending.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn transfers_go_on_while_another_step_is_awaited_and_none_of_their_results_is_lost() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut transfers = KeeperTransfers::new();
        transfers.work.push(async move {
            tell.send(7).unwrap();
            8
        });
        assert_eq!(transfers.beside(told).await, Ok(7), "the step ends by what the transfer does");
        assert_eq!((transfers.count(), transfers.next().await, transfers.next().await), (1, Some(8), None));
    }
}
