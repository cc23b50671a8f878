//! Fleets of keepers that follow the rule and see each other through samples alone.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::base::digest::Sha256;

mod year;

/// A row of numbers that a seed decides.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(mixed(seed, 0x5eed))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0, 0)
    }

    /// Returns a fraction of one.
    pub(super) fn part(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn key(&mut self) -> KeeperKey {
        let words = [self.number(), self.number(), self.number(), self.number()];
        KeeperKey(words.map(u64::to_le_bytes).concat().try_into().expect("32 bytes"))
    }

    /// Makes a file, of 1 KB to some hundred MB: most are small.
    pub(super) fn file(&mut self) -> ShareFile {
        let bell = (0..6).map(|_| self.part()).sum::<f64>() - 3.0;
        ShareFile { cid: Cid::raw(Sha256(self.key().0)), size: (200_000.0 * (2.2 * bell).exp()) as u64 + 1000 }
    }

    pub(super) fn files(&mut self, number: usize) -> Vec<ShareFile> {
        (0..number).map(|_| self.file()).collect()
    }
}

pub(super) fn bytes(files: &[ShareFile]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

/// A keeper with what it holds.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) key: KeeperKey,
    pub(super) quota: u64,
    pub(super) held: HashSet<Cid>,
    pub(super) seen: Sightings,
}

impl Keeper {
    pub(super) fn new(key: KeeperKey, quota: u64) -> Self {
        Self { key, quota, held: HashSet::new(), seen: Sightings::default() }
    }

    pub(super) fn view<'a>(&'a self, files: &'a [ShareFile], round: u32) -> ShareView<'a> {
        let Self { key, quota, held, seen } = self;
        ShareView { key: *key, quota: *quota, files, held, seen, round }
    }

    /// Makes a round: `others` counts the other holders of a file, if the network answers. Returns what moved.
    pub(super) fn round(
        &mut self,
        files: &[ShareFile],
        round: u32,
        mut others: impl FnMut(&Cid) -> Option<u32>,
    ) -> ShareChoice {
        let sizes = files.iter().map(|file| (file.cid, file.size)).collect();
        self.round_of(files, &sizes, round, |cid, _| others(cid))
    }

    /// Makes a round in which `others` is told as well if the keeper holds the file.
    fn round_of(
        &mut self,
        files: &[ShareFile],
        sizes: &HashMap<Cid, u64>,
        round: u32,
        mut others: impl FnMut(&Cid, bool) -> Option<u32>,
    ) -> ShareChoice {
        self.seen.begin(files.iter().map(|file| file.cid), round);
        for cid in look(&self.view(files, round)) {
            if let Some(others) = others(&cid, self.held.contains(&cid)) {
                self.seen.note(cid, others, round);
            }
        }
        let choice = choose(&self.view(files, round));
        self.carry_out(sizes, &choice);
        choice
    }

    /// Carries out a choice step by step. No step may exceed the quota.
    fn carry_out(&mut self, sizes: &HashMap<Cid, u64>, choice: &ShareChoice) {
        for cid in &choice.leave {
            assert!(self.held.remove(cid), "it lets go of what it does not hold");
        }
        let mut used: u64 = self.held.iter().map(|cid| sizes[cid]).sum();
        assert!(used <= self.quota, "{used} of {} before anything is taken", self.quota);
        for cid in &choice.take {
            assert!(self.held.insert(*cid), "it takes what it holds");
            used += sizes[cid];
            assert!(used <= self.quota, "{used} of {}", self.quota);
        }
    }
}

/// Eight keepers of one index.
struct Fleet {
    dice: Dice,
    files: Vec<ShareFile>,
    keepers: Vec<Keeper>,
    /// Holders of everything, as the publisher is.
    publishers: u32,
    /// What each keeper has ever announced, where the network goes on naming it: for two days it does.
    announced: Option<Vec<HashSet<Cid>>>,
    round: u32,
}

