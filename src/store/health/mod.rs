//! Earlier calls' knowledge of sources: which are down, how much of the head start is spent, whether the user
//! pressed ^C.
//!
//! pacman starts one process a file; without this every file would pay again for a dead daemon or mirror. The
//! record only reorders sources: it never removes the last one. Small text files in the store, replaced whole;
//! when two processes write at once the last one wins, which costs at most one more try. A ^C has a file of its
//! own, which no other record overwrites.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::base::clock;
use crate::base::fsx;
use crate::base::miss::Miss;
use crate::store::health::memory::HealthMemory;
use crate::store::health::record::{Records, SourceRecord};

pub mod memory;
pub mod record;

/// Time for which every pacman run asks a host last after it did not answer.
const BRIEFLY: Duration = Duration::from_secs(60);

/// Seconds after a ^C in which its pacman run fetches nothing more. pacman goes on with the next server after two
/// seconds, and each refusal starts them anew; a parent that is a shell goes on for ever.
const INTERRUPTED: u64 = 60;

/// Times in a row that a peer may be too slow in one transaction before it is asked last.
const LATE_MOST: u32 = 3;

/// Seconds for which a file that no source delivered is asked only of the server that pacman names.
const LOST: u64 = 600;

/// The record of one pacman run, and of hosts for all.
#[derive(Debug)]
pub struct Health {
    files: HealthFiles,
    now: u64,
    /// End of the time in which nothing is fetched, in Unix seconds.
    stop: u64,
    memory: HealthMemory,
    hosts: HealthMemory,
    records: Records,
    changed: bool,
    /// False if nothing of it is written.
    is_kept: bool,
}

/// The places of the record; files of other users are not read.
#[derive(Debug)]
struct HealthFiles {
    run: PathBuf,
    hosts: PathBuf,
    stop: PathBuf,
    uid: u32,
}

impl Health {
    /// Reads the record in `dir` for the pacman run `key`. Unreadable content is dropped.
    pub fn read(dir: &Path, key: &str, uid: u32, now: SystemTime) -> Self {
        let now = clock::unix(now);
        let (run, stop) = (dir.join(format!("run-{key}")), dir.join(format!("stop-{key}")));
        let files = HealthFiles { run, hosts: dir.join("hosts"), stop, uid };
        let stop = stop_until(&files.stop, uid);
        let memory = HealthMemory::read(&files.run, uid);
        let hosts = HealthMemory::read(&files.hosts, uid);
        let records = Records::read(&dir.join("pace"), uid, now);
        Self { files, now, stop, memory, hosts, records, changed: false, is_kept: true }
    }

    /// Keeps observations for this call alone: none is written, so that work in the background takes nothing from the
    /// run of pacman that started it (test `what_a_call_keeps_for_itself_is_no_record`).
    pub(crate) fn for_itself(self) -> Self {
        Self { is_kept: false, records: self.records.for_itself(), ..self }
    }

    /// Reads again, for what other processes have recorded meanwhile.
    pub(crate) fn learn_from_others(&mut self, now: SystemTime) {
        self.now = clock::unix(now);
        let HealthFiles { run, hosts, stop, uid } = &self.files;
        self.memory = HealthMemory::read(run, *uid);
        self.hosts = HealthMemory::read(hosts, *uid);
        self.stop = stop_until(stop, *uid);
        self.records.read_again(self.now);
    }

    /// Returns the record of earlier transfers from `host`.
    pub(crate) fn record(&self, host: &str) -> SourceRecord {
        self.records.of(host)
    }

    /// Records an observation of `host`.
    pub(crate) fn note(&mut self, host: &str, learn: impl FnOnce(&mut SourceRecord)) {
        self.records.note(host, learn);
    }

    /// Returns the rest of the head start.
    pub(crate) fn head_start(&self, whole: Duration) -> Duration {
        whole.saturating_sub(self.memory.head_start_spent)
    }

    /// Records head start that was spent without a result.
    pub(crate) fn spend(&mut self, spent: Duration) {
        self.changed |= spent > Duration::ZERO;
        self.memory.head_start_spent += spent;
    }

    /// Returns true after the user pressed ^C in this pacman run.
    pub fn is_interrupted(&self) -> bool {
        self.stop > self.now
    }

    /// Records a ^C at `now`, for all processes and at once.
    pub(crate) fn interrupt(&mut self, now: SystemTime) {
        // The call may have run for long.
        self.now = clock::unix(now);
        self.stop = self.now + INTERRUPTED;
        let _ = fsx::replace(&self.files.stop, self.stop.to_string().as_bytes(), 0o600);
    }

    /// Returns true when every source of the file has failed in this pacman run.
    pub(crate) fn is_lost(&self, name: &str) -> bool {
        self.memory.lost.get(name).is_some_and(|until| *until > self.now)
    }

    /// Records that every source of the file has failed.
    pub(crate) fn lost(&mut self, name: &str) {
        self.memory.lost.insert(name.to_owned(), self.now + LOST);
        self.changed = true;
    }

