//! Which files of an index a keeper holds: a pure rule, which keepers follow without talking to each other.
//!
//! Three quarters of the quota go to the files that rank first by a hash of keeper and file (rendezvous). They differ
//! from keeper to keeper, and a change of the index moves only what has changed. Chance leaves files without any
//! keeper, so the rest of the quota follows what is scarce in a sample: what few others hold is taken with a
//! probability by which all keepers together add the copies that it lacks, and what many hold makes room for it.
//! `doc/decisions/0014-rule-of-shares.md` has the reasons and the figures.
//!
//! A round of a keeper begins its [`Sightings`], asks the network about [`look`], notes the answers there, and then
//! carries out [`choose`]: first what leaves, then what is taken.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::base::cid::Cid;

mod sightings;

pub use sightings::{Sighting, Sightings};

/// Most files that [`look`] names: a DHT is asked some hundred questions a round, no more.
pub const LOOK_MOST: usize = 600;
/// The part of these that scarce files have, and those held beside the rank, one of so many each. A held file can only
/// leave once the keeper knows of others.
const LOOK_PART: usize = 4;
/// The part that held files have that stay by rank, one of so many: what is known of the index is known of these too.
const LOOK_RANKED: usize = 24;
/// Rounds for which a sighting counts as fresh: in these it decides that a file leaves.
pub(super) const FRESH: u32 = 4;
/// Rounds after which a file that is new in the index is one like others.
const YOUNG: u32 = 8;
/// Sightings of one round from which an average is taken; where there are fewer, those of former rounds count too.
const SAMPLE_LEAST: usize = 32;
/// The part of the quota that moves in one round for what is scarce, one of so many.
const MOVED_FOR_SCARCE: u64 = 8;
/// The part of the quota that moves in one round because other files rank first now, one of so many.
const MOVED_FOR_RANK: u64 = 512;
/// It does so in one round of so many.
const RANK_TURN: u64 = 4;

/// A random number of the keeper, made once: by it its share differs from those of others. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperKey(pub [u8; 32]);

/// A file of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareFile {
    /// Its root.
    pub cid: Cid,
    /// Bytes that it takes in the keeper's Kubo.
    pub size: u64,
}

/// Everything that the rule knows.
#[derive(Clone, Copy, Debug)]
pub struct ShareView<'a> {
    /// The keeper's own number.
    pub key: KeeperKey,
    /// Bytes that its share may take.
    pub quota: u64,
    /// The files of the index that it may hold, in any order. A file that could not be fetched may be left out for some
    /// rounds, so that another takes its place.
    pub files: &'a [ShareFile],
    /// The files that it holds whole, also those that are no longer in the index.
    pub held: &'a HashSet<Cid>,
    /// What it has seen of files, in this round and before.
    pub seen: &'a Sightings,
    /// The number of this round: 1 at first, one more each time.
    pub round: u32,
}

/// What a keeper does in one round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareChoice {
    /// Files to let go of before anything is taken, least needed first.
    pub leave: Vec<Cid>,
    /// Files to fetch, most needed first. All fit into the quota once those have left, and so does each beginning of
    /// the list.
    pub take: Vec<Cid>,
}

/// Lists the files whose other holders are to be counted next, at most [`LOOK_MOST`]: those that leave because the quota
/// has shrunk, those known as scarce, those that it holds beside its rank, some that it holds by rank, then the others
/// in an order of its own, so that a few rounds see a small index whole.
pub fn look(view: &ShareView) -> Vec<Cid> {
    look_at(&Ranks::of(view), view)
}

fn look_at(ranks: &Ranks, view: &ShareView) -> Vec<Cid> {
    let place = |file: &Placed| (file.seen.asked, file.draw(view, 0));
    let is_open = |file: &&Placed| file.others_now(view).is_none() && !file.is_new(view);
    let open = ranks.files.iter().filter(is_open);
    let (held, absent): (Vec<&Placed>, Vec<&Placed>) = open.partition(|file| file.is_held);
    let is_scarce = |file: &&Placed| file.seen.others.is_some_and(|others| ranks.is_scarce(others));
    let (mut scarce, mut other): (Vec<&Placed>, Vec<&Placed>) = absent.into_iter().partition(is_scarce);
    let (mut ranked, mut beside): (Vec<&Placed>, Vec<&Placed>) = held.into_iter().partition(|file| file.is_ranked);
    for (list, most) in [
        (&mut scarce, LOOK_MOST / LOOK_PART),
        (&mut beside, LOOK_MOST / LOOK_PART),
        (&mut ranked, LOOK_MOST / LOOK_RANKED),
        (&mut other, LOOK_MOST),
    ] {
        if list.len() > most {
            list.select_nth_unstable_by_key(most, |file| place(file));
            list.truncate(most);
        }
        list.sort_by_cached_key(|file| place(file));
    }
    let mut leaving = ranks.overflow(view.quota);
    leaving.retain(|file| file.others_now(view).is_none());
    leaving.truncate(LOOK_MOST / 2);
    let lists = [leaving, scarce, beside, ranked, other];
    let mut named = HashSet::new();
    let files = lists.into_iter().flatten().map(|file| file.cid).filter(|cid| named.insert(*cid));
    files.take(LOOK_MOST).collect()
}

