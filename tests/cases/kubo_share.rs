//! `kubo.share`: what pacman has installed goes into Kubo, from repositories that may be shared, within `kubo.keep`.

use std::fs;

use pkgswarm::dag::build::{build, build_blocks};

use crate::support::repo::Package;
use crate::support::{FakeIndex, FakeKubo, FakeMirror, World};

const MIB: usize = 1 << 20;

fn root_of(package: &Package) -> String {
    build(&package.bytes[..]).unwrap().root.to_string()
}

/// A world whose pacman has these packages in its cache, and installed those that `is_installed` says.
fn world_of(kubo: &FakeKubo, packages: &[&Package], is_installed: impl Fn(&Package) -> bool) -> World {
    let mirror = FakeMirror::serving(&[] as &[(String, Vec<u8>)]);
    let world = World::new().repo("core", packages, &[&mirror]).kubo(kubo).set("PKGSWARM_KUBO_SHARE", "installed");
    for package in packages {
        fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
        if is_installed(package) {
            let local = world.path("root/var/lib/pacman/local").join(format!("{}-{}", package.name, package.version));
            fs::create_dir_all(local).unwrap();
        }
    }
    world
}

/// Counts the calls of this command.
fn calls(kubo: &FakeKubo, call: &str) -> usize {
    kubo.api().requests().iter().filter(|request| request.path() == format!("api/v0/{call}")).count()
}

fn keeps_house(world: &World) {
    let run = world.run(&["upkeep"]);
    assert_eq!((run.code(), &*run.stderr), (0, ""));
}

#[test]
fn what_is_installed_goes_into_kubo_once_and_nothing_else_does() {
    let [big, small, other, damaged] = [("big", 2 * MIB + 5), ("small", 900), ("other", 700), ("damaged", 800)]
        .map(|(name, size)| Package::new(name, size));
    let kubo = FakeKubo::empty();
    let world = world_of(&kubo, &[&big, &small, &other, &damaged], |package| package.name != "other");
    fs::write(world.path("cache").join(damaged.file_name()), vec![0; damaged.bytes.len()]).unwrap();
    // A version that no list has any more proves nothing.
    fs::write(world.path("cache/old-1-1-x86_64.pkg.tar.zst"), "old").unwrap();
    fs::create_dir_all(world.path("root/var/lib/pacman/local/old-1-1")).unwrap();
    keeps_house(&world);
    let has = |package: &Package| kubo.has_block(&root_of(package));
    assert_eq!([&big, &small, &other, &damaged].map(has), [true, true, false, false]);
    assert!(kubo.pins().is_empty(), "none is pinned");
    assert_eq!(
        fs::read_to_string(world.path("store/kubo-cached")).unwrap().lines().count(),
        2,
        "each is in the ledger"
    );
    assert_eq!(calls(&kubo, "dag/import"), 2);
    let asked = kubo.requests().len();
    keeps_house(&world);
    assert_eq!(kubo.requests().len(), asked, "a run with nothing new asks Kubo nothing");
}

#[test]
fn nothing_goes_where_it_is_not_asked_for_or_not_allowed_or_kubo_is_not_there() {
    let package = Package::new("a", 900);
    let kubo = FakeKubo::empty();
    let world = |name: &str, value: &str| world_of(&kubo, &[&package], |_| true).set(name, value);
    for (name, value) in [
        ("PKGSWARM_KUBO_SHARE", "no"),
        ("PKGSWARM_SHARE_REPOS", "extra"),
        ("PKGSWARM_KUBO_ENABLED", "false"),
        ("PKGSWARM_KUBO_KEEP", "899"),
    ] {
        keeps_house(&world(name, value));
        assert_eq!(calls(&kubo, "dag/import"), 0, "{name}={value}");
    }
    let gone = world("PKGSWARM_KUBO_API", &format!("http://{}", crate::support::dead_address()));
    let run = gone.run(&["upkeep"]);
    assert!(
        run.code() == 0 && run.stderr.contains("warning: not all that is installed went into Kubo: "),
        "{}",
        run.stderr
    );
    let given = fs::read_to_string(gone.path("store/kubo-shared")).unwrap();
    assert!(given.lines().all(|line| line.starts_with("looked ")), "it goes once Kubo is back: {given}");
    keeps_house(&gone.set("PKGSWARM_KUBO_ENABLED", "auto"));
    keeps_house(&world("PKGSWARM_KUBO_KEEP", "900"));
    assert_eq!(calls(&kubo, "dag/import"), 1);
}

