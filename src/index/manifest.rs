//! `pkgswarm.json`: the one signed file of an index, from which everything else hangs by hash.

use serde::{Deserialize, Serialize};

use super::table::{self, ONE_BLOCK, PLAIN_MOST};
use super::time::{LAST, span};
use crate::cid::Cid;
use crate::digest::Sha256;
use crate::name::{FileName, RepoName, shown};

/// The format that is written and the only one that is read.
pub const FORMAT: u32 = 1;
/// The way CIDs are made (IPIP-499): CIDv1, 1 MiB chunks, raw leaves, 1024 links.
pub const PROFILE: &str = "unixfs-v1-2025";
/// Most bytes of a manifest: a few hundred for each table, and a table for each repo.
pub const MANIFEST_MOST: usize = 1 << 20;
/// How far a sequence may be ahead of this machine's clock, in seconds: one day.
pub const AHEAD_MOST: u64 = 86_400;

const TABLES_MOST: usize = 256;
const DATABASES_MOST: usize = 16;
const UPSTREAM_MOST: usize = 64;
const URL_MOST: usize = 2048;
const PUBLISHER_MOST: usize = 64;
const CRITICAL_MOST: usize = 64;
/// Most bytes of a compressed table.
pub const TABLE_MOST: u64 = 64 << 20;
/// Most diffs of a table.
pub const DIFFS_MOST: usize = 64;
/// Most bytes of a compressed diff: it is always one raw block, so that its CID follows from its sha256 (1 MiB).
pub const DIFF_MOST: u64 = ONE_BLOCK;
/// Most lines of a table; Arch's largest repo has about 15,000.
pub const ENTRIES_MOST: u64 = 1_000_000;

/// Fields that may be named as critical because they are understood here.
const KNOWN: &[&str] = &["publisher", "sequence", "created", "expires", "profile", "tables"];
const KNOWN_IN_TABLES: &[&str] =
    &["repo", "arch", "changed", "entries", "sha256", "size", "packed", "diffs", "databases", "upstream"];

/// A manifest whose form was checked. Whether it is signed and fresh is for `index::accept`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Who says so, for people; at most 64 bytes without control characters.
    pub publisher: String,
    /// Unix seconds; grows with every change.
    pub sequence: u64,
    /// Unix seconds.
    pub created: u64,
    /// Unix seconds after which nothing in it counts.
    pub expires: u64,
    /// One for each repo and architecture.
    pub tables: Vec<Table>,
}

/// Where the entries of one repo are, and which databases they were made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The repo it speaks for.
    pub repo: RepoName,
    /// `x86_64`, `aarch64`, …: 1 to 32 letters, digits and underscores.
    pub arch: String,
    /// Sequence of the first manifest with exactly this table: where its last diff leads.
    pub changed: u64,
    /// Lines of the table.
    pub entries: u64,
    /// Of the uncompressed table.
    pub sha256: Sha256,
    /// Bytes of the uncompressed table.
    pub size: u64,
    /// The table as it is fetched whole.
    pub packed: Packed,
    /// Ways to it from earlier ones, oldest first. Each leads to where the next one begins, the last one to `changed`.
    pub diffs: Vec<Diff>,
    /// The database files of this repo as published in the plain tree.
    pub databases: Vec<Database>,
    /// Where the files come from: `Server` URLs.
    pub upstream: Vec<String>,
}

/// A table compressed with zstd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packed {
    /// Of the compressed bytes as `unixfs-v1-2025`.
    pub cid: Cid,
    /// Of the compressed bytes.
    pub sha256: Sha256,
    /// Compressed bytes.
    pub size: u64,
}

/// What changed in a table from one sequence on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Diff {
    /// The `changed` of the table that it applies to.
    pub from: u64,
    /// Compressed bytes; at most [`DIFF_MOST`].
    pub size: u64,
    /// Of the compressed bytes.
    pub sha256: Sha256,
}

impl Diff {
    /// Its one block.
    pub fn cid(&self) -> Cid {
        Cid::raw(self.sha256)
    }
}

/// A sync database or its signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Database {
    /// `core.db`, `core.files`, `core.db.sig`, …
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// Of the file as published.
    pub sha256: Sha256,
    /// Of the file as `unixfs-v1-2025`; up to 1 MiB it follows from the sha256 and is left out.
    pub cid: Option<Cid>,
    /// Date of the file at the publisher, Unix seconds: when the repo was in this state.
    pub modified: Option<u64>,
}