    /// Returns true when `host` did not answer lately.
    pub fn is_down(&self, host: &str) -> bool {
        let down = |memory: &HealthMemory| memory.down.get(host).is_some_and(|until| *until > self.now);
        down(&self.memory) || down(&self.hosts)
    }

    /// Returns true when a [`Health::is_down`] host did not answer, and false when it sent something else than expected.
    pub(crate) fn is_silent(&self, host: &str) -> bool {
        self.hosts.down.get(host).is_some_and(|until| *until > self.now)
    }

    /// Records that `host` did not answer, or asked for no requests during `rest`.
    pub(crate) fn down(&mut self, host: &str, rest: Option<Duration>) {
        let until = self.now + rest.unwrap_or(BRIEFLY).as_secs();
        self.hosts.down.insert(host.to_owned(), until);
        // A pacman run remembers for as long as it runs.
        self.memory.down.insert(host.to_owned(), until.max(self.now + 24 * 3600));
        self.changed = true;
    }

    /// Records that `host` did not deliver, and asks it last from now on where that is likely to happen again.
    ///
    /// A `peer` (a neighbour, or Kubo) that was too slow once costs that file alone: this machine may have been busy.
    /// After [`LATE_MOST`] times without a success between it counts as one that does not answer (test
    /// `a_peer_that_is_late_once_is_asked_first_again`).
    pub fn missed(&mut self, host: &str, miss: &Miss, is_peer: bool) {
        match miss {
            Miss::Stalled(_) | Miss::Slow(0) if is_peer => {
                let late = self.memory.late.entry(host.to_owned()).or_default();
                *late = late.saturating_add(1);
                self.changed = true;
                if *late >= LATE_MOST {
                    self.down(host, None);
                }
            }
            Miss::Unreachable(_) | Miss::Untrusted(_) | Miss::Stalled(_) | Miss::Slow(0) => self.down(host, None),
            Miss::Busy(_, rest) => self.down(host, Some(*rest).filter(|rest| !rest.is_zero())),
            Miss::Absent(_) | Miss::Broken(_) | Miss::Slow(_) | Miss::Corrupt(_) | Miss::Local(_) => {}
        }
    }

    /// Records that `host` sent something else than expected: it is asked last in this pacman run.
    pub(crate) fn lied(&mut self, host: &str) {
        self.memory.down.insert(host.to_owned(), self.now + 24 * 3600);
        self.changed = true;
    }

    /// Records that `host` answers again.
    pub fn up(&mut self, host: &str) {
        self.changed |= self.hosts.down.remove(host).is_some() | self.memory.down.remove(host).is_some();
        self.changed |= self.memory.late.remove(host).is_some();
    }

    /// Returns the URL that delivered `name` in this pacman run.
    pub(crate) fn origin(&self, name: &str) -> Option<&str> {
        self.memory.from.get(name).map(String::as_str)
    }

    /// Records the URL that delivered `name`.
    pub(crate) fn delivered(&mut self, name: &str, url: &str) {
        if self.memory.from.len() < 64 {
            self.changed |= self.memory.from.insert(name.to_owned(), url.to_owned()).as_deref() != Some(url);
        }
    }

    /// Returns true once in a pacman run: the caller then asks the mirrors about all databases.
    pub(crate) fn begin_batch(&mut self) -> bool {
        self.changed |= !self.memory.asked;
        !std::mem::replace(&mut self.memory.asked, true)
    }

    /// Records the answer of `host` that the database `name` has not changed since the file in use, which was in
    /// this `state` (one word).
    pub(crate) fn unchanged(&mut self, name: &str, state: &str, host: &str) {
        self.memory.unchanged.insert(name.to_owned(), (state.to_owned(), host.to_owned()));
        self.changed = true;
    }

    /// Returns the host that reported in this pacman run that the database `name` has not changed, if its file is
    /// still in this `state`. Valid once: a second request is a new question.
    pub(crate) fn take_unchanged(&mut self, name: &str, state: &str) -> Option<String> {
        let (then, host) = self.memory.unchanged.remove(name)?;
        self.changed = true;
        (then == state).then_some(host)
    }

    /// Writes new observations. In a store that cannot be written to they are lost, without further harm.
    pub fn save(&mut self) {
        if !self.is_kept {
            return;
        }
        self.records.save();
        if std::mem::take(&mut self.changed) {
            let _ = fsx::replace(&self.files.run, self.memory.to_text(self.now).as_bytes(), 0o600);
            let hosts = self.hosts.to_text(self.now);
            if HealthMemory::read(&self.files.hosts, self.files.uid) != self.hosts {
                let _ = fsx::replace(&self.files.hosts, hosts.as_bytes(), 0o600);
            }
        }
    }

