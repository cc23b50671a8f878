//! Publishing into real Kubo nodes and refreshing from them, by the library: copies, pins, renewals, refusals.

#![allow(clippy::duplicate_mod, reason = "the actors of real programs and the stand-ins share a few parts")]

#[path = "support/real/mod.rs"]
mod real;
#[allow(dead_code, unused_imports, reason = "these tests need a part of the actors")]
mod support;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::env::Env;
use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::config::retention::RetentionRule;
use pkgswarm::config::{ContentRule, Settings};
use pkgswarm::dag::build::{build, build_blocks};
use pkgswarm::engine::hub::Hub;
use pkgswarm::index::accept::{Grant, IndexOffer, RefusalError, accept};
use pkgswarm::index::ipns::RecordError;
use pkgswarm::index::minisign::SecretKey;
use pkgswarm::index::state::IndexState;
use pkgswarm::lists::catalogue::Catalogue;
use pkgswarm::machine::Machine;
use pkgswarm::pins::keep::{Ledger, Trimmed};
use pkgswarm::pins::{Addition, KuboPins, PinContent, PinTarget as _, WantedPin};
use pkgswarm::publish::{self, Did, Phase, PublishError, PublishOptions, PublishReport};
use pkgswarm::refresh::{RefreshMeans, RefreshOutcome, RefreshTarget, Refreshed, TRANSFERS_MOST, refresh};
use real::{Kubo, Mirror, Parts, Pkgbuild, Repo, Signer, command, noise_file, run, scratch, until};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::endpoint::Endpoint;
use support::haiku::{HaikuRepository, Pkgman, file_of, hpkg};
use support::{World, dead_address, pins};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;
const LIFE: u64 = 4 * 3600;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn client(node: &Kubo) -> pkgswarm::net::kubo::Kubo {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = |text: String| text.parse().expect("a URL");
    pkgswarm::net::kubo::Kubo {
        api: Some(url(node.api())),
        gateway: url(node.gateway()),
        client,
        door: Default::default(),
    }
}

/// Publishes. A program that another test starts at this moment holds the lock of a run that has ended, until it is
/// executed.
fn published(options: &PublishOptions, kubo: &pkgswarm::net::kubo::Kubo) -> Result<PublishReport, PublishError> {
    until("the lock is free", Duration::from_secs(20), || {
        match wait(publish::run(options, Some(kubo), &mut |_, _, _| {})) {
            Err(PublishError::Busy) => None,
            other => Some(other),
        }
    })
}

struct Publisher {
    node: Kubo,
    repo: Repo,
    tree: TempDir,
}

impl Publisher {
    fn with(packages: &[Pkgbuild]) -> Self {
        Self::on(Kubo::naming(&Parts::demand(), |_| {}), packages)
    }

    fn on(node: Kubo, packages: &[Pkgbuild]) -> Self {
        let tree = scratch("tree");
        let repo = Repo::new(&Parts::demand(), tree.path(), "core");
        repo.add(packages);
        Self { node, repo, tree }
    }

    fn options(&self, now: u64) -> PublishOptions {
        PublishOptions {
            follow: None,
            publisher: "tests".to_owned(),
            dirs: vec![self.repo.dir().to_owned()],
            list_key: None,
            drop: Vec::new(),
            state_dir: self.tree.path().join("state"),
            key: "tests".to_owned(),
            minisign: None,
            content: ContentRule::All,
            retention: None,
            lifetime: Duration::from_secs(LIFE),
            ttl: Duration::from_secs(300),
            upstream: BTreeMap::new(),
            find: Default::default(),
            out: Some(self.tree.path().join("out")),
            holders: Vec::new(),
            followers: None,
            now,
        }
    }

    fn publish(&self, now: u64) -> Result<PublishReport, PublishError> {
        published(&self.options(now), &client(&self.node))
    }

    /// Runs once more, which has nothing to publish and lets go of the former root, and returns the pins.
    fn settled(&self, now: u64) -> Vec<Cid> {
        assert_eq!(self.publish(now).expect("a run").did, Did::Unchanged);
        self.pins()
    }

    fn pins(&self) -> Vec<Cid> {
        wait(client(&self.node).pinned_as("pkgswarm:tests")).expect("a list of pins")
    }
}

struct Reader {
    state: IndexState,
    source: RefreshTarget,
    dir: TempDir,
}

impl Reader {
    fn of(report: &PublishReport) -> Self {
        let dir = scratch("reader");
        let repos = vec![RepoName::new("core").unwrap()];
        let grant = Grant { ipns: report.name, minisign: None, repos };
        let name = FileName::new("tests").unwrap();
        let source = RefreshTarget { name, grant, urls: Vec::new(), gateways: Vec::new(), lan: None };
        Self { state: IndexState::at(dir.path().join("state")), source, dir }
    }

    fn refresh(&self, node: &Kubo, now: u64) -> Refreshed {
        let mut env = Env::from_process();
        env.vars.clear();
        let store = format!("store.dir={}", self.dir.path().join("store").display());
        let set = [store, format!("kubo.api={}", node.api()), format!("kubo.gateway={}", node.gateway())];
        let settings = Settings::read(&env, &set).expect("settings");
        let machine = Machine::open(&env, &settings, self.dir.path()).expect("a store");
        let hub = Hub::new(TRANSFERS_MOST, CancellationToken::new());
        let means = RefreshMeans::of(&machine, hub).expect("a client");
        let work = refresh(&self.source, &means, &self.state, now, Duration::from_secs(60));
        wait(work).expect("a state directory")
    }

    fn finds(&self, file: &str) -> Option<Cid> {
        let (name, repo) = (&self.source.name, &self.source.grant.repos[0]);
        let path = self.state.catalogue_path(name, repo, std::env::consts::ARCH);
        let found = Catalogue::open(&path).unwrap().expect("a compiled table").find(&FileName::new(file).unwrap());
        found.unwrap().and_then(|record| record.cid())
    }
}

