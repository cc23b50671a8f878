//! Whether the publisher of an index goes on: one that does not follow its upstream any more, and one that does not renew
//! its index, are noticed before the index is of no use.
//!
//! - *Behind*: a mirror of the user has had a newer database for [`BEHIND`] when a source last confirmed that the index
//!   is the newest one. That time counts from the database's own date, and what the mirror has by now does not matter: a
//!   repository that changes every hour is behind all the same. A publisher that follows a slow mirror, or has much to
//!   fetch, is hours late at times; less than that is no reason to speak.
//! - *Not renewed*: a source confirmed it when less than a quarter of its life was left. Publishers renew at half of it.
//! - *Expired*: and a refresh since has brought nothing newer.
//!
//! So a machine that was off, or a refresh that has not run yet, says nothing about a publisher. Dates of mirrors are
//! hints: what follows from them is a line for people, and nothing else.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, Table};
use super::time::span;
use crate::base::fsx;
use crate::base::name::FileName;

/// Seconds for which an index may lack what a mirror has.
pub(crate) const BEHIND: u64 = 12 * 3600;
/// Seconds between two lines about it.
pub(crate) const TOLD: u64 = 86_400;
/// Most bytes of the memory.
const MOST: u64 = 64 << 10;

/// What mirrors had of the repositories of one index before it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct LagMemory {
    /// By repository: the date of the oldest database that is not in the index, Unix seconds.
    since: BTreeMap<String, u64>,
    /// When the user was last told, Unix seconds.
    pub(crate) told: u64,
}

/// A database as a mirror has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MirrorDatabase<'d> {
    /// `core.db`
    pub(crate) name: &'d FileName,
    /// Bytes.
    pub(crate) size: u64,
    /// Its date, Unix seconds.
    pub(crate) modified: u64,
}

/// The reason to think that the publisher of an index has stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Staleness {
    /// Mirrors are ahead of it.
    Behind {
        /// The repository.
        repo: String,
        /// Seconds.
        by: u64,
    },
    /// It is about to expire.
    NotRenewed {
        /// Seconds until it does.
        left: u64,
    },
    /// It has expired.
    Expired {
        /// Seconds since then.
        ago: u64,
    },
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { repo, by } => {
                write!(f, "it lacks what mirrors have of {repo}, for {} when it was last confirmed", span(*by))?;
            }
            Self::NotRenewed { left } => write!(f, "it expires in {} and was not renewed", span(*left))?,
            Self::Expired { ago } => write!(f, "it expired {} ago and is not used", span(*ago))?,
        }
        f.write_str(": its publisher may have stopped")
    }
}

/// Returns the newest time at which upstream was as the table says; `None` where its publisher does not tell.
fn known(table: &Table, database: &FileName) -> Option<u64> {
    let listed = table.databases.iter().find(|listed| listed.name == *database)?;
    listed.modified.max(table.lastupdate)
}

impl LagMemory {
    /// Reads the memory; an empty one where there is none that can be read.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = fsx::read_followed(path, MOST).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self).expect("texts and numbers always make JSON");
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fsx::replace(path, &json, 0o644)
    }

    /// Takes in what a mirror has at `now` of the repository of `table`. Returns true when that is news.
    pub(crate) fn see(&mut self, table: &Table, found: MirrorDatabase<'_>, now: u64) -> bool {
        let Some(known) = known(table, found.name) else { return false };
        // A database of the same size is the same one: a copy may be dated anew at its mirror.
        let is_same = table.databases.iter().any(|it| it.name == *found.name && it.size == found.size);
        let is_ahead = !is_same && found.modified > known && found.modified <= now;
        let before = self.since.get(table.repo.as_str()).copied();
        // What it lacked may be there by now.
        let lacking = before.filter(|since| is_ahead && *since > known);
        let after = is_ahead.then(|| lacking.map_or(found.modified, |since| since.min(found.modified)));
        match after {
            Some(since) => drop(self.since.insert(table.repo.to_string(), since)),
            None => drop(self.since.remove(table.repo.as_str())),
        }
        before != after
    }

    /// Returns the repository that is longest behind when the index was confirmed at `confirmed`, and the seconds.
    fn behind(&self, manifest: &Manifest, confirmed: u64) -> Option<(String, u64)> {
        let of_table = |table: &Table| {
            let since = *self.since.get(table.repo.as_str())?;
            let database = FileName::new(format!("{}.db", table.repo)).ok()?;
            let is_there = known(table, &database).is_none_or(|known| known >= since);
            (!is_there).then(|| (table.repo.to_string(), confirmed.saturating_sub(since)))
        };
        manifest.tables.iter().filter_map(of_table).max_by_key(|(_, by)| *by)
    }
}

