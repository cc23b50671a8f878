//! Fetches a list of files into the store, several at a time, over connections that are kept.
//!
//! For callers that know more than one file that is wanted: read-ahead knows the rest of a transaction, prefetch
//! the pending updates. Each of `at_once` threads is a downloader like the one that pacman starts: it picks the
//! next [`Want`] of the list, waits where another process is fetching that very file, races the sources, and
//! proves the result. A proven file is in the store when its result comes. A file without proof (a signature that
//! no index lists) has no place there; its [`Obtained`] holds it, and the caller decides where it stays. `None` in
//! place of an `Obtained` means that the process that wants the file has fetched it meanwhile.
//!
//! A thread has connections of its own and one file at a time, so a mirror never sees more than `at_once` of them.
//!
//! ```text
//! let lists = Lists::of(&Machine::open(env, settings, beside)?);  // must have a lasting store
//! let wants = names.map(|name| Want::in_repo(&lists, &repo, name)).collect::<Result<_, _>>()?;
//! let gathering = gather(env, settings, By::Prefetch, wants, at_once, into_store);
//! for Gathered { want, result } in gathering {                    // in the order in which files arrive
//!     match result { Ok(Some(obtained)) => …, Ok(None) => …, Err(error) => … }    // one failure stops none of the others
//! }
//! ```
//!
//! It ends early when the [`Gathering`] is dropped or [`Gathering::stop`] is called: no file is begun after that,
//! and files under way go on until they are complete or the process ends; a later run resumes partial ones. A ^C
//! ends files under way too, which then are `Interrupted`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::background;
use crate::call::Call;
use crate::config::Settings;
use crate::deliver::{self, Delivery, Obtained};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::journal::By;
use crate::runtime;
use crate::want::Want;

/// Most files at a time, whatever the caller asks for: the most connections that one mirror ever sees.
pub const MOST_AT_ONCE: usize = 16;

/// The result for one file.
#[derive(Debug)]
pub struct Gathered {
    /// The file.
    pub want: Want,
    /// The file, or `None` when it is not wanted any more, or the error.
    pub result: Result<Option<Obtained>, Error>,
    /// Troubles that did not make it fail, one line each.
    pub warnings: Vec<String>,
}

/// The result of waiting for the next file.
#[derive(Debug)]
pub enum Next {
    /// This one is done.
    Done(Box<Gathered>),
    /// No file is done yet.
    NotYet,
    /// All files are done.
    Over,
}

/// The files under way; an iterator over finished ones, in the order in which they finish.
#[derive(Debug)]
pub struct Gathering {
    done: Receiver<Gathered>,
    stopped: Arc<AtomicBool>,
}

/// Starts fetching `wants`, in their order, at most `at_once` at a time (1 to [`MOST_AT_ONCE`]).
///
/// `fetch` delivers one file; it is [`into_store`] unless the caller has a place for unproven files. Each thread
/// opens a [`Call`] of its own: with the environment and settings given, and no progress bar. The journal
/// records the bytes of the sources as fetched for `by`.
pub fn gather<F>(env: &Env, settings: &Settings, by: By, wants: Vec<Want>, at_once: usize, fetch: F) -> Gathering
where
    F: AsyncFn(&mut Call, &Want) -> Delivery<Option<Obtained>> + Send + Sync + 'static,
{
    let at_once = at_once.clamp(1, MOST_AT_ONCE).min(wants.len().max(1));
    let (send, done) = mpsc::sync_channel(at_once);
    let stopped = Arc::new(AtomicBool::new(false));
    let shared = Arc::new(Shared {
        env: env.clone(),
        settings: Settings { progress: false, ..settings.clone() },
        by,
        wants: Mutex::new(wants.into_iter()),
        stopped: Arc::clone(&stopped),
        fetch,
    });
    for _ in 0..at_once {
        let (shared, send) = (Arc::clone(&shared), send.clone());
        // The threads end by themselves: with the list, when stopped, or when the receiver is gone.
        thread::spawn(move || shared.work(&send));
    }
    Gathering { done, stopped }
}

/// Fetches one file into the store. One of this machine's own (in a package cache, or wholly in the local Kubo) is
/// kept there only until it is handed out.
///
/// # Errors
/// As of [`deliver::read_ahead`].
pub async fn into_store(call: &mut Call, want: &Want) -> Delivery<Option<Obtained>> {
    deliver::read_ahead(call, want.order()).await
}

impl Gathering {
    /// Begins no more files. Those under way still come.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits for the next one, no longer than `patience`, so that the caller can show progress meanwhile.
    pub fn next_within(&mut self, patience: Duration) -> Next {
        match self.done.recv_timeout(patience) {
            Ok(gathered) => Next::Done(Box::new(gathered)),
            Err(RecvTimeoutError::Timeout) => Next::NotYet,
            Err(RecvTimeoutError::Disconnected) => Next::Over,
        }
    }
}

impl Iterator for Gathering {
    type Item = Gathered;

    fn next(&mut self) -> Option<Gathered> {
        self.done.recv().ok()
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The state that the threads share.
struct Shared<F> {
    env: Env,
    settings: Settings,
    by: By,
    wants: Mutex<std::vec::IntoIter<Want>>,
    stopped: Arc<AtomicBool>,
    fetch: F,
}

impl<F: AsyncFn(&mut Call, &Want) -> Delivery<Option<Obtained>>> Shared<F> {
    fn next(&self) -> Option<Want> {
        let is_stopped = self.stopped.load(Ordering::Relaxed);
        (!is_stopped).then(|| self.wants.lock().expect("nothing panics while it holds this").next()).flatten()
    }

    fn work(&self, send: &SyncSender<Gathered>) {
        let Some(first) = self.next() else { return };
        let mut call = match Call::open(&self.env, &self.settings, Path::new("/var/tmp")) {
            Ok(call) => call,
            Err(error) => {
                drop(send.send(Gathered { want: first, result: Err(error), warnings: Vec::new() }));
                return;
            }
        };
        let mut next = Some(first);
        while let Some(want) = next {
            call.learn_from_others();
            let begun = Instant::now();
            let cancel = call.cancel.clone();
            let Delivery { result, receipt } = runtime::run(&cancel, (self.fetch)(&mut call, &want));
            let repo = want.repo.as_ref().map(|repo| &repo.name);
            background::note(&call.machine, self.by, (repo, &want.name), None, begun, &receipt);
            background::after(&call, &receipt, false);
            let is_over = result.as_ref().is_err_and(|error| error.kind == ErrorKind::Interrupted);
            if send.send(Gathered { want, result, warnings: receipt.warnings }).is_err() || is_over {
                return;
            }
            next = self.next();
        }
    }
}
