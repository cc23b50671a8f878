//! A share that a machine without Kubo keeps: what its mirror loses, the others get from it.

use super::real::{Machine, Ran, Scene, run, until};
use super::{MIB, packages};
use serde_json::Value;
use std::time::Duration;

/// Most time for neighbours, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs pkgswarm beside the pacman of this machine.
fn beside_pacman(machine: &Machine, arguments: &[&str]) -> Ran {
    let path = format!("{}:{}", machine.pacman.bin().display(), std::env::var("PATH").unwrap_or_default());
    run(machine.swarm.command(arguments).env("PKGSWARM_PACMAN_CONF", machine.pacman.config()).env("PATH", path)).ok()
}

fn share(machine: &Machine) -> Value {
    let told = beside_pacman(machine, &["keep", "status", "--json"]);
    serde_json::from_str(&told.stdout).expect("a share")
}

#[test]
fn what_a_machine_without_kubo_keeps_is_had_by_its_neighbour_when_the_mirror_has_lost_it() {
    let scene = Scene::indexed(&packages(), 2);
    let (keeper, other) = (&scene.machines[0], &scene.machines[1]);
    keeper.daemon.meets(1);
    let stores = format!("[share]\nstores = [{:?}]\n", keeper.swarm.store());
    keeper.swarm.config_part("share-store.toml", &stores);
    beside_pacman(keeper, &["index", "refresh"]);
    let words = ["keep", "tests", "--quota", "1G", "--mirrors", "--min-free", "0"];
    let ran = beside_pacman(keeper, &words);
    let told = share(keeper);
    let files = told["files"].as_u64().expect("a count");
    assert_eq!((&told["kept_in"], &told["index_files"]), (&"store".into(), &told["files"]), "{told} {ran}");
    assert!(files >= 4, "{told}");
    until("all of the share is offered", PATIENCE, || (share(keeper)["offered"] == files).then_some(()));
    assert_eq!(share(keeper)["networks"].as_array().map(Vec::len), Some(1));

    other.pacman.run(&["-Sy"]).ok();
    // A share has no signatures: these the mirror still sends.
    let of_mirror = std::fs::read_dir(scene.repo.dir()).expect("the repository").flatten().map(|entry| entry.path());
    for package in of_mirror.filter(|path| path.extension().is_some_and(|end| end == "zst")) {
        std::fs::remove_file(package).expect("a package");
    }
    let before = scene.uplink();
    until("the packages come from the keeper", PATIENCE, || {
        let ran = other.pacman.run(&["-S", "g++x", "tiny"]);
        let of_neighbours = ran.stderr.lines().filter(|line| line.contains("  from neighbour")).count();
        (other.pacman.installed().len() == 4).then(|| assert!(of_neighbours >= 4, "{ran}"))
    });
    assert!(scene.uplink() - before < 2000, "nothing but signatures came from the mirror");
    assert!(share(keeper)["files"] == files && keeper.swarm.store_bytes() > 10 * MIB, "the keeper has all of it still");

    let ended = beside_pacman(keeper, &["keep", "stop", "tests"]);
    until("nothing of it is offered", PATIENCE, || {
        let shared = keeper.daemon.shared()["files"].as_array().cloned().unwrap_or_default();
        let is_kept = |file: &Value| file["path"].as_str().is_some_and(|path| path.contains("/kept/"));
        (!shared.iter().any(is_kept)).then_some(())
    });
    assert!(keeper.swarm.store_bytes() < MIB, "{ended}");
}
