//! A publication that begins with what is new, and lists what was there before as a daily budget allows.

use std::fs;

use crate::support::follow::{following, keeping, key_of, listed, publish, published, remembering, requests, wanted};
use crate::support::publisher::files_below;
use crate::support::repo::Package;
use crate::support::tier1::Upstream;
use crate::support::{FakeKubo, FakeMirror, Misbehaves as _, World};

#[test]
fn what_was_there_before_comes_within_the_budget_of_a_day_and_what_is_new_at_once() {
    let old = [("one", 40_000), ("two", 60_000), ("three", 90_000)].map(|(name, size)| Package::new(name, size));
    let mut upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    let three = format!("core/os/x86_64/{}", old[2].file_name());
    let [a, b] = [0, 1].map(|_| upstream.mirror().on(&three).status(404).times(1));
    let world = following(&[&a, &b], "");
    keeping(&world, "backfill = \"100000\"\ncontent = \"none\"");
    let names = || listed(&world.path("plain")).into_keys().map(|name| name[..3].to_owned()).collect::<Vec<_>>();
    let first = published(&world);
    assert_eq!((&first["unlisted"], &first["unlisted_bytes"]), (&2.into(), &150_000.into()), "{first}");
    let read = |name: &str| fs::read_to_string(world.path("plain").join(name)).unwrap();
    assert!(read("index.html").contains("Not listed yet: 2 packages that upstream has"), "{}", read("index.html"));
    let status: serde_json::Value = serde_json::from_str(&read("status.json")).unwrap();
    assert_eq!((&status["repos"][0]["unlisted"], &status["repos"][1]["unlisted"]), (&2.into(), &0.into()));
    let seen = world.run(&["publish", "status", "arch"]).stdout;
    assert!(
        seen.contains("not listed") && seen.contains("2 packages, 146.5 KiB: they come as backfill allows"),
        "{seen}"
    );
    assert_eq!(names(), ["one"], "a run takes one package at least");
    published(&world);
    assert_eq!(names(), ["one", "two"], "a day takes the budget");
    let (spent, bytes) = (published(&world), a.bytes() + b.bytes());
    assert_eq!((&spent["did"], &spent["unlisted"]), (&"unchanged".into(), &1.into()), "{spent}");
    assert_eq!(a.bytes() + b.bytes(), bytes, "the budget outlives the run");

    upstream.change("core", &Package::new("new", 300_000), |_| {});
    upstream.change("core", &Package::new("one", 50_000).version("2.0-1"), |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    published(&world);
    let listed_now = listed(&world.path("plain"));
    let expected = wanted(&upstream).into_iter().filter(|(name, _)| !name.starts_with("three")).collect();
    assert_eq!(listed_now, expected, "what is new is there, whatever is left of the budget");

    // A new day. What does not come is said, costs nothing of the budget, and holds nothing up.
    remembering(&world, |kept| kept["backfill"]["day"] = 1.into());
    let run = publish(&world);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains(&format!("warning: {}: not listed yet: ", old[2].file_name())), "{}", run.stderr);
    let last = published(&world);
    assert_eq!((&last["did"], &last["unlisted"]), (&"published".into(), &0.into()), "{last}");
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
}

#[test]
fn a_damaged_memory_takes_no_package_out_of_the_index() {
    let old = [("one", 4000), ("two", 6000), ("three", 9000)].map(|(name, size)| Package::new(name, size));
    let upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    let three = format!("core/os/x86_64/{}", old[2].file_name());
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "backfill = \"1 MB\"\ncontent = \"none\"");
    published(&world);
    let before = listed(&world.path("plain"));
    assert_eq!(before, wanted(&upstream), "all of it fits");

    // Bytes that do not come again are an error, and nothing that is published becomes less.
    let held = world.path("state-publish/arch/follow/held");
    fs::write(&held, "damaged").unwrap();
    remembering(&world, |kept| kept["backfill"] = serde_json::json!({"day": u32::MAX, "bytes": 1}));
    let [a, b] = [a, b].map(|mirror| mirror.on(&three).status(404).times(1));
    let run = publish(&world);
    assert!(run.code() == 1 && run.stderr.contains(&old[2].file_name()), "{}", run.stderr);
    assert_eq!(listed(&world.path("plain")), before);
    // They come at once, whatever is left of the budget.
    fs::write(&held, "damaged").unwrap();
    let whole = published(&world);
    assert_eq!((&whole["did"], &whole["unlisted"]), (&"unchanged".into(), &0.into()), "{whole}");
    // So they do where no table is left that tells what was listed.
    fs::write(&held, "damaged").unwrap();
    fs::remove_dir_all(world.path("state-publish/arch/tables")).unwrap();
    assert_eq!(&published(&world)["unlisted"], 0);
    assert_eq!(listed(&world.path("plain")), before);
    drop((a, b));
}

