//! The screens about shares.

use std::fs;

use super::keep::{keeping, mirror_with, packages};
use crate::support::screens::Screens;
use crate::support::*;

#[test]
fn screens_of_keep() {
    let mut screens = Screens::of("keep");
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    packages.iter().enumerate().for_each(|(n, package)| kubo.provided_by(&keep_cid(package), n % 5));
    screens
        .run("no share yet", &world, &["keep", "ls"])
        .run("without a quota", &world, &["keep", "arch"])
        .run("the first round", &world, &["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "1 MiB"])
        .run("nothing new", &world, &["keep", "run", "--now"]);
    // An hour later: how many seconds have passed differs.
    let path = world.path("state/keep/arch/state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["last"]["at"] = (state["last"]["at"].as_u64().unwrap() - 3600).into();
    fs::write(&path, state.to_string()).unwrap();
    screens.run("the shares", &world, &["keep", "ls"]).run("a share", &world, &["keep", "status", "arch"]).run(
        "one that is not kept",
        &world,
        &["keep", "status", "archive"],
    );
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    screens
        .run("Kubo is gone", &world, &["keep", "run", "--now"])
        .run("the shares, while it is gone", &world, &["keep", "ls"])
        .run("the end, while it is gone", &world, &["keep", "stop", "arch"]);
    let world = world.set("PKGSWARM_KUBO_API", &kubo.api_url());
    screens.run("the end", &world, &["keep", "stop", "arch"]);
    screens.held();
}

fn keep_cid(package: &Package) -> String {
    pkgswarm::dag::build::build(&package.bytes[..]).unwrap().root.to_string()
}
