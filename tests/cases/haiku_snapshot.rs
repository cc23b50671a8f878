//! Haiku's repositories through the endpoint, for a stand-in of pkgman: one proven snapshot, whatever the servers send; and
//! an end that pkgman understands where there is none.

use crate::support::endpoint::Endpoint;
use crate::support::haiku::{
    HaikuRepository, PATH, Pkgman, PkgmanError, SIGNED, file_of, hpkg, listed, logged, mirror, scene,
};
use crate::support::hpkr::{HpkrPackage, HpkrWriter};
use crate::support::*;

#[test]
fn pkgman_gets_a_repository_and_its_packages_through_the_endpoint() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed, SIGNED);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&mirror], ""));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    for (package, bytes) in &listed {
        assert_eq!(&pkgman.install(&file_of(package)).unwrap(), bytes);
    }
    let crossed = mirror.bytes();
    pkgman.refresh().unwrap();
    let mut another = Pkgman::at(endpoint.address(), PATH);
    another.add_repo().unwrap();
    assert_eq!(another.install(&file_of(&listed[1].0)).unwrap(), listed[1].1);
    assert_eq!(mirror.bytes(), crossed, "the second machine costs the uplink nothing");
    // Names are sent as they are, and escaped by some.
    let escaped = file_of(&listed[0].0).replace('+', "%2B").replace('~', "%7e");
    assert_eq!(endpoint.get(&format!("/{PATH}/packages/{escaped}")).body, listed[0].1);
    assert_eq!(endpoint.get(&format!("//{PATH}//packages/none-1-any.hpkg")).status, 404);
    assert_eq!(endpoint.get(&format!("/{PATH}/package.list")).status, 404);
}

#[test]
fn a_part_that_pkgman_has_is_completed_and_never_appended_twice() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed, SIGNED);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&mirror], ""));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    let (file, bytes) = (file_of(&listed[1].0), &listed[1].1);
    pkgman.parts.insert(file.clone(), bytes[..700_000].to_vec());
    assert_eq!(&pkgman.install(&file).unwrap(), bytes);
    // A part that is whole already: 416 has pkgman begin anew.
    pkgman.parts.insert(file.clone(), bytes.clone());
    assert_eq!(pkgman.install(&file), Err(PkgmanError::Status(416)));
}

#[test]
fn a_repository_made_anew_by_an_attacker_with_right_sums_is_refused() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed[..1], SIGNED);
    let evil = HpkrWriter::of(&[HpkrPackage::of("evil", b"evil")]).file();
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&mirror], ""));
    // Before there was a good one, pkgman ends.
    mirror.publish("good", &mirror.file("repo"));
    repository.replace_on(&mirror, &evil);
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    logged(&endpoint, "repo is not what its key has signed: repo.minisig does not fit it");
    // And afterwards the good one stays.
    repository.replace_on(&mirror, &mirror.file("good"));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    let another = HaikuRepository::new();
    another.publish_on(&mirror, &[hpkg("evil", 10)], SIGNED + 10);
    let (_world, endpoint) = Endpoint::of(_world);
    pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file_of(&listed[0].0)).unwrap(), listed[0].1);
    logged(&endpoint, "repo is signed by another key than");
}

#[test]
fn a_list_without_a_signature_is_refused() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed, SIGNED).on("repo.minisig").status(404);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&mirror], ""));
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    logged(&endpoint, "repo.minisig: HTTP 404");
}

#[test]
fn a_list_that_was_signed_earlier_is_not_gone_back_to() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed, SIGNED);
    let world = scene(&repository, &[&mirror], "");
    world.run(&["haiku", "refresh"]).succeeds();
    repository.publish_on(&mirror, &listed[..1], SIGNED - 100);
    let run = world.run(&["haiku", "refresh"]);
    let said = "repo was signed at 2026-09-21T14:11:40Z, before the one in use (at 2026-09-21T14:13:20Z)";
    assert_eq!(run.code(), 3);
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let (_world, endpoint) = Endpoint::of(world);
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file_of(&listed[1].0)).unwrap(), listed[1].1, "of the newer list");
}

#[test]
fn a_list_and_its_sum_that_disagree_are_refused_and_the_next_server_is_asked() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let (torn, sound) = (mirror(&repository, &listed, SIGNED), mirror(&repository, &listed, SIGNED));
    torn.publish("repo.sha256", "0".repeat(64).as_bytes());
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&torn, &sound], ""));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file_of(&listed[0].0)).unwrap(), listed[0].1);
    logged(&endpoint, "repo and repo.sha256 do not belong together");
    assert_eq!(torn.hits("repo"), 2, "it was asked once more: the files may have been replaced meanwhile");
}

