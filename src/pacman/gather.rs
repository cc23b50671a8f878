//! Fetches a list of files into the store, several at a time, over connections that are kept.
//!
//! For callers that know more than one file that is wanted: read-ahead knows the rest of a transaction, prefetch
//! the pending updates. They listen to transfers of a [hub](crate::engine::hub), which `at_once` threads make. Each is a
//! downloader like the one that pacman starts: it picks the next [`Want`] of the list, waits where another process is
//! fetching that very file, races the sources, and proves the result. A proven file is in the store when its result
//! comes. A file without proof (a signature that no index lists) has no place there; its [`Obtained`] holds it, and the
//! caller decides where it stays. `None` in place of an `Obtained` means that the process that wants the file has
//! fetched it meanwhile.
//!
//! A thread has connections of its own and one file at a time, so a mirror never sees more than `at_once` of them.
//!
//! ```text
//! let lists = Lists::of(&Machine::open(env, settings, beside)?);  // must have a lasting store
//! let wants = names.map(|name| Want::in_repo(&lists, &repo, name)).collect::<Result<_, _>>()?;
//! let gathering = gather(env, settings, By::Prefetch, wants, at_once, into_store);
//! for Gathered { want, result, .. } in gathering {                // in the order in which files arrive
//!     match result { Ok(Some(obtained)) => …, Ok(None) => …, Err(error) => … }    // one failure stops none of the others
//! }
//! ```
//!
//! It ends early when [`Gathering::stop`] is called: no file is begun after that, and files under way go on until they
//! are complete or the process ends. Dropped, it ends files under way too, and so does a ^C: then they are
//! `Interrupted`. A later run resumes partial ones.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime;
use crate::config::{ProgressMode, Settings};
use crate::engine::deliver::{self, Delivery, Obtained, Purpose, Receipt};
use crate::engine::hub::{self, Duty, Hub};
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::pacman::background;
use crate::store::journal::By;

/// Most files at a time, whatever the caller asks for: the most connections that one mirror ever sees.
pub(crate) const MOST_AT_ONCE: usize = 16;

/// The result for one file.
#[derive(Debug)]
pub struct Gathered {
    /// The file.
    pub want: Want,
    /// The file, or `None` when it is not wanted any more, or the error.
    pub result: Result<Option<Obtained>, Error>,
    /// Troubles that did not make it fail, one line each.
    pub(crate) warnings: Vec<String>,
    /// Sources that failed although another one delivered, one line each.
    pub(crate) passed_over: Vec<String>,
}

/// The result of waiting for the next file.
#[derive(Debug)]
pub(crate) enum Next {
    /// This one is done.
    Done(Box<Gathered>),
    /// No file is done yet.
    NotYet,
    /// All files are done.
    Over,
}

/// The files under way; an iterator over finished ones, in the order in which they finish.
pub struct Gathering {
    hub: Hub,
    purpose: Purpose,
    wants: std::vec::IntoIter<Want>,
    jobs: Sender<FileJob>,
    /// Files that are begun, or are next: `None` for one that was not begun any more.
    under_way: FuturesUnordered<LocalBoxFuture<'static, Option<Gathered>>>,
    /// Most of them: a result has an open file.
    most: usize,
    stopped: Arc<AtomicBool>,
}

