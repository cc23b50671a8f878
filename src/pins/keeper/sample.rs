//! Asks the network who else holds files: of a sample, by which the rule knows what is scarce, and of files that are about
//! to leave.

use std::time::Duration;

use super::disk::cost;
use super::holders::{HolderLimits, count_holders};
use super::share;
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
        let counted = count_holders(&self.kubo, files, limits, |cid, others| counts.push((cid, others))).await;
        for (cid, others) in counts {
            self.state.seen.note(cid, others, round);
        }
        if let Err(fault) = counted
            && fault.kind != KuboErrorKind::Unreachable
        {
            self.notes.push(format!("other holders could not be counted: {fault}"));
        }
    }

    /// Returns the files of `leave` that may go: all that the index dropped, and those with another holder. The network
    /// is asked before the last known copy goes; that goes only where the quota leaves no room for it.
    pub(super) async fn spare_last_copies(&mut self, leave: &[Cid]) -> Vec<Cid> {
        let is_dropped = |keeper: &Self, cid: &Cid| !keeper.index.files.contains_key(cid);
        let is_doubtful =
            |cid: &&Cid| !is_dropped(self, cid) && self.state.seen.others(cid).is_none_or(|others| others == 0);
        let asked: Vec<Cid> = leave.iter().filter(is_doubtful).take(LEAVING_MOST).copied().collect();
        self.count(&asked, HolderLimits { all: PATIENCE, ..HolderLimits::default() }).await;
        let has_others = |keeper: &Self, cid: &Cid| keeper.state.seen.others(cid).is_some_and(|others| others > 0);
        let (mut go, last): (Vec<Cid>, Vec<Cid>) =
            leave.iter().copied().partition(|cid| is_dropped(self, cid) || has_others(self, cid));
        let takes = |cid: &Cid| self.state.files.get(cid).map_or(0, |file| cost(file.size));
        let freed: u64 = go.iter().map(takes).sum();
        let mut over = self.used().saturating_sub(freed).saturating_sub(self.config.quota);
        let mut stay = 0;
        for cid in last {
            if over > 0 {
                over = over.saturating_sub(takes(&cid));
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
}