/// Decides what the keeper lets go of and what it fetches.
///
/// It depends on `view` alone. At no moment does the share exceed the quota, if what leaves goes first.
pub fn choose(view: &ShareView) -> ShareChoice {
    choose_by(&Ranks::of(view), view)
}

fn choose_by(ranks: &Ranks, view: &ShareView) -> ShareChoice {
    let mut choice = ShareChoice { leave: ranks.gone(view), take: Vec::new() };
    let mut held = ranks.held;
    let mut leaving = HashSet::new();
    for file in ranks.overflow(view.quota) {
        held -= u128::from(file.size);
        leaving.insert(file.cid);
        choice.leave.push(file.cid);
    }
    Round::begin(ranks, view, leaving, held).carry_out(&mut choice);
    choice
}

/// Lists the held files in the order in which they go when room must be made: first what left the index, then what
/// others hold as well, last what no other holder was seen of.
pub fn least_needed(view: &ShareView) -> Vec<Cid> {
    let ranks = Ranks::of(view);
    let files = ranks.least_needed().into_iter().map(|file| file.cid);
    ranks.gone(view).into_iter().chain(files).collect()
}

/// A file at its place in the keeper's own order.
#[derive(Clone, Copy)]
struct Placed {
    score: u64,
    cid: Cid,
    size: u64,
    /// True in the part of the quota that goes by rank.
    is_ranked: bool,
    is_held: bool,
    seen: Sighting,
}