impl Fleet {
    /// Makes keepers with quotas between 10 % and 60 % of the index, `copies` times the index together.
    fn new(seed: u64, number: usize, copies: f64) -> Self {
        let mut dice = Dice::of(seed);
        let files = dice.files(number);
        Self::over(files, dice, copies)
    }

    fn over(files: Vec<ShareFile>, mut dice: Dice, copies: f64) -> Self {
        let even = [0.1, 0.17, 0.24, 0.31, 0.39, 0.46, 0.53, 0.6];
        let sum: f64 = even.iter().sum();
        let quota = |part: f64| match copies < sum {
            true => 0.1 + (part - 0.1) * (copies - 0.8) / (sum - 0.8),
            false => 0.6 - (0.6 - part) * (4.8 - copies) / (4.8 - sum),
        };
        let all = bytes(&files) as f64;
        let keepers = even.map(|part| Keeper::new(dice.key(), (quota(part) * all) as u64));
        Self { dice, files, keepers: keepers.to_vec(), publishers: 0, announced: None, round: 0 }
    }

    /// Has each keeper make a round, all at the same time: each sees what the others held before. Returns what moved.
    fn turn(&mut self) -> Vec<ShareChoice> {
        self.round += 1;
        let held = self.keepers.iter().map(|keeper| keeper.held.clone());
        let before: Vec<HashSet<Cid>> = match &mut self.announced {
            None => held.collect(),
            Some(announced) => {
                announced.resize_with(held.len(), HashSet::new);
                announced.iter_mut().zip(held).for_each(|(all, held)| all.extend(held));
                announced.clone()
            }
        };
        let (files, round, publishers) = (&self.files, self.round, self.publishers);
        let turn = |(own, keeper): (usize, &mut Keeper)| {
            let others = before.iter().enumerate().filter(|(other, _)| *other != own).map(|(_, held)| held);
            let others: Vec<_> = others.collect();
            let count = |cid: &Cid| others.iter().filter(|held| held.contains(cid)).count() as u32;
            keeper.round(files, round, |cid| Some(count(cid) + publishers))
        };
        self.keepers.iter_mut().enumerate().map(turn).collect()
    }

    fn uncovered(&self) -> usize {
        self.files.iter().filter(|file| self.keepers.iter().all(|keeper| !keeper.held.contains(&file.cid))).count()
    }

    /// Returns the files that chance leaves without a keeper, on average.
    fn chance(&self) -> f64 {
        let all = bytes(&self.files) as f64;
        self.keepers.iter().map(|keeper| 1.0 - keeper.quota as f64 / all).product::<f64>() * self.files.len() as f64
    }
}

#[test]
fn eight_keepers_begin_like_chance_and_cover_an_index_within_four_rounds() {
    for (copies, publishers) in [(3.0, 0), (3.0, 1), (2.0, 0), (2.0, 1)] {
        for seed in 0..2 {
            let mut fleet = Fleet::new(seed, 3000, copies);
            fleet.publishers = publishers;
            fleet.turn();
            let (first, chance) = (fleet.uncovered(), fleet.chance());
            // Three times the deviation of so many independent files.
            assert!((first as f64) < chance + 3.0 * chance.sqrt(), "{first} after a round, by chance {chance}");
            (0..3).for_each(|_| drop(fleet.turn()));
            let (uncovered, most) = (fleet.uncovered(), if copies < 3.0 { 30 } else { 0 });
            assert!(uncovered <= most, "{uncovered} after four rounds of {copies} copies, seed {seed}, {publishers}");
            for keeper in &fleet.keepers {
                let held: u64 =
                    fleet.files.iter().filter(|file| keeper.held.contains(&file.cid)).map(|it| it.size).sum();
                assert!(held as f64 > 0.99 * keeper.quota as f64, "{held} of {}", keeper.quota);
            }
        }
    }
}

