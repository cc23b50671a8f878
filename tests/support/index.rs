//! An index as stored by a refresh in the state directory: proven then, used now.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::config::IndexConfig;
use pkgswarm::config::written::Written;
use pkgswarm::dag::build::build;
use pkgswarm::index::archive::{self, ArchivedEntry};
use pkgswarm::index::in_use;
use pkgswarm::index::ipns::Name;
use pkgswarm::index::manifest::{ArchiveTable, Database, Manifest, Packed, Table, TableContent};
use pkgswarm::index::state::{IndexState, SeenSequence, TableBytes};
use pkgswarm::index::table::{Entry, TableWriter, pack};

use super::mirror::FakeMirror;
use super::repo::Package;
use super::world::{World, listing};

/// An index of the repo `core`, an hour old, that is valid for two days.
pub struct FakeIndex {
    name: String,
    entries: Vec<Entry>,
    databases: Vec<Database>,
    content: Option<TableContent>,
    expires_in: i64,
    age: u64,
    archive: Option<ArchiveTable>,
    url: Option<String>,
}

impl FakeIndex {
    pub fn called(name: &str) -> Self {
        let (entries, databases, archive, url) = (Vec::new(), Vec::new(), None, None);
        Self { name: name.into(), entries, databases, content: None, expires_in: 172_800, age: 3600, archive, url }
    }

    /// Lists this package as it is.
    pub fn listing(self, package: &Package) -> Self {
        self.saying(&package.file_name(), &package.bytes)
    }

    /// Lists a file of this name with these bytes.
    pub fn saying(mut self, name: &str, bytes: &[u8]) -> Self {
        let built = build(bytes).expect("memory can be read");
        let name = FileName::new(name).expect("a plain name");
        let (size, sha256) = (built.size, built.sha256);
        self.entries.push(Entry { name, size, sha256, cid: built.root, signature: None });
        self
    }

    /// Gives the file that was listed last this signature.
    pub fn signed(mut self, signature: &[u8]) -> Self {
        let listed = (signature.len() as u64, Sha256::of(signature));
        self.entries.last_mut().expect("a file was listed").signature = Some(listed);
        self
    }

    /// Names another root for the file that was listed last.
    pub fn under(mut self, root: Cid) -> Self {
        self.entries.last_mut().expect("a file was listed").cid = root;
        self
    }

    /// Lists a database, or a signature of one, with its date at the publisher.
    pub fn with_database(mut self, name: &str, bytes: &[u8], modified: u64) -> Self {
        let built = build(bytes).expect("memory can be read");
        let name = FileName::new(name).expect("a plain name");
        let cid = (built.size > 1 << 20).then_some(built.root);
        let (size, sha256) = (built.size, built.sha256);
        self.databases.push(Database { name, size, sha256, cid, modified: Some(modified) });
        self
    }

    /// Has its publisher say what it has of the packages.
    pub fn having(mut self, content: TableContent) -> Self {
        self.content = Some(content);
        self
    }

    /// Makes it so many seconds old, with so many left.
    pub fn aged(mut self, age: u64, left: i64) -> Self {
        (self.age, self.expires_in) = (age, left);
        self
    }

    /// Remembers since `since` which packages were there, from and until when; `copy` serves the archive.
    pub fn remembering(self, copy: &FakeMirror, since: u64, gone: &[(&Package, Option<u64>, u64)]) -> Self {
        let entry = |package: &Package| {
            let built = build(&package.bytes[..]).expect("memory can be read");
            let name = FileName::new(package.file_name()).expect("a plain name");
            Entry { name, size: built.size, sha256: built.sha256, cid: built.root, signature: None }
        };
        let gone = gone.iter().map(|(package, from, until)| ArchivedEntry {
            entry: entry(package),
            from: *from,
            until: *until,
        });
        let mut gone: Vec<ArchivedEntry> = gone.collect();
        gone.sort_by(|a, b| (&a.entry.name, a.until).cmp(&(&b.entry.name, b.until)));
        self.remembering_lines(copy, since, &archive::write(&gone).expect("sorted lines"))
    }