#[test]
fn an_index_goes_from_one_node_to_another_and_every_file_with_it() {
    let large = Pkgbuild::new("large", "1:2.0-1").size(5 * MIB + 3);
    let publisher = Publisher::with(&[Pkgbuild::new("gtk+", "1-1"), large.clone()]);
    let report = publisher.publish(now()).expect("a publication");
    assert_eq!((report.did, report.files, report.new_files), (Did::Published, 4, 4));
    assert_eq!(report.warnings, Vec::<String>::new());

    let other = Kubo::naming(&Parts::demand(), |_| {});
    other.connect(&publisher.node);
    let reader = Reader::of(&report);
    let done = reader.refresh(&other, now());
    assert_eq!(done.outcome, RefreshOutcome::Updated { sequence: report.sequence, ignored: vec![] }, "{done:?}");
    let cid = reader.finds(&large.file_name()).expect("an entry");
    // Kubo makes the same CID, and the other node gets the file by it.
    let source = publisher.repo.dir().join(large.file_name());
    assert_eq!(publisher.node.add(&source), cid.to_string());
    let file = wait(async {
        let answer = client(&other).file(&format!("/ipfs/{cid}"), Duration::from_secs(60)).await.expect("an answer");
        answer.bytes().await.expect("a file")
    });
    assert_eq!(Sha256::of(&file), Sha256::of(&fs::read(source).unwrap()));
    assert!(matches!(reader.refresh(&other, now()).outcome, RefreshOutcome::Unchanged { .. }));
}

#[test]
fn a_second_run_copies_nothing_and_renews_only_after_half_of_the_life() {
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1").size(30 * MIB)]);
    let start = now();
    let first = publisher.publish(start).expect("a publication");
    let kept = publisher.node.bytes_kept();
    let began = Instant::now();
    let second = publisher.publish(start + LIFE / 2).expect("a second run");
    assert_eq!((second.did, second.root, second.sent), (Did::Unchanged, first.root, 0));
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    assert_eq!(publisher.node.bytes_kept(), kept);

    let third = publisher.publish(start + LIFE / 2 + 1).expect("a third run");
    assert_eq!((third.did, third.new_files), (Did::Renewed, 0));
    assert!(third.sequence > first.sequence && third.sent < 10_000, "{third:?}");
    assert_eq!(publisher.settled(start + LIFE / 2 + 1), [third.root]);
    let reader = Reader::of(&third);
    let renewed = reader.refresh(&publisher.node, start + LIFE / 2 + 1);
    assert_eq!(renewed.outcome, RefreshOutcome::Updated { sequence: third.sequence, ignored: vec![] });
}

#[test]
fn a_changed_repo_costs_its_new_files_and_lets_go_of_the_old_root() {
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1").size(10 * MIB)]);
    let first = publisher.publish(now()).expect("a publication");
    let reader = Reader::of(&first);
    reader.refresh(&publisher.node, now());
    publisher.repo.add(&[Pkgbuild::new("b", "1-1").size(2 * MIB)]);
    let second = publisher.publish(now()).expect("a second publication");
    // The package, the database and its list of files.
    assert_eq!((second.did, second.new_files), (Did::Published, 3));
    assert!((2 * MIB..3 * MIB).contains(&second.sent), "{second:?}");
    assert!(second.sequence > first.sequence);
    assert_eq!(publisher.settled(now()), [second.root]);
    let done = reader.refresh(&publisher.node, now());
    assert_eq!(done.outcome, RefreshOutcome::Updated { sequence: second.sequence, ignored: vec![] });
    assert!(reader.finds("b-1-1-any.pkg.tar.zst").is_some());
}

#[test]
fn a_package_that_is_not_what_the_database_says_stops_publishing_before_anything_is_sent() {
    let package = Pkgbuild::new("a", "1-1").size(2 * MIB);
    let publisher = Publisher::with(std::slice::from_ref(&package));
    let first = publisher.publish(now()).expect("a publication");
    publisher.repo.add(&[Pkgbuild::new("b", "1-1")]);
    publisher.repo.falsify(&package.file_name());
    let kept = publisher.node.bytes_kept();
    let error = publisher.publish(now()).expect_err("a false package").to_string();
    assert!(error.contains(&package.file_name()) && error.contains("the database says"), "{error}");
    assert_eq!((publisher.pins(), publisher.node.bytes_kept()), (vec![first.root], kept));
}

/// Kills the daemon at the first sign of `phase`, and asserts that the next run repairs everything.
fn survives_death_in(phase: Phase) {
    let mut publisher = Publisher::with(&[Pkgbuild::new("a", "1-1").size(MIB)]);
    let first = publisher.publish(now()).expect("a publication");
    let pins = |publisher: &Publisher| publisher.node.ipfs(&["pin", "ls", "--type=recursive", "--quiet"]).ok().stdout;
    let pinned = pins(&publisher).lines().count();
    publisher.repo.add(&[Pkgbuild::new("big", "1-1").size(200 * MIB)]);
    let (options, kubo) = (publisher.options(now()), client(&publisher.node));
    let mut killed = false;
    let died = wait(publish::run(&options, Some(&kubo), &mut |at, done, _| {
        if at == phase && (done > 0 || phase == Phase::Check) && !killed {
            killed = true;
            publisher.node.kill();
        }
    }));
    assert!(matches!(died, Err(PublishError::Kubo(_))) && killed, "{died:?}");
    publisher.node.start_again();
    assert!(publisher.pins().contains(&first.root));
    let second = publisher.publish(now()).expect("a second try");
    assert_eq!((second.did, publisher.settled(now())), (Did::Published, vec![second.root]));
    assert_eq!(pins(&publisher).lines().count(), pinned, "a pin was left behind");
    let reader = Reader::of(&second);
    let done = reader.refresh(&publisher.node, now());
    assert_eq!(done.outcome, RefreshOutcome::Updated { sequence: second.sequence, ignored: vec![] }, "{done:?}");
}