#[test]
fn a_publisher_that_has_announced_a_part_so_far_makes_the_first_round_no_worse_than_chance() {
    for part in [0.0, 0.2, 0.5, 0.8, 1.0] {
        let (mut first, mut chance) = (0, 0.0);
        for seed in 0..20 {
            let mut fleet = Fleet::new(seed, 300, 3.0);
            let dice = &mut fleet.dice;
            let announced: HashSet<Cid> =
                fleet.files.iter().filter(|_| dice.part() < part).map(|file| file.cid).collect();
            let (files, others) = (&fleet.files, |cid: &Cid| Some(u32::from(announced.contains(cid))));
            fleet.keepers.iter_mut().for_each(|keeper| drop(keeper.round(files, 1, others)));
            (first, chance) = (first + fleet.uncovered(), chance + fleet.chance());
        }
        assert!((first as f64) < chance + 3.0 * chance.sqrt(), "{first} after a round, by chance {chance}: {part}");
    }
}

#[test]
fn holders_that_have_let_go_and_are_still_announced_leave_hardly_a_file_without_a_keeper() {
    let mut left = Vec::new();
    for seed in 0..6 {
        let mut fleet = Fleet::new(seed, 300, 3.0);
        fleet.publishers = 1;
        fleet.announced = Some(Vec::new());
        (0..8).for_each(|_| drop(fleet.turn()));
        left.push(fleet.uncovered());
    }
    println!("{left:?}");
    assert!(left.iter().sum::<usize>() <= 3, "of 300 files, in six fleets: {left:?}");
}

#[test]
fn what_has_settled_stays() {
    let mut fleet = Fleet::new(1, 1000, 3.0);
    (0..12).for_each(|_| drop(fleet.turn()));
    let moved: usize = (0..4).flat_map(|_| fleet.turn()).map(|choice| choice.take.len() + choice.leave.len()).sum();
    assert!(moved <= 12, "{moved} moves of {} in four rounds", 3 * fleet.files.len());
}

#[test]
fn one_percent_changed_moves_hardly_more_of_each_share() {
    let mut dice = Dice::of(4);
    let even = |file: ShareFile| ShareFile { size: 40_000, ..file };
    let files = dice.files(3000).into_iter().map(even).collect();
    let mut fleet = Fleet::over(files, dice, 3.0);
    (0..8).for_each(|_| drop(fleet.turn()));
    // Of each share: its files at each change, and those fetched in the three rounds after it. Of one change alone a small
    // share may have a few files more than its part, by chance.
    let mut sums = [[0; 2]; 8];
    for _ in 0..25 {
        fleet.files.drain(..30);
        let new = fleet.dice.files(30).into_iter().map(even);
        fleet.files.extend(new);
        fleet.keepers.iter().zip(&mut sums).for_each(|(keeper, sum)| sum[0] += keeper.held.len());
        for (choice, share) in (0..3).flat_map(|_| fleet.turn()).zip((0..8).cycle()) {
            sums[share][1] += choice.take.len();
        }
    }
    println!("files, fetched: {sums:?}");
    assert!(sums.iter().all(|[files, fetched]| fetched * 1000 <= files * 13), "{sums:?}");
}

#[test]
fn a_file_is_ranked_whatever_its_size() {
    let mut dice = Dice::of(7);
    let files = dice.files(3000);
    let mut large: Vec<u64> = files.iter().map(|file| file.size).collect();
    large.sort_unstable();
    let large = large[2700];
    let (mut held, mut held_large) = (0, 0);
    for _ in 0..40 {
        let mut keeper = Keeper::new(dice.key(), bytes(&files) / 5);
        keeper.round(&files, 1, |_| None);
        held += keeper.held.len();
        held_large += files.iter().filter(|file| file.size >= large && keeper.held.contains(&file.cid)).count();
    }
    let part = held_large as f64 / held as f64;
    assert!((0.085..0.115).contains(&part), "{part} of what is held is of the largest tenth");
}

