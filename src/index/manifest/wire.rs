//! The fields of a manifest as they are written. Unknown ones are skipped.

use serde::{Deserialize, Serialize};

use super::super::table::{self, ENTRIES_MOST, PLAIN_MOST};
use super::super::time::LAST;
use super::{ArchiveTable, Diff, ManifestError, Packed, TABLE_MOST, TableContent, within};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::size;

#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) pkgswarm: u64,
    #[serde(default)]
    pub(super) critical: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireManifest {
    pub(super) pkgswarm: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) critical: Vec<String>,
    pub(super) publisher: String,
    pub(super) sequence: u64,
    pub(super) created: u64,
    pub(super) expires: u64,
    pub(super) profile: String,
    pub(super) tables: Vec<WireTable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) peers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) gateways: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireTable {
    pub(super) repo: String,
    pub(super) arch: String,
    pub(super) changed: u64,
    pub(super) entries: u64,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) packed: WirePacked,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) diffs: Vec<Diff>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) databases: Vec<WireDatabase>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) upstream: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lastupdate: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<TableContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<WireArchive>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WirePacked {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cid: Option<Cid>,
}

impl WirePacked {
    pub(super) fn of(packed: &Packed) -> Self {
        let Packed { sha256, size, cid } = *packed;
        Self { sha256, size, cid: (!size::is_own_block(size)).then_some(cid) }
    }

    pub(super) fn check(self) -> Result<Packed, ManifestError> {
        let Self { sha256, size, cid } = self;
        let cid = table::cid(size, sha256, cid).map_err(|_| ManifestError::Limit("CID of a table"))?;
        Ok(Packed { cid, sha256, size })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireDatabase {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cid: Option<Cid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireArchive {
    since: u64,
    entries: u64,
    sha256: Sha256,
    size: u64,
    packed: WirePacked,
}

impl WireArchive {
    pub(super) fn of(archive: &ArchiveTable) -> Self {
        let ArchiveTable { since, entries, sha256, size, packed } = *archive;
        Self { since, entries, sha256, size, packed: WirePacked::of(&packed) }
    }

    pub(super) fn check(self) -> Result<ArchiveTable, ManifestError> {
        let Self { since, entries, sha256, size, packed } = self;
        within(since <= LAST, "beginning of an archive")?;
        within(entries <= ENTRIES_MOST, "number of archived entries")?;
        within(size <= PLAIN_MOST && packed.size <= TABLE_MOST, "archive size")?;
        Ok(ArchiveTable { since, entries, sha256, size, packed: packed.check()? })
    }
}
