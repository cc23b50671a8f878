//! Our own node and Kubo on one network, both ways.

#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/client.rs"]
mod client;
#[path = "real_node_kubo/haiku.rs"]
mod haiku;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/haiku_house.rs"]
mod haiku_house;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/haiku_repository.rs"]
mod haiku_repository;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/hpkr.rs"]
mod hpkr;
#[path = "real_node_kubo/many.rs"]
mod many;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "support/pkgman.rs"]
mod pkgman;
#[path = "support/real/mod.rs"]
mod real;
#[path = "real_node_kubo/slow_lines.rs"]
mod slow_lines;

use real::{Host, Kubo, Pkgbuild, Routing, Scene, scratch};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Makes a machine with Kubo and no daemon, on the network of these.
fn kubo_beside(scene: &Scene) -> (Host, Kubo) {
    let host = scene.lan.host();
    let kubo = Kubo::start_on(&scene.parts, &host, Routing::None);
    (host, kubo)
}

#[test]
fn packages_come_from_a_kubo_on_the_network_whatever_its_chunks() {
    let packages = [Pkgbuild::new("alpha", "1-1").size(300 * KIB), Pkgbuild::new("beta", "1-1").size(9 * MIB)];
    let files = packages.each_ref().map(Pkgbuild::file_name);
    let scene = Scene::new(&packages, 1);
    let (_host, kubo) = kubo_beside(&scene);
    let machine = &scene.machines[0];
    machine.daemon.meets(1);
    machine.pacman.run(&["-Sy"]).ok();
    for (chunk, file) in [(1 << 20, &files[1]), (1 << 18, &files[1]), (1 << 20, &files[0])] {
        let path = scene.repo.dir().join(file);
        let root = kubo.add_in_chunks(&path, chunk);
        let got = machine.daemon.get(&path, Some(&root));
        assert_eq!(got.as_deref(), Ok("done"), "{file} in chunks of {chunk}");
        machine.daemon.forget();
    }
    let ran = machine.pacman.run(&["-Sw", "alpha"]).ok();
    assert!(ran.stderr.contains("neighbour"), "{ran}");
}

#[test]
fn kubo_fetches_what_is_in_a_package_cache() {
    let packages = [Pkgbuild::new("alpha", "1-1").size(300 * KIB), Pkgbuild::new("beta", "1-1").size(9 * MIB)];
    let files = packages.each_ref().map(Pkgbuild::file_name);
    let scene = Scene::new(&packages, 1);
    let machine = &scene.machines[0];
    machine.pacman.run(&["-Sy"]).ok();
    machine.pacman.run(&["-Sw", "alpha", "beta"]).ok();
    machine.daemon.offers(2);
    let (_host, kubo) = kubo_beside(&scene);
    machine.daemon.meets(1);
    for file in &files {
        let path = machine.pacman.cache().join(file);
        let root = machine.swarm.run(&["cid", &path.display().to_string()]).ok().stdout;
        let root = root.split_whitespace().next().unwrap().to_owned();
        let into = scratch("got");
        let got = into.path().join("file");
        kubo.ipfs(&["get", &root, "-o", &got.display().to_string(), "--timeout", "30s"]).ok();
        assert!(std::fs::read(&got).unwrap() == std::fs::read(&path).unwrap(), "{file}");
    }
}

#[test]
fn a_file_of_any_shape_is_fetched_by_its_cid_without_kubo() {
    let packages = [Pkgbuild::new("beta", "1-1").size(3 * MIB + 5)];
    let scene = Scene::new(&packages, 2);
    let (has, wants) = (&scene.machines[0], &scene.machines[1]);
    let (_host, kubo) = kubo_beside(&scene);
    wants.daemon.meets(2);
    let path = scene.repo.dir().join(packages[0].file_name());
    let bytes = std::fs::read(&path).expect("a package");
    let add = |words: &[&str]| {
        let path = path.display().to_string();
        kubo.ipfs(&[&["add", "--quieter"], words, &[&path]].concat()).ok().stdout.trim().to_owned()
    };
    // CIDv0 with leaves of dag-pb, the default of `ipfs add`; many small chunks in two levels; a directory.
    let old = add(&["--cid-version=0", "--raw-leaves=false"]);
    assert!(old.starts_with("Qm"), "{old}");
    let deep = add(&["--chunker=size-4096", "--max-file-links=174"]);
    let directory = add(&["--wrap-with-directory"]);
    let inside = format!("ipfs://{directory}/{}", packages[0].file_name());
    for what in [old.as_str(), &deep, &inside] {
        let into = scratch("got");
        let got = into.path().join("file");
        let ran = wants.swarm.run(&["fetch", what, "--output", &got.display().to_string()]).ok();
        assert!(std::fs::read(&got).expect("a file") == bytes, "{ran}");
        assert!(ran.stderr.contains("neighbour"), "{ran}");
    }
    // Held by a neighbour's daemon alone.
    has.pacman.run(&["-Sy"]).ok();
    has.pacman.run(&["-Sw", "beta"]).ok();
    has.daemon.offers(1);
    drop(kubo);
    let root = has.swarm.run(&["cid", &path.display().to_string()]).ok().stdout;
    let root = root.split_whitespace().next().expect("a CID").to_owned();
    let into = scratch("got");
    let got = into.path().join("file");
    let ran = wants.swarm.run(&["fetch", &root, "--source", "lan", "--output", &got.display().to_string()]).ok();
    assert!(std::fs::read(&got).expect("a file") == bytes, "{ran}");
    let absent = wants.swarm.run(&["fetch", &old, "--source", "lan", "--output", &got.display().to_string()]).failed();
    assert!(absent.stderr.contains("lan  absent"), "{absent}");
}
