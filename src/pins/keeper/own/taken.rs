//! Fetches the files that a round takes into the store, several at a time, each with a deadline of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::StoreKeeper;
use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::engine::deliver::Obtained;
use crate::engine::hub::Hub;
use crate::pins::keeper::RoundTerms;
use crate::pins::keeper::bring::{Bringer, BroughtFile, NotBrought};
use crate::pins::keeper::cost::cost_in_store;
use crate::pins::keeper::listed::ShareEntry;
use crate::pins::keeper::state::KeptEntry;
use crate::pins::keeper::take::{AT_ONCE, Harvest, IN_VAIN, KeeperProgress};
use crate::trust::verify::Accepted;

/// Time that passes until the state is written again.
const WRITE_EVERY: Duration = Duration::from_secs(60);

impl StoreKeeper<'_> {
    /// Fetches these files, in this order, as far as there is room.
    ///
    /// # Errors
    /// `Interrupted`, and what ends a round: this machine failed. What came is kept.
    pub(super) async fn take(
        &mut self,
        files: &[Cid],
        terms: &RoundTerms<'_>,
        told: &mut dyn FnMut(KeeperProgress),
    ) -> Result<Harvest, Error> {
        let hub = Hub::new(2 * AT_ONCE, terms.cancel.child_token());
        let bringer = &Bringer::new(self.machine, hub, self.config.mirrors, terms.until);
        let listed = |cid: &Cid| Some((*cid, self.index.files.get(cid)?.clone()));
        let entries: Vec<(Cid, ShareEntry)> = files.iter().filter_map(listed).collect();
        let (of_files, of_bytes) = (entries.len(), entries.iter().map(|(_, entry)| entry.known.size).sum());
        let (mut harvest, mut running, mut bytes, mut in_vain) = (Harvest::default(), BTreeMap::new(), 0, 0);
        let (mut queue, mut written, mut over) = (entries.iter(), Instant::now(), None);
        let mut work = FuturesUnordered::new();
        loop {
            let goes_on = over.is_none() && in_vain < IN_VAIN && Instant::now() < terms.until;
            while goes_on
                && work.len() < AT_ONCE
                && let Some((cid, entry)) = queue.next()
            {
                let takes = cost_in_store(entry.known.size);
                let reserved: u64 = running.values().sum();
                if self.used() + reserved + takes > self.config.quota {
                    continue;
                }
                // What is on its way may be on the disk already: that errs on the safe side.
                if self.disk().room() < reserved + takes {
                    harvest.without_room += 1;
                    continue;
                }
                running.insert(*cid, takes);
                work.push(async move { (*cid, entry, bringer.delivered(entry).await) });
            }
            told(KeeperProgress { files: harvest.files, of_files, bytes, of_bytes });
            let Some(next) = terms.cancel.run_until_cancelled(work.next()).await else {
                let why = "interrupted; what has arrived is kept";
                over = Some(Error::new(ErrorKind::Interrupted, &self.config.name, why));
                break;
            };
            let Some((cid, entry, result)) = next else { break };
            running.remove(&cid);
            let kept = match result {
                Ok(BroughtFile { obtained, sent }) => {
                    self.keep(cid, entry, obtained).map(|()| sent).map_err(NotBrought::Over)
                }
                Err(why) => Err(why),
            };
            match kept {
                Ok(sent) => {
                    (harvest.files, harvest.came) = (harvest.files + 1, harvest.came + sent);
                    (bytes, in_vain) = (bytes + entry.known.size, 0);
                }
                Err(NotBrought::Missed { error, .. }) => {
                    self.state.missing.insert(cid, self.state.round);
                    harvest.missed.push(cid);
                    harvest.why = harvest.why.or(Some(error));
                    in_vain += 1;
                }
                Err(NotBrought::Over(error)) => over = over.or(Some(error)),
            }
            if written.elapsed() >= WRITE_EVERY {
                self.place.write(&self.state)?;
                written = Instant::now();
            }
        }
        harvest.left = queue.len() + running.len();
        drop(work);
        self.place.write(&self.state)?;
        over.map_or(Ok(harvest), Err)
    }

    /// Puts a file into the share.
    fn keep(&mut self, cid: Cid, entry: &ShareEntry, obtained: Obtained) -> Result<(), Error> {
        let Accepted::Proven(proof) = obtained.accepted else {
            return Err(Error::local(&entry.name, "came without a proof"));
        };
        let sha256 = proof.sha256();
        let kept = |ours| KeptEntry { sha256: Some(sha256), ..KeptEntry::in_kubo(proof.size(), ours) };
        if obtained.loose.is_none() {
            // The user's own: written down as such before it moves. If it does not, the next round drops it.
            self.state.files.insert(cid, kept(false));
            self.place.write(&self.state)?;
            if self.share.take_over(sha256).map_err(|e| self.local(e))? {
                self.state.missing.remove(&cid);
                return Ok(());
            }
            self.state.files.remove(&cid);
        }
        let Obtained { file, from, loose, .. } = obtained;
        let own = loose.and_then(crate::engine::deliver::TempFile::into_name);
        self.share.put(&file, own, (&entry.name, &from), &proof).map_err(|e| self.local(e))?;
        self.state.files.insert(cid, kept(true));
        self.state.missing.remove(&cid);
        Ok(())
    }
}
