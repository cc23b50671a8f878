//! A `file://` server: a directory of this machine, of which only regular files are read.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use futures_util::{FutureExt as _, StreamExt as _, stream};

use crate::base::clock;
use crate::base::fsx;
use crate::engine::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};

/// Bytes in one piece.
const PIECE: usize = 256 * 1024;

/// A local path.
pub struct LocalFile {
    path: PathBuf,
    most: u64,
}

impl LocalFile {
    /// Makes a source of the file at `path`, of at most `most` bytes.
    pub fn new(path: PathBuf, most: u64) -> Self {
        Self { path, most }
    }

    fn read(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        // Mirrors on disk are often trees of links; the link is followed, but its target must be a regular file.
        let path = std::fs::canonicalize(&self.path).map_err(|e| miss(&e))?;
        let mut file = fsx::open_read(&path).map_err(|e| miss(&e))?;
        let meta = file.metadata().map_err(|e| miss(&e))?;
        if meta.len() > self.most {
            return Err(Miss::Corrupt(format!("more than {} bytes", self.most)));
        }
        let modified = meta.modified().ok();
        if question.newer_than.is_some() && modified.map(clock::unix) <= question.newer_than.map(clock::unix) {
            return Ok(SourceAnswer::Unchanged);
        }
        let start = question.from.min(meta.len());
        file.seek(SeekFrom::Start(start)).map_err(|e| miss(&e))?;
        let file = file.take(question.until.map_or(u64::MAX, |until| until.saturating_sub(start)));
        let body = stream::try_unfold(file, |mut file| async move {
            let mut piece = vec![0; PIECE];
            let got = file.read(&mut piece).map_err(|e| miss(&e))?;
            piece.truncate(got);
            Ok((got > 0).then(|| (bytes::Bytes::from(piece), file)))
        });
        Ok(SourceAnswer::Bytes { start, size: Some(meta.len()), modified, body: body.boxed_local() })
    }
}

impl Source for LocalFile {
    fn kind(&self) -> SourceKind {
        SourceKind::File
    }

    fn location(&self) -> String {
        self.path.parent().unwrap_or(&self.path).display().to_string()
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        std::future::ready(self.read(question)).boxed_local()
    }
}

fn miss(e: &std::io::Error) -> Miss {
    match e.kind() {
        std::io::ErrorKind::NotFound => Miss::Absent("no such file".to_owned()),
        _ => Miss::Unreachable(e.to_string()),
    }
}
