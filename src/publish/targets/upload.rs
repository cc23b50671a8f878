//! The blocks of a publication, made while they are sent to the daemon.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::PublishError;
use super::super::tree::TreeFile;
use crate::base::cid::Cid;
use crate::dag::{Block, build};
use crate::pins::{BlockSink, PinContent};

/// The progress of an upload, and the local failure that ended it.
#[derive(Clone, Default)]
pub(super) struct UploadState {
    /// Bytes of blocks passed to the connection.
    pub(super) sent: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<PublishError>>>,
}

impl UploadState {
    /// Returns why the upload was cut on this side, if it was.
    pub(super) fn failure(&self) -> Option<PublishError> {
        self.failed.lock().expect("nothing panics while it holds this").take()
    }

    /// Returns the content of a pin: the blocks of `files`, read while they are sent, then `blocks`; about `size`
    /// bytes.
    ///
    /// A file that changed since it was hashed cuts the stream.
    pub(super) fn content(&self, size: u64, blocks: Vec<Block>, files: Vec<TreeFile>) -> PinContent {
        let this = self.clone();
        let write = move |put: &mut BlockSink| {
            let mut block = |cid: Cid, bytes: &[u8]| {
                put(cid, bytes)?;
                this.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(())
            };
            let mut all = || -> Result<(), PublishError> {
                let at = |path: &PathBuf| {
                    let path = path.clone();
                    move |error| PublishError::Io { path, error }
                };
                for file in &files {
                    let source = File::open(&file.source).map_err(at(&file.source))?;
                    let built = build::build_blocks(source, &mut block).map_err(at(&file.source))?;
                    if file.hashed.cid != built.root {
                        return Err(PublishError::Changed(file.source.clone()));
                    }
                }
                // Directories after files: a reader that finds the root finds everything below it.
                blocks.iter().try_for_each(|b| block(b.cid, &b.bytes)).map_err(at(&PathBuf::new()))
            };
            match all() {
                Ok(()) => Ok(()),
                // The request has ended.
                Err(PublishError::Io { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
                Err(error) => {
                    *this.failed.lock().expect("nothing panics while it holds this") = Some(error);
                    Err(io::Error::other("the upload was stopped"))
                }
            }
        };
        PinContent { size, is_claimed: true, write: Arc::new(write) }
    }
}
