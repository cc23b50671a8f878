//! The journal: one line for every file that was delivered or fetched, for `stats` and `why`.
//!
//! Each delivery waits for this, so it is one `write` to a file opened for appending: the kernel puts whole lines
//! of concurrent writers one after the other (write(2), O_APPEND). Readers skip a line that a crash or a full disk
//! cut short. Two files of [`TURN`] bytes are kept, together about 80,000 files; the older half goes first.
//!
//! Each store has its own journal, written by the user who owns the store. Files fetched by the download user for
//! pacman and files fetched by a person are therefore in two journals; other users may read them.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::base::fsx;

mod origin;
mod record;

pub(crate) use origin::FileOrigin;
pub use record::{By, Contribution, JournalRecord};

/// Bytes at which the file is rotated.
const TURN: u64 = 4 << 20;

/// Most bytes of one file that are read: a longer one was not written by pkgswarm.
const READ_MOST: u64 = 4 * TURN;

/// The journal of one store.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    turn: u64,
}

impl Journal {
    /// Opens the journal in `dir`, the store's directory, which must exist.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), turn: TURN }
    }

    /// Adds a line: one file opened, one write (`cargo bench -- journal` measures it).
    ///
    /// # Errors
    /// The disk is full, or the directory belongs to another user. Nothing but these statistics depends on it.
    pub fn note(&self, record: &JournalRecord) -> io::Result<()> {
        let mut file = File::options().append(true).create(true).mode(0o644).open(self.file())?;
        file.write_all(record.to_line().as_bytes())?;
        if file.metadata()?.len() > self.turn {
            self.put_aside()?;
        }
        Ok(())
    }

    /// Rotates the file. If another process is rotating, leaves it to that one; a process with the old file open
    /// keeps writing to that.
    fn put_aside(&self) -> io::Result<()> {
        let lock =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(self.dir.join("journal.lock"))?;
        // Checked again under the lock: rotating twice would lose the first file. It is absent if another process
        // has just rotated it.
        if lock.try_lock().is_ok() && std::fs::metadata(self.file()).is_ok_and(|meta| meta.len() > self.turn) {
            std::fs::rename(self.file(), self.old())?;
        }
        Ok(())
    }

    /// Calls `each` with every record that ended at `since` (Unix seconds) or later, in the order of writing.
    ///
    /// # Errors
    /// A file that exists and cannot be read. A missing file is no error.
    pub(crate) fn read(&self, since: u64, mut each: impl FnMut(JournalRecord)) -> io::Result<()> {
        for path in self.files() {
            let file = match fsx::open_read(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            records(BufReader::new(file.take(READ_MOST)), |record| {
                if record.at >= since {
                    each(record);
                }
            })?;
        }
        Ok(())
    }

    /// Returns its files, the older one first; either may be absent.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [self.old(), self.file()]
    }

    fn file(&self) -> PathBuf {
        self.dir.join("journal")
    }

    fn old(&self) -> PathBuf {
        self.dir.join("journal.old")
    }
}

/// Calls `each` with the record of every complete and well-formed line; others are skipped.
///
/// # Errors
/// Those of reading.
pub fn records(mut text: impl BufRead, mut each: impl FnMut(JournalRecord)) -> io::Result<()> {
    let mut line = Vec::new();
    while text.read_until(b'\n', &mut line)? > 0 {
        // A line without its end is still being written.
        let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        if let Some(record) = whole.and_then(JournalRecord::from_line) {
            each(record);
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::FileName;

    fn record(at: u64, bytes: u64) -> JournalRecord {
        let name = FileName::new("a-1-1-any.pkg.tar.zst").unwrap();
        let shares = vec![Contribution { source: "mirror m.example".to_owned(), bytes }];
        JournalRecord { at, took: 1, by: By::Xfer, repo: None, name, delivered: bytes, shares }
    }

    fn read(journal: &Journal, since: u64) -> Vec<JournalRecord> {
        let mut records = Vec::new();
        journal.read(since, |record| records.push(record)).unwrap();
        records
    }

    #[test]
    fn what_was_noted_is_read_in_order_and_by_age() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::at(dir.path());
        assert_eq!(read(&journal, 0), []);
        for at in 1..=3 {
            journal.note(&record(at, at)).unwrap();
        }
        assert_eq!(read(&journal, 2), [record(2, 2), record(3, 3)]);
    }

    #[test]
    fn torn_lines_and_strange_bytes_cost_only_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::at(dir.path());
        std::fs::write(dir.path().join("journal"), b"17\xff\n\n5\tx\n1\t1\txf").unwrap();
        journal.note(&record(1, 1)).unwrap();
        journal.note(&record(2, 2)).unwrap();
        assert_eq!(read(&journal, 0), [record(2, 2)], "the first line after the torn one is lost with it");
    }

    #[test]
    fn concurrent_writers_lose_nothing_and_the_size_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal { turn: 40_000, ..Journal::at(dir.path()) };
        // Fewer bytes than two files hold, so that all records must be there; more than one, so that it rotates.
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let journal = journal.clone();
                scope.spawn(move || (0..120).for_each(|i| journal.note(&record(thread * 1000 + i, 1)).unwrap()));
            }
        });
        let mut seen: Vec<u64> = read(&journal, 0).into_iter().map(|record| record.at).collect();
        seen.sort_unstable();
        let all: Vec<u64> = (0..8).flat_map(|thread| (0..120).map(move |i| thread * 1000 + i)).collect();
        assert_eq!(seen, all);
        for i in 0..3000 {
            journal.note(&record(i, 1)).unwrap();
        }
        let held: u64 =
            ["journal", "journal.old"].iter().map(|name| dir.path().join(name).metadata().unwrap().len()).sum();
        assert!(held < 2 * (40_000 + 100), "{held}");
        assert!(dir.path().join("journal.old").exists(), "it did turn over");
    }

    #[test]
    fn a_link_in_its_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("journal")).unwrap();
        assert!(Journal::at(dir.path()).read(0, |_| {}).is_err());
    }
}
