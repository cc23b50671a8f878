//! The figures behind the promises of speed: each case runs pkgswarm and what a user would run instead in turn, with
//! real programs, and compares the median of the ratios with a bar. `tests/bench` builds and starts this.

#[path = "support/bench/mod.rs"]
mod bench;
#[path = "support/real/mod.rs"]
mod real;

use std::fmt;
use std::process::ExitCode;

use bench::cases::CASES;
use bench::measure::Figures;

/// What a case must reach.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Ours divided by theirs, at most this: for times.
    RatioAtMost(f64),
    /// Ours divided by theirs, at least this: for speeds.
    RatioAtLeast(f64),
    /// Ours at most this much more than theirs.
    OursAtMostMore(f64),
    /// Ours below this, whatever theirs is.
    OursBelow(f64),
    /// Shown for comparison, promised nowhere.
    None,
}

impl Bar {
    fn is_met(self, figures: &Figures) -> bool {
        match self {
            Bar::RatioAtMost(bar) => figures.ratio <= bar,
            Bar::RatioAtLeast(bar) => figures.ratio >= bar,
            Bar::OursAtMostMore(bar) => figures.ours <= figures.theirs + bar,
            Bar::OursBelow(bar) => figures.ours < bar,
            Bar::None => true,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bar::RatioAtMost(bar) => write!(f, "ratio <= {bar:?}"),
            Bar::RatioAtLeast(bar) => write!(f, "ratio >= {bar:?}"),
            Bar::OursAtMostMore(bar) => write!(f, "ours <= theirs + {bar}"),
            Bar::OursBelow(bar) => write!(f, "ours < {bar}"),
            Bar::None => f.write_str("none"),
        }
    }
}

struct Wanted {
    json: bool,
    list: bool,
    pairs: usize,
    names: Vec<String>,
}

impl Wanted {
    fn from(mut words: impl Iterator<Item = String>) -> Result<Wanted, String> {
        let mut wanted = Wanted { json: false, list: false, pairs: 5, names: Vec::new() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--json" => wanted.json = true,
                "--list" => wanted.list = true,
                "--case" => wanted.names.push(value()?),
                "--pairs" => {
                    let pairs = value()?.parse().ok().filter(|pairs| (1..=100).contains(pairs));
                    wanted.pairs = pairs.ok_or("--pairs needs a number from 1 to 100")?;
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

    fn cases(&self) -> impl Iterator<Item = &'static bench::cases::Case> {
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
    let wanted = match Wanted::from(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("bench: {why}");
            return ExitCode::from(2);
        }
    };
    if wanted.list {
        wanted.cases().for_each(|case| println!("{:<18} {}", case.name, case.what));
        return ExitCode::SUCCESS;
    }
    if !wanted.json {
        println!("{}\n", machine());
        println!("{:<18} {:>10} {:>10} {:>4} {:>7}  bar", "case", "ours", "theirs", "", "ratio");
    }
    let mut all_met = true;
    for case in wanted.cases() {
        let figures = (case.run)(wanted.pairs);
        let met = case.bar.is_met(&figures);
        all_met &= met;
        let Figures { ours, theirs, ratio } = figures;
        if wanted.json {
            let bar = case.bar.to_string();
            let line = serde_json::json!({
                "case": case.name, "ours": ours, "theirs": theirs, "unit": case.unit, "ratio": ratio, "bar": bar,
                "ok": met,
            });
            println!("{line}");
        } else {
            let verdict = if met { "" } else { "  MISSED" };
            println!(
                "{:<18} {ours:>10.2} {theirs:>10.2} {:>4} {ratio:>7.2}  {}{verdict}",
                case.name, case.unit, case.bar
            );
        }
    }
    if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What these figures were measured on.
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
