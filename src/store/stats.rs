//! Sums over the journal: the bytes of each source, on which days, and the savings.
//!
//! There are three kinds of bytes. *Delivered* ones were handed to pacman and to users: curl would have fetched
//! them from mirrors. *Received* ones came from sources, thrown away or not. Those that were delivered and not
//! received were here already: in the store, in a package cache, or as a database that had not changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::base::error::Error;
use crate::base::name::FileName;
use crate::store::journal::{By, Contribution, Journal, JournalRecord};

/// Largest file (bytes) that shows a mirror's latency.
const SMALL: u64 = 64 << 10;
/// Smallest file (bytes) that shows a mirror's rate.
const LARGE: u64 = 256 << 10;

/// The contribution of one source.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sent {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Files of which it sent at least a part.
    pub(crate) files: u64,
}

/// The bytes of one day.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Day {
    /// Bytes handed over.
    pub(crate) delivered: u64,
    /// Bytes received, by the kind of source.
    pub(crate) received: BTreeMap<String, u64>,
}

/// The speed of mirrors on this machine: the measure for time saved.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Yardstick {
    /// Milliseconds until a small file was complete: the median.
    pub(crate) wait: u64,
    /// Bytes a second of large files, taken together.
    pub(crate) rate: f64,
    /// Number of files that these are computed from.
    pub(crate) files: usize,
}

/// Everything that is shown.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stats {
    /// Time of the first record, Unix seconds.
    pub(crate) since: Option<u64>,
    /// Files handed over.
    pub(crate) files: u64,
    /// Bytes handed over.
    pub(crate) delivered: u64,
    /// The databases and their signatures among these.
    pub(crate) databases: Sent,
    /// By source: `mirror m.example`, `kubo`.
    pub(crate) sources: BTreeMap<String, Sent>,
    /// By day, as the caller counts them.
    pub(crate) days: BTreeMap<String, Day>,
    /// Files handed over that did not come from mirrors alone: (bytes, milliseconds that they took).
    spared: Vec<(u64, u64)>,
    /// Files that one mirror sent to a waiting caller: (bytes, milliseconds).
    measured: Vec<(u64, u64)>,
}

impl Day {
    /// Counts the bytes of deliveries that were here already.
    pub(crate) fn here(&self) -> u64 {
        self.delivered.saturating_sub(self.received.values().sum())
    }

    /// Counts the bytes from all sources.
    pub(crate) fn total(&self) -> u64 {
        self.here() + self.received.values().sum::<u64>()
    }
}

/// Returns the start of the first of `days` days, Unix seconds; days are those of the local calendar. 0 for all.
pub(crate) fn since(zone: &TimeZone, days: u32) -> u64 {
    let first = Timestamp::now().to_zoned(zone.clone()).start_of_day().ok();
    let first = first.filter(|_| days > 0).and_then(|today| today.checked_sub((i64::from(days) - 1).days()).ok());
    first.map_or(0, |first| u64::try_from(first.timestamp().as_second()).unwrap_or(0))
}

/// Names the day of a record, as the local calendar has it.
fn day(at: u64, zone: &TimeZone) -> String {
    let at = Timestamp::from_second(i64::try_from(at).unwrap_or(i64::MAX));
    at.map_or_else(|_| "?".to_owned(), |at| at.to_zoned(zone.clone()).date().to_string())
}

impl Stats {
    /// Sums over the journals of all these stores that this user may read, from `since` on, Unix seconds;
    /// `is_database` tells the names of repositories' lists.
    ///
    /// # Errors
    /// `Local` when one cannot be read.
    pub(crate) fn read(
        stores: &[PathBuf],
        zone: &TimeZone,
        since: u64,
        is_database: fn(&FileName) -> bool,
    ) -> Result<Self, Error> {
        let mut stats = Self::default();
        for store in stores {
            let read = Journal::at(store).read(since, |record| {
                let day = day(record.at, zone);
                stats.add(&record, is_database(&record.name), &day);
            });
            read.map_err(|e| Error::local(store.join("journal").display(), e))?;
        }
        Ok(stats)
    }

    /// Adds the record of a file, which is a repository's list of others if `is_database`, to the sums of `day`.
    pub(crate) fn add(&mut self, record: &JournalRecord, is_database: bool, day: &str) {
        self.since = Some(self.since.map_or(record.at, |since| since.min(record.at)));
        let sums = self.days.entry(day.to_owned()).or_default();
        sums.delivered += record.delivered;
        for Contribution { source, bytes } in &record.shares {
            let sent = self.sources.entry(source.clone()).or_default();
            sent.bytes += bytes;
            sent.files += 1;
        }
        for share in &record.shares {
            *sums.received.entry(share.kind().to_owned()).or_default() += share.bytes;
        }
        if record.delivered == 0 {
            return;
        }
        self.files += 1;
        self.delivered += record.delivered;
        if is_database {
            self.databases.files += 1;
            self.databases.bytes += record.delivered;
        }
        match record.shares.as_slice() {
            [share] if share.kind() == "mirror" && share.bytes == record.delivered => {
                self.measured.push((record.delivered, record.took));
            }
            // A user who fetches by hand has no curl to compare with.
            _ if matches!(record.by, By::Xfer | By::Endpoint) => self.spared.push((record.delivered, record.took)),
            _ => {}
        }
    }

    /// Returns the bytes that mirrors sent.
    pub(crate) fn sent_by_mirrors(&self) -> u64 {
        self.of_kind("mirror")
    }

