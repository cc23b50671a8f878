//! The body of an answer: nothing, a text, the part of a file, or proven pieces as they come. Never more in memory than
//! a few pieces, whatever the size of the file.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::connections::AnswerMark;
use super::here::FileContent;
use super::piece::{self, ReadingPiece};
use super::running::RunningAnswer;

/// The body of one answer.
pub(super) struct AnswerBody {
    content: Content,
    /// Bytes that are still to come.
    left: u64,
    running: Option<RunningAnswer>,
    /// The connection is busy until the body is dropped.
    _mark: Option<AnswerMark>,
}

enum Content {
    Nothing,
    Bytes(Bytes),
    File(FilePieces),
    /// Pieces of a file that is on its way. No more come after a doubt.
    Coming(mpsc::Receiver<Bytes>),
}

/// A file that is sent in pieces.
struct FilePieces {
    file: Arc<File>,
    /// Offset of the next byte.
    at: u64,
    /// Set while another thread reads the next piece.
    reading: Option<ReadingPiece>,
}

impl FilePieces {
    fn poll(&mut self, left: u64, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let read = match &mut self.reading {
            Some(reading) => ready!(Pin::new(reading).poll(cx)),
            None => match piece::begin(&self.file, self.at, left) {
                Ok(read) => read,
                Err(reading) => ready!(Pin::new(self.reading.insert(reading)).poll(cx)),
            },
        };
        self.reading = None;
        let bytes = read?;
        self.at += bytes.len() as u64;
        Poll::Ready(Ok(bytes.into()))
    }
}

/// The reason why an answer ends before its end: its connection is closed, and the client goes on elsewhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenAnswerError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
    /// What would come next is not proven, or does not come.
    #[error("the rest did not come")]
    Doubt,
}

impl AnswerBody {
    /// Has nothing to send.
    pub(super) fn nothing() -> Self {
        Self { content: Content::Nothing, left: 0, running: None, _mark: None }
    }

    /// Sends a text.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self { left: text.len() as u64, content: Content::Bytes(text), ..Self::nothing() }
    }

    /// Sends the bytes of a proven file from the first of `bytes` on, up to and without the second.
    pub(super) fn file(content: FileContent, bytes: (u64, u64), running: RunningAnswer) -> Self {
        let (at, until) = bytes;
        let content = match content {
            FileContent::File(file) => Content::File(FilePieces { file, at, reading: None }),
            FileContent::Bytes(all) => {
                let end = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(all.len());
                Content::Bytes(all.slice(end(at)..end(until.max(at))))
            }
        };
        Self { content, left: until.saturating_sub(at), running: Some(running), _mark: None }
    }

    /// Sends `left` bytes that come in pieces, each proven.
    pub(super) fn coming(pieces: mpsc::Receiver<Bytes>, left: u64, running: RunningAnswer) -> Self {
        Self { content: Content::Coming(pieces), left, running: Some(running), _mark: None }
    }

    /// Keeps the mark for as long as it lives.
    pub(super) fn marked(self, mark: AnswerMark) -> Self {
        Self { _mark: Some(mark), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenAnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswerError>>> {
        let left = self.left;
        if left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.content {
            Content::Nothing => return Poll::Ready(None),
            Content::Bytes(bytes) => std::mem::take(bytes),
            Content::File(pieces) => match ready!(pieces.poll(left, cx)) {
                Ok(bytes) => bytes,
                Err(e) => return Poll::Ready(Some(Err(e.into()))),
            },
            Content::Coming(pieces) => ready!(pieces.poll_recv(cx)).unwrap_or_default(),
        };
        // A file that became shorter, or the end of what could be proven.
        if piece.is_empty() || piece.len() as u64 > left {
            return Poll::Ready(Some(Err(BrokenAnswerError::Doubt)));
        }
        self.left -= piece.len() as u64;
        if let Some(running) = &self.running {
            running.sent(piece.len() as u64);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
