//! `pkgswarm.json`: the one signed file of an index; it names everything else by hash.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use serde::{Deserialize, Serialize};

use super::table::{ENTRIES_MOST, PLAIN_MOST};
use super::time::{LAST, span};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName, shown};
use crate::base::public::is_public_url;
use crate::base::size::{self, OWN_BLOCK_MOST, PROFILE};
use crate::config::peer_address::PeerAddress;
use crate::lists::pacman::names;

mod content;
mod system;
mod wire;

pub use self::content::TableContent;
pub use self::system::TableSystem;
#[cfg(test)]
pub(super) use self::system::{DEPTH_MOST, PATH_MOST, SYSTEM_MOST};
pub(crate) use self::system::{FILES, HAIKU};
use self::wire::{Head, WireArchive, WireDatabase, WireManifest, WirePacked, WireTable};

/// The written format, and the only one that is read.
pub(crate) const FORMAT: u32 = 1;
/// Most bytes of a manifest: a few hundred for each table, and a table for each repo.
pub const MANIFEST_MOST: usize = 1 << 20;
/// Most seconds that a sequence may be ahead of this machine's clock: one day.
pub(crate) const FUTURE_MOST: u64 = 86_400;

pub(super) const TABLES_MOST: usize = 256;
pub(super) const DATABASES_MOST: usize = 16;
pub(super) const UPSTREAM_MOST: usize = 64;
pub(super) const URL_MOST: usize = 2048;
pub(super) const PUBLISHER_MOST: usize = 64;
pub(super) const PEERS_MOST: usize = 16;
pub(super) const GATEWAYS_MOST: usize = 8;
const CRITICAL_MOST: usize = 64;
/// Most bytes of a compressed table.
pub const TABLE_MOST: u64 = 64 << 20;
/// Most diffs of a table.
pub(crate) const DIFFS_MOST: usize = 64;
/// Most bytes of a compressed diff: it is always one raw block, so that its CID follows from its sha256 (1 MiB).
pub const DIFF_MOST: u64 = OWN_BLOCK_MOST;

/// Fields that may be named as critical because this reader supports them.
const KNOWN: &[&str] = &["publisher", "sequence", "created", "expires", "profile", "tables", "peers", "gateways"];
const KNOWN_IN_TABLES: &[&str] = &[
    "repo",
    "arch",
    "changed",
    "entries",
    "sha256",
    "size",
    "packed",
    "diffs",
    "databases",
    "upstream",
    "lastupdate",
    "system",
    "path",
    "content",
    "archive",
];

/// A manifest whose form was checked. `index::accept` checks its proof and its age.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The publisher, for people; at most 64 bytes without control characters.
    pub publisher: String,
    /// Unix seconds; grows with every change.
    pub sequence: u64,
    /// Unix seconds.
    pub created: u64,
    /// Unix seconds after which the manifest does not count.
    pub expires: u64,
    /// One for each repo and architecture.
    pub tables: Vec<Table>,
    /// Peers of the publisher, which have what it publishes; public addresses alone.
    pub peers: Vec<PeerAddress>,
    /// Trustless gateways that have it; public https URLs.
    pub gateways: Vec<String>,
}

/// The entries of one repo, and the databases that they were made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The repo that it describes.
    pub repo: RepoName,
    /// `x86_64`, `aarch64`, …: 1 to 32 letters, digits and underscores.
    pub arch: String,
    /// Sequence of the first manifest with exactly this table: the target of its last diff.
    pub changed: u64,
    /// Lines of the table.
    pub entries: u64,
    /// Digest of the uncompressed table.
    pub sha256: Sha256,
    /// Bytes of the uncompressed table.
    pub size: u64,
    /// The table in one file.
    pub packed: Packed,
    /// Diffs from earlier tables, oldest first. Each leads to the start of the next one, the last one to
    /// `changed`.
    pub diffs: Vec<Diff>,
    /// The database files of this repo as published in the plain tree.
    pub databases: Vec<Database>,
    /// The origin of the files: `Server` URLs.
    pub upstream: Vec<String>,
    /// Upstream's own time of this state, Unix seconds: what its mirrors say in `lastupdate`. It is brought up to date
    /// with each publication, and makes none by itself.
    pub lastupdate: Option<u64>,
    /// The system that its files are for, where that is not pacman's.
    pub system: Option<TableSystem>,
    /// What the publisher has of the packages; `None` where it does not say.
    pub content: Option<TableContent>,
    /// The files that have left the table, where the publisher keeps their entries.
    pub archive: Option<ArchiveTable>,
}

/// The entries of files that have left a table: see [`archive`](super::archive).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveTable {
    /// Unix seconds from which on it tells what was in the table.
    pub since: u64,
    /// Lines of it.
    pub entries: u64,
    /// Digest of the uncompressed lines.
    pub sha256: Sha256,
    /// Bytes of the uncompressed lines.
    pub size: u64,
    /// All of it in one file.
    pub packed: Packed,
}

