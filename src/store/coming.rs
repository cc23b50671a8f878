//! The files that are coming in one run of pacman: the list of the read-ahead, and what pacman has been given of it.
//!
//! Two small files in the store, beside the health of the run: `list-RUN`, written once by the process that reads
//! ahead, and `done-RUN`, to which each call appends a line of the journal's form. They are for people alone: what the
//! run has still to fetch stands beside a bar, and its last call closes it with a sum. They end with the run.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::store::journal::JournalRecord;

/// Longest file that is read: ten thousand packages and their signatures.
const MOST: u64 = 4 << 20;

/// A file that pacman is going to ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ComingFile {
    /// Its name.
    pub(crate) name: FileName,
    /// Its sha256 and size in bytes; `None` for a file without a proof.
    pub(crate) exact: Option<(Sha256, u64)>,
}

/// The two files of one run.
#[derive(Clone, Debug)]
pub(crate) struct ComingFiles {
    list: PathBuf,
    done: PathBuf,
    uid: u32,
}

impl ComingFiles {
    /// Names those of the run `run` in `dir`, the directory for the health of sources. Files of another user than
    /// `uid` are not read.
    pub(crate) fn of(dir: &Path, run: &str, uid: u32) -> Self {
        Self { list: dir.join(format!("list-{run}")), done: dir.join(format!("done-{run}")), uid }
    }

    /// Writes the list. Without it nothing is shown.
    pub(crate) fn announce(&self, files: &[ComingFile]) {
        let mut text = String::new();
        for ComingFile { name, exact } in files {
            let _ = match exact {
                Some((sha256, size)) => writeln!(text, "{size} {sha256} {name}"),
                None => writeln!(text, "- - {name}"),
            };
        }
        let _ = fsx::replace(&self.list, text.as_bytes(), 0o600);
    }

    /// Returns the list; `None` where the read-ahead has written none.
    pub(crate) fn list(&self) -> Option<Vec<ComingFile>> {
        let bytes = fsx::read_small(&self.list, self.uid, MOST).ok()?;
        std::str::from_utf8(&bytes).ok()?.lines().map(coming_file).collect()
    }

    /// Records a file that pacman was given. Lost where the store cannot be written to, without further harm.
    pub(crate) fn hand_out(&self, record: &JournalRecord) {
        if let Ok(mut file) = File::options().append(true).create(true).mode(0o600).open(&self.done) {
            let _: io::Result<()> = file.write_all(record.to_line().as_bytes());
        }
    }

    /// Returns the files that pacman was given, in this order.
    pub(crate) fn handed_out(&self) -> Vec<JournalRecord> {
        let bytes = fsx::read_small(&self.done, self.uid, MOST).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().filter_map(JournalRecord::from_line).collect()
    }

    /// True if pacman may have been given all: as many lines are recorded as are listed. Each call of a run asks this, so
    /// nothing is parsed or kept.
    pub(crate) fn may_be_whole(&self) -> bool {
        let lines = |path| fsx::count_lines(path, self.uid, MOST);
        lines(&self.list).is_ok_and(|listed| lines(&self.done).is_ok_and(|done| done >= listed))
    }

    /// Removes both.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.list);
        let _ = std::fs::remove_file(&self.done);
    }
}

fn coming_file(line: &str) -> Option<ComingFile> {
    let mut words = line.splitn(3, ' ');
    let (size, sha256, name) = (words.next()?, words.next()?, words.next()?);
    let exact = match size {
        "-" => None,
        size => Some((sha256.parse().ok()?, size.parse().ok()?)),
    };
    Some(ComingFile { name: FileName::new(name).ok()?, exact })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::By;

    #[test]
    fn what_is_announced_and_handed_out_is_known_to_other_processes() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let files = ComingFiles::of(dir.path(), "7-1", uid);
        assert!(files.list().is_none() && files.handed_out().is_empty());
        let name = |name: &str| FileName::new(name).unwrap();
        let list = vec![
            ComingFile { name: name("a b-1-1-any.pkg.tar.zst"), exact: Some((Sha256::of(b"a"), 7)) },
            ComingFile { name: name("a b-1-1-any.pkg.tar.zst.sig"), exact: None },
        ];
        assert!(!files.may_be_whole(), "nothing is listed");
        files.announce(&list);
        assert_eq!(files.list(), Some(list));
        let record = JournalRecord {
            at: 1,
            took: 0,
            by: By::Xfer,
            repo: None,
            name: name("a b-1-1-any.pkg.tar.zst"),
            delivered: 7,
            shares: Vec::new(),
        };
        files.hand_out(&record);
        assert!(!files.may_be_whole(), "one of two");
        files.hand_out(&record);
        assert!(files.may_be_whole());
        assert_eq!(ComingFiles::of(dir.path(), "7-1", uid).handed_out(), [record.clone(), record]);
        assert!(ComingFiles::of(dir.path(), "8-1", uid).list().is_none());
        files.remove();
        assert!(files.list().is_none() && files.handed_out().is_empty());
    }
}