#[test]
fn the_last_known_copy_leaves_after_all_others() {
    let mut dice = Dice::of(3);
    let files = dice.files(200);
    let mut keeper = Keeper::new(dice.key(), bytes(&files));
    keeper.round(&files, 1, |_| None);
    assert_eq!(keeper.held.len(), files.len(), "a quota as large as the index holds all of it");
    for (n, file) in files.iter().enumerate().filter(|(n, _)| n % 4 != 3) {
        keeper.seen.note(file.cid, n as u32 % 4, 1);
    }
    let stranger = dice.file();
    keeper.held.insert(stranger.cid);
    let order = least_needed(&keeper.view(&files, 2));
    assert_eq!((order.len(), order[0]), (201, stranger.cid), "what left the index goes first");
    let rest: Vec<Option<u32>> = order[1..].iter().map(|cid| keeper.seen.others(cid)).collect();
    assert!(rest[..100].iter().all(|others| *others > Some(0)), "{rest:?}");
    assert!(rest[100..150].iter().all(Option::is_none) && rest[150..].iter().all(|others| *others == Some(0)));

    // With half of the quota it lets go of exactly these, as far as it must.
    keeper.quota /= 2;
    let order = least_needed(&keeper.view(&files, 2));
    let choice = choose(&keeper.view(&files, 2));
    assert!(choice.leave.len() > 50 && order.starts_with(&choice.leave[..50]));
    assert!(choice.leave.iter().all(|cid| keeper.seen.others(cid).is_none_or(|others| others > 0)));
}

#[test]
fn files_that_are_not_in_the_index_leave_and_tiny_quotas_hold_what_fits() {
    let mut dice = Dice::of(5);
    let mut files = dice.files(100);
    let mut keeper = Keeper::new(dice.key(), 5000);
    files.push(ShareFile { size: 4999, ..dice.file() });
    files.push(ShareFile { size: u64::MAX, ..dice.file() });
    files.push(ShareFile { size: u64::MAX, ..dice.file() });
    let choice = keeper.round(&files, 1, |_| Some(0));
    assert!(!choice.take.is_empty());
    keeper.quota = 0;
    assert_eq!(keeper.round(&files, 2, |_| Some(0)).leave.len(), choice.take.len());
    keeper.quota = u64::MAX;
    let choice = keeper.round(&[], 3, |_| Some(0));
    assert_eq!(choice, ShareChoice::default(), "an empty index");
}

#[test]
fn a_few_bounded_turns_see_a_small_index_whole() {
    let mut dice = Dice::of(6);
    let files = dice.files(3000);
    let mut keeper = Keeper::new(dice.key(), bytes(&files) / 10);
    let mut asked = HashSet::new();
    for round in 1..=6 {
        let list = look(&keeper.view(&files, round));
        assert!(list.len() <= LOOK_MOST);
        assert_eq!(list.iter().collect::<HashSet<_>>().len(), list.len(), "each is asked for once");
        asked.extend(list);
        keeper.round(&files, round, |_| Some(3));
    }
    let unseen = files.iter().filter(|file| !asked.contains(&file.cid) && !keeper.held.contains(&file.cid)).count();
    assert_eq!(unseen, 0, "six rounds see an index of 3,000 files whole");
}

#[test]
fn files_of_which_the_network_says_nothing_keep_no_other_from_its_turn() {
    let mut dice = Dice::of(8);
    let files = dice.files(3000);
    let mut keeper = Keeper::new(dice.key(), bytes(&files) / 10);
    keeper.round(&files, 1, |_| Some(3));
    // A third is never answered.
    let silent: HashSet<Cid> = files.iter().step_by(3).map(|file| file.cid).collect();
    let mut asked = HashSet::new();
    for round in 2..=9 {
        let list = look(&keeper.view(&files, round));
        keeper.seen.ask(&list, round);
        list.iter().filter(|cid| !silent.contains(cid)).for_each(|cid| keeper.seen.note(*cid, 3, round));
        asked.extend(list);
    }
    let unasked = files.iter().filter(|file| !asked.contains(&file.cid) && !keeper.held.contains(&file.cid)).count();
    assert_eq!(unasked, 0, "each of 3,000 files is asked for within eight rounds");
}