/// A table compressed with zstd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packed {
    /// CID of the compressed bytes as `unixfs-v1-2025`.
    pub cid: Cid,
    /// Digest of the compressed bytes.
    pub sha256: Sha256,
    /// Compressed bytes.
    pub size: u64,
}

/// The changes of a table since one sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Diff {
    /// The `changed` of the table that it applies to.
    pub from: u64,
    /// Compressed bytes; at most [`DIFF_MOST`].
    pub size: u64,
    /// Digest of the compressed bytes.
    pub sha256: Sha256,
}

impl Diff {
    /// Returns the CID of its one block.
    pub(crate) fn cid(&self) -> Cid {
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
    /// Digest of the file as published.
    pub sha256: Sha256,
    /// CID of the file as `unixfs-v1-2025`; up to 1 MiB it follows from the sha256 and is left out.
    pub cid: Option<Cid>,
    /// Date of the file at the publisher, Unix seconds: the time of this state of the repo.
    pub modified: Option<u64>,
}

impl Database {
    /// Returns its CID; `None` when it is larger than 1 MiB and the publisher gave none.
    pub(crate) fn cid(&self) -> Option<Cid> {
        size::own_block(self.size, self.sha256).or(self.cid)
    }
}

/// The reason why a manifest is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// More than [`MANIFEST_MOST`] bytes.
    #[error("the manifest has {0} bytes, at most {MANIFEST_MOST} are allowed")]
    TooBig(usize),
    /// Not JSON, or a field is missing or of the wrong kind.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
    /// Made for another format. A newer pkgswarm may read it.
    #[error("the manifest has format {0}, this pkgswarm reads format {FORMAT}: a newer pkgswarm may be needed")]
    Format(u64),
    /// The publisher marked this field as critical, and this reader does not support it. A newer pkgswarm may.
    #[error("the manifest requires {0:?}, which this pkgswarm does not know: a newer pkgswarm may be needed")]
    Critical(String),
    /// CIDs are made with another profile than ours.
    #[error("the manifest uses the CID profile {0:?}, only {PROFILE:?} is supported")]
    Profile(String),
    /// A value outside its limits.
    #[error("the manifest's {0} is outside its limits")]
    Limit(&'static str),
    /// It has expired. Refreshing later helps once the publisher renewed it.
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
    /// Reads a manifest. Unknown fields are skipped unless `critical` names them.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_MOST {
            return Err(ManifestError::TooBig(bytes.len()));
        }
        let malformed = |e: serde_json::Error| ManifestError::Malformed(shown(&e.to_string()).into_owned());
        // The head first: a later format may give every other field another shape.
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.pkgswarm != u64::from(FORMAT) {
            return Err(ManifestError::Format(head.pkgswarm));
        }
        within(head.critical.len() <= CRITICAL_MOST, "list of critical fields")?;
        for field in &head.critical {
            let known = match field.split_once('.') {
                Some(("tables", inner)) => KNOWN_IN_TABLES.contains(&inner),
                Some(_) => false,
                None => KNOWN.contains(&field.as_str()),
            };
            if !known {
                return Err(ManifestError::Critical(shown(field).into_owned()));
            }
        }
        let wire: WireManifest = serde_json::from_slice(bytes).map_err(malformed)?;
        if wire.profile != PROFILE {
            return Err(ManifestError::Profile(shown(&wire.profile).into_owned()));
        }
        within(!wire.publisher.is_empty() && wire.publisher.len() <= PUBLISHER_MOST, "publisher's name")?;
        within(!wire.publisher.chars().any(char::is_control), "publisher's name")?;
        within(wire.created <= wire.expires, "time of creation")?;
        within(wire.tables.len() <= TABLES_MOST, "number of tables")?;
        let tables = wire.tables.into_iter().map(Table::check).collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<_> = tables.iter().map(|t| (&t.repo, &t.arch)).collect();
        keys.sort();
        within(keys.windows(2).all(|two| two[0] != two[1]), "list of tables (one repo is there twice)")?;
        within(wire.peers.len() <= PEERS_MOST, "number of peers")?;
        within(wire.gateways.len() <= GATEWAYS_MOST, "number of gateways")?;
        let peers = wire.peers.iter().map(|peer| peer.parse::<PeerAddress>().ok().filter(PeerAddress::is_public));
        let peers = peers.collect::<Option<Vec<_>>>().ok_or(ManifestError::Limit("peer's address"))?;
        let is_gateway = |url: &String| url.len() <= URL_MOST && url.starts_with("https://") && is_public_url(url);
        within(wire.gateways.iter().all(is_gateway), "gateway")?;
        let WireManifest { publisher, sequence, created, expires, gateways, .. } = wire;
        Ok(Self { publisher, sequence, created, expires, tables, peers, gateways })
    }

    /// Writes the manifest; the same manifest always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let wire = WireManifest {
            pkgswarm: FORMAT,
            critical: Vec::new(),
            publisher: self.publisher.clone(),
            sequence: self.sequence,
            created: self.created,
            expires: self.expires,
            profile: PROFILE.to_owned(),
            tables: self.tables.iter().map(Table::to_wire).collect(),
            peers: self.peers.iter().map(ToString::to_string).collect(),
            gateways: self.gateways.clone(),
        };
        // Without blanks: every refresh after a change transfers it.
        let mut bytes = serde_json::to_vec(&wire).expect("numbers and texts always make JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Checks that it counts at the time `now` (Unix seconds).
    pub fn check_time(&self, now: u64) -> Result<(), ManifestError> {
        if self.sequence.max(self.created) > now.saturating_add(FUTURE_MOST) {
            return Err(ManifestError::Future { sequence: self.sequence.max(self.created), now });
        }
        if self.expires < now {
            return Err(ManifestError::Expired { expired: self.expires, now });
        }
        Ok(())
    }
}

