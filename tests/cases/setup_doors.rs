//! `pkgswarm setup --door`: CacheServer lines in pacman.conf, changed over, and taken back byte for byte; the endpoint's
//! unit and setting; more parallel downloads, asked for by themselves.

use std::fs;

use super::setup::{SYSTEMCTL, conf, machine, ours, understood};
use crate::support::World;
use crate::support::run::{Run, Running};
use crate::support::shapes::shapes;
use crate::support::world::listing;

const MARK: &str = "# Written by `pkgswarm setup`; `pkgswarm setup --undo` takes it back.";
const LINE: &str = "CacheServer = http://127.0.0.1:4011/$repo/os/$arch";

fn setup(world: &World, more: &[&str]) -> Run {
    world.run(&[&["setup", "--only", "pacman", "--yes"], more].concat())
}

#[track_caller]
fn done(world: &World, more: &[&str]) -> Run {
    let run = setup(world, more);
    assert_eq!(run.code(), 0, "{more:?}: {}", run.stderr);
    run
}

fn text(world: &World) -> String {
    String::from_utf8(conf(world)).unwrap()
}

#[test]
fn every_door_is_understood_changed_over_and_undone_byte_for_byte_in_every_shape() {
    for (shape, text) in shapes() {
        let world = machine(&text);
        let before = conf(&world);
        let plain = understood(&world);
        let sections = plain.lines().filter(|line| line.starts_with('[') && *line != "[options]").count();
        if sections == 0 {
            let run = setup(&world, &["--door", "cache"]);
            assert_eq!(run.code(), 2, "{shape}: {}", run.stderr);
            assert!(run.said.contains("has no repository of its own"), "{shape}: {}", run.said);
            assert_eq!(conf(&world), before, "{shape}");
            continue;
        }
        let others = |dump: &str| {
            let of_door = |line: &&str| *line == LINE || line.starts_with("XferCommand");
            dump.lines().filter(|line| !of_door(line)).collect::<Vec<_>>().join("\n")
        };
        for (door, lines, commands) in [
            ("cache", sections, 0),
            ("both", sections, 1),
            ("xfer", 0, 1),
            ("both", sections, 1),
            ("cache", sections, 0),
        ] {
            done(&world, &["--door", door]);
            let dump = understood(&world);
            assert_eq!(dump.lines().filter(|line| *line == LINE).count(), lines, "{shape}, {door}: {dump}");
            assert_eq!(
                dump.lines().filter(|line| line.starts_with("XferCommand")).count(),
                commands,
                "{shape}, {door}"
            );
            assert_eq!(dump.lines().filter(|line| *line == ours()).count(), commands, "{shape}, {door}");
            assert_eq!(others(&dump), others(&plain), "{shape}, {door}: nothing else changes its meaning");
            assert_eq!(fs::read(world.path("config/setup/pacman.conf.before")).unwrap(), before, "{shape}: the backup");
            let after = conf(&world);
            done(&world, &[]);
            assert_eq!(conf(&world), after, "{shape}: without --door it stays {door}");
        }
        done(&world, &["--undo"]);
        assert!(conf(&world) == before, "{shape}: {}", String::from_utf8_lossy(&conf(&world)));
        assert_eq!(listing(&world.path("config")), [""; 0], "{shape}: nothing of setup is left");
    }
}

#[test]
fn cache_servers_of_others_stay_and_ours_is_asked_before_them() {
    let world = machine(
        b"[options]\nXferCommand = /usr/bin/curl -o %o %u\n[core]\nCacheServer = http://10.0.0.2/$repo\nServer = https://m.example/c\n\
          [local]\nServer = file:///srv/local\n",
    );
    let run = done(&world, &["--door", "cache"]);
    let want = format!(
        "[options]\n#XferCommand = /usr/bin/curl -o %o %u\n[core]\n{MARK}\n{LINE}\nCacheServer = http://10.0.0.2/$repo\n\
         Server = https://m.example/c\n[local]\nServer = file:///srv/local\n"
    );
    assert_eq!(text(&world), want, "and a repository on this disk needs none");
    assert_eq!(
        run.said,
        "pacman: $WORLD/pacman.conf: pacman asks the endpoint at 127.0.0.1:A for core; as it was: \
         $WORLD/config/setup/pacman.conf.before\n"
    );
    let again = done(&world, &[]);
    assert_eq!(again.said, "pacman: $WORLD/pacman.conf: pacman asks the endpoint at 127.0.0.1:A for core\n");
    let both = done(&world, &["--door", "both"]);
    assert!(both.said.contains("pacman downloads with pkgswarm, and its front-ends ask the endpoint"), "{}", both.said);
    done(&world, &["--door", "xfer"]);
    assert_eq!(
        text(&world),
        want.replace(&format!("{MARK}\n{LINE}\n"), "").replace("%u\n", &format!("%u\n{MARK}\n{}\n", ours()))
    );
}

