//! A year of a fleet: keepers come, go and are offline for days, one percent of the index changes a day, and what a
//! keeper sees is of the day before, partly missing and partly wrong.

use super::*;

/// A fleet and its year.
struct Year {
    keepers: usize,
    files: usize,
    days: u32,
    /// The sum of all quotas, in sizes of the index.
    copies: f64,
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
    /// The mean time of a keeper's round.
    round: std::time::Duration,
}

/// A file's holders in the eyes of the network.
#[derive(Default)]
struct Copies {
    all: HashMap<Cid, u32>,
    online: HashMap<Cid, u32>,
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
        let mut keepers: Vec<Keeper> = parts.iter().map(|part| Keeper::new(dice.key(), (unit * part) as u64)).collect();
        let mut online = vec![true; self.keepers];
        let mut rounds = vec![0; self.keepers];
        let (mut before, mut figures) = (Copies::default(), YearFigures::default());
        let (mut moved, mut kept, mut counted) = (0, 0, 0);
        let (mut took, mut made) = (std::time::Duration::ZERO, 0);
        for day in 0..self.days {
            let changed = self.files / 100;
            let first = (dice.number() % (self.files - changed) as u64) as usize;
            files.splice(first..first + changed, (0..changed).map(|_| file(&mut dice)));
            let sizes: HashMap<Cid, u64> = files.iter().map(|file| (file.cid, file.size)).collect();
            for n in 0..self.keepers {
                if dice.part() < 0.003 {
                    (keepers[n], rounds[n]) = (Keeper::new(dice.key(), keepers[n].quota), 0);
                }
                // Days in a row: a third of what is offline returns.
                online[n] = if online[n] { dice.part() > 0.1 } else { dice.part() < 0.33 };
                if !online[n] {
                    continue;
                }
                rounds[n] += 1;
                let began = std::time::Instant::now();
                let choice = keepers[n].round_of(&files, &sizes, rounds[n], |cid, holds| {
                    let others = before.all.get(cid).copied().unwrap_or(0).saturating_sub(u32::from(holds));
                    match dice.part() {
                        lost if lost < 0.05 => None,
                        less if less < 0.08 => Some(others.saturating_sub(1)),
                        more if more < 0.11 => Some(others + 1),
                        _ => Some(others),
                    }
                });
                (took, made) = (took + began.elapsed(), made + 1);
                if rounds[n] > 4 {
                    moved += choice.take.len();
                    kept += keepers[n].held.len();
                }
            }
            before = Copies::default();
            for (keeper, online) in keepers.iter().zip(&online) {
                for cid in &keeper.held {
                    *before.all.entry(*cid).or_default() += 1;
                    *before.online.entry(*cid).or_default() += u32::from(*online);
                }
            }
            let lacking = |copies: &HashMap<Cid, u32>| {
                files.iter().filter(|file| copies.get(&file.cid).is_none_or(|number| *number == 0)).count()
            };
            if day >= 14 {
                let (uncovered, unreachable) = (lacking(&before.all), lacking(&before.online));
                figures.uncovered = (figures.uncovered.0 + uncovered as f64, figures.uncovered.1.max(uncovered));
                figures.unreachable =
                    (figures.unreachable.0 + unreachable as f64, figures.unreachable.1.max(unreachable));
                counted += 1;
            }
        }
        let all = bytes(&files);
        let sizes: HashMap<Cid, u64> = files.iter().map(|file| (file.cid, file.size)).collect();
        let held = keepers.iter().flat_map(|keeper| &keeper.held).filter_map(|cid| sizes.get(cid)).sum::<u64>();
        figures.used = held as f64 / keepers.iter().map(|keeper| keeper.quota).sum::<u64>() as f64;
        let chance = keepers.iter().map(|keeper| 1.0 - (keeper.quota as f64 / all as f64).min(1.0)).product::<f64>();
        figures.chance = chance * files.len() as f64;
        figures.uncovered.0 /= f64::from(counted);
        figures.unreachable.0 /= f64::from(counted);
        figures.fetched = 100.0 * moved as f64 / kept.max(1) as f64;
        figures.round = took / made;
        figures
    }
}

/// Asserts what holds in every fleet: nearly everything has a holder, shares are used, and little is fetched.
fn is_well(figures: &YearFigures, files: usize) {
    assert!(figures.uncovered.0 < 0.012 * files as f64, "more than what has just come lacks a holder: {figures:?}");
    assert!(figures.uncovered.1 < files / 25, "{figures:?}");
    assert!(figures.unreachable.0 < figures.chance && figures.used > 0.95, "{figures:?}");
    assert!(figures.fetched < 4.0, "{figures:?}");
}

#[test]
fn two_months_of_thirty_keepers_leave_few_files_without_a_holder() {
    let year = Year { keepers: 30, files: 300, days: 60, copies: 3.0 };
    let figures = year.run(1);
    println!("{figures:?}");
    is_well(&figures, 300);
}

#[test]
#[ignore = "it takes half an hour: `tests/run nightly` runs it"]
fn a_year_of_a_thousand_keepers_leaves_few_files_without_a_holder() {
    for copies in [3.0, 2.0] {
        let figures = Year { keepers: 1000, files: 15_000, days: 365, copies }.run(1);
        println!("{copies} copies: {figures:?}");
        is_well(&figures, 15_000);
    }
}
