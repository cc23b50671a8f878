//! Counts the bytes that a source sends, used or not: bytes that a mirror sent and that were discarded are traffic
//! too. With a rate it also slows the source: a slow reader is sent no more than that.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};

use crate::engine::source::{Body, FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};

/// A source with a meter.
pub(crate) struct Metered<'a> {
    inner: Box<dyn Source + 'a>,
    sent: Rc<Cell<u64>>,
    rate: Option<u64>,
}

impl<'a> Metered<'a> {
    /// Puts a meter on `inner`; the counter counts bytes of bodies for as long as one of them lives. No body gives
    /// more than `rate` bytes a second.
    pub(crate) fn new(inner: Box<dyn Source + 'a>, rate: Option<u64>) -> (Self, Rc<Cell<u64>>) {
        let sent = Rc::new(Cell::new(0));
        (Self { inner, sent: Rc::clone(&sent), rate }, sent)
    }
}

impl Source for Metered<'_> {
    fn kind(&self) -> SourceKind {
        self.inner.kind()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_last_resort(&self) -> bool {
        self.inner.is_last_resort()
    }

    fn own_time(&self) -> Duration {
        self.inner.own_time()
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        let (sent, rate) = (Rc::clone(&self.sent), self.rate);
        let opened = self.inner.open(question).map(move |answer| {
            Ok(match answer? {
                SourceAnswer::Bytes { start, size, modified, body } => {
                    SourceAnswer::Bytes { start, size, modified, body: metered(body, sent, rate) }
                }
                SourceAnswer::Promised { start, body } => {
                    SourceAnswer::Promised { start, body: metered(body, sent, rate) }
                }
                SourceAnswer::Unchanged => SourceAnswer::Unchanged,
            })
        });
        opened.boxed_local()
    }
}

/// Counts the bytes of a body, and holds them back where there is a rate.
fn metered(body: Body<'_>, sent: Rc<Cell<u64>>, rate: Option<u64>) -> Body<'_> {
    let body = body.inspect(move |piece| {
        if let Ok(piece) = piece {
            sent.set(sent.get() + piece.len() as u64);
        }
    });
    match rate {
        Some(rate) => held_back(body, rate).boxed_local(),
        None => body.boxed_local(),
    }
}

/// Yields each piece at its time, counted from the first one.
fn held_back<'a>(
    body: impl Stream<Item = Result<Bytes, Miss>> + 'a,
    rate: u64,
) -> impl Stream<Item = Result<Bytes, Miss>> + 'a {
    let (begun, mut given) = (Instant::now(), 0_u64);
    body.then(move |piece| {
        given += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let due = Duration::from_secs_f64(given as f64 / rate as f64);
        async move {
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            piece
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::source::file::LocalFile;

    #[tokio::test]
    async fn every_byte_that_was_read_is_counted_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 700_000]).unwrap();
        let (source, sent) = Metered::new(Box::new(LocalFile::new(dir.path().join("a"), 1 << 20)), None);
        for _ in 0..2 {
            let Ok(SourceAnswer::Bytes { mut body, .. }) =
                source.open(FetchRequest { from: 100, ..FetchRequest::default() }).await
            else {
                panic!("it is there")
            };
            while body.next().await.is_some() {}
        }
        assert_eq!(sent.get(), 2 * (700_000 - 100));
        let Ok(SourceAnswer::Bytes { .. }) = source.open(FetchRequest::default()).await else { panic!("it is there") };
        assert_eq!(sent.get(), 2 * (700_000 - 100), "unread bytes do not count");
    }

    #[tokio::test]
    async fn no_more_comes_than_the_rate_allows() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 100_000]).unwrap();
        let (source, sent) = Metered::new(Box::new(LocalFile::new(dir.path().join("a"), 1 << 20)), Some(500_000));
        let begun = Instant::now();
        let Ok(SourceAnswer::Bytes { mut body, .. }) = source.open(FetchRequest::default()).await else {
            panic!("it is there")
        };
        while body.next().await.is_some() {}
        assert_eq!(sent.get(), 100_000);
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    }
}