#[test]
fn a_daemon_that_dies_in_the_middle_of_the_upload_loses_nothing_and_the_next_run_finishes() {
    survives_death_in(Phase::Upload);
}

#[test]
fn a_daemon_that_dies_before_the_name_is_switched_keeps_the_old_index_and_no_stray_pin() {
    survives_death_in(Phase::Check);
}

#[test]
fn an_expired_record_and_an_older_index_are_refused() {
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1")]);
    let first = publisher.publish(now()).expect("a publication");
    let reader = Reader::of(&first);
    let late = reader.refresh(&publisher.node, now() + LIFE + 60);
    assert!(
        matches!(late.outcome, RefreshOutcome::Refused(RefusalError::Record(RecordError::Expired { .. }))),
        "{late:?}"
    );

    // Signed by the right key with a higher record sequence, it leads back to an older index all the same.
    publisher.repo.add(&[Pkgbuild::new("b", "1-1")]);
    let second = publisher.publish(now()).expect("a second publication");
    reader.refresh(&publisher.node, now());
    let path = format!("/ipfs/{}", first.root);
    publisher.node.ipfs(&["name", "publish", "--key=tests", "--allow-offline", "--lifetime=1h", &path]).ok();
    let back = reader.refresh(&publisher.node, now());
    let refusal = RefusalError::Older { has: second.sequence, offered: first.sequence };
    assert_eq!(back.outcome, RefreshOutcome::Refused(refusal));
    // Publishing again repairs it: the daemon's record is no longer the one of the last run.
    let third = publisher.publish(now()).expect("a third publication");
    assert!(third.sequence > second.sequence);
    let done = reader.refresh(&publisher.node, now());
    assert_eq!(done.outcome, RefreshOutcome::Updated { sequence: third.sequence, ignored: vec![] });
}

#[test]
fn two_nodes_agree_through_a_restart_a_renewal_an_expired_record_and_a_replayed_one() {
    let (start, parts) = (now(), Parts::demand());
    let mut publisher = Publisher::with(&[Pkgbuild::new("a", "1-1")]);
    let first = publisher.publish(start).expect("a publication");
    let other = Kubo::naming(&parts, |_| {});
    other.connect(&publisher.node);
    let reader = Reader::of(&first);
    let updated = |report: &PublishReport| RefreshOutcome::Updated { sequence: report.sequence, ignored: vec![] };
    assert_eq!(reader.refresh(&other, start).outcome, updated(&first));
    // An attacker keeps all of it, to serve it again later.
    let name = first.name.expect("published under a name").to_string();
    let (record, car) = (publisher.tree.path().join("record"), publisher.tree.path().join("car"));
    let limit = Duration::from_secs(60);
    fs::write(&record, wait(client(&publisher.node).record(&name, limit)).expect("its record")).unwrap();
    let exported = publisher.node.call(&["dag", "export", &first.root.to_string()]).output().expect("its blocks");
    fs::write(&car, exported.stdout).unwrap();

    publisher.node.stop();
    publisher.node.start_again();
    other.connect(&publisher.node);
    assert_eq!(reader.refresh(&other, start).outcome, RefreshOutcome::Unchanged { sequence: first.sequence });
    let later = start + LIFE / 2 + 1;
    let second = publisher.publish(later).expect("a renewal");
    assert_eq!((second.did, second.new_files), (Did::Renewed, 0));
    let done = reader.refresh(&other, later);
    assert_eq!(done.outcome, updated(&second), "{done:?}");
    assert!(done.moved < 10_000, "a renewal moves no table: {done:?}");

    let late = reader.refresh(&other, later + LIFE + 60);
    assert!(
        matches!(late.outcome, RefreshOutcome::Refused(RefusalError::Record(RecordError::Expired { .. }))),
        "{late:?}"
    );
    let held = reader.state.held(&reader.source.name).expect("a state").expect("an index");
    assert_eq!(held.manifest.sequence, second.sequence, "what was proven stays");

    let thief = Kubo::naming(&parts, |_| {});
    thief.ipfs(&["dag", "import", car.to_str().expect("a plain path")]).ok();
    let key = format!("/ipns/{name}");
    thief.ipfs(&["routing", "put", "--allow-offline", &key, record.to_str().expect("a plain path")]).ok();
    let back = reader.refresh(&thief, later);
    let refusal = RefusalError::Older { has: second.sequence, offered: first.sequence };
    assert_eq!(back.outcome, RefreshOutcome::Refused(refusal), "{back:?}");
    // The memory refuses it: a reader that sees this publisher for the first time accepts it.
    assert_eq!(Reader::of(&first).refresh(&thief, later).outcome, updated(&first));
}

