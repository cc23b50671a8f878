//! The keepers that a share knows: peers that were counted as holders of its index's files. Kubo keeps connections to those
//! that hold the most, so that it has its partners again within seconds of a network's return.
//!
//! Any peer can say that it holds something: what it gets by that is one of a few connections. Files of it are proven.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::KeeperPlace;
use crate::base::error::Error;

/// Most peers that are told.
const TOLD: usize = 16;
/// Most that are remembered.
const REMEMBERED: usize = 256;
/// Rounds without being seen after which a peer is forgotten: a week of rounds every three hours.
const UNSEEN_MOST: u32 = 56;
/// Worth of a file that a peer was seen to hold.
const OF_FILE: u32 = 16;

/// What is remembered of one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct SeenKeeper {
    /// The round in which it was seen last.
    round: u32,
    /// What it was seen to hold, the latest counting most.
    worth: u32,
}

/// The known keepers.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct KnownKeepers {
    /// The round that was begun last.
    round: u32,
    /// By their peer ids.
    peers: BTreeMap<String, SeenKeeper>,
}

impl KnownKeepers {
    /// Begins a round: what was seen before counts less, and those that were not seen for long go.
    pub(super) fn begin(&mut self, round: u32) {
        if self.round == round {
            return;
        }
        self.round = round;
        self.peers.values_mut().for_each(|seen| seen.worth -= seen.worth.div_ceil(8));
        self.peers.retain(|_, seen| round.saturating_sub(seen.round) <= UNSEEN_MOST);
    }

    /// Notes the other holders of a file.
    pub(super) fn note(&mut self, others: &BTreeSet<String>) {
        let round = self.round;
        for id in others {
            let seen = self.peers.entry(id.clone()).or_default();
            *seen = SeenKeeper { round, worth: seen.worth.saturating_add(OF_FILE) };
        }
        if self.peers.len() > 2 * REMEMBERED {
            self.bound();
        }
    }

    /// Returns the ids of the most useful ones.
    fn best(&self, most: usize) -> Vec<String> {
        let mut all: Vec<(&String, &SeenKeeper)> = self.peers.iter().collect();
        all.sort_by_key(|(id, seen)| (std::cmp::Reverse((seen.worth, seen.round)), *id));
        all.into_iter().take(most).map(|(id, _)| id.clone()).collect()
    }

    /// Forgets the least useful ones.
    fn bound(&mut self) {
        let stay: BTreeSet<String> = self.best(REMEMBERED).into_iter().collect();
        self.peers.retain(|id, _| stay.contains(id));
    }

    /// Reads those of a share; none where they were never written, or are damaged.
    pub(super) fn read(place: &KeeperPlace) -> Self {
        place.keepers().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes them down.
    ///
    /// # Errors
    /// `Local` when they cannot be written.
    pub(super) fn write(&mut self, place: &KeeperPlace) -> Result<(), Error> {
        self.bound();
        place.note_keepers(self)
    }
}

/// Lists the ids of the most useful keepers that a share knows.
pub(crate) fn known_keepers(place: &KeeperPlace) -> Vec<String> {
    KnownKeepers::read(place).best(TOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(of: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
        of.into_iter().map(|n| format!("peer{n:04}")).collect()
    }

    #[test]
    fn those_that_hold_most_are_told_and_those_unseen_for_long_are_forgotten() {
        let mut known = KnownKeepers::default();
        known.begin(1);
        known.note(&ids(0..100));
        for _ in 0..3 {
            known.note(&ids(90..95));
        }
        assert_eq!(known.best(5), ids(90..95).into_iter().collect::<Vec<_>>());
        // Others hold as much, later.
        for round in 2..20 {
            known.begin(round);
            known.note(&ids(7..9));
        }
        assert_eq!(known.best(2), ["peer0007", "peer0008"]);
        known.begin(UNSEEN_MOST + 2);
        assert_eq!(known.best(200), ["peer0007", "peer0008"], "the others were seen in the first round alone");
    }

    #[test]
    fn a_crowd_of_peers_is_bounded_and_does_not_displace_those_that_hold_much() {
        let mut known = KnownKeepers::default();
        for _ in 0..4 {
            known.note(&ids(5000..5016));
        }
        for first in (0..4000).step_by(20) {
            known.note(&ids(first..first + 20));
        }
        assert!(known.peers.len() <= 2 * REMEMBERED + 20, "{}", known.peers.len());
        assert_eq!(known.best(TOLD), ids(5000..5016).into_iter().collect::<Vec<_>>());
    }
}
