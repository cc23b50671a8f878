//! Refreshing an index: the bytes transferred, the answer chosen, and the result without a network.

use std::path::Path;
use std::time::Duration;

use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::engine::deliver::{self, Candidate, Delivery, Order, Purpose};
use pkgswarm::engine::hub::Hub;
use pkgswarm::index::accept::Grant;
use pkgswarm::index::in_use;
use pkgswarm::index::manifest::Packed;
use pkgswarm::machine::Machine;
use pkgswarm::machine::call::Call;
use pkgswarm::machine::lists::Lists;
use pkgswarm::refresh::{RefreshMeans, RefreshOutcome, RefreshTarget, TRANSFERS_MOST, refresh};
use pkgswarm::trust::look::FileShape;
use pkgswarm::trust::plan::{Expect, Plan};
use tokio_util::sync::CancellationToken;

use super::deliveries::means;
use crate::support::keys::now;
use crate::support::*;

const LIFE: u64 = 172_800;

fn packages(count: usize) -> Vec<Package> {
    (0..count).map(|n| Package::new(&format!("package{n}"), 100 + n)).collect()
}

fn index(publisher: &Keys, packages: &[Package], sequence: u64) -> Index {
    publisher.index(&packages.iter().collect::<Vec<_>>(), sequence, LIFE)
}

fn ls(world: &World) -> serde_json::Value {
    let run = world.run(&["index", "ls", "--json"]);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

fn is_asked_for_diffs(mirror: &FakeMirror) -> bool {
    mirror.requests().iter().any(|request| request.path().contains("/diffs/"))
}

/// Makes two publications a minute apart: 200 packages, of which one gets a new version.
fn two(publisher: &Keys) -> (Index, Index) {
    let mut packages = packages(200);
    let old = index(publisher, &packages, now() - 3600);
    packages[7] = packages[7].clone().version("2.0-1");
    let new = index(publisher, &packages, now() - 3540);
    let new = publisher.after(&old, new);
    (old, new)
}

#[test]
fn a_refresh_moves_what_changed_and_not_the_table() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (old, new) = two(&publisher);
    old.publish_on(&mirror);
    let world = World::new().config(&publisher.config(Some(&mirror)));
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    new.publish_on(&mirror);
    let before = mirror.bytes();
    let run = world.run(&["index", "refresh", "--json"]);
    assert_eq!((run.code(), run.stderr.as_str()), (0, ""));
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&said["outcome"], &said["warnings"]), (&"updated".into(), &serde_json::json!([])));
    assert_eq!(mirror.hits("core-x86_64.ndjson.zst"), 1, "the whole table was fetched the first time only");
    let moved = mirror.bytes() - before;
    assert_eq!(said["moved"], moved, "what is said to have moved is what the mirror sent");
    assert!(moved < 2500 && is_asked_for_diffs(&mirror), "{moved} bytes");
    let shown = world.run(&["index", "show", "arch", "--entries"]).stdout;
    assert!(shown.contains("core/package7-2.0-1-x86_64.pkg.tar.zst") && !shown.contains("package7-1.0-1"), "{shown}");
    // A refresh without news transfers the record and nothing else.
    let before = mirror.bytes();
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    assert_eq!(mirror.bytes() - before, new.record.len() as u64);
}

#[test]
fn what_a_refresh_fetches_stays_in_the_state_directory_alone() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (old, new) = two(&publisher);
    let world = World::new().config(&publisher.config(Some(&mirror)));
    for index in [&old, &new] {
        index.publish_on(&mirror);
        assert_eq!(world.run(&["index", "refresh"]).code(), 0);
        assert_eq!(ls(&world)["sequence"], index.sequence());
    }
    for part in ["files", "partial"] {
        let left = std::fs::read_dir(world.path("store").join(part)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{part}");
    }
}

