//! A publisher of indexes, with keys of its own, that publishes any index a scenario needs.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::dag::{build, dir};
use pkgswarm::index::diff::Changes;
use pkgswarm::index::ipns::{IpnsRecord, Name};
use pkgswarm::index::manifest::{Diff, Manifest, Packed, Table};
use pkgswarm::index::minisign::SecretKey;
use pkgswarm::index::table::{Entry, TableWriter, pack};

use super::{FakeKubo, FakeMirror, Package};

/// The directory of an index's plain copy on a [`FakeMirror`].
pub const BELOW: &str = "index";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// A publisher's keys.
pub struct Keys {
    pub ipns: SigningKey,
    pub minisign: SecretKey,
}

/// One publication of the repo `core`, as bytes.
#[derive(Clone)]
pub struct Index {
    pub manifest: Manifest,
    pub plain: Vec<u8>,
    pub table: Vec<u8>,
    pub diffs: Vec<Vec<u8>>,
    pub bytes: Vec<u8>,
    pub minisig: Vec<u8>,
    pub root: Vec<u8>,
    pub record: Vec<u8>,
}

impl Keys {
    /// Makes one of 256 publishers; the minisign key is a new one every time.
    pub fn new(seed: u8) -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
        let text = pair.sk.to_box(None).expect("a key file").into_string();
        let minisign = SecretKey::read(&text, None).expect("our own key");
        Self { ipns: SigningKey::from_bytes(&[seed; 32]), minisign }
    }

    pub fn name(&self) -> String {
        Name::from_key(self.ipns.verifying_key().to_bytes()).to_string()
    }

    /// Returns the configuration that trusts this publisher for `core`; `url` has a plain copy.
    pub fn config(&self, url: Option<&FakeMirror>) -> String {
        let url = url.map(|mirror| format!("url = \"http://{}/{BELOW}\"\n", mirror.address())).unwrap_or_default();
        let (name, minisign) = (self.name(), self.minisign.public());
        format!("[index.arch]\nkey = \"{name}\"\nminisign = \"{minisign}\"\n{url}repos = [\"core\"]\n")
    }

    /// Makes an index of these packages with this sequence, valid for `life` seconds from then on.
    pub fn index(&self, packages: &[&Package], sequence: u64, life: u64) -> Index {
        let mut entries: Vec<Entry> = packages.iter().map(|package| entry(package)).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut writer = TableWriter::new(Vec::new());
        entries.iter().for_each(|entry| writer.add(entry).expect("sorted entries"));
        let plain = writer.finish();
        let table = pack(&plain);
        let built = build::build(&table[..]).expect("memory can be read");
        let listed = Table {
            repo: RepoName::new("core").expect("a repo"),
            arch: "x86_64".to_owned(),
            changed: sequence,
            entries: entries.len() as u64,
            sha256: Sha256::of(&plain),
            size: plain.len() as u64,
            packed: Packed { cid: built.root, sha256: built.sha256, size: built.size },
            diffs: Vec::new(),
            databases: Vec::new(),
            upstream: Vec::new(),
            lastupdate: None,
            system: None,
            content: None,
            archive: None,
        };
        let (publisher, created, expires) = ("tests".to_owned(), sequence, sequence + life);
        let manifest = Manifest {
            publisher,
            sequence,
            created,
            expires,
            tables: vec![listed],
            peers: Vec::new(),
            gateways: Vec::new(),
        };
        self.sign(Index {
            manifest,
            plain,
            table,
            diffs: Vec::new(),
            bytes: Vec::new(),
            minisig: Vec::new(),
            root: Vec::new(),
            record: Vec::new(),
        })
    }

    /// Returns the same index with the diff from `old`.
    pub fn after(&self, old: &Index, mut index: Index) -> Index {
        let changes = Changes::between(&old.plain[..], &index.plain[..]).expect("two tables");
        let diff = changes.pack().expect("a small diff");
        let from = old.manifest.tables[0].changed;
        index.manifest.tables[0].diffs = vec![Diff { from, size: diff.len() as u64, sha256: Sha256::of(&diff) }];
        index.diffs = vec![diff];
        // Small tables are smaller than any diff of them; the reader would rightly fetch those whole.
        self.sign(index)
    }

    /// Signs everything anew after the manifest was changed.
    pub fn sign(&self, index: Index) -> Index {
        let manifest = &index.manifest;
        let bytes = manifest.encode();
        let minisig = self.minisign.sign(&bytes, manifest.sequence, manifest.expires).into_bytes();
        self.record(Index { bytes, minisig, ..index }, true)
    }

    /// Makes root and record for the present bytes; without the signature in the root when `signed` is false.
    pub fn record(&self, index: Index, signed: bool) -> Index {
        let raw = |name: &str, bytes: &[u8]| {
            let cid = Cid::raw(Sha256::of(bytes));
            dir::DirectoryEntry { name: name.to_owned(), cid, dag_size: bytes.len() as u64 }
        };
        let mut entries = vec![raw("pkgswarm.json", &index.bytes)];
        entries.extend(signed.then(|| raw("pkgswarm.json.minisig", &index.minisig)));
        let mut root = Vec::new();
        let built = dir::build(&entries, |block| root = block.bytes).expect("a small directory");
        let Manifest { sequence, expires, .. } = index.manifest;
        let record = IpnsRecord { value: format!("/ipfs/{}", built.root), sequence, expires, ttl: 300 };
        Index { root, record: record.sign(&self.ipns), ..index }
    }
}

impl Index {
    pub fn sequence(&self) -> u64 {
        self.manifest.sequence
    }

    /// Puts the plain copy on a mirror, over what was there.
    pub fn publish_on(&self, mirror: &FakeMirror) {
        let put = |path: &str, bytes: &[u8]| mirror.publish(&format!("{BELOW}/{path}"), bytes);
        put("pkgswarm.json", &self.bytes);
        put("pkgswarm.json.minisig", &self.minisig);
        put("pkgswarm.root", &self.root);
        put("pkgswarm.ipns-record", &self.record);
        let table = &self.manifest.tables[0];
        put(&table.path(), &self.table);
        for (at, diff) in self.diffs.iter().enumerate() {
            put(&table.diff_path(at), diff);
        }
    }

    /// Puts blocks and record into a daemon.
    pub fn publish_in(&self, kubo: FakeKubo, publisher: &Keys) -> FakeKubo {
        let root = Cid::dag_pb(Sha256::of(&self.root)).to_string();
        let kubo = kubo.holding(&self.bytes).holding(&self.minisig).holding(&self.table);
        let kubo = self.diffs.iter().fold(kubo, |kubo, diff| kubo.holding(diff));
        kubo.holding_block(&root, &self.root).naming(&publisher.name(), &self.record)
    }
}

fn entry(package: &Package) -> Entry {
    let built = build::build(&package.bytes[..]).expect("memory can be read");
    let name = FileName::new(package.file_name()).expect("a file name");
    Entry { name, size: built.size, sha256: built.sha256, cid: built.root, signature: None }
}
