//! A keeper at work: its state, the pinned root, and what Kubo has. Each step leaves things in an order from which the
//! next round goes on, whenever it is cut short (`a_round_that_is_killed_anywhere_is_continued`).
//!
//! The pinned root counts more than the state: a file in it is here whole, and a file that is in none is not kept.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::bring::{failure, is_whole};
use super::cost::cost;
use super::disk::KuboDisk;
use super::letgo::{self, FILES_AT_ONCE};
use super::listed::ShareIndex;
use super::root::{self, ShareRoot};
use super::share::{ShareFile, ShareView};
use super::state::{KeeperPlace, KeeperState, KeptEntry};
use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::config::KeepConfig;
use crate::machine::Machine;
use crate::net::kubo::{Kubo, KuboError};
use crate::pins::{
    BlockSink, KuboPins, PinContent, PinError, PinMark, ReconcileLimits, Reconciled, WantedPin, reconcile,
};

/// Longest wait for the pin of a root, whose files are all here.
const PINNING: Duration = Duration::from_secs(600);
/// Bounds of one change of roots: there is one wanted, and a few at most are over.
const LIMITS: ReconcileLimits = ReconcileLimits { changes: 100, time: Duration::from_secs(1200) };
/// Rounds in which all that is held is looked at once.
const LOOKED_AT_IN: u32 = 16;
/// Rounds for which what left the index stays where there is room: it may come back, and others may lack it now.
pub(super) const STAY_AFTER: u32 = 8;

/// Returns the name of the pin of a share.
pub(crate) fn pin_name(name: &str) -> String {
    format!("pkgswarm-keep:{name}")
}

/// A keeper with its lock taken.
pub(super) struct KeeperAtWork<'a> {
    pub(super) machine: &'a Rc<Machine>,
    pub(super) config: &'a KeepConfig,
    pub(super) kubo: Kubo,
    pub(super) place: KeeperPlace,
    pub(super) state: KeeperState,
    pub(super) index: ShareIndex,
    pub(super) disk: KuboDisk,
    /// What the user is told, one line each.
    pub(super) notes: Vec<String>,
}

/// What a choice is made from.
pub(super) struct ShareSight {
    files: Vec<ShareFile>,
    held: HashSet<Cid>,
}

