//! A year of a fleet: keepers come, go and are offline for days, one percent of the index changes a day, and what a
//! keeper sees is of the day before, partly missing and partly wrong.
//!
//! Each keeper makes a round a day. What it remembers is kept by the number of the file and in the order of its own
//! ranks, which a change of the index alters in a few places: so a thousand keepers of 15,000 files fit into memory, and a
//! year takes minutes. The rule itself is the one of the product, and small fleets compare it with [`choose`].

use std::num::NonZero;
use std::thread;

use super::*;

/// A fleet and its year.
struct Year {
    keepers: usize,
    files: usize,
    days: u32,
    /// The sum of all quotas, in sizes of the index.
    copies: f64,
    /// True to compare each choice with that of a keeper as it is outside of this simulation.
    is_compared: bool,
}

/// Figures of a year.
#[derive(Debug, Default)]
struct YearFigures {
    /// Mean and worst number of files that no keeper holds, beginning with the third week.
    uncovered: (f64, usize),
    /// The same of files that no keeper holds that is online.
    unreachable: (f64, usize),
    /// Files that chance would leave without a keeper.
    chance: f64,
    /// Files fetched a day, in percent of all that are held; those of new keepers apart.
    fetched: f64,
    /// Mean part of the quotas that is used.
    used: f64,
}

/// What a keeper remembers of one file; `u8::MAX` others where they were never counted.
#[derive(Clone, Copy)]
struct YearMark {
    is_held: bool,
    others: u8,
    since: u16,
    round: u16,
    asked: u16,
}

impl YearMark {
    fn since(round: u16) -> Self {
        Self { is_held: false, others: u8::MAX, since: round, round: 0, asked: 0 }
    }

    fn sighting(self) -> Sighting {
        let others = (self.others < u8::MAX).then_some(u32::from(self.others));
        Sighting { since: self.since.into(), others, round: self.round.into(), asked: self.asked.into() }
    }
}

/// A keeper of the year.
struct YearMember {
    key: KeeperKey,
    quota: u64,
    /// Scores and numbers of the files, in its own order.
    ranks: Vec<(u64, u16)>,
    marks: Vec<YearMark>,
    used: u64,
    round: u16,
    is_online: bool,
    dice: Dice,
}

/// The index and its holders, the same for all keepers for a day.
struct YearDay<'a> {
    files: &'a [ShareFile],
    numbers: &'a HashMap<Cid, u16>,
    /// Holders of each file at the end of the day before.
    copies: &'a [u16],
}

fn score(key: KeeperKey, file: &ShareFile) -> u64 {
    let (held, seen) = (HashSet::new(), Sightings::default());
    let view = ShareView { key, quota: 0, files: &[], held: &held, seen: &seen, round: 0 };
    placed(&view, file).score
}

impl YearMember {
    fn new(mut dice: Dice, quota: u64, files: &[ShareFile]) -> Self {
        let key = dice.key();
        let mut ranks: Vec<_> = files.iter().zip(0..).map(|(file, n)| (score(key, file), n)).collect();
        ranks.sort_unstable();
        let marks = vec![YearMark::since(0); files.len()];
        Self { key, quota, ranks, marks, used: 0, round: 0, is_online: true, dice }
    }

    /// Others take the places of the files of these numbers, from the next round on. What it held of them leaves.
    fn changed(&mut self, changed: std::ops::Range<usize>, before: &[ShareFile], after: &[ShareFile]) {
        let since = if self.round == 0 { 0 } else { self.round + 1 };
        for n in changed.clone() {
            if self.marks[n].is_held {
                self.used -= before[n].size;
            }
            self.marks[n] = YearMark::since(since);
        }
        self.ranks.retain(|(_, n)| !changed.contains(&usize::from(*n)));
        self.ranks.extend(changed.map(|n| (score(self.key, &after[n]), n as u16)));
        // Two rows in order: that is what a stable sort is quick at.
        let new = self.ranks.len() - (before.len() / 100).max(1);
        self.ranks[new..].sort_unstable();
        self.ranks.sort();
    }