impl Database {
    /// Under which it can be asked for; `None` when it is larger than 1 MiB and the publisher did not say.
    pub fn cid(&self) -> Option<Cid> {
        if self.size <= ONE_BLOCK { Some(Cid::raw(self.sha256)) } else { self.cid }
    }
}

/// Why a manifest is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadManifest {
    /// More than [`MANIFEST_MOST`] bytes.
    #[error("the manifest has {0} bytes, at most {MANIFEST_MOST} are allowed")]
    TooBig(usize),
    /// Not JSON, or a field is missing or of the wrong kind.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
    /// Made for another reader. A newer pkgswarm may read it.
    #[error("the manifest has format {0}, this pkgswarm reads format {FORMAT}: a newer pkgswarm may be needed")]
    Format(u64),
    /// The publisher says it must not be read without understanding this field. A newer pkgswarm may.
    #[error("the manifest requires {0:?}, which this pkgswarm does not know: a newer pkgswarm may be needed")]
    Critical(String),
    /// CIDs are made in another way than ours.
    #[error("the manifest uses the CID profile {0:?}, only {PROFILE:?} is supported")]
    Profile(String),
    /// A value outside its limits.
    #[error("the manifest's {0} is outside its limits")]
    Limit(&'static str),
    /// Its time is over. Refreshing later helps once the publisher renewed it.
    #[error("the index expired {} ago", span(now.saturating_sub(*expired)))]
    Expired {
        /// Unix seconds.
        expired: u64,
        /// Unix seconds.
        now: u64,
    },
    /// From the future: the publisher's clock or ours is wrong.
    #[error("the index is dated {} ahead of this machine's clock; check both clocks", span(sequence.saturating_sub(*now)))]
    Future {
        /// Unix seconds.
        sequence: u64,
        /// Unix seconds.
        now: u64,
    },
}

impl Manifest {
    /// Reads a manifest. Fields that are not known are skipped unless `critical` names them.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadManifest> {
        if bytes.len() > MANIFEST_MOST {
            return Err(BadManifest::TooBig(bytes.len()));
        }
        let malformed = |e: serde_json::Error| BadManifest::Malformed(shown(&e.to_string()).into_owned());
        // The head first: a later format may give every other field another shape.
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.pkgswarm != u64::from(FORMAT) {
            return Err(BadManifest::Format(head.pkgswarm));
        }
        within(head.critical.len() <= CRITICAL_MOST, "list of critical fields")?;
        for field in &head.critical {
            let known = match field.split_once('.') {
                Some(("tables", inner)) => KNOWN_IN_TABLES.contains(&inner),
                Some(_) => false,
                None => KNOWN.contains(&field.as_str()),
            };
            if !known {
                return Err(BadManifest::Critical(shown(field).into_owned()));
            }
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(malformed)?;
        if wire.profile != PROFILE {
            return Err(BadManifest::Profile(shown(&wire.profile).into_owned()));
        }
        within(!wire.publisher.is_empty() && wire.publisher.len() <= PUBLISHER_MOST, "publisher's name")?;
        within(!wire.publisher.chars().any(char::is_control), "publisher's name")?;
        within(wire.created <= wire.expires, "time of creation")?;
        within(wire.tables.len() <= TABLES_MOST, "number of tables")?;
        let tables = wire.tables.into_iter().map(Table::check).collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<_> = tables.iter().map(|t| (&t.repo, &t.arch)).collect();
        keys.sort();
        within(keys.windows(2).all(|two| two[0] != two[1]), "list of tables (one repo is there twice)")?;
        let Wire { publisher, sequence, created, expires, .. } = wire;
        Ok(Self { publisher, sequence, created, expires, tables })
    }

