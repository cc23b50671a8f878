//! Faults that a hostile reader of the code found: each test failed once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::support::world::{UNPRIVILEGED, can_be_two_users, give, listing};
use crate::support::*;

const SIZE: usize = 400_000;

/// Adds a partial of this package to the world's store, as left by an earlier run.
fn with_partial(world: World, package: &Package, bytes: &[u8]) -> World {
    let dir = world.path("store/partial");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(package.sha256().to_string());
    fs::write(&path, bytes).unwrap();
    give(&dir, UNPRIVILEGED);
    give(&path, UNPRIVILEGED);
    world
}

#[test]
fn a_mirror_that_cannot_do_parts_is_asked_for_the_whole() {
    let bends: [(&str, Bend); 3] = [
        ("tells another part", |m| m.with_wrong_content_range()),
        ("fails with parts", |m| m.on("zlib-1.0-1-x86_64.pkg.tar.zst").status(500).times(1)),
        ("forbids parts", |m| m.on("zlib-1.0-1-x86_64.pkg.tar.zst").status(416).times(1)),
    ];
    for (what, bend) in bends {
        let zlib = Package::new("zlib", SIZE);
        let mirror = bend(FakeMirror::serving(&[zlib.file()]));
        let world = World::new().repo("core", &[&zlib], &[&mirror]);
        let world = with_partial(world, &zlib, &zlib.bytes[..200_000]);
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
    }
}