#[test]
fn what_was_edited_since_stays_and_a_repository_that_came_gets_its_line() {
    let world =
        machine(b"[options]\nColor\n[core]\nServer = https://m.example/c\n[extra]\nServer = https://m.example/e\n");
    done(&world, &["--door", "cache"]);
    let edited = text(&world).replace("Color\n", "#Color\n") + "[mine]\nServer = https://m.example/m\n";
    fs::write(world.path("pacman.conf"), &edited).unwrap();
    let again = done(&world, &[]);
    assert!(again.said.contains("for core, extra, mine"), "{}", again.said);
    assert_eq!(text(&world).matches(LINE).count(), 3);
    done(&world, &["--undo"]);
    let want = "[options]\n#Color\n[core]\nServer = https://m.example/c\n[extra]\nServer = https://m.example/e\n[mine]\n\
                Server = https://m.example/m\n";
    assert_eq!(text(&world), want);
}

#[test]
fn a_line_of_ours_that_was_edited_is_left_alone_and_the_way_out_is_said() {
    let world =
        machine(b"[options]\nColor\n[core]\nServer = https://m.example/c\n[extra]\nServer = https://m.example/e\n");
    done(&world, &["--door", "cache"]);
    let edited = text(&world).replacen("127.0.0.1:4011", "127.0.0.1:4012", 1);
    fs::write(world.path("pacman.conf"), &edited).unwrap();
    for more in [&["--undo"][..], &["--door", "xfer"], &["--door", "both"]] {
        let run = setup(&world, more);
        assert_eq!(run.code(), 2, "{}", run.stderr);
        assert!(
            run.said.contains("was edited since and cannot be told apart") && run.said.contains("diff "),
            "{}",
            run.said
        );
        assert_eq!(text(&world), edited);
    }
    // Taken out by hand, it is as if it had never been there.
    fs::write(world.path("pacman.conf"), edited.replacen(&format!("{MARK}\n"), "", 1)).unwrap();
    done(&world, &["--undo"]);
    assert_eq!(text(&world).matches("4011").count(), 0, "{}", text(&world));
}

#[test]
fn a_pacman_without_cache_servers_and_a_file_that_decides_otherwise_are_refused() {
    let old = machine(b"[options]\n[core]\nServer = https://m.example/c\n");
    let old = old.script("pacman", "echo ' .--.  Pacman v6.0.2 - libalpm v13.0.2'");
    let before = conf(&old);
    for door in ["cache", "both"] {
        let run = setup(&old, &["--door", door]);
        assert_eq!((run.code(), conf(&old) == before), (2, true));
        assert_eq!(
            run.said,
            "error: $WORLD/pacman.conf: pacman 6.0.2 knows no CacheServer, which came with 6.1.0\n\
             hint: pkgswarm setup --door xfer\n"
        );
    }
    let world = machine(b"[options]\nInclude = /dev/null\n[core]\nServer = https://m.example/c\n");
    fs::write(world.path("more.conf"), "XferCommand = /usr/bin/curl -o %o %u\n").unwrap();
    let including = text(&world).replace("/dev/null", &world.path("more.conf").display().to_string());
    fs::write(world.path("pacman.conf"), &including).unwrap();
    let run = setup(&world, &["--door", "cache"]);
    assert_eq!((run.code(), text(&world)), (2, including));
    assert!(
        run.said.contains("pacman's own downloader would not be used") && run.said.contains("--door both"),
        "{}",
        run.said
    );
}

#[test]
fn a_repository_in_a_file_that_is_included_is_named_with_the_line_that_it_needs() {
    let world = machine(b"[options]\nColor\n[core]\nServer = https://m.example/c\nInclude = AT\n");
    fs::write(world.path("extra.conf"), "[extra]\nServer = https://m.example/e\n").unwrap();
    let including = text(&world).replace("AT", &world.path("extra.conf").display().to_string());
    fs::write(world.path("pacman.conf"), including).unwrap();
    let run = done(&world, &["--door", "cache"]);
    assert!(
        run.said.contains("[extra] is in a file that $WORLD/pacman.conf includes; write there: CacheServer = http://127.0.0.1:A/$repo/os/$arch"),
        "{}",
        run.said
    );
    assert!(run.said.contains("at 127.0.0.1:A for core;"), "{}", run.said);
}

/// Makes a machine with the units of the endpoint, disabled.
fn with_units(text: &[u8]) -> World {
    let world = machine(text).script("systemctl", SYSTEMCTL);
    fs::create_dir(world.path("units")).unwrap();
    fs::write(world.path("units/pkgswarm-endpoint.socket"), "disabled\n").unwrap();
    world
}

const TEXT: &[u8] = b"[options]\n#ParallelDownloads = 5\n[core]\nServer = https://m.example/c\n";

