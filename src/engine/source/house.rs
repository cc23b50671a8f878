//! The endpoint of another machine of the house: one GET, past any proxy. It says within 0.3 s whether it has the file or
//! is fetching it (`src/daemon/endpoint/transfer.rs`); one that is not there costs less than that, once.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use reqwest::Url;

use super::mirror::offer;
use crate::engine::source::{Body, FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};
use crate::net::http::{self, GetOptions, Http};

/// Time after which an endpoint that has not said no is fetching the file: a mirror that joined would fetch it twice.
const SAYS_NO: Duration = Duration::from_millis(280);

/// A file at such an endpoint.
pub(crate) struct HouseFile<'a> {
    http: &'a Http,
    url: Url,
    size: Option<u64>,
    most: u64,
}

impl<'a> HouseFile<'a> {
    /// Makes a source of the file at `url`, which is `size` bytes long, or at most `most` when that is not known.
    pub(crate) fn new(http: &'a Http, url: Url, size: Option<u64>, most: u64) -> Self {
        Self { http, url, size, most }
    }

    async fn get(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        let FetchRequest { from, until, .. } = question;
        let mut asked = async move {
            let ask = GetOptions { from, until, ..GetOptions::default() };
            let response = self.http.ask_near(&self.url, &ask).await?;
            // A redirect is for who has no mirror of its own.
            match response.status().is_redirection() {
                true => Err(Miss::Absent(format!("HTTP {}", response.status().as_u16()))),
                false => offer(response, FetchRequest { newer_than: None, ..question }, self.size, self.most),
            }
        }
        .boxed_local();
        match tokio::time::timeout(SAYS_NO, &mut asked).await {
            Ok(answer) => answer,
            Err(_) => {
                let body = stream::once(async move { begun(asked.await?, from) }).try_flatten().boxed_local();
                Ok(SourceAnswer::Bytes { start: from, size: None, modified: None, body })
            }
        }
    }
}

/// Returns the body of an answer that came late, if it begins where it was announced to.
fn begun(answer: SourceAnswer<'_>, from: u64) -> Result<Body<'_>, Miss> {
    match answer {
        SourceAnswer::Bytes { start, body, .. } if start == from => Ok(body),
        _ => Err(Miss::Broken(format!("its bytes do not begin at {from}"))),
    }
}

impl Source for HouseFile<'_> {
    fn kind(&self) -> SourceKind {
        SourceKind::Lan
    }

    fn location(&self) -> String {
        http::host(&self.url)
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}