#[test]
fn two_refreshes_and_a_fetch_of_the_same_table_receive_it_once() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (index, _) = two(&publisher);
    index.publish_on(&mirror);
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let hub = Hub::new(TRANSFERS_MOST, CancellationToken::new());
    let means = RefreshMeans::of(&machine, hub.clone()).unwrap();
    let state = in_use::state(&settings);
    let url = |path: &str| reqwest::Url::parse(&format!("http://{}/index/{path}", mirror.address())).unwrap();
    let key = publisher.minisign.public();
    let [one, two] = ["one", "two"].map(|name| {
        let grant = Grant {
            ipns: publisher.name().parse().ok(),
            minisign: Some(key.clone()),
            repos: vec![RepoName::new("core").unwrap()],
        };
        RefreshTarget {
            name: FileName::new(name).unwrap(),
            grant,
            urls: vec![url("")],
            gateways: Vec::new(),
            lan: None,
        }
    });
    let table = &index.manifest.tables[0];
    let Packed { cid, sha256, size } = table.packed;
    let plan = Plan { cid: Some(cid), ..Plan::without_cid(Expect::Exact { sha256, size }) };
    let (name, candidates) = (FileName::new("table").unwrap(), [Candidate::Mirror(url(&table.path()))]);
    let order = Order { name: &name, shape: FileShape::ANY, plan: &plan, candidates: &candidates };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ticket, duty) = hub.join(Some(sha256)).unwrap();
        let (duty, mut call) = (duty.unwrap(), Call::with(Lists::of(&machine), Path::new("/var/tmp")));
        let fetching = async {
            let made = duty.run(&mut call, async |call: &mut Call| {
                let joined = async {
                    while ticket.listeners() < 3 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(60), joined).await.expect("two refreshes join");
                deliver::fetch(call, order, Purpose::Caller).await
            });
            let Delivery { result, receipt } = made.await;
            assert_eq!(receipt.contributions.iter().map(|one| one.bytes).sum::<u64>(), size);
            duty.finish(Delivery { result: result.map(Some), receipt })
        };
        let long = Duration::from_secs(60);
        let refresh = |target| refresh(target, &means, &state, now(), long);
        let (one, two, _) = tokio::join!(refresh(&one), refresh(&two), fetching);
        for refreshed in [one, two].map(Result::unwrap) {
            let RefreshOutcome::Updated { sequence, .. } = refreshed.outcome else { panic!("{refreshed:?}") };
            assert_eq!(sequence, index.sequence());
        }
    });
    assert_eq!(mirror.hits("core-x86_64.ndjson.zst"), 1);
    assert!(machine.store.has(sha256, size), "the fetch keeps it as usual");
}

#[test]
fn diffs_that_are_no_use_are_reported_and_the_whole_table_is_fetched() {
    let publisher = Keys::new(1);
    let (old, new) = two(&publisher);
    let broken: [(&str, Bend); 2] = [("gone", |mirror| mirror.status(404)), ("lying", Misbehaves::lying)];
    for (what, bend) in broken {
        let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
        old.publish_on(&mirror);
        let world = World::new().config(&publisher.config(Some(&mirror)));
        assert_eq!(world.run(&["index", "refresh"]).code(), 0);
        new.publish_on(&mirror);
        let diff = new.manifest.tables[0].diff_path(0);
        let _mirror = bend(mirror.on(diff.rsplit('/').next().unwrap()));
        let run = world.run(&["index", "refresh"]);
        assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
        let warning =
            "warning: index arch: the diffs of core-x86_64 are no use, it is fetched whole: diffs/core-x86_64/";
        assert!(run.said.lines().any(|line| line.starts_with(warning)), "{what}: {}", run.said);
        assert_eq!(ls(&world)["sequence"], new.sequence(), "{what}");
    }
    // Signed, and leading elsewhere: only the sha256 of the result shows it.
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    old.publish_on(&mirror);
    let world = World::new().config(&publisher.config(Some(&mirror)));
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    let other = index(&publisher, &packages(199), now() - 3500);
    let wrong = publisher.after(&old, other);
    let mut lying = new.clone();
    (lying.manifest.tables[0].diffs, lying.diffs) = (wrong.manifest.tables[0].diffs.clone(), wrong.diffs);
    publisher.sign(lying).publish_on(&mirror);
    let run = world.run(&["index", "refresh"]);
    assert!(run.said.contains("fetched whole: diffs/core-x86_64/") && run.said.contains("corrupt: "), "{}", run.said);
    assert_eq!((run.code(), &ls(&world)["sequence"]), (0, &new.sequence().into()));
}

