//! The figures behind the promises of speed: each case runs pkgswarm and the user's alternative in turn, with real
//! programs, and compares the median of the ratios with a bar. `tests/bench` builds and starts this.

#[path = "support/bench/mod.rs"]
mod bench;
#[path = "support/real/mod.rs"]
mod real;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use bench::cases::{CASES, Case, Rival};
use bench::measure::{BenchRun, Compared, Figures, Old, Outcome, Skipped, Traffic};

struct Wanted {
    json: bool,
    list: bool,
    rounds: usize,
    old: Option<PathBuf>,
    names: Vec<String>,
}

impl Wanted {
    fn from(mut words: impl Iterator<Item = String>) -> Result<Wanted, String> {
        let mut wanted = Wanted { json: false, list: false, rounds: 5, old: None, names: Vec::new() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--json" => wanted.json = true,
                "--list" => wanted.list = true,
                "--case" => wanted.names.push(value()?),
                "--pairs" => {
                    let rounds = value()?.parse().ok().filter(|rounds| (1..=100).contains(rounds));
                    wanted.rounds = rounds.ok_or("--pairs needs a number from 1 to 100")?;
                }
                "--old" => {
                    let dir = PathBuf::from(value()?);
                    let is_there = dir.join("pkgswarm").is_file();
                    wanted.old = Some(dir.canonicalize().ok().filter(|_| is_there).ok_or("no pkgswarm in --old")?);
                }
                other => return Err(format!("unknown argument {other}")),
            }
        }
        let unknown = wanted.names.iter().find(|name| CASES.iter().all(|case| case.name != **name));
        match unknown {
            Some(name) => Err(format!("no case is called {name}; --list shows them")),
            None => Ok(wanted),
        }
    }

    fn cases(&self) -> impl Iterator<Item = &'static Case> {
        CASES.iter().filter(|case| self.names.is_empty() || self.names.iter().any(|name| name == case.name))
    }
}

fn main() -> ExitCode {
    if let [_, word, state, name] = &std::env::args().collect::<Vec<_>>()[..]
        && word == bench::index::LOOKUP
    {
        bench::index::one_lookup(state, name);
        return ExitCode::SUCCESS;
    }
    if let [_, word, list] = &std::env::args().collect::<Vec<_>>()[..]
        && word == bench::haiku::LIST
    {
        bench::haiku::one_list(list);
        return ExitCode::SUCCESS;
    }
    let wanted = match Wanted::from(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("bench: {why}");
            return ExitCode::from(2);
        }
    };
    if wanted.list {
        wanted.cases().for_each(|case| println!("{:<17} {}", case.name, case.what));
        return ExitCode::SUCCESS;
    }
    if !wanted.json {
        println!("{}\n", machine());
        println!("{:<17} {:<14} {:>9} {:>9} {:<4} {:>6}  bar", "case", "against", "ours", "theirs", "", "ratio");
    }
    if let Some(programs) = &wanted.old {
        return against_old(&wanted, programs);
    }
    let run = BenchRun { rounds: wanted.rounds, traffic: Traffic::default(), old: None };
    let (mut missed, mut skipped) = (false, false);
    for case in wanted.cases() {
        // The panic tells what broke in one case; the other cases still run.
        let Ok(outcomes) = catch_unwind(AssertUnwindSafe(|| case.outcomes(&run))) else {
            missed = true;
            broken(case, wanted.json);
            continue;
        };
        for (rival, outcome) in case.rivals.iter().zip(outcomes) {
            match &outcome {
                Ok(figures) => missed |= !rival.bar.is_met(figures),
                Err(_) => skipped = true,
            }
            if wanted.json { json_line(case, rival, &outcome) } else { table_line(case, rival, &outcome) }
        }
    }
    match (missed, skipped) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(3),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// Compares the program with an older one, case by case. Cases that are not measured in pairs are left out.
fn against_old(wanted: &Wanted, programs: &Path) -> ExitCode {
    let old = Rc::new(Old { programs: programs.to_owned(), compared: RefCell::default() });
    let run = BenchRun { rounds: wanted.rounds, traffic: Traffic::default(), old: Some(Rc::clone(&old)) };
    let mut is_slower = false;
    for case in wanted.cases() {
        let ran = catch_unwind(AssertUnwindSafe(|| drop(case.outcomes(&run))));
        let compared = old.compared.take();
        if ran.is_err() {
            is_slower = true;
            broken(case, wanted.json);
        }
        for Compared { figures, larger, pairs } in compared {
            // More is better for speeds, less for all else.
            let (ratio, worse) = match case.unit {
                "MB/s" => (1.0 / figures.ratio, pairs - larger),
                _ => (figures.ratio, larger),
            };
            is_slower |= ratio > SLOWER;
            let Figures { ours, theirs, .. } = figures;
            if wanted.json {
                let line = serde_json::json!({
                    "case": case.name, "against": "old", "ours": ours, "theirs": theirs, "unit": case.unit,
                    "cost": ratio, "worse": worse, "pairs": pairs, "ok": ratio <= SLOWER,
                });
                println!("{line}");
            } else {
                let verdict = if ratio <= SLOWER { "" } else { "  MISSED" };
                let unit = case.unit;
                print!("{:<17} {:<14} {ours:>9.3} {theirs:>9.3} {unit:<4} {ratio:>6.3}  ", case.name, "old");
                println!("cost <= {SLOWER}; worse in {worse} of {pairs} pairs{verdict}");
            }
        }
    }
    if is_slower { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Most cost of the new program, relative to the old one.
const SLOWER: f64 = 1.05;

fn broken(case: &Case, json: bool) {
    if json {
        println!("{}", serde_json::json!({ "case": case.name, "ok": false, "broken": true }));
    } else {
        println!("{:<17} BROKEN: see above", case.name);
    }
}

fn json_line(case: &Case, rival: &Rival, outcome: &Outcome) {
    let bar = rival.bar.to_string();
    let line = match outcome {
        Ok(figures) => serde_json::json!({
            "case": case.name, "against": rival.name, "ours": figures.ours, "theirs": figures.theirs,
            "unit": case.unit, "ratio": figures.ratio, "bar": bar, "ok": rival.bar.is_met(figures),
        }),
        Err(Skipped(why)) => serde_json::json!({
            "case": case.name, "against": rival.name, "bar": bar, "ok": false, "skipped": why,
        }),
    };
    println!("{line}");
}

fn table_line(case: &Case, rival: &Rival, outcome: &Outcome) {
    print!("{:<17} {:<14} ", case.name, rival.name);
    match outcome {
        Ok(figures) => {
            let Figures { ours, theirs, ratio } = figures;
            let verdict = if rival.bar.is_met(figures) { "" } else { "  MISSED" };
            println!("{ours:>9.2} {theirs:>9.2} {:<4} {ratio:>6.2}  {}{verdict}", case.unit, rival.bar);
        }
        Err(Skipped(why)) => println!("SKIPPED: {why}"),
    }
}

/// Describes the machine of these figures.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("?", |(_, value)| value.trim()).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores of {}, Linux {}, load {} at the start",
        field(&read("/proc/cpuinfo"), "model name"),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or("?"),
    )
}