#[test]
fn a_run_in_which_no_mirror_is_to_be_asked_leaves_the_backlog_for_the_next_one() {
    let old = [("one", 40_000), ("two", 60_000)].map(|(name, size)| Package::new(name, size));
    let upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "backfill = \"100000\"\ncontent = \"none\"");
    assert_eq!(&published(&world)["unlisted"], 1);
    let asked = requests(&[&a, &b], "");
    remembering(&world, |kept| {
        let heard = kept["heard"].as_u64().unwrap();
        for record in kept["mirrors"].as_object_mut().unwrap().values_mut() {
            record["not_before"] = (heard + 3000).into();
        }
    });
    let early = published(&world);
    assert_eq!((&early["did"], &early["unlisted"]), (&"unchanged".into(), &1.into()), "{early}");
    assert_eq!(requests(&[&a, &b], ""), asked);
}

#[test]
fn a_client_takes_a_package_that_is_not_listed_yet_from_its_mirror_as_ever() {
    let (one, two) = (Package::new("one", 40_000), Package::new("two", 60_000));
    let upstream = Upstream::of(&[("core", &[one.clone(), two.clone()]), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let publisher = following(&[&a, &b], "");
    keeping(&publisher, "backfill = \"50000\"\ncontent = \"none\"");
    assert_eq!(&published(&publisher)["unlisted"], 1);
    let copy = FakeMirror::serving(&files_below(&publisher.path("plain")));

    let (liar, honest) = (FakeMirror::serving(&[two.file()]).lying(), FakeMirror::serving(&[one.file(), two.file()]));
    let world = World::new().repo("core", &[&one, &two], &[&liar, &honest]);
    let url = format!("http://{}/index", copy.address());
    let add = world.run(&["index", "add", "arch", &key_of(&publisher), "--url", &url, "--repo", "core", "--yes"]);
    assert_eq!(add.code(), 0, "{}", add.stderr);
    for package in [&one, &two] {
        let out = world.out(&package.file_name());
        let run = world.xfer(&honest.url("core", &package.file_name()), &out);
        run.succeeds();
        assert_eq!(fs::read(&out).unwrap(), package.bytes);
        assert!(!run.said.contains("warning"), "{}", run.said);
    }
}

/// Lists the first letters of what is listed.
fn names(world: &World) -> Vec<String> {
    listed(&world.path("plain")).into_keys().map(|name| name[..3].to_owned()).collect()
}

#[test]
fn a_package_that_does_not_come_holds_up_no_other_and_what_was_sent_for_it_is_spent() {
    let old = [("one", 40_000), ("two", 60_000)].map(|(name, size)| Package::new(name, size));
    let upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    let one = format!("core/os/x86_64/{}", old[0].file_name());
    for is_lie in [false, true] {
        let bent = |mirror: FakeMirror| if is_lie { mirror.on(&one).lying() } else { mirror.on(&one).status(404) };
        let (a, b) = (bent(upstream.mirror()), bent(upstream.mirror()));
        let world = following(&[&a, &b], "");
        // Each is larger than the part of a run, and the smaller one is the first.
        keeping(&world, "backfill = \"200000\"\ncontent = \"none\"");
        let run = publish(&world);
        assert!(run.code() == 0 && run.stderr.contains("not listed yet"), "{}", run.stderr);
        let mut spent = 0;
        remembering(&world, |kept| spent = kept["backfill"]["bytes"].as_u64().unwrap());
        let sent = if is_lie { 40_000..=130_000 } else { 0..=0 };
        assert!(sent.contains(&spent), "{spent}");
        assert_eq!(names(&world), [""; 0]);
        published(&world);
        assert_eq!(names(&world), ["two"], "lie: {is_lie}");
    }
}

#[test]
fn a_package_of_the_backlog_whose_signature_does_not_count_is_not_listed() {
    let old = [("one", 4000), ("two", 6000)].map(|(name, size)| Package::new(name, size));
    let upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "keyring = \"$WORLD/keyring\"\n");
    let world = world.script("gpgv", &format!("case $5 in *{}) exit 1;; esac", old[0].sha256()));
    keeping(&world, "backfill = \"1 MB\"\ncontent = \"none\"");
    for _ in 0..2 {
        let run = publish(&world);
        assert!(run.code() == 0 && run.stderr.contains("not listed yet"), "{}", run.stderr);
        assert_eq!(names(&world), ["two"]);
    }
}

#[test]
fn a_repository_that_is_followed_later_keeps_nothing_new_of_the_others_waiting() {
    let old = [("one", 40_000), ("two", 60_000)].map(|(name, size)| Package::new(name, size));
    let mut upstream = Upstream::of(&[("core", &old), ("extra", &[Package::new("three", 30_000)])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "backfill = \"50000\"\ncontent = \"none\"");
    let file = world.path("config/publish.d/arch.toml");
    let both = fs::read_to_string(&file).unwrap();
    fs::write(&file, both.replace("[\"core\", \"extra\"]", "[\"core\"]")).unwrap();
    published(&world);
    assert_eq!(names(&world), ["one"]);
    upstream.change("core", &Package::new("new", 45_000), |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    fs::write(&file, both).unwrap();
    assert_eq!(&published(&world)["unlisted"], 2, "what extra had, and what is old in core");
    assert_eq!(names(&world), ["new", "one"]);
}

#[test]
fn bytes_that_an_interrupted_run_has_left_are_not_listed_before_their_signature_counts() {
    let old = [("one", 40_000), ("two", 60_000)].map(|(name, size)| Package::new(name, size));
    let upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    for keyring in ["", "keyring = \"$WORLD/keyring\"\n"] {
        let (a, b) = (upstream.mirror(), upstream.mirror());
        let world = following(&[&a, &b], keyring).script("gpgv", "");
        keeping(&world, "backfill = \"50000\"\ncontent = \"none\"");
        published(&world);
        assert_eq!(names(&world), ["one"]);
        // As by a run that was killed before it asked for the signature; and in the next one no mirror answers.
        let left = world.path("state-publish/arch/follow/packages").join(old[1].sha256().to_string());
        fs::write(&left, &old[1].bytes).unwrap();
        let [a, b] = [a, b].map(|mirror| mirror.on("lastupdate").status(500).times(2));
        let late = publish(&world);
        assert_eq!(late.code(), 1, "{}", late.stderr);
        assert_eq!((names(&world), left.exists()), (vec!["one".to_owned()], true), "{keyring}");
        let [a, b] = [a, b].map(|mirror| mirror.honest());
        published(&world);
        assert_eq!(names(&world), ["one", "two"], "it is judged, and need not come again");
        assert_eq!(requests(&[&a, &b], &old[1].file_name()), 0);
    }
}

/// Has the publication put its packages into this daemon.
fn into(world: World, kubo: &FakeKubo) -> World {
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("kubo = false", "kubo = true").replace("content = \"none\"\n", "")).unwrap();
    world.kubo(kubo)
}

#[test]
fn a_kubo_that_has_room_for_what_is_new_alone_gets_it_and_nothing_of_the_budget_is_spent() {
    let old = [("one", 40_000), ("two", 60_000)].map(|(name, size)| Package::new(name, size));
    let mut upstream = Upstream::of(&[("core", &old), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "backfill = \"50000\"\ncontent = \"none\"");
    published(&world);
    let new = Package::new("new", 30_000);
    upstream.change("core", &new, |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    remembering(&world, |kept| kept["backfill"] = serde_json::json!({"day": 1, "bytes": 0}));
    let kubo = FakeKubo::empty().using(10_000_000_000 - 20_000);
    let world = into(world, &kubo);
    // It has no keys either, so that no run is ended by a publication.
    assert_eq!(publish(&world).code(), 1);
    assert_eq!(requests(&[&a, &b], &new.file_name()), 0);

    let kubo = kubo.using(10_000_000_000 - 150_000);
    let world = into(world, &kubo);
    assert_eq!(publish(&world).code(), 1);
    assert!(requests(&[&a, &b], &new.file_name()) > 0, "it was fetched");
    assert_eq!(requests(&[&a, &b], &old[1].file_name()), 0);
    remembering(&world, |kept| assert_eq!(kept["backfill"]["bytes"], 0));
}

#[test]
fn nothing_is_fetched_for_a_kubo_that_does_not_answer() {
    let upstream = Upstream::of(&[("core", &[Package::new("one", 4000)]), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    let state = world.path("state-publish/arch/follow");
    fs::create_dir_all(&state).unwrap();
    let package = Package::new("sent", 500);
    let cid = pkgswarm::dag::build::build(&package.bytes[..]).unwrap().root;
    fs::write(state.join("arrived"), format!("ours {} {cid}\n", package.sha256())).unwrap();
    let world = into(world, &FakeKubo::empty().guarded("secret"));
    let run = publish(&world);
    assert!(run.code() == 1 && run.stderr.contains("hint: sudo systemctl start ipfs"), "{}", run.stderr);
    assert_eq!(requests(&[&a, &b], ""), 0);
}
