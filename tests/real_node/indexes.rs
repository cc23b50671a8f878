//! Indexes, and files listed by sha256 alone, that neighbours pass on.

use super::real::{Machine, Pkgbuild, Ran, Scene, until};
use super::{KIB, MIB, noise_of, packages};
use std::time::Duration;

impl Machine {
    /// Returns the one index of `index ls --json`.
    fn index(&self) -> serde_json::Value {
        let listed = self.swarm.run(&["index", "ls", "--json"]).ok().stdout;
        serde_json::from_str(&listed).expect("an index")
    }

    /// Waits until it has sent its copy of the index to a neighbour's daemon, which offers it as a file.
    fn offers_index(&self, sequence: u64) {
        until("the index is offered", PATIENCE, || {
            let own = self.index()["sequence"] == sequence;
            let files = self.daemon.shared()["files"].as_array().cloned().unwrap_or_default();
            let is_manifest =
                |file: &serde_json::Value| file["path"].as_str().is_some_and(|it| it.ends_with("pkgswarm.json"));
            let table = files.iter().any(|file| file["path"].as_str().is_some_and(|it| it.ends_with(".ndjson")));
            (own && table && files.iter().any(is_manifest)).then_some(())
        });
    }
}

#[test]
fn packages_signatures_databases_and_the_index_itself_come_from_neighbours() {
    // A database of more than 32 KiB, which is worth asking neighbours for.
    let name = |n: u64| format!("{:x}{:x}", noise_of(2 * n), noise_of(2 * n + 1));
    let noisy = (0..3000).fold(Pkgbuild::new("noisy", "1-1"), |it, n| it.says("provides", &name(n)));
    let packages = [
        Pkgbuild::new("alpha", "1:1-1").size(300 * KIB),
        Pkgbuild::new("beta", "1-1").size(2 * MIB + 1).depends("alpha"),
        noisy,
    ];
    let scene = Scene::indexed(&packages, 3);
    for machine in &scene.machines {
        machine.daemon.meets(2);
    }
    let mut sequence = 0;
    for (number, machine) in scene.machines.iter().enumerate() {
        if number == 0 {
            machine.swarm.run(&["index", "refresh"]).ok();
            sequence = machine.index()["sequence"].as_u64().expect("a sequence");
            machine.offers_index(sequence);
            continue;
        }
        // On a busy machine a neighbour may answer later than a refresh waits, which then has no other source.
        until("the index comes from a neighbour", PATIENCE, || {
            if !machine.swarm.run(&["index", "refresh"]).status.success() {
                return None;
            }
            let index = machine.index();
            let ways = index["transports"].as_array().expect("a list");
            let lan = ways.iter().find(|way| way["via"] == "lan").expect("the way by neighbours");
            assert_eq!(index["sequence"], sequence, "{index}");
            (lan["outcome"] == "proven" && lan["sequence"] == sequence).then_some(())
        });
    }
    for (number, machine) in scene.machines.iter().enumerate() {
        if number == 0 {
            let ran = machine.pacman.run(&["-Syu", "beta", "noisy"]).ok();
            has_all(machine, &ran);
            assert!(scene.requests_for(".sig") >= 3, "{ran}");
            // Packages, signatures, the database, manifest, its signature, and the table.
            machine.daemon.offers(10);
            // From here on they come from neighbours or not at all, also on a busy machine.
            scene.take_packages_from_mirror();
            continue;
        }
        // The mirror may be quicker with a database, which it has in any case.
        until("the database comes from a neighbour", PATIENCE, || {
            let _ = std::fs::remove_dir_all(machine.pacman.db().join("sync"));
            machine.swarm.forget();
            let ran = machine.pacman.run(&["-Sy"]).ok();
            ran.stderr.lines().any(|it| it.contains("core.db") && it.contains("from neighbour")).then_some(())
        });
        until("packages and signatures come from neighbours", PATIENCE, || {
            let ran = machine.pacman.run(&["-Su", "beta", "noisy"]);
            (machine.pacman.installed().len() == 3).then(|| has_all(machine, &ran))
        });
    }
}

/// Most time for neighbours, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn has_all(machine: &Machine, ran: &Ran) {
    assert_eq!(machine.pacman.installed().len(), 3, "{ran}");
    let signatures = machine.pacman.cache_files().iter().filter(|name| name.ends_with(".sig")).count();
    assert_eq!(signatures, 3, "{ran}");
}

#[test]
fn a_newer_index_is_passed_on_and_a_machine_that_has_the_old_one_takes_it() {
    let mut scene = Scene::indexed(&packages()[..1], 2);
    let [near, far] = &scene.machines[..] else { panic!("two machines") };
    near.daemon.meets(1);
    far.daemon.meets(1);
    near.swarm.run(&["index", "refresh"]).ok();
    let old = near.index()["sequence"].as_u64().expect("a sequence");
    near.offers_index(old);
    far.swarm.run(&["index", "refresh"]).ok();
    assert_eq!(far.index()["sequence"], old);
    scene.repo.add(&[Pkgbuild::new("tiny", "2-1")]);
    scene.publish();
    let [near, far] = &scene.machines[..] else { panic!("two machines") };
    near.swarm.run(&["index", "refresh"]).ok();
    let new = near.index()["sequence"].as_u64().expect("a sequence");
    assert!(new > old, "{new} after {old}");
    until("the newer index arrives", PATIENCE, || {
        far.swarm.run(&["index", "refresh"]);
        (far.index()["sequence"] == new).then_some(())
    });
    // An index that is not shared is not announced.
    near.swarm.run(&["shared", "off"]).ok();
    until("nothing is offered", PATIENCE, || {
        near.daemon.shared()["files"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    scene.add_machine();
    scene.machines[2].daemon.meets(2);
    scene.machines[1].daemon.kill();
    scene.machines[2].swarm.run(&["index", "refresh"]).failed();
}