    /// Returns the bytes that sources of this kind sent.
    pub(crate) fn of_kind(&self, kind: &str) -> u64 {
        let of_kind = self.sources.iter().filter(|(source, _)| source.split(' ').next() == Some(kind));
        of_kind.map(|(_, sent)| sent.bytes).sum()
    }

    /// Returns the bytes that all sources together sent.
    pub(crate) fn received(&self) -> u64 {
        self.sources.values().map(|sent| sent.bytes).sum()
    }

    /// Returns the bytes that were here already when they were asked for.
    pub(crate) fn here(&self) -> u64 {
        self.delivered.saturating_sub(self.received())
    }

    /// Returns the saved mirror traffic in bytes: deliveries, less what mirrors sent. Negative while more was
    /// fetched ahead than was asked for. A file from a `file://` server would have cost curl nothing either.
    pub(crate) fn saved(&self) -> i128 {
        i128::from(self.delivered) - i128::from(self.sent_by_mirrors()) - i128::from(self.of_kind("file"))
    }

    /// Returns the speed of mirrors; `None` before one has sent a file that can be measured.
    pub(crate) fn yardstick(&self) -> Option<Yardstick> {
        let mut small: Vec<u64> = self.measured.iter().filter(|(size, _)| *size <= SMALL).map(|(_, ms)| *ms).collect();
        let large: Vec<_> = self.measured.iter().filter(|(size, _)| *size >= LARGE).collect();
        if large.is_empty() {
            return None;
        }
        small.sort_unstable();
        let wait = small.get(small.len() / 2).copied().unwrap_or(0);
        let bytes: u64 = large.iter().map(|(size, _)| size).sum();
        // Where the wait is most of it, the rest is noise.
        let time: u64 = large.iter().map(|(_, ms)| ms.saturating_sub(wait).max(ms / 2).max(1)).sum();
        Some(Yardstick { wait, rate: bytes as f64 * 1000.0 / time as f64, files: small.len() + large.len() })
    }

    /// Returns the seconds that pacman did not have to wait: for each file that did not come from a mirror alone,
    /// a mirror's time for it (its wait and its rate, [`Stats::yardstick`]) less the time that it took. Can be
    /// negative.
    pub(crate) fn seconds_saved(&self) -> Option<f64> {
        let Yardstick { wait, rate, .. } = self.yardstick()?;
        let of_mirror = |size: u64| wait as f64 / 1000.0 + size as f64 / rate;
        Some(self.spared.iter().map(|(size, took)| of_mirror(*size) - *took as f64 / 1000.0).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::FileName;

    fn record(by: By, delivered: u64, took: u64, shares: &[(&str, u64)]) -> JournalRecord {
        let shares = shares.iter().map(|(source, bytes)| Contribution { source: (*source).to_owned(), bytes: *bytes });
        let name = FileName::new("a-1-1-any.pkg.tar.zst").unwrap();
        JournalRecord { at: 10, took, by, repo: None, name, delivered, shares: shares.collect() }
    }

    fn sums(records: &[JournalRecord]) -> Stats {
        let mut stats = Stats::default();
        records.iter().for_each(|record| stats.add(record, false, "today"));
        stats
    }

    #[test]
    fn bytes_without_a_sender_were_here() {
        let stats = sums(&[
            record(By::Xfer, 100, 1, &[("mirror a", 100)]),
            record(By::Xfer, 50, 1, &[]),
            record(By::Xfer, 70, 1, &[("kubo", 60), ("mirror a", 10)]),
            record(By::Xfer, 0, 1, &[("mirror b", 5)]),
        ]);
        assert_eq!((stats.files, stats.delivered, stats.received(), stats.here()), (3, 220, 175, 45));
        assert_eq!((stats.sent_by_mirrors(), stats.of_kind("kubo"), stats.saved()), (115, 60, 105));
        assert_eq!(stats.sources["mirror a"], Sent { bytes: 110, files: 2 });
        assert_eq!(stats.days["today"].received["mirror"], 115);
    }

    #[test]
    fn what_was_fetched_ahead_and_never_asked_for_is_no_saving() {
        let stats = sums(&[record(By::Prefetch, 0, 1, &[("mirror a", 100)])]);
        assert_eq!((stats.files, stats.saved()), (0, -100));
    }

    #[test]
    fn time_saved_is_measured_against_what_mirrors_took_here() {
        let mirror = |size, took| record(By::Xfer, size, took, &[("mirror a", size)]);
        let stats = sums(&[
            mirror(1000, 40),
            mirror(1000, 50),
            mirror(1000, 900),
            mirror(1_000_000, 550),
            record(By::Xfer, 2_000_000, 100, &[("kubo", 2_000_000)]),
            record(By::Fetch, 2_000_000, 100, &[("kubo", 2_000_000)]),
        ]);
        let yardstick = stats.yardstick().unwrap();
        assert_eq!((yardstick.wait, yardstick.rate, yardstick.files), (50, 2_000_000.0, 4));
        // 50 ms and 1 s, of which 100 ms were needed.
        assert!((stats.seconds_saved().unwrap() - 0.95).abs() < 1e-9, "{:?}", stats.seconds_saved());
    }

    #[test]
    fn without_a_mirror_to_measure_nothing_is_claimed() {
        let stats = sums(&[record(By::Xfer, 2_000_000, 100, &[("kubo", 2_000_000)])]);
        assert_eq!(stats.seconds_saved(), None);
    }
}