#[test]
fn a_user_that_stayed_away_too_long_gets_the_whole_table() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (old, new) = two(&publisher);
    index(&publisher, &packages(3), old.sequence() - 60).publish_on(&mirror);
    let world = World::new().config(&publisher.config(Some(&mirror)));
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    new.publish_on(&mirror);
    let run = world.run(&["index", "refresh"]);
    assert_eq!((run.code(), run.stderr.lines().count()), (0, 1), "{}", run.stderr);
    assert!(!is_asked_for_diffs(&mirror));
    assert_eq!(ls(&world)["sequence"], new.sequence());
}

#[test]
fn a_network_that_is_not_there_ends_with_the_deadline_and_the_age_of_what_stays_in_use_is_said() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (old, _) = two(&publisher);
    old.publish_on(&mirror);
    let world = World::new().config(&publisher.config(Some(&mirror)));
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    let lost = FakeKubo::empty().without_a_network();
    let world = world.config(&publisher.config(None)).kubo(&lost).set("PKGSWARM_INDEX_DEADLINE", "1 s");
    let run = world.run(&["index", "refresh"]);
    run.within(Duration::from_secs(10));
    let mut lines: Vec<&str> = run.said.lines().collect();
    lines[1..3].sort();
    assert_eq!(
        lines,
        [
            "error: index arch: no source delivered it",
            "  kubo  no answer within N s",
            "  kubo routing  no answer within N s",
            "hint: the last good copy, N min old, stays in use until it expires",
        ]
    );
    let row = ls(&world);
    assert_eq!((run.code(), &row["sequence"]), (1, &old.sequence().into()));
    assert!(row["age"].as_u64().unwrap() >= 3600 && row["expires"].as_u64().unwrap() > now(), "{row}");
    let transports = row["transports"].as_array().unwrap();
    assert_eq!(transports.len(), 2, "{row}");
    for transport in transports {
        assert_eq!(transport["outcome"], "late", "{row}");
        assert!(transport["took_ms"].as_u64().unwrap() >= 900 && transport["at"].as_u64().unwrap() >= old.sequence());
    }
}

#[test]
fn every_way_to_a_record_leads_to_the_index() {
    let publisher = Keys::new(1);
    let (old, _) = two(&publisher);
    for way in ["kubo", "kubo routing", "gateway", "url"] {
        let kubo = old.publish_in(FakeKubo::empty(), &publisher);
        let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
        old.publish_on(&mirror);
        let world = World::new().config(&publisher.config((way == "url").then_some(&mirror)));
        let world = match way {
            "kubo" | "kubo routing" => world.kubo(&kubo),
            "gateway" => world.set("PKGSWARM_GATEWAYS_URLS", &kubo.gateway_url()),
            _ => world,
        };
        // The RPC of this daemon is closed to us: only its gateway answers.
        let world = if way == "kubo routing" { world.set("PKGSWARM_KUBO_API", "http://127.0.0.1:1") } else { world };
        let run = world.run(&["index", "refresh"]);
        assert_eq!(run.code(), 0, "{way}: {}", run.stderr);
        assert_eq!(ls(&world)["sequence"], old.sequence(), "{way}");
    }
}

