//! The caller: pacman itself, pacman behind a wrapper, or an unrelated process; and which programs run then.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::support::run::{Run, Running};
use crate::support::world::{UNPRIVILEGED, binary, can_be_two_users};
use crate::support::*;

/// Makes a world in which pacman's usual database lists nothing, the one below `other` lists the package, and the
/// mirror lies: only a call that knows of `--dbpath` refuses its bytes.
fn other_database() -> (World, FakeMirror, String, PathBuf) {
    let zlib = Package::new("zlib", 40_000);
    let liar = FakeMirror::serving(&[zlib.file()]).lying();
    let world = World::new().repo("core", &[], &[&liar]);
    fs::create_dir_all(world.path("other/sync")).unwrap();
    fs::write(world.path("other/sync/core.db"), database(&[&zlib], Compression::Gzip)).unwrap();
    let (url, out) = (liar.url("core", &zlib.file_name()), world.out("zlib"));
    (world, liar, url, out)
}

/// Runs this line of shell in what looks like `pacman -b other -S zlib`; `$program xfer $url $out` is a call.
fn pacman_runs(world: &World, url: &str, out: &std::path::Path, line: &str) -> Run {
    let other = world.path("other");
    pacman_with(world, &["-b", other.to_str().unwrap(), "-S", "zlib"], url, out, line)
}

/// The same with other words on pacman's command line.
fn pacman_with(world: &World, words: &[&str], url: &str, out: &std::path::Path, line: &str) -> Run {
    let mut command = world.equipped(Command::new("/bin/sh"));
    // Two commands, so that the shell cannot replace itself.
    let line = format!("{line}\nexit $?");
    command.arg0("pacman").args(["-c", &line]).args(words);
    command.env("program", binary()).env("url", url).env("out", out).env("PKGSWARM_AHEAD_ENABLED", "false");
    Running::start(command, world.base()).finish()
}

#[test]
fn a_wrapper_between_pacman_and_us_costs_neither_options_nor_proof() {
    for line in [
        "\"$program\" xfer \"$url\" \"$out\"",
        "sh -c '\"$program\" xfer \"$url\" \"$out\"; exit $?'",
        "timeout 60 \"$program\" xfer \"$url\" \"$out\"",
        "sh -c 'timeout 60 nice \"$program\" xfer \"$url\" \"$out\"; exit $?'",
        "\"$PWD/wrapper\" xfer \"$url\" \"$out\"",
    ] {
        let (world, _liar, url, out) = other_database();
        let wrapper = world.path("out/wrapper");
        fs::write(
            &wrapper,
            "#!/bin/sh\nlogged=$(\"$program\" \"$@\" 2>&1)\nstatus=$?\necho \"$logged\" >&2\nexit $status\n",
        )
        .unwrap();
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).unwrap();
        let run = pacman_runs(&world, &url, &out, line);
        assert_eq!(run.code(), 3, "{line}: {}", run.stderr);
        assert!(!out.exists(), "{line}");
    }
}

