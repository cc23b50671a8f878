//! Refreshes from a scripted daemon and a scripted mirror of the index.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::base::env::Env;
use crate::config::Settings;
use crate::index::accept::tests::Publisher;
use crate::index::manifest::tests::sample;
use crate::index::manifest::{Manifest, ManifestError};
use crate::index::manifest::{Packed, Table};
use crate::index::table::pack;
use crate::index::table::tests::{entry, plain};
use crate::lists::catalogue::Catalogue;
use crate::net::kubo::script::{Script, ScriptedAnswer, ok};

const LONG: Duration = Duration::from_secs(10);

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

struct RefreshScene {
    publisher: Publisher,
    dir: tempfile::TempDir,
    state: IndexState,
}

/// Makes a manifest with a real table of `core`, and the table.
fn index(sequence: u64) -> (Manifest, Vec<u8>) {
    let plain = plain(&[entry("a-1-1-any.pkg.tar.zst", 1), entry(&format!("b-{sequence}"), 2 << 20)]);
    let packed = pack(&plain);
    let mut manifest = Manifest { sequence, created: sequence, expires: sequence + 172_800, ..sample() };
    let sha256 = Sha256::of(&packed);
    let whole = Packed { cid: Cid::raw(sha256), sha256, size: packed.len() as u64 };
    let (sha256, size) = (Sha256::of(&plain), plain.len() as u64);
    manifest.tables[0] =
        Table { changed: sequence, sha256, size, entries: 2, packed: whole, ..manifest.tables[0].clone() };
    (manifest, packed)
}

impl RefreshScene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = IndexState::at(dir.path().join("state"));
        Self { publisher: Publisher::new(), dir, state }
    }

    /// Scripts an HTTP server with a plain copy of the index, as `publish --out` writes it.
    fn mirror(&self, manifest: &Manifest, packed: &[u8]) -> Script {
        let offer = self.publisher.offer(manifest);
        Script::answering(vec![
            ("/x/pkgswarm.json.minisig ", ok(offer.minisig.unwrap())),
            ("/x/pkgswarm.json ", ok(offer.manifest)),
            ("/x/pkgswarm.ipns-record ", ok(offer.record.unwrap())),
            ("/x/pkgswarm.root ", ok(offer.root.unwrap())),
            ("/x/tables/core-x86_64.ndjson.zst ", ok(packed)),
        ])
    }

    /// Scripts a daemon that can deliver the record and every block.
    fn daemon(&self, manifest: &Manifest, packed: &[u8]) -> Script {
        let offer = self.publisher.offer(manifest);
        let root = Cid::dag_pb(Sha256::of(offer.root.as_ref().unwrap()));
        let mut rules = vec![("name/get?arg=k51".to_owned(), ok(offer.record.unwrap()))];
        let raw = [offer.manifest, offer.minisig.unwrap(), packed.to_vec()];
        let blocks = raw.into_iter().map(|bytes| (Cid::raw(Sha256::of(&bytes)), bytes));
        for (cid, bytes) in blocks.chain([(root, offer.root.unwrap())]) {
            rules.push((format!(" /ipfs/{cid}"), ok(bytes)));
        }
        Script::answering(rules)
    }

    fn source(&self, mirror: Option<&Script>) -> RefreshTarget {
        let urls = mirror.iter().map(|script| script.url.join("/x").unwrap()).collect();
        let (name, grant) = (FileName::new("arch").unwrap(), self.publisher.grant());
        RefreshTarget { name, grant, urls, gateways: Vec::new(), lan: None }
    }

    fn refresh(&self, mirror: Option<&Script>, daemon: Option<&Script>, now: u64) -> Refreshed {
        let means = self.means(daemon);
        run(refresh(&self.source(mirror), &means, &self.state, now, LONG)).unwrap()
    }

    /// A machine whose Kubo is this one, if any.
    fn means(&self, daemon: Option<&Script>) -> RefreshMeans {
        let (mut env, dir) = (Env::from_process(), self.dir.path());
        env.vars.clear();
        let mut set = vec![format!("store.dir={}", dir.join("store").display())];
        match daemon {
            Some(daemon) => set.extend(["api", "gateway"].map(|part| format!("kubo.{part}={}", daemon.url))),
            None => set.push("kubo.enabled=false".to_owned()),
        }
        let settings = Settings::read(&env, &set).unwrap();
        let machine = Machine::open(&env, &settings, dir).unwrap();
        RefreshMeans::of(&machine, Hub::new(TRANSFERS_MOST, CancellationToken::new())).unwrap()
    }

    fn lists(&self, name: &str) -> bool {
        let core = RepoName::new("core").unwrap();
        let path = self.state.catalogue_path(&FileName::new("arch").unwrap(), &core, "x86_64");
        let catalogue = Catalogue::open(&path).unwrap().unwrap();
        catalogue.find(&FileName::new(name).unwrap()).unwrap().is_some()
    }
}

