//! A file that is not here: one transfer through the hub for all clients that ask for it, and the decision whether a
//! client waits for it. pacman gives a server up after ten seconds in which nothing came (`dload.c:392-395`, pacman
//! 7.1.0), asks the next one at once after a 404, and follows a redirect.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::HttpEndpoint;
use super::causes::AheadCauses;
use super::haiku_repos::HaikuRepos;
use super::house::HousePeers;
use super::known::KnownPackage;
use super::lookups::NameLooks;
use super::means::EndpointMeans;
use super::reach::MirrorReach;
use super::threads::{MirrorTurn, TransferJob, TransferThread, TransferThreads, Urgency};
use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName};
use crate::base::runtime;
use crate::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose};
use crate::engine::hub::{self, Duty, Hub, HubProgress, Ticket};
use crate::engine::source::house::PROMISE;
use crate::engine::want::Want;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::pacman::background;
use crate::report::log;
use crate::store::journal::By;

/// Longest time until the first proven byte: less than pacman's patience.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// Time by which the endpoint of another machine is answered sooner.
pub(super) const OF_RELAY: Duration = Duration::from_secs(2);

// The one that fetches says no before the one that asks gives up, and that one before its client does.
const _: () = assert!(PATIENCE.as_millis() - OF_RELAY.as_millis() + 500 < PROMISE.as_millis());
const _: () = assert!(PROMISE.as_millis() + 500 < PATIENCE.as_millis());

/// Time after which the rate of a transfer says something about its rest.
const JUDGED: Duration = Duration::from_secs(1);

/// Time for which a mirror begins no other file, beyond the wait for a source, until a client no longer waits for its turn.
const STUCK: Duration = Duration::from_secs(1);

/// Interval between looks at the rate.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes of a leaf.
const LEAF: u64 = 1 << 20;

/// Bytes at the end of what is proven that are kept back until more is: something to send while the next leaf comes, and
/// the last of a file is not sent before all of it is proven.
pub(super) const RESERVE: u64 = 64;

/// Most transfers, those among them that wait for their turn: pacman has as many at a time as `ParallelDownloads` says.
const TRANSFERS: usize = 2048;

/// The transfers that clients share.
pub(super) struct SharedTransfers {
    pub(super) hub: Hub,
    pub(super) threads: TransferThreads,
    /// Hosts of mirrors to which a connection is being made.
    pub(super) warming: RefCell<BTreeSet<String>>,
    /// The endpoints that are asked before mirrors.
    pub(super) house: HousePeers,
    pub(super) names: Rc<NameLooks>,
    pub(super) reach: MirrorReach,
    pub(super) ahead: AheadCauses,
    /// The repositories of Haiku's, with their snapshots and the sizes of their packages.
    pub(super) haiku: HaikuRepos,
}

