//! Reads pieces of files for the thread of the connections, which waits for no disk: at once where the bytes are in
//! memory, else on another thread.

use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::base::fsx;

/// Most bytes of one piece.
pub(super) const PIECE: u64 = 64 << 10;

/// A piece that is being read on another thread.
#[derive(Debug)]
pub(super) struct ReadingPiece(JoinHandle<io::Result<Vec<u8>>>);

/// Reads at most `len` bytes at `at`, one at least unless it is the end of the file: at once, or by another thread.
pub(super) fn begin(file: &Arc<File>, at: u64, len: u64) -> Result<io::Result<Vec<u8>>, ReadingPiece> {
    let most = len.min(PIECE);
    if let Some(read) = usize::try_from(most).ok().and_then(|most| fsx::read_cached(file, at, most)) {
        return Ok(read);
    }
    let file = Arc::clone(file);
    Err(ReadingPiece(tokio::task::spawn_blocking(move || fsx::read_part(&file, at, most))))
}

/// Reads it, and waits meanwhile.
pub(super) async fn read(file: &Arc<File>, at: u64, len: u64) -> io::Result<Vec<u8>> {
    match begin(file, at, len) {
        Ok(read) => read,
        Err(reading) => reading.await,
    }
}

impl Future for ReadingPiece {
    type Output = io::Result<Vec<u8>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let read = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(read.unwrap_or_else(|e| Err(io::Error::other(e))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_the_bytes_of_the_file_wherever_they_are_read() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), &bytes).unwrap();
        // One on a disk, and one in memory, whose file system may not tell what it has.
        let files = [File::open(dir.path().join("x")).unwrap(), fsx::in_memory(&bytes).unwrap()];
        for file in files.map(Arc::new) {
            let (mut at, size) = (0, bytes.len() as u64);
            while at < size {
                let piece = read(&file, at, size - at).await.unwrap();
                assert!(!piece.is_empty() && piece.len() as u64 <= PIECE);
                assert!(bytes[usize::try_from(at).unwrap()..].starts_with(&piece));
                at += piece.len() as u64;
            }
            assert!(read(&file, size, 9).await.unwrap().is_empty());
            assert_eq!(read(&file, 7, 5).await.unwrap(), bytes[7..12]);
        }
    }
}