/// Returns the reason why this route does not count.
fn why(done: &Refreshed, via: &str) -> String {
    let route = done.routes.iter().find(|route| route.via == via).unwrap();
    route.said.as_ref().unwrap_err().to_string()
}

const FIRST: u64 = 1_790_000_000;

#[test]
fn an_index_is_fetched_proven_and_compiled_by_either_way() {
    for by_kubo in [true, false] {
        let scene = RefreshScene::new();
        let (manifest, packed) = index(FIRST);
        let (mirror, daemon) = (scene.mirror(&manifest, &packed), scene.daemon(&manifest, &packed));
        let ask = || match by_kubo {
            true => scene.refresh(None, Some(&daemon), FIRST + 60),
            false => scene.refresh(Some(&mirror), None, FIRST + 60),
        };
        let first = ask();
        assert_eq!(first.outcome, RefreshOutcome::Updated { sequence: FIRST, ignored: vec![] }, "{first:?}");
        assert!(scene.lists(&format!("b-{FIRST}")));
        let tables = |script: &Script| script.asked().iter().filter(|a| a.line.contains("tables/")).count();
        assert_eq!(ask().outcome, RefreshOutcome::Unchanged { sequence: FIRST });
        assert!(by_kubo || tables(&mirror) == 1);
        assert_eq!(scene.state.seen(&scene.publisher.grant().keys()).unwrap().unwrap().fetched, FIRST + 60);
    }
}

#[test]
fn the_highest_proven_sequence_wins_and_the_other_way_is_told() {
    let scene = RefreshScene::new();
    let (old, old_table) = index(FIRST);
    let (new, new_table) = index(FIRST + 10);
    let (mirror, daemon) = (scene.mirror(&new, &new_table), scene.daemon(&old, &old_table));
    let done = scene.refresh(Some(&mirror), Some(&daemon), FIRST + 60);
    assert_eq!(done.outcome, RefreshOutcome::Updated { sequence: FIRST + 10, ignored: vec![] });
    let said = |via: &str| &done.routes.iter().find(|route| route.via == via).unwrap().said;
    assert_eq!((said("kubo"), said("url")), (&Ok(FIRST), &Ok(FIRST + 10)));
    // The daemon alone would now lead back.
    let back = scene.refresh(None, Some(&daemon), FIRST + 120);
    assert_eq!(back.outcome, RefreshOutcome::Refused(RefusalError::Older { has: FIRST + 10, offered: FIRST }));
    assert!(scene.lists(&format!("b-{}", FIRST + 10)));
}

#[test]
fn the_floor_survives_removal_of_the_copy() {
    let scene = RefreshScene::new();
    let (new, table) = index(FIRST + 10);
    scene.refresh(Some(&scene.mirror(&new, &table)), None, FIRST + 60);
    scene.state.forget_copy(&FileName::new("arch").unwrap()).unwrap();
    let (old, table) = index(FIRST);
    let back = scene.refresh(Some(&scene.mirror(&old, &table)), None, FIRST + 60);
    assert_eq!(back.outcome, RefreshOutcome::Refused(RefusalError::Older { has: FIRST + 10, offered: FIRST }));
}

