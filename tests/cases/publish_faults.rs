//! A publication that follows mirrors, where something goes wrong for long: slow mirrors, wrong clocks, late runs.

use std::fs;
use std::time::Duration;

use crate::support::Misbehaves as _;
use crate::support::follow::{following, listed, publish, published, remembering, requests, upstream, wanted};
use crate::support::repo::Package;
use crate::support::world::listing;

#[test]
fn a_mirror_that_drips_is_given_up_like_one_that_is_away() {
    let upstream = upstream();
    let drop_by_drop = Duration::from_secs(1);
    let a = upstream.mirror().on("lastupdate").dripping(drop_by_drop);
    let b = upstream.mirror().on("core.db").dripping(drop_by_drop);
    let (c, d) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b, &c, &d], "").set("PKGSWARM_DOWNLOAD_PATIENCE", "5 s");
    let run = publish(&world);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.said.contains("warning: 127.0.0.1:A: "), "{}", run.said);
    assert_eq!(a.hits("core.db"), 0, "it said nothing about its state");
    assert_eq!((b.hits("core.db"), d.hits("core.db")), (1, 1), "two others agree on the database");
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
}

#[test]
fn a_clock_that_was_wrong_once_stops_no_publication_and_mirrors_that_want_rest_are_said() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    remembering(&world, |kept| {
        for record in kept["mirrors"].as_object_mut().unwrap().values_mut() {
            (record["asked"], record["not_before"]) = ((1u64 << 40).into(), (1u64 << 40).into());
        }
    });
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    let [a, b] = [a, b].map(|mirror| {
        upstream.sync(&mirror);
        mirror
    });
    assert_eq!(&published(&world)["did"], "published");
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));

    // All want rest, which is said; after two hours it is no good run any more.
    let [a, b] = [a, b].map(|mirror| mirror.on("lastupdate").status(503).retry_after(3000).times(1));
    assert_eq!(publish(&world).code(), 1);
    let run = publish(&world);
    assert!(run.code() == 0 && run.said.contains("warning: 127.0.0.1:A: not to be asked for another"), "{}", run.said);
    // Nor does what is missing come, which is not the fault of a mirror.
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}keyring = \"{}/keyring\"\n", world.base())).unwrap();
    let run = publish(&world);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.said.contains("error: publish: no mirror delivered what is missing"), "{}", run.said);
    assert!(run.said.contains("127.0.0.1:A: not to be asked for another"), "{}", run.said);
    fs::write(&file, text).unwrap();
    remembering(&world, |kept| kept["heard"] = (kept["heard"].as_u64().unwrap() - 7300).into());
    let run = publish(&world);
    assert!(run.code() == 1 && run.said.contains("no mirror delivered its lastupdate"), "{}", run.said);
    drop((a, b));
}

#[test]
fn runs_that_are_late_keep_no_more_than_two_snapshots() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    let before = wanted(&upstream);
    let bash = Package::new("bash", 100).version("2.0-1");
    upstream.change("core", &bash, |_| {});
    let path = format!("core/os/x86_64/{}", bash.file_name());
    let [a, b] = [a, b].map(|mirror| mirror.on(&path).status(404));
    let state = world.path("state-publish/arch/follow");
    for version in 1..6 {
        upstream.change("extra", &Package::new("git", 10_000).version(&format!("{version}.1-1")), |_| {});
        upstream.sync(&a);
        upstream.sync(&b);
        let run = publish(&world);
        assert!(run.code() == 1 && run.stderr.contains(&bash.file_name()), "{}", run.stderr);
        let databases = listing(&state.join("databases")).len();
        assert!(databases <= 6, "{databases}: two of each of three snapshots at most");
        let signatures = listing(&state.join("signatures")).len();
        assert!(signatures <= 8, "{signatures}: five, and those of two changes and of a package that did not come");
        assert!(listing(&state.join("packages")).len() <= 3);
    }
    assert_eq!(listed(&world.path("plain")), before);
    let [a, b] = [a, b].map(|mirror| mirror.honest());
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    assert_eq!((listing(&state.join("databases")).len(), listing(&state.join("signatures")).len()), (2, 5));
    drop((a, b));
}

#[test]
fn a_repository_that_would_be_removed_is_said_before_anything_is_asked() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"core\", \"extra\"", "\"core\"")).unwrap();
    let asked = requests(&[&a, &b], "");
    let run = publish(&world);
    assert!(
        run.code() == 2 && run.stderr.contains("the index lists extra-x86_64 now, which is not given"),
        "{}",
        run.stderr
    );
    assert_eq!(requests(&[&a, &b], ""), asked);
}
