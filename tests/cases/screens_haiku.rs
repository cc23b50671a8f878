//! The screens about Haiku's repositories.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::haiku::{HaikuRepository, file_of, listed, mirror, scene};
use crate::support::keys::now;
use crate::support::screens::Screens;
use crate::support::*;

/// Three and a half hours, of which only the three show, even on a slow machine.
const AGO: u64 = 12_600;

/// Has every list of this world be one that a server had so many seconds ago.
fn age(world: &World, seconds: u64) {
    let path = world.path("state/haiku/Demo/snapshot.json");
    let mut facts: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    facts["checked"] = (now() - seconds).into();
    std::fs::write(&path, facts.to_string()).unwrap();
}

#[test]
fn screens_of_haiku() {
    let mut screens = Screens::of("haiku");
    let (repository, listed) = (HaikuRepository::new(), listed());
    let server = mirror(&repository, &listed, now() - AGO);
    let world = scene(&repository, &[&server], "max_age = \"2 h\"\n");
    let (small, large) = (file_of(&listed[0].0), file_of(&listed[1].0));
    let dir = world.path("fetched");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let dir = dir.display().to_string();
    screens
        .run("a package before there is a list", &world, &["fetch", &small])
        .run("status before there is a list", &world, &["status"])
        .run("doctor before there is a list", &world, &["doctor"])
        .run("fetching the list", &world, &["haiku", "refresh"])
        .run("nothing new", &world, &["haiku", "refresh"])
        .run("the repositories", &world, &["haiku", "ls"])
        .run("a package by its file name", &world, &["fetch", &small, "-d", &dir])
        .run("a package by its name", &world, &["fetch", "Haze++", "-d", &dir])
        .run("a package that no list names", &world, &["why", "none-1-any.hpkg"])
        .run("why, of one that is here", &world, &["why", &small])
        .run("why, of one that is not", &world, &["why", &large])
        .run("status", &world, &["status"]);
    let _server = server.on("repo.sha256").status(503).on(&large).status(404);
    age(&world, AGO / 2);
    screens
        .run("its server fails", &world, &["haiku", "refresh"])
        .run("status, while it fails", &world, &["status"])
        .run("doctor, while it fails", &world, &["doctor"])
        .run("a package that its server does not have", &world, &["fetch", &large, "-d", &dir]);
    age(&world, AGO);
    screens
        .run("status, of a list that is too old", &world, &["status"])
        .run("doctor, of a list that is too old", &world, &["doctor"])
        .run("why, by a list that is too old", &world, &["why", &small]);
    screens.held();
}
