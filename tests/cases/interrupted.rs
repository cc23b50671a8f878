//! ^C at moments when nobody listens to it yet: it counts for the whole transaction all the same.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use crate::support::world::{is_root, loudly};
use crate::support::*;

/// The first time that pacman-conf is asked there, a ^C reaches whoever asks it, at that moment.
fn interrupting(world: World) -> World {
    let (real, once) = (world.path("bin/real"), world.path("tmp/once"));
    fs::rename(world.path("bin/pacman-conf"), &real).unwrap();
    let interrupt = format!("mkdir {} 2> /dev/null && kill -INT $PPID", once.display());
    world.script("pacman-conf", &format!("{interrupt}\nexec {} \"$@\"", real.display()))
}

fn refuses(world: &World, url: &str, out: &Path, mirror: &FakeMirror) {
    let asked = mirror.requests().len();
    let run = world.xfer(url, out);
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert!(run.stderr.contains("you interrupted this pacman run"), "{}", run.stderr);
    world.has_no_output();
    assert_eq!(mirror.requests().len(), asked, "nobody is asked any more");
    world.xfer_of_another_pacman(url, out).succeeds();
}

#[test]
fn before_anything_is_fetched_it_ends_the_call_and_the_transaction() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = interrupting(World::new().repo("core", &[&zlib], &[&mirror]).run_by_user());
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    let run = world.xfer(&url, &out);
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert_eq!(run.said, format!("error: {}: interrupted; what has arrived is kept\n", zlib.file_name()));
    assert_eq!(mirror.requests().len(), 0);
    refuses(&world, &url, &out, &mirror);
}

#[test]
fn by_root_it_ends_the_child_and_the_transaction() {
    if !is_root() {
        return loudly("by_root_it_ends_the_child_and_the_transaction: not root");
    }
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = interrupting(World::new().repo("core", &[&zlib], &[&mirror]));
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    assert_eq!(world.xfer(&url, &out).code(), 130);
    assert_eq!(mirror.requests().len(), 0);
    refuses(&world, &url, &out, &mirror);
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
    refuses(&world, &url, &out, &mirror);
}

#[test]
fn a_command_that_is_typed_is_ended_by_it_at_once() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = interrupting(World::new().repo("core", &[&zlib], &[&mirror]).run_by_user());
    let run = world.run(&["fetch", &zlib.file_name()]);
    assert_eq!(run.status.signal(), Some(2), "{run:?}");
    assert_eq!(mirror.requests().len(), 0);
}
