//! A Kubo on the network behind a slow line: what it has comes as fast as the line carries it, however long a block takes.

use std::time::{Duration, Instant};

use super::kubo_beside;
use super::real::{Kubo, Machine, Pkgbuild, Scene, noise_file, scratch};

const MIB: u64 = 1 << 20;

/// Megabits a second, and a file that takes some seconds at that.
const LINES: [(f64, u64); 4] = [(50.0, 24 * MIB), (16.0, 9 * MIB), (4.0, 4 * MIB), (1.6, 3 * MIB)];

/// More than what the line takes for so many bytes: a busy machine must not fail, one that starts again must.
fn limit(megabits: f64, bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / 1e6 / megabits * 1.5 + 3.0)
}

fn fetched(machine: &Machine, kubo: &Kubo, megabits: f64, size: u64) {
    let dir = scratch("slow");
    let (path, got) = (dir.path().join("file"), dir.path().join("got"));
    noise_file(&path, size);
    let cid = kubo.add(&path);
    let begun = Instant::now();
    let words = ["fetch", &cid, "--source", "lan", "--output", &got.display().to_string()];
    let ran = machine.swarm.run(&words).ok();
    let took = begun.elapsed();
    assert!(std::fs::read(&got).expect("a file") == std::fs::read(&path).expect("a file"), "{ran}");
    assert!(took < limit(megabits, size), "{megabits} Mbit/s: {took:?}");
}

#[test]
fn a_file_comes_by_its_cid_over_every_line() {
    let scene = Scene::new(&[Pkgbuild::new("alpha", "1-1")], 1);
    let (host, kubo) = kubo_beside(&scene);
    scene.machines[0].daemon.meets(1);
    for (megabits, size) in LINES {
        host.throttle((megabits * 125_000.0) as u64);
        fetched(&scene.machines[0], &kubo, megabits, size);
    }
}

#[test]
fn a_package_comes_over_every_line() {
    let packages =
        LINES.map(|(megabits, size)| Pkgbuild::new(&format!("p{}", (megabits * 10.0) as u32), "1-1").size(size));
    let scene = Scene::new(&packages, 1);
    let (host, kubo) = kubo_beside(&scene);
    let machine = &scene.machines[0];
    machine.daemon.meets(1);
    for ((megabits, size), package) in LINES.into_iter().zip(&packages) {
        host.throttle((megabits * 125_000.0) as u64);
        let path = scene.repo.dir().join(package.file_name());
        let root = kubo.add(&path);
        let begun = Instant::now();
        assert_eq!(machine.daemon.get(&path, Some(&root)).as_deref(), Ok("done"), "{megabits} Mbit/s");
        assert!(begun.elapsed() < limit(megabits, size), "{megabits} Mbit/s: {:?}", begun.elapsed());
    }
}
