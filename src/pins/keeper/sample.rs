//! Asks the network who else holds files: of a sample, by which the rule knows what is scarce, and of files that are about
//! to leave.

use std::collections::HashSet;
use std::time::Duration;

use super::cost::cost;
use super::holders::{HolderLimits, count_holders};
use super::peers::KnownKeepers;
use super::share::{self, FRESH, Sighting};
use super::state::KeptEntry;
use super::work::KeeperAtWork;
use crate::base::cid::Cid;
use crate::net::kubo::KuboErrorKind;

/// Most files that are asked for before they leave; more than that leave in further rounds.
const LEAVING_MOST: usize = 200;
/// Longest time for asking about these.
const PATIENCE: Duration = Duration::from_secs(120);

impl KeeperAtWork<'_> {
    /// Counts the other holders of the files that the rule wants to know of. A Kubo without routing knows of none: then
    /// the share follows from the keeper's number alone.
    pub(super) async fn look(&mut self) {
        let sight = self.sight();
        let files = share::look(&self.view(&sight));
        self.count(&files, HolderLimits::default()).await;
    }

    async fn count(&mut self, files: &[Cid], limits: HolderLimits) {
        let (round, mut counts) = (self.state.round, Vec::new());
        self.state.seen.ask(files, round);
        let mut keepers = KnownKeepers::read(&self.place);
        keepers.begin(round);
        let counting = count_holders(&self.kubo, files, limits, |cid, others| {
            keepers.note(others);
            counts.push((cid, others.len() as u32));
        });
        let counted = counting.await;
        // Without them, Kubo finds its partners later.
        let _ = keepers.write(&self.place);
        for (cid, others) in counts {
            self.state.seen.note(cid, others, round);
        }
        if let Err(fault) = counted
            && fault.kind != KuboErrorKind::Unreachable
        {
            self.notes.push(format!("other holders could not be counted: {fault}"));
        }
    }

    /// Returns the held files that go, so that `need` bytes more are free: those needed least. The network is asked before
    /// they do; what no other holder is known of goes last.
    pub(super) async fn going(&mut self, need: u64, may_go: impl Fn(&KeptEntry) -> bool) -> Vec<Cid> {
        let mut asked: HashSet<Cid> = HashSet::new();
        loop {
            let go = self.least_needed(need, &may_go);
            let left = LEAVING_MOST.saturating_sub(asked.len());
            let is_due = |cid: &&Cid| self.is_doubtful(cid) && !asked.contains(*cid);
            let due: Vec<Cid> = go.iter().filter(is_due).take(left).copied().collect();
            if due.is_empty() {
                return go;
            }
            asked.extend(&due);
            self.count_leaving(&due).await;
        }
    }

    fn least_needed(&self, need: u64, may_go: impl Fn(&KeptEntry) -> bool) -> Vec<Cid> {
        let sight = self.sight();
        let mut order = share::least_needed(&self.view(&sight));
        // Of an index that is not in force nothing is known, and all of it may be needed alike.
        let known: HashSet<Cid> = order.iter().copied().collect();
        order.extend(self.state.files.keys().filter(|cid| !known.contains(cid)));
        order.sort_by_key(|cid| self.worth(cid));
        let (mut freed, mut go) = (0, Vec::new());
        for cid in order {
            if freed >= need {
                break;
            }
            if let Some(file) = self.state.files.get(&cid).filter(|file| may_go(file)) {
                freed += cost(file.size);
                go.push(cid);
            }
        }
        // A large one at the end may have made smaller ones before it superfluous: those needed most stay.
        let mut over = freed.saturating_sub(need);
        let mut kept = HashSet::new();
        for cid in go.iter().rev() {
            let takes = self.takes(cid);
            if takes <= over {
                over -= takes;
                kept.insert(*cid);
            }
        }
        go.retain(|cid| !kept.contains(cid));
        go
    }

    /// Returns the files of `leave` that may go: all that the index dropped, and those with another holder. The network
    /// is asked before the last known copy goes; that goes only where the quota leaves no room for it.
    pub(super) async fn spare_last_copies(&mut self, leave: &[Cid]) -> Vec<Cid> {
        let doubtful = leave.iter().filter(|cid| self.is_doubtful(cid));
        let due: Vec<Cid> = doubtful.take(LEAVING_MOST).copied().collect();
        self.count_leaving(&due).await;
        let (mut go, mut last): (Vec<Cid>, Vec<Cid>) = leave.iter().copied().partition(|cid| self.worth(cid) == 0);
        last.sort_by_key(|cid| self.worth(cid));
        let freed: u64 = go.iter().map(|cid| self.takes(cid)).sum();
        let mut over = self.used().saturating_sub(freed).saturating_sub(self.config.quota);
        let mut stay = 0;
        for cid in last {
            if over > 0 {
                over = over.saturating_sub(self.takes(&cid));
                go.push(cid);
            } else {
                stay += 1;
            }
        }
        if stay > 0 {
            self.notes.push(format!("{stay} files stay that no other holder is known of"));
        }
        go
    }

    async fn count_leaving(&mut self, files: &[Cid]) {
        self.count(files, HolderLimits { all: PATIENCE, ..HolderLimits::default() }).await;
    }

    fn takes(&self, cid: &Cid) -> u64 {
        self.state.files.get(cid).map_or(0, |file| cost(file.size))
    }

    /// True for a file that the index did not drop, and of which no other holder was seen lately.
    fn is_doubtful(&self, cid: &Cid) -> bool {
        self.worth(cid) > 0
    }

    /// Returns 0 for what the index dropped and what others were seen to hold lately, 1 for what is not known, and 2 for
    /// what no other holder was found of.
    fn worth(&self, cid: &Cid) -> u32 {
        let is_dropped = self.index.not_in_force.is_none() && !self.index.files.contains_key(cid);
        let is_fresh = |seen: &&Sighting| self.state.round.saturating_sub(seen.round) < FRESH;
        match self.state.seen.0.get(cid).filter(is_fresh).and_then(|seen| seen.others) {
            _ if is_dropped => 0,
            Some(1..) => 0,
            None => 1,
            Some(0) => 2,
        }
    }
}