#[test]
fn the_first_proven_answer_is_used_at_once_and_a_newer_one_replaces_it_when_it_comes() {
    let (publisher, mirror) = (Keys::new(1), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (old, new) = two(&publisher);
    // The plain copy is old; the daemon has a newer one and is slow.
    old.publish_on(&mirror);
    let kubo = new.publish_in(FakeKubo::empty(), &publisher);
    let routing = format!("routing/v1/ipns/{}", publisher.name());
    let kubo = kubo.on(&routing).answering_after(Duration::from_secs(8));
    let world = World::new().config(&publisher.config(Some(&mirror))).kubo(&kubo);
    let world = world.set("PKGSWARM_KUBO_API", "http://127.0.0.1:1");
    let state = || copy_of_index(&world, "arch").join("pkgswarm.json");
    let running = run::Running::start(world.command(&["index", "refresh"]), world.base());
    eventually("the older index to be in use", || std::fs::read(state()).is_ok_and(|bytes| bytes == old.bytes));
    let run = running.finish();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(ls(&world)["sequence"], new.sequence());
}

#[test]
fn a_server_that_has_no_record_of_a_name_is_not_said_to_have_a_malformed_one() {
    let (publisher, kubo) = (Keys::new(1), FakeKubo::empty());
    let world = World::new().config(&publisher.config(None)).set("PKGSWARM_GATEWAYS_URLS", &kubo.gateway_url());
    let run = world.run(&["index", "refresh"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("no record of this name") && !run.stderr.contains("malformed"), "{}", run.stderr);
}

#[test]
fn where_no_index_is_in_use_nothing_is_due_and_the_timer_does_not_fail() {
    let world = World::new();
    let run = world.run(&["index", "refresh", "--due"]);
    assert_eq!((run.code(), run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    let asked = world.run(&["index", "refresh"]);
    assert!(asked.code() == 2 && asked.stderr.contains("none is configured"), "{}", asked.stderr);
}

#[test]
fn a_publisher_that_does_not_answer_keeps_no_other_one_waiting() {
    let (first, second) = (Keys::new(1), Keys::new(2));
    let (hung, mirror) = (FakeMirror::serving::<&str, &[u8]>(&[]), FakeMirror::serving::<&str, &[u8]>(&[]));
    let (old, other) = (index(&first, &packages(3), now() - 60), index(&second, &packages(4), now() - 60));
    old.publish_on(&hung);
    other.publish_on(&mirror);
    let hung = hung.on("pkgswarm.ipns-record").answering_after(Duration::from_secs(3600));
    let config = second.config(Some(&mirror)).replace("index.arch", "index.other");
    let world = World::new().config(&(first.config(Some(&hung)) + &config)).set("PKGSWARM_INDEX_DEADLINE", "10 min");
    let copy = |name: &str| copy_of_index(&world, name).join("pkgswarm.json");
    let running = run::Running::start(world.command(&["index", "refresh"]), world.base());
    eventually("the other index to be in use", || std::fs::read(copy("other")).is_ok_and(|is| is == other.bytes));
    assert!(!copy("arch").exists(), "it is still waited for");
    running.kill();
}

#[test]
fn an_index_that_is_removed_takes_its_copy_with_it() {
    let package = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[package.file()]);
    let world = World::new().repo("core", &[&package], &[&mirror]);
    Publisher::of(&world, &[&package]).add_to(&world);
    let copy = copy_of_index(&world, "test");
    assert!(copy.join("pkgswarm.json").exists(), "{}", copy.display());
    let run = world.run(&["index", "rm", "test"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(!copy.exists() && !run.stderr.contains("warning"), "{}", run.stderr);
    assert!(world.path("state/index/index.json").exists(), "what was seen stays known");
}

#[test]
fn names_of_an_index_cannot_turn_what_is_printed_around() {
    let world = FakeIndex::called("arch").saying("evil\u{202e}piz.gkp", b"x").in_use(World::new());
    for show in [&["index", "show", "arch", "--entries"][..], &["index", "show", "arch", "--entries", "--json"]] {
        let run = world.run(show);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert!(run.stdout.contains("evil\\u202epiz.gkp") && !run.stdout.contains('\u{202e}'), "{}", run.stdout);
    }
}
