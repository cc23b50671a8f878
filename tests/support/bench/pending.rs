//! Two hundred pending updates, as after two weeks: fetched ahead, against pacman's own download of an upgrade.

use std::fs;

use super::measure::{self, BenchRun, Outcome, Skipped};
use super::scene::{Setup, Who};
use super::{small, wire};
use crate::real::{PacmanRoot, Pkgbuild};

const COUNT: u32 = 200;

/// Measures seconds of `pkgswarm prefetch`, the refresh of the database included, against `pacman -Swu`, with a
/// distant mirror.
pub fn prefetch(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let packages = small::packages(COUNT);
    let scene = Setup::of(&packages).signed().between(&client, &server).build();
    let own = scene.pacman_with("", &scene.server());
    for pacman in [&own, scene.pacman()] {
        packages.iter().for_each(|package| has_older(pacman, package));
    }
    let ours = || {
        scene.count(run, || {
            let (took, said) = measure::time(&mut scene.ours(Who::User, &["prefetch", "--now"]));
            assert!(said.contains("200 of 200 updates are here"), "{said}");
            took.as_secs_f64()
        })
    };
    let theirs = || {
        scene.put_away(&own.cache());
        let took = own.run(&["-Swu"]).ok().took;
        let files = own.cache_files();
        assert_eq!(files.iter().filter(|file| file.ends_with(".zst")).count(), packages.len(), "{files:?}");
        took.as_secs_f64()
    };
    Ok(run.pairs(ours, theirs))
}

/// Records that an older version is installed, which is all that counts for an upgrade.
fn has_older(pacman: &PacmanRoot, package: &Pkgbuild) {
    let name = package.name();
    let dir = pacman.db().join("local").join(format!("{name}-0.9-1"));
    fs::create_dir_all(&dir).expect("a directory");
    let desc = format!("%NAME%\n{name}\n\n%VERSION%\n0.9-1\n\n%BASE%\n{name}\n\n%ARCH%\nany\n\n");
    fs::write(dir.join("desc"), desc).expect("an installed package");
    fs::write(dir.join("files"), "%FILES%\n").expect("an installed package");
}
