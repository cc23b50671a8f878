//! `pkgswarm xfer` when all is well.

use std::fs;

use pkgswarm::base::cid::Cid;

use crate::support::world::listing;
use crate::support::*;

/// Makes a world as root, like CI and pacman 6, and one as the unprivileged user of pacman 7.
fn both_users() -> [World; 2] {
    [World::new(), World::new().run_by_user()]
}

#[test]
fn a_package_from_a_mirror_is_proven_by_the_sync_database() {
    for world in both_users() {
        let zlib = Package::new("zlib", 40_000);
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let world = world.repo("core", &[&zlib], &[&mirror]);
        let out = world.out(&zlib.file_name());
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        world.store_is_settled();
        assert_eq!((mirror.requests().len(), mirror.bytes()), (1, 40_000), "one request, no byte twice");
        let agent = mirror.requests()[0].header("user-agent").unwrap_or_default().to_owned();
        assert!(agent.starts_with("pkgswarm/"), "an honest User-Agent: {agent}");
    }
}

#[test]
fn every_compression_of_a_sync_database_is_read() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let (zlib, other) = (Package::new("zlib", 3000), Package::new("other", 10));
        // Lying: only an expectation that was read can refuse its bytes.
        let liar = FakeMirror::serving(&[zlib.file()]).lying();
        let world = World::new().sync_database("core", &database(&[&other, &zlib], compression)).servers(
            "core",
            &[liar.repo("core")],
            &[],
        );
        let run = world.xfer(&liar.url("core", &zlib.file_name()), &world.out("zlib"));
        assert_eq!(run.code(), 3, "{compression:?}: {}", run.stderr);
        world.has_no_output();
    }
}

#[test]
fn names_with_colons_and_pluses_arrive() {
    let gamma = Package::new("gamma+x", 3000).version("1:2.0-1");
    let mirror = FakeMirror::serving(&[gamma.file()]);
    let world = World::new().repo("core", &[&gamma], &[&mirror]);
    let out = world.out(&gamma.file_name());
    world.xfer(&mirror.url("core", &gamma.file_name()), &out).succeeds();
    world.has(&out, &gamma.bytes);
}

#[test]
fn the_same_file_comes_from_the_store_the_second_time() {
    for world in both_users() {
        let zlib = Package::new("zlib", 40_000);
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let world = world.repo("core", &[&zlib], &[&mirror]);
        let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
        world.xfer(&url, &out).succeeds();
        fs::remove_file(&out).unwrap();
        world.xfer(&url, &out).succeeds();
        world.has(&out, &zlib.bytes);
        assert_eq!(mirror.hits(&zlib.file_name()), 1, "the second time the mirror is not asked");
    }
}

#[test]
fn a_package_that_is_in_a_cache_dir_is_not_fetched() {
    for world in both_users() {
        let zlib = Package::new("zlib", 40_000);
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let world = world.repo("core", &[&zlib], &[&mirror]);
        let cached = world.path("cache").join(zlib.file_name());
        fs::write(&cached, &zlib.bytes).unwrap();
        let out = world.out(&zlib.file_name());
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        assert_eq!(mirror.requests().len(), 0);
        assert_eq!(fs::read(&cached).unwrap(), zlib.bytes, "the cache is pacman's and stays");
    }
}

#[test]
fn a_small_package_comes_from_kubo_without_an_index() {
    for world in both_users() {
        let zlib = Package::new("zlib", 40_000);
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let kubo = FakeKubo::empty().holding(&zlib.bytes);
        let world = world.repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
        let out = world.out(&zlib.file_name());
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        let asked: Vec<String> = kubo.gateway().requests().iter().map(|request| request.path()).collect();
        assert!(asked.contains(&format!("ipfs/{}", Cid::raw(zlib.sha256()))), "{asked:?}");
        assert_eq!(mirror.bytes(), 0, "what Kubo has costs the mirror nothing");
    }
}

#[test]
fn a_stale_part_file_is_replaced() {
    let zlib = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let out = world.out(&zlib.file_name());
    fs::write(&out, "left behind by curl").unwrap();
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_package_signature_is_delivered() {
    for world in both_users() {
        let zlib = Package::new("zlib", 4000);
        let (name, signature) = zlib.signature();
        let mirror = FakeMirror::serving(&[zlib.file(), zlib.signature()]);
        let world = world.repo("core", &[&zlib], &[&mirror]);
        let out = world.out(&name);
        world.xfer(&mirror.url("core", &name), &out).succeeds();
        world.has(&out, &signature);
        assert_eq!(listing(&world.path("store/files")), [""; 0], "the unproven is not stored");
    }
}

#[test]
fn a_package_of_many_mebibytes_arrives() {
    let big = Package::new("linux", 20 << 20);
    let mirror = FakeMirror::serving(&[big.file()]);
    let world = World::new().repo("core", &[&big], &[&mirror]);
    let out = world.out(&big.file_name());
    world.xfer(&mirror.url("core", &big.file_name()), &out).succeeds();
    world.has(&out, &big.bytes);
    assert_eq!(mirror.bytes(), 20 << 20, "no byte twice");
}

#[test]
fn a_url_of_no_repo_is_delivered_as_it_is() {
    let zlib = Package::new("zlib", 4000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new();
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&format!("http://{}/elsewhere/{}", mirror.address(), zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    assert!(run.stderr.contains("not a repo URL"), "the waiver is named: {:?}", run.stderr);
}

#[test]
fn a_package_that_the_database_does_not_list_is_named_as_unproven() {
    let (zlib, other) = (Package::new("zlib", 4000), Package::new("other", 10));
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&other], &[&mirror]);
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    assert!(run.stderr.contains("not listed"), "the waiver is named: {:?}", run.stderr);
}

#[test]
fn ten_at_once_fetch_a_file_once() {
    for world in both_users() {
        let zlib = Package::new("zlib", 400_000);
        // Slow enough that all ten calls run before the first is done.
        let mirror = FakeMirror::serving(&[zlib.file()]).slow(400_000);
        let world = world.repo("core", &[&zlib], &[&mirror]);
        let outs: Vec<_> = (0..10).map(|i| world.out(&format!("{i}"))).collect();
        for run in world.xfer_many(&mirror.url("core", &zlib.file_name()), &outs) {
            run.succeeds();
        }
        for out in &outs {
            assert!(fs::read(out).unwrap() == zlib.bytes, "{}", out.display());
        }
        assert_eq!(listing(&world.path("out")).len(), 10, "nothing beside the ten");
        assert_eq!((mirror.hits(&zlib.file_name()), mirror.bytes()), (1, 400_000), "one fetch");
        world.store_is_settled();
    }
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
