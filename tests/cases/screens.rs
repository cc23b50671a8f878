//! The screens of commands that need no network: help, version, settings, content ids, and typing errors.

use std::fs;

use crate::support::screens::Screens;
use crate::support::*;

const COMMANDS: [&[&str]; 23] = [
    &["xfer"],
    &["fetch"],
    &["cid"],
    &["index"],
    &["index", "add"],
    &["index", "ls"],
    &["index", "refresh"],
    &["index", "show"],
    &["index", "audit"],
    &["index", "rm"],
    &["publish"],
    &["prefetch"],
    &["setup"],
    &["doctor"],
    &["daemon"],
    &["shared"],
    &["lan"],
    &["status"],
    &["why"],
    &["stats"],
    &["store"],
    &["store", "ls"],
    &["store", "clean"],
];

#[test]
fn screens_of_help() {
    let world = World::new();
    let mut screens = Screens::of("help");
    screens.run("the version", &world, &["--version"]).run("the same", &world, &["version"]).run(
        "the overview",
        &world,
        &["--help"],
    );
    screens.run("the overview, in short", &world, &["-h"]).run("no command", &world, &[]);
    for command in COMMANDS {
        screens.run("long help", &world, &[command, &["--help"]].concat());
    }
    for command in [&["config"][..], &["lan", "trust"], &["lan", "ls"], &["lan", "forget"]] {
        screens.run("long help", &world, &[command, &["--help"]].concat());
    }
    screens.held();
}

#[test]
fn screens_of_what_is_typed_wrongly() {
    let world = World::new();
    let mut screens = Screens::of("usage");
    screens
        .run("an unknown command", &world, &["fetsch"])
        .run("an unknown option", &world, &["fetch", "--now"])
        .run("xfer without an output", &world, &["xfer", "http://m.example/a"])
        .run("nothing to fetch", &world, &["fetch"])
        .run("an output and a directory", &world, &["fetch", "-o", "a", "-d", "b", "c"])
        .run("an unknown kind of source", &world, &["fetch", "--source", "ipfs", "zlib"])
        .run("an unknown part", &world, &["setup", "--only", "kernel"])
        .run("--offline without --out", &world, &["publish", "--offline", "."])
        .run("a number that is none", &world, &["stats", "--days", "many"])
        .run("neither on nor off", &world, &["shared", "maybe"]);
    screens.held();
}

#[test]
fn screens_of_config() {
    let world =
        World::new().set("PKGSWARM_STORE_DIR", "/nonexistent/store").set("PKGSWARM_STATE_DIR", "/nonexistent/state");
    let world = world.set("PKGSWARM_PACMAN_CONF", "/nonexistent/pacman.conf");
    let mut screens = Screens::of("config");
    screens
        .run("every setting", &world, &["config"])
        .run("those that are not the default", &world, &["--set", "lan.upload=1 MiB", "config", "--changed"])
        .run("one setting", &world, &["config", "kubo.api"])
        .run("a section", &world, &["config", "mirrors"])
        .run("a setting that is given with the call", &world, &["--set", "lan.enabled=false", "config", "lan.enabled"])
        .run("a setting that does not exist", &world, &["config", "kubo.apy"])
        .run("one that is like none", &world, &["config", "colour"])
        .run("--set without a value", &world, &["--set", "kubo.api", "config"])
        .run("--set of an unknown key", &world, &["--set", "lan.enable=true", "config"])
        .run("--set of a value that does not fit", &world, &["--set", "download.stall=soon", "config"])
        .run("--set of an address without a scheme", &world, &["--set", "kubo.api=localhost", "config"])
        .run("--set of a size that is none", &world, &["--set", "store.max=plenty", "config"])
        .run("--set of a network that is none", &world, &["--set", "lan.networks=home", "config"])
        .run("--set of a window that is none", &world, &["--set", "prefetch.window=night", "config"])
        .run("--set of a number out of range", &world, &["--set", "lan.port=70000", "config"]);
    let broken = |text: &str| World::new().config(text);
    screens
        .run("a file that is no TOML", &broken("[kubo\napi = 1\n"), &["status"])
        .run("an unknown key in the file", &broken("[kubo]\nenable = true\n"), &["status"])
        .run("an unknown section in the file", &broken("[kobo]\nenabled = true\n"), &["status"])
        .run("a value of another type", &broken("[kubo]\nenabled = 3\n"), &["status"])
        .run("a value that does not fit", &broken("[download]\nstall = \"soon\"\n"), &["fetch", "zlib"])
        .run("an index without a key", &broken("[index.arch]\nrepos = [\"core\"]\n"), &["index", "ls"])
        .run("an index with a key that is none", &broken("[index.arch]\nkey = \"k51\"\n"), &["index", "ls"])
        .run("a variable of an unknown setting", &World::new().set("PKGSWARM_KUBO_APY", "x"), &["config", "kubo.api"])
        .run("a variable that does not fit", &World::new().set("PKGSWARM_LAN_PORT", "x"), &["config", "lan.port"]);
    let zlib = Package::new("zlib", 300_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = broken("[download]\nstall = \"soon\"\n").repo("core", &[&zlib], &[&mirror]);
    let url = mirror.url("core", &zlib.file_name());
    screens.run("pacman's downloader goes on with a mistake", &world, &["xfer", &url, &zlib.file_name()]);
    screens.held();
}

#[test]
fn screens_of_cid() {
    let world = World::new();
    fs::write(world.path("out/empty"), "").unwrap();
    fs::write(world.path("out/small"), "small\n").unwrap();
    fs::write(world.path("out/large"), vec![7; 3 << 20]).unwrap();
    fs::create_dir(world.path("out/folder")).unwrap();
    let mut screens = Screens::of("cid");
    screens
        .run("of one block, of several, and of none", &world, &["cid", "small", "large", "empty"])
        .run("for programs", &world, &["cid", "--json", "small"])
        .run("of standard input", &world, &["cid", "-"])
        .run("a file that does not exist, and one that does", &world, &["cid", "missing", "small"])
        .run("a directory", &world, &["cid", "folder"]);
    screens.held();
}

#[test]
fn screens_of_stats() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let mut screens = Screens::of("stats");
    screens.run("before anything was fetched", &world, &["stats"]);
    screens.run("the same for programs", &world, &["stats", "--json"]);
    for _ in 0..2 {
        world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).succeeds();
    }
    // A machine may be slower, or faster.
    let units = [("KiB/s", "MiB/s"), ("GiB/s", "MiB/s")];
    screens.run_with("after two downloads of a file", &world, &["stats"], &units);
    let unread = World::new();
    fs::write(unread.path("state/journal"), "not a journal\n").unwrap();
    screens.run("a journal that cannot be read", &unread, &["stats"]);
    screens.held();
}
