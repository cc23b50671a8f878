//! Connections being made, for which the requests to their host wait.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::Connection;
use tokio::sync::watch;
use tower_layer::Layer;
use tower_service::Service;

use super::{GateState, Protocol, Settled, locked, told, turns};
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

/// The refusal to make a second connection to a host while another request makes the one for all. Nothing was sent.
#[derive(Debug)]
pub(in crate::net::http) struct SecondConnectionError(
    /// What the other request met; `None` where it has a connection, or was given up.
    pub(in crate::net::http) Option<Miss>,
);

impl fmt::Display for SecondConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is made by another request")
    }
}

impl Error for SecondConnectionError {}

/// The part that one request has in the making of a connection.
enum Part {
    /// Makes it; others wait for it where there is a settling.
    Makes(Option<Settling>),
    /// Has that of another.
    Waits(watch::Receiver<Settled>),
}

impl<S, To> Service<To> for WatchedConnector<S>
where
    S: Service<To>,
    S::Future: Send + 'static,
    S::Response: Connection + Send,
    S::Error: fmt::Display + From<SecondConnectionError> + Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: To) -> Self::Future {
        let anew = match self.watch.part() {
            Part::Makes(anew) => anew,
            Part::Waits(settled) => {
                return Box::pin(async move { Err(SecondConnectionError(told(settled).await.err()).into()) });
            }
        };
        let (connecting, watch) = (self.inner.call(to), self.watch.clone());
        Box::pin(async move {
            let connected = connecting.await;
            match (&connected, anew) {
                (Ok(made), anew) => watch.connected(made.connected().is_negotiated_h2(), anew),
                (Err(e), Some(anew)) => anew.end(Err(Miss::Unreachable(e.to_string()))),
                (Err(_), None) => {}
            }
            connected
        })
    }
}

impl ConnectionWatch {
    /// Has all others wait when this connection replaces one of HTTP/2: those at the gate, and those that the library
    /// had taken and would send again by itself, each over a connection of its own.
    fn part(&self) -> Part {
        let Some(shared) = self.0.upgrade() else { return Part::Makes(None) };
        let mut state = locked(&shared);
        match (state.protocol, &state.settling) {
            (Some(Protocol::Two), Some(settling)) => Part::Waits(settling.subscribe()),
            (Some(Protocol::Two), None) => Part::Makes(Some(Settling::begin(&shared, &mut state))),
            _ => Part::Makes(None),
        }
    }

    /// Lets the others go once the library has the connection; where it is the first one ever, at once when it is one of
    /// HTTP/1.1, and a little later when no answer comes over one of HTTP/2.
    fn connected(&self, is_two: bool, anew: Option<Settling>) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut state = locked(&shared);
        if anew.is_none() && state.protocol.is_some() {
            return;
        }
        if !is_two && state.protocol.is_none() {
            state.protocol = Some(Protocol::One);
            state.release();
            return;
        }
        drop(state);
        let state = Weak::clone(&self.0);
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
                state.release();
            }
        });
    }
}

impl GateState {
    /// Lets those go that wait for a connection.
    fn release(&mut self) {
        if let Some(settling) = self.settling.take() {
            settling.send_replace(Some(Ok(())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper_util::client::legacy::connect::Connected;

    use super::*;

    type BoxError = Box<dyn Error + Send + Sync>;

    /// A connection, of HTTP/2 or not.
    struct FakeConnection(bool);

    impl Connection for FakeConnection {
        fn connected(&self) -> Connected {
            if self.0 { Connected::new().negotiated_h2() } else { Connected::new() }
        }
    }

    /// Makes connections, or fails, and counts both.
    #[derive(Clone)]
    struct FakeConnector(Option<bool>, Arc<AtomicUsize>);

    impl Service<()> for FakeConnector {
        type Response = FakeConnection;
        type Error = BoxError;
        type Future = Ready<Result<FakeConnection, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            self.1.fetch_add(1, Ordering::Relaxed);
            ready(self.0.map(FakeConnection).ok_or_else(|| "refused".into()))
        }
    }

    /// Has three connections asked for before the first one is made, and returns their results and the number made.
    fn three(protocol: Option<Protocol>, makes: Option<bool>) -> (Vec<Result<(), Option<Miss>>>, usize) {
        let state = Arc::new(Mutex::new(GateState { protocol, ..GateState::default() }));
        let calls = Arc::new(AtomicUsize::new(0));
        let watch = ConnectionWatch(Arc::downgrade(&state));
        let mut connector = watch.layer(FakeConnector(makes, Arc::clone(&calls)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let results = runtime.block_on(async {
            let three: Vec<_> = (0..3).map(|_| connector.call(())).collect();
            futures_util::future::join_all(three).await
        });
        let second = |e: BoxError| e.downcast::<SecondConnectionError>().ok().and_then(|second| second.0);
        (results.into_iter().map(|made| made.map(drop).map_err(second)).collect(), calls.load(Ordering::Relaxed))
    }

    #[test]
    fn one_connection_of_http_2_is_made_for_all_who_want_it_anew() {
        assert_eq!(three(Some(Protocol::Two), Some(true)), (vec![Ok(()), Err(None), Err(None)], 1));
    }

    #[test]
    fn all_who_want_a_connection_of_http_2_anew_fail_as_the_one_did() {
        let miss = Miss::Unreachable("refused".to_owned());
        assert_eq!(three(Some(Protocol::Two), None), (vec![Err(None), Err(Some(miss.clone())), Err(Some(miss))], 1));
    }

    #[test]
    fn each_makes_a_connection_of_its_own_by_http_1_1() {
        assert_eq!(three(Some(Protocol::One), Some(false)), (vec![Ok(()); 3], 3));
    }

    #[test]
    fn a_first_connection_without_http_2_lets_the_others_go_before_its_answer() {
        let state = Arc::new(Mutex::new(GateState::default()));
        let settling = Settling::begin(&state, &mut locked(&state));
        ConnectionWatch(Arc::downgrade(&state)).connected(false, None);
        assert_eq!(locked(&state).protocol, Some(Protocol::One));
        assert!(locked(&state).settling.is_none());
        assert_eq!(*settling.tell.borrow(), Some(Ok(())));
    }
}