/// Judges an index at `now`. `confirmed` is when a source last had nothing newer, `tried` when any was last asked; all in
/// Unix seconds.
pub(crate) fn staleness(
    manifest: &Manifest,
    lag: &LagMemory,
    confirmed: u64,
    tried: u64,
    now: u64,
) -> Option<Staleness> {
    let Manifest { created, expires, .. } = *manifest;
    // While the clock is behind its own earlier times, they tell nothing.
    let past = |at: u64| if at <= now { at } else { 0 };
    let (confirmed, tried) = (past(confirmed), past(tried));
    let late = created.saturating_add(expires.saturating_sub(created) / 4 * 3);
    if expires < now {
        return (tried > expires).then_some(Staleness::Expired { ago: now - expires });
    }
    if confirmed > late {
        return Some(Staleness::NotRenewed { left: expires - now });
    }
    let behind = lag.behind(manifest, confirmed).filter(|(_, by)| *by > BEHIND);
    behind.map(|(repo, by)| Staleness::Behind { repo, by })
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    const HOUR: u64 = 3600;

    fn mirror(name: &FileName, size: u64, modified: u64) -> MirrorDatabase<'_> {
        MirrorDatabase { name, size, modified }
    }

    #[test]
    fn an_index_is_behind_only_when_it_was_confirmed_long_after_a_mirror_was_ahead() {
        let (index, name) = (sample(), FileName::new("core.db").unwrap());
        let (table, at) = (&index.tables[0], index.sequence);
        let mut lag = LagMemory::default();
        assert!(!lag.see(table, mirror(&name, 7, at + HOUR), at + 9 * HOUR), "the same one, dated anew");
        assert!(!lag.see(table, mirror(&name, 8, at - HOUR), at), "an older one");
        assert!(!lag.see(table, mirror(&name, 8, at + HOUR), at), "one that is still to come");
        assert!(lag.see(table, mirror(&name, 8, at + HOUR), at + HOUR), "a newer one");
        // The mirror goes on; the first change is what counts.
        assert!(!lag.see(table, mirror(&name, 9, at + 20 * HOUR), at + 20 * HOUR));
        let judged = |lag: &LagMemory, confirmed| staleness(&index, lag, confirmed, confirmed, at + 21 * HOUR);
        assert_eq!(judged(&lag, at + 12 * HOUR), None, "it has not been looked for since");
        let behind = Some(Staleness::Behind { repo: "core".to_owned(), by: 12 * HOUR + 1 });
        assert_eq!(judged(&lag, at + 13 * HOUR + 1), behind);
        // A newer index that knows of upstream's time has caught up, whatever its database's date.
        let mut newer = index.clone();
        newer.tables[0].lastupdate = Some(at + 2 * HOUR);
        assert_eq!(staleness(&newer, &lag, at + 20 * HOUR, 0, at + 21 * HOUR), None);
        assert!(lag.see(&newer.tables[0], mirror(&name, 9, at + 20 * HOUR), at + 20 * HOUR), "and is behind anew");
        assert_eq!(staleness(&newer, &lag, at + 21 * HOUR, 0, at + 21 * HOUR), None);
        assert!(lag.see(&newer.tables[0], mirror(&name, 7, at), at + 20 * HOUR));
        assert_eq!(lag, LagMemory::default());
    }

    #[test]
    fn a_machine_that_was_off_says_nothing_about_a_publisher() {
        let (index, lag) = (sample(), LagMemory::default());
        let (at, end) = (index.created, index.expires);
        let judged = |confirmed, tried, now| staleness(&index, &lag, confirmed, tried, now);
        assert_eq!(judged(at + 24 * HOUR, at + 47 * HOUR, at + 47 * HOUR), None, "refreshes failed");
        assert_eq!(judged(at + 36 * HOUR, 0, at + 47 * HOUR), None);
        assert_eq!(judged(at + 37 * HOUR, 0, at + 47 * HOUR), Some(Staleness::NotRenewed { left: HOUR }));
        assert_eq!(judged(at, at, end + HOUR), None, "nothing was asked since");
        assert_eq!(judged(at + 40 * HOUR, 0, at + 39 * HOUR), None, "the clock was set back");
        assert_eq!(judged(at, end + HOUR, end + HOUR), Some(Staleness::Expired { ago: HOUR }));
        let said = Staleness::Expired { ago: 3 * 86_400 }.to_string();
        assert_eq!(said, "it expired 3 d ago and is not used: its publisher may have stopped");
    }

    #[test]
    fn an_index_without_dates_is_never_behind_and_a_damaged_memory_is_empty() {
        let (mut index, name) = (sample(), FileName::new("core.db").unwrap());
        (index.tables[0].lastupdate, index.tables[0].databases[0].modified) = (None, None);
        let mut lag = LagMemory::default();
        assert!(!lag.see(&index.tables[0], mirror(&name, 8, 5), 9));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lag/a");
        assert_eq!(LagMemory::read(&path), None);
        LagMemory { told: 5, ..lag }.save(&path).unwrap();
        assert_eq!(LagMemory::read(&path).unwrap().told, 5);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(LagMemory::read(&path), None);
    }
}
