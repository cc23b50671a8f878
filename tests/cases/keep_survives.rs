//! What a share survives: kills at any call of Kubo's, a Kubo that fails, files that leave the index or are the last ones.

use std::cell::RefCell;
use std::fs;

use serde_json::{Value, json};

use super::keep::{PIN, cid, keeping, kept, mirror_with, packages, status};
use crate::support::world::UNPRIVILEGED;
use crate::support::*;

const ALL: &[&str] = &["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"];

/// Bytes of the empty directory, which is MFS as well and stays.
const EMPTY_DIRECTORY: u64 = 4;

/// Gives the keeper a number that is always the same.
fn begins_as(world: &World, key: u8) {
    let directory = world.path("state/keep/arch");
    let state = json!({
        "key": format!("{key:02x}").repeat(32), "round": 0, "root": null, "files": {}, "leaving": {}, "missing": {},
    });
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("state.json"), state.to_string()).unwrap();
    for path in [world.path("state/keep"), directory.clone(), directory.join("state.json")] {
        std::os::unix::fs::chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    }
}

/// Kills a run at one call of Kubo's after the other, each time of a share that is `begun`, and looks at what is left.
fn killed_at_each_call(
    packages: &[Package],
    begun: impl Fn(&World),
    words: &[&str],
    step: usize,
    after: impl Fn(&World, &FakeKubo, usize),
) {
    let mirror = mirror_with(packages);
    let mut calls = 0;
    loop {
        let kubo = FakeKubo::empty();
        let world = keeping(packages, &kubo, &mirror);
        begun(&world);
        let before = kubo.api().requests().len();
        kubo.hang_after(Some(calls));
        let running = RefCell::new(run::Running::start(world.command(words), world.base()));
        let hung = || kubo.api().requests().len() > before + calls;
        eventually("the call that hangs, or the end", || hung() || running.borrow_mut().has_ended());
        let running = running.into_inner();
        if !hung() {
            assert_eq!(running.finish().code(), 0);
            break;
        }
        running.kill();
        kubo.hang_after(None);
        after(&world, &kubo, calls);
        calls += step;
    }
    assert!(calls > 8 * step, "{calls}");
}

#[test]
fn a_round_that_is_killed_anywhere_is_continued() {
    let size = |n| if n == 0 { 1_200_000 } else { 5000 };
    let packages: Vec<Package> = (0..3).map(|n| Package::new(&format!("p{n}"), size(n))).collect();
    killed_at_each_call(
        &packages,
        |_| {},
        ALL,
        3,
        |world, kubo, calls| {
            let run = world.run(&["keep", "run", "--now"]);
            assert_eq!(run.code(), 0, "after call {calls}: {run:?}");
            assert_eq!(kept(kubo, &packages), [0, 1, 2], "after call {calls}");
            assert_eq!((kubo.loose_blocks(), kubo.pins().len()), (Vec::new(), 1), "after call {calls}");
        },
    );
}

fn all_kept(world: &World) {
    assert_eq!(world.run(ALL).code(), 0);
}

#[test]
fn a_round_that_is_killed_while_files_leave_leaves_no_block_behind() {
    let packages: Vec<Package> = (0..4).map(|n| Package::new(&format!("p{n}"), 40_000 + n)).collect();
    let less = ["keep", "arch", "--quota", "100K"];
    killed_at_each_call(&packages, all_kept, &less, 2, |world, kubo, calls| {
        let run = world.run(&["keep", "run", "--now"]);
        assert_eq!(run.code(), 0, "after call {calls}: {run:?}");
        assert_eq!(kept(kubo, &packages).len(), 2, "after call {calls}");
        assert_eq!((kubo.loose_blocks(), kubo.pins().len()), (Vec::new(), 1), "after call {calls}");
    });
}

#[test]
fn a_stop_that_is_killed_anywhere_is_continued() {
    let packages: Vec<Package> = (0..3).map(|n| Package::new(&format!("p{n}"), 5000 + n)).collect();
    killed_at_each_call(&packages, all_kept, &["keep", "stop", "arch"], 1, |world, kubo, calls| {
        // Root's child ends a moment after it, and has the lock until then.
        eventually("the end of the share", || world.run(&["keep", "stop", "arch"]).code() == 0);
        assert!(!world.path("state/keep/arch").exists(), "after call {calls}");
        assert_eq!((kubo.block_bytes(), kubo.pins().len()), (EMPTY_DIRECTORY, 0), "after call {calls}");
    });
}

#[test]
fn a_stop_whose_pin_kubo_does_not_remove_fails_and_can_be_repeated() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    all_kept(&world);
    kubo.keeping_pins(true);
    let run = world.run(&["keep", "stop", "arch"]);
    assert!(run.code() == 1 && run.stderr.contains("error: kubo: "), "{run:?}");
    assert_eq!(kept(&kubo, &packages).len(), 12);
    kubo.keeping_pins(false);
    let run = world.run(&["keep", "stop", "arch"]);
    assert!(run.code() == 0 && run.said.contains("12 of them came because of the share"), "{run:?}");
    assert_eq!((kubo.block_bytes(), kubo.pins().len()), (EMPTY_DIRECTORY, 0));
}

