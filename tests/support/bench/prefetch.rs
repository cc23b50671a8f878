//! Fetching pending updates before anybody asks.

use std::fs;
use std::path::PathBuf;

use super::measure::{Outcome, Run, Skipped, time};
use super::scene::{Setup, Who};
use super::{small, wire};
use crate::real::PacmanRoot;

/// As after some weeks.
const PENDING: u32 = 200;

/// Seconds that `prefetch` takes for all pending updates and their signatures, the mirror far away, against `-Swu` with
/// pacman's own downloader.
pub fn far(run: &Run) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let (old, new) = (small::packages(PENDING, "1-1"), small::packages(PENDING, "1-2"));
    let scene = Setup::of(&old).signed().between(&client, &server).build();
    if !scene.swarm.run(&["prefetch", "--help"]).status.success() {
        return Err(Skipped("this pkgswarm has no prefetch".into()));
    }
    let theirs = scene.pacman_with("", &scene.server());
    let pacmans = [scene.pacman(), &theirs];
    let files: Vec<PathBuf> = old.iter().map(|package| scene.file(package)).collect();
    let words: Vec<&str> = files.iter().map(|file| file.to_str().expect("a plain path")).collect();
    pacmans.iter().for_each(|pacman| drop(pacman.run(&[&["-U"], &words[..]].concat()).ok()));
    for file in &files {
        fs::remove_file(file).and_then(|()| fs::remove_file(file.with_extension("zst.sig"))).expect("the old release");
    }
    scene.repo.add(&new);
    pacmans.iter().for_each(|pacman| drop(pacman.run(&["-Sy"]).ok()));
    let ours = || scene.count(run, || time(&mut scene.ours(Who::User, &["prefetch", "--now"])).0.as_secs_f64());
    Ok(run.pairs(ours, || download(&theirs)))
}

fn download(pacman: &PacmanRoot) -> f64 {
    pacman.clear_cache();
    let took = pacman.run(&["-Swu"]).ok().took;
    assert_eq!(pacman.cache_files().len(), 2 * PENDING as usize, "packages and signatures");
    took.as_secs_f64()
}
