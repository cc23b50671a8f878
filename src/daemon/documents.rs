//! The documents that are handed out: files, because they may be longer than a message.
//!
//! Who has a descriptor keeps the file for as long as he likes, so there are few of them, written again and again: what
//! they take on the disk does not grow with how often somebody asks (test `documents_kept_open_take_no_room`).

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The documents of one kind.
pub(super) struct Documents {
    most: usize,
    fresh: Duration,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// The one that was written last is the last one.
    written: VecDeque<File>,
    last: Option<Instant>,
}

impl Documents {
    /// Documents in `most` files. One that is younger than `fresh` is handed out again; so its reader has `most` times
    /// `fresh` until it may be written to.
    pub(super) fn new(most: usize, fresh: Duration) -> Self {
        Self { most, fresh, files: Mutex::default() }
    }

    /// What `make` says, or said a moment ago, for reading only and from its beginning.
    ///
    /// # Errors
    /// When there is no room for it; trying again may help.
    pub(super) fn get(&self, make: impl FnOnce() -> Value) -> io::Result<File> {
        let mut files = self.files.lock().expect("nothing panics while it is held");
        let is_fresh = files.last.is_some_and(|last| last.elapsed() < self.fresh);
        if is_fresh && let Some(last) = files.written.back() {
            return reading(last);
        }
        let oldest = if files.written.len() < self.most { None } else { files.written.pop_front() };
        let file = oldest.map_or_else(tempfile::tempfile, Ok)?;
        file.set_len(0)?;
        file.write_all_at(make().to_string().as_bytes(), 0)?;
        let document = reading(&file)?;
        files.written.push_back(file);
        files.last = Some(Instant::now());
        Ok(document)
    }
}

/// The same file, opened anew for reading only.
pub(super) fn reading(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
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
