//! A file that is not here: one transfer through the hub for all clients that ask for it, and the decision whether a
//! client waits for it. pacman gives a server up after ten seconds in which nothing came (`dload.c:392-395`, pacman
//! 7.1.0), asks the next one at once after a 404, and follows a redirect.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Child;
use std::rc::Rc;
use std::time::Duration;

use reqwest::header::CONTENT_LENGTH;
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::HttpEndpoint;
use super::house::HousePeers;
use super::known::KnownPackage;
use crate::base::name::{FileName, RepoName};
use crate::engine::deliver::{self, Candidate, Delivery, Order, Purpose, Receipt};
use crate::engine::hub::{self, Duty, Hub, HubProgress, Ticket};
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::net::http;
use crate::net::http::GetOptions;
use crate::pacman::background;
use crate::report::log;
use crate::store::journal::By;

/// Longest time until the first proven byte: less than pacman's patience.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// Time after which the rate of a transfer says something about its rest.
const JUDGED: Duration = Duration::from_secs(1);

/// Interval between looks at the rate.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes of a leaf.
const LEAF: u64 = 1 << 20;

/// Bytes at the end of what is proven that are kept back until more is: something to send while the next leaf comes, and
/// the last of a file is not sent before all of it is proven.
pub(super) const RESERVE: u64 = 64;

/// Least time between two processes that trim what Kubo has cached.
const TRIMMING: Duration = Duration::from_secs(60);

/// Most transfers at a time. Each has one open file, and buffers of its sources.
const TRANSFERS: usize = 64;

/// The transfers that clients share.
pub(super) struct SharedTransfers {
    pub(super) hub: Hub,
    /// Hosts of mirrors to which a connection is being made.
    warming: RefCell<BTreeSet<String>>,
    /// The endpoints that are asked before mirrors.
    pub(super) house: HousePeers,
    /// The last process that trims what Kubo cached for us, and when it was started.
    trimming: RefCell<Option<(Instant, Child)>>,
}

impl Default for SharedTransfers {
    fn default() -> Self {
        Self {
            hub: Hub::new(TRANSFERS, CancellationToken::new()),
            warming: RefCell::default(),
            trimming: RefCell::default(),
            house: HousePeers::default(),
        }
    }
}

impl SharedTransfers {
    /// Starts what is due after a transfer: one process at a time, and one a minute at most.
    fn tidy_up(&self, call: &Call, receipt: &Receipt) {
        let mut last = self.trimming.borrow_mut();
        let is_at_work = last.as_mut().is_some_and(|(since, child)| {
            // Waited for, so that it leaves no zombie.
            !matches!(child.try_wait(), Ok(Some(_))) || since.elapsed() < TRIMMING
        });
        if !is_at_work && let Some(child) = background::after(call, receipt, false) {
            *last = Some((Instant::now(), child));
        }
    }
}

/// What came of waiting.
pub(super) enum Waited {
    /// The transfer is over.
    Over(Ticket),
    /// The wanted beginning is proven; the rest comes.
    Growing(Ticket),
    /// No source sends anything.
    Silent,
    /// It is too slow to wait for.
    Slow,
}

/// Joins the transfer of a package, or begins it. `None` where too many files are on their way, or there is no source.
/// Where `asks_house`, the other endpoints of the house are asked before all others.
pub(super) fn join(
    endpoint: &Rc<HttpEndpoint>,
    package: &KnownPackage,
    is_foreign: bool,
    asks_house: bool,
) -> Option<Ticket> {
    let mut sources =
        if asks_house { endpoint.transfers.house.candidates(&package.repo, &package.want.name) } else { Vec::new() };
    sources.extend(candidates(endpoint, &package.want, is_foreign));
    let want = Want { candidates: sources, ..package.want.clone() };
    (!want.candidates.is_empty()).then_some(())?;
    begin(endpoint, want, &package.repo).map(|(ticket, _)| ticket)
}

