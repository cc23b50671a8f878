//! Room on a disk: the smallest one on which a transaction succeeds.

use super::measure::{Figures, Outcome, Skipped};
use super::{large, small};
use crate::real::{CURL, Disk, Mirror, PacmanRoot, Parts, Pkgbuild, Release, Repo, Swarm, scratch};

const MIB: u64 = 1 << 20;

/// Precision of the search, in bytes.
const STEP: u64 = MIB / 4;

/// Measures the MiB that a tmpfs with package cache and store must have, for ours and for curl: found by bisection
/// over its size. One package of 200 MiB, then fifty small ones; by pacman 7 and its download user, then by pacman
/// 6 with root's child.
pub fn small_disk() -> Result<Vec<Outcome>, Skipped> {
    let mut outcomes = Vec::new();
    for packages in [vec![large::package()], small::fifty()] {
        for release in [Release::New, Release::Old] {
            outcomes.push(Ok(needed(&packages, release)?));
        }
    }
    Ok(outcomes)
}

fn needed(packages: &[Pkgbuild], release: Release) -> Result<Figures, Skipped> {
    let (parts, tree, disk) = (Parts::demand(), scratch("tree"), Disk::slot());
    let repo = Repo::new(&parts, tree.path(), "core");
    repo.add(packages);
    let bytes: u64 =
        packages.iter().map(|package| repo.dir().join(package.file_name()).metadata().expect("a package").len()).sum();
    let mirror = Mirror::serve(tree.path());
    let mut swarm = Swarm::install();
    swarm.set("PKGSWARM_STORE_DIR", &disk.store().display().to_string());
    let names: Vec<String> = packages.iter().map(Pkgbuild::name).collect();
    let words: Vec<&str> = std::iter::once("-Sw").chain(names.iter().map(String::as_str)).collect();
    let smallest = |xfer: &str| {
        let pacman = PacmanRoot::new(&parts, release, xfer).parallel(5);
        let pacman = swarm.around(pacman.repo(&repo, &[&format!("{}/core", mirror.url())]));
        pacman.run(&["-Sy"]).ok();
        disk.holds_cache_of(&pacman);
        // Multiples of the step: the first is too small, the second is large enough.
        let (mut small, mut large) = (bytes / 2 / STEP, (bytes * 3 + 64 * MIB) / STEP);
        while large - small > 1 {
            let middle = small.midpoint(large);
            let inserted = disk.insert(middle * STEP)?;
            match pacman.run(&words).status.success() {
                true => large = middle,
                false => small = middle,
            }
            drop(inserted);
        }
        Ok::<f64, Skipped>((large * STEP) as f64 / MIB as f64)
    };
    Ok(Figures::once(smallest(&swarm.xfer_command())?, smallest(CURL)?))
}
