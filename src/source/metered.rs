//! Counts what a source sends, wherever the bytes end up: what a mirror was asked for in vain is traffic too.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::{FutureExt as _, StreamExt as _};

use crate::source::{Kind, Local, Miss, Offer, Question, Source};

/// A source with a meter.
pub struct Metered<'a> {
    inner: Box<dyn Source + 'a>,
    sent: Rc<Cell<u64>>,
}

impl<'a> Metered<'a> {
    /// Puts a meter on `inner`; the counter goes on counting bytes of bodies for as long as one of them lives.
    pub fn new(inner: Box<dyn Source + 'a>) -> (Self, Rc<Cell<u64>>) {
        let sent = Rc::new(Cell::new(0));
        (Self { inner, sent: Rc::clone(&sent) }, sent)
    }
}

impl Source for Metered<'_> {
    fn kind(&self) -> Kind {
        self.inner.kind()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn is_last_resort(&self) -> bool {
        self.inner.is_last_resort()
    }

    fn open(&self, question: Question) -> Local<'_, Result<Offer<'_>, Miss>> {
        let sent = Rc::clone(&self.sent);
        let opened = self.inner.open(question).map(|answer| {
            let Offer::Bytes { start, size, modified, body } = answer? else { return Ok(Offer::Unchanged) };
            let body = body.inspect(move |piece| {
                if let Ok(piece) = piece {
                    sent.set(sent.get() + piece.len() as u64);
                }
            });
            Ok(Offer::Bytes { start, size, modified, body: body.boxed_local() })
        });
        opened.boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::LocalFile;

    #[tokio::test]
    async fn every_byte_that_was_read_is_counted_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 700_000]).unwrap();
        let (source, sent) = Metered::new(Box::new(LocalFile::new(dir.path().join("a"), 1 << 20)));
        for _ in 0..2 {
            let Ok(Offer::Bytes { mut body, .. }) = source.open(Question { from: 100, ..Question::default() }).await
            else {
                panic!("it is there")
            };
            while body.next().await.is_some() {}
        }
        assert_eq!(sent.get(), 2 * (700_000 - 100));
        let Ok(Offer::Bytes { .. }) = source.open(Question::default()).await else { panic!("it is there") };
        assert_eq!(sent.get(), 2 * (700_000 - 100), "what nobody reads does not count");
    }
}
