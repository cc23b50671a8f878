//! The endpoint of another machine of the house: one GET, past any proxy. One that has the file sends it at once, and one
//! that has not says no within 0.3 s (`src/daemon/endpoint/transfer.rs`). One that fetches it says neither until enough of
//! it is proven; but it answers a HEAD then, as it does for a file that it has. So one that is hung or gone is told from
//! one that is fetching, and costs no more than the head start of peers, which is 0.28 s here at least.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use reqwest::{StatusCode, Url};
use tokio::time::{sleep, timeout};

use super::mirror::offer;
use crate::engine::source::{Body, FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};
use crate::net::http::answer::HttpAnswer;
use crate::net::http::{self, GetOptions, Http};

/// Silence after which it is asked whether it is fetching the file, and time until it is asked again.
const LOOK: Duration = Duration::from_millis(80);

/// Interval between looks whether one that is fetching goes on, and longest wait for its answer.
const GOES_ON: Duration = Duration::from_secs(2);

/// Longest wait for what it fetches: it says yes or no before that (`src/daemon/endpoint/transfer.rs`).
pub(crate) const PROMISE: Duration = Duration::from_secs(7);

/// Least time to say that it has the file, or fetches it: some looks, whatever head start Kubo has.
const SAYS: Duration = Duration::from_millis(280);

/// A file at such an endpoint.
pub(crate) struct HouseFile<'a> {
    http: &'a Http,
    url: Url,
    size: Option<u64>,
    most: u64,
    /// Longest wait for it to say that it has the file, or fetches it.
    within: Duration,
    promise: Duration,
}

impl<'a> HouseFile<'a> {
    /// Makes a source of the file at `url`, which is `size` bytes long, or at most `most` when that is not known.
    pub(crate) fn new(http: &'a Http, url: Url, size: Option<u64>, most: u64) -> Self {
        Self { http, url, size, most, within: SAYS, promise: PROMISE }
    }

    /// The same with so much time to say that it has the file, or fetches it, where that is more than usual.
    pub(crate) fn within(self, within: Duration) -> Self {
        Self { within: within.max(SAYS), ..self }
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
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            () = self.is_fetching() => {
                let first = async move {
                    tokio::select! {
                        biased;
                        answer = asked => begun(answer?, from),
                        () = self.is_lost() => Err(Miss::Stalled(GOES_ON)),
                        // That its own source was slow says nothing of the next file.
                        () = sleep(self.promise) => Err(Miss::Absent("sends nothing of what it fetches".to_owned())),
                    }
                };
                let body = stream::once(first).try_flatten().boxed_local();
                Ok(SourceAnswer::Promised { start: from, body })
            }
            () = sleep(self.within) => Err(Miss::Stalled(self.within)),
        }
    }

    async fn head(&self) -> Result<HttpAnswer, Miss> {
        self.http.ask_near(&self.url, &GetOptions { head: true, ..GetOptions::default() }).await
    }

    /// Ends when it says that the file is on its way to it.
    async fn is_fetching(&self) {
        loop {
            sleep(LOOK).await;
            if self.head().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
        }
    }

    /// Ends when it does not answer any more.
    async fn is_lost(&self) {
        loop {
            sleep(GOES_ON).await;
            // Any answer will do: where it has just said no, that is on its way.
            if !matches!(timeout(GOES_ON, self.head()).await, Ok(Ok(_))) {
                return;
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

    fn own_time(&self) -> Duration {
        SAYS
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_promise_that_is_not_kept_costs_that_file_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/it", listener.local_addr().unwrap())).unwrap();
        // It says that the file is on its way, and sends none of it.
        let peer = async {
            let mut open = Vec::new();
            loop {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                if line.starts_with("HEAD") {
                    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
                    stream.get_mut().write_all(head).await.unwrap();
                }
                open.push(stream);
            }
        };
        let http = Http::new(Duration::from_secs(60));
        let house = HouseFile::new(&http, url, Some(9), 9).within(Duration::from_secs(60));
        let house = HouseFile { promise: Duration::from_millis(1), ..house };
        let asked = async {
            let Ok(SourceAnswer::Promised { mut body, .. }) = house.open(FetchRequest::default()).await else {
                panic!("it promises")
            };
            body.next().await
        };
        tokio::select! {
            () = peer => {}
            piece = asked => assert!(matches!(piece, Some(Err(Miss::Absent(_)))), "{piece:?}"),
        }
    }

    #[test]
    fn it_has_time_to_say_something_without_a_head_start_of_kubo() {
        let (http, url) = (Http::new(Duration::from_secs(1)), Url::parse("http://127.0.0.1:1/it").unwrap());
        let house = HouseFile::new(&http, url, None, 9).within(Duration::ZERO);
        assert!(house.within > 2 * LOOK && house.own_time() == house.within);
    }
}
