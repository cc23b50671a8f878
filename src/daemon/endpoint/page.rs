//! What people and programs see of this endpoint beside files: a page, figures for a monitor, a document. They are made
//! by a function that the process was started with, since what they show of this machine is gathered in a room above;
//! on a thread of its own, once for all requests of a second.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{self, HeaderName};
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::HttpEndpoint;
use super::aged::AgedDatabases;
use super::body::AnswerBody;
use super::running::{RunningAnswers, SentFile};
use crate::base::clock;

/// Age at which all of it is made anew.
const FRESH: Duration = Duration::from_secs(1);

/// Allows nothing, where a browser shows what is no page.
const NO_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Tells a reader of another machine why there is no page.
const NOT_FOR_YOU: &str = "This page tells which updates are pending, so it is for this machine alone, and for the \
                           networks that its endpoint.page names.\n";

/// The headers of all of it: for this reader, at this moment, and as what it says that it is.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An answer that is being sent.
#[derive(Clone, Debug)]
pub(crate) struct AnswerNow {
    /// The file's name.
    pub(crate) name: String,
    /// Bytes to send.
    pub(crate) total: u64,
    /// Bytes sent so far.
    pub(crate) sent: u64,
    /// The client.
    pub(crate) client: IpAddr,
}

/// The endpoint at this moment.
#[derive(Clone, Default, Debug)]
pub(crate) struct EndpointNow {
    /// Answers that are being sent.
    pub(crate) running: Vec<AnswerNow>,
    /// Answers with a file since the start.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// One look at this machine, in each form that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct SeenViews {
    /// The page, HTML.
    pub(crate) page: Bytes,
    /// Its Content-Security-Policy.
    pub(crate) policy: &'static str,
    /// The figures, and their media type.
    pub(crate) metrics: (Bytes, &'static str),
    /// The document, JSON.
    pub(crate) document: Bytes,
}

/// Looks at this machine; may block for seconds.
pub(crate) type Viewer = Arc<dyn Fn(EndpointNow) -> SeenViews + Send + Sync>;

/// The form that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    Page,
    Metrics,
    Document,
}

/// The latest look, and what it shows of the endpoint itself.
pub(super) struct LatestViews {
    viewer: Viewer,
    state: Mutex<ViewState>,
    /// The answers that are being sent.
    pub(super) running: Rc<RunningAnswers>,
    /// The databases that no mirror delivered.
    pub(super) aged: AgedDatabases,
}

#[derive(Default)]
struct ViewState {
    seen: Option<(Instant, Rc<SeenViews>)>,
    /// A look whose client has left goes on for the next one.
    coming: Option<JoinHandle<SeenViews>>,
}

impl LatestViews {
    pub(super) fn new(viewer: Viewer) -> Self {
        Self { viewer, state: Mutex::default(), aged: AgedDatabases::default(), running: Rc::default() }
    }

    /// Returns the latest look, made anew where it is too old; `None` where that failed.
    async fn get(&self, now: impl FnOnce() -> EndpointNow) -> Option<Rc<SeenViews>> {
        let mut state = self.state.lock().await;
        if let Some((_, seen)) = state.seen.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Some(Rc::clone(seen));
        }
        let coming = state.coming.get_or_insert_with(|| {
            let (viewer, now) = (Arc::clone(&self.viewer), now());
            tokio::task::spawn_blocking(move || viewer(now))
        });
        let seen = coming.await;
        state.coming = None;
        let seen = Rc::new(seen.ok()?);
        state.seen = Some((Instant::now(), Rc::clone(&seen)));
        Some(seen)
    }
}

/// Answers a client that asks for a view.
pub(super) async fn answered(
    endpoint: &HttpEndpoint,
    client: IpAddr,
    view: View,
    is_head: bool,
) -> Response<AnswerBody> {
    if !endpoint.access.borrow().may_look(client) {
        return text(StatusCode::FORBIDDEN, ("text/plain; charset=utf-8", NO_POLICY), NOT_FOR_YOU, is_head);
    }
    let now = || {
        let running = endpoint.views.running.list();
        let (files, bytes) = endpoint.views.running.sums();
        EndpointNow { running: running.iter().map(|file| of_file(file)).collect(), files, bytes }
    };
    let Some(seen) = endpoint.views.get(now).await else {
        return super::reply::bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let (kind, policy, body) = match view {
        View::Page => ("text/html; charset=utf-8", seen.policy, &seen.page),
        View::Metrics => (seen.metrics.1, NO_POLICY, &seen.metrics.0),
        View::Document => ("application/json", NO_POLICY, &seen.document),
    };
    text(StatusCode::OK, (kind, policy), body.clone(), is_head)
}

/// Answers a client that asks for what this process alone knows: a look at the whole machine asks for it as well.
pub(super) async fn own(endpoint: &HttpEndpoint, client: IpAddr, is_head: bool) -> Response<AnswerBody> {
    if !endpoint.access.borrow().may_look(client) {
        return text(StatusCode::FORBIDDEN, ("text/plain; charset=utf-8", NO_POLICY), NOT_FOR_YOU, is_head);
    }
    let aged = endpoint
        .views
        .aged
        .list()
        .await
        .into_iter()
        .map(|(repo, at)| json!({"repo": repo.as_str(), "at": clock::unix(at)}));
    let house = &endpoint.transfers.house;
    let here: Vec<_> = house.here.borrow().iter().map(|peer| json!({"at": peer.at, "by": peer.by})).collect();
    let announced = house.announced.borrow().clone();
    let machine = endpoint.machine();
    let mut haiku = Vec::new();
    for repo in endpoint.transfers.haiku.all(&machine) {
        haiku.push(repo.state(&machine).await);
    }
    let aged = aged.collect::<Vec<_>>();
    let document = json!({"aged": aged, "house": here, "announced": announced, "haiku": haiku});
    text(StatusCode::OK, ("application/json", NO_POLICY), document.to_string(), is_head)
}

fn of_file(file: &SentFile) -> AnswerNow {
    AnswerNow { name: file.name.to_string(), total: file.total, sent: file.sent.get(), client: file.client }
}

fn text(
    status: StatusCode,
    (kind, policy): (&str, &str),
    body: impl Into<Bytes>,
    is_head: bool,
) -> Response<AnswerBody> {
    let body = body.into();
    let builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::CONTENT_SECURITY_POLICY, policy);
    let builder = HEADERS.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let body = if is_head { AnswerBody::nothing() } else { AnswerBody::text(body) };
    builder.body(body).expect("these headers are fixed")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_look_serves_all_requests_of_a_moment_and_outlives_the_first() {
        let (looks, (go, wait)) = (Arc::new(AtomicUsize::new(0)), std::sync::mpsc::channel::<()>());
        let (counted, wait) = (Arc::clone(&looks), std::sync::Mutex::new(wait));
        let viewer: Viewer = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            wait.lock().unwrap().recv().unwrap();
            SeenViews {
                page: Bytes::from_static(b"seen"),
                policy: NO_POLICY,
                metrics: (Bytes::new(), ""),
                document: Bytes::new(),
            }
        });
        let latest = LatestViews::new(viewer);
        // The first client leaves before its look is over.
        assert!(tokio::time::timeout(Duration::ZERO, latest.get(EndpointNow::default)).await.is_err());
        go.send(()).unwrap();
        let all = futures_util::future::join_all((0..20).map(|_| latest.get(EndpointNow::default))).await;
        assert!(all.iter().all(|seen| seen.as_ref().is_some_and(|seen| seen.page == "seen")));
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }
}