#[test]
fn what_a_smaller_quota_lets_go_of_is_counted_first() {
    let mut dice = Dice::of(9);
    let files = dice.files(600);
    let mut keeper = Keeper::new(dice.key(), bytes(&files) / 2);
    keeper.round(&files, 1, |_| Some(3));
    keeper.quota /= 2;
    let list = look(&keeper.view(&files, 2));
    let choice = choose(&keeper.view(&files, 2));
    assert!(!choice.leave.is_empty());
    assert!(choice.leave.iter().take(LOOK_MOST / 2).all(|cid| list.contains(cid)));
    // Those without another holder stay as long as others can go in their place.
    let rare: HashSet<Cid> = choice.leave.iter().step_by(4).copied().collect();
    list.iter().for_each(|cid| keeper.seen.note(*cid, if rare.contains(cid) { 0 } else { 3 }, 2));
    let choice = choose(&keeper.view(&files, 2));
    assert!(!choice.leave.is_empty() && choice.leave.iter().all(|cid| !rare.contains(cid)));
}

/// Makes anything that a keeper may be in: sizes, quota, what is held, what was seen.
fn any_view() -> impl Strategy<Value = (Keeper, Vec<ShareFile>, u32)> {
    let size = prop_oneof![4 => 0..100_000u64, 1 => any::<u64>()];
    let sighting = proptest::option::of((0..8u32, 0..9u32));
    let file = (any::<[u8; 32]>(), size, any::<bool>(), sighting);
    let quota = prop_oneof![4 => 0..3_000_000u64, 1 => any::<u64>()];
    let files = proptest::collection::vec(file, 0..60);
    (any::<[u8; 32]>(), quota, files, 0..60usize, 0..10u32).prop_map(|(key, quota, drawn, listed, round)| {
        let mut keeper = Keeper::new(KeeperKey(key), quota);
        let mut files = Vec::new();
        for (n, (digest, size, is_held, seen)) in drawn.into_iter().enumerate() {
            let cid = Cid::raw(Sha256(digest));
            if is_held {
                keeper.held.insert(cid);
            }
            if let Some((others, round)) = seen {
                keeper.seen.note(cid, others, round);
            }
            // The rest has left the index.
            if n < listed {
                files.push(ShareFile { cid, size });
            }
        }
        (keeper, files, round)
    })
}

proptest! {
    #[test]
    fn no_step_exceeds_the_quota_and_the_same_view_gives_the_same_choice((keeper, files, round) in any_view()) {
        let view = keeper.view(&files, round);
        let choice = choose(&view);
        let mut turned = files.clone();
        turned.reverse();
        prop_assert_eq!(&choice, &choose(&keeper.view(&turned, round)), "in any order of the files");
        let sizes: HashMap<Cid, u128> = files.iter().map(|file| (file.cid, file.size.into())).collect();
        let mut held = keeper.held.clone();
        for cid in &choice.leave {
            prop_assert!(held.remove(cid));
        }
        prop_assert!(held.iter().all(|cid| sizes.contains_key(cid)), "what left the index stays");
        let mut used: u128 = held.iter().map(|cid| sizes[cid]).sum();
        for cid in &choice.take {
            prop_assert!(!keeper.held.contains(cid) && held.insert(*cid));
            used += sizes[cid];
            prop_assert!(used <= keeper.quota.into());
        }
        prop_assert!(used <= keeper.quota.into());
        let order = least_needed(&view);
        prop_assert_eq!(order.iter().copied().collect::<HashSet<_>>(), keeper.held.clone());
        prop_assert!(look(&view).len() <= LOOK_MOST);
    }
}
