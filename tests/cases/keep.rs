//! `pkgswarm keep`: a share of an index in Kubo, within its quota, whatever happens to it.

use std::collections::HashSet;
use std::fs;

use pkgswarm::dag::build::build;
use serde_json::Value;

use super::json::documented;
use crate::support::world::listing;
use crate::support::*;

pub(super) const PIN: &str = "pkgswarm-keep:arch";

/// Packages from small ones to some of several leaves.
pub(super) fn packages() -> Vec<Package> {
    (0..12).map(|n| Package::new(&format!("p{n}"), if n % 4 == 0 { 1_500_000 } else { 40_000 + n })).collect()
}

pub(super) fn cid(package: &Package) -> String {
    build(&package.bytes[..]).unwrap().root.to_string()
}

/// An index of these, in use beside this Kubo; a mirror of `core` that pacman has.
pub(super) fn keeping(packages: &[Package], kubo: &FakeKubo, mirror: &FakeMirror) -> World {
    let index = packages.iter().fold(FakeIndex::called("arch"), FakeIndex::listing);
    let world = World::new().kubo(kubo).servers("core", &[&mirror.repo("core")], &[]);
    index.in_use(world.set("PKGSWARM_DOWNLOAD_PATIENCE", "2 s"))
}

pub(super) fn mirror_with(packages: &[Package]) -> FakeMirror {
    FakeMirror::serving(&packages.iter().map(Package::file).collect::<Vec<_>>())
}

/// Lists the packages that the share's pin reaches.
pub(super) fn kept(kubo: &FakeKubo, packages: &[Package]) -> Vec<usize> {
    let Some(reached) = kubo.pinned_under(PIN) else { return Vec::new() };
    (0..packages.len()).filter(|n| reached.contains(&cid(&packages[*n]))).collect()
}