    fn placed(&self, files: &[ShareFile]) -> Vec<Placed> {
        let placed = |&(score, n): &(u64, u16)| {
            let (ShareFile { cid, size }, mark) = (files[usize::from(n)], self.marks[usize::from(n)]);
            Placed { score, cid, size, is_ranked: false, is_held: mark.is_held, seen: mark.sighting() }
        };
        self.ranks.iter().map(placed).collect()
    }

    /// Makes a round, and returns the number of files that it took.
    fn round(&mut self, day: &YearDay<'_>, is_compared: bool) -> usize {
        self.round += 1;
        let (held, seen) = (HashSet::new(), Sightings::default());
        let (key, quota, round) = (self.key, self.quota, self.round.into());
        let view = ShareView { key, quota, files: &[], held: &held, seen: &seen, round };
        for cid in look_at(&Ranks::with(self.placed(day.files), &view), &view) {
            let n = usize::from(day.numbers[&cid]);
            let mark = &mut self.marks[n];
            mark.asked = self.round;
            let others = day.copies[n].saturating_sub(u16::from(mark.is_held));
            let others = match self.dice.part() {
                lost if lost < 0.05 => continue,
                less if less < 0.08 => others.saturating_sub(1),
                more if more < 0.11 => others + 1,
                _ => others,
            };
            (mark.others, mark.round) = (others.min(20) as u8, self.round);
        }
        let choice = choose_by(&Ranks::with(self.placed(day.files), &view), &view);
        if is_compared {
            assert_eq!(choice, self.as_in_the_product(day.files), "the same rule");
        }
        for cid in &choice.leave {
            let n = usize::from(day.numbers[cid]);
            assert!(std::mem::take(&mut self.marks[n].is_held), "it lets go of what it does not hold");
            self.used -= day.files[n].size;
        }
        for cid in &choice.take {
            let n = usize::from(day.numbers[cid]);
            assert!(!std::mem::replace(&mut self.marks[n].is_held, true), "it takes what it holds");
            self.used += day.files[n].size;
            assert!(self.used <= self.quota, "{} of {}", self.used, self.quota);
        }
        choice.take.len()
    }

    /// Returns the choice of a keeper that remembers the same.
    fn as_in_the_product(&self, files: &[ShareFile]) -> ShareChoice {
        let mut seen = Sightings::default();
        files.iter().zip(&self.marks).for_each(|(file, mark)| _ = seen.0.insert(file.cid, mark.sighting()));
        let held = files.iter().zip(&self.marks).filter(|(_, mark)| mark.is_held).map(|(file, _)| file.cid).collect();
        let round = self.round.into();
        choose(&ShareView { key: self.key, quota: self.quota, files, held: &held, seen: &seen, round })
    }
}