impl SharedTransfers {
    pub(super) fn new(means: &Arc<EndpointMeans>) -> Self {
        Self {
            hub: Hub::new(TRANSFERS, CancellationToken::new()),
            threads: TransferThreads::new(means),
            warming: RefCell::default(),
            house: HousePeers::default(),
            names: Rc::default(),
            reach: MirrorReach::default(),
            haiku: HaikuRepos::default(),
            ahead: AheadCauses::default(),
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

/// A part in the transfer of a package.
pub(super) struct JoinedTransfer {
    pub(super) ticket: Ticket,
    /// True where another client began it, perhaps with fewer sources than this one may ask.
    pub(super) may_lack_sources: bool,
}

/// Joins the transfer of a package for a client, or before one asks for it; or begins it. `None` where too many files are
/// on their way, or there is no source. Where `asks_house`, the other endpoints of the house are asked before all others.
pub(super) fn join(
    endpoint: &Rc<HttpEndpoint>,
    package: &KnownPackage,
    client: Option<IpAddr>,
    asks_house: bool,
) -> Option<JoinedTransfer> {
    let is_foreign = client.is_some_and(|client| !client.is_loopback());
    let urgency = if client.is_some() { Urgency::Client } else { Urgency::Ahead };
    let mut sources =
        if asks_house { endpoint.transfers.house.candidates(&package.repo, &package.want.name) } else { Vec::new() };
    sources.extend(candidates(endpoint, &package.want, is_foreign));
    let want = Want { candidates: sources, ..package.want.clone() };
    (!want.candidates.is_empty()).then_some(())?;
    let has_more = want.candidates.len() > candidates(endpoint, &package.want, true).len();
    let (ticket, is_new) = begin(endpoint, want, &package.repo, (urgency, client))?;
    Some(JoinedTransfer { ticket, may_lack_sources: has_more && !is_new })
}

/// Returns true while the file is on its way.
pub(super) fn is_coming(endpoint: &HttpEndpoint, want: &Want) -> bool {
    hub::key(&want.order(), Purpose::Caller).is_some_and(|key| endpoint.transfers.hub.is_running(key))
}

/// Returns true while the file is to come from the house, and nothing of it has come.
pub(super) fn waits_for_house(endpoint: &HttpEndpoint, want: &Want) -> bool {
    hub::key(&want.order(), Purpose::Caller).is_some_and(|key| endpoint.transfers.hub.waits_for_house(key))
}

/// Returns the ticket, and true where the transfer begins with it.
fn begin(
    endpoint: &HttpEndpoint,
    want: Want,
    repo: &RepoName,
    (urgency, client): (Urgency, Option<IpAddr>),
) -> Option<(Ticket, bool)> {
    let key = hub::key(&want.order(), Purpose::Caller);
    let (ticket, duty) = endpoint.transfers.hub.join(key).ok()?;
    ticket.want_leaves();
    let is_new = duty.is_some();
    if let Some(duty) = duty {
        if want.candidates.iter().any(|candidate| matches!(candidate, Candidate::House(_))) {
            ticket.ask_house();
        }
        let transfer = NewTransfer { key, client, ..NewTransfer::of(&want, repo, urgency) };
        let steps = async move |call: &mut Call| deliver::fetch(call, want.order(), Purpose::Caller).await;
        transfer.start(endpoint, duty, steps);
    } else if let Some(key) = key.filter(|_| urgency == Urgency::Client) {
        endpoint.transfers.threads.promote(key, client);
    }
    Some((ticket, is_new))
}

/// A transfer that is to be made.
pub(super) struct NewTransfer {
    name: FileName,
    repo: RepoName,
    urgency: Urgency,
    key: Option<Sha256>,
    client: Option<IpAddr>,
    turn: Option<MirrorTurn>,
    is_database: bool,
}

impl NewTransfer {
    /// Makes that of a file.
    pub(super) fn of(want: &Want, repo: &RepoName, urgency: Urgency) -> Self {
        let is_near = |source: &Candidate| matches!(source, Candidate::Lan(_) | Candidate::House(_));
        let mirror = |source: &Candidate| match source {
            Candidate::Mirror(url) => Some(url.clone()),
            _ => None,
        };
        let sources = &want.candidates;
        let turn = sources.iter().find_map(mirror).map(|url| MirrorTurn::at(url, sources.iter().any(is_near)));
        let is_database = want.shape.kind == NameKind::Database;
        Self { name: want.name.clone(), repo: repo.clone(), urgency, key: None, client: None, turn, is_database }
    }

    /// Has it made by `steps`, on a thread for transfers.
    pub(super) fn start<S>(self, endpoint: &HttpEndpoint, duty: Duty, steps: S)
    where
        S: AsyncFnOnce(&mut Call) -> Delivery<Obtained> + Send + 'static,
    {
        let Self { name, repo, urgency, key, client, turn, is_database } = self;
        let cancel = duty.cancel().clone();
        let work = move |thread: &mut TransferThread| {
            // Of a client that left while it waited for its turn.
            if !duty.cancel().is_cancelled() {
                duty.begin();
                made(thread, (&repo, &name, is_database), duty, steps);
            }
        };
        endpoint.transfers.threads.push(TransferJob { urgency, key, turn, client, cancel, work: Box::new(work) });
    }
}

/// Makes a transfer on this thread.
fn made<S>(thread: &mut TransferThread, (repo, name, is_database): (&RepoName, &FileName, bool), duty: Duty, steps: S)
where
    S: AsyncFnOnce(&mut Call) -> Delivery<Obtained>,
{
    let (mut call, begun) = (thread.call(), std::time::Instant::now());
    let means = Arc::clone(&thread.means);
    let cancel = duty.cancel().clone();
    let making = duty.run(&mut call, async |call: &mut Call| {
        let Delivery { result, receipt } = steps(call).await;
        Delivery { result: result.map(Some), receipt }
    });
    let made = runtime::run(&cancel, making);
    means.say(&call.lists);
    made.receipt.warnings.iter().for_each(|warning| log::warn(warning));
    if let Err(error) = &made.result {
        log::info(|| format!("{name}: {error}"));
    }
    // A database is the sign of a `-Sy`.
    means.tidy_up(&call, &made.receipt, is_database && made.result.is_ok());
    // The bytes came all the same where no client is left.
    if let Some(left) = duty.finish(made) {
        background::note(&thread.machine, By::Endpoint, (Some(repo), name), None, begun, &left.receipt);
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

/// Waits until bytes from `at` on can be sent, of a file of `size` bytes; no longer than pacman would, no longer than
/// `silence` while no source sends anything, and little longer than that for a turn at a mirror that `is_stuck` for so
/// long.
pub(super) async fn wait(
    ticket: Ticket,
    (at, size): (u64, u64),
    (silence, begun): (Duration, Instant),
    is_stuck: impl Fn(Duration) -> bool,
) -> Waited {
    let mut progress = ticket.progress();
    // What came before, like a look at changed lists or the wait for its turn, is not the sources' fault.
    let mut raced = None;
    let mut first: Option<(Instant, u64)> = None;
    loop {
        let HubProgress { is_begun, is_promised, bytes, proven, is_withdrawn, is_over } = *progress.borrow_and_update();
        let now = Instant::now();
        let waited = now.duration_since(begun);
        if is_over {
            return Waited::Over(ticket);
        }
        if !is_withdrawn && proven.saturating_sub(RESERVE) > at {
            return Waited::Growing(ticket);
        }
        // Neither is it while an endpoint of the house fetches the file: it says yes or no in time.
        raced = raced.or(Some(now)).filter(|_| is_begun && !is_promised);
        let next = if bytes == 0 {
            if raced.is_some_and(|raced| now.duration_since(raced) >= silence) || waited >= PATIENCE {
                return Waited::Silent;
            }
            let turn = silence + STUCK;
            if !is_begun && waited >= turn && is_stuck(turn) {
                return Waited::Slow;
            }
            let look = || if waited < turn { begun + turn } else { now + LOOK };
            raced.map_or_else(look, |raced| raced + silence).min(begun + PATIENCE)
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
    if let Some((ticket, true)) = begin(endpoint, want, &package.repo, (Urgency::Client, None)) {
        tokio::task::spawn_local(ticket.result());
    }
}

/// Has more transfers begin when a mirror turns out to speak HTTP/2.
pub(super) async fn follow_mirrors(endpoint: Rc<HttpEndpoint>) {
    let Some(mut found) = endpoint.means.connections.as_ref().map(|connections| connections.multiplexed()) else {
        return;
    };
    while found.changed().await.is_ok() {
        endpoint.transfers.threads.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::listener::{Listener as _, Unheard};

    #[tokio::test(start_paused = true)]
    async fn the_time_for_which_a_beginning_is_hashed_again_is_no_silence_of_its_sources() {
        let hub = Hub::new(1, CancellationToken::new());
        let (ticket, duty) = hub.join(Some(Sha256([1; 32]))).unwrap();
        let (duty, begun, silence) = (duty.unwrap(), Instant::now(), Duration::from_millis(300));
        let hashing = async {
            duty.begin();
            let listener = duty.listener(Unheard);
            listener.kept(9 * LEAF);
            tokio::time::sleep(Duration::from_secs(3)).await;
            listener.asks();
        };
        let (waited, ()) = tokio::join!(wait(ticket, (0, 99 * LEAF), (silence, begun), |_| false), hashing);
        assert!(matches!(waited, Waited::Silent));
        assert_eq!(begun.elapsed(), Duration::from_millis(3300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_waits_while_the_house_fetches_a_file_and_no_longer_once_it_has_said_no() {
        for (says_no, millis) in [(Some(5000), 5300), (None, 8000)] {
            let hub = Hub::new(1, CancellationToken::new());
            let (ticket, duty) = hub.join(Some(Sha256([1; 32]))).unwrap();
            let (duty, begun, silence) = (duty.unwrap(), Instant::now(), Duration::from_millis(300));
            let fetching = async {
                duty.begin();
                let listener = duty.listener(Unheard);
                listener.promised(true);
                if let Some(millis) = says_no {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    listener.promised(false);
                }
            };
            let (waited, ()) = tokio::join!(wait(ticket, (0, LEAF), (silence, begun), |_| false), fetching);
            assert!(matches!(waited, Waited::Silent));
            assert_eq!(begun.elapsed(), Duration::from_millis(millis));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_does_not_wait_for_its_turn_where_the_mirror_is_stuck() {
        for (is_stuck, millis) in [(true, 1300), (false, 8000)] {
            let hub = Hub::new(1, CancellationToken::new());
            let (ticket, _duty) = hub.join(Some(Sha256([1; 32]))).unwrap();
            let (begun, silence) = (Instant::now(), Duration::from_millis(300));
            let waited = wait(ticket, (0, 900), (silence, begun), |_| is_stuck).await;
            assert_eq!(matches!(waited, Waited::Slow), is_stuck);
            assert_eq!(begun.elapsed(), Duration::from_millis(millis));
        }
    }
}
