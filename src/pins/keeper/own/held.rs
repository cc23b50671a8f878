//! What is kept in the store, and what leaves it: the directory and the state are made to agree, room is made,
//! files go.

use std::collections::{BTreeMap, HashMap};

use super::StoreKeeper;
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::pins::keeper::disk::StoreDisk;
use crate::pins::keeper::share;
use crate::pins::keeper::state::KeptEntry;
use crate::pins::keeper::work::STAY_AFTER;
use crate::trust::verify;

/// Rounds in which all that is kept is read and proven once.
const PROVEN_IN: u32 = 64;

impl StoreKeeper<'_> {
    /// Makes state and directory agree, after whatever ended the last round.
    pub(super) fn recover(&mut self) -> Result<(), Error> {
        let here = self.share.files().map_err(|e| self.local(e))?;
        let before = self.state.files.len();
        self.state.files.retain(|_, file| file.sha256.is_some_and(|sha256| here.get(&sha256) == Some(&file.size)));
        let lost = before - self.state.files.len();
        self.adopt(here)?;
        let damaged = self.drop_damaged()?;
        if lost > 0 {
            self.notes.push(format!("{lost} of {before} files were no longer in the store"));
        }
        if damaged > 0 {
            self.notes.push(format!("{damaged} files were damaged on the disk, and come again"));
        }
        self.place.write(&self.state)
    }

    /// Takes over what came just before the last round was cut short. What neither the state nor the index
    /// knows becomes an ordinary file of the store.
    fn adopt(&mut self, here: BTreeMap<Sha256, u64>) -> Result<(), Error> {
        let known: HashMap<Sha256, Cid> =
            self.state.files.iter().filter_map(|(cid, file)| Some((file.sha256?, *cid))).collect();
        let listed: HashMap<Sha256, (Cid, u64)> =
            self.index.files.iter().map(|(cid, entry)| (entry.known.sha256, (*cid, entry.known.size))).collect();
        for (sha256, size) in here.into_iter().filter(|(sha256, _)| !known.contains_key(sha256)) {
            match listed.get(&sha256) {
                Some((cid, expected)) if *expected == size => {
                    let entry = KeptEntry { sha256: Some(sha256), ..KeptEntry::in_kubo(size, true) };
                    self.state.files.insert(*cid, entry);
                }
                Some(_) => self.share.remove(sha256).map_err(|e| self.local(e))?,
                None => self.share.give_back(sha256).map_err(|e| self.local(e))?,
            }
        }
        Ok(())
    }

    /// Reads a part of what is kept, another one each round, and drops what is damaged.
    fn drop_damaged(&mut self) -> Result<usize, Error> {
        let turn = self.state.round % PROVEN_IN;
        let due = |cid: &Cid| u32::from(cid.digest().0[0]) % PROVEN_IN == turn;
        let due: Vec<(Cid, KeptEntry)> =
            self.state.files.iter().filter(|(cid, _)| due(cid)).map(|(cid, file)| (*cid, *file)).collect();
        let mut damaged = 0;
        for (cid, file) in due {
            let Some(sha256) = file.sha256 else { continue };
            let read = self.share.open(sha256).map_err(|e| self.local(e))?;
            if verify::prove(&read, sha256, file.size).is_err() {
                self.share.remove(sha256).map_err(|e| self.local(e))?;
                self.state.files.remove(&cid);
                damaged += 1;
            }
        }
        Ok(damaged)
    }

    /// Notes what left the index.
    pub(super) fn mark_gone(&mut self) {
        for (cid, file) in &mut self.state.files {
            let round = file.gone.unwrap_or(self.state.round);
            file.gone = (!self.index.files.contains_key(cid)).then_some(round);
        }
    }

    /// Returns those of `leave` that go before `take` comes: of what left the index, what did so long ago, and
    /// as much as makes room.
    pub(super) fn due(&self, leave: &[Cid], take: &[Cid]) -> Vec<Cid> {
        let gone_since = |cid: &&Cid| self.state.files.get(cid).and_then(|file| file.gone);
        let (mut gone, mut due): (Vec<Cid>, Vec<Cid>) = leave.iter().partition(|cid| gone_since(cid).is_some());
        gone.sort_by_key(|cid| gone_since(&cid));
        let takes = |cid: &Cid| self.state.files.get(cid).map_or(0, KeptEntry::cost);
        let coming: u64 = self.files(|cid| !take.contains(cid)).iter().map(|file| file.size).sum();
        let leaving: u64 = due.iter().map(takes).sum();
        let over = (self.used() + coming).saturating_sub(leaving).saturating_sub(self.config.quota);
        let mut need = over.max(coming.saturating_sub(self.disk().room().saturating_add(leaving)));
        for cid in gone {
            let age = self.state.round.saturating_sub(gone_since(&&cid).unwrap_or(0));
            if need > 0 || age >= STAY_AFTER {
                need = need.saturating_sub(takes(&cid));
                due.push(cid);
            }
        }
        due
    }

    /// Lets the files go that are needed least, until the disk has its room and the quota is kept.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        let lacking = self.disk().lacking();
        let need = lacking.max(self.used().saturating_sub(self.config.quota));
        if need == 0 {
            return Ok(());
        }
        let mut order = self.viewed(share::least_needed);
        // An index that is not in force lists none of them.
        let known: std::collections::HashSet<Cid> = order.iter().copied().collect();
        order.extend(self.state.files.keys().filter(|cid| !known.contains(cid)));
        let (mut freed, mut go) = (0, Vec::new());
        for cid in order {
            if freed >= need {
                break;
            }
            if let Some(file) = self.state.files.get(&cid) {
                freed += file.cost();
                go.push(cid);
            }
        }
        if lacking > 0 && !go.is_empty() {
            let files = go.len();
            self.notes
                .push(format!("the disk of the store is nearly full: {files} files were let go, those needed least"));
        }
        self.let_go(&go)
    }

    /// Lets go of these files: those that the user had here before stay in the store, as ordinary ones.
    pub(super) fn let_go(&mut self, files: &[Cid]) -> Result<(), Error> {
        for cid in files {
            let Some(KeptEntry { sha256: Some(sha256), ours, .. }) = self.state.files.get(cid).copied() else {
                continue;
            };
            // Before the state: what is in the directory and not in the state would be taken for the keeper's own.
            let gone = if ours { self.share.remove(sha256) } else { self.share.give_back(sha256) };
            gone.map_err(|e| self.local(e))?;
            self.state.files.remove(cid);
        }
        self.place.write(&self.state)
    }

    /// Returns the disk of the store.
    pub(super) fn disk(&self) -> StoreDisk<'_> {
        StoreDisk { at: self.share.dir(), min_free: self.config.min_free }
    }
}