/// A file to fetch.
struct FileJob {
    want: Want,
    duty: Duty,
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
    // One waits for each thread, so that none is idle while the caller looks at a result.
    let most = 2 * at_once;
    let hub = Hub::new(most, CancellationToken::new());
    let (jobs, next) = mpsc::channel();
    let stopped = Arc::new(AtomicBool::new(false));
    let shared = Arc::new(Shared {
        env: env.clone(),
        settings: Settings { progress: ProgressMode::Silent, ..settings.clone() },
        by,
        cancel: hub.cancel().clone(),
        jobs: Mutex::new(next),
        stopped: Arc::clone(&stopped),
        fetch,
    });
    for _ in 0..at_once {
        let shared = Arc::clone(&shared);
        // The threads end by themselves, with the list and when the gathering is dropped.
        thread::spawn(move || shared.work());
    }
    let purpose = if by == By::Prefetch { Purpose::Prefetch } else { Purpose::ReadAhead };
    let (wants, under_way) = (wants.into_iter(), FuturesUnordered::new());
    let mut gathering = Gathering { hub, purpose, wants, jobs, under_way, most, stopped };
    gathering.begin();
    gathering
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
    pub(crate) fn next_within(&mut self, patience: Duration) -> Next {
        let cancel = self.hub.cancel().clone();
        match runtime::run(&cancel, async { tokio::time::timeout(patience, self.gathered()).await }) {
            Ok(Some(gathered)) => Next::Done(Box::new(gathered)),
            Ok(None) => Next::Over,
            Err(_) => Next::NotYet,
        }
    }

    async fn gathered(&mut self) -> Option<Gathered> {
        loop {
            let ended = self.under_way.next().await?;
            self.begin();
            if ended.is_some() {
                return ended;
            }
        }
    }

    /// Joins the transfers of the next files, as many as the hub takes.
    fn begin(&mut self) {
        let is_over = || self.stopped.load(Ordering::Relaxed) || self.hub.cancel().is_cancelled();
        while !is_over() && self.under_way.len() < self.most {
            let Some(want) = self.wants.as_slice().first() else { return };
            let Ok((ticket, duty)) = self.hub.join(hub::key(&want.order(), self.purpose)) else { return };
            ticket.want_stay(self.purpose.stays());
            let Some(want) = self.wants.next() else { return };
            if let Some(duty) = duty {
                // The threads are there for as long as this.
                let _ = self.jobs.send(FileJob { want: want.clone(), duty });
            }
            let waiting = async move {
                let Delivery { result, receipt } = ticket.result().await?;
                let Receipt { warnings, passed_over, .. } = receipt;
                Some(Gathered { want, result, warnings, passed_over })
            };
            self.under_way.push(waiting.boxed_local());
        }
    }
}

impl Iterator for Gathering {
    type Item = Gathered;

    fn next(&mut self) -> Option<Gathered> {
        let cancel = self.hub.cancel().clone();
        runtime::run(&cancel, self.gathered())
    }
}

/// The state that the threads share.
struct Shared<F> {
    env: Env,
    settings: Settings,
    by: By,
    cancel: CancellationToken,
    jobs: Mutex<Receiver<FileJob>>,
    stopped: Arc<AtomicBool>,
    fetch: F,
}

impl<F: AsyncFn(&mut Call, &Want) -> Delivery<Option<Obtained>>> Shared<F> {
    /// Waits for the next file to fetch; `None` at the end.
    fn next(&self) -> Option<FileJob> {
        let job = self.jobs.lock().expect("nothing panics while it holds this").recv().ok()?;
        // Dropped, it is not begun any more.
        (!self.stopped.load(Ordering::Relaxed)).then_some(job)
    }

    fn work(&self) {
        let Some(mut next) = self.next() else { return };
        let mut call = match Call::open(&self.env, &self.settings, Path::new("/var/tmp")) {
            Ok(call) => call,
            Err(error) => {
                next.duty.finish(Delivery { result: Err(error), receipt: Receipt::default() });
                return;
            }
        };
        loop {
            let FileJob { want, duty } = next;
            call.learn_from_others();
            let begun = Instant::now();
            let fetching = duty.run(&mut call, async |call| (self.fetch)(call, &want).await);
            let delivery = runtime::run(&self.cancel, fetching);
            let repo = want.repo.as_ref().map(|repo| &repo.name);
            background::note(&call.machine, self.by, (repo, &want.name), None, begun, &delivery.receipt);
            background::after(&call, &delivery.receipt, false);
            let is_over = delivery.result.as_ref().is_err_and(|error| error.kind == ErrorKind::Interrupted);
            duty.finish(delivery);
            if is_over && self.cancel.is_cancelled() {
                return;
            }
            let Some(job) = self.next() else { return };
            next = job;
        }
    }
}
