//! Slow lines: a file by its CID from a neighbour's Kubo, against `ipfs cat`.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Instant;

use super::measure::{BenchRun, Outcome, Skipped, time};
use crate::real::{
    Kubo, Lan, PacmanRoot, Parts, Pkgbuild, Release, Repo, Routing, Swarm, give_to_user, noise_file, scratch,
};

const MIB: u64 = 1 << 20;

/// Bytes a second, and a file that takes eight seconds at that; sixteen on the slowest, where it has three leaves.
const LINES: [(u64, u64); 4] = [(6_250_000, 48 * MIB), (2_000_000, 16 * MIB), (500_000, 4 * MIB), (200_000, 3 * MIB)];

/// By a daemon that has no Kubo beside it.
pub fn by_daemon(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    compare(run, false)
}

/// By the Kubo of this machine.
pub fn by_kubo(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    compare(run, true)
}

fn compare(run: &BenchRun, by_kubo: bool) -> Result<Vec<Outcome>, Skipped> {
    let (parts, lan, tree) = (Parts::demand(), Lan::new(), scratch("tree"));
    let (has, cats, beside) = (lan.host(), lan.host(), lan.host());
    let host = if by_kubo { &cats } else { &beside };
    let there = Kubo::start_on(&parts, &has, Routing::None);
    let here = Kubo::start_on(&parts, &cats, Routing::None);
    here.meets(&there);
    let repo = Repo::new(&parts, tree.path(), "core");
    repo.add(&[Pkgbuild::new("small", "1-1")]);
    let swarm = Swarm::install().on(host);
    let swarm = if by_kubo { swarm.with_kubo(&here) } else { swarm.sharing("core", "any") };
    let pacman = PacmanRoot::new(&parts, Release::New, &swarm.xfer_command());
    let pacman = swarm.around(pacman.repo(&repo, &["http://10.77.0.250/core"]));
    let daemon = (!by_kubo).then(|| swarm.daemon(&pacman));
    if let Some(daemon) = &daemon {
        daemon.meets(2);
    }
    let into = scratch("got");
    give_to_user(into.path());
    let line = |(rate, size): (u64, u64)| {
        // Both go over the same line, so it need not be proven to be what it claims.
        has.throttle(rate);
        let path = tree.path().join("file");
        noise_file(&path, size);
        let cid = there.add(&path);
        let forget = || drop(here.ipfs(&["repo", "gc", "--quiet"]).ok());
        let output = |name: &str| {
            let path = into.path().join(name);
            let _ = fs::remove_file(&path);
            path
        };
        let ours = || {
            forget();
            let (output, source) = (output("ours"), if by_kubo { "kubo" } else { "lan" });
            let mut fetch =
                swarm.command_as_user(&["fetch", &cid, "--source", source, "-o", &output.display().to_string()]);
            fetch.env("PKGSWARM_PACMAN_CONF", pacman.config());
            fetch.env("PATH", format!("{}:/usr/bin:/bin", pacman.bin().display()));
            let took = time(&mut fetch).0.as_secs_f64();
            assert_eq!(output.metadata().expect("what was fetched").len(), size);
            took
        };
        let theirs = || {
            forget();
            let output = output("theirs");
            let mut cat = here.call(&["cat", &cid]);
            cat.stdout(File::create(&output).expect("our directory")).stderr(Stdio::null());
            let begun = Instant::now();
            assert!(cat.status().expect("ipfs").success(), "ipfs cat");
            assert_eq!(output.metadata().expect("what was fetched").len(), size);
            begun.elapsed().as_secs_f64()
        };
        run.pairs(ours, theirs).pop().expect("one rival")
    };
    Ok(LINES.into_iter().map(line).collect())
}