    /// Removes the records of transactions older than a day.
    pub(crate) fn tidy(dir: &Path) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let old = entry.metadata().ok().and_then(|meta| meta.modified().ok()?.elapsed().ok());
            if old.is_some_and(|age| age > Duration::from_secs(24 * 3600)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Returns the time that [`Health::interrupt`] has written; 0 without one.
fn stop_until(path: &Path, uid: u32) -> u64 {
    let bytes = fsx::read_small(path, uid, 20).unwrap_or_default();
    std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn read(dir: &Path, key: &str, now: u64) -> Health {
        let uid = rustix::process::getuid().as_raw();
        Health::read(dir, key, uid, at(now))
    }

    fn at(now: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(now)
    }

    #[test]
    fn the_head_start_is_spent_once_a_transaction() {
        let dir = tempfile::tempdir().unwrap();
        let mut health = read(dir.path(), "7-1", 1000);
        health.spend(Duration::from_millis(250));
        health.save();
        let whole = Duration::from_millis(300);
        assert_eq!(read(dir.path(), "7-1", 1000).head_start(whole), Duration::from_millis(50));
        assert_eq!(read(dir.path(), "8-1", 1000).head_start(whole), whole);
    }

    #[test]
    fn what_a_call_keeps_for_itself_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut health = read(dir.path(), "7-1", 1000).for_itself();
        health.spend(Duration::from_millis(250));
        health.down("m.example", None);
        health.note("kubo", SourceRecord::missed);
        health.save();
        let whole = Duration::from_millis(300);
        assert_eq!(read(dir.path(), "7-1", 1000).head_start(whole), whole);
        assert!(health.is_down("m.example") && !read(dir.path(), "8-1", 1000).is_down("m.example"));
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was written");
    }

    #[test]
    fn a_dead_host_is_known_to_all_for_a_minute_and_to_its_transaction_for_longer() {
        let dir = tempfile::tempdir().unwrap();
        let mut health = read(dir.path(), "7-1", 1000);
        health.down("m.example", None);
        health.save();
        assert!(read(dir.path(), "8-1", 1059).is_down("m.example"));
        assert!(!read(dir.path(), "8-1", 1061).is_down("m.example"));
        assert!(read(dir.path(), "7-1", 1061).is_down("m.example"));
        let mut health = read(dir.path(), "7-1", 1010);
        health.up("m.example");
        health.save();
        assert!(!read(dir.path(), "7-1", 1011).is_down("m.example"));
    }

    #[test]
    fn a_file_that_was_lost_is_remembered_in_its_transaction_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let mut health = read(dir.path(), "7-1", 1000);
        health.lost("a b.pkg.tar.zst");
        health.save();
        assert!(read(dir.path(), "7-1", 1599).is_lost("a b.pkg.tar.zst"));
        assert!(!read(dir.path(), "7-1", 1600).is_lost("a b.pkg.tar.zst"));
        assert!(!read(dir.path(), "8-1", 1001).is_lost("a b.pkg.tar.zst"));
    }

    #[test]
    fn a_peer_that_is_late_once_is_asked_first_again() {
        let dir = tempfile::tempdir().unwrap();
        let late = Miss::Stalled(Duration::from_millis(50));
        let miss = |host: &str, miss: &Miss, is_peer| {
            let mut health = read(dir.path(), "7-1", 1000);
            health.missed(host, miss, is_peer);
            health.save();
            read(dir.path(), "7-1", 1001).is_down(host)
        };
        assert_eq!([1, 2, 3].map(|_| miss("lan", &late, true)), [false, false, true]);
        assert!(miss("kubo", &Miss::Unreachable("refused".to_owned()), true), "it does not run");
        assert!(miss("m.example", &late, false), "a mirror costs seconds each time");
        let mut health = read(dir.path(), "8-1", 1100);
        health.missed("lan", &late, true);
        health.missed("lan", &Miss::Slow(0), true);
        health.up("lan");
        health.missed("lan", &late, true);
        assert!(!health.is_down("lan"), "it has delivered between");
    }

    #[test]
    fn a_liar_is_asked_last_in_its_transaction_and_by_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut health = read(dir.path(), "7-1", 1000);
        health.lied("m.example");
        health.save();
        assert!(read(dir.path(), "7-1", 1061).is_down("m.example"));
        assert!(!read(dir.path(), "8-1", 1001).is_down("m.example"));
    }

    #[test]
    fn an_interrupted_transaction_stays_interrupted_while_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        // Long after the call began.
        read(dir.path(), "7-1", 100).interrupt(at(1000));
        let mut health = read(dir.path(), "7-1", 1059);
        assert!(health.is_interrupted());
        health.interrupt(at(1059));
        assert!(read(dir.path(), "7-1", 1100).is_interrupted());
        let health = read(dir.path(), "7-1", 9000);
        assert!(!health.is_interrupted(), "a shell that started us is not a pacman that ends");
        assert!(!read(dir.path(), "8-1", 1059).is_interrupted());
    }

    #[test]
    fn a_later_write_does_not_undo_that_the_user_said_stop() {
        let dir = tempfile::tempdir().unwrap();
        let mut under_way = read(dir.path(), "7-1", 1000);
        read(dir.path(), "7-1", 1000).interrupt(at(1000));
        under_way.spend(Duration::from_millis(1));
        under_way.save();
        assert!(read(dir.path(), "7-1", 1001).is_interrupted());
        under_way.learn_from_others(at(1001));
        assert!(under_way.is_interrupted());
    }
}
