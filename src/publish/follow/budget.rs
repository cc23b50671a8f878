//! The budget of bytes a day for packages that were there before a publisher began: what is spent, and what is due.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::base::digest::Sha256;
use crate::publish::kept::Keepable;

/// Seconds of a day.
const DAY: u64 = 86_400;
/// Runs over which a day's budget is spread, at least.
const RUNS: u64 = 12;

/// The part of a day's budget that was spent, whatever became of the run that spent it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BackfillRecord {
    /// Days since 1970.
    day: u64,
    bytes: u64,
}

impl BackfillRecord {
    /// Adds bytes that are about to be fetched at `now` (Unix seconds).
    pub(super) fn spend(&mut self, bytes: u64, now: u64) {
        *self = Self { day: now / DAY, bytes: self.spent(now).saturating_add(bytes) };
    }

    /// Puts the bytes that came in place of those that were spent for them.
    pub(super) fn settle(&mut self, spent: u64, came: u64) {
        self.bytes = self.bytes.saturating_sub(spent).saturating_add(came);
    }

    fn spent(&self, now: u64) -> u64 {
        if self.day == now / DAY { self.bytes } else { 0 }
    }
}

/// Returns true for a day after `asked`, both in Unix seconds.
pub(super) fn is_recent(asked: u64, now: u64) -> bool {
    asked <= now && now - asked < DAY
}

/// Chooses the packages of `backlog` that come in this run: the newest first, those that do not fit are passed over. A
/// package that is larger than the budget comes as the first of a day, one that is larger than the part of a run as the
/// first of a run. One that has `missed` is behind all others for a day, the one that was asked for last behind the rest.
pub(super) fn due(
    mut backlog: Vec<Keepable>,
    budget: u64,
    record: BackfillRecord,
    missed: &BTreeMap<Sha256, u64>,
    now: u64,
) -> HashSet<Sha256> {
    backlog.sort_by_cached_key(|package| {
        let asked = missed.get(&package.sha256()).copied().filter(|asked| is_recent(*asked, now));
        (asked, package.newest_first())
    });
    let (spent, mut taken) = (record.spent(now), 0u64);
    let mut due = HashSet::new();
    for package in backlog {
        let size = package.size();
        let so_far = spent.saturating_add(taken);
        let fits_day = so_far == 0 || so_far.checked_add(size).is_some_and(|sum| sum <= budget);
        let fits_run = taken == 0 || taken.saturating_add(size) <= budget / RUNS;
        if fits_day && fits_run {
            taken = taken.saturating_add(size);
            due.insert(package.sha256());
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100 * DAY + 5;

    fn taken(sizes: &[u64], budget: u64, record: BackfillRecord, now: u64) -> Vec<usize> {
        let digest = |n: usize| Sha256([n as u8; 32]);
        let newest = sizes.len() as u64;
        let backlog = sizes.iter().enumerate().map(|(n, size)| Keepable::new(digest(n), *size, newest - n as u64));
        let due = due(backlog.collect(), budget, record, &BTreeMap::new(), now);
        (0..sizes.len()).filter(|n| due.contains(&digest(*n))).collect()
    }

    #[test]
    fn a_run_takes_a_twelfth_of_the_budget_newest_first_and_a_day_no_more_than_all_of_it() {
        let mut record = BackfillRecord::default();
        assert_eq!(taken(&[6, 5, 5, 4], 120, record, NOW), [0, 3], "what does not fit is passed over");
        record.spend(115, NOW);
        assert_eq!(taken(&[6, 5, 5], 120, record, NOW), [1]);
        record.spend(5, NOW);
        assert_eq!(taken(&[6, 5, 1], 120, record, NOW), [0; 0], "spent for today");
        assert_eq!(taken(&[6, 5, 1], 120, record, NOW + DAY), [0, 2], "a new day");
        record.settle(15, 10);
        assert_eq!(taken(&[6, 5, 1], 120, record, NOW), [1]);
    }

    #[test]
    fn a_package_larger_than_the_budget_is_the_only_one_of_its_day() {
        let mut record = BackfillRecord::default();
        assert_eq!(taken(&[500, 1], 120, record, NOW), [0]);
        record.spend(500, NOW);
        assert_eq!(taken(&[500, 1], 120, record, NOW), [0; 0]);
        assert_eq!(taken(&[u64::MAX, u64::MAX], 120, record, NOW + DAY), [0], "sums do not overflow");
        assert_eq!(taken(&[u64::MAX, u64::MAX], u64::MAX, record, NOW), [0; 0], "nor beside what was spent");
        assert_eq!(taken(&[7, u64::MAX], u64::MAX, BackfillRecord { day: NOW / DAY, bytes: u64::MAX }, NOW), [0; 0]);
    }
}
