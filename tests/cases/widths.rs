//! What a user sees at terminals of 60, 80 and 100 columns: no line is wider, styles are for terminals, and NO_COLOR is
//! honoured.

use std::fs;

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::keys::now;
use crate::support::run::Running;
use crate::support::terminal::{printed, seen};
use crate::support::*;

/// A name as long as names may be, with wide characters.
const LONG: &str = "a-package-with-a-very-long-name-日本語のパッケージ-and-more-of-it-and-more-and-more-and-more";

/// Runs what a machine needs before it has much to tell.
fn done(world: &World, words: &[&str]) {
    let run = world.run(words);
    assert_eq!(run.code(), 0, "{words:?}: {}", run.stderr);
}

/// A machine with much to tell: packages of long names, a large one, an index, pending updates, a mirror that is gone.
fn machine(mirror: &FakeMirror, packages: &[&Package]) -> World {
    mirror.publish("core.db", &database(packages, Compression::Gzip));
    let world = World::new().pending(packages, mirror).repo("core", packages, &[mirror]);
    let publisher = Keys::new(1);
    let index = publisher.index(packages, now() - 7200, 172_800);
    index.publish_on(mirror);
    let world = world.config(&publisher.config(Some(mirror)));
    done(&world, &["index", "refresh"]);
    done(&world, &["prefetch", "--now"]);
    let (first, last) = (packages[0], packages[packages.len() - 1]);
    done(&world, &["fetch", &first.file_name()]);
    fs::write(world.path("cache").join(last.file_name()), "damaged").unwrap();
    world
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let (long, zlib) = (Package::new(LONG, 3000), Package::new("zlib", 300_000));
    let mirror = FakeMirror::serving(&[long.file(), zlib.file()]);
    let world = machine(&mirror, &[&long, &zlib]);
    let [daemon, sharing] = [Daemon::Babbling, Daemon::Sharing].map(|manner| FakeDaemon::holding(b"bytes", manner));
    let [daemon, sharing] = [&daemon, &sharing].map(|daemon| daemon.socket().display().to_string());
    let strange = format!("{}/{LONG}", world.base());
    let commands: Vec<Vec<&str>> = vec![
        vec!["-h"],
        vec!["--help"],
        vec!["setup", "--help"],
        vec!["index", "audit", "--help"],
        vec!["publish", "-h"],
        vec!["status"],
        vec!["status", "--long"],
        vec!["why", LONG],
        vec!["why", "--long", LONG],
        vec!["why", "no-such-package-of-a-name-that-is-longer-than-sixty-columns-are-wide-日本語"],
        vec!["stats"],
        vec!["doctor", "--notes"],
        vec!["index", "ls"],
        vec!["index", "show", "arch"],
        vec!["index", "refresh"],
        vec!["index", "audit"],
        vec!["prefetch", "-n"],
        vec!["prefetch", "--only", "nothing"],
        vec!["config"],
        vec!["config", "--changed"],
        vec!["config", "kubo.apy"],
        vec!["shared"],
        vec!["shared", "maybe"],
        vec!["lan", "ls"],
        vec!["lan", "trust", "8.8.8.0/24"],
        vec!["group", "status"],
        vec!["group", "leave", LONG],
        vec!["store", "ls"],
        vec!["keep", "ls"],
        vec!["keep", "status"],
        vec!["keep", "arch"],
        vec!["store", "clean", "-n"],
        vec!["setup", "-n"],
        vec!["setup"],
        vec!["setup", "--undo"],
        vec!["publish", "--offline", "--out", "out", &strange],
        vec!["fetsch"],
        vec!["--set", "store.max=plenty-of-room-for-everything-that-there-is-and-more-of-it", "config"],
    ];
    for columns in [60, 80, 100] {
        for words in &commands {
            for socket in ["/nonexistent/socket", &daemon, &sharing] {
                if socket != "/nonexistent/socket" && !["status", "shared"].contains(&words[0]) {
                    continue;
                }
                let mut command = world.command(words);
                command.env("PKGSWARM_DAEMON_SOCKET", socket);
                let (_, text) = seen(columns, "n\nn\nn\nn\nn\n", command);
                assert!(!text.trim().is_empty(), "{words:?} says nothing");
                // What the user typed is echoed before the first question.
                for line in text.split(['\n', '\r']).filter(|line| !line.contains("[Y/n]") && !line.contains("[y/N]")) {
                    // The terminal itself breaks a command, and copies it whole.
                    if pkgswarm::report::columns::is_to_copy(line) || line.contains('`') {
                        continue;
                    }
                    let width = pkgswarm::report::columns::width(line);
                    assert!(width <= usize::from(columns), "{words:?} at {columns}: {width} columns: {line:?}\n{text}");
                }
            }
        }
    }
}