#[test]
fn a_reader_made_from_the_manual_page_alone_agrees_about_what_counts() {
    const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/verify_index.py");
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1"), Pkgbuild::new("large", "1:2.0-1").size(2 * MIB)]);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
    let secret = pair.sk.to_box(None).expect("a key file").into_string();
    let (start, minisign) = (now(), SecretKey::read(&secret, None).expect("our own key"));
    let key = minisign.public();
    let options =
        PublishOptions { minisign: Some(minisign), retention: remembering(None), ..publisher.options(start - 1) };
    published(&options, &client(&publisher.node)).expect("an index");
    publisher.repo.add(&[Pkgbuild::new("a", "2-1")]);
    let options = PublishOptions { now: start, ..options };
    let report = published(&options, &client(&publisher.node)).expect("an index");
    let (name, out) = (report.name.expect("published under a name"), publisher.tree.path().join("out"));

    let theirs = |now: u64| {
        let (name, key, now) = (name.to_string(), key.to_string(), now.to_string());
        run(command("python3").args([READER, &name, &key, &now]).arg(&out).arg("core"))
    };
    let grant = Grant { ipns: Some(name), minisign: Some(key.clone()), repos: vec![RepoName::new("core").unwrap()] };
    let ours = |now: u64| {
        let part = |name: &str| fs::read(out.join(name)).expect("a part of the index");
        let proof = |name: &str| Some(part(name));
        let offer = IndexOffer {
            manifest: part("pkgswarm.json"),
            minisig: proof("pkgswarm.json.minisig"),
            record: proof("pkgswarm.ipns-record"),
            root: proof("pkgswarm.root"),
        };
        accept(&grant, None, &offer, now)
    };
    let entries = ours(start).expect("an index").manifest.tables[0].entries;
    let arch = std::env::consts::ARCH;
    let archived = format!("archive core-{arch} 1 {}\n", start - 1);
    assert_eq!(theirs(start).ok().stdout, format!("{}\ncore-{arch} {entries}\n{archived}", report.sequence));
    assert_eq!((ours(start + 2 * LIFE).is_err(), theirs(start + 2 * LIFE).status.code()), (true, Some(1)));

    let table = format!("tables/core-{arch}.ndjson.zst");
    let archive = format!("archive/core-{arch}.ndjson.zst");
    for part in ["pkgswarm.json", "pkgswarm.json.minisig", "pkgswarm.ipns-record", "pkgswarm.root", &table, &archive] {
        let whole = fs::read(out.join(part)).expect("a part of the index");
        for at in (0..5).map(|n| n * (whole.len() - 1) / 4) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(out.join(part), changed).expect("a part of the index");
            // Tables are not among the inputs of the decision; their hashes are.
            let (ran, counts) = (theirs(start), part != table && part != archive && ours(start).is_ok());
            assert_eq!(ran.status.success(), counts, "byte {at} of {part}: {ran}");
            assert!(counts || ran.stderr.starts_with("refused: "), "byte {at} of {part}: {ran}");
        }
        fs::write(out.join(part), whole).expect("a part of the index");
    }
    theirs(start).ok();
}

/// Remembers superseded files for three months, with so many of their bytes.
fn remembering(bytes: Option<u64>) -> Option<RetentionRule> {
    Some(RetentionRule { age: Some(Duration::from_secs(90 * 86_400)), versions: None, bytes })
}

#[test]
fn superseded_bytes_stay_by_the_pin_of_the_tree_until_the_quota_lets_them_go() {
    let old = Pkgbuild::new("a", "1-1").size(3 * MIB);
    let publisher = Publisher::with(std::slice::from_ref(&old));
    let (start, kubo) = (now(), client(&publisher.node));
    let publish = |at: u64, bytes: Option<u64>| {
        let options = PublishOptions { retention: remembering(bytes), ..publisher.options(start + at) };
        published(&options, &kubo).expect("a publication")
    };
    publish(0, None);
    let bytes = fs::read(publisher.repo.dir().join(old.file_name())).expect("a package");
    let mut leaf = None;
    let built = build_blocks(&bytes[..], |cid, _| {
        leaf.get_or_insert(cid);
        Ok(())
    });
    let root = built.expect("a file").root;
    let leaf = leaf.expect("a leaf").to_string();

    publisher.repo.add(&[Pkgbuild::new("a", "2-1").size(2 * MIB)]);
    // What Kubo has is all that there is.
    let _ = fs::remove_file(publisher.repo.dir().join(old.file_name()));
    let second = publish(10, None);
    assert!(second.sent < 3 * MIB, "the old one is not sent again: {second:?}");
    // The former root is let go.
    assert_eq!(publish(11, None).did, Did::Unchanged);
    assert_eq!(publisher.pins(), [second.root]);
    publisher.node.ipfs(&["repo", "gc", "--quiet"]).ok();
    let at = |root: Cid| format!("/ipfs/{root}/archive/core/os/{}/{}", std::env::consts::ARCH, old.file_name());
    let file = wait(async {
        let answer = kubo.file(&at(second.root), Duration::from_secs(60)).await.expect("an answer");
        answer.bytes().await.expect("a file")
    });
    assert_eq!(Sha256::of(&file), Sha256::of(&bytes));

    let third = publish(20, Some(3 * MIB - 1));
    assert_eq!(publish(21, Some(3 * MIB - 1)).did, Did::Unchanged);
    publisher.node.ipfs(&["repo", "gc", "--quiet"]).ok();
    let has = |cid: &str| publisher.node.ipfs(&["--offline", "block", "stat", cid]).status.success();
    assert_eq!((has(&leaf), has(&root.to_string())), (false, true), "the root block stays");
    let listed = publisher.node.ipfs(&["ls", &format!("/ipfs/{}/archive", third.root)]).ok().stdout;
    assert!(listed.contains(".ndjson.zst") && !listed.contains("core/"), "{listed}");
}

#[test]
fn too_little_space_is_refused_before_anything_is_sent() {
    let small = Kubo::naming(&Parts::demand(), |config| config["Datastore"]["StorageMax"] = json!("2MB"));
    let publisher = Publisher::on(small, &[Pkgbuild::new("a", "1-1").size(4 * MIB)]);
    let kept = publisher.node.bytes_kept();
    let error = publisher.publish(now()).expect_err("too little space");
    assert!(matches!(error, PublishError::Space { need, free } if need > 4 * MIB && free < 2 * MIB), "{error}");
    assert_eq!(publisher.node.bytes_kept(), kept);
}

/// Returns the directory of upstream as of `time`: `lastupdate`, and the database with that date.
fn as_of(upstream: &Path, repo: &Repo, time: u64) {
    let lastupdate = upstream.join("lastupdate");
    fs::write(&lastupdate, format!("{time}\n")).expect("a file of ours");
    for path in [lastupdate, repo.dir().join("core.db")] {
        let file = fs::File::options().append(true).open(path).expect("a file of ours");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(time)).expect("a date");
    }
}

