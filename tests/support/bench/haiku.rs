//! A list of a Haiku repository of the size of Haiku's own: the time and the memory of reading it.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pkgswarm::lists::haiku::HpkrLimits;
use pkgswarm::lists::haiku::hpkr::packages;

use super::hpkr::{HpkrPackage, HpkrWriter};
use super::measure::{Figures, Outcome, high_water};
use crate::real::scratch;

/// The argument with which this program reads one list and prints its microseconds, and the bytes of its memory.
pub const LIST: &str = "--one-list";

/// Packages of HaikuPorts for one architecture, in 2021.
const COUNT: u64 = 2333;

/// Rounds, of which the best counts.
const ROUNDS: usize = 10;

/// Writes a list with texts of its own for each package: 2.5 MB unpacked, as much as that of HaikuPorts.
fn list() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{:x}", state >> 40)
    };
    let listed: Vec<HpkrPackage> = (0..COUNT)
        .map(|number| HpkrPackage {
            version: [Some(number % 9).map(|n| n.to_string()), Some(word()), None, Some("beta2".to_owned())],
            description: (0..120).map(|_| word()).collect::<Vec<_>>().join(" "),
            ..HpkrPackage::of(&format!("package_{number}"), &number.to_be_bytes())
        })
        .collect();
    HpkrWriter::of(&listed).file()
}

/// Measures milliseconds and megabytes of reading it in a fresh process, against sha256sum, which pkgman has as well.
pub fn reading() -> (Outcome, Outcome) {
    let dir = scratch("haiku");
    let path = dir.path().join("repo");
    fs::write(&path, list()).expect("our directory");
    let own = std::env::current_exe().expect("this program");
    let (mut best, mut most) = ((f64::MAX, f64::MAX), (0_f64, 0_f64));
    for _ in 0..ROUNDS {
        let said = Command::new(&own).arg(LIST).arg(&path).output().expect("a child").stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let figures: Vec<f64> = said.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [micros, bytes, before] = figures[..] else { panic!("{said}") };
        best.0 = best.0.min(micros / 1e3);
        most = (most.0.max(bytes / 1e6), most.1.max(before / 1e6));
        let start = Instant::now();
        assert!(Command::new("sha256sum").arg(&path).output().expect("sha256sum").status.success());
        best.1 = best.1.min(start.elapsed().as_secs_f64() * 1e3);
    }
    (Ok(Figures::once(best.0, best.1)), Ok(Figures::once(most.0, most.1)))
}

/// Does the child's work.
pub fn one_list(path: &str) {
    let memory = || high_water(Path::new("/proc/self")).expect("a figure of the kernel");
    let (before, start) = (memory(), Instant::now());
    let file = BufReader::new(File::open(path).expect("a list"));
    let read = packages(file, &HpkrLimits::default()).expect("a sound list");
    let took = start.elapsed();
    assert_eq!(read.len() as u64, COUNT);
    println!("{} {} {before}", took.as_nanos() as f64 / 1e3, memory());
}
