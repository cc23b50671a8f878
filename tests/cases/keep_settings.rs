//! What `pkgswarm keep` goes by: the declarations of shares as they are when a round begins, and the limits of the disk.

use std::cell::RefCell;

use super::keep::{keeping, kept, mirror_with, packages};
use crate::support::*;

const ALL: [&str; 5] = ["--quota", "1G", "--mirrors", "--min-free", "0"];

/// Two indexes of the same packages, each with a share; `beta` is after `arch`.
fn two_shares(packages: &[Package], kubo: &FakeKubo, mirror: &FakeMirror) -> World {
    let world = keeping(packages, kubo, mirror);
    let world = packages.iter().fold(FakeIndex::called("beta"), FakeIndex::listing).in_use(world);
    for name in ["arch", "beta"] {
        let words: Vec<&str> = ["keep", name].into_iter().chain(ALL).collect();
        assert_eq!(world.run(&words).code(), 0);
    }
    world
}

/// Runs all shares, does `meanwhile` while that of `arch` is at work, and returns what the run said.
fn while_arch_is_at_work(world: &World, kubo: &FakeKubo, meanwhile: impl FnOnce()) -> run::Run {
    let before = kubo.api().requests().len();
    kubo.hang_after(Some(0));
    let running = RefCell::new(run::Running::start(world.command(&["keep", "run", "--now"]), world.base()));
    let hung = || kubo.api().requests().len() > before;
    eventually("the call that hangs, or the end", || hung() || running.borrow_mut().has_ended());
    assert!(hung(), "{:?}", running.into_inner().finish());
    kubo.hang_after(None);
    meanwhile();
    kubo.api().drop_connections();
    running.into_inner().finish()
}

#[test]
fn a_share_that_is_ended_or_changed_while_another_is_at_work_stays_so() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = two_shares(&packages, &kubo, &mirror);
    let beta = || kubo.pinned_under("pkgswarm-keep:beta").map_or(0, |reached| reached.len());
    let all = beta();
    let run = while_arch_is_at_work(&world, &kubo, || {
        assert_eq!(world.run(&["keep", "beta", "--quota", "400K"]).code(), 0);
        assert!(beta() < all, "{}", beta());
    });
    assert!(run.said.contains("beta: ") && run.said.contains(" of 400.0 KiB"), "{run:?}");
    assert!(beta() < all, "the quota of the run's beginning is not filled: {run:?}");

    let run = while_arch_is_at_work(&world, &kubo, || assert_eq!(world.run(&["keep", "stop", "beta"]).code(), 0));
    assert!(run.said.contains("beta: not now: it is kept no more"), "{run:?}");
    assert_eq!(beta(), 0);
    assert!(!world.path("state/keep/beta").exists());
    assert_eq!(kept(&kubo, &packages).len(), 12, "arch has its own");
}

#[test]
fn a_change_while_a_round_of_the_share_is_at_work_is_told_to_come_with_the_next() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = two_shares(&packages, &kubo, &mirror);
    while_arch_is_at_work(&world, &kubo, || {
        let run = world.run(&["keep", "arch", "--quota", "400K"]);
        assert_eq!(run.code(), 0, "{run:?}");
        let says = "arch: not now: another round of this share is at work; the next one takes the new settings";
        assert!(run.said.contains(says) && !run.said.contains("--now does it"), "{run:?}");
    });
    assert_eq!(world.run(&["keep", "run", "--now", "arch"]).code(), 0);
    let shown = world.run(&["keep", "status", "arch", "--json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert!(shown["bytes"].as_u64().unwrap() <= 400 << 10, "{shown}");
}
