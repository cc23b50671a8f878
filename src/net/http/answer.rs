//! An answer: its head, and its body, which holds its place at the host for as long as it is read.

use std::ops::Deref;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::Response;

use crate::net::http::gate::HeldPlace;

/// An answer of an HTTP server.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    response: Response,
    held: Option<HeldPlace>,
}

impl From<Response> for HttpAnswer {
    fn from(response: Response) -> Self {
        Self { response, held: None }
    }
}

impl Deref for HttpAnswer {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.response
    }
}

impl HttpAnswer {
    /// Makes the answer that keeps `held` until its body is read or dropped.
    pub(super) fn holding(response: Response, held: HeldPlace) -> Self {
        Self { response, held: Some(held) }
    }

    /// Returns the next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When it breaks off.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, reqwest::Error> {
        let piece = self.response.chunk().await;
        if let (Some(held), Ok(piece)) = (&mut self.held, &piece) {
            held.heard(piece.is_none());
        }
        piece
    }

    /// Returns the body as a stream.
    pub(crate) fn bytes_stream(self) -> impl Stream<Item = Result<Bytes, reqwest::Error>> {
        stream::unfold((self.response.bytes_stream().boxed(), self.held), async |(mut body, mut held)| {
            let piece = body.next().await;
            if let Some(held) = &mut held {
                held.heard(piece.is_none());
            }
            Some((piece?, (body, held)))
        })
    }
}
