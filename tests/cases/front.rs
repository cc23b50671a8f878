//! The small program serves files from the store by itself, and leaves all else to the full one.

use std::fs;
use std::path::Path;
use std::process::Command;

use pkgswarm::base::env::{daemon_program_of, full_program_of};

use crate::support::install::install;
use crate::support::world::{binary, is_root, loudly};
use crate::support::*;

/// Makes a file that was fetched and is in the store now; returns its URL and an output path too.
fn fetched(zlib: &Package) -> (World, FakeMirror, String, std::path::PathBuf) {
    let mirror = FakeMirror::serving(&[zlib.file(), zlib.signature()]);
    let world = World::new().repo("core", &[zlib], &[&mirror]).run_by_user();
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    world.xfer(&url, &out).succeeds();
    fs::remove_file(&out).unwrap();
    (world, mirror, url, out)
}

#[test]
fn a_file_of_the_store_needs_no_full_program() {
    for size in [70_000, 3 << 20] {
        let zlib = Package::new("zlib", size);
        let (world, mirror, url, out) = fetched(&zlib);
        let asked = mirror.requests().len();
        let run = world.run_front_alone(&["xfer", &url, out.to_str().unwrap()]);
        run.succeeds();
        assert!(run.stderr.ends_with(", fetched ahead\n"), "{}", run.stderr);
        world.has(&out, &zlib.bytes);
        assert_eq!(mirror.requests().len(), asked, "no source was asked");
        let stats: serde_json::Value = serde_json::from_str(&world.run(&["stats", "--json"]).stdout).unwrap();
        assert_eq!(stats["files"], 2, "it is in the journal as well: {stats}");
    }
}

#[test]
fn a_file_of_a_package_cache_needs_no_full_program() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[Package::new("other", 10).file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).run_by_user();
    fs::write(world.path("cache").join(zlib.file_name()), &zlib.bytes).unwrap();
    let out = world.out(&zlib.file_name());
    let url = mirror.url("core", &zlib.file_name());
    world.run_front_alone(&["xfer", &url, out.to_str().unwrap()]).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn what_is_not_here_or_not_right_is_left_to_the_full_program() {
    let zlib = Package::new("zlib", 70_000);
    let (world, mirror, url, out) = fetched(&zlib);
    let signature = format!("{url}.sig");
    let database = mirror.url("core", "core.db");
    let stored = world.path("store/files").join(zlib.sha256().to_string());
    let out = out.to_str().unwrap();
    let elsewhere = |arguments: &[&str], what: &str| {
        let run = world.run_front_alone(arguments);
        assert_eq!(run.code(), 4, "{what}: {}", run.stderr);
        assert!(run.stderr.contains("the full program cannot be started"), "{what}: {}", run.stderr);
        assert!(run.stderr.contains("pkgswarm-full"), "{what}: {}", run.stderr);
        world.has_no_output();
    };
    elsewhere(&["xfer", &signature, out], "a signature that was not set aside");
    elsewhere(&["xfer", &database, out], "a database");
    elsewhere(&["xfer", &url], "a word too few");
    elsewhere(&["xfer", &url, out, "--set=store.max=1G"], "a word more");
    elsewhere(&["fetch", &zlib.file_name()], "another command");
    elsewhere(&["--version"], "no command");
    let as_root = world.run_front_alone_as_root(&["xfer", &url, out]);
    assert_eq!(as_root.map(|run| run.code()), is_root().then_some(4), "root leaves it to an unprivileged child");
    world.has_no_output();
    fs::write(world.path("config/config.toml"), "[store]\nmx = 1\n").unwrap();
    elsewhere(&["xfer", &url, out], "a mistake in the configuration, which is to be told");
    fs::remove_file(world.path("config/config.toml")).unwrap();
    fs::write(&stored, "damaged").unwrap();
    elsewhere(&["xfer", &url, out], "a damaged file");
}

#[test]
fn a_large_damaged_file_is_left_to_the_full_program() {
    let big = Package::new("big", 3 << 20);
    let (world, _mirror, url, out) = fetched(&big);
    let mut damaged = big.bytes.clone();
    damaged[2_900_000] ^= 1;
    fs::write(world.path("store/files").join(big.sha256().to_string()), damaged).unwrap();
    let run = world.run_front_alone(&["xfer", &url, out.to_str().unwrap()]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    world.has_no_output();
}

#[test]
fn a_small_program_under_the_name_of_the_full_one_is_found_out() {
    let world = World::new();
    world.run_front_alone(&["--version"]);
    install(&world.path("bin/pkgswarm"), &world.path("bin/pkgswarm-full"));
    let run = world.run_front_alone(&["--version"]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("it is the small program itself"), "{}", run.stderr);
}

#[test]
fn the_full_program_begins_where_the_small_one_gave_up() {
    let zlib = Package::new("zlib", 70_000);
    let (world, mirror, url, out) = fetched(&zlib);
    fs::write(world.path("store/files").join(zlib.sha256().to_string()), "damaged").unwrap();
    let run = world.xfer(&url, &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.bytes(), 2 * zlib.bytes.len() as u64, "it was fetched again");
    let version = world.run(&["--version"]);
    assert_eq!(version.stdout, format!("pkgswarm {}\n", env!("CARGO_PKG_VERSION")));
    let usage = world.run(&["xfer"]);
    assert!(usage.stderr.contains("Usage: pkgswarm xfer"), "{}", usage.stderr);
}

/// Counts the symbols of this program that belong to this crate.
fn symbols_of(package: &str, program: &Path) -> usize {
    let listed = Command::new("nm").arg(program).output().expect("nm is there where programs are linked");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains(package)).count()
}

#[test]
fn the_small_program_holds_no_network_no_parser_of_arguments_and_nothing_that_draws() {
    let full = full_program_of(binary());
    if symbols_of("", &full) == 0 {
        return loudly("what the small program holds: these programs have no symbols");
    }
    for package in ["ring_core", "clap_builder", "indicatif", "serde_json"] {
        let (ours, theirs) = (symbols_of(package, binary()), symbols_of(package, &full));
        assert!(ours == 0 && theirs > 0, "{package}: {ours} in the small program, {theirs} in the full one");
    }
}

#[cfg(feature = "node")]
#[test]
fn only_the_daemons_program_holds_the_peer_of_the_network_and_it_holds_no_other_command() {
    let (full, daemon) = (full_program_of(binary()), daemon_program_of(binary()));
    if symbols_of("", &daemon) == 0 {
        return loudly("what the daemon's program holds: these programs have no symbols");
    }
    for package in ["libp2p", "multistream_select", "yamux"] {
        let found = [binary(), &full, &daemon].map(|program| symbols_of(package, program));
        assert!(found[0] == 0 && found[1] == 0 && found[2] > 0, "{package}: {found:?}");
    }
    for part in ["indicatif", "clap_mangen", "3cmd8prefetch", "3cmd7publish"] {
        let found = [&full, &daemon].map(|program| symbols_of(part, program));
        assert!(found[0] > 0 && found[1] == 0, "{part}: {found:?}");
    }
}