#[test]
fn what_is_there_already_stays_the_users_and_the_newest_stay_within_the_limit() {
    let packages = ["a", "b", "c"].map(|name| Package::new(name, 1000));
    let kubo = FakeKubo::empty().holding(&packages[0].bytes);
    let all = packages.each_ref();
    let world = world_of(&kubo, &all, |_| true).set("PKGSWARM_KUBO_KEEP", "3000");
    keeps_house(&world);
    let listed = || fs::read_to_string(world.path("store/kubo-cached")).unwrap();
    assert!(!listed().contains(&root_of(&packages[0])) && listed().lines().count() == 2, "{}", listed());
    // Later there is less room.
    let world = world.set("PKGSWARM_KUBO_KEEP", "1000");
    keeps_house(&world);
    let left = packages.each_ref().map(|package| kubo.has_block(&root_of(package)));
    assert!(left[0] && left.iter().filter(|has| **has).count() == 2, "{left:?}");
}

#[test]
fn a_root_alone_is_no_file_that_is_there_and_the_rest_of_it_goes() {
    let package = Package::new("big", 2 * MIB + 5);
    let mut root = Vec::new();
    build_blocks(&package.bytes[..], |_, block| {
        root = block.to_vec();
        Ok(())
    })
    .unwrap();
    let kubo = FakeKubo::empty().holding_block(&root_of(&package), &root);
    let world = world_of(&kubo, &[&package], |_| true);
    keeps_house(&world);
    assert_eq!(calls(&kubo, "dag/import"), 1);
    let listed = fs::read_to_string(world.path("store/kubo-shared")).unwrap();
    assert!(listed.contains(&root_of(&package)), "{listed}");
}

#[test]
fn what_kubo_lost_is_given_again_a_day_later() {
    let [a, b] = ["a", "b"].map(|name| Package::new(name, 900));
    let kubo = FakeKubo::empty();
    let world = world_of(&kubo, &[&a, &b], |_| true);
    // Unreadable now, and mended later.
    let cached = world.path("cache").join(b.file_name());
    fs::write(&cached, vec![0; b.bytes.len()]).unwrap();
    keeps_house(&world);
    assert_eq!([&a, &b].map(|package| kubo.has_block(&root_of(package))), [true, false]);
    fs::write(&cached, &b.bytes).unwrap();
    kubo.collect_garbage();
    keeps_house(&world);
    assert_eq!(calls(&kubo, "dag/import"), 1, "it is not looked at each time");
    let list = world.path("store/kubo-shared");
    let text = fs::read_to_string(&list).unwrap();
    let looked = text.lines().find(|line| line.starts_with("looked ")).expect("the time of the look").to_owned();
    fs::write(&list, text.replace(&looked, "looked 1000000000")).unwrap();
    keeps_house(&world);
    assert_eq!([&a, &b].map(|package| kubo.has_block(&root_of(package))), [true, true]);
    let asked = kubo.requests().len();
    keeps_house(&world);
    assert_eq!(kubo.requests().len(), asked);
}

#[test]
fn an_index_of_a_private_repository_does_not_make_it_public() {
    let package = Package::new("a", 900);
    let kubo = FakeKubo::empty();
    let world = world_of(&kubo, &[&package], |_| true).set("PKGSWARM_SHARE_REPOS", "public");
    let world = FakeIndex::called("lab").listing(&package).in_use(world);
    keeps_house(&world);
    assert_eq!(calls(&kubo, "dag/import"), 0, "its server is on this machine");
}
