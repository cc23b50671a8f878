//! The gate before one host: which protocol it speaks, and how many requests it sees at a time.
//!
//! Several requests that begin at once would each make a connection before the first one tells that it can carry them
//! all (the library learns that in the TLS handshake, and then drops the others). So while it is not known what an https
//! host speaks, the first request passes alone, and its connection decides: by HTTP/2 all go over it, by HTTP/1.1 each has
//! one of its own, as many as there may be. A connection of HTTP/2 that ends is made anew by one request, while the others
//! wait, also those that the library sends again by itself. Tests: `tests/cases/multiplexed.rs`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode, Version, header};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::base::miss::Miss;
use crate::net::http;
use crate::net::http::range::retry_after;

mod activity;
mod connecting;

use activity::GateActivity;
use connecting::Settling;
pub(super) use connecting::{ConnectionWatch, SecondConnectionError};

/// Turns that other tasks of the thread have before a connection counts as free, or as there: the library keeps it for
/// the next request in a task of its own.
const TURNS: usize = 16;

/// The end of the wait for the first answer; `None` before.
type Settled = Option<Result<(), Miss>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    /// HTTP/1.1 or older: one request at a time over each connection.
    One,
    /// HTTP/2: many at a time over one.
    Two,
}

/// The gate before one host.
pub(super) struct HostGate {
    /// The only client for HTTP/2; for HTTP/1.1 the first one.
    first: Client,
    /// Makes another client, with connections of its own.
    more: Box<dyn Fn() -> Result<Client, Miss> + Send + Sync>,
    /// The requests that may be open at a time by HTTP/1.1.
    seats: Arc<Semaphore>,
    state: Arc<Mutex<GateState>>,
    /// Told the number of hosts that turned out to speak HTTP/2.
    multiplexed: Arc<watch::Sender<usize>>,
    /// Runs the connections.
    runtime: Handle,
    activity: GateActivity,
}

#[derive(Default)]
pub(super) struct GateState {
    protocol: Option<Protocol>,
    /// Set while a connection is being made that others wait for.
    settling: Option<Arc<watch::Sender<Settled>>>,
    /// True once a connection of HTTP/2 was made without an answer so far.
    is_late: bool,
    /// The end of the time in which the host asked for no requests, and its words.
    busy: Option<(Instant, String)>,
    /// Clients without a request, each with a connection or none.
    spare: Vec<Client>,
}

/// The parts that a gate is made of.
pub(super) struct GateParts {
    /// What it speaks, where that is known beforehand.
    pub(super) protocol: Option<Protocol>,
    pub(super) first: Client,
    pub(super) more: Box<dyn Fn() -> Result<Client, Miss> + Send + Sync>,
    /// Most connections by HTTP/1.1.
    pub(super) connections: usize,
    pub(super) state: Arc<Mutex<GateState>>,
    pub(super) multiplexed: Arc<watch::Sender<usize>>,
    pub(super) runtime: Handle,
    /// Silence after which a source is given up. A connection is left when one of its streams is, and all were nearly as
    /// silent.
    pub(super) stall: Duration,
}

/// The leave to send one request.
pub(super) struct Pass {
    pub(super) client: Client,
    settling: Option<Settling>,
    held: HeldPlace,
}

/// The place of one answer at its host; given back when dropped.
pub(super) struct HeldPlace {
    gate: Arc<HostGate>,
    /// Of HTTP/1.1: the seat, and the client where it is to be used again.
    seat: Option<(Option<Client>, OwnedSemaphorePermit)>,
    is_over: bool,
}

/// The next step of a request that came to the gate.
enum GateStep {
    Go(Option<Settling>),
    Seat,
    Wait(watch::Receiver<Settled>),
}

impl HostGate {
    pub(super) fn new(parts: GateParts) -> Self {
        let GateParts { protocol, first, more, connections, state, multiplexed, runtime, stall } = parts;
        {
            let mut state = locked(&state);
            state.protocol = protocol;
            state.spare.extend(protocol.map(|_| first.clone()));
        }
        Self {
            first,
            more,
            seats: Arc::new(Semaphore::new(connections)),
            state,
            multiplexed,
            runtime,
            activity: GateActivity::new(stall),
        }
    }

    /// Returns true when it speaks HTTP/2 and may be asked.
    pub(super) fn is_multiplexed(&self) -> bool {
        let state = locked(&self.state);
        state.protocol == Some(Protocol::Two) && state.busy_for().is_none()
    }

    /// Returns true when it is to be replaced by a new one.
    pub(super) fn is_left(&self) -> bool {
        self.activity.is_left()
    }

