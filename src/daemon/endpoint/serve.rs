//! The life of the endpoint's process: its sockets, its connections, its end.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use listenfd::ListenFd;
use rustix::process::Resource;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use super::HttpEndpoint;
use super::access::AccessRules;
use super::answer::answer;
use super::connections::ConnectionPlace;
use super::means::{EndpointMeans, connections_of};
use super::page::Viewer;
use super::patient::PatientStream;
use super::tidy::tidy;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::config::{Settings, layers};
use crate::daemon::supervisor::{is_awaited, notify, watchdog};
use crate::machine::Machine;
use crate::net::http::shared::SharedConnections;
use crate::report::log;

/// Longest time for the headers of a request, the wait for its first byte included.
const HEADERS: Duration = Duration::from_secs(15);

/// Most bytes of a request's headers, and of an answer's that wait for the client.
const BUFFER: usize = 32 << 10;

/// Most headers of a request.
const HEADERS_MOST: usize = 64;

/// Threads for pieces of files that are not in memory, for files that are hashed, and for name look-ups.
const BLOCKING: usize = 24;

/// Descriptors that connections, files and sources may need.
const DESCRIPTORS: u64 = 4096;

/// Interval between checks of the configuration for a change.
const LOOK: Duration = Duration::from_secs(2);

/// Runs until it is told to end (SIGTERM, SIGINT), or its settings switch it off. `viewer` looks at this machine for the
/// page.
///
/// # Errors
/// When it is root or misconfigured; when it is switched off, unless systemd has started it: a distribution that enables
/// units by default has no failed one at each boot. When the store or an address cannot be had.
pub(crate) fn run(env: &Env, flags: &[String], settings: &Settings, viewer: Viewer) -> Result<u8, Error> {
    if env.is_root() {
        return Err(Error::usage("pkgswarm endpoint", "does not run as root: it reads what strangers send")
            .hint("its unit runs it as a user of its own"));
    }
    if !settings.endpoint.enabled && is_awaited() {
        return Ok(ends_at_once());
    }
    if !settings.endpoint.enabled {
        return Err(Error::usage("endpoint.enabled", "is false, so there is no endpoint")
            .hint("pkgswarm --set endpoint.enabled=true endpoint"));
    }
    log::know_journal(env.var("JOURNAL_STREAM"));
    log::write_up_to(settings.log);
    let access = AccessRules::of(&settings.endpoint)?;
    let listeners = listeners(&access)?;
    let machine = Machine::open(env, settings, Path::new("/var/tmp"))?;
    if let Some(warning) = machine.warning() {
        log::warn(&warning);
    }
    allow_descriptors();
    let failed = |e: io::Error| Error::local("pkgswarm endpoint", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build();
    let runtime = runtime.map_err(failed)?;
    let ports = listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.port())).collect();
    let (machine, means) = sharing(env, &machine);
    let endpoint = Rc::new(HttpEndpoint::start((machine, means), access.at(ports), viewer).map_err(failed)?);
    let all = LocalSet::new();
    all.block_on(&runtime, async {
        let heard = |kind| signal(kind).map_err(failed);
        let (mut term, mut int) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
        let listening = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        for listener in listeners {
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            let at = listener.local_addr().map_err(failed)?;
            log::info(|| format!("the endpoint listens on http://{at}"));
            tokio::task::spawn_local(accept(Rc::clone(&endpoint), listener));
        }
        tokio::task::spawn_local(super::house::follow(Rc::clone(&endpoint), listening));
        tokio::task::spawn_local(super::tidy::keep_indexes(Rc::clone(&endpoint)));
        tokio::task::spawn_local(super::ahead::follow(Rc::clone(&endpoint)));
        tokio::task::spawn_local(super::transfer::follow_mirrors(Rc::clone(&endpoint)));
        notify("READY=1");
        tokio::select! {
            () = follow_configuration(&endpoint, env, flags) => {}
            () = watchdog(|long| endpoint.desks.are_stuck(long)) => {}
            () = tidy(&endpoint) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        notify("STOPPING=1");
        Ok(())
    })?;
    drop(all);
    // Does not wait for a thread that a slow disk or a name look-up blocks.
    runtime.shutdown_background();
    Ok(0)
}

/// Ends as systemd wants it: ready, and over. Clients that are waiting in its sockets go on with their next server.
fn ends_at_once() -> u8 {
    log::warn("endpoint.enabled is false, so there is no endpoint");
    notify("READY=1");
    let mut handed_over = ListenFd::from_env();
    for number in 0..handed_over.len() {
        if let Ok(Some(listener)) = handed_over.take_tcp_listener(number)
            && listener.set_nonblocking(true).is_ok()
        {
            while listener.accept().is_ok() {}
        }
    }
    notify("STOPPING=1");
    0
}

