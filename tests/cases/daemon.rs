//! The daemon and the commands around it: files of neighbours come through it, and a misbehaving daemon costs next
//! to nothing.

use std::time::Duration;

use cid::multibase::Base;
use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::protobuf::ProtobufWriter;
use pkgswarm::dag::unixfs::{self, Piece};

use crate::support::daemon::{Daemon, FakeDaemon, Stock};
use crate::support::*;

const SIZE: usize = 600_000;

fn scene(manner: Daemon) -> (Package, FakeDaemon, FakeMirror, World) {
    let zlib = Package::new("zlib", SIZE);
    let daemon = FakeDaemon::holding(&zlib.bytes, manner);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).set("PKGSWARM_SHARE_REPOS", "core");
    let world = world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    (zlib, daemon, mirror, world)
}

#[test]
fn what_a_neighbour_has_comes_from_there_and_the_mirror_is_not_asked() {
    let (zlib, daemon, mirror, world) = scene(Daemon::Honest);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.bytes(), 0);
    let asked = daemon.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].ends_with(&zlib.file_name()), "{asked:?}");
}

#[test]
fn a_neighbour_is_named_by_its_address_and_an_older_daemon_names_none() {
    for (manner, from) in [(Daemon::Honest, "from neighbour 10.78.0.1\n"), (Daemon::GetOnly, "from a neighbour\n")] {
        let (zlib, _daemon, mirror, world) = scene(manner);
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        run.succeeds();
        assert!(run.stderr.ends_with(from), "{manner:?}: {}", run.stderr);
        assert_eq!(mirror.bytes(), 0);
    }
}

#[test]
fn one_slow_answer_of_the_daemon_costs_that_file_and_not_the_transaction() {
    let (zlib, curl) = (Package::new("zlib", SIZE), Package::new("curl", SIZE + 1));
    let stock = Stock { files: vec![zlib.bytes.clone(), curl.bytes.clone()], ..Stock::default() };
    let daemon = FakeDaemon::with(stock, Daemon::LateOnce);
    let mirror = FakeMirror::serving(&[zlib.file(), curl.file()]);
    let world = World::new().repo("core", &[&zlib, &curl], &[&mirror]).set("PKGSWARM_SHARE_REPOS", "core");
    let world = world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    let mut fetched = [&zlib, &curl].into_iter().map(|package| {
        let out = world.out(&package.file_name());
        let run = world.xfer(&mirror.url("core", &package.file_name()), &out);
        run.succeeds();
        world.has(&out, &package.bytes);
        std::fs::remove_file(out).unwrap();
        run.said.clone()
    });
    let first = fetched.next().unwrap();
    assert!(first.ends_with("from 127.0.0.1:A (the daemon here was too slow)\n"), "{first}");
    let second = fetched.next().unwrap();
    assert!(second.ends_with("from neighbour 10.78.0.1\n"), "{second}");
}

#[test]
fn whatever_the_daemon_does_the_mirror_delivers() {
    for manner in [
        Daemon::Silent,
        Daemon::Searching,
        Daemon::HangsUp,
        Daemon::Babbling,
        Daemon::Lying,
        Daemon::Stalling,
        Daemon::Dying,
        Daemon::Boasting,
    ] {
        let (zlib, daemon, mirror, world) = scene(manner);
        let world = world.set("PKGSWARM_DOWNLOAD_STALL", "500 ms");
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "{manner:?}: {}", run.stderr);
        run.succeeds().within(Duration::from_secs(3));
        world.has(&out, &zlib.bytes);
        world.store_is_settled();
        assert!(mirror.bytes() > 0 && !daemon.asked().is_empty(), "{manner:?}");
    }
}