#[test]
fn a_pipe_gets_rows_without_headings_and_values_as_they_are_written() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = machine(&mirror, &[&zlib]);
    let daemon = FakeDaemon::holding(b"bytes", Daemon::Sharing);
    for (words, heading) in [(["shared"].as_slice(), "SIZE"), (&["index", "ls"], "NAME"), (&["lan", "ls"], "NETWORK")] {
        let command = || {
            let mut command = world.command(words);
            command.env("PKGSWARM_DAEMON_SOCKET", daemon.socket());
            command
        };
        let piped = Running::start(command(), world.base()).finish().stdout;
        let shown = printed(200, command(), world.base()).stdout;
        let first = |text: &str| text.lines().next().unwrap_or_default().contains(heading);
        assert!(!first(&piped) && (first(&shown) || shown.is_empty()), "{words:?}: {piped}{shown}");
        let rows: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(piped.lines().count(), rows.len(), "{words:?}: {piped}{shown}");
    }
    let piped = world.run(&["config"]).stdout;
    let shown = printed(200, world.command(&["config"]), world.base()).stdout;
    let value = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("lan.upload ")).expect("a row").to_owned();
        line.split_once(' ').expect("a value").1.trim().trim_end_matches("(default)").trim().to_owned()
    };
    assert_eq!((&*value(&piped), &*value(&shown)), ("0", "no limit"));
}

#[test]
fn nothing_is_cut_on_a_pipe() {
    let (long, zlib) = (Package::new(LONG, 3000), Package::new("zlib", 300_000));
    let mirror = FakeMirror::serving(&[long.file(), zlib.file()]);
    let world = machine(&mirror, &[&long, &zlib]);
    let daemon = FakeDaemon::holding(b"bytes", Daemon::Sharing);
    for words in [&["config"][..], &["shared"], &["index", "ls"], &["lan", "ls"], &["store", "ls"], &["status", "-l"]] {
        let mut command = world.command(words);
        command.env("PKGSWARM_DAEMON_SOCKET", daemon.socket());
        let wide = Running::start(command, world.base()).finish().stdout;
        let mut command = world.command(words);
        command.env("PKGSWARM_DAEMON_SOCKET", daemon.socket()).env("COLUMNS", "40");
        let narrow = Running::start(command, world.base()).finish().stdout;
        assert_eq!(narrow.lines().count(), wide.lines().count(), "{words:?}: {narrow}");
        assert!(!narrow.contains('…'), "{words:?}: {narrow}");
    }
}

#[test]
fn styles_are_for_terminals_and_no_color_turns_them_off() {
    let world = World::new();
    let (_, styled) = seen(80, "", world.command(&["status"]));
    assert!(styled.contains("\u{1b}[1mpacman"), "{styled:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = world.command(&["status"]);
        command.env(name, value);
        let (_, plain) = seen(80, "", command);
        assert!(!plain.contains('\u{1b}'), "{name}: {plain:?}");
    }
    assert!(!world.run(&["status"]).stdout.contains('\u{1b}'), "nor on a pipe");
}

#[test]
fn prefetch_is_a_table_on_a_terminal_and_as_checkupdates_on_a_pipe() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 200_000));
    let mirror = FakeMirror::serving(&[zlib.file(), xz.file()]);
    mirror.publish("core.db", &database(&[&zlib, &xz], Compression::Gzip));
    let world = World::new().repo("core", &[&zlib, &xz], &[&mirror]).pending(&[&zlib, &xz], &mirror);
    let piped = world.run(&["prefetch", "-n", "--now"]);
    assert_eq!(piped.stdout, "zlib 0.9-1 -> 1.0-1\nxz 0.9-1 -> 1.0-1\n");
    let mut command = world.command(&["prefetch", "-n", "--now"]);
    command.env("NO_COLOR", "1");
    let (status, text) = seen(80, "", command);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("zlib  0.9-1  ->  1.0-1  293.0 KiB\r\n") && text.contains("0 of 2 ready."), "{text}");
}
