//! What a keeper has seen of files, from round to round.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::base::cid::Cid;

/// What a keeper remembers of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The round in which the index listed it first; 0 if it was there in the keeper's first round.
    pub(super) since: u32,
    /// Holders beside this keeper, when they were counted last; `None` before.
    pub(crate) others: Option<u32>,
    /// The round in which they were counted.
    pub(in crate::pins::keeper) round: u32,
    /// The round in which the network was asked for them last, answered or not.
    #[serde(default)]
    pub(super) asked: u32,
}

/// What a keeper remembers of the files of its index, kept from round to round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings(pub(in crate::pins::keeper) HashMap<Cid, Sighting>);

impl Sightings {
    /// Begins a round: forgets what left the index, and notes what is new in it. What is new is left to those in whose
    /// rank it is for this round, so that not all keepers fetch it at once.
    pub fn begin(&mut self, files: impl IntoIterator<Item = Cid>, round: u32) {
        let since = if self.0.is_empty() { 0 } else { round };
        let listed: HashSet<Cid> = files.into_iter().collect();
        self.0.retain(|cid, _| listed.contains(cid));
        for cid in listed {
            self.0.entry(cid).or_insert(Sighting { since, ..Sighting::default() });
        }
    }

    /// Notes that the network is asked for these files. Those that it has no answer for, often the ones without a
    /// holder, are asked for again after all others, and so keep none of them from its turn.
    pub fn ask(&mut self, files: &[Cid], round: u32) {
        files.iter().for_each(|cid| self.0.entry(*cid).or_default().asked = round);
    }

    /// Notes that `others` holders beside this keeper were counted. An answer that did not come is not to be noted.
    pub fn note(&mut self, cid: Cid, others: u32, round: u32) {
        let sighting = self.0.entry(cid).or_default();
        (sighting.others, sighting.round, sighting.asked) = (Some(others), round, round);
    }

    /// Returns the holders beside this keeper that were counted last.
    pub fn others(&self, cid: &Cid) -> Option<u32> {
        self.0.get(cid).and_then(|sighting| sighting.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    fn file(n: u8) -> Cid {
        Cid::raw(Sha256::of(&[n]))
    }

    #[test]
    fn a_round_forgets_what_left_the_index_and_dates_what_is_new_but_not_in_the_first_one() {
        let mut seen = Sightings::default();
        seen.begin([file(0), file(1)], 1);
        seen.note(file(1), 3, 1);
        seen.begin([file(1), file(2)], 2);
        let since = |n| seen.0.get(&file(n)).map(|sighting| sighting.since);
        assert_eq!((since(0), since(1), since(2)), (None, Some(0), Some(2)));
        assert_eq!((seen.others(&file(1)), seen.others(&file(2))), (Some(3), None));
    }

    #[test]
    fn a_question_without_an_answer_counts_as_a_turn_and_changes_no_count() {
        let mut seen = Sightings::default();
        seen.note(file(0), 2, 1);
        seen.ask(&[file(0), file(1)], 5);
        let of = |n| seen.0[&file(n)];
        assert_eq!((of(0).others, of(0).round, of(0).asked), (Some(2), 1, 5));
        assert_eq!((of(1).others, of(1).asked), (None, 5));
    }
}
