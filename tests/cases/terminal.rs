//! The lines of a download at a terminal, in the columns of pacman's own, and in a log.

use std::fs;

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::run::{Run, Running, pictures, screen};
use crate::support::*;

/// Runs `xfer` of this file as pacman would, at a terminal of so many columns.
fn at_terminal(columns: u16, world: &World, url: &str, file: &str) -> Run {
    let out = world.out(file);
    let command = world.command_of_another_parent(&["xfer", url, out.to_str().unwrap()]);
    let run = Running::at_terminal(columns, command, world.base()).finish();
    assert_eq!((run.code(), &*run.stdout), (0, ""), "{}", run.stderr);
    fs::remove_file(out).unwrap();
    run
}

#[test]
fn no_picture_of_a_bar_is_wider_than_the_terminal() {
    let name = "a-package-with-a-name-that-is-longer-than-any-terminal-leaves-room-for-and-longer-still";
    let package = Package::new(name, 600_000);
    for (columns, has_rate) in [(60, false), (80, true), (100, true)] {
        let mirror = FakeMirror::serving(&[package.file()]).slow(1_200_000);
        let world = World::new().repo("core", &[&package], &[&mirror]);
        let file = package.file_name();
        let run = at_terminal(columns, &world, &mirror.url("core", &file), &file);
        let pictures = pictures(&run.stderr);
        for line in &pictures {
            assert!(console::measure_text_width(line) <= columns.into(), "{columns}: {line:?}");
            assert!(line.starts_with(" a-package"), "{line:?}");
        }
        let bars: Vec<&String> = pictures.iter().filter(|line| line.contains("] ")).collect();
        assert!(!bars.is_empty(), "{columns}: {:?}", run.stderr);
        for bar in bars {
            let drawn = bar.split(['[', ']']).nth(1).unwrap();
            assert!(drawn.len() >= 10 && drawn.chars().all(|c| "#-".contains(c)), "{bar:?}");
            assert!(bar.contains("…") && (has_rate || !bar.contains("B/s")), "{bar:?}");
        }
        let screen = screen(&run.stderr);
        assert_eq!(screen.lines().count(), 1, "one line is left: {screen:?}");
        assert!(screen.contains(" 585.9 KiB  127.0.0.1:"), "{screen:?}");
    }
}

#[test]
fn what_is_kept_of_an_earlier_run_is_no_speed() {
    let package = Package::new("zlib", 4_000_000);
    let name = package.file_name();
    let mirror = FakeMirror::serving(&[package.file()]).status(404).on(&name).cut_after(3_000_000).times(1);
    let world = World::new().repo("core", &[&package], &[&mirror]);
    assert_eq!(world.xfer(&mirror.url("core", &name), &world.out(&name)).code(), 1);
    let mirror = mirror.honest().slow(1_000_000);
    let sent = mirror.bytes();
    let file = package.file_name();
    let run = at_terminal(80, &world, &mirror.url("core", &file), &file);
    let bars: Vec<String> = pictures(&run.stderr).into_iter().filter(|line| line.contains("] ")).collect();
    // Three quarters were here: without a rate over what arrived, the first one would be 3 MB in a moment.
    assert!(!bars.is_empty() && bars.iter().all(|bar| !bar.contains(" 0%")), "{bars:?}");
    let rates = bars.iter().filter_map(|bar| bar.split("MiB/s").next()?.rsplit(' ').nth(1)?.parse::<f64>().ok());
    assert!(rates.clone().all(|rate| rate < 1.3) && bars.iter().any(|bar| bar.contains("iB/s")), "{bars:?}");
    // The mirror may count the last bytes of the first answer late.
    assert!((1_000_000..1_100_000).contains(&(mirror.bytes() - sent)), "it was resumed");
}

#[test]
fn a_database_has_its_verdict_in_a_log_and_not_on_the_screen() {
    let zlib = Package::new("zlib", 5000);
    let mirror = FakeMirror::serving(&[zlib.signature()]);
    mirror.publish("core.db", &database(&[&zlib], Compression::Gzip));
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let signature = format!("{}.sig", zlib.file_name());
    for file in ["core.db", &signature] {
        let url = mirror.url("core", file);
        let run = at_terminal(80, &world, &url, file);
        let left = screen(&run.stderr);
        assert!(!left.contains("unproven") && left.lines().count() == 1, "{left}");
        let out = world.out(file);
        let log = world.xfer_of_another_pacman(&url, &out);
        assert!(log.succeeds().stderr.contains(" (unproven: "), "{}", log.stderr);
        fs::remove_file(out).unwrap();
    }
    // What is bad is told everywhere.
    mirror.publish("other-1-1-any.pkg.tar.zst", &zlib.bytes);
    let run = at_terminal(80, &world, &mirror.url("core", "other-1-1-any.pkg.tar.zst"), "other-1-1-any.pkg.tar.zst");
    assert!(screen(&run.stderr).contains("unproven: not listed with a checksum"), "{}", run.stderr);
}

#[test]
fn red_is_for_what_was_refused_and_nothing_else() {
    let zlib = Package::new("zlib", 5000);
    let (liar, honest) = (FakeMirror::serving(&[zlib.file()]).lying(), FakeMirror::serving(&[zlib.file()]));
    let file = zlib.file_name();
    for (mirrors, is_red) in [(vec![&liar, &honest], true), (vec![&honest], false)] {
        let world = World::new().repo("core", &[&zlib], &mirrors);
        let run = at_terminal(80, &world, &mirrors[0].url("core", &file), &file);
        assert_eq!(run.stderr.contains("\u{1b}[31m"), is_red, "{:?}", run.stderr);
        let text = screen(&run.stderr);
        assert!(text.lines().all(|line| console::measure_text_width(line) <= 80), "{text}");
        assert_eq!(text.contains("    refused from mirror 127.0.0.1:"), is_red, "{text}");
        let world = World::new().repo("core", &[&zlib], &mirrors).set("NO_COLOR", "1");
        let run = at_terminal(80, &world, &mirrors[0].url("core", &file), &file);
        assert!(!run.stderr.contains("\u{1b}["), "{:?}", run.stderr);
    }
}

#[test]
fn what_takes_long_is_told_once_in_a_log() {
    let zlib = Package::new("zlib", 600_000);
    let mirror = FakeMirror::serving(&[zlib.file()]).slow(250_000);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let file = zlib.file_name();
    let out = world.out(&file);
    let run = world.xfer(&mirror.url("core", &file), &out);
    run.succeeds();
    let lines: Vec<&str> = run.said.lines().collect();
    let expected =
        [format!("fetching {file}  585.9 KiB  from 127.0.0.1:A"), format!("{file}  585.9 KiB  from 127.0.0.1:A")];
    assert_eq!(lines, expected);
}

#[test]
fn a_neighbour_is_named_on_the_screen() {
    let zlib = Package::new("zlib", 5000);
    let daemon = FakeDaemon::holding(&zlib.bytes, Daemon::Honest);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).set("PKGSWARM_SHARE_REPOS", "core");
    let world = world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    let file = zlib.file_name();
    let run = at_terminal(80, &world, &mirror.url("core", &file), &file);
    assert_eq!(screen(&run.stderr), " zlib-1.0-1-x86_64       4.9 KiB  neighbour 10.78.0.1\n");
    // It is remembered beside the stored file, if the store keeps one.
    let said = world.run(&["fetch", "--json", "zlib"]).stdout.clone();
    assert!(said.contains("\"from\":\"lan\"") || said.contains("\"from\":\"store (lan)\""), "{said}");
}
