//! The record of one source's earlier transfers: its latency, its rate, and how often it lacked the file.
//!
//! A pure value: times are handed in. [`Records`] keeps them on disk, one line a host.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::fsx;

/// Shortest wait for a source that may be nearer: a neighbour's time for two questions over a slow wireless link.
pub(crate) const SHORTEST_WAIT: Duration = Duration::from_millis(50);

/// Consecutive files missing at a source after which it gets no more than the shortest wait.
const HOPELESS: u32 = 8;

/// Fewest bytes from which a rate is learned: fewer tell more about latency.
const ENOUGH: u64 = 1 << 20;

/// Most hosts in the record; the one that was silent for longest is dropped first.
const MOST_HOSTS: usize = 64;

/// Longest file that is read; a real one has at most `MOST_HOSTS` lines of about 50 bytes.
const MOST: u64 = 64 * 1024;

/// The record of one source. That of a new one is empty: [`SourceRecord::default`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SourceRecord {
    /// Time from the request to the first byte, averaged over the last few answers; `None` before the first.
    pub latency: Option<Duration>,
    /// Bytes a second, averaged over the last few transfers of 1 MiB and more; `None` before the first.
    pub rate: Option<u64>,
    /// Consecutive requests that it could not answer.
    pub misses: u32,
}

impl SourceRecord {
    /// Records a first byte after `latency`.
    pub fn answered(&mut self, latency: Duration) {
        self.misses = 0;
        self.latency = Some(self.latency.map_or(latency, |known| (known * 3 + latency) / 4));
    }

    /// Records `bytes` received within `took`. Too few of them are ignored.
    pub fn delivered(&mut self, bytes: u64, took: Duration) {
        if bytes < ENOUGH {
            return;
        }
        let rate = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
        self.rate = Some(self.rate.map_or(rate, |known| (known / 4) * 3 + rate / 4));
    }

    /// Records a request without a result.
    pub fn missed(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }

    /// Returns the longest wait for this source, which may be nearer than a mirror: as long as allowed while it
    /// has the files, which costs nothing; half of that for each miss in a row, but three times its usual latency.
    /// At least [`SHORTEST_WAIT`], and no more than that after `HOPELESS` misses.
    pub fn head_start(&self, most: Duration) -> Duration {
        if self.misses >= HOPELESS {
            return SHORTEST_WAIT.min(most);
        }
        let usual = self.latency.map_or(Duration::ZERO, |latency| latency * 3);
        (most / 2u32.pow(self.misses)).max(usual).max(SHORTEST_WAIT).min(most)
    }

    /// Returns the time that a mirror may take to answer before the next one is asked as well: at first as long as
    /// allowed, later eight times its usual latency, and at least a quarter of the allowed time. Generous, because
    /// an unneeded request is a burden for the second mirror.
    pub fn overlap(&self, most: Duration) -> Duration {
        self.latency.map_or(most, |latency| (latency * 8).clamp(most / 4, most))
    }
}

/// The records of hosts, on disk: `HOST LATENCY RATE MISSES SEEN` a line; microseconds, bytes a second, count,
/// Unix seconds; `-` for unknown.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    uid: u32,
    now: u64,
    known: BTreeMap<String, (SourceRecord, u64)>,
    changed: BTreeMap<String, (SourceRecord, u64)>,
    saved: Option<Instant>,
    /// False if nothing of it is written.
    is_kept: bool,
}

/// Shortest interval between writes of one process: a hundred small files bring a hundred observations.
const OFTEN: Duration = Duration::from_millis(250);

impl Records {
    /// Reads the file at `path`, which must belong to `uid`. Unreadable content is dropped. `now` in Unix seconds.
    pub(crate) fn read(path: &Path, uid: u32, now: u64) -> Self {
        let known = parse(&fsx::read_small(path, uid, MOST).unwrap_or_default());
        Self { path: path.to_owned(), uid, now, known, changed: BTreeMap::new(), saved: None, is_kept: true }
    }

    /// Reads again, for what other processes have recorded meanwhile.
    pub(crate) fn read_again(&mut self, now: u64) {
        self.known = parse(&fsx::read_small(&self.path, self.uid, MOST).unwrap_or_default());
        self.known.extend(self.changed.iter().map(|(host, record)| (host.clone(), *record)));
        self.now = now;
    }

    /// Returns the record of `host`.
    pub(crate) fn of(&self, host: &str) -> SourceRecord {
        self.known.get(host).map_or_else(SourceRecord::default, |(record, _)| *record)
    }

    /// Records an observation of `host`.
    pub(crate) fn note(&mut self, host: &str, learn: impl FnOnce(&mut SourceRecord)) {
        let (before, seen) = self.known.get(host).copied().unwrap_or_default();
        let mut after = before;
        learn(&mut after);
        if after == before && seen > 0 || host.contains(char::is_whitespace) {
            return;
        }
        self.known.insert(host.to_owned(), (after, self.now));
        self.changed.insert(host.to_owned(), (after, self.now));
    }

    /// Keeps observations for this call alone: none is written.
    pub(super) fn for_itself(mut self) -> Self {
        self.is_kept = false;
        self
    }