#[test]
fn one_late_answer_of_the_daemon_costs_one_file() {
    let (zlib, daemon, mirror, world) = scene(Daemon::LateOnce);
    let url = mirror.url("core", &zlib.file_name());
    let out = world.out(&zlib.file_name());
    world.xfer(&url, &out).succeeds();
    assert!(mirror.bytes() > 0 && daemon.asked().len() == 1, "the mirror had to deliver");
    eventually("the daemon is asked again in the same run, and delivers", || {
        let before = mirror.bytes();
        std::fs::remove_file(&out).unwrap();
        // Else it would come from there.
        for kept in std::fs::read_dir(world.path("store/files")).unwrap() {
            std::fs::remove_file(kept.unwrap().path()).unwrap();
        }
        world.xfer(&url, &out).succeeds();
        mirror.bytes() == before
    });
    assert!(daemon.asked().len() > 1);
}

#[test]
fn files_of_a_private_repository_are_not_asked_of_neighbours() {
    let (zlib, daemon, mirror, world) = scene(Daemon::Honest);
    let world = world.unset("PKGSWARM_SHARE_REPOS");
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    assert_eq!(daemon.asked(), [] as [String; 0]);
}

#[test]
fn behind_a_proxy_neighbours_are_not_asked_unless_that_is_said() {
    let (zlib, daemon, mirror, world) = scene(Daemon::Honest);
    let world = world.set("all_proxy", "http://127.0.0.1:9");
    let out = world.out(&zlib.file_name());
    assert_ne!(world.xfer(&mirror.url("core", &zlib.file_name()), &out).code(), 0);
    assert_eq!(daemon.asked(), [] as [String; 0]);
    let world = world.set("PKGSWARM_LAN_ENABLED", "true");
    world.run(&["fetch", &zlib.file_name()]).succeeds();
    assert_eq!(daemon.asked().len(), 1);
}

#[track_caller]
fn refuses(world: &World, words: &[&str], code: i32, why: &str) {
    let run = world.run(words);
    assert!(run.code() == code && run.stderr.contains(why), "{}: {}", run.code(), run.stderr);
}

#[test]
fn networks_that_are_trusted_are_listed_and_forgotten_again() {
    let world = World::new();
    let said = world.run(&["lan", "trust", "192.168.7.9/24@AA:BB:CC:00:11:22", "fd00:1::/64"]);
    assert_eq!(said.code(), 0, "{}", said.stderr);
    let listed = world.run(&["lan", "ls", "--json"]);
    assert_eq!(listed.code(), 0, "{}", listed.stderr);
    for network in ["192.168.7.0/24@aa:bb:cc:00:11:22", "fd00:1::/64"] {
        assert!(listed.stdout.contains(network), "{}", listed.stdout);
    }
    world.run(&["lan", "forget", "192.168.7.0/24@aa:bb:cc:00:11:22"]).succeeds();
    let listed = world.run(&["lan", "ls", "--json"]).stdout.clone();
    assert!(!listed.contains("192.168.7.0") && listed.contains("fd00:1::/64"), "{listed}");
    refuses(&world, &["lan", "forget", "10.9.0.0/16"], 2, "is not trusted anyway");
}

#[test]
fn a_public_network_is_never_trusted() {
    let world = World::new();
    refuses(&world, &["lan", "trust", "8.8.8.0/24"], 2, "expected a range like 192.168.1.0/24");
    assert!(!world.path("config/config.d/lan.toml").exists());
}

#[test]
fn where_no_daemon_runs_shared_says_so() {
    let world = World::new().set("PKGSWARM_DAEMON_SOCKET", "/nonexistent/socket");
    refuses(&world, &["shared"], 4, "pkgswarm daemon: is not running (nothing listens on ");
}

/// Makes a file as other publishers do: CIDv0, small chunks, each in a node of its own. Returns its CID and its
/// blocks.
fn foreign(bytes: &[u8]) -> (String, Vec<Vec<u8>>) {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let pieces = bytes.chunks(100_000).map(|chunk| {
        let size = chunk.len() as u64;
        let file = ProtobufWriter::default().varint(1, 2).bytes(2, chunk).varint(3, size).finish();
        let leaf = ProtobufWriter::default().bytes(1, &file).finish();
        let (cid, tsize) = (Cid::dag_pb(Sha256::of(&leaf)), leaf.len() as u64);
        blocks.push(leaf);
        Piece { cid, size, tsize }
    });
    let root = unixfs::file(&pieces.collect::<Vec<_>>());
    let multihash = [&[0x12, 0x20][..], &Sha256::of(&root).0].concat();
    blocks.push(root);
    (Base::Base58Btc.encode(multihash), blocks)
}