/// Returns the ticket, and true where the transfer begins with it.
fn begin(endpoint: &Rc<HttpEndpoint>, want: Want, repo: &RepoName) -> Option<(Ticket, bool)> {
    let (ticket, duty) = endpoint.transfers.hub.join(hub::key(&want.order(), Purpose::Caller)).ok()?;
    ticket.want_leaves();
    let is_new = duty.is_some();
    if let Some(duty) = duty {
        let (endpoint, repo) = (Rc::clone(endpoint), repo.clone());
        tokio::task::spawn_local(async move {
            let steps = async |call: &mut Call| deliver::fetch(call, want.order(), Purpose::Caller).await;
            make(&endpoint, (&repo, &want.name), duty, steps).await;
        });
    }
    Some((ticket, is_new))
}

/// Makes a transfer, by `steps`.
pub(super) async fn make(
    endpoint: &HttpEndpoint,
    (repo, name): (&RepoName, &FileName),
    duty: Duty,
    steps: impl AsyncFnOnce(&mut Call) -> Delivery<deliver::Obtained>,
) {
    let (machine, begun) = (endpoint.machine(), std::time::Instant::now());
    let mut call = Call::with(endpoint.lists.new_lists(&machine), machine.store.dir());
    let made = duty
        .run(&mut call, async |call: &mut Call| {
            let Delivery { result, receipt } = steps(call).await;
            Delivery { result: result.map(Some), receipt }
        })
        .await;
    endpoint.lists.say(&call.lists);
    made.receipt.warnings.iter().for_each(|warning| log::warn(warning));
    if let Err(error) = &made.result {
        log::info(|| format!("{name}: {error}"));
    }
    endpoint.transfers.tidy_up(&call, &made.receipt);
    // The bytes came all the same where no client is left.
    if let Some(left) = duty.finish(made) {
        background::note(&machine, By::Endpoint, (Some(repo), name), None, begun, &left.receipt);
    }
}

/// Returns true for a URL that no other machine and no redirect may name: it may hold what lets its owner in.
pub(super) fn has_secret(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some() || url.query().is_some()
}

/// Returns the sources that may be asked for a client: never this endpoint itself, no mirror with credentials for other
/// machines, and no mirror at all where the user does not want that.
pub(super) fn candidates(endpoint: &HttpEndpoint, want: &Want, is_foreign: bool) -> Vec<Candidate> {
    let mirrors = endpoint.machine().settings.endpoint.mirrors;
    let may_ask = |candidate: &&Candidate| match candidate {
        Candidate::Mirror(url) => mirrors && !endpoint.is_itself(url) && !(is_foreign && has_secret(url)),
        Candidate::File(_) | Candidate::Lan(_) | Candidate::House(_) | Candidate::Kubo(..) | Candidate::Gateway(..) => {
            true
        }
    };
    want.candidates.iter().filter(may_ask).cloned().collect()
}