#[test]
fn mirrors_are_followed_into_kubo_and_the_bytes_go_once_it_has_them() {
    let parts = Parts::demand();
    let (node, tree, own) = (Kubo::start(&parts), scratch("upstream"), scratch("follower"));
    let signer = Rc::new(Signer::new());
    let keyring = own.path().join("keyring.gpg");
    let mut export = command("gpg");
    export.arg("--homedir").arg(signer.home()).args(["--batch", "--export", "--output"]).arg(&keyring);
    run(&mut export).ok();
    let repo = Repo::new(&parts, tree.path(), "core").signed(&signer);
    let [a, b, newer] = [("a", "1-1"), ("b", "1-1"), ("a", "2-1")].map(|(name, version)| Pkgbuild::new(name, version));
    let b_file = b.file_name();
    repo.add(&[a, b.size(3 * MIB)]);
    as_of(tree.path(), &repo, now() - 100);
    let mirrors = [Mirror::serve(tree.path()), Mirror::serve_at("127.0.0.2", tree.path())];
    fs::create_dir(own.path().join("publish.d")).expect("a directory of ours");
    let text = format!(
        "[sources]\nmirrors = [\"{}/$repo\", \"{}/$repo\"]\nrepos = \"core\"\nkeyring = \"{}\"\n",
        mirrors[0].url(),
        mirrors[1].url(),
        keyring.display()
    );
    fs::write(own.path().join("publish.d/arch.toml"), text).expect("a file of ours");
    let publish = || {
        let mut program = command(env!("CARGO_BIN_EXE_pkgswarm"));
        program.env("PKGSWARM_CONFIG_DIR", own.path()).env("PKGSWARM_STATE_DIR", own.path().join("state"));
        program.env("PKGSWARM_KUBO_API", node.api()).env("PKGSWARM_KUBO_GATEWAY", node.gateway());
        run(program.args(["publish", "arch", "--json"]))
    };
    let said = || -> serde_json::Value { serde_json::from_str(&publish().ok().stdout).expect("JSON") };
    let asked = || mirrors.iter().map(|mirror| mirror.requests_for(&b_file).len()).sum::<usize>();
    let bytes_here =
        || fs::read_dir(own.path().join("state-publish/arch/follow/packages")).expect("a directory").count();
    let pinned = || wait(client(&node).pinned_as("pkgswarm:arch")).expect("a list of pins");

    let first = said();
    assert_eq!((&first["did"], &first["new_files"]), (&json!("published"), &json!(5)), "{first}");
    // A mirror that is silent for long on a busy machine has the other one asked as well.
    let once = asked();
    assert!(once >= 1 && bytes_here() == 0, "Kubo has them, and read them back: asked {once} times");
    assert_eq!(said()["did"], "unchanged");

    // A signature of another package is refused by the real gpgv, and what was published stays.
    let root = pinned();
    let newer_file = repo.dir().join(newer.file_name());
    repo.add(&[newer]);
    let signature = |file: &Path| std::path::PathBuf::from(format!("{}.sig", file.display()));
    let right = fs::read(signature(&newer_file)).expect("a signature");
    fs::copy(signature(&repo.dir().join(&b_file)), signature(&newer_file)).expect("a copy");
    as_of(tree.path(), &repo, now() - 50);
    let refused = publish().failed();
    assert!(refused.stderr.contains("its signature does not count"), "{refused}");
    assert_eq!(pinned(), root);
    fs::write(signature(&newer_file), right).expect("a file of ours");
    let second = said();
    assert_eq!((&second["did"], &second["new_files"]), (&json!("published"), &json!(3)), "{second}");
    assert_eq!(said()["did"], "unchanged");
    assert_eq!((asked(), bytes_here(), pinned().len()), (once, 0, 1), "the other package did not come again");

    // What Kubo has lost comes again from the mirrors.
    let root = pinned()[0].to_string();
    node.ipfs(&["pin", "rm", &root]).ok();
    node.ipfs(&["repo", "gc", "--quiet"]).ok();
    let third = said();
    assert_eq!(third["did"], "published", "{third}");
    assert!(asked() > once && bytes_here() == 0);
    let path = format!("/ipfs/{}/core/os/{}/{b_file}", pinned()[0], std::env::consts::ARCH);
    assert_eq!(node.ipfs(&["files", "stat", "--format=<size>", &path]).ok().stdout.trim(), size_of(&repo, &b_file));
}

fn size_of(repo: &Repo, file: &str) -> String {
    fs::metadata(repo.dir().join(file)).expect("a file of ours").len().to_string()
}

#[test]
fn a_daemon_without_routing_publishes_with_a_warning_and_the_second_run_is_quiet() {
    let publisher = Publisher::on(Kubo::start(&Parts::demand()), &[Pkgbuild::new("a", "1-1")]);
    let first = publisher.publish(now()).expect("a publication");
    assert!(first.warnings[0].contains("Routing.Type"), "{first:?}");
    let second = publisher.publish(now()).expect("a second run");
    assert_eq!(second.did, Did::Unchanged);
}

#[test]
fn a_tree_of_thousands_of_files_has_the_root_that_kubo_gives_it() {
    let publisher = Publisher::with(&[]);
    let files = publisher.tree.path().join("many");
    fs::create_dir(&files).unwrap();
    many(&files, 5000, 0);
    let options = PublishOptions { dirs: vec![files.clone()], ..publisher.options(now()) };
    let began = Instant::now();
    let report =
        wait(publish::run(&options, Some(&client(&publisher.node)), &mut |_, _, _| {})).expect("a publication");
    println!("5000 files published and read back in {:?}", began.elapsed());
    assert_eq!(report.files, 5001);
    let profile = ["--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024"];
    let files = files.display().to_string();
    let words = [&["add", "--only-hash", "--recursive", "--quieter"], &profile[..], &[&files]].concat();
    let theirs = publisher.node.ipfs(&words).ok().stdout.trim().to_owned();
    let path = format!("/ipfs/{}/many/os/{}", report.root, std::env::consts::ARCH);
    let ours = publisher.node.ipfs(&["resolve", &path]).ok().stdout.trim().to_owned();
    assert_eq!(ours, format!("/ipfs/{theirs}"));
    let began = Instant::now();
    let again = wait(publish::run(&options, Some(&client(&publisher.node)), &mut |_, _, _| {})).expect("a second run");
    println!("second run in {:?}", began.elapsed());
    assert_eq!(again.did, Did::Unchanged);
}

