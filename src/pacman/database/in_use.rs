//! The database that pacman uses now, and the record of its delivery.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::fsx::{self, FileKey};
use crate::base::name::FileName;
use crate::engine::deliver::Obtained;
use crate::engine::want::Want;
use crate::index::manifest::Database;
use crate::lists::system::Repository;
use crate::machine::lists::Lists;
use crate::trust::look::FileShape;
use crate::trust::verify::{self, Accepted, Waiver};

/// The last delivery of one database, kept beside the health of sources.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct LastDelivered {
    /// Digest of the repository's `Server` lines.
    pub(super) servers: String,
    /// The source's date, Unix seconds.
    pub(super) modified: u64,
    /// Time of the fetch, Unix seconds.
    pub(super) fetched: u64,
    /// Digest of the delivered file: one that was damaged since, or comes from elsewhere, is not the one of this
    /// date.
    pub(super) sha256: Sha256,
}

/// A source whose clock is further ahead of ours than this (in seconds) has no date that could be compared with
/// others: it would keep every newer database out for as long. Clocks of machines without a time server are
/// minutes apart.
const FUTURE_MOST: u64 = 600;

/// A date of the same second cannot tell two files apart (RFC 9110, section 8.8.2.2), so a file that was changed this
/// shortly before it was fetched is fetched whole the next time.
const DATE_IS_STRONG_AFTER: u64 = 5;

/// The database that pacman uses now.
pub(super) struct DatabaseInUse {
    path: PathBuf,
    key: FileKey,
    /// Bytes.
    pub(super) size: u64,
    /// Its date, Unix seconds.
    pub(super) modified: u64,
    /// The record of its delivery. Only a file that we delivered has a date that is its source's.
    pub(super) last: Option<LastDelivered>,
    servers: String,
}

impl DatabaseInUse {
    /// Returns the one in use. The record of its delivery is not compared with its bytes yet, which takes a
    /// millisecond a MiB.
    pub(super) fn found(lists: &Lists, name: &FileName, repo: Option<&Repository>) -> Option<Self> {
        let path = lists.database_path(name)?;
        let servers = servers(repo?);
        let key = FileKey::at(&path).ok()?;
        let modified = u64::try_from(key.mtime_ns).ok()? / 1_000_000_000;
        let bytes = fsx::read_small(&lists.beside_database(name, "last")?, lists.machine().env.uid, 4096).ok();
        let last: Option<LastDelivered> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let last =
            last.filter(|last| last.modified == modified && modified <= last.fetched.saturating_add(FUTURE_MOST));
        Some(Self { path, size: key.size, key, modified, last, servers })
    }

    /// Returns the same, proven: a file that was damaged since, or comes from elsewhere, has no date of its
    /// source.
    pub(super) fn proven(mut self) -> Self {
        self.last = self.last.take().filter(|last| self.has(last.sha256));
        self
    }

    /// Returns true when it still is the delivered file.
    pub(super) fn is_as_delivered(&self) -> bool {
        self.last.as_ref().is_some_and(|last| self.has(last.sha256))
    }

    fn has(&self, sha256: Sha256) -> bool {
        fsx::open_read(&self.path).is_ok_and(|file| verify::prove(&file, sha256, self.size).is_ok())
    }

    /// Returns one word that changes when the file does.
    pub(super) fn state(&self) -> String {
        self.key.text('-')
    }

    /// Returns its date, where that can be compared with others': one that is still to come tells nothing.
    pub(super) fn date(&self) -> Option<u64> {
        Some(self.modified).filter(|date| *date <= clock::now().saturating_add(FUTURE_MOST))
    }

    /// Returns the date by which the mirror may be asked for a newer one.
    pub(super) fn strong_date(&self) -> Option<SystemTime> {
        self.last.as_ref().filter(|last| last.fetched >= last.modified + DATE_IS_STRONG_AFTER)?;
        Some(UNIX_EPOCH + Duration::from_secs(self.modified))
    }

    /// Returns the date that a mirror must not be behind; none where the `Server` lines have changed since.
    pub(super) fn floor(&self) -> Option<SystemTime> {
        self.last.as_ref().filter(|last| last.servers == self.servers)?;
        Some(UNIX_EPOCH + Duration::from_secs(self.modified))
    }

    /// Returns true when it is exactly this one.
    pub(super) fn is(&self, database: &Database) -> bool {
        self.size == database.size && self.has(database.sha256)
    }

    /// Returns the file, to be copied: no process writes to a database in use, pacman replaces it.
    pub(super) fn obtained(&self, from: String) -> Result<Obtained, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::local(self.path.display(), e);
        let file: File = fsx::open_read(&self.path).map_err(|e| failed(&e))?;
        if FileKey::of(&file).map_err(|e| failed(&e))? != self.key {
            return Err(failed(&"was replaced meanwhile").hint("is another pacman running?"));
        }
        let waived = verify::waive(Waiver::DatabaseInUse, FileShape::ANY, &file).map_err(|e| failed(&e))?;
        let modified = Some(UNIX_EPOCH + Duration::from_secs(self.modified));
        Ok(Obtained { modified, ..Obtained::new(file, Accepted::Waived(waived), from) })
    }
}

/// Records the delivery of a database with this date; does nothing without a date.
pub(super) fn remember(lists: &Lists, want: &Want, obtained: &Obtained) {
    let (Some(record), Some(repo)) = (lists.beside_database(&want.name, "last"), &want.repo) else { return };
    let sha256 = verify::digest(&obtained.file, obtained.accepted.size()).ok();
    match obtained.modified.and_then(clock::checked_unix).zip(sha256) {
        Some((modified, sha256)) => {
            let fetched = clock::now();
            let last = LastDelivered { servers: servers(repo), modified, fetched, sha256 };
            // Without it the next refresh asks without a date, which is only slower.
            let _ = fsx::replace(&record, &serde_json::to_vec(&last).expect("plain data"), 0o600);
        }
        None => drop(std::fs::remove_file(&record)),
    }
}

fn servers(repo: &Repository) -> String {
    Sha256::of(repo.servers.join("\n").as_bytes()).to_string()
}