/// Waits until bytes from `at` on can be sent, of a file of `size` bytes; no longer than pacman would, and no longer than
/// `silence` while no source sends anything.
pub(super) async fn wait(ticket: Ticket, (at, size): (u64, u64), silence: Duration, begun: Instant) -> Waited {
    let mut progress = ticket.progress();
    // What came before, like a look at changed lists, is not the sources' fault.
    let raced = Instant::now();
    let mut first: Option<(Instant, u64)> = None;
    loop {
        let HubProgress { bytes, proven, is_withdrawn, is_over } = *progress.borrow_and_update();
        let now = Instant::now();
        let waited = now.duration_since(begun);
        if is_over {
            return Waited::Over(ticket);
        }
        if !is_withdrawn && proven.saturating_sub(RESERVE) > at {
            return Waited::Growing(ticket);
        }
        let next = if bytes == 0 {
            if now.duration_since(raced) >= silence || waited >= PATIENCE {
                return Waited::Silent;
            }
            (raced + silence).min(begun + PATIENCE)
        } else {
            let (since, before) = *first.get_or_insert((now, bytes));
            // Without a root all of it has to come; with one, the leaf in which the wanted part begins.
            let is_rooted = proven > 0 && !is_withdrawn;
            let goal = if is_rooted || bytes < 2 * LEAF { ((at / LEAF + 1) * LEAF).min(size) } else { size };
            let watched = now.duration_since(since);
            if waited >= PATIENCE {
                return Waited::Slow;
            }
            if watched >= JUDGED {
                let rate = bytes.saturating_sub(before) as f64 / watched.as_secs_f64();
                let rest = goal.saturating_sub(bytes) as f64 / rate.max(1.0);
                if rest > (PATIENCE - waited).as_secs_f64() {
                    return Waited::Slow;
                }
            }
            (now + LOOK).min(begun + PATIENCE)
        };
        tokio::select! {
            _ = progress.changed() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// Has neighbours go on with a file that was too slow for the client: that crosses no uplink, and the next client finds
/// more of it here.
pub(super) fn go_on(endpoint: &Rc<HttpEndpoint>, package: &KnownPackage) {
    let lan: Vec<_> =
        package.want.candidates.iter().filter(|candidate| matches!(candidate, Candidate::Lan(_))).cloned().collect();
    if lan.is_empty() {
        return;
    }
    let want = Want { candidates: lan, ..package.want.clone() };
    // One that another client still waits for asks mirrors as well, and is not kept alive by this.
    if let Some((ticket, true)) = begin(endpoint, want, &package.repo) {
        tokio::task::spawn_local(ticket.result());
    }
}

/// Makes a connection to the mirror that was too slow, so that the next file finds it. Moves no byte of a file.
pub(super) fn warm(endpoint: &Rc<HttpEndpoint>, package: &KnownPackage) {
    let sources = candidates(endpoint, &package.want, true);
    let Some(Candidate::Mirror(url)) = sources.into_iter().find(|source| matches!(source, Candidate::Mirror(_))) else {
        return;
    };
    let host = http::host(&url);
    if !endpoint.transfers.warming.borrow_mut().insert(host.clone()) {
        return;
    }
    let endpoint = Rc::clone(endpoint);
    tokio::task::spawn_local(async move {
        let machine = endpoint.machine();
        let ask = GetOptions { head: true, ..GetOptions::default() };
        let _ = timeout(PATIENCE, machine.http.ask(&url, &ask)).await;
        endpoint.transfers.warming.borrow_mut().remove(&host);
    });
}

/// Returns the URL of a package at a mirror that has it and its signature, both seen now; `None` where none shows them
/// soon. What is fetched there is the client's own affair.
pub(super) async fn elsewhere(endpoint: &HttpEndpoint, package: &KnownPackage, size: u64) -> Option<Url> {
    const SOON: Duration = Duration::from_secs(1);
    let machine = endpoint.machine();
    let mirrors = candidates(endpoint, &package.want, true).into_iter().filter_map(|candidate| match candidate {
        Candidate::Mirror(url) => Some(url),
        _ => None,
    });
    let look = async {
        for url in mirrors.take(2) {
            let signature = Url::parse(&format!("{url}.sig")).ok()?;
            let ask = GetOptions { head: true, ..GetOptions::default() };
            let (file, signature) = tokio::join!(machine.http.ask(&url, &ask), machine.http.ask(&signature, &ask));
            let (Ok(file), Ok(signature)) = (file, signature) else { continue };
            let length = http::text(file.headers(), CONTENT_LENGTH);
            let has_it = file.status() == StatusCode::OK && length.and_then(|text| text.parse().ok()) == Some(size);
            if has_it && signature.status() == StatusCode::OK {
                return Some(url);
            }
        }
        None
    };
    timeout(SOON, look).await.ok().flatten()
}

/// The order for a file, with other sources.
pub(super) fn order<'a>(want: &'a Want, candidates: &'a [Candidate]) -> Order<'a> {
    Order { candidates, ..want.order() }
}
