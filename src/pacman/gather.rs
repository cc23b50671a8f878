//! Fetches a list of files into the store, several at a time, over connections that are kept.
//!
//! For callers that know more than one file that is wanted: read-ahead knows the rest of a transaction, prefetch
//! the pending updates. They listen to transfers of a [hub](crate::engine::hub), which threads make, as many as there
//! may be connections. Each is a downloader like the one that pacman starts: it picks the next [`Want`] of the list, waits
//! where another process is fetching that very file, races the sources, and proves the result. A proven file is in the
//! store when its result comes. A file without proof (a signature that no index lists) has no place there; its
//! [`Obtained`] holds it, and the caller decides where it stays. `None` in place of an `Obtained` means that the process
//! that wants the file has fetched it meanwhile.
//!
//! All share the [connections](crate::net::http::shared) to mirrors. A mirror that speaks HTTP/1.1 never sees more than
//! [`AtOnce`] says; one that speaks HTTP/2 has one, over which small files come many at a time ([`light`]) while larger
//! ones before them in the list are still on their way.
//!
//! ```text
//! let lists = Lists::of(&Machine::open(env, settings, beside)?);  // must have a lasting store
//! let wants = names.map(|name| Want::in_repo(&lists, &repo, name)).collect::<Result<_, _>>()?;
//! let gathering = gather(env, settings, By::Prefetch, wants, AtOnce::over(5), into_store);
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
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime;
use crate::config::{ProgressMode, Settings};
use crate::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose, Receipt};
use crate::engine::hub::{self, Duty, Hub};
use crate::engine::source::SourceKind;
use crate::engine::want::Want;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::net::http::shared::{MOST_STREAMS, SharedConnections};
use crate::pacman::background;
use crate::store::journal::By;

mod jobs;
mod light;
mod streams;

use jobs::{FileJob, JobQueue};

/// Most connections, whatever the caller asks for: the most that one mirror ever sees.
pub(crate) const MOST_AT_ONCE: usize = 16;

/// How many files at a time.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce {
    /// Files that come one by one, each over a connection of its own where the host speaks HTTP/1.1; 1 to
    /// [`MOST_AT_ONCE`].
    pub connections: usize,
    /// True if small files may come beside them over the one connection of a host that speaks HTTP/2.
    pub is_multiplexed: bool,
}

impl AtOnce {
    /// As many as there may be connections to one host.
    pub fn over(connections: usize) -> Self {
        Self { connections, is_multiplexed: true }
    }

    /// So many files and no more, whatever the host speaks.
    pub(crate) fn exactly(files: usize) -> Self {
        Self { connections: files, is_multiplexed: false }
    }
}

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
    jobs: QueueEnd,
    /// Files that are begun, or are next: `None` for one that was not begun any more.
    under_way: FuturesUnordered<LocalBoxFuture<'static, Option<Gathered>>>,
    /// Most of them: a result has an open file. More, once a host speaks HTTP/2.
    most: usize,
    /// The number of hosts that do.
    multiplexed: Option<watch::Receiver<usize>>,
    /// Kept for as long as results are waited for.
    _connections: Option<Arc<SharedConnections>>,
}

/// Closes the queue when dropped.
struct QueueEnd(Arc<JobQueue>);