    /// Waits until a request may be sent; `None` where this gate is left for a new one. To be called by the task that
    /// sends it at once, on the thread of the connections.
    ///
    /// # Errors
    /// [`Miss::Busy`] while the host wants no requests; what the request met for which this one waited.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Option<Pass>, Miss> {
        loop {
            // A stream that is given up is asked for again before it is closed.
            self.leave_if_silent();
            if self.is_left() {
                return Ok(None);
            }
            match self.step()? {
                GateStep::Go(settling) => {
                    // Before anything is known there are seats.
                    let seat = settling.as_ref().and_then(|_| Arc::clone(&self.seats).try_acquire_owned().ok());
                    let seat = seat.map(|seat| (Some(self.first.clone()), seat));
                    return Ok(Some(self.pass(self.first.clone(), settling, seat)));
                }
                GateStep::Seat => {
                    let closed = |_| Miss::Unreachable("the connections of this process ended".to_owned());
                    let seat = Arc::clone(&self.seats).acquire_owned().await.map_err(closed)?;
                    // It may have asked for a rest meanwhile.
                    self.rests()?;
                    let (client, own) = self.client()?;
                    return Ok(Some(self.pass(client, None, Some((own, seat)))));
                }
                GateStep::Wait(settled) => told(settled).await?,
            }
        }
    }

    fn step(&self) -> Result<GateStep, Miss> {
        self.rests()?;
        let mut state = locked(&self.state);
        Ok(match (&state.settling, state.protocol) {
            (Some(settling), _) => GateStep::Wait(settling.subscribe()),
            (None, Some(Protocol::Two)) => GateStep::Go(None),
            (None, Some(Protocol::One)) => GateStep::Seat,
            (None, None) if state.is_late => GateStep::Seat,
            (None, None) => GateStep::Go(Some(Settling::begin(&self.state, &mut state))),
        })
    }

    /// Returns a client without a request, and the same one where it is to be used again.
    fn client(&self) -> Result<(Client, Option<Client>), Miss> {
        let mut state = locked(&self.state);
        // It has a connection of HTTP/2, which carries all.
        if state.protocol != Some(Protocol::One) {
            return Ok((self.first.clone(), None));
        }
        let client = state.spare.pop().map_or_else(|| (self.more)(), Ok)?;
        Ok((client.clone(), Some(client)))
    }

    fn rests(&self) -> Result<(), Miss> {
        match locked(&self.state).busy_for() {
            Some((left, said)) => Err(Miss::Busy(said, left)),
            None => Ok(()),
        }
    }

    fn pass(
        self: &Arc<Self>,
        client: Client,
        settling: Option<Settling>,
        seat: Option<(Option<Client>, OwnedSemaphorePermit)>,
    ) -> Pass {
        self.activity.begins();
        let held = HeldPlace { gate: Arc::clone(self), seat, is_over: false };
        Pass { client, settling, held }
    }

    /// Leaves a connection of HTTP/2 on which no open stream has said anything for too long.
    fn leave_if_silent(&self) {
        if locked(&self.state).protocol == Some(Protocol::Two) {
            self.activity.leave_if_silent();
        }
    }
}

impl Pass {
    /// Takes note of the answer: of its protocol, and of a rest that the host asks for.
    pub(super) fn answered(mut self, response: &Response) -> HeldPlace {
        let protocol = if response.version() == Version::HTTP_2 { Protocol::Two } else { Protocol::One };
        let gate = &self.held.gate;
        gate.activity.hears();
        let is_news = {
            let mut state = locked(&gate.state);
            let after = http::text(response.headers(), header::RETRY_AFTER).map(retry_after);
            if let (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(after)) =
                (response.status(), after)
            {
                state.busy = Some((Instant::now() + after, format!("HTTP {}", response.status().as_u16())));
            }
            state.protocol.replace(protocol) != Some(protocol)
        };
        if is_news && protocol == Protocol::Two {
            gate.multiplexed.send_modify(|hosts| *hosts += 1);
        }
        if protocol == Protocol::Two {
            // Its streams need no seat.
            self.held.seat = None;
        }
        if let Some(settling) = self.settling.take() {
            settling.end(Ok(()));
        }
        self.held
    }

    /// Has those who wait for this request fail as it failed.
    pub(super) fn failed(mut self, miss: &Miss) {
        self.held.is_over = true;
        if let Some(settling) = self.settling.take() {
            settling.end(Err(miss.clone()));
        }
    }
}

impl HeldPlace {
    /// Counts a piece of the answer, or its end.
    pub(super) fn heard(&mut self, is_end: bool) {
        self.gate.activity.hears();
        self.is_over |= is_end;
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        if !self.is_over {
            self.gate.leave_if_silent();
        }
        self.gate.activity.ends();
        let Some((client, seat)) = self.seat.take() else { return };
        let state = Arc::clone(&self.gate.state);
        // The next one to have the seat finds this connection free.
        self.gate.runtime.spawn(async move {
            turns().await;
            let mut state = locked(&state);
            if state.protocol == Some(Protocol::One) {
                state.spare.extend(client);
            }
            drop(state);
            drop(seat);
        });
    }
}

impl fmt::Debug for HeldPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldPlace").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl GateState {
    /// Returns the rest of the time in which the host wants no requests, and its words.
    fn busy_for(&self) -> Option<(Duration, String)> {
        let (until, said) = self.busy.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (left, said.clone()))
    }
}

/// Waits for what the request met that makes a connection. Where it was given up, that is nothing.
async fn told(mut settled: watch::Receiver<Settled>) -> Result<(), Miss> {
    settled.wait_for(Option::is_some).await.ok().and_then(|told| told.clone()).unwrap_or(Ok(()))
}

/// Lets the other tasks of this thread go on.
async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

fn locked(state: &Mutex<GateState>) -> MutexGuard<'_, GateState> {
    state.lock().expect("nothing panics while it is held")
}