impl Table {
    /// Returns its path below the root of the index.
    pub fn path(&self) -> String {
        format!("tables/{}-{}.ndjson.zst", self.repo, self.arch)
    }

    /// Returns the directory of its files below the root of the index.
    pub(crate) fn place(&self) -> String {
        self.system.as_ref().map_or_else(|| format!("{}/os/{}", self.repo, self.arch), |system| system.path.clone())
    }

    /// Returns the path of its archive below the root of the index.
    pub(crate) fn archive_path(&self) -> String {
        format!("archive/{}-{}.ndjson.zst", self.repo, self.arch)
    }

    /// Returns the directory of its diffs below the root of the index.
    pub fn diff_dir(&self) -> String {
        format!("diffs/{}-{}", self.repo, self.arch)
    }

    /// Returns the path of its diff number `at` below the root of the index.
    ///
    /// # Panics
    /// When there are fewer diffs.
    pub fn diff_path(&self, at: usize) -> String {
        let to = self.diffs.get(at + 1).map_or(self.changed, |next| next.from);
        format!("{}/{}-{to}.ndjson.zst", self.diff_dir(), self.diffs[at].from)
    }

    /// Returns the diffs that lead here from the table that was `changed` at this sequence, with their paths; none
    /// when that is too old, or when they are no smaller than the whole table.
    pub fn diffs_from(&self, changed: u64) -> Option<Vec<(String, Diff)>> {
        let first = self.diffs.iter().position(|diff| diff.from == changed)?;
        let diffs: Vec<_> = (first..self.diffs.len()).map(|at| (self.diff_path(at), self.diffs[at])).collect();
        (diffs.iter().map(|(_, diff)| diff.size).sum::<u64>() < self.packed.size).then_some(diffs)
    }

    fn check(wire: WireTable) -> Result<Self, ManifestError> {
        let repo = RepoName::new(wire.repo).map_err(|_| ManifestError::Limit("repo name"))?;
        within(is_arch(&wire.arch), "architecture")?;
        within(wire.size <= PLAIN_MOST && wire.packed.size <= TABLE_MOST, "table size")?;
        let packed = wire.packed.check()?;
        within(wire.diffs.len() <= DIFFS_MOST, "number of diffs")?;
        within(wire.diffs.iter().all(|diff| diff.size <= DIFF_MOST), "size of a diff")?;
        // Rising, so that there is no circle.
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
            let name = FileName::new(database.name).map_err(|_| ManifestError::Limit("database name"))?;
            // A publisher must not describe `core.db` under the name of another repo.
            within(names::repo(&name).as_ref() == Some(&repo), "database name")?;
            let WireDatabase { size, sha256, cid, modified, .. } = database;
            // It becomes the date of a file, and later of a request to a mirror.
            within(modified.is_none_or(|at| at <= LAST), "date of a database")?;
            Ok(Database { name, size, sha256, cid, modified })
        });
        let databases = databases.collect::<Result<Vec<_>, ManifestError>>()?;
        within(wire.lastupdate.is_none_or(|at| at <= LAST), "time of the last update")?;
        let system = TableSystem::check(wire.system, wire.path).ok_or(ManifestError::Limit("system of a table"))?;
        let archive = wire.archive.map(WireArchive::check).transpose()?;
        let WireTable { arch, changed, entries, sha256, size, diffs, upstream, lastupdate, content, .. } = wire;
        Ok(Self {
            repo,
            arch,
            changed,
            entries,
            sha256,
            size,
            packed,
            diffs,
            databases,
            upstream,
            lastupdate,
            system,
            content,
            archive,
        })
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
            packed: WirePacked::of(&self.packed),
            diffs: self.diffs.clone(),
            databases: databases.collect(),
            upstream: self.upstream.clone(),
            lastupdate: self.lastupdate,
            system: self.system.as_ref().map(|system| system.name.clone()),
            path: self.system.as_ref().map(|system| system.path.clone()),
            content: self.content,
            archive: self.archive.as_ref().map(WireArchive::of),
        }
    }
}

/// True if `text` can be an architecture: it becomes part of a file name.
pub fn is_arch(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn within(holds: bool, what: &'static str) -> Result<(), ManifestError> {
    if holds { Ok(()) } else { Err(ManifestError::Limit(what)) }
}

#[cfg(test)]
pub(crate) mod tests;