#[test]
fn after_a_mismatch_no_mirror_is_blamed_for_the_bytes_of_another() {
    let zlib = Package::new("zlib", SIZE);
    let name = zlib.file_name();
    // The first one breaks off twice and is then gone; the second one is honest.
    let first = FakeMirror::serving(&[zlib.file()]).status(404).on(&name).cut_after(100_000).times(2);
    let second = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&first, &second]);
    let mut damaged = zlib.bytes[..200_000].to_vec();
    damaged[1000] ^= 1;
    let world = with_partial(world, &zlib, &damaged);
    let out = world.out(&name);
    let run = world.xfer(&first.url("core", &name), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_damaged_partial_convicts_no_honest_mirror_where_leaves_are_known() {
    let linux = Package::new("linux", (3 << 20) + 5);
    // Kubo has the root block alone and finds no source of the rest.
    let mut last = Vec::new();
    let built = pkgswarm::dag::build::build_blocks(&*linux.bytes, |_, block| {
        last = block.to_vec();
        Ok(())
    });
    let kubo = FakeKubo::empty().holding_block(&built.unwrap().root.to_string(), &last);
    let mirror = FakeMirror::serving(&[linux.file()]);
    let world = World::new().repo("core", &[&linux], &[&mirror]).kubo(&kubo);
    Publisher::of(&world, &[&linux]).add_to(&world);
    let mut damaged = linux.bytes[..2 << 20].to_vec();
    damaged[(1 << 20) + 7] ^= 1;
    let world = with_partial(world, &linux, &damaged);
    let out = world.out(&linux.file_name());
    let run = world.xfer(&mirror.url("core", &linux.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &linux.bytes);
}

#[test]
fn a_slow_line_is_no_reason_to_give_up_while_another_source_is_silent() {
    let zlib = Package::new("zlib", SIZE);
    let slow = FakeMirror::serving(&[zlib.file()]).slow(60_000);
    let silent = FakeMirror::serving(&[zlib.file()]).hanging();
    for servers in [[&slow, &silent], [&silent, &slow]] {
        let world = World::new()
            .repo("core", &[&zlib], &servers)
            .set("PKGSWARM_DOWNLOAD_CONNECT", "500 ms")
            .set("PKGSWARM_DOWNLOAD_FLOOR", "100 MiB");
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&servers[0].url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        world.has(&out, &zlib.bytes);
    }
}

#[test]
fn gateways_that_lack_it_cost_one_budget_in_a_transaction() {
    let packages: Vec<Package> = (0..8).map(|i| Package::new(&format!("p{i}"), 1000)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let mirror = FakeMirror::serving(&files);
    let bends: [(&str, BendKubo); 2] = [
        ("says no after a while", |g| g.status(404).answering_after(Duration::from_secs(1))),
        ("hangs", |g| g.hanging()),
    ];
    for (what, bend) in bends {
        let gateways = [bend(FakeKubo::empty()), bend(FakeKubo::empty())];
        let all = |world: &World| {
            let begun = Instant::now();
            for package in &packages {
                let out = world.out(&package.file_name());
                world.xfer(&mirror.url("core", &package.file_name()), &out).succeeds();
            }
            begun.elapsed()
        };
        let world = || World::new().repo("core", &packages.iter().collect::<Vec<_>>(), &[&mirror]);
        let urls = format!("{},{}", gateways[0].gateway_url(), gateways[1].gateway_url());
        let with = all(&world().set("PKGSWARM_GATEWAYS_URLS", &urls).set("PKGSWARM_SHARE_REPOS", "core"));
        let without = all(&world());
        // The promise is 0.3 s; paid for each of the eight files it would be sixteen. The rest is for a busy
        // machine.
        assert!(with < without + Duration::from_secs(5), "a gateway {what}: {with:?}, without one {without:?}");
    }
}

#[test]
fn a_file_that_no_source_has_is_waited_for_once_and_asked_of_each_mirror_twice_at_most() {
    let gone = Package::new("gone", 1000);
    let mirrors: Vec<FakeMirror> = (0..4).map(|_| FakeMirror::serving::<&str, &[u8]>(&[])).collect();
    let kubo = FakeKubo::empty();
    let world = World::new().repo("core", &[&gone], &mirrors.iter().collect::<Vec<_>>()).kubo(&kubo);
    // As pacman does: the next server after each failure.
    let took: Vec<Duration> = mirrors
        .iter()
        .map(|mirror| {
            let run = world.xfer(&mirror.url("core", &gone.file_name()), &world.out(&gone.file_name()));
            assert_eq!(run.code(), 1, "{}", run.stderr);
            run.took
        })
        .collect();
    assert!(took[1..].iter().all(|took| *took < Duration::from_secs(1)), "Kubo is waited for again: {took:?}");
    for mirror in &mirrors {
        assert!(mirror.requests().len() <= 2, "{:?}", mirror.requests());
    }
    // Another run of pacman begins anew.
    let url = mirrors[0].url("core", &gone.file_name());
    mirrors[3].publish(&gone.file_name(), &gone.bytes);
    world.xfer_of_another_pacman(&url, &world.out(&gone.file_name())).succeeds();
}

#[test]
fn a_database_signature_of_a_file_server_is_delivered() {
    let zlib = Package::new("zlib", 1000);
    let world = World::new();
    let dir = world.path("srv/core/os/x86_64");
    fs::create_dir_all(&dir).unwrap();
    let (bytes, signature) = (database(&[&zlib], Compression::Gzip), zlib.signature().1);
    fs::write(dir.join("core.db"), &bytes).unwrap();
    fs::write(dir.join("core.db.sig"), &signature).unwrap();
    let server = format!("file://{}", dir.display());
    let world = world.sync_database("core", &bytes).servers("core", &[&server], &["DatabaseRequired"]);
    for (name, bytes) in [("core.db", &bytes), ("core.db.sig", &signature)] {
        let out = world.out(name);
        world.xfer(&format!("{server}/{name}"), &out).succeeds();
        world.has(&out, bytes);
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn an_interrupted_fetch_of_an_optional_signature_is_no_success() {
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]).hanging();
    let world = World::new()
        .set("HTTP_USER_AGENT", "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0")
        .set("PKGSWARM_DOWNLOAD_PATIENCE", "60 s")
        .run_by_user()
        .servers("core", &[mirror.repo("core")], &["PackageRequired", "DatabaseOptional"]);
    let out = world.download_dir("out").join("core.db.sig.part");
    let running = world.start(&mirror.url("core", "core.db.sig"), &out);
    eventually("the mirror to be asked", || !mirror.requests().is_empty());
    running.signal(rustix::process::Signal::INT);
    let run = running.finish();
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert!(!out.exists());
}

#[test]
fn a_database_from_the_future_does_not_keep_newer_ones_out() {
    let (old, new) = (Package::new("zlib", 1000), Package::new("zlib", 1000).version("2.0-1"));
    let (old, new) = (database(&[&old], Compression::Gzip), database(&[&new], Compression::Gzip));
    let mirror = FakeMirror::serving(&[("core.db", &old)]).modified(4_000_000_000);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let (url, out, used) =
        (mirror.url("core", "core.db"), world.out("core.db"), world.path("root/var/lib/pacman/sync/core.db"));
    world.xfer_of_another_pacman(&url, &out).succeeds();
    fs::rename(&out, &used).unwrap();
    // The fake's clock is set right, and it has a newer one.
    let mirror = mirror.honest();
    mirror.publish("core.db", &new);
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &new);
}

#[test]
fn a_database_that_was_damaged_is_not_handed_out_again() {
    let zlib = Package::new("zlib", 1000);
    let bytes = database(&[&zlib], Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &bytes)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let (url, out, used) =
        (mirror.url("core", "core.db"), world.out("core.db"), world.path("root/var/lib/pacman/sync/core.db"));
    world.xfer_of_another_pacman(&url, &out).succeeds();
    fs::rename(&out, &used).unwrap();
    let date = fs::metadata(&used).unwrap().modified().unwrap();
    fs::write(&used, vec![0; bytes.len()]).unwrap();
    fs::File::options().write(true).open(&used).unwrap().set_modified(date).unwrap();
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &bytes);
}

#[test]
fn adding_an_index_as_root_leaves_the_store_to_its_user() {
    if !can_be_two_users("adding_an_index_as_root_leaves_the_store_to_its_user") {
        return;
    }
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let world = world.set("PKGSWARM_DOWNLOAD_USER", "nobody");
    let publisher = Publisher::of(&world, &[&zlib]);
    fs::remove_dir_all(world.path("store")).unwrap();
    let url = format!("http://{}/index", publisher.copy.address());
    let run = world.run(&["index", "add", "test", &publisher.key, "--url", &url, "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(fs::metadata(world.path("store")).unwrap().uid(), world::UNPRIVILEGED);
    for show in [&["index", "ls"][..], &["index", "show", "test", "--entries"]] {
        let run = world.run(show);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert!(run.stdout.contains("core"), "{}", run.stdout);
    }
    assert!(!run.stderr.contains("without a lasting store"), "{}", run.stderr);
}

#[test]
fn an_index_of_another_key_does_not_inherit_what_the_old_one_said() {
    let (ours, theirs) = (Package::new("zlib", 40_000), Package::new("zlib-forged", 40_000));
    let theirs = Package { name: "zlib".into(), ..theirs };
    let mirror = FakeMirror::serving(&[ours.file()]);
    let world = World::new().repo("core", &[&ours], &[&mirror]);
    Publisher::of(&world, &[&theirs]).add_to(&world);
    assert_eq!(world.run(&["index", "rm", "test"]).code(), 0);
    let other = Publisher::of(&World::new(), &[&ours]);
    let nowhere = format!("http://{}/index", dead_address());
    let run = world.run(&["index", "add", "test", &other.key, "--url", &nowhere, "--repo", "core", "--yes"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    let out = world.out(&ours.file_name());
    let run = world.xfer(&mirror.url("core", &ours.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &ours.bytes);
}

#[test]
fn what_pacman_conf_said_is_for_no_other_user_to_read() {
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).succeeds();
    let cache = world.path("store/cache");
    let kept: Vec<_> = listing(&cache).into_iter().filter(|name| name.starts_with("pacman-conf-")).collect();
    assert_eq!(kept.len(), 1, "{:?}", listing(&cache));
    assert_eq!(fs::metadata(cache.join(&kept[0])).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn packages_of_a_database_that_only_libalpm_can_read_are_delivered_as_unproven() {
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world =
        World::new().sync_database("core", b"BZh91AY&SY and so on").servers("core", &[mirror.repo("core")], &[]);
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    assert!(run.stderr.contains("warning: [core]: databases packed with bzip2 are not supported"), "{}", run.stderr);
    assert!(run.stderr.contains("unproven: not listed"), "{}", run.stderr);
}

#[test]
fn a_file_without_a_byte_is_a_file() {
    let empty = Package { bytes: Vec::new(), ..Package::new("empty", 0) };
    let mirror = FakeMirror::serving(&[empty.file()]);
    let world = World::new().repo("core", &[&empty], &[&mirror]);
    let out = world.out(&empty.file_name());
    let run = world.xfer(&mirror.url("core", &empty.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, b"");
}

#[test]
fn a_loopback_service_cannot_send_us_elsewhere_past_a_proxy() {
    let zlib = Package::new("zlib", 1000);
    let elsewhere = FakeMirror::serving(&[zlib.file()]);
    let kubo = FakeKubo::empty().redirecting_to(&elsewhere.url("core", &zlib.file_name()));
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_socks_proxy_is_spoken_to() {
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let proxy = FakeMirror::serving::<&str, &[u8]>(&[]);
    let world =
        World::new().repo("core", &[&zlib], &[&mirror]).set("all_proxy", &format!("socks5h://{}", proxy.address()));
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains("unsupported scheme"), "{}", run.stderr);
    assert!(mirror.requests().is_empty(), "never past the proxy");
    assert!(proxy.server().connections() > 0);
}