#[test]
fn a_round_in_which_the_pin_does_not_change_forgets_nothing_that_was_to_leave() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    all_kept(&world);
    kubo.keeping_pins(true);
    assert_eq!(world.run(&["keep", "arch", "--quota", "400K"]).code(), 1);
    kubo.keeping_pins(false);
    let run = world.run(&["keep", "run", "--now"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert_eq!((kubo.loose_blocks(), kubo.pins().len()), (Vec::new(), 1));
    assert!(kubo.block_bytes() <= 400 << 10, "{}", kubo.block_bytes());
}

#[test]
fn the_last_known_copy_stays_unless_the_index_drops_it_or_the_quota_has_no_room() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    begins_as(&world, 7);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    packages.iter().enumerate().for_each(|(n, package)| kubo.provided_by(&cid(package), if n == 3 { 0 } else { n }));
    // Room for some: one that no other peer has is not among those that go.
    let run = world.run(&["keep", "arch", "--quota", "200K"]);
    assert_eq!(run.code(), 0, "{run:?}");
    let left = kept(&kubo, &packages);
    assert!(left.contains(&3) && left.len() < 6, "{left:?}");
    let all = status(&world);
    let counts = ["looked", "none", "one", "two", "more"].map(|name| all["coverage"][name].as_u64().unwrap());
    assert_eq!(counts, [12, 2, 1, 1, 8], "{all}");
    let others = packages.iter().enumerate().filter(|(n, _)| *n != 3).map(|(_, package)| package);
    let world = others.fold(FakeIndex::called("arch"), FakeIndex::listing).aged(1800, 172_800).in_use(world);
    assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    assert!(!kept(&kubo, &packages).contains(&3) && !kubo.has_block(&cid(&packages[3])));
}

#[test]
fn what_left_the_index_stays_for_some_rounds_and_only_what_changed_moves() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    let root = |world: &World| status(world)["root"].clone();
    let before = root(&world);
    let newer = Package::new("p3", 70_000).version("2.0-1");
    mirror.publish(&format!("core/os/x86_64/{}", newer.file_name()), &newer.bytes);
    let index = packages.iter().enumerate().filter(|(n, _)| *n != 3).map(|(_, package)| package);
    let index = index.chain([&newer]).fold(FakeIndex::called("arch"), FakeIndex::listing);
    let world = index.aged(1800, 172_800).in_use(world);
    let run = world.run(&["keep", "run", "--now", "--json"]);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&all["taken"], &all["let_go"], &all["files"]), (&1.into(), &0.into(), &13.into()), "{run:?}");
    assert!(kubo.pinned_under(PIN).unwrap().contains(&cid(&packages[3])));
    for _ in 0..8 {
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    }
    assert_eq!(status(&world)["files"], 12);
    assert!(!kubo.has_block(&cid(&packages[3])) && kubo.loose_blocks().is_empty(), "the old one is off the disk");
    assert!(kubo.pinned_under(PIN).unwrap().contains(&cid(&newer)));
    assert_ne!(root(&world), before);
    assert_eq!(kubo.pins().len(), 1, "the old root is unpinned");
}

#[test]
fn an_edition_that_lacks_most_of_the_files_is_told_of_and_empties_no_share() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    all_kept(&world);
    let world = FakeIndex::called("arch").listing(&packages[1]).aged(1800, 172_800).in_use(world);
    let run = world.run(&["keep", "run", "--now"]);
    assert!(run.code() == 0 && run.said.contains("11 of 12 files left the index at once"), "{run:?}");
    assert_eq!(kept(&kubo, &packages).len(), 12);
    let all = packages.iter().fold(FakeIndex::called("arch"), FakeIndex::listing);
    let world = all.aged(900, 172_800).in_use(world);
    for _ in 0..9 {
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    }
    assert_eq!(kept(&kubo, &packages).len(), 12);
}

#[test]
fn a_keeper_whose_state_was_lost_while_kubo_was_down_is_the_same_one() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    begins_as(&world, 9);
    all_kept(&world);
    fs::remove_dir_all(world.path("state/keep")).unwrap();
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    assert_eq!(world.run(&["keep", "run", "--now"]).code(), 1);
    let world = world.set("PKGSWARM_KUBO_API", &kubo.api_url());
    assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    let state: Value = serde_json::from_slice(&fs::read(world.path("state/keep/arch/state.json")).unwrap()).unwrap();
    assert_eq!(state["key"], "09".repeat(32));
}

#[test]
fn files_that_no_peer_holds_keep_no_others_from_coming() {
    let packages: Vec<Package> = (0..80).map(|n| Package::new(&format!("p{n}"), 300 + n)).collect();
    let kubo = packages[..10].iter().fold(FakeKubo::empty(), |kubo, package| kubo.finding(&package.bytes));
    packages.iter().enumerate().for_each(|(n, package)| kubo.provided_by(&cid(package), if n < 10 { 3 } else { 0 }));
    let mirror = mirror_with(&packages);
    let world = keeping(&packages, &kubo, &mirror).set("PKGSWARM_KUBO_SEARCH", "always");
    let run = world.run(&["keep", "arch", "--quota", "1G", "--min-free", "0"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert_eq!(kept(&kubo, &packages), (0..10).collect::<Vec<_>>(), "{run:?}");
}