#[test]
fn options_are_read_through_a_wrapper_however_they_are_written() {
    for words in [
        "-bOTHER -S it",
        "-SbOTHER it",
        "-Sb OTHER it",
        "--dbpath=OTHER -S it",
        "-S it --dbp OTHER",
        "-S --dbp=OTHER it",
    ] {
        let (world, _liar, url, out) = other_database();
        let words = words.replace("OTHER", world.path("other").to_str().unwrap());
        let words: Vec<&str> = words.split(' ').collect();
        let run = pacman_with(&world, &words, &url, &out, "sh -c '\"$program\" xfer \"$url\" \"$out\"; exit $?'");
        assert_eq!((run.code(), out.exists()), (3, false), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn a_relative_path_of_pacmans_that_leads_nowhere_is_named_and_nothing_untrue_is_said() {
    for words in ["-b no/where -S it", "--root no/where -S it", "--config no/where -S it", "--cachedir=no/where -S it"]
    {
        let (world, _liar, url, out) = other_database();
        let words: Vec<&str> = words.split(' ').collect();
        let run = pacman_with(&world, &words, &url, &out, "sh -c '\"$program\" xfer \"$url\" \"$out\"; exit $?'");
        assert_eq!(run.code(), 0, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("no/where: relative to a directory that is not known"), "{}", run.stderr);
        assert!(run.stderr.contains("(unproven: pacman's configuration was not read)"), "{}", run.stderr);
    }
}

#[test]
fn a_wrapper_behind_which_pacman_is_not_seen_is_named_and_nothing_untrue_is_said() {
    if !can_be_two_users("a wrapper in a process namespace of its own") {
        return;
    }
    let (world, _liar, url, out) = other_database();
    let world = world.set("HTTP_USER_AGENT", "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0");
    let line = "unshare --pid --fork --mount-proc sh -c '\"$program\" xfer \"$url\" \"$out\"; exit $?'";
    let run = pacman_runs(&world, &url, &out, line);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(run.stderr.matches("warning: the command line of the pacman").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("(unproven: its list was not read)"), "{}", run.stderr);
}

#[test]
fn a_users_process_called_pacman_above_one_of_roots_changes_nothing() {
    if !can_be_two_users("a user's process called pacman above sudo") {
        return;
    }
    let zlib = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    // With this entry the mirror's bytes would be refused.
    let other = Package { bytes: vec![1; 40_000], ..zlib.clone() };
    fs::create_dir_all(world.path("other/sync")).unwrap();
    fs::write(world.path("other/sync/core.db"), database(&[&other], Compression::Gzip)).unwrap();
    symlink("/bin/sh", world.path("tmp/pacman")).unwrap();
    let out = world.out("zlib");
    // One of root's whose parent becomes the user's pacman: as below sudo.
    let line = "(until grep -q '^Uid:.65534' /proc/$$/status; do sleep 0.01; done
        \"$program\" xfer \"$url\" \"$out\" 2>said; echo $? >status.new; mv status.new status) &
        exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$pacman\" -c 'until [ -e status ]; do sleep 0.01; done' -b \"$other\" -S zlib";
    let mut command = world.equipped(Command::new("/bin/sh"));
    command.args(["-c", line]).env("program", binary()).env("url", mirror.url("core", &zlib.file_name()));
    command.env("out", &out).env("other", world.path("other")).env("pacman", world.path("tmp/pacman"));
    assert_eq!(Running::start(command, world.base()).finish().code(), 0);
    let said = fs::read_to_string(world.path("out/said")).unwrap();
    assert_eq!(fs::read_to_string(world.path("out/status")).unwrap(), "0\n", "{said}");
    assert!(fs::read(&out).unwrap() == zlib.bytes && !said.contains("unproven"), "{said}");
}

/// Makes a directory of the unprivileged user with programs of these names, each of which leaves a trace.
fn users_programs(world: &World, names: &[&str]) -> (PathBuf, PathBuf) {
    let (dir, trace) = (world.path("evil"), world.path("tmp/trace"));
    fs::create_dir(&dir).unwrap();
    for name in names {
        let program = dir.join(name);
        fs::write(&program, format!("#!/bin/sh\necho $0 >>{}\nexit 1\n", trace.display())).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    chown(&dir, Some(12_345), Some(12_345)).unwrap();
    (dir, trace)
}

#[test]
fn a_pacman_conf_that_another_user_put_into_path_is_not_run() {
    if !can_be_two_users("a PATH of another user") {
        return;
    }
    for by_root in [false, true] {
        let zlib = Package::new("zlib", 40_000);
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let world = World::new().repo("core", &[&zlib], &[&mirror]);
        let world = if by_root { world } else { world.run_by_user() };
        let (dir, trace) = users_programs(&world, &["pacman-conf", "pacman", "sed", "grep"]);
        let path = format!("{}:{}/bin:/usr/bin:/bin", dir.display(), world.base());
        let world = world.set("PATH", &path);
        let out = world.out("zlib");
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        run.succeeds();
        assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap_or_default());
        assert!(!run.stderr.contains("unproven"), "the one that only root may change was asked: {}", run.stderr);
    }
}

#[test]
fn reading_ahead_does_not_run_what_roots_pacman_is_called() {
    if !can_be_two_users("the name of root's pacman") {
        return;
    }
    let (first, second) = (Package::new("first", 9_000), Package::new("second", 90_000));
    let mirror = FakeMirror::serving(&[first.file(), second.file()]);
    for by_path in [true, false] {
        let world = World::new().repo("core", &[&first, &second], &[&mirror]);
        let (dir, trace) = users_programs(&world, &["pacman", "pacman-conf"]);
        let path = format!("{}:{}/bin:/usr/bin:/bin", dir.display(), world.base());
        let mut command = world.equipped(Command::new("/bin/sh"));
        let name = if by_path { dir.join("pacman") } else { PathBuf::from("pacman") };
        // Files set aside are those of read-ahead; they are removed with it.
        let line = "\"$program\" xfer \"$url\" \"$out\" || exit
            until [ -z \"$(ls \"$PKGSWARM_STORE_DIR/aside\")\" ]; do sleep 0.01; done";
        command.arg0(name).args(["-c", line, "-S", "it", "--noconfirm"]).env("PATH", path);
        command
            .env("program", binary())
            .env("url", mirror.url("core", &first.file_name()))
            .env("out", world.out("first"));
        let run = Running::start(command, world.base()).finish();
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap_or_default());
    }
    assert_ne!(UNPRIVILEGED, 12_345);
}