impl Drop for QueueEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts fetching `wants`, in their order, as many at a time as `at_once` says.
///
/// `fetch` delivers one file; it is [`into_store`] unless the caller has a place for unproven files. Each thread
/// opens a [`Call`] of its own: with the environment and settings given, and no progress bar. The journal
/// records the bytes of the sources as fetched for `by`.
pub fn gather<F>(env: &Env, settings: &Settings, by: By, wants: Vec<Want>, at_once: AtOnce, fetch: F) -> Gathering
where
    F: AsyncFn(&mut Call, &Want) -> Delivery<Option<Obtained>> + Send + Sync + 'static,
{
    let workers = at_once.connections.clamp(1, MOST_AT_ONCE).min(wants.len().max(1));
    // One waits for each thread, so that none is idle while the caller looks at a result.
    let most = 2 * workers;
    let hub = Hub::new(most + MOST_STREAMS, CancellationToken::new());
    let jobs = JobQueue::new(workers);
    // Without them, each thread has its own. With a limit on the rate, files are left unread for long, and over one
    // connection those would hold up the others.
    let is_held_back = settings.rate.is_some();
    let connections = SharedConnections::start(env, (settings.connect, settings.stall), workers);
    let connections = connections.ok().filter(|_| !is_held_back);
    let shared = Arc::new(SharedGather {
        env: env.clone(),
        settings: Settings { progress: ProgressMode::Silent, ..settings.clone() },
        by,
        cancel: hub.cancel().clone(),
        jobs: Arc::clone(&jobs),
        connections: connections.clone(),
        fetch,
    });
    for _ in 0..workers {
        let shared = Arc::clone(&shared);
        // The threads end by themselves, with the list and when the gathering is dropped.
        thread::spawn(move || {
            shared.work();
            shared.jobs.leave();
        });
    }
    let is_https = |want: &Want| matches!(want.candidates.iter().find(|one| one.kind() == SourceKind::Mirror), Some(Candidate::Mirror(url)) if url.scheme() == "https");
    let multiplexed = connections.clone().filter(|_| at_once.is_multiplexed && wants.iter().any(is_https));
    if let Some(connections) = multiplexed.clone() {
        thread::spawn(move || runtime::run(&shared.cancel, shared.fetch_light(&connections)));
    }
    let purpose = if by == By::Prefetch { Purpose::Prefetch } else { Purpose::ReadAhead };
    let (wants, under_way) = (wants.into_iter(), FuturesUnordered::new());
    let multiplexed = multiplexed.map(|connections| connections.multiplexed());
    let (jobs, _connections) = (QueueEnd(jobs), connections);
    let mut gathering = Gathering { hub, purpose, wants, jobs, under_way, most, multiplexed, _connections };
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
        self.jobs.0.stop();
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
            let Self { under_way, multiplexed, .. } = self;
            tokio::select! {
                biased;
                ended = under_way.next() => {
                    let ended = ended?;
                    self.begin();
                    if ended.is_some() {
                        return ended;
                    }
                }
                () = another(multiplexed) => self.begin(),
            }
        }
    }

    /// Joins the transfers of the next files, as many as the hub takes.
    fn begin(&mut self) {
        let is_over = || self.jobs.0.is_stopped() || self.hub.cancel().is_cancelled();
        let streams = self.multiplexed.as_ref().map_or(0, |hosts| if *hosts.borrow() > 0 { MOST_STREAMS } else { 0 });
        while !is_over() && self.under_way.len() < self.most + streams {
            let Some(want) = self.wants.as_slice().first() else { return };
            let Ok((ticket, duty)) = self.hub.join(hub::key(&want.order(), self.purpose)) else { return };
            ticket.want_stay(self.purpose.stays());
            let Some(want) = self.wants.next() else { return };
            if let Some(duty) = duty {
                self.jobs.0.push(FileJob { want: want.clone(), duty });
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

/// Waits until another host turns out to speak HTTP/2.
async fn another(hosts: &mut Option<watch::Receiver<usize>>) {
    let Some(hosts) = hosts else { return std::future::pending().await };
    // The sender lives as long as the gathering.
    let _ = hosts.changed().await;
}

/// The state that the threads share.
struct SharedGather<F> {
    env: Env,
    settings: Settings,
    by: By,
    cancel: CancellationToken,
    jobs: Arc<JobQueue>,
    connections: Option<Arc<SharedConnections>>,
    fetch: F,
}

impl<F: AsyncFn(&mut Call, &Want) -> Delivery<Option<Obtained>>> SharedGather<F> {
    fn open(&self) -> Result<Call, Error> {
        let lists =
            Lists::of(&Machine::sharing(&self.env, &self.settings, Path::new("/var/tmp"), self.connections.as_ref())?);
        Ok(Call::with(lists, Path::new("/var/tmp")))
    }

    fn work(&self) {
        let Some(mut next) = self.jobs.next() else { return };
        let mut call = match self.open() {
            Ok(call) => call,
            Err(error) => {
                next.duty.finish(Delivery { result: Err(error), receipt: Receipt::default() });
                return;
            }
        };
        loop {
            let FileJob { want, duty } = next;
            let is_interrupted = runtime::run(&self.cancel, self.fetch_one(&mut call, want, duty));
            if is_interrupted && self.cancel.is_cancelled() {
                return;
            }
            let Some(job) = self.jobs.next() else { return };
            next = job;
        }
    }

    /// Fetches one file. Returns true when that was interrupted.
    async fn fetch_one(&self, call: &mut Call, want: Want, duty: Duty) -> bool {
        call.learn_from_others();
        let begun = Instant::now();
        let delivery = duty.run(call, async |call| (self.fetch)(call, &want).await).await;
        let repo = want.repo.as_ref().map(|repo| &repo.name);
        background::note(&call.machine, self.by, (repo, &want.name), None, begun, &delivery.receipt);
        background::after(call, &delivery.receipt, false);
        let is_interrupted = delivery.result.as_ref().is_err_and(|error| error.kind == ErrorKind::Interrupted);
        duty.finish(delivery);
        is_interrupted
    }
}