    /// Names these lines as its archive, whatever they are; `copy` serves it.
    pub fn remembering_lines(mut self, copy: &FakeMirror, since: u64, lines: &[u8]) -> Self {
        let packed = pack(lines);
        let whole = build(&packed[..]).expect("memory can be read");
        copy.publish("index/archive/core-x86_64.ndjson.zst", &packed);
        self.archive = Some(ArchiveTable {
            since,
            entries: lines.iter().filter(|byte| **byte == b'\n').count() as u64,
            sha256: Sha256::of(lines),
            size: lines.len() as u64,
            packed: Packed { cid: whole.root, sha256: whole.sha256, size: whole.size },
        });
        self.url = Some(format!("http://{}/index", copy.address()));
        self
    }

    /// Makes it expired.
    pub fn expired(mut self) -> Self {
        self.expires_in = -60;
        self
    }

    /// Installs it in this world, in place of an earlier one of its name.
    pub fn in_use(mut self, world: World) -> World {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        self.entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut writer = TableWriter::new(Vec::new());
        self.entries.iter().for_each(|entry| writer.add(entry).expect("memory"));
        let plain = writer.finish();
        let packed = pack(&plain);
        let whole = build(&packed[..]).expect("memory can be read");
        let repo = RepoName::new("core").expect("a plain name");
        let table = Table {
            repo: repo.clone(),
            arch: "x86_64".to_owned(),
            changed: now - self.age,
            entries: self.entries.len() as u64,
            sha256: Sha256::of(&plain),
            size: plain.len() as u64,
            packed: Packed { cid: whole.root, sha256: whole.sha256, size: whole.size },
            diffs: Vec::new(),
            databases: self.databases.clone(),
            upstream: Vec::new(),
            lastupdate: None,
            system: None,
            content: self.content,
            archive: self.archive,
        };
        let (created, expires) = (now - self.age, now.saturating_add_signed(self.expires_in));
        let manifest = Manifest {
            publisher: "a publisher".to_owned(),
            sequence: created,
            created: created.min(expires),
            expires,
            tables: vec![table],
            peers: Vec::new(),
            gateways: Vec::new(),
        };
        let key = Name::from_key(Sha256::of(self.name.as_bytes()).to_string().as_bytes()[..32].try_into().unwrap());
        let key = key.to_string();
        let config =
            IndexConfig { name: self.name.clone(), key: Some(Written::read(key.as_str())), ..IndexConfig::default() };
        let (bytes, name) = (manifest.encode(), in_use::copy_name(&config));
        let state = IndexState::at(world.path("state/index"));
        state.keep_table(&name, &manifest.tables[0], TableBytes::Packed(&packed)).expect("a state directory");
        state.hold(&name, &bytes, &[], &[repo]).expect("a state directory");
        let seen = SeenSequence { sequence: created, manifest: Sha256::of(&bytes), fetched: now, expires };
        state.note(&[format!("ipns:{key}")], &seen).expect("a state directory");
        let parts = world.path("config/config.d");
        fs::create_dir_all(&parts).expect("our directory");
        let url = self.url.map(|url| format!("url = \"{url}\"\n")).unwrap_or_default();
        let text = format!("[index.{}]\nkey = \"{key}\"\nrepos = [\"core\"]\n{url}", self.name);
        fs::write(parts.join(format!("index-{}.toml", self.name)), text).expect("our directory");
        world
    }
}

/// Returns the directory of this index's copy in this world, once there is one.
pub fn copy_of_index(world: &World, name: &str) -> PathBuf {
    let all = world.path("state/index/index");
    let own = listing(&all).into_iter().find(|found| found.split('.').next() == Some(name));
    all.join(own.unwrap_or_else(|| name.to_owned()))
}
