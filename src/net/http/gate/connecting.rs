//! Connections being made, for which the requests to their host wait.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tower_layer::Layer;
use tower_service::Service;

use super::{GateState, Protocol, Settled, locked, turns};
use crate::base::miss::Miss;

/// Longest wait for the first answer over a connection that has been made: after it, the others go without knowing.
const SETTLES: Duration = Duration::from_millis(250);

/// The wait for a connection. Dropped, it is up to the next request.
pub(super) struct Settling {
    state: Weak<Mutex<GateState>>,
    tell: Arc<watch::Sender<Settled>>,
}

impl Settling {
    pub(super) fn begin(shared: &Arc<Mutex<GateState>>, state: &mut GateState) -> Self {
        let tell = Arc::new(watch::Sender::new(None));
        state.settling = Some(Arc::clone(&tell));
        Self { state: Arc::downgrade(shared), tell }
    }

    pub(super) fn end(self, with: Result<(), Miss>) {
        self.tell.send_replace(Some(with));
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let Some(state) = self.state.upgrade() else { return };
        let mut state = locked(&state);
        state.settling.take_if(|settling| Arc::ptr_eq(settling, &self.tell));
        drop(state);
        // Those who wait look again.
        self.tell.send_if_modified(|told| told.is_none() && told.replace(Ok(())).is_none());
    }
}

/// Sees each connection of a client being made.
#[derive(Clone)]
pub(in crate::net::http) struct ConnectionWatch(pub(in crate::net::http) Weak<Mutex<GateState>>);

/// A connector that is watched.
#[derive(Clone)]
pub(in crate::net::http) struct WatchedConnector<S> {
    inner: S,
    watch: ConnectionWatch,
}

impl<S> Layer<S> for ConnectionWatch {
    type Service = WatchedConnector<S>;

    fn layer(&self, inner: S) -> WatchedConnector<S> {
        WatchedConnector { inner, watch: self.clone() }
    }
}

impl<S, To> Service<To> for WatchedConnector<S>
where
    S: Service<To>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: fmt::Display + Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: To) -> Self::Future {
        let (connecting, watch) = (self.inner.call(to), self.watch.clone());
        let anew = watch.begins_anew();
        Box::pin(async move {
            let connected = connecting.await;
            match (&connected, anew) {
                (Ok(_), anew) => watch.connected(anew),
                (Err(e), Some(anew)) => anew.end(Err(Miss::Unreachable(e.to_string()))),
                (Err(_), None) => {}
            }
            connected
        })
    }
}

impl ConnectionWatch {
    /// Has all others wait when this connection replaces one of HTTP/2.
    fn begins_anew(&self) -> Option<Settling> {
        let shared = self.0.upgrade()?;
        let mut state = locked(&shared);
        let is_anew = state.protocol == Some(Protocol::Two) && state.settling.is_none();
        is_anew.then(|| Settling::begin(&shared, &mut state))
    }

    /// Lets the others go once the library has the connection; before the first answer ever, a little later.
    fn connected(&self, anew: Option<Settling>) {
        let state = Weak::clone(&self.0);
        let is_known = || state.upgrade().is_none_or(|state| locked(&state).protocol.is_some());
        if anew.is_none() && is_known() {
            return;
        }
        tokio::spawn(async move {
            if let Some(anew) = anew {
                turns().await;
                return anew.end(Ok(()));
            }
            tokio::time::sleep(SETTLES).await;
            let Some(state) = state.upgrade() else { return };
            let mut state = locked(&state);
            if state.protocol.is_none() {
                state.is_late = true;
                if let Some(settling) = state.settling.take() {
                    settling.send_replace(Some(Ok(())));
                }
            }
        });
    }
}
