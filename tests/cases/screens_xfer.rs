//! The screens of `xfer`, `fetch`, `why` and `prefetch`: one line when all is well, and each source's failure when
//! not.

use std::fs;

use super::prefetch::{mirror_of, world_of};
use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::run::{Running, screen};
use crate::support::screens::Screens;
use crate::support::world::listing;
use crate::support::*;

const SIGNED: [&str; 2] = ["PackageRequired", "DatabaseOptional"];

fn zlib() -> Package {
    Package::new("zlib", 300_000)
}

/// Runs `xfer` for this file of core at a terminal of 80 columns and adds its screen.
fn xfer(screens: &mut Screens, about: &str, world: &World, mirror: &FakeMirror, file: &str) {
    let (url, out) = (mirror.url("core", file), world.out(file));
    let arguments = ["xfer", &url, out.to_str().unwrap()];
    let command = world.command_of_another_parent(&arguments);
    let mut run = Running::at_terminal(80, command, world.base()).finish();
    run.stderr = screen(&run.stderr);
    screens.add(about, world, &arguments, &run, &[]);
    let _ = fs::remove_file(out);
}

/// Does the same with its output in a file.
fn xfer_into_log(screens: &mut Screens, about: &str, world: &World, mirror: &FakeMirror, file: &str) {
    let (url, out) = (mirror.url("core", file), world.out(file));
    let arguments = ["xfer", &url, out.to_str().unwrap()];
    let run = Running::start(world.command_of_another_parent(&arguments), world.base()).finish();
    screens.add(about, world, &arguments, &run, &[]);
    let _ = fs::remove_file(out);
}

#[test]
fn screens_of_xfer() {
    let mut screens = Screens::of("xfer");
    let zlib = zlib();
    let name = zlib.file_name();
    let mirror = FakeMirror::serving(&[zlib.file(), zlib.signature()]);
    mirror.publish("core.db", &database(&[&zlib], Compression::Gzip));
    let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip)).servers(
        "core",
        &[mirror.repo("core")],
        &SIGNED,
    );
    xfer(&mut screens, "a package from its mirror", &world, &mirror, &name);
    xfer(&mut screens, "the same from the store", &world, &mirror, &name);
    xfer(&mut screens, "its signature, which nothing proves", &world, &mirror, &format!("{name}.sig"));
    xfer(&mut screens, "a database", &world, &mirror, "core.db");
    xfer(&mut screens, "a database that did not change", &world, &mirror, "core.db");
    xfer(&mut screens, "a signature that the mirror lacks", &world, &mirror, "core.db.sig");
    xfer(&mut screens, "a package that no list has and no mirror", &world, &mirror, "gone-1-1-any.pkg.tar.zst");

    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
    xfer(&mut screens, "from Kubo", &world, &mirror, &name);
    let daemon = FakeDaemon::holding(&zlib.bytes, Daemon::Honest);
    let world = World::new()
        .repo("core", &[&zlib], &[&mirror])
        .set("PKGSWARM_SHARE_REPOS", "core")
        .set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    xfer(&mut screens, "from the local network", &world, &mirror, &name);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    fs::write(world.path("cache").join(&name), &zlib.bytes).unwrap();
    xfer(&mut screens, "from a package cache", &world, &mirror, &name);
    let (first, second) = (FakeMirror::serving(&[zlib.file()]).lying(), FakeMirror::serving(&[zlib.file()]));
    let world = World::new().repo("core", &[&zlib], &[&first, &second]);
    xfer(&mut screens, "the first mirror sends other bytes", &world, &first, &name);
    xfer(&mut screens, "the same again", &world, &first, &name);
    let other = "other-1-1-any.pkg.tar.zst";
    let honest = FakeMirror::serving(&[(other, &zlib.bytes)]);
    let world = World::new().repo("core", &[&zlib], &[&honest]);
    xfer(&mut screens, "a package that no list has", &world, &honest, other);
    let daemon = FakeDaemon::holding(&zlib.bytes, Daemon::Silent);
    let world = World::new()
        .repo("core", &[&zlib], &[&second])
        .set("PKGSWARM_SHARE_REPOS", "core")
        .set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    xfer(&mut screens, "the daemon does not answer in time", &world, &second, &name);

    let world = World::new().repo("core", &[&zlib], &[&first, &second]);
    second.publish("core.db", &database(&[&zlib], Compression::Gzip));
    xfer_into_log(&mut screens, "a database, into a log", &world, &second, "core.db");
    xfer_into_log(&mut screens, "a package that the first mirror lies about, into a log", &world, &first, &name);
    xfer_into_log(&mut screens, "the same again", &world, &first, &name);
    screens.held();
}

