//! The cost of asking a Kubo that does not have the files.

use super::large::lonely_kubo;
use super::measure::{BenchRun, Outcome};
use super::scene::Setup;
use super::small;
use crate::real::Kubo;

/// Measures seconds of `-Sw` of fifty small packages that only the mirror has, with the local Kubo as changed by
/// `ails`, against the same without asking it.
pub fn miss(run: &BenchRun, ails: fn(&mut Kubo)) -> Vec<Outcome> {
    let (mut kubo, packages) = (lonely_kubo(), small::fifty());
    let scene = Setup::of(&packages).kubo(&kubo).build();
    let without = scene.pacman_with(&scene.swarm.xfer_command(), &scene.server()).env("PKGSWARM_KUBO_ENABLED", "false");
    ails(&mut kubo);
    let ours = || scene.count(run, || scene.download(scene.pacman(), &packages));
    let theirs = || scene.count(run, || scene.download(&without, &packages));
    run.pairs(ours, theirs)
}