pub(super) fn status(world: &World) -> Value {
    let run = world.run(&["keep", "status", "--json"]);
    assert_eq!(run.code(), 0, "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_share_is_fetched_proven_pinned_under_one_root_and_dropped_here() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    let run = world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.said.contains("arch: 12 files kept, "), "{}", run.said);
    assert!(run.said.contains("12 new ("), "{}", run.said);
    assert_eq!(kept(&kubo, &packages), (0..12).collect::<Vec<_>>());
    assert_eq!(kubo.loose_blocks(), [""; 0], "nothing came that the pin does not hold");
    world.store_is_settled();
    assert_eq!(listing(&world.path("store/files")), [""; 0], "one copy: that in Kubo");
    let text = fs::read_to_string(world.path("config/config.d/keep-arch.toml")).unwrap();
    assert!(text.contains("[keep.arch]\nquota = \"1073741824 B\"\n") && text.contains("mirrors = true"), "{text}");

    let asked = mirror.hits(&packages[0].file_name());
    let again = world.run(&["keep", "run", "--now", "--json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["taken"], &again["came"], &again["files"]), (&0.into(), &0.into(), &12.into()), "{again}");
    assert_eq!(mirror.hits(&packages[0].file_name()), asked);
    let all = status(&world);
    assert_eq!((&all["files"], &all["index_files"], &all["kubo_sent"]), (&12.into(), &12.into(), &7.into()), "{all}");
    assert!(all["failed"].is_null() && all["last"].is_u64(), "{all}");
    documented(&world, "pkgswarm-keep-status", &["keep", "status"]);
    documented(&world, "pkgswarm-keep-ls", &["keep", "ls"]);
    documented(&world, "pkgswarm-keep-run", &["keep", "run", "--now"]);
    let ls = world.run(&["keep", "ls"]);
    assert!(ls.stdout.starts_with("arch ") && ls.stdout.contains(" 12 "), "{ls:?}");
}

#[test]
fn the_share_stays_within_its_quota_and_shrinks_with_it() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    let bytes_after = |quota: &str| {
        let run = world.run(&["keep", "arch", "--quota", quota, "--mirrors", "--min-free", "0%"]);
        assert_eq!(run.code(), 0, "{run:?}");
        assert_eq!(kubo.loose_blocks(), [""; 0]);
        kubo.block_bytes()
    };
    let two = bytes_after("2M");
    assert!(two <= 2 << 20 && two > 300_000, "{two}");
    let some = kept(&kubo, &packages);
    let one = bytes_after("400K");
    assert!(one <= 400 << 10 && one > 0, "{one}");
    let fewer = kept(&kubo, &packages);
    assert!(fewer.len() < some.len(), "{fewer:?} {some:?}");
    bytes_after("1G");
    assert_eq!(kept(&kubo, &packages).len(), 12);
}

#[test]
fn mirrors_are_asked_only_where_the_user_allows_it() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty().finding(&packages[1].bytes), mirror_with(&packages));
    let world = keeping(&packages[..4], &kubo, &mirror).set("PKGSWARM_KUBO_SEARCH", "always");
    let run = world.run(&["keep", "arch", "--quota", "1G", "--min-free", "0"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.said.contains("no source had 3 of the files; --mirrors would have such files"), "{}", run.said);
    assert_eq!(kept(&kubo, &packages), [1]);
    assert_eq!(mirror.requests().len(), 0);
    let run = world.run(&["keep", "arch", "--mirrors"]);
    assert_eq!(run.code(), 0, "{run:?}");
    // What no source had is left out for some rounds.
    for _ in 0..3 {
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 0);
    }
    assert_eq!(kept(&kubo, &packages), [0, 1, 2, 3]);
    let run = world.run(&["keep", "arch", "--mirrors=false", "--quota", "2G"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(!fs::read_to_string(world.path("config/config.d/keep-arch.toml")).unwrap().contains("mirrors"));
}

#[test]
fn of_an_index_that_is_expired_or_not_in_use_any_more_everything_stays_and_nothing_comes() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "400K", "--mirrors", "--min-free", "0"]).code(), 0);
    let held = kept(&kubo, &packages);
    let expired = packages.iter().fold(FakeIndex::called("arch").expired(), FakeIndex::listing);
    let world = expired.in_use(world);
    let run = world.run(&["keep", "arch", "--quota", "1G"]);
    assert!(run.code() == 0 && run.said.contains("nothing new is taken from index arch: it has expired"), "{run:?}");
    assert_eq!(kept(&kubo, &packages), held);
    fs::remove_file(world.path("config/config.d/index-arch.toml")).unwrap();
    let run = world.run(&["keep", "run", "--now"]);
    assert!(run.code() == 0 && run.said.contains("it is not in use any more"), "{run:?}");
    assert_eq!(kept(&kubo, &packages), held);
}

#[test]
fn what_the_user_pinned_or_has_in_mfs_stays_when_it_leaves_the_share() {
    let packages = packages();
    let mirror = mirror_with(&packages);
    let kubo = FakeKubo::empty().holding(&packages[5].bytes).holding(&packages[6].bytes);
    let kubo = kubo.keeping_in_mfs(&cid(&packages[6])).pinning(&cid(&packages[5]));
    let world = keeping(&packages, &kubo, &mirror);
    let before: HashSet<String> = kubo.loose_blocks().into_iter().collect();
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    assert_eq!(kept(&kubo, &packages).len(), 12);
    // Pinned by hand while it is kept, and put into MFS.
    kubo.pin(&cid(&packages[1]), "mine");
    let kubo = kubo.keeping_in_mfs(&cid(&packages[2]));
    let run = world.run(&["keep", "stop", "arch"]);
    assert_eq!(run.code(), 0, "{run:?}");
    let mut pins: Vec<String> = kubo.pins().into_values().collect();
    pins.sort();
    assert_eq!(pins, ["", "mine"], "the user's two");
    for n in [1, 2, 5, 6] {
        assert!(kubo.has_block(&cid(&packages[n])), "{n}");
    }
    for n in [0, 3, 4, 7, 8, 9, 10, 11] {
        assert!(!kubo.has_block(&cid(&packages[n])), "{n}");
    }
    assert!(before.iter().all(|cid| kubo.has_block(cid)), "what was there before is there still");
    assert!(!world.path("config/config.d/keep-arch.toml").exists() && !world.path("state/keep/arch").exists());
}