#[test]
fn screens_of_xfer_in_trouble() {
    let mut screens = Screens::of("xfer-trouble");
    let zlib = zlib();
    let name = zlib.file_name();
    let bends: [(&str, Bend); 7] = [
        ("the mirror lacks it", |mirror| mirror.status(404)),
        ("the mirror refuses", |mirror| mirror.status(403)),
        ("the mirror is overloaded", |mirror| mirror.status(503)),
        ("the mirror sends other bytes", Misbehaves::lying),
        ("the mirror sends too much", |mirror| mirror.oversized(10)),
        ("a captive portal", Misbehaves::captive_portal),
        ("the mirror hangs", Misbehaves::hanging),
    ];
    for (about, bend) in bends {
        let mirror = bend(FakeMirror::serving(&[zlib.file()]));
        let world = World::new().repo("core", &[&zlib], &[&mirror]);
        xfer(&mut screens, about, &world, &mirror, &name);
    }
    let (first, second) =
        (FakeMirror::serving::<&str, &[u8]>(&[]).status(404), FakeMirror::serving(&[zlib.file()]).lying());
    let world = World::new().repo("core", &[&zlib], &[&first, &second]);
    xfer(&mut screens, "one mirror lacks it, one sends other bytes", &world, &first, &name);

    let world = World::new().servers("core", &[format!("http://{}/core", dead_address())], &SIGNED);
    let world = world.sync_database("core", &database(&[&zlib], Compression::Gzip));
    let out = world.out(&name);
    let url = format!("http://{}/core/{name}", dead_address());
    screens.run("a server that is not there", &world, &["xfer", &url, out.to_str().unwrap()]);

    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let url = mirror.url("core", &name);
    screens
        .run("a directory that does not exist", &world, &["xfer", &url, "/nonexistent/a.part"])
        .run("a URL that is none", &world, &["xfer", "zlib", "a.part"])
        .run("a scheme that is not known", &world, &["xfer", "ftp://m.example/a.pkg.tar.zst", "a.part"])
        .run("a URL without a file", &world, &["xfer", "http://m.example/", "a.part"]);
    fs::create_dir(world.out(&name)).unwrap();
    screens.run("a directory in the way", &world, &["xfer", &url, world.out(&name).to_str().unwrap()]);
    fs::remove_dir(world.out(&name)).unwrap();
    // Root's child is told of it only after it has started, and may be at work by then.
    let world = world.run_by_user();
    let run = world.run_interrupted(&["xfer", &url, world.out(&name).to_str().unwrap()]);
    screens.add("^C", &world, &["xfer", &url, world.out(&name).to_str().unwrap()], &run, &[]);

    for (about, levels) in [("database and index differ, signed", &SIGNED[..]), ("the same without signatures", &[])] {
        let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip));
        let world = world.servers("core", &[mirror.repo("core")], levels);
        let world = FakeIndex::called("other").saying(&name, b"other bytes").in_use(world);
        xfer(&mut screens, about, &world, &mirror, &name);
    }
    screens.held();
}

#[test]
fn screens_of_fetch() {
    let mut screens = Screens::of("fetch");
    let (zlib, big) = (zlib(), Package::new("big", 3 << 20));
    let mirror = FakeMirror::serving(&[zlib.file(), big.file()]);
    let kubo = FakeKubo::empty().holding(&big.bytes);
    let world = World::new().repo("core", &[&zlib, &big], &[&mirror]);
    let cid = pkgswarm::dag::build::build(&big.bytes[..]).unwrap().root.to_string();
    let lost = pkgswarm::base::cid::Cid::raw(pkgswarm::base::digest::Sha256::of(b"lost")).to_string();
    screens
        .run("a package by its name", &world, &["fetch", "zlib"])
        .run("the same again", &world, &["fetch", "zlib"])
        .run("by its file name, into another directory", &world, &["fetch", "-d", "../tmp", &zlib.file_name()])
        .run("by its sha256", &world, &["fetch", "--json", &zlib.sha256().to_string()])
        .run("from one kind of source that lacks it", &world, &["fetch", "--source", "lan", "big"])
        .run("an unknown name", &world, &["fetch", "zlob"])
        .run("an unknown sha256", &world, &["fetch", &"0".repeat(64)])
        .run("a CID without Kubo", &world, &["fetch", &cid])
        .run("a word that is nothing", &world, &["fetch", "a/b c"])
        .run("two files into one", &world, &["fetch", "-o", "one", "zlib", "big"]);
    let world = World::new().kubo(&kubo);
    screens
        .run("a CID through Kubo", &world, &["fetch", &cid])
        .run("a CID that Kubo cannot find", &world, &["fetch", &lost])
        .run("a path below it that does not exist", &world, &["fetch", &format!("ipfs://{cid}/a")]);
    let missing = mirror.url("core", "missing.pkg.tar.zst");
    screens.run("a URL that the server lacks", &world, &["fetch", &missing]);
    screens.held();
}

#[test]
fn screens_of_why() {
    let mut screens = Screens::of("why");
    let zlib = zlib();
    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let (without, with) = (FakeMirror::serving::<&str, &[u8]>(&[]), FakeMirror::serving(&[zlib.file()]));
    let world = World::new().repo("core", &[&zlib], &[&without, &with]).kubo(&kubo);
    screens.run("a package that Kubo and a mirror have", &world, &["why", "zlib"]);
    screens.run("an unknown name", &world, &["why", "zlob"]);
    let world = World::new().repo("core", &[&zlib], &[&without, &with]);
    screens.run("without Kubo", &world, &["why", "zlib"]);
    screens.run("a name with a path", &world, &["why", "a/b"]);
    screens.held();
}

#[test]
fn screens_of_prefetch() {
    let mut screens = Screens::of("prefetch");
    let (zlib, gone) = (zlib(), Package::new("gone", 200_000));
    let mirror = mirror_of(&[&zlib, &gone]).on(&gone.file_name()).status(404);
    let world = world_of(&mirror, &[&zlib, &gone]).script("busctl", "exit 1").script("ip", "exit 1");
    screens
        .run("look and fetch none", &world, &["prefetch", "--dry-run"])
        .run("two updates of which one is gone", &world, &["prefetch"])
        .run("one that is not pending", &world, &["prefetch", "--only", "zlob"]);
    let metered = world_of(&mirror, &[&zlib]).script("busctl", "echo u 1").script("ip", "exit 1");
    screens.run("on a metered connection", &metered, &["prefetch"]);
    let none = world_of(&mirror, &[]).script("busctl", "exit 1").script("ip", "exit 1");
    screens.run("nothing is pending", &none, &["prefetch"]);
    assert_ne!(listing(&world.path("store/files")), [""; 0]);
    screens.held();
}
