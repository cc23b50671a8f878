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
/// Bytes of a file that the user has pinned.
const OWN: usize = 7000;

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
/// What the user has pinned is there all the time.
fn killed_at_each_call(
    packages: &[Package],
    begun: impl Fn(&World),
    words: &[&str],
    step: usize,
    after: impl Fn(&World, &FakeKubo, usize),
) {
    let (mirror, own) = (mirror_with(packages), Package::new("own", OWN));
    let mut calls = 0;
    loop {
        let kubo = FakeKubo::empty().holding(&own.bytes).pinning(&cid(&own));
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
        assert!(kubo.pins().contains_key(&cid(&own)) && kubo.has_block(&cid(&own)), "after call {calls}");
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
            assert_eq!((kubo.loose_blocks(), kubo.pins().len()), (Vec::new(), 2), "after call {calls}");
        },
    );
}

#[test]
fn a_round_that_is_killed_while_its_root_grows_in_its_midst_is_continued() {
    let packages: Vec<Package> = (0..230).map(|n| Package::new(&format!("p{n}"), 300 + n)).collect();
    let (mirror, own) = (mirror_with(&packages), Package::new("own", OWN));
    let begun = || {
        let kubo = FakeKubo::empty().holding(&own.bytes).pinning(&cid(&own));
        (keeping(&packages, &kubo, &mirror), kubo)
    };
    // The first of two roots is pinned after some hundred files.
    let (world, kubo) = begun();
    all_kept(&world);
    let made = |request: &server::Request, call| request.path() == format!("api/v0/{call}");
    let pins: Vec<usize> =
        (0..).zip(kubo.api().requests()).filter(|(_, r)| made(r, "pin/add")).map(|it| it.0).collect();
    assert_eq!(pins.len(), 2, "it grows in the midst of the round, and at its end");
    for calls in [pins[0] - 1, pins[0] + 1, pins[0] + 3, pins[0] + 12, pins[1], pins[1] + 1] {
        let (world, kubo) = begun();
        kubo.hang_after(Some(calls));
        let running = run::Running::start(world.command(ALL), world.base());
        eventually("the call that hangs", || kubo.api().requests().len() > calls);
        running.kill();
        kubo.hang_after(None);
        let run = world.run(&["keep", "run", "--now"]);
        assert_eq!(run.code(), 0, "after call {calls}: {run:?}");
        assert_eq!(kept(&kubo, &packages).len(), 230, "after call {calls}");
        assert_eq!((kubo.loose_blocks(), kubo.pins().len()), (Vec::new(), 2), "after call {calls}");
        assert_eq!(world.run(&["keep", "stop", "arch"]).code(), 0);
        let left = (kubo.block_bytes(), kubo.pins().len());
        assert_eq!(left, (EMPTY_DIRECTORY + OWN as u64, 1), "none of the files was taken for the user's");
    }
}

#[test]
fn what_two_shares_have_in_common_goes_with_the_last_of_them() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    let world = packages.iter().fold(FakeIndex::called("other"), FakeIndex::listing).in_use(world);
    all_kept(&world);
    let asked = mirror.requests().len();
    let run = world.run(&["keep", "other", "--quota", "1G", "--mirrors", "--min-free", "0"]);
    assert_eq!((run.code(), mirror.requests().len()), (0, asked), "it is all there: {run:?}");
    assert_eq!(world.run(&["keep", "stop", "arch"]).code(), 0);
    let left = kubo.pinned_under("pkgswarm-keep:other").unwrap();
    assert!(packages.iter().all(|package| left.contains(&cid(package))) && kubo.loose_blocks().is_empty());
    let run = world.run(&["keep", "stop", "other"]);
    assert!(run.code() == 0 && run.said.contains("12 of them came because of the share"), "{run:?}");
    assert_eq!((kubo.block_bytes(), kubo.pins().len()), (EMPTY_DIRECTORY, 0));
}