impl Placed {
    /// Draws a number for this file that no other keeper draws, another one for each `turn`.
    fn draw(&self, view: &ShareView, turn: u32) -> u64 {
        mixed(self.score ^ word(&view.key.0, 1), u64::from(turn) ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// True in the round in which the index listed it first.
    fn is_new(&self, view: &ShareView) -> bool {
        self.seen.since > 0 && self.seen.since == view.round
    }

    /// Returns the holders seen in the last so many rounds, this one included.
    fn others_within(&self, rounds: u32, view: &ShareView) -> Option<u32> {
        self.seen.others.filter(|_| view.round.saturating_sub(self.seen.round) < rounds)
    }

    /// Returns the holders seen in this round.
    fn others_now(&self, view: &ShareView) -> Option<u32> {
        self.others_within(1, view)
    }

    /// Returns the holders seen lately.
    fn others_lately(&self, view: &ShareView) -> Option<u32> {
        self.others_within(FRESH, view)
    }
}

/// The index in the keeper's own order, and what it knows of the network.
struct Ranks {
    /// By score.
    files: Vec<Placed>,
    /// Bytes of all held files that the index has.
    held: u128,
    /// Bytes of the files that go by rank.
    ranked: u64,
    /// Other holders of a file that the keeper does not hold, on average.
    others: f64,
    /// The fewest that one of these has.
    fewest: u32,
    /// The part of these files that was looked at in this round.
    sampled: f64,
    /// The part of the index that its quota holds.
    share: f64,
}

impl Ranks {
    fn of(view: &ShareView) -> Self {
        let mut files: Vec<Placed> = view.files.iter().map(|file| placed(view, file)).collect();
        files.sort_unstable_by(|a, b| a.score.cmp(&b.score).then_with(|| a.cid.cmp(&b.cid)));
        files.dedup_by(|a, b| a.cid == b.cid);
        Self::with(files, view)
    }

    /// Makes it of files in the keeper's own order, each once.
    fn with(mut files: Vec<Placed>, view: &ShareView) -> Self {
        let part = view.quota / 4 * 3;
        let mut ranked = 0;
        for file in files.iter_mut().filter(|file| file.size <= part) {
            // The first that does not fit ends it: were the next smaller one taken instead, large ones would have fewer
            // copies.
            let Some(with) = u64::checked_add(ranked, file.size).filter(|with| *with <= part) else { break };
            (ranked, file.is_ranked) = (with, true);
        }
        let total: u128 = files.iter().map(|file| u128::from(file.size)).sum();
        let held = files.iter().filter(|file| file.is_held).map(|file| u128::from(file.size)).sum();
        let absent: Vec<&Placed> = files.iter().filter(|file| !file.is_held).collect();
        let new: Vec<u32> = absent.iter().filter_map(|file| file.others_now(view)).collect();
        let sampled = new.len().max(1) as f64 / absent.len().max(1) as f64;
        let late = || absent.iter().filter_map(|file| file.others_lately(view)).collect();
        let counts: Vec<u32> = if new.len() < SAMPLE_LEAST { late() } else { new };
        let fewest = counts.iter().copied().min().unwrap_or(0);
        let others = counts.iter().map(|others| f64::from(*others)).sum::<f64>() / counts.len().max(1) as f64;
        let share = (view.quota as f64 / total.max(1) as f64).min(1.0);
        Self { files, held, ranked, others, fewest, sampled, share }
    }

    /// Lists what is held and no longer in the index.
    fn gone(&self, view: &ShareView) -> Vec<Cid> {
        let known: HashSet<Cid> = self.files.iter().filter(|file| file.is_held).map(|file| file.cid).collect();
        let mut gone: Vec<Cid> = view.held.iter().copied().filter(|cid| !known.contains(cid)).collect();
        gone.sort_unstable();
        gone
    }

    /// Lists the held files of the index, least needed first.
    fn least_needed(&self) -> Vec<&Placed> {
        let mut held: Vec<&Placed> = self.files.iter().filter(|file| file.is_held).collect();
        held.sort_by_key(|file| {
            let others = file.seen.others;
            let worth = match (others, file.is_ranked) {
                (Some(0), _) => 3,
                (None, _) => 2,
                (Some(_), true) => 1,
                (Some(_), false) => 0,
            };
            (worth, file.is_ranked, Reverse(others), Reverse(file.score))
        });
        held
    }

    /// Lists the held files of the index that are too much for this quota, least needed first.
    fn overflow(&self, quota: u64) -> Vec<&Placed> {
        let mut held = self.held;
        let is_over = |file: &&Placed| {
            let is_over = held > u128::from(quota);
            held -= u128::from(file.size);
            is_over
        };
        match self.held > u128::from(quota) {
            true => self.least_needed().into_iter().take_while(is_over).collect(),
            false => Vec::new(),
        }
    }

    /// True for a file with so many holders that one more copy counts more than elsewhere.
    fn is_scarce(&self, others: u32) -> bool {
        others == 0 || f64::from(others) + 1.5 < self.others
    }

    /// Decides by lot if this keeper is one of those that may let go of a file now: three in four of all that hold it
    /// but one. They see the same counts at the same time, and the network names those that have let go for two days.
    fn is_spare(&self, file: &Placed, view: &ShareView) -> bool {
        let others = f64::from(file.others_lately(view).unwrap_or(0));
        (file.draw(view, view.round.wrapping_add(1)) as f64) < 0.75 * others / (others + 1.0) * u64::MAX as f64
    }

    /// Decides by lot if this keeper is one of those that take a file of so few holders; together they add what it lacks.
    fn is_drawn(&self, file: &Placed, others: u32, view: &ShareView) -> bool {
        let lacking = (self.others - f64::from(others)).max(0.0);
        let is_young = file.seen.since > 0 && file.seen.round.saturating_sub(file.seen.since) <= YOUNG;
        let (lacking, sampled) = match is_young {
            // All keepers look at what is new at once, and what it lacks may only be late.
            true => (lacking / 4.0, 1.0),
            // What has the fewest holders is urgent: these may be publishers, who have everything.
            false if others <= self.fewest => (lacking + 1.0, self.sampled),
            false => (lacking / 2.0, self.sampled),
        };
        // The keepers' chances are as their shares, whose sum is the average of holders.
        let chance = lacking * self.share / (self.others.max(self.share) * sampled);
        // Not so in a first round: keepers that begin together would all jump at what a publisher has not announced yet.
        view.round > 1 && (file.draw(view, file.seen.round.wrapping_add(1)) as f64) < chance * u64::MAX as f64
    }
}

/// One round at work.
struct Round<'a> {
    ranks: &'a Ranks,
    view: &'a ShareView<'a>,
    /// Held files beside the rank that may go in this round: the most widespread first.
    spare: Vec<&'a Placed>,
    /// The number of those that leave.
    spared: usize,
    /// Bytes of them.
    moved: u64,
    /// Bytes left in the quota.
    free: u64,
    /// Bytes that would be left if all files that go by rank were there: less than none if too much is held beside them.
    beside: i128,
}

impl<'a> Round<'a> {
    /// Begins with what stays held, `held` bytes without the files that are `leaving`.
    fn begin(ranks: &'a Ranks, view: &'a ShareView, leaving: HashSet<Cid>, held: u128) -> Self {
        let stays = |file: &&Placed| file.is_held && !leaving.contains(&file.cid);
        let beside = || ranks.files.iter().filter(stays).filter(|file| !file.is_ranked);
        let size: i128 = beside().map(|file| i128::from(file.size)).sum();
        let mut spare: Vec<&Placed> = beside().filter(|file| ranks.is_spare(file, view)).collect();
        spare.sort_by_key(|file| (Reverse(file.others_lately(view)), Reverse(file.score)));
        let free = u128::from(view.quota).saturating_sub(held) as u64;
        let beside = i128::from(view.quota) - i128::from(ranks.ranked) - size;
        Self { ranks, view, spare, spared: 0, moved: 0, free, beside }
    }

