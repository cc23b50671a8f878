//! ^C before the program handles it: it still ends the whole transaction.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::run::{Run, Running};
use crate::support::world::{binary, listing, loudly};
use crate::support::*;

/// Makes the first call of pacman-conf send ^C to its caller.
fn interrupting(world: World) -> World {
    let (real, once) = (world.path("bin/real"), world.path("tmp/once"));
    fs::rename(world.path("bin/pacman-conf"), &real).unwrap();
    let interrupt = format!("mkdir {} 2> /dev/null && kill -INT $PPID", once.display());
    world.script("pacman-conf", &format!("{interrupt}\nexec {} \"$@\"", real.display()))
}

/// Asserts that a call was refused because of it.
fn refused(world: &World, run: &Run) {
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert!(run.stderr.lines().count() == 1 && run.stderr.contains("interrupted"), "{}", run.stderr);
    world.has_no_output();
}

/// Asserts that the next call of the same transaction is refused, and one of another is not.
fn ends_the_transaction(world: &World, url: &str, out: &Path, mirror: &FakeMirror) {
    let asked = mirror.requests().len();
    let run = world.xfer(url, out);
    refused(world, &run);
    assert!(run.stderr.contains("you interrupted this pacman run; nothing more is fetched in it"), "{}", run.stderr);
    assert_eq!(mirror.requests().len(), asked, "no source is asked any more");
    world.xfer_of_another_pacman(url, out).succeeds();
}

#[test]
fn before_anything_is_fetched_it_ends_the_call_and_the_transaction() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = || World::new().repo("core", &[&zlib], &[&mirror]);
    // As root it reaches root, before there is a child.
    for world in [world(), world().run_by_user()] {
        let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
        let asked = mirror.requests().len();
        refused(&world, &world.run_interrupted(&["xfer", &url, out.to_str().unwrap()]));
        assert_eq!(mirror.requests().len(), asked, "no source was asked");
        ends_the_transaction(&world, &url, &out, &mirror);
    }
}

#[test]
fn while_it_is_looked_what_is_there_it_ends_the_call_and_the_transaction() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = || World::new().repo("core", &[&zlib], &[&mirror]);
    // As root it reaches the child.
    for world in [world(), world().run_by_user()] {
        let world = interrupting(world);
        let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
        let asked = mirror.requests().len();
        refused(&world, &world.xfer(&url, &out));
        assert_eq!(mirror.requests().len(), asked, "no source was asked");
        ends_the_transaction(&world, &url, &out, &mirror);
    }
}

#[test]
fn while_a_file_is_handed_out_it_ends_the_transaction_after_it() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).run_by_user();
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    world.xfer(&url, &out).succeeds();
    fs::remove_file(&out).unwrap();
    let world = interrupting(world);
    let run = world.run_front_alone(&["xfer", &url, out.to_str().unwrap()]);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    fs::remove_file(&out).unwrap();
    ends_the_transaction(&world, &url, &out, &mirror);
}

#[test]
fn a_command_that_is_typed_is_ended_by_it_at_once() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("proc(5)");
    if u64::from_str_radix(ignored, 16).unwrap() & 0b10 != 0 {
        return loudly("a ^C to a typed command: the caller of these tests ignores SIGINT");
    }
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = || World::new().repo("core", &[&zlib], &[&mirror]).run_by_user();
    let name = zlib.file_name();
    for run in [world().run_interrupted(&["fetch", &name]), interrupting(world()).run(&["fetch", &name])] {
        assert_eq!(run.status.signal(), Some(2), "{run:?}");
    }
    assert_eq!(mirror.requests().len(), 0);
}

#[test]
fn it_ends_a_fetch_of_several_files_and_not_one_of_them() {
    let (first, second) = (Package::new("first", 900_000), Package::new("second", 70_000));
    let mirror = FakeMirror::serving(&[first.file(), second.file()]).on(&first.file_name()).stall_after(300_000);
    let world = World::new().repo("core", &[&first, &second], &[&mirror]).run_by_user();
    let words = ["fetch", &first.file_name(), &second.file_name()];
    let running = Running::start(world.command(&words), world.base());
    eventually("the first one comes", || mirror.bytes() >= 300_000);
    running.signal(rustix::process::Signal::INT);
    let run = running.finish();
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert_eq!(mirror.hits(&second.file_name()), 0, "{}", run.stderr);
}

#[test]
fn at_a_question_it_ends_setup_also_where_kubo_was_asked_before() {
    for by_user in [true, false] {
        let kubo = FakeKubo::empty();
        let before = kubo.config();
        let world = World::new().kubo(&kubo);
        let world = if by_user { world.run_by_user() } else { world };
        let said = world.path("tmp/said");
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" setup --only kubo 2> \"$said\""]).arg(binary());
        let mut command = world.equipped(command);
        command.env("said", &said);
        let run = Running::asked("", command, world.base());
        eventually("the question", || fs::read_to_string(&said).is_ok_and(|text| text.contains("Do it?")));
        run.signal(rustix::process::Signal::INT);
        let run = run.finish();
        assert_eq!(run.code(), 130, "{}", fs::read_to_string(&said).unwrap());
        assert_eq!((kubo.config(), listing(&world.path("state"))), (before, Vec::<String>::new()), "nothing is done");
    }
}

#[test]
fn between_two_files_of_a_fetch_it_ends_the_command() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = || World::new().repo("core", &[&zlib], &[&mirror]);
    for world in [world(), world().run_by_user()] {
        let world = interrupting(world);
        // A file below a CID is looked for in no list. pacman-conf is asked for the second one.
        let below = "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku/none";
        let run = world.run(&["fetch", below, "zlib"]);
        assert_eq!(run.code(), 130, "{}", run.stderr);
        assert!(mirror.requests().is_empty(), "no source was asked");
    }
}