#[test]
fn a_table_with_other_bytes_is_refused_and_the_last_good_copy_stays() {
    let scene = RefreshScene::new();
    let (old, table) = index(FIRST);
    scene.refresh(Some(&scene.mirror(&old, &table)), None, FIRST + 60);
    let (new, _) = index(FIRST + 10);
    let done = scene.refresh(Some(&scene.mirror(&new, &table)), None, FIRST + 60);
    assert_eq!(done.outcome, RefreshOutcome::Unreachable);
    let said = why(&done, "url");
    assert!(said.starts_with("tables/core-x86_64.ndjson.zst: url: corrupt: "), "{said}");
    assert!(scene.lists(&format!("b-{FIRST}")));
    // An endless one is cut off.
    let endless = [&table[..], &[0; 1000]].concat();
    let done = scene.refresh(Some(&scene.mirror(&new, &endless)), None, FIRST + 60);
    let said = format!("url: corrupt: has {} bytes, expected ", endless.len());
    assert!(why(&done, "url").contains(&said), "{done:?}");
}

#[test]
fn a_signed_table_that_is_none_changes_nothing() {
    let scene = RefreshScene::new();
    let (good, table) = index(FIRST);
    scene.refresh(Some(&scene.mirror(&good, &table)), None, FIRST + 60);
    let (mut bad, table) = index(FIRST + 10);
    bad.tables[0].entries = 3;
    let done = scene.refresh(Some(&scene.mirror(&bad, &table)), None, FIRST + 60);
    let said = why(&done, "url");
    assert!(said.ends_with("the table has 2 entries, the manifest announces 3"), "{said}");
    assert_eq!(scene.state.seen(&scene.publisher.grant().keys()).unwrap().unwrap().sequence, FIRST);
    assert!(scene.lists(&format!("b-{FIRST}")));
}

#[test]
fn an_expired_index_is_refused_with_its_age() {
    let scene = RefreshScene::new();
    let (manifest, packed) = index(FIRST);
    let late = FIRST + 172_800 + 7200;
    let done = scene.refresh(Some(&scene.mirror(&manifest, &packed)), None, late);
    assert!(why(&done, "url").ends_with("expired 2 h ago"), "{done:?}");
    let grant = Grant { ipns: None, ..scene.publisher.grant() };
    let mirror = scene.mirror(&manifest, &packed);
    let source = RefreshTarget { grant, ..scene.source(Some(&mirror)) };
    let done = run(refresh(&source, &scene.means(None), &scene.state, late, LONG)).unwrap();
    assert!(matches!(done.outcome, RefreshOutcome::Refused(RefusalError::Manifest(ManifestError::Expired { .. }))));
}

#[test]
fn a_daemon_that_hangs_ends_with_the_deadline_and_the_old_index_stays() {
    let scene = RefreshScene::new();
    let (manifest, packed) = index(FIRST);
    scene.refresh(Some(&scene.mirror(&manifest, &packed)), None, FIRST + 60);
    let hung = Script::answering(vec![("name/get", ScriptedAnswer::Silence)]);
    let started = Instant::now();
    let (means, short) = (scene.means(Some(&hung)), Duration::from_millis(200));
    let done = run(refresh(&scene.source(None), &means, &scene.state, FIRST + 60, short)).unwrap();
    assert_eq!(done.outcome, RefreshOutcome::Unreachable);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(scene.lists(&format!("b-{FIRST}")));
}

#[test]
fn a_mirror_that_strips_a_proof_is_refused() {
    let scene = RefreshScene::new();
    let offer = scene.publisher.offer(&index(FIRST).0);
    let mirror = Script::answering(vec![("/x/pkgswarm.json ", ok(offer.manifest))]);
    let done = scene.refresh(Some(&mirror), None, FIRST + 60);
    assert_eq!(done.outcome, RefreshOutcome::Refused(RefusalError::Missing("the IPNS record")));
}

#[test]
fn a_clock_that_went_back_is_noticed() {
    let scene = RefreshScene::new();
    let (manifest, packed) = index(FIRST);
    let mirror = scene.mirror(&manifest, &packed);
    assert_eq!(scene.refresh(Some(&mirror), None, FIRST + 60).clock, None);
    assert_eq!(scene.refresh(Some(&mirror), None, FIRST - 3600).clock, Some(Clock::Behind(3660)));
}
