//! An HTTP/2 server behind TLS, which can break off streams and connections, and counts what it sees.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use hyper::http::{Response, StatusCode};
use tokio::sync::watch;

use super::tls::{FakeTls, Made};

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name of the file.
    pub file: String,
    /// The first byte asked for.
    pub from: usize,
    /// The number of the connection, from 0 on.
    pub connection: usize,
    /// The number of the request, from 0 on.
    pub number: usize,
}

/// What is done with one request.
#[derive(Clone, Copy, Debug)]
pub enum Play {
    /// Sends what was asked for.
    Whole,
    /// Sends so many bytes, then resets the stream.
    Reset(usize),
    /// Resets the stream as one that was not begun.
    Refuse,
    /// Answers with 429 and this Retry-After.
    Busy(&'static str),
    /// Sends other bytes.
    Lie,
    /// Sends so many bytes, and nothing more.
    Stall(usize),
    /// Sends nothing, for ever.
    Silence,
}

/// A script: the files, and what is done with each request.
pub struct Two {
    files: HashMap<String, Vec<u8>>,
    play: Box<dyn Fn(&Asked) -> Play + Send + Sync>,
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    most_streams: Option<u32>,
    /// The number of requests after which the first connection says that it goes away.
    goes_after: Option<usize>,
    /// All but the first answer wait until so many streams have been open at a time.
    together: usize,
    seen: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: watch::Sender<usize>,
}

impl Two {
    pub fn serving(files: &[(String, Vec<u8>)]) -> Self {
        Self {
            files: files.iter().cloned().collect(),
            play: Box::new(|_| Play::Whole),
            most_streams: None,
            goes_after: None,
            together: 0,
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: watch::Sender::new(0),
        }
    }

    pub fn playing(self, play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        Self { play: Box::new(play), ..self }
    }

    pub fn with_streams(self, most: u32) -> Self {
        Self { most_streams: Some(most), ..self }
    }

    pub fn going_after(self, requests: usize) -> Self {
        Self { goes_after: Some(requests), ..self }
    }

    pub fn waiting_for(self, together: usize) -> Self {
        Self { together, ..self }
    }

    /// Lists the requests so far.
    pub fn requests(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// Counts the connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Returns the most streams that were open at a time, on all connections.
    pub fn most_open(&self) -> usize {
        *self.most_open.borrow()
    }

    async fn answer(&self, asked: Asked, mut respond: SendResponse<Bytes>) {
        let open = self.open.fetch_add(1, SeqCst) + 1;
        self.most_open.send_modify(|most| *most = open.max(*most));
        if asked.number > 0 {
            let _ = self.most_open.subscribe().wait_for(|most| *most >= self.together).await;
        }
        self.send(&asked, &mut respond).await;
        self.open.fetch_sub(1, SeqCst);
    }

    async fn send(&self, asked: &Asked, respond: &mut SendResponse<Bytes>) {
        let play = (self.play)(asked);
        let Some(file) = self.files.get(&asked.file) else {
            let absent = Response::builder().status(StatusCode::NOT_FOUND).body(()).unwrap();
            let _ = respond.send_response(absent, true);
            return;
        };
        let part = Bytes::from(file[asked.from.min(file.len())..].to_vec());
        let mut head = Response::builder().header("content-length", part.len());
        if asked.from > 0 {
            let range = format!("bytes {}-{}/{}", asked.from, file.len() - 1, file.len());
            head = head.status(StatusCode::PARTIAL_CONTENT).header("content-range", range);
        }
        let head = head.body(()).unwrap();
        // A client that went away is not our failure.
        match play {
            Play::Whole => {
                let Ok(mut body) = respond.send_response(head, false) else { return };
                let _ = body.send_data(part, true);
            }
            Play::Lie => {
                let Ok(mut body) = respond.send_response(head, false) else { return };
                let _ = body.send_data(vec![b'x'; part.len()].into(), true);
            }
            Play::Reset(after) => {
                let Ok(mut body) = respond.send_response(head, false) else { return };
                let _ = body.send_data(part.slice(..after.min(part.len())), false);
                // The bytes are on their way once others had their turn.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                body.send_reset(Reason::INTERNAL_ERROR);
            }
            Play::Stall(after) => {
                let Ok(mut body) = respond.send_response(head, false) else { return };
                let _ = body.send_data(part.slice(..after.min(part.len())), false);
                std::future::pending().await
            }
            Play::Refuse => respond.send_reset(Reason::REFUSED_STREAM),
            Play::Busy(after) => {
                let busy = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header("retry-after", after);
                let _ = respond.send_response(busy.body(()).unwrap(), true);
            }
            Play::Silence => std::future::pending().await,
        }
    }
}

impl FakeTls {
    /// Speaks HTTP/2 as this script says.
    pub fn speaking_two(two: &Arc<Two>, made: &Made) -> Self {
        let (acceptor, two) = (Self::acceptor(made, made, &["h2"]), Arc::clone(two));
        Self::serving(move |stream| {
            let (acceptor, two) = (acceptor.clone(), Arc::clone(&two));
            async move {
                let number = two.connections.fetch_add(1, SeqCst);
                let Ok(inside) = acceptor.accept(stream).await else { return };
                let mut builder = h2::server::Builder::new();
                if let Some(most) = two.most_streams {
                    builder.max_concurrent_streams(most);
                }
                let Ok(mut connection) = builder.handshake::<_, Bytes>(inside).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                    let range = request.headers().get("range").and_then(|range| range.to_str().ok());
                    let from = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
                    let mut seen = two.seen.lock().unwrap();
                    let asked = Asked { file: path, from: from.unwrap_or(0), connection: number, number: seen.len() };
                    seen.push(asked.clone());
                    let goes = number == 0 && two.goes_after == Some(seen.len());
                    drop(seen);
                    if goes {
                        connection.graceful_shutdown();
                    }
                    let two = Arc::clone(&two);
                    tokio::spawn(async move { two.answer(asked, respond).await });
                }
            }
        })
    }
}