#[test]
fn a_stop_that_leaves_the_files_leaves_them_under_one_pin_of_the_users() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    documented(&world, "pkgswarm-keep-stop", &["keep", "stop", "arch", "--leave"]);
    let left = kubo.pinned_under("arch").unwrap();
    assert!(packages.iter().all(|package| left.contains(&cid(package))));
    assert_eq!(kubo.pins().len(), 1);
}

#[test]
fn a_lost_state_is_made_anew_from_the_pinned_root() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty().holding(&packages[7].bytes), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1700K", "--mirrors", "--min-free", "0"]).code(), 0);
    let (held, asked) = (kept(&kubo, &packages), mirror.requests().len());
    let root = status(&world)["root"].clone();
    for damage in [None, Some("{"), Some("{\"key\":7}")] {
        let path = world.path("state/keep/arch/state.json");
        match damage {
            None => fs::remove_dir_all(world.path("state/keep")).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        let run = world.run(&["keep", "run", "--now"]);
        assert_eq!(run.code(), 0, "{run:?}");
        assert_eq!((kept(&kubo, &packages), mirror.requests().len()), (held.clone(), asked), "{damage:?}: {run:?}");
        assert_eq!(status(&world)["root"], root, "the keeper has its number again");
        assert_eq!(kubo.pins().len(), 1);
    }
    // It still knows what is its own.
    assert_eq!(world.run(&["keep", "stop", "arch"]).code(), 0);
    assert!(kubo.has_block(&cid(&packages[7])) && kubo.block_bytes() <= packages[7].bytes.len() as u64);
}

#[test]
fn a_pin_that_was_removed_by_hand_comes_back_with_what_is_still_there() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    for (root, _) in kubo.pins() {
        kubo.unpin(&root);
    }
    kubo.lose(&cid(&packages[0]));
    let asked = mirror.hits(&packages[4].file_name());
    let run = world.run(&["keep", "run", "--now"]);
    assert!(run.code() == 0 && run.said.contains("11 of 12 files were still there"), "{run:?}");
    assert_eq!(kept(&kubo, &packages).len(), 12);
    assert_eq!(mirror.hits(&packages[4].file_name()), asked);
    kubo.collect_garbage();
    assert_eq!(kept(&kubo, &packages).len(), 12);
}

#[test]
fn a_full_disk_makes_the_least_needed_leave_and_lets_nothing_in() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    let all = kubo.block_bytes();
    kubo.holding_at_most(all / 2);
    let run = world.run(&["keep", "run", "--now"]);
    assert!(run.code() == 0 && run.said.contains("Kubo's disk is nearly full: "), "{run:?}");
    assert!(kubo.block_bytes() <= all / 2, "{} {all}", kubo.block_bytes());
    let left = kept(&kubo, &packages);
    assert!(!left.is_empty() && left.len() < 12, "{left:?}");
    assert_eq!(kubo.loose_blocks(), [""; 0]);
    // All of the file system is to stay free, as nearly as that can be said.
    let run = world.run(&["keep", "arch", "--min-free", "99%"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert_eq!((kept(&kubo, &packages).len(), kubo.pins().len()), (0, 0));
    kubo.holding_at_most(1 << 40);
    let run = world.run(&["keep", "run", "--now"]);
    assert!(
        run.said.contains("12 files found no room on Kubo's disk: ") && run.said.contains("min_free keeps"),
        "{run:?}"
    );
    assert_eq!(world.run(&["keep", "arch", "--min-free", "1 MiB"]).code(), 0);
    assert_eq!(kept(&kubo, &packages).len(), 12);
}

#[test]
fn a_kubo_that_is_not_there_is_a_clear_line_and_what_is_kept_stays_known() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    let run = world.run(&["keep", "run", "--now"]);
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(run.stderr.contains("error: kubo: Kubo is not running (nothing listens on 127.0.0.1:"), "{run:?}");
    let all = status(&world);
    assert!(all["failed"].as_str().unwrap().contains("Kubo is not running") && all["failures"] == 1, "{all}");
    assert_eq!((&all["files"], &all["kubo_sent"]), (&12.into(), &Value::Null));
}

