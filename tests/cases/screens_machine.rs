//! The screens of commands that inspect this machine: status, doctor, setup, sharing.

use std::fs;

use super::doctor::{healthy, machine, well_set_up};
use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::run::Running;
use crate::support::screens::Screens;
use crate::support::*;

#[test]
fn screens_of_status() {
    let mut screens = Screens::of("status");
    let (zlib, big) = (Package::new("zlib", 300_000), Package::new("big", 900_000));
    let mirror = FakeMirror::serving(&[zlib.file(), big.file()]);
    mirror.publish("core.db", &database(&[&zlib, &big], Compression::Gzip));
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip));
    let world = world.servers("core", &[&mirror.repo("core")], &["PackageNever", "DatabaseNever"]);
    let world = world.set("PKGSWARM_DAEMON_SOCKET", "/nonexistent/socket");
    screens.run("nothing is set up", &world, &["status"]);
    let kubo = FakeKubo::empty();
    let world = world.pending(&[&zlib, &big], &mirror).set("PKGSWARM_PREFETCH_MAX", "400 KiB").kubo(&kubo);
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    screens.run("Kubo runs, updates are pending", &world, &["status"]);
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    screens.run("Kubo is gone", &world, &["status"]);
    let daemon = FakeDaemon::holding(b"bytes", Daemon::Sharing);
    let world = world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    screens.run("with neighbours", &world, &["status"]).run("and with their ids", &world, &["status", "--long"]);
    screens.held();
}

#[test]
fn screens_of_doctor() {
    let mut screens = Screens::of("doctor");
    let count = healthy().run(&["doctor"]).stderr;
    let count = count.split(',').next().unwrap();
    let equal = [(count, "$COUNT checks")];
    screens.run_with("all is well", &healthy(), &["doctor"], &equal);
    let kubo = well_set_up();
    screens.run_with("all is well, with Kubo", &healthy().kubo(&kubo), &["doctor", "--notes"], &equal);
    let world = machine("7.1.0", |conf, _| conf.replace("XferCommand", "#XferCommand"));
    screens.run("pacman does not use it", &world, &["doctor"]);
    let world = machine("7.1.0", |conf, _| conf.replace("%o", "--out=%o"));
    screens.run("an XferCommand that is wrong", &world, &["doctor"]);
    let world =
        healthy().set("PKGSWARM_KUBO_ENABLED", "true").set("PKGSWARM_KUBO_API", &format!("http://{}", dead_address()));
    screens.run("Kubo is wanted and gone", &world, &["doctor"]);
    let kubo = FakeKubo::empty();
    screens.run("a Kubo as it comes", &healthy().kubo(&kubo), &["doctor", "--notes"]);
    let world = healthy().config("[kubo]\nenable = true\n");
    screens.run_wide("a setting that does not exist", &world, &["doctor"]);
    screens.held();
}

#[test]
fn screens_of_setup() {
    let mut screens = Screens::of("setup");
    let world = World::new().pacman_conf(b"[options]\nXferCommand = /usr/bin/curl -o %o %u\nColor\n");
    let world = world.script("pacman", "echo ' .--.  Pacman v7.1.0 - libalpm v16.0.0'");
    let only = |more: &[&'static str]| [&["setup", "--only", "pacman"], more].concat();
    screens
        .run("what would be done", &world, &only(&["--dry-run"]))
        .run("no terminal to ask at", &world, &only(&[]))
        .run("nothing to take back", &world, &only(&["--undo", "--yes"]))
        .run("done", &world, &only(&["--yes"]))
        .run("done already", &world, &only(&["--yes"]))
        .run("what taking it back would do", &world, &only(&["--undo", "--dry-run"]))
        .run("taken back", &world, &only(&["--undo", "--yes"]));
    let mut asked = |about: &str, typed: &str, more: &[&'static str]| {
        let words = only(more);
        // As wide as it gets: the paths in it differ in length.
        let run = Running::asked(typed, world.command(&words), world.base()).finish();
        screens.add(about, &world, &words, &run, &[]);
    };
    asked("asked, and the answer is no", "n\n", &[]);
    asked("asked, and quit after a word that is neither", "perhaps\nq\n", &[]);
    asked("asked, and Enter agrees", "\n", &[]);
    asked("asked, and there is nothing to do", "", &[]);
    asked("asked to take it back", "y\n", &["--undo"]);
    fs::remove_file(world.path("pacman.conf")).unwrap();
    screens.run("no pacman.conf", &world, &only(&["--dry-run"]));
    let world = World::new().script("pacman", "echo ' .--.  Pacman v7.1.0 - libalpm v16.0.0'").pacman_conf(b"Color\n");
    screens.run("a pacman.conf without options", &world, &only(&["--dry-run"]));
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo);
    screens.run("Kubo's settings", &world, &["setup", "--only", "kubo", "--dry-run"]);
    screens.held();
}

#[test]
fn screens_of_store() {
    let mut screens = Screens::of("store");
    let zlib = Package::new("zlib", 300_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    mirror.publish("core.db", &database(&[&zlib], Compression::Gzip));
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip));
    let world = world.servers("core", &[&mirror.repo("core")], &["PackageNever", "DatabaseNever"]);
    let world = world.pending(&[&zlib], &mirror);
    fs::remove_dir(world.path("store")).unwrap();
    screens.run("no store yet", &world, &["store", "ls"]).run("nothing to clean", &world, &["store", "clean"]);
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    screens
        .run_wide("a pending update is kept", &world, &["store", "ls"])
        .run_wide("what would go", &world, &["store", "clean", "-n"])
        .run_wide("what goes", &world, &["store", "clean"])
        .run("neither ls nor clean", &world, &["store", "empty"]);
    screens.held();
}

#[test]
fn screens_of_sharing() {
    let mut screens = Screens::of("sharing");
    let world = World::new().set("PKGSWARM_DAEMON_SOCKET", "/nonexistent/socket");
    screens
        .run("no daemon", &world, &["shared"])
        .run("no daemon to switch", &world, &["shared", "on"])
        .run("a network that is none", &world, &["lan", "trust", "home"])
        .run("a public network", &world, &["lan", "trust", "8.8.8.0/24"])
        .run("forgetting what is not trusted", &world, &["lan", "forget", "10.9.0.0/16"])
        .run("trusting", &world, &["lan", "trust", "10.9.0.0/16"])
        .run("trusting it again", &world, &["lan", "trust", "10.9.0.0/16"])
        .run("forgetting it", &world, &["lan", "forget", "10.9.0.0/16"]);
    let daemon = FakeDaemon::holding(b"bytes", Daemon::Babbling);
    let world = world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    let dir = daemon.socket().parent().unwrap().display().to_string();
    let sharing = FakeDaemon::holding(b"bytes", Daemon::Sharing);
    let offers = World::new().set("PKGSWARM_DAEMON_SOCKET", &sharing.socket().display().to_string());
    screens.run("what is offered", &offers, &["shared"]);
    screens.run_with("a daemon that is not understood", &world, &["shared"], &[(&dir, "$DAEMON")]);
    screens.held();
}