#[test]
fn a_file_of_any_shape_comes_from_neighbours_by_its_cid_and_no_block_of_it_is_believed() {
    let bytes = Package::new("foreign", SIZE).bytes;
    let (cid, blocks) = foreign(&bytes);
    assert!(cid.starts_with("Qm"), "{cid}");
    let whole = Stock { blocks, ..Stock::default() };
    let torn = Stock { blocks: whole.blocks[1..].to_vec(), ..Stock::default() };
    let cases = [
        (Daemon::Honest, &whole, 0, "from a neighbour"),
        (Daemon::Honest, &torn, 1, "lan  absent: no neighbour has it"),
        (Daemon::Lying, &whole, 3, "lan  corrupt: sent another block"),
        (Daemon::Oversized, &whole, 1, "lan  broken: "),
        (Daemon::Stalling, &whole, 1, "lan  stalled: "),
        (Daemon::Silent, &whole, 1, "lan  stalled: "),
        (Daemon::HangsUp, &whole, 1, "lan  "),
        (Daemon::Older, &whole, 0, "from a neighbour"),
    ];
    for (manner, stock, code, said) in cases {
        let daemon = FakeDaemon::with(stock.clone(), manner);
        let world = World::new().set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
        let world = world.set("PKGSWARM_DOWNLOAD_PATIENCE", "1 s");
        let run = world.run(&["fetch", &format!("ipfs://{cid}")]);
        assert_eq!(run.code(), code, "{manner:?}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{manner:?}: {}", run.stderr);
        match code {
            0 => world.has(&world.path("out").join(&cid), &bytes),
            _ => world.has_no_output(),
        }
    }
}

#[test]
fn neighbours_that_lack_a_file_are_soon_left_alone_and_kubo_delivers() {
    let bytes = Package::new("foreign", 3 * SIZE).bytes;
    let (cid, blocks) = foreign(&bytes);
    let daemon = FakeDaemon::with(Stock::default(), Daemon::Honest);
    let kubo = blocks.iter().fold(FakeKubo::empty(), |kubo, block| {
        let name = Cid::dag_pb(Sha256::of(block)).to_string();
        let kubo = kubo.holding_block(&name, block);
        if Cid::dag_pb(Sha256::of(block)).digest() == cid.parse::<Cid>().unwrap().digest() {
            kubo.holding_block(&cid, block)
        } else {
            kubo
        }
    });
    let world = World::new().kubo(&kubo).set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    let run = world.run(&["fetch", &cid]);
    assert!(run.code() == 0 && run.stderr.contains("from Kubo"), "{}", run.stderr);
    world.has(&world.path("out").join(&cid), &bytes);
    let asked = daemon.asked().len();
    assert!((1..=10).contains(&asked) && asked < blocks.len(), "{asked} of {} blocks", blocks.len());
}

#[test]
fn neighbours_on_a_busy_line_are_waited_for_only_where_no_other_source_is_left() {
    let bytes = Package::new("foreign", SIZE).bytes;
    let (cid, blocks) = foreign(&bytes);
    let stock = Stock { blocks, ..Stock::default() };
    let kubo = FakeKubo::empty();
    for (arguments, is_patient) in [(&["fetch", &cid][..], false), (&["fetch", "--source", "lan", &cid][..], true)] {
        let daemon = FakeDaemon::with(stock.clone(), Daemon::Honest);
        let world = World::new().kubo(&kubo).set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
        let run = world.run(arguments);
        assert_eq!(run.code(), 0, "{arguments:?}: {}", run.stderr);
        world.has(&world.path("out").join(&cid), &bytes);
        let asked = daemon.asked();
        assert!(!asked.is_empty() && asked.iter().all(|text| text.ends_with(" patient") == is_patient), "{asked:?}");
    }
}
