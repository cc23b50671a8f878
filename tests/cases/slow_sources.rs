//! Time limits of a last source: no dripping source holds pacman for ever, and a user who lifts pacman's timeouts
//! can wait for a gateway that inspects a whole file before passing it on.

use std::time::Duration;

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
