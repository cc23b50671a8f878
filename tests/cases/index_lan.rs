//! An index that neighbours pass on: it is proven like any other, and a hostile neighbour only wastes time.

use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::index::passed::Passed;

use crate::support::daemon::{Daemon, FakeDaemon, Stock};
use crate::support::keys::now;
use crate::support::*;

const LIFE: u64 = 172_800;

fn index(publisher: &Keys, names: &[&str], sequence: u64) -> Index {
    let packages: Vec<Package> = names.iter().map(|name| Package::new(name, 1000)).collect();
    publisher.index(&packages.iter().collect::<Vec<_>>(), sequence, LIFE)
}

/// Returns the answer of a neighbour that has this index.
fn told(index: &Index) -> Vec<u8> {
    let (record, minisig) = (Some(index.record.clone()), Some(index.minisig.clone()));
    Passed { record, minisig, manifest: Some(Cid::raw(Sha256::of(&index.bytes))) }.write()
}

/// Makes a neighbour that has it: answers about it, and has its blocks and its table.
fn holding(index: &Index) -> Stock {
    let blocks = vec![index.root.clone(), index.bytes.clone(), index.minisig.clone()];
    Stock { files: vec![index.plain.clone()], blocks, answers: vec![told(index)] }
}

fn out_of_reach(publisher: &Keys, daemon: &FakeDaemon) -> World {
    asking(World::new().config(&publisher.config(None)), daemon)
}

fn asking(world: World, daemon: &FakeDaemon) -> World {
    world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string()).set("PKGSWARM_INDEX_DEADLINE", "4 s")
}