    /// Writes the manifest; the same manifest always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            pkgswarm: FORMAT,
            critical: Vec::new(),
            publisher: self.publisher.clone(),
            sequence: self.sequence,
            created: self.created,
            expires: self.expires,
            profile: PROFILE.to_owned(),
            tables: self.tables.iter().map(Table::to_wire).collect(),
        };
        // Without blanks: every refresh after a change moves it.
        let mut bytes = serde_json::to_vec(&wire).expect("numbers and texts always make JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Whether it counts at the time `now` (Unix seconds).
    pub fn check_time(&self, now: u64) -> Result<(), BadManifest> {
        if self.sequence.max(self.created) > now.saturating_add(AHEAD_MOST) {
            return Err(BadManifest::Future { sequence: self.sequence.max(self.created), now });
        }
        if self.expires < now {
            return Err(BadManifest::Expired { expired: self.expires, now });
        }
        Ok(())
    }
}

impl Table {
    /// Its path below the root of the index.
    pub fn path(&self) -> String {
        format!("tables/{}-{}.ndjson.zst", self.repo, self.arch)
    }

    /// The directory of its diffs below the root of the index.
    pub fn diff_dir(&self) -> String {
        format!("diffs/{}-{}", self.repo, self.arch)
    }

    /// The path of its diff number `at` below the root of the index.
    ///
    /// # Panics
    /// When there are no so many diffs.
    pub fn diff_path(&self, at: usize) -> String {
        let to = self.diffs.get(at + 1).map_or(self.changed, |next| next.from);
        format!("{}/{}-{to}.ndjson.zst", self.diff_dir(), self.diffs[at].from)
    }

    /// The diffs that lead here from the table that was `changed` at this sequence, with their paths; none when it is
    /// too old, or when they are no smaller than the whole table.
    pub fn way_from(&self, changed: u64) -> Option<Vec<(String, Diff)>> {
        let first = self.diffs.iter().position(|diff| diff.from == changed)?;
        let way: Vec<_> = (first..self.diffs.len()).map(|at| (self.diff_path(at), self.diffs[at])).collect();
        (way.iter().map(|(_, diff)| diff.size).sum::<u64>() < self.packed.size).then_some(way)
    }

    fn check(wire: WireTable) -> Result<Self, BadManifest> {
        let repo = RepoName::new(wire.repo).map_err(|_| BadManifest::Limit("repo name"))?;
        within(is_arch(&wire.arch), "architecture")?;
        within(wire.size <= PLAIN_MOST && wire.packed.size <= TABLE_MOST, "table size")?;
        let packed = wire.packed.check()?;
        within(wire.diffs.len() <= DIFFS_MOST, "number of diffs")?;
        within(wire.diffs.iter().all(|diff| diff.size <= DIFF_MOST), "size of a diff")?;
        // Rising: a circle would lead nowhere.
        let ends = wire.diffs.iter().map(|diff| diff.from).chain([wire.changed]).collect::<Vec<_>>();
        within(ends.windows(2).all(|two| two[0] < two[1]), "order of diffs")?;
        within(wire.entries <= ENTRIES_MOST, "number of entries")?;
        within(wire.databases.len() <= DATABASES_MOST, "number of databases")?;
        within(wire.upstream.len() <= UPSTREAM_MOST, "number of upstream servers")?;
        within(
            wire.upstream.iter().all(|u| u.len() <= URL_MOST && !u.chars().any(char::is_control)),
            "upstream server",
        )?;
        let databases = wire.databases.into_iter().map(|database| {
            let name = FileName::new(database.name).map_err(|_| BadManifest::Limit("database name"))?;
            // A publisher must not describe `core.db` under the cover of another repo.
            within(name.repo().as_ref() == Some(&repo), "database name")?;
            let WireDatabase { size, sha256, cid, modified, .. } = database;
            // It becomes the date of a file, and later that of a question to a mirror.
            within(modified.is_none_or(|at| at <= LAST), "date of a database")?;
            Ok(Database { name, size, sha256, cid, modified })
        });
        let databases = databases.collect::<Result<Vec<_>, BadManifest>>()?;
        let WireTable { arch, changed, entries, sha256, size, diffs, upstream, .. } = wire;
        Ok(Self { repo, arch, changed, entries, sha256, size, packed, diffs, databases, upstream })
    }