    fn carry_out(mut self, choice: &mut ShareChoice) {
        let ranks = self.ranks;
        let absent = || ranks.files.iter().filter(|file| !file.is_held);
        let mut scarce: Vec<(u32, &Placed)> = absent()
            .filter(|file| !file.is_ranked && !file.is_new(self.view))
            .filter_map(|file| Some((file.others_now(self.view)?, file)))
            .filter(|(others, file)| ranks.is_scarce(*others) && ranks.is_drawn(file, *others, self.view))
            .collect();
        scarce.sort_by_key(|(others, file)| (*others, file.score));
        for (others, file) in scarce {
            // What leaves keeps more holders than what comes then has.
            let enough = others.saturating_add(2);
            let size = i128::from(file.size);
            if self.make_room(size - self.beside, enough, self.view.quota / MOVED_FOR_SCARCE) && file.size <= self.free
            {
                self.take(file, choice);
                self.beside -= size;
            }
        }
        let is_turn = (word(&self.view.key.0, 0).wrapping_add(self.view.round.into())).is_multiple_of(RANK_TURN);
        for file in absent().filter(|file| file.is_ranked) {
            let lacking = i128::from(file.size) - i128::from(self.free);
            if lacking <= 0 || (is_turn && self.make_room(lacking, 2, self.view.quota / MOVED_FOR_RANK)) {
                self.take(file, choice);
            }
        }
        let taken: HashSet<Cid> = choice.take.iter().copied().collect();
        for file in absent().filter(|file| !file.is_ranked && !taken.contains(&file.cid)) {
            let size = i128::from(file.size);
            if size <= self.beside && file.size <= self.free {
                self.take(file, choice);
                self.beside -= size;
            }
        }
        choice.leave.extend(self.spare[..self.spared].iter().map(|file| file.cid));
    }

    fn take(&mut self, file: &Placed, choice: &mut ShareChoice) {
        self.free -= file.size;
        choice.take.push(file.cid);
    }

    /// Lets go of so many bytes of what at least `enough` others hold, or of nothing; false if there is not so much, or
    /// if more than `most` would have moved.
    fn make_room(&mut self, bytes: i128, enough: u32, most: u64) -> bool {
        let (mut end, mut room) = (self.spared, 0u64);
        while i128::from(room) < bytes {
            let next = self.spare.get(end).filter(|file| file.others_lately(self.view) >= Some(enough));
            let Some(file) = next.filter(|_| self.moved.saturating_add(room) <= most) else { return false };
            (end, room) = (end + 1, room.saturating_add(file.size));
        }
        self.spared = end;
        self.moved = self.moved.saturating_add(room);
        self.free = self.free.saturating_add(room);
        self.beside += i128::from(room);
        true
    }
}

fn placed(view: &ShareView, file: &ShareFile) -> Placed {
    let (key, digest) = (view.key.0, file.cid.digest().0);
    let half = |n: usize| mixed(word(&key, n) ^ word(&digest, n), word(&key, n + 1) ^ word(&digest, n + 1));
    Placed {
        score: mixed(half(0), half(2) ^ word(&key, 3)),
        cid: file.cid,
        size: file.size,
        is_ranked: false,
        is_held: view.held.contains(&file.cid),
        seen: view.seen.0.get(&file.cid).copied().unwrap_or_default(),
    }
}

/// Returns one of the four words of a key or digest.
fn word(bytes: &[u8; 32], n: usize) -> u64 {
    u64::from_le_bytes(bytes[n * 8..n * 8 + 8].try_into().expect("eight bytes"))
}

/// Mixes two words into one of which each bit depends on all of theirs (the finisher of SplitMix64, twice).
fn mixed(a: u64, b: u64) -> u64 {
    let finish = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    finish(finish(a).wrapping_add(b))
}

#[cfg(test)]
mod tests;