#[test]
fn a_days_change_costs_a_refresh_its_part_of_the_table_also_when_the_publisher_was_started_anew() {
    let mut publisher = Publisher::with(&[]);
    let files = publisher.tree.path().join("core");
    fs::create_dir_all(&files).unwrap();
    let publish = |publisher: &Publisher| {
        let options = PublishOptions { dirs: vec![files.clone()], ..publisher.options(now()) };
        wait(publish::run(&options, Some(&client(&publisher.node)), &mut |_, _, _| {})).expect("a publication")
    };
    many(&files, 3000, 0);
    let first = publish(&publisher);
    let other = Kubo::naming(&Parts::demand(), |_| {});
    other.connect(&publisher.node);
    let reader = Reader::of(&first);
    let whole = reader.refresh(&other, now());
    assert!(matches!(whole.outcome, RefreshOutcome::Updated { .. }), "{whole:?}");
    let held = reader.state.held(&reader.source.name).expect("a state").expect("an index");
    let table = held.manifest.tables[0].packed.size;

    publisher.node.stop();
    publisher.node.start_again();
    other.connect(&publisher.node);
    many(&files, 3000, 60);
    let second = publish(&publisher);
    let done = reader.refresh(&other, now());
    assert_eq!(done.outcome, RefreshOutcome::Updated { sequence: second.sequence, ignored: vec![] }, "{done:?}");
    // A fiftieth has changed.
    assert!(done.moved <= table * 3 / 100 + 4000, "{} of {table} bytes: {done:?}", done.moved);
    assert_eq!(reader.finds("package-00059-1.0-2-any.pkg.tar.zst").map(|_| ()), Some(()));
    assert_eq!(reader.finds("package-00059-1.0-1-any.pkg.tar.zst"), None);
}

/// Makes a repo named as `dir`: small packages and their database, the first ones in a newer release; repo-add
/// would take minutes.
fn many(dir: &Path, count: usize, newer: usize) {
    let mut tar = tar::Builder::new(Vec::new());
    for n in 0..count {
        let release = if n < newer { 2 } else { 1 };
        let file = format!("package-{n:05}-1.0-{release}-any.pkg.tar.zst");
        let bytes = format!("content {release} of {n}");
        fs::write(dir.join(&file), &bytes).unwrap();
        let (size, sha256) = (bytes.len(), Sha256::of(bytes.as_bytes()));
        let desc = format!(
            "%FILENAME%\n{file}\n\n%NAME%\npackage-{n:05}\n\n%VERSION%\n1.0-{release}\n\n%CSIZE%\n{size}\n\n\
             %SHA256SUM%\n{sha256}\n\n%ARCH%\nany\n\n"
        );
        let mut header = tar::Header::new_ustar();
        header.set_size(desc.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("package-{n:05}-1.0-{release}/desc"), desc.as_bytes()).unwrap();
    }
    let repo = dir.file_name().expect("a named directory").to_str().expect("an ordinary name");
    fs::write(dir.join(format!("{repo}.db")), tar.into_inner().unwrap()).unwrap();
}