#[test]
fn a_package_that_one_server_swapped_comes_from_the_next() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let (swapped, sound) = (mirror(&repository, &listed, SIGNED), mirror(&repository, &listed, SIGNED));
    let file = file_of(&listed[1].0);
    let mut other = listed[1].1.clone();
    other[9] ^= 1;
    swapped.publish(&file, &other);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&swapped, &sound], ""));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file).unwrap(), listed[1].1);
    // Another size, so that the sizes that the servers tell are tried one after the other.
    let small = file_of(&listed[0].0);
    swapped.publish(&small, b"hpkg and not more");
    assert_eq!(pkgman.install(&small).unwrap(), listed[0].1);
}

#[test]
fn every_status_of_a_server_ends_in_right_bytes_or_a_definite_failure() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let file = file_of(&listed[0].0);
    for status in [400, 403, 404, 408, 410, 416, 429, 500, 502, 503, 504] {
        let mirror = mirror(&repository, &listed, SIGNED).on(&file).status(status);
        let (_world, endpoint) = Endpoint::of(scene(&repository, &[&mirror], ""));
        let mut pkgman = Pkgman::at(endpoint.address(), PATH);
        pkgman.add_repo().unwrap();
        assert_eq!(pkgman.install(&file), Err(PkgmanError::Status(404)), "{status}");
        assert_eq!(pkgman.install(&file_of(&listed[1].0)).unwrap(), listed[1].1);
    }
}

#[test]
fn a_snapshot_is_served_after_a_restart_without_its_server_until_it_is_too_old() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed, SIGNED);
    let (world, endpoint) = Endpoint::of(scene(&repository, &[&mirror], "max_age = \"1 h\"\n"));
    Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    drop(endpoint);
    mirror.clear();
    let (world, endpoint) = Endpoint::of(world);
    Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    logged(&endpoint, "repo.sha256: HTTP 404");
    drop(endpoint);
    let (_world, endpoint) = Endpoint::of(scene_aged(world));
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    let said = "the last one that a server had is 2 h old, and max_age is 60 min: pkgman gets error 403";
    logged(&endpoint, said);
}

/// The same machine, whose snapshot a server had two hours ago.
fn scene_aged(world: World) -> World {
    let found = walk(&world.path(""), "snapshot.json").expect("a snapshot is kept");
    let mut facts: serde_json::Value = serde_json::from_slice(&std::fs::read(&found).unwrap()).unwrap();
    facts["checked"] = (keys::now() - 7200).into();
    std::fs::write(&found, facts.to_string()).unwrap();
    world
}

fn walk(dir: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    entries.map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => walk(&path, name),
        false => (path.file_name()? == name).then_some(path),
    })
}

#[test]
fn an_alias_is_followed_once_a_snapshot() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let real = mirror(&repository, &listed, SIGNED);
    let alias = FakeMirror::serving(&[("repo.sha256", real.file("repo.sha256"))])
        .redirecting_to(&format!("http://{}/r42/repo.sha256", real.address()));
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&alias], ""));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file_of(&listed[0].0)).unwrap(), listed[0].1);
    let paths: Vec<String> = real.requests().iter().map(|request| request.path()).collect();
    assert!(paths.iter().all(|path| path.starts_with("r42/")), "all of one place: {paths:?}");
    assert_eq!(alias.hits("repo"), 0);
}

#[test]
fn a_repository_is_added_listed_and_removed_and_the_steps_can_be_typed() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let mirror = mirror(&repository, &listed, SIGNED);
    let world = World::new();
    let (url, key) = (format!("http://{}/{PATH}", mirror.address()), repository.key());
    let run = world.run(&["haiku", "add", "Demo", &url, "--minisign", &key, "-y"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains("Demo: proven, 2 packages, signed 2026-09-21T14:13:20Z"), "{}", run.stderr);
    let json = world.run(&["haiku", "ls", "--json"]);
    let row: serde_json::Value = serde_json::from_str(json.stdout.trim()).unwrap();
    assert_eq!((row["packages"].as_u64(), row["path"].as_str()), (Some(2), Some(PATH)));
    let fails = |words: &[&str], said: &str| {
        let run = world.run(words);
        assert!(run.code() == 2 && run.stderr.contains(said), "{}", run.stderr);
    };
    fails(&["haiku", "steps", "Demo"], "the endpoint listens on this machine alone");
    let steps = world.run(&["haiku", "steps", "Demo", "--address", "10.0.0.5:4011"]).stdout;
    let file = "\"/boot/system/settings/package-repositories/Demo\"";
    let typed = format!("sed -i 's|^baseurl=.*|baseurl=http://10.0.0.5:4011/{PATH}|' {file}\n");
    assert!(steps.contains(&typed) && steps.contains(&format!("cp ~/\"Demo.before\" {file}\n")), "{steps}");
    fails(&["haiku", "refresh", "Dmo"], "did you mean Demo?");
    assert_eq!(world.run(&["haiku", "rm", "Demo"]).code(), 0);
    assert!(world.run(&["haiku", "ls"]).stderr.contains("no repository of Haiku's is served"));
}
