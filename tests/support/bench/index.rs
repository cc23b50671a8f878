//! Cases about an index as large as `extra`: finding one name in it, and a refresh after a day.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::base::size::OWN_BLOCK_MOST;
use pkgswarm::index::diff::Changes;
use pkgswarm::index::manifest::{Diff, Manifest, Packed, Table};
use pkgswarm::index::minisign::SecretKey;
use pkgswarm::index::state::{IndexState, TableBytes};
use pkgswarm::index::table::{Entry, TableWriter, pack};
use pkgswarm::lists::catalogue::Catalogue;

use super::measure::{BenchRun, Figures, Outcome};
use crate::real::{Mirror, Swarm, scratch};

/// The argument with which this program does one look-up and prints its microseconds.
pub const LOOKUP: &str = "--one-lookup";

/// Makes a table of packages with signatures, a quarter above 1 MiB; every day a new release of another fiftieth.
fn table(count: u64, day: u64) -> Vec<u8> {
    let mut entries: Vec<Entry> = (0..count)
        .map(|n| {
            let word = Sha256::of(&n.to_le_bytes()).to_string();
            let release = 1 + (0..day).filter(|day| (n + day) % 50 == 0).count();
            let name = format!("{}-{}.{}-{release}-x86_64.pkg.tar.zst", &word[..6 + n as usize % 9], n % 40, n % 17);
            let sha256 = Sha256::of(name.as_bytes());
            let size = if n % 4 == 0 { OWN_BLOCK_MOST + 1 + n * 7919 } else { 9000 + n * 61 };
            let cid = if size > OWN_BLOCK_MOST { Cid::dag_pb(Sha256::of(&sha256.0)) } else { Cid::raw(sha256) };
            let signature = Some((310, Sha256::of(&[&sha256.0[..], b"s"].concat())));
            Entry { name: FileName::new(name).expect("a file name"), size, sha256, cid, signature }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut writer = TableWriter::new(Vec::new());
    entries.iter().for_each(|entry| writer.add(entry).expect("sorted entries"));
    writer.finish()
}

/// Makes a manifest of `core` with this table, its compressed bytes, and the diff from `before`, if any.
fn manifest(plain: &[u8], count: u64, sequence: u64, before: Option<(u64, &[u8])>) -> (Manifest, Vec<u8>, Vec<u8>) {
    let packed = pack(plain);
    let built = pkgswarm::dag::build::build(&packed[..]).expect("memory can be read");
    let diff = before.map(|(_, old)| Changes::between(old, plain).expect("two tables").pack().expect("a small diff"));
    let diff = diff.unwrap_or_default();
    let diffs = before.map(|(from, _)| Diff { from, size: diff.len() as u64, sha256: Sha256::of(&diff) });
    let table = Table {
        repo: RepoName::new("core").expect("a repo"),
        arch: "x86_64".to_owned(),
        changed: sequence,
        entries: count,
        sha256: Sha256::of(plain),
        size: plain.len() as u64,
        packed: Packed { cid: built.root, sha256: built.sha256, size: built.size },
        diffs: diffs.into_iter().collect(),
        databases: Vec::new(),
        upstream: Vec::new(),
        lastupdate: None,
        system: None,
        content: None,
        archive: None,
    };
    let (publisher, created, expires) = ("bench".to_owned(), sequence, sequence + 172_800);
    (
        Manifest {
            publisher,
            sequence,
            created,
            expires,
            tables: vec![table],
            peers: Vec::new(),
            gateways: Vec::new(),
        },
        packed,
        diff,
    )
}

/// Measures milliseconds to find one of 20,000 names in a fresh process, against grep in the uncompressed table.
pub fn lookup(run: &BenchRun) -> Vec<Outcome> {
    const COUNT: u64 = 20_000;
    let dir = scratch("lookup");
    let plain = table(COUNT, 0);
    let (state, index, core) = (IndexState::at(dir.path()), name("bench"), RepoName::new("core").expect("a repo"));
    let (manifest, packed, _) = manifest(&plain, COUNT, 1_790_000_000, None);
    state.keep_table(&index, &manifest.tables[0], TableBytes::Packed(&packed)).expect("a table");
    state.hold(&index, &manifest.encode(), &[], &[core]).expect("a copy");
    let wanted = String::from_utf8(plain.clone()).expect("text");
    let wanted =
        wanted.lines().nth(COUNT as usize / 3).and_then(|line| line.split('"').nth(3)).expect("a name").to_owned();
    let file = dir.path().join("table");
    fs::write(&file, &plain).expect("our directory");
    let own = std::env::current_exe().expect("this program");
    let ours = || {
        let mut command = Command::new(&own);
        let said = command.arg(LOOKUP).arg(dir.path()).arg(&wanted).output().expect("a child").stdout;
        let micros: f64 = String::from_utf8_lossy(&said).trim().parse().expect("microseconds");
        micros / 1e3
    };
    let theirs = || {
        let start = Instant::now();
        let found = Command::new("grep").args(["-m1", "-F", &wanted]).arg(&file).output().expect("grep");
        assert!(found.status.success());
        start.elapsed().as_secs_f64() * 1e3
    };
    run.times(20).pairs(ours, theirs)
}

/// Does the child's work: like a download, one line of expiry and a search of the compiled table.
pub fn one_lookup(state: &str, wanted: &str) {
    let start = Instant::now();
    let (state, index) = (IndexState::at(Path::new(state)), name("bench"));
    assert!(state.expires(&index).is_ok_and(|at| at.is_some()));
    let path = state.catalogue_path(&index, &RepoName::new("core").expect("a repo"), "x86_64");
    let catalogue = Catalogue::open(&path).expect("a compiled table").expect("it is there");
    let found = catalogue.find(&FileName::new(wanted).expect("a file name")).expect("a sound table");
    assert!(found.is_some());
    println!("{}", start.elapsed().as_nanos() as f64 / 1e3);
}

/// Measures kilobytes of a refresh after 2 % of 15,000 entries changed, against the whole compressed table.
pub fn refresh() -> Vec<Outcome> {
    const COUNT: u64 = 15_000;
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
    let secret = pair.sk.to_box(None).expect("a key file").into_string();
    let secret = SecretKey::read(&secret, None).expect("our own key");
    let tree = scratch("index");
    let mirror = Mirror::serve(tree.path());
    let write = |manifest: &Manifest, packed: &[u8], diff: &[u8]| {
        let put = |path: &str, bytes: &[u8]| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("our directory");
            fs::write(path, bytes).expect("our directory");
        };
        let (bytes, table) = (manifest.encode(), &manifest.tables[0]);
        put("pkgswarm.json.minisig", secret.sign(&bytes, manifest.sequence, manifest.expires).as_bytes());
        put("pkgswarm.json", &bytes);
        put(&table.path(), packed);
        if !diff.is_empty() {
            put(&table.diff_path(0), diff);
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let (first, second) = (table(COUNT, 1), table(COUNT, 2));
    let (old, packed, diff) = manifest(&first, COUNT, now - 90_000, None);
    write(&old, &packed, &diff);
    let key = secret.public();
    let swarm = Swarm::install()
        .config(&format!("[index.bench]\nminisign = \"{key}\"\nurl = \"{}\"\nrepos = [\"core\"]\n", mirror.url()));
    swarm.run(&["index", "refresh"]).ok();
    let (new, packed, diff) = manifest(&second, COUNT, now - 3600, Some((now - 90_000, &first)));
    write(&new, &packed, &diff);
    let said = swarm.run(&["index", "refresh", "--json"]).ok().stdout;
    let said: serde_json::Value = serde_json::from_str(&said).expect("an object");
    assert_eq!(said["outcome"], "updated", "{said}");
    let ours = said["moved"].as_f64().expect("a number") / 1e3;
    let theirs = packed.len() as f64 / 1e3;
    vec![Ok(Figures::once(ours, theirs))]
}

fn name(text: &str) -> FileName {
    FileName::new(text).expect("a plain name")
}