fn ls(world: &World) -> serde_json::Value {
    let run = world.run(&["index", "ls", "--json"]);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

/// Returns the result of the way through neighbours, from `index ls --json`.
fn lan(world: &World) -> serde_json::Value {
    let row = ls(world);
    let ways = row["transports"].as_array().expect("a list");
    ways.iter().find(|way| way["via"] == "lan").unwrap_or_else(|| panic!("{row}")).clone()
}

#[test]
fn a_machine_out_of_reach_of_its_publisher_gets_a_newer_index_from_a_neighbour() {
    let publisher = Keys::new(1);
    let (old, new) = (index(&publisher, &["zlib"], now() - 3600), index(&publisher, &["zlib", "curl"], now() - 60));
    let mut world = World::new();
    for index in [&old, &new, &new] {
        let daemon = FakeDaemon::with(holding(index), Daemon::Honest);
        world = asking(world.config(&publisher.config(None)), &daemon);
        let run = world.run(&["index", "refresh"]);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert_eq!(ls(&world)["sequence"], index.sequence());
        let way = lan(&world);
        assert_eq!((&way["outcome"], &way["sequence"]), (&"proven".into(), &index.sequence().into()), "{way}");
        assert!(way["took_ms"].as_u64().is_some(), "{way}");
        assert!(daemon.asked()[0].starts_with(&format!("index ipns:{}", publisher.name())), "{:?}", daemon.asked());
    }
    let shown = world.run(&["index", "show", "arch", "--entries"]).stdout;
    assert!(shown.contains("core/curl-"), "{shown}");
    // Neighbours do not know whether it is the newest: only the publisher's word confirms that.
    assert_eq!(ls(&world)["confirmed"], new.sequence());
}

#[test]
fn an_index_without_a_name_is_passed_on_by_its_minisign_key() {
    let (publisher, thief) = (Keys::new(1), Keys::new(2));
    let (old, new) = (index(&publisher, &["zlib"], now() - 3600), index(&publisher, &["curl"], now() - 60));
    let mut stock = holding(&new);
    stock.blocks.push(old.bytes.clone());
    // Another signer's index, and an older one that the publisher did sign.
    stock.answers = vec![told(&index(&thief, &["evil"], now())), told(&old), told(&new)];
    let daemon = FakeDaemon::with(stock, Daemon::Honest);
    let key = publisher.minisign.public();
    let config = format!("[index.arch]\nminisign = \"{key}\"\nurl = \"http://mirror.example/x\"\nrepos = [\"core\"]\n");
    let world = asking(World::new().config(&config), &daemon).set("http_proxy", "http://127.0.0.1:9");
    let world = world.set("PKGSWARM_LAN_ENABLED", "true");
    let run = world.run(&["index", "refresh"]);
    assert_eq!((run.code(), &ls(&world)["sequence"]), (0, &new.sequence().into()), "{}", run.stderr);
    assert!(daemon.asked()[0].starts_with(&format!("index minisign:{key}")), "{:?}", daemon.asked());
}

#[test]
fn whatever_neighbours_tell_the_index_in_use_stays() {
    let (publisher, thief) = (Keys::new(1), Keys::new(2));
    let has = index(&publisher, &["zlib", "curl"], now() - 3600);
    let first = FakeDaemon::with(holding(&has), Daemon::Honest);
    let mut world = out_of_reach(&publisher, &first);
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    let newer = index(&publisher, &["zlib"], now() - 60);
    let mut forged = newer.clone();
    let last = forged.record.len() - 1;
    forged.record[last] ^= 1;
    // A record that the publisher signed, and a root that it does not name.
    let swapped = Stock { blocks: holding(&has).blocks, ..holding(&newer) };
    // A record of the thief's that leads to the publisher's index.
    let foreign = thief.record(newer.clone(), true);
    let expired = publisher.index(&[&Package::new("zlib", 1000)], now() - LIFE - 3600, LIFE);
    let future = index(&publisher, &["zlib"], now() + 90_000);
    let stripped = Stock { blocks: vec![newer.root.clone(), newer.bytes.clone()], ..holding(&newer) };
    let torn = Stock { files: vec![b"no table".to_vec()], ..holding(&newer) };
    let long = Stock { answers: vec![vec![0x0a; 40_000]], ..Stock::default() };
    let nonsense = Stock { answers: vec![vec![0xff; 300], b"\x0a\x01x".to_vec()], ..Stock::default() };
    let cases = [
        ("older", holding(&index(&publisher, &["old"], now() - 7200)), Daemon::Honest),
        ("forged", holding(&forged), Daemon::Honest),
        ("foreign", holding(&foreign), Daemon::Honest),
        ("swapped", swapped, Daemon::Honest),
        ("expired", holding(&expired), Daemon::Honest),
        ("from the future", holding(&future), Daemon::Honest),
        ("without a signature", stripped, Daemon::Honest),
        ("without its table", torn, Daemon::Honest),
        ("too long", long, Daemon::Honest),
        ("no message", nonsense, Daemon::Honest),
        ("other blocks", holding(&newer), Daemon::Lying),
        ("blocks without end", holding(&newer), Daemon::Oversized),
        ("blocks that do not come", holding(&newer), Daemon::Stalling),
        ("blocks that come for ever", holding(&newer), Daemon::Trickling),
        ("answers without end", holding(&newer), Daemon::Endless),
        ("silence", holding(&newer), Daemon::Silent),
        ("nothing after it has heard", holding(&newer), Daemon::Searching),
        ("hanging up", holding(&newer), Daemon::HangsUp),
        ("babble", holding(&newer), Daemon::Babbling),
    ];
    for (what, stock, manner) in cases {
        let daemon = FakeDaemon::with(stock, manner);
        world = asking(world, &daemon);
        let run = world.run(&["index", "refresh"]);
        run.within(Duration::from_secs(8));
        assert_ne!(run.code(), 0, "{what}: {}", run.stderr);
        assert_eq!(ls(&world)["sequence"], has.sequence(), "{what}");
        let way = lan(&world);
        assert!(way["outcome"] != "proven" && way["why"].as_str().is_some_and(|why| !why.is_empty()), "{what}: {way}");
        assert!(!daemon.asked().is_empty(), "{what}");
    }
}

#[test]
fn liars_beside_an_honest_neighbour_cost_time_alone() {
    let (publisher, thief) = (Keys::new(1), Keys::new(2));
    let (new, newest) = (index(&publisher, &["curl"], now() - 120), index(&publisher, &["zlib"], now() - 60));
    let mut stock = holding(&new);
    let forged = {
        let mut index = newest.clone();
        index.record[20] ^= 1;
        told(&index)
    };
    let old = index(&publisher, &["old"], now() - 7200);
    let foreign = told(&index(&thief, &["evil"], now()));
    // Of the newest one the publisher's record is passed on, and nothing else.
    stock.answers = vec![vec![0xff; 100], forged, foreign, told(&newest), told(&old), told(&new)];
    let daemon = FakeDaemon::with(stock, Daemon::Honest);
    let world = out_of_reach(&publisher, &daemon);
    let run = world.run(&["index", "refresh"]);
    run.within(Duration::from_secs(8));
    assert_eq!((run.code(), &ls(&world)["sequence"]), (0, &new.sequence().into()), "{}", run.stderr);
}

#[test]
fn a_neighbour_that_tells_and_does_not_deliver_does_not_keep_the_publisher_away() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let new = index(&publisher, &["curl"], now() - 60);
    new.publish_on(&mirror);
    let manners =
        [Daemon::Lying, Daemon::Stalling, Daemon::Trickling, Daemon::Oversized, Daemon::Endless, Daemon::Searching];
    for manner in manners {
        let daemon = FakeDaemon::with(holding(&new), manner);
        let world = asking(World::new().config(&publisher.config(Some(&mirror))), &daemon);
        let world = world.set("PKGSWARM_SHARE_REPOS", "core").set("PKGSWARM_INDEX_DEADLINE", "10 s");
        let run = world.run(&["index", "refresh"]);
        assert_eq!((run.code(), &ls(&world)["sequence"]), (0, &new.sequence().into()), "{manner:?}: {}", run.stderr);
        assert!(!daemon.asked().is_empty(), "{manner:?}");
    }
}

#[test]
fn neighbours_are_not_asked_for_an_index_that_is_not_public() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let new = index(&publisher, &["curl"], now() - 60);
    new.publish_on(&mirror);
    let daemon = FakeDaemon::with(holding(&new), Daemon::Honest);
    let world = asking(World::new().config(&publisher.config(Some(&mirror))), &daemon);
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    assert_eq!(daemon.asked(), [] as [String; 0]);
    let world = world.set("PKGSWARM_SHARE_REPOS", "core").set("PKGSWARM_LAN_ENABLED", "false");
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    assert_eq!(daemon.asked(), [] as [String; 0]);
}
