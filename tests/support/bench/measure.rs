//! Runs in turn, their medians, bytes from mirrors, and the peak memory of processes.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::real::with_programs_of;

/// Two medians, and the median of the ratios pair by pair.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// The median of pkgswarm.
    pub ours: f64,
    /// The median of the rival.
    pub theirs: f64,
    /// The median ratio of ours to theirs.
    pub ratio: f64,
}

impl Figures {
    /// Computes the figures of pairs.
    fn of(pairs: &[(f64, f64)]) -> Figures {
        Figures {
            ours: median(pairs.iter().map(|pair| pair.0)),
            theirs: median(pairs.iter().map(|pair| pair.1)),
            ratio: median(pairs.iter().map(|pair| pair.0 / pair.1)),
        }
    }

    /// Makes figures of a single measurement.
    pub fn once(ours: f64, theirs: f64) -> Figures {
        Figures { ours, theirs, ratio: ours / theirs }
    }
}

/// The reason why a case cannot be measured on this machine.
#[derive(Clone, Debug)]
pub struct Skipped(pub String);

impl From<String> for Skipped {
    fn from(why: String) -> Skipped {
        Skipped(why)
    }
}

/// The result against one rival.
pub type Outcome = Result<Figures, Skipped>;

/// A rival, measured once a call.
pub type Rival<'a> = Result<Box<dyn FnMut() -> f64 + 'a>, Skipped>;

/// One run of the bench.
pub struct BenchRun {
    /// Number of rounds that count.
    pub rounds: usize,
    /// Bytes of all cases so far from mirrors.
    pub traffic: Traffic,
    /// Set when the program is compared with an older one instead of with rivals.
    pub old: Option<Rc<Old>>,
}

/// The programs of an older version.
pub struct Old {
    /// The directory that they are in.
    pub programs: PathBuf,
    /// The figures of the case that has just run.
    pub compared: RefCell<Vec<Compared>>,
}

/// A version against an older one.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Their medians and the median of the ratios.
    pub figures: Figures,
    /// Number of pairs in which ours had the larger figure.
    pub larger: usize,
    /// Number of pairs.
    pub pairs: usize,
}

impl BenchRun {
    /// Returns the same run with `times` the rounds, for calls so short that the noise requires it.
    pub fn times(&self, times: usize) -> BenchRun {
        BenchRun { rounds: self.rounds * times, traffic: Traffic::default(), old: self.old.clone() }
    }

    /// Returns the same run with so many rounds at most, for runs that take long.
    pub fn at_most(&self, rounds: usize) -> BenchRun {
        BenchRun { rounds: self.rounds.min(rounds), traffic: Traffic::default(), old: self.old.clone() }
    }

    /// Measures ours and theirs in turn, after one pair that does not count.
    pub fn pairs<'a>(&self, ours: impl FnMut() -> f64, theirs: impl FnMut() -> f64 + 'a) -> Vec<Outcome> {
        self.in_turn(ours, vec![Ok(Box::new(theirs))])
    }

    /// Measures ours in turn with every rival.
    pub fn in_turn(&self, mut ours: impl FnMut() -> f64, rivals: Vec<Rival>) -> Vec<Outcome> {
        if let Some(old) = &self.old {
            old.compared.borrow_mut().push(self.against(old, ours));
            return rivals.iter().map(|_| Err(Skipped("compared with an older version".into()))).collect();
        }
        let mut measured: Vec<_> = rivals.into_iter().map(|rival| rival.map(|run| (run, Vec::new()))).collect();
        for round in 0..=self.rounds {
            let of_ours = ours();
            for (theirs, pairs) in measured.iter_mut().flatten() {
                let pair = (of_ours, theirs());
                if round > 0 {
                    pairs.push(pair);
                }
            }
        }
        measured.into_iter().map(|rival| rival.map(|(_, pairs)| Figures::of(&pairs))).collect()
    }

    /// Measures ours with the programs under test and with the old ones, after one pair that does not count. The
    /// order alternates from pair to pair.
    fn against(&self, old: &Old, mut ours: impl FnMut() -> f64) -> Compared {
        let mut pairs = Vec::new();
        for round in 0..=self.rounds {
            let theirs = |ours: &mut dyn FnMut() -> f64| with_programs_of(&old.programs, ours);
            let pair = if round % 2 == 0 {
                let new = ours();
                (new, theirs(&mut ours))
            } else {
                let old = theirs(&mut ours);
                (ours(), old)
            };
            if round > 0 {
                pairs.push(pair);
            }
        }
        let larger = pairs.iter().filter(|(ours, theirs)| ours > theirs).count();
        Compared { figures: Figures::of(&pairs), larger, pairs: pairs.len() }
    }
}

/// Bytes that our runs took from mirrors, by the mirrors' count, and the sizes of the wanted files.
#[derive(Default)]
pub struct Traffic {
    taken: Cell<u64>,
    wanted: Cell<u64>,
}

impl Traffic {
    /// Counts one run.
    pub fn add(&self, taken: u64, wanted: u64) {
        self.taken.set(self.taken.get() + taken);
        self.wanted.set(self.wanted.get() + wanted);
    }

    /// Returns megabytes, taken against wanted.
    pub fn figures(&self) -> Outcome {
        match self.wanted.get() {
            0 => Err(Skipped("it sums up cases with mirrors, and none was measured".into())),
            wanted => Ok(Figures::once(self.taken.get() as f64 / 1e6, wanted as f64 / 1e6)),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Measures a command, from before its start to its end; returns its stderr too. It must succeed.
pub fn time(command: &mut Command) -> (Duration, String) {
    let said = tempfile::tempfile().expect("a temporary file");
    command.stdout(Stdio::null()).stderr(said.try_clone().expect("a descriptor"));
    let start = Instant::now();
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = start.elapsed();
    let mut text = String::new();
    std::io::Seek::rewind(&mut &said)
        .and_then(|()| std::io::Read::read_to_string(&mut &said, &mut text))
        .expect("text");
    assert!(status.success(), "{command:?}: {status}\n{text}");
    (took, text)
}

/// Watches the memory of every process of one program.
///
/// The kernel's own peak (`VmHWM`) is read again and again, because a detached process has no parent here to
/// report it, and `getrusage` counts the process before its exec as well.
pub struct Peak {
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl Peak {
    /// Starts watching.
    pub fn of(program: &Path) -> Peak {
        let stop = Arc::new(AtomicBool::new(false));
        let (program, stopped) = (program.to_owned(), Arc::clone(&stop));
        let watcher = std::thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = processes(&program).filter_map(|process| high_water(&process)).fold(peak, u64::max);
                std::thread::sleep(Duration::from_millis(3));
            }
            peak
        });
        Peak { stop, watcher }
    }

    /// Returns the peak of the largest one, in megabytes.
    pub fn megabytes(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        let bytes = self.watcher.join().expect("the watcher");
        assert!(bytes > 0, "no process of the program was seen");
        bytes as f64 / 1e6
    }
}

fn processes(program: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    entries.filter(move |process| fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program))
}

/// Reads the peak of the process with this directory in `/proc`, in bytes; `None` when it has just ended.
pub fn high_water(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