impl KeeperAtWork<'_> {
    /// Returns what a choice is made from.
    pub(super) fn sight(&self) -> ShareSight {
        let state = &self.state;
        let is_missing = |cid: &Cid| {
            let missed = state.missing.get(cid).filter(|_| !state.files.contains_key(cid));
            missed.is_some_and(|again| state.round < *again)
        };
        let held = state.files.keys().copied().collect();
        ShareSight { files: self.index.shares(is_missing), held }
    }

    /// Returns it in the form of the rule.
    pub(super) fn view<'s>(&'s self, sight: &'s ShareSight) -> ShareView<'s> {
        let (ShareSight { files, held }, seen) = (sight, &self.state.seen);
        let (key, round) = (self.state.keeper_key(), self.state.round);
        ShareView { key, quota: self.config.quota, files, held, seen, round }
    }

    /// Returns the bytes that the share takes, with what is still to be removed.
    pub(super) fn used(&self) -> u64 {
        let held: u64 = self.state.files.values().map(|file| cost(file.size)).sum();
        held + self.state.leaving.values().sum::<u64>()
    }

    /// Makes state, root and Kubo agree again, after whatever ended the last round. Nothing is removed before the pin is
    /// that of the files of the state: what a pin reaches Kubo does not remove.
    pub(super) async fn recover(&mut self) -> Result<(), Error> {
        let mut roots = self.kubo.pins_named(&pin_name(&self.config.name)).await.map_err(|e| self.failed(&e))?;
        roots.retain(|(_, name)| *name == pin_name(&self.config.name));
        let is_as_left = matches!(roots[..], [(root, _)] if Some(root) == self.state.root);
        let mut is_changed = is_as_left && self.wanted_root().map(|root| root.cid) != self.state.root;
        if !is_as_left {
            is_changed = !roots.is_empty();
            // Unpinned by the last round, which did not come to writing that down.
            let former = self.state.root.filter(|former| !roots.iter().any(|(root, _)| root == former));
            self.state.leaving.extend(former.map(|former| (former, 0)));
            for (root, _) in &roots {
                self.adopt(*root).await?;
            }
            if roots.is_empty() {
                is_changed |= self.drop_absent().await?;
            }
        }
        is_changed |= self.settle_coming().await? | self.drop_damaged().await?;
        if is_changed {
            return self.roll(&BTreeSet::new()).await;
        }
        self.place.write(&self.state)?;
        self.place.expect(&BTreeSet::new())?;
        self.remove_leaving().await
    }

    /// Returns the root of the files of the state; `None` for no files.
    fn wanted_root(&self) -> Option<ShareRoot> {
        (!self.state.files.is_empty()).then(|| ShareRoot::of(self.state.key, &self.state.files))
    }

    /// Takes over the files of a pinned root that the state does not know as such.
    async fn adopt(&mut self, root: Cid) -> Result<(), Error> {
        let read = root::read(&self.kubo, root).await.map_err(|e| self.failed(&e))?;
        // A state that was lost, maybe some failed rounds ago: the keeper is the one that it was.
        let is_new = self.state.root.is_none() && self.state.files.is_empty();
        if let Some(key) = read.key.filter(|_| is_new) {
            self.state.key = key;
        }
        for (cid, KeptEntry { size, ours, .. }) in read.files {
            let size = self.index.files.get(&cid).map_or(size, |entry| entry.known.size);
            if !self.state.leaving.contains_key(&cid) {
                self.state.files.entry(cid).or_insert(KeptEntry::in_kubo(size, ours));
            }
        }
        Ok(())
    }

    /// Drops files that are not whole any more from the share, after another program removed its pin.
    async fn drop_absent(&mut self) -> Result<bool, Error> {
        let before = self.state.files.len();
        for cid in self.state.files.keys().copied().collect::<Vec<_>>() {
            if !is_whole(&self.kubo, cid).await.map_err(|e| self.failed(&e))? {
                self.drop_file(cid);
            }
        }
        let left = self.state.files.len();
        if before > 0 {
            self.notes.push(format!("its pin was gone from Kubo; {left} of {before} files were still there"));
        }
        Ok(before > 0)
    }

    /// Looks at a part of what is held, another one each round, and drops what lost a block: it comes again.
    async fn drop_damaged(&mut self) -> Result<bool, Error> {
        let turn = |cid: &Cid| u32::from(cid.digest().0[0]) % LOOKED_AT_IN == self.state.round % LOOKED_AT_IN;
        let due: Vec<Cid> = self.state.files.keys().copied().filter(turn).collect();
        let mut damaged = 0;
        for cid in due {
            if !is_whole(&self.kubo, cid).await.map_err(|e| self.failed(&e))? {
                self.drop_file(cid);
                damaged += 1;
            }
        }
        if damaged > 0 {
            self.notes.push(format!("{damaged} files had lost blocks in Kubo, and come again"));
        }
        Ok(damaged > 0)
    }

    /// Takes a file out of the share; what came because of the keeper is to go from the disk.
    fn drop_file(&mut self, cid: Cid) -> bool {
        let file = self.state.files.remove(&cid);
        // What was there before the keeper stays for the user.
        if let Some(KeptEntry { size, ours: true, .. }) = file {
            self.state.leaving.insert(cid, cost(size));
        }
        file.is_some()
    }

    /// Takes over what came just before the last round was cut short, and lets go of what came in parts.
    async fn settle_coming(&mut self) -> Result<bool, Error> {
        let mut is_changed = false;
        for cid in self.place.coming() {
            if self.state.files.contains_key(&cid) || !self.kubo.has_block(cid).await.map_err(|e| self.failed(&e))? {
                continue;
            }
            let size = self.index.files.get(&cid).map(|entry| entry.known.size);
            match size {
                Some(size) if is_whole(&self.kubo, cid).await.map_err(|e| self.failed(&e))? => {
                    self.state.files.insert(cid, KeptEntry::in_kubo(size, true));
                    self.state.leaving.remove(&cid);
                    is_changed = true;
                }
                _ => drop(self.state.leaving.insert(cid, cost(size.unwrap_or(0)))),
            }
        }
        Ok(is_changed)
    }

    /// Pins the root of the files of the state, and unpins the former one; what is in neither comes last. What is still
    /// `coming` stays written down. Files that are not here whole after all leave the share first: they would make the
    /// pin wait for the network.
    pub(super) async fn roll(&mut self, coming: &BTreeSet<Cid>) -> Result<(), Error> {
        if self.pin().await?.is_none() {
            let before = self.state.files.len();
            self.drop_absent().await?;
            if self.state.files.len() == before {
                return Err(self.refused("did not pin the share, and has all of its files"));
            }
            self.pin().await?.ok_or_else(|| self.refused("did not pin the share"))?;
        }
        // In this order: what came in part is in one of the two at any moment.
        self.place.write(&self.state)?;
        self.place.expect(coming)?;
        self.remove_leaving().await
    }

    /// Makes the pin that of the present files; `None` where the daemon did not do so in time.
    async fn pin(&mut self) -> Result<Option<()>, Error> {
        let mark = PinMark::exactly(pin_name(&self.config.name));
        let root = self.wanted_root();
        let cid = root.as_ref().map(|root| root.cid);
        if let Some(cid) = cid.filter(|cid| Some(*cid) != self.state.root) {
            // Its nodes are in Kubo before the pin is: until then they are known as ours.
            self.state.leaving.insert(cid, 0);
            self.place.write(&self.state)?;
        }
        self.state.root = cid;
        let wanted: Vec<WantedPin> = root.map(wanted_pin).into_iter().collect();
        let target = KuboPins { kubo: &self.kubo, ledger: None, patience: PINNING };
        let done = reconcile(&wanted, &target, &mark, &LIMITS).await.map_err(|e| self.pin_failed(e))?;
        let Reconciled { failed, removed, left, .. } = done;
        self.state.leaving.extend(removed.iter().map(|pin| (pin.cid, 0)));
        match failed.into_iter().next() {
            None if left == 0 => {
                cid.map(|cid| self.state.leaving.remove(&cid));
                Ok(Some(()))
            }
            None => Err(self.refused("did not change the pin of the share in time")),
            Some(failure) if failure.error.is_of_target() => Err(self.pin_failed(failure.error)),
            Some(_) => Ok(None),
        }
    }

    /// Lets go of these files: out of the root first, then off the disk.
    pub(super) async fn let_go(&mut self, files: &[Cid]) -> Result<(), Error> {
        let left = files.iter().filter(|cid| self.drop_file(**cid)).count();
        if left == 0 {
            return Ok(());
        }
        // Written before the pin goes: blocks that no pin holds are known as ours until they are gone.
        self.place.write(&self.state)?;
        self.roll(&BTreeSet::new()).await
    }

    /// Removes the blocks of what left.
    async fn remove_leaving(&mut self) -> Result<(), Error> {
        let root = self.wanted_root();
        let nodes = root.iter().flat_map(|root| &root.blocks).map(|block| block.cid).collect();
        while !self.state.leaving.is_empty() {
            let due: Vec<Cid> = self.state.leaving.keys().copied().take(FILES_AT_ONCE).collect();
            let gone = letgo::remove(&self.kubo, &due, &nodes).await.map_err(|e| self.pin_failed(e))?;
            gone.iter().for_each(|cid| _ = self.state.leaving.remove(cid));
            self.place.write(&self.state)?;
        }
        self.disk.look_again(&self.kubo).await.map_err(|e| self.failed(&e))
    }

    /// Lets the files go that are needed least, until the disk has its room and the quota is kept.
    pub(super) async fn make_room(&mut self) -> Result<(), Error> {
        let lacking = self.disk.lacking();
        let over = self.used().saturating_sub(self.config.quota);
        let need = lacking.max(over);
        if need == 0 || self.state.files.is_empty() {
            return Ok(());
        }
        // What the user has anyway frees no room on the disk.
        let go = self.going(need, |file| file.ours || over > 0).await;
        if lacking > 0 && !go.is_empty() {
            let limit = self.disk.limit(bytes_of(&self.state.files), self.used());
            let left = go.len();
            self.notes
                .push(format!("Kubo's disk is nearly full: {left} files were let go, those needed least; {limit}"));
        }
        self.let_go(&go).await
    }

    /// Notes what left the index, and says so where that is much at once: an edition may lack a repository by mistake.
    pub(super) fn mark_gone(&mut self) {
        let (mut files, mut bytes) = (0, 0);
        for (cid, file) in &mut self.state.files {
            match (self.index.files.contains_key(cid), file.gone) {
                (true, _) => file.gone = None,
                (false, None) => {
                    file.gone = Some(self.state.round);
                    (files, bytes) = (files + 1, bytes + cost(file.size));
                }
                // A list that names what is not there is a mistake, of the user's or the publisher's: nothing grows old by it.
                (false, Some(_)) if !self.index.unlisted.is_empty() => file.gone = Some(self.state.round),
                (false, Some(_)) => {}
            }
        }
        if bytes > bytes_of(&self.state.files) / 4 {
            let all = self.state.files.len();
            self.notes.push(format!(
                "{files} of {all} files left the index at once; they stay for {STAY_AFTER} rounds, as far as there is room"
            ));
        }
    }

    /// Returns those of `leave` that go before `take` comes: of what left the index, what did so long ago, and as much
    /// as makes room.
    pub(super) fn due(&self, leave: &[Cid], take: &[Cid]) -> Vec<Cid> {
        let (mut gone, mut due): (Vec<Cid>, Vec<Cid>) =
            leave.iter().partition(|cid| self.state.files.get(cid).is_some_and(|file| file.gone.is_some()));
        let since = |cid: &Cid| self.state.files[cid].gone.unwrap_or(0);
        gone.sort_by_key(since);
        let coming: u64 =
            take.iter().filter_map(|cid| self.index.files.get(cid)).map(|entry| cost(entry.known.size)).sum();
        let leaving: u64 = due.iter().filter_map(|cid| self.state.files.get(cid)).map(|file| cost(file.size)).sum();
        let over = (self.used() + coming).saturating_sub(leaving).saturating_sub(self.config.quota);
        let mut need = over.max(u64::saturating_sub(coming, self.disk.room().saturating_add(leaving)));
        for cid in gone {
            if need > 0 || self.state.round.saturating_sub(since(&cid)) >= STAY_AFTER {
                need = need.saturating_sub(cost(self.state.files[&cid].size));
                due.push(cid);
            }
        }
        due
    }

    /// Returns the error of a round that a call of Kubo ended.
    pub(super) fn failed(&self, fault: &KuboError) -> Error {
        failure(&self.kubo, fault)
    }

    fn pin_failed(&self, error: PinError) -> Error {
        match error {
            PinError::Kubo(fault) => self.failed(&fault),
            other => Error::new(ErrorKind::NoSource, "kubo", other),
        }
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(ErrorKind::NoSource, "kubo", format!("{what} ({})", self.config.name)).hint("pkgswarm doctor")
    }
}

/// Returns the error of a round of this share that the user ended.
pub(super) fn interrupted(name: &str) -> Error {
    Error::new(ErrorKind::Interrupted, name, "interrupted; what has arrived is kept")
}

/// Returns the wish for a root, with its own blocks.
pub(super) fn wanted_pin(root: ShareRoot) -> WantedPin {
    let ShareRoot { cid, blocks } = root;
    let size = blocks.iter().map(|block| block.bytes.len() as u64).sum();
    let write = move |put: &mut BlockSink| blocks.iter().try_for_each(|block| put(block.cid, &block.bytes));
    let content = PinContent { size, is_claimed: false, write: Arc::new(write) };
    WantedPin { cid, label: String::new(), content: Some(content) }
}

/// Returns the bytes of these files on a disk.
pub(crate) fn bytes_of(files: &BTreeMap<Cid, KeptEntry>) -> u64 {
    files.values().map(KeptEntry::cost).sum()
}
