//! The documents that the daemon hands out: as files, because they may be longer than a message.
//!
//! A process with a descriptor can keep the file open for any time. So there are few files, rewritten in turn, and
//! their disk use does not grow with the number of requests (test `documents_kept_open_take_no_room`).

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::base::fsx;

/// The documents of one kind.
pub(super) struct Documents {
    most: usize,
    fresh: Duration,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// In the order of writing; the newest is at the back.
    written: VecDeque<File>,
    last: Option<Instant>,
}

impl Documents {
    /// Creates documents in `most` files. A document younger than `fresh` is handed out again, so a reader has
    /// `most` times `fresh` before its file may be rewritten.
    pub(super) fn new(most: usize, fresh: Duration) -> Self {
        Self { most, fresh, files: Mutex::default() }
    }

    /// Has the next document made anew.
    pub(super) fn expire(&self) {
        self.files.lock().expect("nothing panics while it is held").last = None;
    }

    /// Returns the result of `make`, or a recent one, as a file for reading only, at its beginning.
    ///
    /// # Errors
    /// When the disk is full; trying again may help.
    pub(super) fn get(&self, make: impl FnOnce() -> Value) -> io::Result<File> {
        let mut files = self.files.lock().expect("nothing panics while it is held");
        let is_fresh = files.last.is_some_and(|last| last.elapsed() < self.fresh);
        if is_fresh && let Some(last) = files.written.back() {
            return fsx::reading(last);
        }
        let oldest = if files.written.len() < self.most { None } else { files.written.pop_front() };
        let file = oldest.map_or_else(tempfile::tempfile, Ok)?;
        file.set_len(0)?;
        file.write_all_at(make().to_string().as_bytes(), 0)?;
        let document = fsx::reading(&file)?;
        files.written.push_back(file);
        files.last = Some(Instant::now());
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    fn read(mut file: File) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn documents_kept_open_take_no_room() {
        let documents = Documents::new(4, Duration::ZERO);
        let kept: Vec<File> = (0..100).map(|i| documents.get(|| format!("{i:05}").into()).unwrap()).collect();
        let files: BTreeSet<u64> = kept.iter().map(|file| file.metadata().unwrap().ino()).collect();
        assert_eq!(files.len(), 4);
        assert_eq!(read(kept.into_iter().next_back().unwrap()), "\"00099\"");
        assert_eq!(read(documents.get(|| 1.into()).unwrap()), "1", "nothing of the longer one is left");
    }

    #[test]
    fn a_fresh_document_is_handed_out_again_and_each_reader_begins_at_its_beginning() {
        let documents = Documents::new(4, Duration::from_secs(3600));
        for _ in 0..3 {
            assert_eq!(read(documents.get(|| "first".into()).unwrap()), "\"first\"");
        }
        assert_eq!(read(documents.get(|| unreachable!()).unwrap()), "\"first\"");
    }
}