/// Writes down what clients ask of a daemon, and passes it on.
fn recorded(api: &str) -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    let to = api.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let calls = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = calls.clone();
    std::thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let (to, heard) = (to.clone(), heard.clone());
            std::thread::spawn(move || {
                let mut from: TcpStream = from;
                let mut to = TcpStream::connect(to).expect("a daemon");
                let (mut back, mut away) = (to.try_clone().expect("a socket"), from.try_clone().expect("a socket"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut away);
                    let _ = away.shutdown(std::net::Shutdown::Both);
                });
                let mut piece = [0; 65_536];
                while let Ok(got @ 1..) = from.read(&mut piece) {
                    let text = String::from_utf8_lossy(&piece[..got]);
                    if let Some((call, _)) = text.strip_prefix("POST /api/v0/").and_then(|rest| rest.split_once(' ')) {
                        heard.lock().unwrap().push(call.to_owned());
                    }
                    if to.write_all(&piece[..got]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (url, calls)
}

#[test]
fn trap_a_pinned_root_is_not_pinned_again_and_the_former_one_stays_until_the_next_run() {
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1")]);
    let (api, calls) = recorded(&publisher.node.api());
    let kubo = pkgswarm::net::kubo::Kubo { api: Some(api.parse().expect("a URL")), ..client(&publisher.node) };
    let publish = |time| {
        let report = published(&publisher.options(time), &kubo).expect("a run");
        (report, std::mem::take(&mut *calls.lock().unwrap()))
    };
    let of = |calls: &[String], call: &str| -> Vec<String> {
        calls.iter().filter(|found| found.starts_with(&format!("{call}?"))).cloned().collect()
    };
    let start = now();
    let (first, _) = publish(start);
    publisher.repo.add(&[Pkgbuild::new("b", "1-1")]);
    let (second, rolled) = publish(start);
    // The new one is added, once, and never by pin/update; the former one stays.
    let names = |root: Cid| move |call: &String| call.contains(&root.to_string());
    assert_eq!(of(&rolled, "pin/add").iter().filter(|call| names(second.root)(call)).count(), 1, "{rolled:?}");
    assert_eq!(of(&rolled, "pin/add").len(), 1, "the former root is pinned and is not pinned again: {rolled:?}");
    assert_eq!((of(&rolled, "pin/update").len(), of(&rolled, "pin/rm").len()), (0, 0), "{rolled:?}");
    let both = |one: Cid, other: Cid| std::collections::BTreeSet::from([one, other]);
    assert_eq!(publisher.pins().into_iter().collect::<std::collections::BTreeSet<_>>(), both(first.root, second.root));
    // A run with nothing new lets it go, and pins nothing.
    let (third, idle) = publish(start);
    assert_eq!((third.did, of(&idle, "pin/add").len()), (Did::Unchanged, 0), "{idle:?}");
    assert!(of(&idle, "pin/rm").iter().all(names(first.root)) && of(&idle, "pin/rm").len() == 1, "{idle:?}");
    assert_eq!(publisher.pins(), [second.root]);
    let (_, idle) = publish(start);
    assert!(of(&idle, "pin/add").is_empty() && of(&idle, "pin/rm").is_empty(), "{idle:?}");
    // A renewal rolls in the same way.
    let (renewed, rolled) = publish(start + LIFE / 2 + 1);
    assert_eq!((renewed.did, of(&rolled, "pin/add").len()), (Did::Renewed, 1), "{rolled:?}");
    assert_eq!(publisher.pins().len(), 2);
}

#[test]
fn what_we_caused_kubo_to_cache_is_removed_oldest_first_and_pinned_files_stay() {
    let node = Kubo::naming(&Parts::demand(), |_| {});
    let dir = scratch("cached");
    let empty = node.bytes_kept();
    let file = |n: u64| {
        let path = dir.path().join(n.to_string());
        noise_file(&path, 3 * MIB + n);
        let path = path.display().to_string();
        let add =
            ["add", "--quieter", "--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--pin=false", &path];
        node.ipfs(&add).ok().stdout.trim().parse::<Cid>().unwrap()
    };
    let files: Vec<Cid> = (0..4).map(file).collect();
    let ledger = Ledger::at(dir.path());
    for (n, cid) in files.iter().enumerate() {
        ledger.note(*cid, 3 * MIB, n as u64).unwrap();
    }
    // One pinned itself, one through a directory above it.
    node.ipfs(&["pin", "add", &files[0].to_string()]).ok();
    node.ipfs(&["files", "mkdir", "--cid-version=1", "/d"]).ok();
    node.ipfs(&["files", "cp", &format!("/ipfs/{}", files[1]), "/d/one"]).ok();
    let directory = node.ipfs(&["files", "stat", "--hash", "/d"]).ok().stdout.trim().to_owned();
    node.ipfs(&["pin", "add", &directory]).ok();

    let done = wait(ledger.trim(&client(&node), 3 * MIB, Duration::from_secs(60))).expect("a daemon");
    assert_eq!(done, Trimmed { files: 1, bytes: 3 * MIB, left: 3 * MIB });
    for (cid, is_there) in files.iter().zip([true, true, false, true]) {
        let block = wait(client(&node).local_block(*cid)).expect("a daemon");
        assert_eq!(block.is_some(), is_there, "{cid}");
    }
    let kept = node.bytes_kept() - empty;
    assert!((9 * MIB..10 * MIB).contains(&kept), "{kept} bytes are kept");
    assert_eq!(ledger.total().unwrap(), 9 * MIB);
}

#[test]
fn the_pins_of_a_real_kubo_keep_the_contract() {
    let node = Kubo::start(&Parts::demand());
    let dir = scratch("pinned");
    let roots = [1, 2, 3, 4, 5].map(|n| {
        let path = dir.path().join(n.to_string());
        noise_file(&path, 2 * MIB + n);
        let path = path.display().to_string();
        node.ipfs(&["add", "--quieter", "--cid-version=1", "--pin=false", &path]).ok().stdout.trim().parse().unwrap()
    });
    let kubo = client(&node);
    let target = |patience| KuboPins { kubo: &kubo, ledger: None, patience };
    let (patient, hasty) = (target(Duration::from_secs(60)), target(Duration::from_secs(1)));
    let names = || {
        let listing = node.ipfs(&["pin", "ls", "--type=recursive", "--names"]).ok().stdout;
        let pin = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let cid = words.next()?.parse().ok()?;
            Some((cid, words.nth(1).unwrap_or_default().to_owned()))
        };
        listing.lines().filter_map(pin).collect()
    };
    pins::keeps_the_contract(&pins::PinRig {
        target: &patient,
        hasty: &hasty,
        roots,
        absent: Cid::raw(Sha256::of(b"no daemon has this")),
        looks_on: false,
        pin_by_hand: &|cid, name| {
            node.ipfs(&["pin", "add", &format!("--name={name}"), &cid.to_string()]).ok();
        },
        all: &names,
    });
}

#[test]
fn a_pin_that_brings_its_blocks_leaves_no_pin_without_a_name() {
    let node = Kubo::start(&Parts::demand());
    let dir = scratch("brought");
    let path = dir.path().join("file");
    noise_file(&path, 3 * MIB);
    let built = build(fs::File::open(&path).unwrap()).unwrap();
    let kubo = client(&node);
    let ledger = Ledger::at(dir.path());
    let target = KuboPins { kubo: &kubo, ledger: Some(&ledger), patience: Duration::from_secs(60) };
    let write = move |put: &mut pkgswarm::pins::BlockSink| build_blocks(fs::File::open(&path)?, put).map(drop);
    let content = PinContent { size: built.size, is_claimed: false, write: std::sync::Arc::new(write) };
    let wanted = WantedPin { cid: built.root, label: String::new(), content: Some(content) };
    let listed = || node.ipfs(&["pin", "ls", "--type=recursive", "--names"]).ok().stdout;
    let before = listed().lines().count();
    assert_eq!(wait(target.add(&wanted, "ours 1")).expect("a pin"), Addition::Held);
    assert!(listed().contains(&format!("{} recursive ours 1", built.root)), "{}", listed());
    assert_eq!((listed().lines().count(), ledger.total().unwrap()), (before + 1, built.size));
    assert_eq!(wait(target.add(&wanted, "ours 1")).expect("a pin"), Addition::Held);
    node.ipfs(&["pin", "verify"]).ok();
}

#[test]
fn without_content_root_blocks_survive_the_collector_and_leaves_never_come() {
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1"), Pkgbuild::new("b", "1-1").size(3 * MIB)]);
    let file = |name: &str, version: &str| {
        let file = publisher.repo.dir().join(Pkgbuild::new(name, version).file_name());
        let (mut leaves, mut root) = (Vec::new(), None);
        let built = build_blocks(fs::File::open(file).expect("a package"), |cid, _| {
            leaves.extend(root.replace(cid));
            Ok(())
        });
        (built.expect("a package").root, leaves)
    };
    let publish = |content, kubo: &Kubo| {
        let options = PublishOptions { content, out: None, ..publisher.options(now()) };
        let run = || published(&options, &client(kubo)).expect("a publication");
        // The second run lets go of the former root.
        let report = run();
        run();
        report
    };
    let collect = || drop(publisher.node.ipfs(&["repo", "gc", "--quiet"]).ok());
    let has = |cid: Cid| wait(client(&publisher.node).local_block(cid)).expect("a daemon").is_some();
    let (b, leaves) = file("b", "1-1");
    assert!(leaves.len() >= 3);

    let kept = publisher.node.bytes_kept();
    let first = publish(ContentRule::None, &publisher.node);
    collect();
    assert!(has(b), "found under the CID of the file");
    assert!(!leaves.iter().any(|leaf| has(*leaf)) && !has(file("a", "1-1").0));
    assert!(publisher.node.bytes_kept() - kept < 100_000 && publisher.pins() == [first.root]);
    assert_eq!(publish(ContentRule::None, &publisher.node).did, Did::Unchanged);
    let listed =
        |path: &str| publisher.node.ipfs(&["ls", "--offline", &format!("/ipfs/{}{path}", publisher.pins()[0])]);
    let arch = std::env::consts::ARCH;
    assert!(!listed(&format!("/core/os/{arch}")).ok().stdout.contains(".pkg.tar"), "not in the plain tree");
    assert!(listed("/ipfs").ok().stdout.contains(&b.to_string()));
    // Another node has it from there, under the same CID.
    let other = Kubo::naming(&Parts::demand(), |_| {});
    other.connect(&publisher.node);
    other.ipfs(&["block", "get", "--timeout=30s", &b.to_string()]).ok();

    // A change: the former root goes, and the block that both have stays.
    publisher.repo.add(&[Pkgbuild::new("c", "1-1").size(2 * MIB)]);
    let second = publish(ContentRule::None, &publisher.node);
    collect();
    let (c, c_leaves) = file("c", "1-1");
    assert!(second.did == Did::Published && publisher.pins() == [second.root]);
    assert!(has(b) && has(c) && !has(first.root) && !c_leaves.iter().any(|leaf| has(*leaf)));

    // With content, and without again.
    let whole = publish(ContentRule::All, &publisher.node);
    collect();
    assert!(leaves.iter().chain(&c_leaves).all(|leaf| has(*leaf)) && publisher.pins() == [whole.root]);
    let newest = ContentRule::Recent { age: None, bytes: Some(1) };
    assert_eq!(publish(newest, &publisher.node).did, Did::Published, "one byte is no package");
    collect();
    assert!(has(b) && has(c) && !leaves.iter().chain(&c_leaves).any(|leaf| has(*leaf)));
    // What the daemon has lost comes again from here.
    publisher.node.ipfs(&["pin", "rm", &publisher.pins()[0].to_string()]).ok();
    collect();
    assert!(!has(b));
    publish(newest, &publisher.node);
    collect();
    assert!(has(b) && has(c));
}

#[test]
fn a_haiku_machine_gets_list_and_packages_from_real_kubos_when_no_server_is_left() {
    let path = "haikuports/master/x86_64/current";
    let (repository, tree) = (HaikuRepository::new(), scratch("haiku"));
    let listed = [hpkg("Haze++", 3000), hpkg("vision", 5 * MIB as usize + 3)];
    repository.write_to(&tree.path().join(path), &listed, now());
    let publisher = Publisher::with(&[Pkgbuild::new("a", "1-1")]);
    let dirs = vec![publisher.repo.dir().to_owned(), tree.path().to_owned()];
    let options =
        PublishOptions { dirs, list_key: Some(repository.key().parse().expect("a key")), ..publisher.options(now()) };
    let report = published(&options, &client(&publisher.node)).expect("a publication");
    // As Haiku's servers have it: through any gateway, the tree is a base URL for pkgman.
    for name in ["repo".to_owned(), "repo.minisig".to_owned(), format!("packages/{}", file_of(&listed[1].0))] {
        let at = format!("/ipfs/{}/{path}/{name}", report.root);
        let there = wait(async {
            let answer = client(&publisher.node).file(&at, Duration::from_secs(60)).await.expect("an answer");
            answer.bytes().await.expect("a file")
        });
        assert!(there == fs::read(tree.path().join(path).join(&name)).unwrap(), "{name}");
    }

    let other = Kubo::naming(&Parts::demand(), |_| {});
    other.connect(&publisher.node);
    let config =
        format!("[haiku.Ports]\nurls = [\"http://{}/{path}\"]\nminisign = \"{}\"\n", dead_address(), repository.key());
    let world = World::new()
        .config(&config)
        .set("PKGSWARM_KUBO_ENABLED", "true")
        .set("PKGSWARM_KUBO_API", &other.api())
        .set("PKGSWARM_KUBO_GATEWAY", &other.gateway());
    let name = report.name.expect("a name").to_string();
    let add = world.run(&["index", "add", "test", &name, "--repo", "haikuports-master", "--yes"]);
    assert_eq!(add.code(), 0, "{}", add.stderr);
    let (_world, endpoint) = Endpoint::of(world.run_by_user());
    let mut pkgman = Pkgman::at(endpoint.address(), path);
    pkgman.add_repo().expect("a list");
    for (package, bytes) in &listed {
        assert!(&pkgman.install(&file_of(package)).expect("a package") == bytes, "{}", endpoint.log());
    }
}