#[test]
fn the_endpoint_is_enabled_with_its_door_and_disabled_with_the_next() {
    let world = with_units(TEXT);
    let run = world.run(&["setup", "--door", "cache", "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let part = world.path("config/config.d/endpoint.toml");
    assert!(fs::read_to_string(&part).unwrap().ends_with("[endpoint]\nenabled = true\n"));
    assert_eq!(world.run(&["config", "endpoint.enabled"]).stdout.trim(), "true");
    let log = || fs::read_to_string(world.path("units.log")).unwrap();
    assert_eq!(log(), "enable pkgswarm-endpoint.socket\nstart pkgswarm-endpoint.socket\n");
    assert!(text(&world).contains(LINE) && !text(&world).contains("\nParallelDownloads"), "{}", text(&world));
    let run = world.run(&["setup", "--door", "xfer", "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(!part.exists() && !text(&world).contains(LINE) && text(&world).contains(&ours()));
    assert!(log().ends_with("disable pkgswarm-endpoint.socket\nstop pkgswarm-endpoint.socket\n"), "{}", log());
    assert!(run.said.find("pacman: ").unwrap() < run.said.find("endpoint: ").unwrap(), "pacman first: {}", run.said);
    assert_eq!(world.run(&["setup", "--undo", "--yes"]).code(), 0);
    assert_eq!(conf(&world), TEXT);
    assert!(!world.path("config/setup").exists());
    // Without a door it is as it always was.
    let plain = world.run(&["setup", "--yes"]);
    assert!(!plain.said.contains("endpoint") && text(&world).contains(&ours()), "{}", plain.said);
}

#[test]
fn pacman_is_not_led_to_an_address_at_which_the_endpoint_cannot_listen() {
    let world = with_units(TEXT);
    let taken = "case \"$*\" in 'start pkgswarm-endpoint.socket') echo 'Address already in use' >&2; exit 1 ;; esac";
    let world = world.script("systemctl", &format!("{taken}\n{SYSTEMCTL}"));
    let run = world.run(&["setup", "--door", "cache", "--yes"]);
    assert_eq!((run.code(), conf(&world).as_slice()), (4, TEXT), "{}", run.said);
    assert!(
        run.said.contains("Address already in use") && run.said.contains("not done, because endpoint failed"),
        "{}",
        run.said
    );
    let words = ["setup", "--door", "cache", "--only", "endpoint,pacman"];
    fs::write(world.path("units/pkgswarm-endpoint.socket"), "disabled\n").unwrap();
    let asked = Running::asked("y\n", world.command(&words), world.base()).finish();
    assert!(asked.stdout.contains("pacman: not done, because endpoint failed"), "{}", asked.stdout);
    assert_eq!(conf(&world), TEXT);
}

#[test]
fn more_parallel_downloads_are_asked_for_by_themselves_and_taken_back_by_themselves() {
    let words = ["setup", "--door", "cache", "--only", "endpoint,pacman,parallel"];
    let asked = |world: &World, typed: &str, words: &[&str]| {
        let run = Running::asked(typed, world.command(words), world.base()).finish();
        assert_eq!(run.code(), 0, "{}", run.stderr);
        run
    };
    let world = with_units(TEXT);
    let run = asked(&world, "y\nn\n", &words);
    assert!(run.stdout.contains("1/2  ") && run.stdout.contains("2/2  "), "{}", run.stdout);
    assert!(text(&world).contains(LINE) && !text(&world).contains("\nParallelDownloads"), "{}", text(&world));
    let run = asked(&world, "y\n", &words);
    assert!(run.stdout.contains("+ ParallelDownloads = 16") && !run.stdout.contains("+ CacheServer"), "{}", run.stdout);
    assert!(
        text(&world).contains(&format!("#ParallelDownloads = 5\n{MARK}\nParallelDownloads = 16\n")),
        "{}",
        text(&world)
    );
    // Another door with the endpoint keeps it, and it goes alone or with everything.
    done(&world, &["--door", "both"]);
    assert!(text(&world).contains("\nParallelDownloads = 16\n"));
    let run = world.run(&["setup", "--undo", "--only", "parallel", "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(text(&world).contains(LINE) && !text(&world).contains("\nParallelDownloads"), "{}", text(&world));
    asked(&world, "y\n", &["setup", "--only", "parallel"]);
    assert!(text(&world).contains("\nParallelDownloads = 16\n"));
    done(&world, &["--door", "xfer"]);
    assert!(!text(&world).contains("\nParallelDownloads"), "it was for the endpoint alone: {}", text(&world));
    assert_eq!(world.run(&["setup", "--undo", "--yes"]).code(), 0);
    assert_eq!(conf(&world), TEXT);
    // Nothing is offered for a door that was declined.
    let world = with_units(TEXT);
    let run = asked(&world, "n\n", &words);
    assert!(!run.stdout.contains("+ ParallelDownloads"), "{}", run.stdout);
    assert_eq!(conf(&world), TEXT);
}