/// Has all threads ask mirrors over the same connections: as many as pacman makes, and one more; a single one where a
/// mirror speaks HTTP/2.
fn sharing(env: &Env, machine: &Machine) -> (Rc<Machine>, Arc<EndpointMeans>) {
    let Settings { connect, stall, .. } = machine.settings;
    let connections = SharedConnections::start(env, (connect, stall), connections_of(1));
    if let Err(e) = &connections {
        log::warn(&format!("mirrors may see more connections than those of pacman: {e}"));
    }
    let means = EndpointMeans::of(machine, connections.ok());
    (means.machine(&machine.settings), means)
}

/// Returns the sockets that systemd handed over, else new ones.
fn listeners(access: &AccessRules) -> Result<Vec<StdListener>, Error> {
    let failed = |e: io::Error| Error::local("pkgswarm endpoint", format!("a socket that was handed over: {e}"));
    let mut handed_over = ListenFd::from_env();
    let mut listeners = Vec::new();
    for number in 0..handed_over.len() {
        listeners.extend(handed_over.take_tcp_listener(number).map_err(failed)?);
    }
    let given: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    if !given.is_empty() && access.listen.iter().any(|at| !given.contains(at)) {
        log::warn(
            "endpoint.listen is not where the socket unit listens, which counts: see systemctl cat pkgswarm-endpoint.socket",
        );
    }
    if listeners.is_empty() {
        listeners = access.listen.iter().map(|at| bound(*at)).collect::<Result<_, _>>()?;
    }
    for listener in &listeners {
        listener.set_nonblocking(true).map_err(failed)?;
    }
    Ok(listeners)
}

fn bound(at: SocketAddr) -> Result<StdListener, Error> {
    StdListener::bind(at).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => Error::usage(at, "another program listens there already")
            .hint(format!("`ss -ltnp sport = :{}` names it; endpoint.listen is where the endpoint listens", at.port())),
        _ => Error::local(at, format!("cannot listen: {e}")).hint("set endpoint.listen to an address of this machine"),
    })
}

/// Raises the limit on open files to what connections need. Where that is not allowed, fewer are served.
fn allow_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|now| now < wanted) {
        let _ = rustix::process::setrlimit(
            Resource::Nofile,
            rustix::process::Rlimit { current: Some(wanted), maximum: limit.maximum },
        );
    }
}

async fn accept(endpoint: Rc<HttpEndpoint>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                // Dropped where there is no place: to pacman that is a server that is not there.
                if let Some(place) = endpoint.connections.admit(client.ip()) {
                    tokio::task::spawn_local(converse(Rc::clone(&endpoint), stream, client, place));
                }
            }
            // Of a client that has left, or for lack of descriptors: then others end meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn converse(endpoint: Rc<HttpEndpoint>, stream: TcpStream, client: SocketAddr, place: ConnectionPlace) {
    let Ok(local) = stream.local_addr() else { return };
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let addresses = (client.ip().to_canonical(), local.ip());
    let service = service_fn(|request| answer(Rc::clone(&endpoint), addresses, request, place.answering()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(HEADERS_MOST)
        .max_buf_size(BUFFER)
        .serve_connection(PatientStream::new(TokioIo::new(stream)), service);
    // What ends a connection is the client's affair, or a doubt about the rest of a file.
    let _ended = place.closing().run_until_cancelled(connection).await;
}

/// Applies changes of the configuration; returns when it switches the endpoint off.
async fn follow_configuration(endpoint: &HttpEndpoint, env: &Env, flags: &[String]) {
    let state = || {
        let env = env.clone();
        // The disk may sleep.
        tokio::task::spawn_blocking(move || layers::states(&env))
    };
    let mut seen = state().await.ok();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        let Ok(now) = state().await else { continue };
        if seen.as_ref() == Some(&now) {
            continue;
        }
        seen = Some(now);
        let (env, flags) = (env.clone(), flags.to_vec());
        let Ok(read) = tokio::task::spawn_blocking(move || Settings::read(&env, &flags)).await else { continue };
        match read.and_then(|settings| Ok((AccessRules::of(&settings.endpoint)?, settings))) {
            Ok((_, settings)) if !settings.endpoint.enabled => {
                log::info(|| "endpoint.enabled is false now".to_owned());
                return;
            }
            Ok((access, settings)) => {
                log::write_up_to(settings.log);
                endpoint.apply(access, settings);
            }
            Err(e) => log::warn(&format!("the configuration is kept as it was: {e}")),
        }
    }
}
