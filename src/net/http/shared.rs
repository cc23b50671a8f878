//! The connections that the threads of one process share, so that a host sees those of one program.
//!
//! Connections live on a thread of their own: those who read answers may block theirs, by hashing a file, without
//! stopping the others. A host that speaks HTTP/2 has one connection, with up to [`MOST_STREAMS`] requests of ours and no
//! more than it allows itself (SETTINGS_MAX_CONCURRENT_STREAMS); one that speaks HTTP/1.1 has as many as the process
//! says, each with one request. See [`gate`](super::gate).

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Url};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::env::Env;
use crate::base::miss::Miss;
use crate::net::http::answer::HttpAnswer;
use crate::net::http::gate::{ConnectionWatch, GateParts, GateState, HostGate, Protocol, SecondConnectionError};
use crate::net::http::make::ClientMaker;
use crate::net::http::thread::ConnectionThread;
use crate::net::http::{self, missed, tls};

/// Most files that one host is asked for at a time over one connection of HTTP/2. With the few that go one by one it
/// stays below what the daemon gives to one user (`src/daemon/transfers.rs`).
pub(crate) const MOST_STREAMS: usize = 32;

/// Connections to hosts, for all threads of a process that hold them.
pub(crate) struct SharedConnections {
    make: ClientMaker,
    trusting: OnceLock<Result<ClientConfig, Miss>>,
    connections: AtomicUsize,
    gates: Mutex<HashMap<String, Arc<HostGate>>>,
    multiplexed: Arc<watch::Sender<usize>>,
    thread: ConnectionThread,
    stall: Duration,
}

impl SharedConnections {
    /// Starts their thread. `connect` bounds the making of one; after a silence of `stall` on all streams of one it is
    /// left; a host that does not speak HTTP/2 has at most so many `connections`.
    ///
    /// # Errors
    /// When this machine allows no more threads or descriptors.
    pub(crate) fn start(
        env: &Env,
        (connect, stall): (Duration, Duration),
        connections: usize,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            make: ClientMaker::in_environment(connect, env),
            trusting: OnceLock::new(),
            connections: AtomicUsize::new(connections.max(1)),
            gates: Mutex::default(),
            multiplexed: Arc::new(watch::Sender::new(0)),
            thread: ConnectionThread::start()?,
            stall,
        }))
    }

    /// Allows so many connections to a host that does not speak HTTP/2 from now on. Requests that are under way keep
    /// theirs.
    pub(crate) fn allow(&self, connections: usize) {
        if self.connections.swap(connections.max(1), Ordering::Relaxed) != connections.max(1) {
            self.gates.lock().expect("nothing panics while it is held").clear();
        }
    }

    /// Returns how many files the host of this URL may be asked for at a time: as many as there may be connections,
    /// until it turns out to speak HTTP/2. This is the only place that says so.
    pub(crate) fn at_once(&self, url: &Url) -> usize {
        let connections = self.connections.load(Ordering::Relaxed);
        if self.is_multiplexed(url) { MOST_STREAMS.max(connections) } else { connections }
    }

    /// Returns true when the host of this URL carries many requests over one connection, and wants them.
    pub(crate) fn is_multiplexed(&self, url: &Url) -> bool {
        let gates = self.gates.lock().expect("nothing panics while it is held");
        gates.get(&key(url)).is_some_and(|gate| gate.is_multiplexed())
    }

    /// Returns the number of hosts that turned out to speak HTTP/2, now and later.
    pub(crate) fn multiplexed(&self) -> watch::Receiver<usize> {
        self.multiplexed.subscribe()
    }

    /// Sends a request, without following redirects.
    pub(super) async fn send(
        self: &Arc<Self>,
        method: Method,
        url: Url,
        headers: HeaderMap,
    ) -> Result<HttpAnswer, Miss> {
        let shared = Arc::clone(self);
        let mut sending = Sending(self.thread.runtime.spawn(async move {
            loop {
                let Some(pass) = shared.gate(&url)?.enter().await? else { continue };
                // Without another await in between, so that no other request passes before this one begins to connect.
                let request = pass.client.request(method.clone(), url.clone()).headers(headers.clone());
                let e = match request.send().await {
                    Ok(response) => {
                        let held = pass.answered(&response);
                        return Ok(HttpAnswer::holding(response, held));
                    }
                    Err(e) => e,
                };
                let miss = match http::causes(&e).find_map(|cause| cause.downcast_ref()) {
                    // The connection of another request is there now, or not to be.
                    Some(SecondConnectionError(None)) => continue,
                    Some(SecondConnectionError(Some(miss))) => miss.clone(),
                    None => missed(&e),
                };
                pass.failed(&miss);
                return Err(miss);
            }
        }));
        let ended = |_| Err(Miss::Unreachable("the connections of this process ended".to_owned()));
        (&mut sending.0).await.unwrap_or_else(ended)
    }

    fn gate(&self, url: &Url) -> Result<Arc<HostGate>, Miss> {
        let mut gates = self.gates.lock().expect("nothing panics while it is held");
        let key = key(url);
        if let Some(gate) = gates.get(&key).filter(|gate| !gate.is_left()) {
            return Ok(Arc::clone(gate));
        }
        let gate = Arc::new(HostGate::new(self.parts(url)?));
        gates.insert(key, Arc::clone(&gate));
        Ok(gate)
    }

    fn parts(&self, url: &Url) -> Result<GateParts, Miss> {
        let state = Arc::new(Mutex::new(GateState::default()));
        let needs_tls = url.scheme() == "https" || self.make.proxies.needs_tls_for_http();
        let tls = if needs_tls { self.trusting()? } else { tls::none() };
        let watch = ConnectionWatch(Arc::downgrade(&state));
        let first = self.make.proxied(tls.clone(), |builder| builder.connector_layer(watch))?;
        let make = self.make.clone();
        let more = move || -> Result<Client, Miss> { make.proxied(tls.clone(), |builder| builder) };
        Ok(GateParts {
            // Only TLS tells which one it is.
            protocol: (!needs_tls).then_some(Protocol::One),
            first,
            more: Box::new(more),
            connections: self.connections.load(Ordering::Relaxed),
            state,
            multiplexed: Arc::clone(&self.multiplexed),
            runtime: self.thread.runtime.clone(),
            stall: self.stall,
        })
    }

    fn trusting(&self) -> Result<ClientConfig, Miss> {
        self.trusting.get_or_init(|| self.make.trusting()).clone()
    }
}

/// Returns scheme, host and port.
fn key(url: &Url) -> String {
    format!("{}://{}", url.scheme(), http::host(url))
}

/// A request on the thread of the connections. Dropped, it is given up there.
struct Sending(JoinHandle<Result<HttpAnswer, Miss>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for SharedConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedConnections").field("connections", &self.connections).finish_non_exhaustive()
    }
}
