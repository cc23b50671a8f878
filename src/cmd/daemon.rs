//! `pkgswarm daemon`, which becomes a program of its own, and the questions that other commands ask it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime::block_on;
#[cfg(not(feature = "node"))]
use crate::cmd::endpoint;
use crate::config::Settings;
use crate::host::inspect::daemon::is_absence;
use crate::net::socket;

/// Longest wait for a document of the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait until the daemon applies a change of its configuration.
const CHANGE: Duration = Duration::from_secs(10);

/// Interval between questions whether it has.
const STEP: Duration = Duration::from_millis(50);

/// Becomes the daemon's program; returns only on failure.
#[cfg(feature = "node")]
pub(crate) fn run(env: &Env) -> anyhow::Result<u8> {
    let program = env.daemon_program();
    let why = env.become_it(&program);
    let error = Error::local(program.display(), format!("the daemon's program cannot be started: {why}"));
    Err(error.hint("install pkgswarm-daemon beside pkgswarm-full").into())
}

/// Fails: there is no such program.
#[cfg(not(feature = "node"))]
pub(crate) fn run(_: &Env) -> anyhow::Result<u8> {
    Err(crate::daemon::missing().into())
}

/// Becomes the program that is the endpoint, too: what stays resident is in one; returns only on failure.
#[cfg(feature = "node")]
pub(crate) fn run_endpoint(env: &Env, _: &[String]) -> anyhow::Result<u8> {
    run(env)
}

/// Runs the endpoint in this program: there is no other one.
#[cfg(not(feature = "node"))]
pub(crate) fn run_endpoint(env: &Env, flags: &[String]) -> anyhow::Result<u8> {
    let settings = Settings::read(env, flags)?;
    Ok(crate::daemon::endpoint::run(env, flags, &settings, endpoint::viewer(env, flags))?)
}

/// Asks the running daemon for a document: `status` or `shared`.
///
/// # Errors
/// Fails when no daemon runs, or it does not answer.
pub(crate) fn ask(settings: &Settings, what: &str) -> Result<Value, Error> {
    let answer = waited(async { tokio::time::timeout(PATIENCE, socket::ask(&settings.socket, what)).await })?;
    answer.map_err(|e| silent(settings, &e))?.map_err(|e| match is_absence(&e) {
        true => Error::local(
            "pkgswarm daemon",
            format!("is not running (nothing listens on {})", settings.socket.display()),
        )
        .hint("sudo systemctl enable --now pkgswarm-daemon.service"),
        false => silent(settings, &e),
    })
}

/// Asks the daemon for a document as [`ask`] does; `None` when no daemon runs.
pub(crate) fn ask_if_running(settings: &Settings, what: &str) -> Result<Option<Value>, Error> {
    match waited(async { tokio::time::timeout(PATIENCE, socket::ask(&settings.socket, what)).await })? {
        Ok(Ok(document)) => Ok(Some(document)),
        Ok(Err(e)) if is_absence(&e) => Ok(None),
        Ok(Err(e)) => Err(silent(settings, &e)),
        Err(e) => Err(silent(settings, &e)),
    }
}

/// Has the daemon read its changed configuration, waits until its document `what` shows the change, and returns that;
/// `None` when no daemon runs. `shows` is `None` for a document that does not tell.
///
/// # Errors
/// When the daemon does not answer, or goes on as before.
pub(crate) fn confirmed(
    settings: &Settings,
    what: &str,
    shows: impl Fn(&Value) -> Option<bool>,
) -> Result<Option<Value>, Error> {
    let until = Instant::now() + CHANGE;
    loop {
        // An older daemon does not know this request, and looks by itself every two seconds.
        let _ = waited(async { tokio::time::timeout(PATIENCE, socket::look(&settings.socket)).await })?;
        let Some(document) = ask_if_running(settings, what)? else { return Ok(None) };
        let goes_on = |why: &str| {
            Error::local(settings.socket.display(), why).hint("sudo systemctl restart pkgswarm-daemon.service")
        };
        match shows(&document) {
            Some(true) => {
                // Its other documents may be a moment old.
                let _ = waited(async { tokio::time::timeout(PATIENCE, socket::look(&settings.socket)).await })?;
                return Ok(Some(document));
            }
            None => return Err(goes_on("the daemon that runs is an older one and does not tell what it applies")),
            Some(false) if Instant::now() > until => {
                let seconds = CHANGE.as_secs();
                return Err(goes_on(&format!("the daemon has not applied the change within {seconds} s")));
            }
            Some(false) => std::thread::sleep(STEP),
        }
    }
}

fn waited<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    block_on(work).ok_or_else(|| Error::new(ErrorKind::Interrupted, "daemon", "interrupted"))
}

fn silent(settings: &Settings, e: &dyn std::fmt::Display) -> Error {
    Error::local(settings.socket.display(), format!("the daemon does not answer: {e}"))
        .hint("systemctl status pkgswarm-daemon.service")
}