#[test]
fn what_cannot_be_kept_is_said_before_anything_is_written() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    for (words, says) in [
        (&["keep", "arch"][..], "error: --quota: keep arch: a quota is required"),
        (&["keep", "other", "--quota", "1G"], "error: other: no index of that name is in use"),
        (&["keep", "arch", "--quota", "much"], "expected a size like \"40 GiB\", found \"much\""),
        (
            &["keep", "arch", "--quota", "1G", "--repos", "extra"],
            "error: extra: index arch may not speak for it; it may for core",
        ),
        (&["keep", "run", "arch"], "error: arch: no share of an index of that name is kept"),
        (&["keep", "stop", "arch"], "error: arch: no share of an index of that name is kept"),
    ] {
        let run = world.run(words);
        assert!(run.code() == 2 && run.stderr.contains(says), "{words:?}: {run:?}");
    }
    assert_eq!((world.run(&["keep", "run"]).code(), kubo.requests().len()), (0, 0));
    assert!(!world.path("config/config.d/keep-arch.toml").exists() && !world.path("state/keep").exists());
}

#[test]
fn a_file_that_lost_a_block_comes_again_within_some_rounds() {
    let packages = packages();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    kubo.lose(&cid(&packages[4]));
    let mut said = String::new();
    for _ in 0..16 {
        let run = world.run(&["keep", "run", "--now"]);
        assert_eq!(run.code(), 0, "{run:?}");
        said += &run.said;
    }
    assert!(said.contains("1 files had lost blocks in Kubo, and come again"), "{said}");
    assert_eq!(kept(&kubo, &packages).len(), 12);
}

#[test]
fn status_and_doctor_tell_of_shares_that_fail_or_have_no_timer() {
    let packages = packages();
    let kubo = FakeKubo::empty().configured("/Provide/Enabled", false.into());
    let mirror = mirror_with(&packages);
    let world = keeping(&packages, &kubo, &mirror).script("systemctl", "echo disabled; exit 1");
    assert_eq!(world.run(&["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"]).code(), 0);
    let shown = world.run(&["status"]).stdout;
    assert!(shown.contains("keeping   arch: 12 files, 4.7 MiB of 1.0 GiB; "), "{shown}");
    documented(&world, "pkgswarm-status", &["status"]);
    let said = |run: run::Run| format!("{}{}", run.stdout, run.stderr);
    let found = said(world.run(&["doctor"]));
    assert!(found.contains("shares are kept, and pkgswarm-keep.timer is disabled"), "{found}");
    assert!(found.contains("[kubo-keeps]"), "{found}");
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    for _ in 0..2 {
        assert_eq!(world.run(&["keep", "run", "--now"]).code(), 1);
    }
    let found = said(world.run(&["doctor"]));
    assert!(found.contains("the last 2 rounds of the share of arch failed: kubo: Kubo is not running"), "{found}");
    let shown = world.run(&["status"]).stdout;
    assert!(shown.contains("the last round failed: "), "{shown}");
}

#[test]
fn only_the_newest_version_of_a_package_is_kept_where_the_user_says_so() {
    let versions = [("1.9-1", 5000), ("1.10-1", 6000), ("1.10rc-1", 7000)];
    let versions = versions.map(|(version, size)| Package::new("p", size).version(version));
    let packages: Vec<Package> = versions.into_iter().chain([Package::new("q", 300)]).collect();
    let (kubo, mirror) = (FakeKubo::empty(), mirror_with(&packages));
    let world = keeping(&packages, &kubo, &mirror);
    let keep = ["keep", "arch", "--quota", "1G", "--mirrors", "--min-free", "0"];
    assert_eq!(world.run(&[&keep[..], &["--newest"]].concat()).code(), 0);
    assert_eq!(kept(&kubo, &packages), [1, 3]);
    assert_eq!(world.run(&["keep", "arch", "--newest=false"]).code(), 0);
    assert_eq!(kept(&kubo, &packages), [0, 1, 2, 3]);
}
