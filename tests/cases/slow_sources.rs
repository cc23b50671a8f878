//! Time limits of a last source: no dripping source holds pacman for ever, and a user who lifts pacman's timeouts
//! can wait for a gateway that inspects a whole file before passing it on. And what sources that have nothing cost.

use std::time::{Duration, Instant};

use crate::support::*;

const SIZE: usize = 40_000;

/// Makes a world with short limits, so that the waits of these tests exceed them.
fn impatient() -> World {
    World::new().set("PKGSWARM_DOWNLOAD_STALL", "1 s").set("PKGSWARM_DOWNLOAD_PATIENCE", "2 s")
}

#[test]
fn the_last_mirror_cannot_drip_for_ever() {
    let zlib = Package::new("zlib", SIZE);
    let bytes = database(&[&zlib], Compression::Gzip);
    let drips = |world: World| {
        let mirror = FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]);
        let mirror = mirror.dripping(Duration::from_millis(1500));
        (world.servers("core", &[mirror.repo("core")], &[]), mirror)
    };
    for file in [zlib.file_name(), "core.db".into()] {
        let (world, mirror) = drips(impatient().sync_database("core", &bytes));
        let run = world.xfer(&mirror.url("core", &file), &world.out(&file));
        assert_eq!(run.code(), 1, "{file}: {}", run.stderr);
        assert_eq!(mirror.hits(&file), 1, "{file}: it would drip on");
        world.has_no_output();
    }
}

#[test]
fn pacmans_option_without_timeouts_lifts_the_patience_with_the_last_mirror() {
    let zlib = Package::new("zlib", SIZE);
    let bytes = database(&[&zlib], Compression::Gzip);
    let late: [Bend; 2] =
        [|m| m.answering_after(Duration::from_secs(4)), |m| m.pausing_after(100, Duration::from_secs(4))];
    for bend in late {
        for file in [zlib.file_name(), "core.db".into()] {
            let mirror = bend(FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]));
            let world = impatient().repo("core", &[&zlib], &[&mirror]);
            let (url, out) = (mirror.url("core", &file), world.out(&file));
            let words: &[&str] = if file == "core.db" { &["-Sy"] } else { &["-S", "zlib"] };
            let words = [words, &["--disable-download-timeout"]].concat();
            let run = world.called_by_pacman_with(&words, &url, &out).finish();
            assert_eq!((run.code(), mirror.hits(&file)), (0, 1), "{file}: {}", run.stderr);
        }
    }
    let mirror = FakeMirror::serving(&[zlib.file()]).answering_after(Duration::from_secs(4));
    let world = impatient().repo("core", &[&zlib], &[&mirror]);
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    assert_eq!(world.xfer(&url, &out).code(), 1, "without the option patience has an end");
    world.option("DisableDownloadTimeout").xfer(&url, &out).succeeds();
}

#[test]
fn a_slow_line_is_no_reason_to_give_up_while_another_source_is_silent() {
    let zlib = Package::new("zlib", 400_000);
    let slow = FakeMirror::serving(&[zlib.file()]).slow(60_000);
    let silent = FakeMirror::serving(&[zlib.file()]).hanging();
    for servers in [[&slow, &silent], [&silent, &slow]] {
        let world = World::new()
            .repo("core", &[&zlib], &servers)
            .set("PKGSWARM_DOWNLOAD_CONNECT", "500 ms")
            .set("PKGSWARM_DOWNLOAD_FLOOR", "100 MiB");
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&servers[0].url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        world.has(&out, &zlib.bytes);
    }
}

#[test]
fn gateways_that_lack_it_cost_one_budget_in_a_transaction() {
    let packages: Vec<Package> = (0..8).map(|i| Package::new(&format!("p{i}"), 1000)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let mirror = FakeMirror::serving(&files);
    let bends: [(&str, BendKubo); 2] = [
        ("says no after a while", |g| g.status(404).answering_after(Duration::from_secs(1))),
        ("hangs", |g| g.hanging()),
    ];
    for (what, bend) in bends {
        let gateways = [bend(FakeKubo::empty()), bend(FakeKubo::empty())];
        let all = |world: &World| {
            let begun = Instant::now();
            for package in &packages {
                let out = world.out(&package.file_name());
                world.xfer(&mirror.url("core", &package.file_name()), &out).succeeds();
            }
            begun.elapsed()
        };
        let world = || World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]);
        let urls = format!("{},{}", gateways[0].gateway_url(), gateways[1].gateway_url());
        let with = all(&world().set("PKGSWARM_GATEWAYS_URLS", &urls).set("PKGSWARM_SHARE_REPOS", "core"));
        let without = all(&world());
        // The promise is 0.3 s; paid for each of the eight files it would be sixteen. The rest is for a busy
        // machine.
        assert!(with < without + Duration::from_secs(5), "a gateway {what}: {with:?}, without one {without:?}");
    }
}

#[test]
fn a_file_that_no_source_has_is_waited_for_once_and_asked_of_each_mirror_twice_at_most() {
    let gone = Package::new("gone", 1000);
    let mirrors: Vec<FakeMirror> = (0..4).map(|_| FakeMirror::serving::<&str, &[u8]>(&[])).collect();
    let kubo = FakeKubo::empty();
    let world = World::new().repo("core", &[&gone], &mirrors.iter().collect::<Vec<_>>()).kubo(&kubo);
    // As pacman does: the next server after each failure.
    let took: Vec<Duration> = mirrors
        .iter()
        .map(|mirror| {
            let run = world.xfer(&mirror.url("core", &gone.file_name()), &world.out(&gone.file_name()));
            assert_eq!(run.code(), 1, "{}", run.stderr);
            run.took
        })
        .collect();
    assert!(took[1..].iter().all(|took| *took < Duration::from_secs(1)), "Kubo is waited for again: {took:?}");
    for mirror in &mirrors {
        assert!(mirror.requests().len() <= 2, "{:?}", mirror.requests());
    }
    // Another run of pacman begins anew.
    let url = mirrors[0].url("core", &gone.file_name());
    mirrors[3].publish(&gone.file_name(), &gone.bytes);
    world.xfer_of_another_pacman(&url, &world.out(&gone.file_name())).succeeds();
}
