//! What `pkgswarm keep` goes by: the declarations of shares as they are when a round begins, and the limits of the disk.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::keep::{keeping, kept, mirror_with, packages, status};
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

#[test]
fn where_kubos_repository_is_is_asked_once_and_told() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    kubo.disk().counting_without_end(true);
    let run = world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]);
    let says = "Kubo did not say where its repository is (it was still counting its blocks): min_free is not looked at";
    assert!(run.code() == 0 && run.said.contains(says), "{run:?}");
    assert!(!run.said.contains("not on this machine"), "{run:?}");
    assert!(status(&world)["repo"].is_null());

    kubo.disk().counting_without_end(false);
    for _ in 0..3 {
        let run = world.run(&["keep", "run", "--now"]);
        assert!(run.code() == 0 && !run.said.contains("min_free"), "{run:?}");
    }
    assert_eq!(kubo.disk().counts(), 2, "one in vain, one for all later rounds");
    let all = status(&world);
    assert_eq!((&all["repo"], &all["measured"]), (&"/".into(), &"/".into()), "{all}");
    let shown = world.run(&["keep", "status"]).stdout;
    assert!(shown.contains("that of /; 0 B of it stay free"), "{shown}");

    // A path that is there no more is asked for again; one in the daemon's environment needs no counting.
    let repo = world.path("repo");
    let file = world.path("state/keep/arch/kubo.json");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"repo\":\"/\"", "\"repo\":\"/gone\"")).unwrap();
    fs::create_dir(&repo).unwrap();
    kubo.disk().lies_at(&repo);
    kubo.disk().named_by_variable();
    assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    assert_eq!(status(&world)["measured"], repo.display().to_string());
    assert_eq!(kubo.disk().counts(), 2);
}

#[test]
fn a_repository_below_a_closed_home_is_measured_above_it_only_where_that_is_the_same_disk() {
    if !world::can_be_two_users("a_repository_below_a_closed_home") {
        return;
    }
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    let home = world.path("home-of-kubo");
    fs::create_dir_all(home.join("ipfs")).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    kubo.disk().lies_at(&home.join("ipfs"));
    let above = rustix::fs::statvfs(&home).unwrap();
    kubo.disk().freeing(above.f_bfree * above.f_frsize);
    let run = world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]);
    assert!(run.code() == 0 && !run.said.contains("cannot look"), "{run:?}");
    let all = status(&world);
    let places = (&all["repo"], &all["measured"]);
    assert_eq!(places, (&home.join("ipfs").display().to_string().into(), &home.display().to_string().into()), "{all}");

    kubo.disk().freeing(above.f_bfree * above.f_frsize / 3);
    let run = world.run(&["keep", "arch", "--min-free", "99%"]);
    let says = format!("this user cannot look at the disk of Kubo's repository, {}", home.join("ipfs").display());
    assert!(run.code() == 0 && run.stderr.contains(&says), "{run:?}");
    assert!(status(&world)["measured"].is_null());
    assert_eq!(kept(&kubo, &packages).len(), 12, "another disk's room is not this one's");
}

#[test]
fn where_storagemax_is_the_limit_the_round_names_it_and_its_remedy() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    kubo.holding_at_most(2_000_000);
    let run = world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]);
    let says = "Kubo's Datastore.StorageMax of 1.9 MiB leaves 1.9 MiB for it; `ipfs config Datastore.StorageMax 1GB`";
    assert!(run.code() == 0 && run.said.contains(says), "{run:?}");
    assert!(kubo.block_bytes() <= 2_000_000);
    assert!(run.said.contains("files found no room on Kubo's disk: Kubo's Datastore.StorageMax of "), "{run:?}");
    // Told before the round, too, where the quota is more than it can take.
    let early = run.said.find("the share cannot grow to 1.0 GiB: Kubo's Datastore.StorageMax").expect("an early line");
    assert!(early < run.said.find("files kept").unwrap(), "{run:?}");
    kubo.holding_at_most(1 << 40);
    let run = world.run(&["keep", "run", "--now", "arch"]);
    assert!(run.code() == 0 && !run.said.contains("StorageMax"), "{run:?}");
}

#[test]
fn a_repository_that_the_index_lacks_is_told_with_the_nearest_name_and_empties_no_share() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror).script("systemctl", "echo enabled");
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    let path = world.path("config/config.d/keep-arch.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "repos = [\"cora\"]\n").unwrap();
    for _ in 0..10 {
        let run = world.run(&["keep", "run", "--now"]);
        assert!(
            run.code() == 0 && run.said.contains("index arch has no repository cora; did you mean core?"),
            "{run:?}"
        );
        assert_eq!(kept(&kubo, &packages).len(), 12, "{run:?}");
    }
    let run = world.run(&["doctor"]);
    let found = format!("{}{}", run.stdout, run.stderr);
    assert!(found.contains("index arch has no repository cora") && found.contains("[keep-repos]"), "{found}");
    let run = world.run(&["keep", "arch", "--repos", "cora"]);
    assert!(run.code() == 2 && run.stderr.contains("did you mean core?"), "{run:?}");
    // Mended, it is an ordinary share again.
    let run = world.run(&["keep", "arch", "--repos", "core"]);
    assert!(run.code() == 0 && !run.said.contains("has no repository"), "{run:?}");
    assert_eq!(kept(&kubo, &packages).len(), 12);
}

#[test]
fn what_sources_sent_for_a_share_is_counted() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    let stats = world.run(&["stats", "--json"]).stdout;
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let sent: usize = packages.iter().map(|package| package.bytes.len()).sum();
    let sources = stats["sources"].as_array().unwrap();
    let from = |kind: &str| sources.iter().find(|one| one["source"].as_str().unwrap().starts_with(kind)).unwrap();
    assert_eq!((&from("mirror ")["bytes"], &from("mirror ")["files"]), (&sent.into(), &12.into()), "{stats}");
    assert_eq!(stats["delivered"], 0, "none of it was handed to pacman");
    let why = world.run(&["why", &packages[0].file_name()]);
    assert!(why.stdout.contains("Last: from 127.0.0.1:"), "{why:?}");
}

#[test]
fn kubo_keeps_connections_to_the_keepers_that_were_seen_beside_the_users_own() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    for user_has in ["mine", "peer1"] {
        kubo.peering().add(user_has);
    }
    packages.iter().for_each(|package| kubo.provided_by(&super::keep::cid(package), 3));
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    assert_eq!(kubo.peering().ids(), ["mine", "peer1"], "none is known yet");
    for _ in 0..2 {
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
        assert_eq!(kubo.peering().ids(), ["mine", "peer0", "peer1", "peer2"]);
    }
    // At most sixteen of a share, however many say that they hold it.
    packages.iter().for_each(|package| kubo.provided_by(&super::keep::cid(package), 30));
    fs::remove_file(world.path("state/keep/arch/state.json")).unwrap();
    for _ in 0..2 {
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    }
    let ids = kubo.peering().ids();
    assert!(ids.len() > 10 && ids.len() <= 16 + 2, "{ids:?}");
    let silent = ["--set", "kubo.peering=false", "keep", "run", "--now"];
    assert_eq!(world.run(&silent).code(), 0);
    assert_eq!(kubo.peering().ids(), ["mine", "peer1"], "only the keeper's own go");
    assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    assert!(kubo.peering().ids().len() > 10);
    assert_eq!(world.run(&["keep", "stop", "arch"]).code(), 0);
    assert_eq!(kubo.peering().ids(), ["mine", "peer1"], "the end of the share ends them");
}