    /// Writes new observations; those of other processes about other hosts are kept. The file is replaced whole.
    /// Observations since the last write a moment ago are written a moment later, and at the end at the latest.
    ///
    /// Of two processes that write about one host at the same moment, one observation is lost, which costs a
    /// guess.
    pub(crate) fn save(&mut self) {
        if self.saved.is_none_or(|last| last.elapsed() >= OFTEN) {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.changed.is_empty() || !self.is_kept {
            return;
        }
        self.saved = Some(Instant::now());
        let mut all = parse(&fsx::read_small(&self.path, self.uid, MOST).unwrap_or_default());
        all.append(&mut self.changed);
        let mut lines: Vec<(&String, &(SourceRecord, u64))> = all.iter().collect();
        lines.sort_by_key(|(_, (_, seen))| std::cmp::Reverse(*seen));
        let text: String =
            lines.iter().take(MOST_HOSTS).map(|(host, (record, seen))| line(host, record, *seen)).collect();
        let _ = fsx::replace(&self.path, text.as_bytes(), 0o600);
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.write();
    }
}

/// Returns one line of it, break included.
pub fn line(host: &str, record: &SourceRecord, seen: u64) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let latency = record.latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    format!("{host} {} {} {} {seen}\n", number(latency), number(record.rate), record.misses)
}

/// Reads the text of such a file: each host's record, and when the host was last seen.
pub fn parse(bytes: &[u8]) -> BTreeMap<String, (SourceRecord, u64)> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [host, latency, rate, misses, seen] = words.as_slice() else { return None };
        // An hour of latency is no latency; sums of these values must not overflow.
        let latency = latency.parse().ok().filter(|micros| *micros < 3_600_000_000).map(Duration::from_micros);
        let record = SourceRecord { latency, rate: rate.parse().ok(), misses: misses.parse().ok()? };
        Some(((*host).to_owned(), (record, seen.parse().ok()?)))
    });
    lines.take(MOST_HOSTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_WAIT: Duration = Duration::from_millis(300);

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn read(dir: &Path, now: u64) -> Records {
        Records::read(&dir.join("pace"), rustix::process::getuid().as_raw(), now)
    }

    #[test]
    fn a_source_that_has_nothing_is_waited_for_half_as_long_each_time() {
        let mut record = SourceRecord::default();
        for expected in [300, 150, 75, 50, 50] {
            assert_eq!(record.head_start(MOST_WAIT), ms(expected));
            record.missed();
        }
        assert_eq!(SourceRecord::default().head_start(ms(10)), ms(10), "never more than is allowed");
    }

    #[test]
    fn a_source_that_needs_longer_is_waited_for_until_it_is_hopeless() {
        let mut record = SourceRecord::default();
        record.answered(ms(60));
        (1..HOPELESS).for_each(|_| record.missed());
        assert_eq!(record.head_start(MOST_WAIT), ms(180));
        record.missed();
        assert_eq!(record.head_start(MOST_WAIT), SHORTEST_WAIT);
        record.answered(ms(60));
        assert_eq!(record.head_start(MOST_WAIT), MOST_WAIT, "one answer is enough to hope again");
    }

    #[test]
    fn a_mirror_that_is_usually_quick_is_overlapped_sooner() {
        let mut record = SourceRecord::default();
        assert_eq!(record.overlap(ms(1000)), ms(1000));
        record.answered(ms(10));
        assert_eq!(record.overlap(ms(1000)), ms(250));
        (0..20).for_each(|_| record.answered(ms(100)));
        assert!(record.overlap(ms(1000)) > ms(700) && record.overlap(ms(1000)) <= ms(1000));
    }

    #[test]
    fn a_rate_is_learned_from_long_transfers_only() {
        let mut record = SourceRecord::default();
        record.delivered(1000, ms(1));
        assert_eq!(record.rate, None);
        record.delivered(10 << 20, ms(1000));
        assert_eq!(record.rate, Some(10 << 20));
        record.delivered(2 << 20, ms(1000));
        assert_eq!(record.rate, Some(8 << 20));
    }

    #[test]
    fn two_writers_keep_what_each_learned_about_its_own_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (read(dir.path(), 10), read(dir.path(), 11));
        one.note("a.example", |record| record.answered(ms(5)));
        two.note("b.example", |record| record.missed());
        one.save();
        two.save();
        let both = read(dir.path(), 12);
        assert_eq!(both.of("a.example").latency, Some(ms(5)));
        assert_eq!((both.of("b.example").misses, both.of("c.example")), (1, SourceRecord::default()));
    }

    #[test]
    fn the_file_stays_small_and_forgets_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        for now in 1..=100 {
            let mut records = read(dir.path(), now);
            records.note(&format!("m{now}.example"), |record| record.answered(ms(now)));
            records.save();
        }
        let records = read(dir.path(), 101);
        assert_eq!(records.of("m1.example"), SourceRecord::default());
        assert_eq!(records.of("m100.example").latency, Some(ms(100)));
        assert!(dir.path().join("pace").metadata().unwrap().len() < 4096);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(.*\n)*", host in "[a-z ]*") {
            for (known, (mut record, _)) in parse(text.as_bytes()) {
                record.answered(ms(1));
                record.delivered(u64::MAX, ms(1));
                record.missed();
                let _ = (record.head_start(MOST_WAIT), record.overlap(MOST_WAIT), line(&known, &record, 0), &host);
            }
        }
    }
}