#[test]
fn a_file_of_which_kubo_had_a_node_alone_goes_with_the_share_and_one_that_was_whole_stays() {
    let packages = packages();
    let mut root = Vec::new();
    let built = pkgswarm::dag::build::build_blocks(&packages[0].bytes[..], |_, block| {
        root = block.to_vec();
        Ok(())
    });
    assert_eq!(built.unwrap().root.to_string(), cid(&packages[0]));
    let kubo = FakeKubo::empty().holding_block(&cid(&packages[0]), &root).holding(&packages[4].bytes);
    let mirror = mirror_with(&packages);
    let world = keeping(&packages, &kubo, &mirror);
    all_kept(&world);
    // One that lost a block is not forgotten with the others.
    kubo.lose(&cid(&packages[8]));
    let run = world.run(&["keep", "stop", "arch"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(kubo.has_block(&cid(&packages[4])) && !kubo.has_block(&cid(&packages[0])));
}

fn all_kept(world: &World) {
    let run = world.run(ALL);
    assert_eq!(run.code(), 0, "{run:?}");
}

#[test]
fn a_round_that_is_killed_while_files_leave_leaves_no_block_behind() {
    let packages: Vec<Package> = (0..4).map(|n| Package::new(&format!("p{n}"), 40_000 + n)).collect();
    let less = ["keep", "arch", "--quota", "100K"];
    killed_at_each_call(&packages, all_kept, &less, 2, |world, kubo, calls| {
        let run = world.run(&["keep", "run", "--now"]);
        assert_eq!(run.code(), 0, "after call {calls}: {run:?}");
        assert_eq!(kept(kubo, &packages).len(), 2, "after call {calls}");
        assert_eq!((kubo.loose_blocks(), kubo.pins().len()), (Vec::new(), 2), "after call {calls}");
    });
}

#[test]
fn a_stop_that_is_killed_anywhere_is_continued() {
    let packages: Vec<Package> = (0..3).map(|n| Package::new(&format!("p{n}"), 5000 + n)).collect();
    killed_at_each_call(&packages, all_kept, &["keep", "stop", "arch"], 1, |world, kubo, calls| {
        // Root's child ends a moment after it, and has the lock until then.
        eventually("the end of the share", || world.run(&["keep", "stop", "arch"]).code() == 0);
        assert!(!world.path("state/keep/arch").exists(), "after call {calls}");
        let left = (kubo.block_bytes(), kubo.pins().len());
        assert_eq!(left, (EMPTY_DIRECTORY + OWN as u64, 1), "after call {calls}");
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

#[test]
fn a_peer_that_kubos_bitswap_does_not_know_is_connected_anew_before_files_are_asked_for() {
    let packages: Vec<Package> = (0..4).map(|n| Package::new(&format!("p{n}"), 300 + n)).collect();
    let kubo = packages.iter().fold(FakeKubo::empty(), |kubo, package| kubo.finding(&package.bytes)).deaf();
    let mirror = mirror_with(&packages);
    let world = keeping(&packages, &kubo, &mirror).set("PKGSWARM_KUBO_SEARCH", "always");
    let run = world.run(&["keep", "arch", "--quota", "1G", "--min-free", "0", "--json"]);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&all["taken"], &all["missed"]), (&4.into(), &0.into()), "{run:?}");
    assert_eq!(kept(&kubo, &packages), [0, 1, 2, 3]);
}

#[test]
fn a_file_of_which_nothing_came_in_time_is_tried_again_in_the_same_round_and_in_the_next() {
    let packages: Vec<Package> = (0..8).map(|n| Package::new(&format!("p{n}"), 300 + n)).collect();
    let silent = |kubo: FakeKubo, n: usize| kubo.on(&format!("ipfs/{}", cid(&packages[n]))).hanging();
    let kubo = packages.iter().fold(FakeKubo::empty(), |kubo, package| kubo.finding(&package.bytes));
    let kubo = silent(silent(silent(kubo, 1).times(1), 4).times(1), 6);
    let mirror = mirror_with(&packages);
    let world = keeping(&packages, &kubo, &mirror).set("PKGSWARM_KUBO_SEARCH", "always");
    let run = world.run(&["keep", "arch", "--quota", "1G", "--min-free", "0", "--json"]);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&all["taken"], &all["missed"]), (&7.into(), &1.into()), "{run:?}");
    assert_eq!(kept(&kubo, &packages), [0, 1, 2, 3, 4, 5, 7]);
    let kubo = kubo.honest();
    assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    assert_eq!(kept(&kubo, &packages).len(), 8);
}

#[test]
fn a_round_ends_soon_at_an_interrupt_and_at_the_end_of_its_unit_wherever_it_is() {
    let packages: Vec<Package> = (0..2).map(|n| Package::new(&format!("p{n}"), 5000 + n)).collect();
    let mirror = mirror_with(&packages);
    for (n, calls) in (0..40).step_by(4).enumerate() {
        let kubo = FakeKubo::empty();
        let world = keeping(&packages, &kubo, &mirror).set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
        assert_eq!(world.run(ALL).code(), 1);
        // As by its unit: there is no root above it that the signal ends first.
        let world = world.set("PKGSWARM_KUBO_API", &kubo.api_url()).run_by_user();
        kubo.hang_after(Some(calls));
        let running = run::Running::start(world.command(&["keep", "run", "--now"]), world.base());
        let running = RefCell::new(running);
        let hung = || kubo.api().requests().len() > calls;
        eventually("the call that hangs, or the end", || hung() || running.borrow_mut().has_ended());
        let running = running.into_inner();
        if !hung() {
            assert!(n > 4 && running.finish().code() == 0);
            break;
        }
        running.signal([rustix::process::Signal::INT, rustix::process::Signal::TERM][n % 2]);
        let run = running.finish();
        assert!(run.code() == 130 && run.stderr.contains("interrupted"), "after call {calls}: {run:?}");
        kubo.hang_after(None);
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
        assert_eq!((kept(&kubo, &packages), kubo.loose_blocks()), (vec![0, 1], Vec::new()), "after call {calls}");
    }
}