    fn to_wire(&self) -> WireTable {
        let databases = self.databases.iter().map(|database| WireDatabase {
            name: database.name.to_string(),
            size: database.size,
            sha256: database.sha256,
            cid: database.cid,
            modified: database.modified,
        });
        WireTable {
            repo: self.repo.to_string(),
            arch: self.arch.clone(),
            changed: self.changed,
            entries: self.entries,
            sha256: self.sha256,
            size: self.size,
            packed: WirePacked {
                sha256: self.packed.sha256,
                size: self.packed.size,
                cid: (self.packed.size > ONE_BLOCK).then_some(self.packed.cid),
            },
            diffs: self.diffs.clone(),
            databases: databases.collect(),
            upstream: self.upstream.clone(),
        }
    }
}

/// Whether `text` can be an architecture: it becomes part of a file name.
pub fn is_arch(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn within(holds: bool, what: &'static str) -> Result<(), BadManifest> {
    if holds { Ok(()) } else { Err(BadManifest::Limit(what)) }
}

#[derive(Deserialize)]
struct Head {
    pkgswarm: u64,
    #[serde(default)]
    critical: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    pkgswarm: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    critical: Vec<String>,
    publisher: String,
    sequence: u64,
    created: u64,
    expires: u64,
    profile: String,
    tables: Vec<WireTable>,
}

#[derive(Serialize, Deserialize)]
struct WireTable {
    repo: String,
    arch: String,
    changed: u64,
    entries: u64,
    sha256: Sha256,
    size: u64,
    packed: WirePacked,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    diffs: Vec<Diff>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    databases: Vec<WireDatabase>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    upstream: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct WirePacked {
    sha256: Sha256,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<Cid>,
}

impl WirePacked {
    fn check(self) -> Result<Packed, BadManifest> {
        let Self { sha256, size, cid } = self;
        let cid = table::cid(size, sha256, cid).map_err(|_| BadManifest::Limit("CID of a table"))?;
        Ok(Packed { cid, sha256, size })
    }
}

#[derive(Serialize, Deserialize)]
struct WireDatabase {
    name: String,
    size: u64,
    sha256: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<Cid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// An index of the repo `core` with sequence 1_790_000_000 that lives two days.
    pub(crate) fn sample() -> Manifest {
        let sha256 = Sha256::of(b"table");
        let name = FileName::new("core.db").unwrap();
        let database = Database { name, size: 7, sha256: Sha256::of(b"db"), cid: None, modified: Some(1_789_999_000) };
        let sequence = 1_790_000_000;
        let table = Table {
            repo: RepoName::new("core").unwrap(),
            arch: "x86_64".to_owned(),
            changed: sequence,
            entries: 1,
            sha256: Sha256::of(b"plain"),
            size: 5,
            packed: Packed { cid: Cid::raw(sha256), sha256, size: 5 },
            diffs: Vec::new(),
            databases: vec![database],
            upstream: vec!["https://mirror.example/core/os/x86_64".to_owned()],
        };
        let publisher = "example".to_owned();
        Manifest { publisher, sequence, created: sequence, expires: sequence + 172_800, tables: vec![table] }
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Manifest, BadManifest> {
        let mut json: Value = serde_json::from_slice(&sample().encode()).unwrap();
        change(&mut json);
        Manifest::decode(&serde_json::to_vec(&json).unwrap())
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Manifest::decode(&sample().encode()), Ok(sample()));
        assert_eq!(sample().tables[0].path(), "tables/core-x86_64.ndjson.zst");
    }

    #[test]
    fn an_unknown_field_is_skipped_unless_it_is_critical() {
        assert_eq!(changed(|m| m["archive"] = json!({"years": 3})), Ok(sample()));
        assert_eq!(changed(|m| m["tables"][0]["deltas"] = json!([1])), Ok(sample()));
        assert_eq!(changed(|m| m["critical"] = json!(["sequence", "tables.arch"])), Ok(sample()));
        for field in ["archive", "tables.deltas", "sequence.era"] {
            let refused = changed(|m| m["critical"] = json!([field]));
            assert_eq!(refused, Err(BadManifest::Critical(field.to_owned())));
        }
    }

    #[test]
    fn another_format_is_refused_before_its_fields_are_read() {
        let bytes = br#"{"pkgswarm": 2, "tables": "elsewhere"}"#;
        assert_eq!(Manifest::decode(bytes), Err(BadManifest::Format(2)));
        assert!(Manifest::decode(bytes).unwrap_err().to_string().contains("newer pkgswarm"));
    }

    #[test]
    fn values_outside_their_limits_are_refused() {
        let long = "x".repeat(65);
        for (path, value) in [
            ("/publisher", json!("")),
            ("/publisher", json!(long)),
            ("/publisher", json!("a\u{1b}b")),
            ("/created", json!(1_790_172_801)),
            ("/tables/0/repo", json!("..")),
            ("/tables/0/arch", json!("../x")),
            ("/tables/0/size", json!(PLAIN_MOST + 1)),
            ("/tables/0/packed/size", json!(TABLE_MOST + 1)),
            ("/tables/0/packed/size", json!(ONE_BLOCK + 1)),
            ("/tables/0/entries", json!(ENTRIES_MOST + 1)),
            ("/tables/0/databases/0/name", json!("extra.db")),
            ("/tables/0/databases/0/modified", json!(LAST + 1)),
            ("/tables/0/upstream", json!(vec!["x"; 65])),
            ("/tables/0/upstream", json!(["x".repeat(2049)])),
        ] {
            let refused = changed(|m| *m.pointer_mut(path).unwrap() = value.clone());
            assert!(matches!(refused, Err(BadManifest::Limit(_))), "{path} {value}: {refused:?}");
        }
        let twice = changed(|m| m["tables"] = json!([m["tables"][0], m["tables"][0]]));
        assert!(matches!(twice, Err(BadManifest::Limit(_))));
        let profile = changed(|m| m["profile"] = json!("unixfs-v0-2015"));
        assert_eq!(profile, Err(BadManifest::Profile("unixfs-v0-2015".to_owned())));
        let wrong = changed(|m| m["tables"][0]["packed"]["cid"] = json!("bafk"));
        assert!(matches!(wrong, Err(BadManifest::Malformed(_))));
        assert_eq!(Manifest::decode(&vec![b' '; MANIFEST_MOST + 1]), Err(BadManifest::TooBig(MANIFEST_MOST + 1)));
    }

    #[test]
    fn diffs_lead_from_one_to_the_next_and_to_the_table() {
        let sha256 = Sha256::of(b"diff");
        let mut m = sample();
        m.tables[0].packed.size = 100;
        m.tables[0].diffs = [1, 5, 7].map(|from| Diff { from, size: 40, sha256 }).to_vec();
        assert_eq!(Manifest::decode(&m.encode()), Ok(m.clone()));
        let table = &m.tables[0];
        let paths = |from| Some(table.way_from(from)?.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
        let last = "diffs/core-x86_64/7-1790000000.ndjson.zst".to_owned();
        assert_eq!(paths(5), Some(vec!["diffs/core-x86_64/5-7.ndjson.zst".to_owned(), last]));
        assert_eq!(paths(6), None, "nobody was there");
        assert_eq!(paths(1), None, "three of 40 bytes are more than the table's 100");
        for (diffs, why) in [
            (vec![Diff { from: 5, size: 1, sha256 }, Diff { from: 5, size: 1, sha256 }], "order of diffs"),
            (vec![Diff { from: 1_790_000_000, size: 1, sha256 }], "order of diffs"),
            (vec![Diff { from: 5, size: DIFF_MOST + 1, sha256 }], "size of a diff"),
            ((0..65).map(|from| Diff { from, size: 1, sha256 }).collect(), "number of diffs"),
        ] {
            m.tables[0].diffs = diffs;
            assert_eq!(Manifest::decode(&m.encode()), Err(BadManifest::Limit(why)));
        }
    }

    #[test]
    fn an_index_counts_from_a_day_before_its_date_until_it_expires() {
        let (m, at) = (sample(), sample().sequence);
        assert_eq!(m.check_time(at - AHEAD_MOST), Ok(()));
        assert_eq!(m.check_time(m.expires), Ok(()));
        assert!(matches!(m.check_time(at - AHEAD_MOST - 1), Err(BadManifest::Future { .. })));
        let late = m.check_time(m.expires + 7200).unwrap_err();
        assert_eq!(late.to_string(), "the index expired 2 h ago");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Manifest::decode(&bytes);
        }

        #[test]
        fn one_changed_byte_does_not_make_the_reader_panic(at in 0usize..900, byte: u8) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Manifest::decode(&bytes);
        }
    }
}