impl Year {
    fn run(&self, seed: u64) -> YearFigures {
        let mut dice = Dice::of(seed);
        // No file is larger than the share of a small keeper.
        let file = |dice: &mut Dice| ShareFile { size: 50_000 + dice.number() % 400_000, ..dice.file() };
        let mut files: Vec<ShareFile> = (0..self.files).map(|_| file(&mut dice)).collect();
        // The largest quota is nine times the smallest.
        let parts: Vec<f64> = (0..self.keepers).map(|_| 0.2 + 1.6 * dice.part()).collect();
        let unit = bytes(&files) as f64 * self.copies / parts.iter().sum::<f64>();
        let member =
            |dice: &mut Dice, quota, files: &[ShareFile]| YearMember::new(Dice::of(dice.number()), quota, files);
        let mut members: Vec<YearMember> =
            parts.iter().map(|part| member(&mut dice, (unit * part) as u64, &files)).collect();
        let mut copies = vec![0; self.files];
        let (mut figures, mut moved, mut kept, mut counted) = (YearFigures::default(), 0, 0, 0);
        for day in 0..self.days {
            let changed = (self.files / 100).max(1);
            let first = (dice.number() % (self.files - changed) as u64) as usize;
            let (before, changed) = (files.clone(), first..first + changed);
            files[changed.clone()].iter_mut().for_each(|place| *place = file(&mut dice));
            copies[changed.clone()].fill(0);
            for member_of in members.iter_mut() {
                match dice.part() < 0.003 {
                    true => *member_of = member(&mut dice, member_of.quota, &files),
                    false => member_of.changed(changed.clone(), &before, &files),
                }
                // Days in a row: a third of what is offline returns.
                member_of.is_online = dice.part() < if member_of.is_online { 0.9 } else { 0.33 };
            }
            let numbers = files.iter().zip(0..).map(|(file, n)| (file.cid, n)).collect();
            let today = YearDay { files: &files, numbers: &numbers, copies: &copies };
            let (took, held) = self.turn(&mut members, &today);
            (moved, kept) = (moved + took, kept + held);
            let count = |is_counted: fn(&YearMember) -> bool| {
                let mut copies = vec![0u16; self.files];
                for member in members.iter().filter(|member| is_counted(member)) {
                    let marks = copies.iter_mut().zip(&member.marks);
                    marks.for_each(|(copies, mark)| *copies += u16::from(mark.is_held));
                }
                copies
            };
            copies = count(|_| true);
            if day >= 14 {
                let lacking = |copies: &[u16]| copies.iter().filter(|number| **number == 0).count();
                let add = |(sum, worst): (f64, usize), now: usize| (sum + now as f64, worst.max(now));
                figures.uncovered = add(figures.uncovered, lacking(&copies));
                figures.unreachable = add(figures.unreachable, lacking(&count(|member| member.is_online)));
                counted += 1;
            }
        }
        let all = bytes(&files) as f64;
        let (used, quota) = members.iter().fold((0, 0), |(used, quota), it| (used + it.used, quota + it.quota));
        figures.used = used as f64 / quota as f64;
        let chance = members.iter().map(|it| 1.0 - (it.quota as f64 / all).min(1.0)).product::<f64>();
        figures.chance = chance * files.len() as f64;
        figures.uncovered.0 /= f64::from(counted);
        figures.unreachable.0 /= f64::from(counted);
        figures.fetched = 100.0 * moved as f64 / kept.max(1) as f64;
        figures
    }

    /// Has those that are online make a round, each by itself: they see the day before. Returns the files that were taken
    /// and those that are held, new keepers apart.
    fn turn(&self, members: &mut [YearMember], today: &YearDay<'_>) -> (usize, usize) {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let each = members.len().div_ceil(threads);
        let round = |member: &mut YearMember| {
            let took = member.round(today, self.is_compared);
            let held = member.marks.iter().filter(|mark| mark.is_held).count();
            if member.round > 4 { (took, held) } else { (0, 0) }
        };
        let add = |sum: (usize, usize), it: (usize, usize)| (sum.0 + it.0, sum.1 + it.1);
        let work =
            |part: &mut [YearMember]| part.iter_mut().filter(|member| member.is_online).map(round).fold((0, 0), add);
        thread::scope(|scope| {
            let work = &work;
            let turns: Vec<_> = members.chunks_mut(each).map(|part| scope.spawn(move || work(part))).collect();
            turns.into_iter().map(|turn| turn.join().expect("rounds that end")).fold((0, 0), add)
        })
    }
}

/// Asserts what holds in every fleet: no more than this part lacks a holder, shares are used, and little is fetched.
fn is_well(figures: &YearFigures, files: usize, lacking: f64) {
    assert!(figures.uncovered.0 < lacking * files as f64, "{figures:?}");
    assert!(figures.uncovered.1 < files / 25, "{figures:?}");
    assert!(figures.unreachable.0 < figures.chance && figures.used > 0.95, "{figures:?}");
    assert!(figures.fetched < 4.0, "{figures:?}");
}

#[test]
fn two_months_of_thirty_keepers_leave_few_files_without_a_holder() {
    let figures = Year { keepers: 30, files: 300, days: 60, copies: 3.0, is_compared: true }.run(1);
    println!("{figures:?}");
    // Hardly more than what has just come.
    is_well(&figures, 300, 0.012);
}

#[test]
#[ignore = "it takes ten minutes: `tests/run nightly` runs it"]
fn a_year_of_a_thousand_keepers_leaves_few_files_without_a_holder() {
    for (copies, lacking) in [(3.0, 0.012), (2.0, 0.04)] {
        let year = Year { keepers: 1000, files: 15_000, days: 365, copies, is_compared: false };
        let figures = year.run(1);
        println!("{copies} copies: {figures:?}");
        is_well(&figures, 15_000, lacking);
    }
}
