//! Pending updates, fetched before pacman asks for them: after a `-Sy` through this endpoint that has changed a database,
//! while the user reads what pacman is about to do, or from the second of them on that it asks for: one alone may be a
//! `-S`. A later request finds the file here, or joins its transfer, and what a client had to be sent elsewhere for is let
//! go of, so that nothing crosses the line twice. Clients come first, and what pacman does not ask for in the end stays in
//! the store within its bounds.
//!
//! Only a client on this machine has it begin, and not on a metered line, as `prefetch.metered` says. It is bounded by
//! `prefetch.max` and `store.max`, and leaves room on the disk.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::HttpEndpoint;
use super::causes::AheadCause;
use super::desk::Desk;
use super::here::HereFile;
use super::known::KnownPackage;
use super::means::EndpointMeans;
use super::route::RoutedFile;
use super::signature::{self, SignatureLook, SignatureQuest};
use super::transfer::{self, JoinedTransfer};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::fsx::FileKey;
use crate::base::name::FileName;
use crate::engine::deliver::Delivery;
use crate::machine::conditions::Surroundings;
use crate::pacman::prefetch::pending;
use crate::report::log;
use crate::trust::plan::Expect;

/// Files on their way or waiting for their turn.
const AT_ONCE: u32 = 40;

/// Interval between looks whether pacman has put its databases in place, and the number of looks.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: usize = 40;

/// Updates that are asked for before the others are fetched.
const ASKED: usize = 2;

/// Longest wait for a signature, for which no client waits yet.
const SIGNATURE: Duration = Duration::from_secs(60);

/// The states of the databases of all repositories.
type DatabaseStates = Vec<Option<FileKey>>;

/// The updates that are pending by the databases in a state.
struct KnownUpdates {
    states: DatabaseStates,
    updates: AheadUpdates,
    /// Those of them that pacman has asked for; their number when that was told last.
    asked: BTreeSet<FileName>,
    told: Option<usize>,
    /// False once they are fetched, or were begun.
    are_left: bool,
}

/// What pacman would fetch for an upgrade.
#[derive(Default)]
struct AheadUpdates {
    /// All of it.
    names: BTreeSet<FileName>,
    /// What is not here, in the order in which pacman asks.
    files: Vec<AheadFile>,
}

/// An update that is not here.
#[derive(Clone)]
struct AheadFile {
    package: KnownPackage,
    sha256: Sha256,
    size: u64,
    signature: Option<SignatureLook>,
}

/// Fetches them for ever.
pub(super) async fn follow(endpoint: Rc<HttpEndpoint>) {
    let mut known: Option<KnownUpdates> = None;
    // What a database that is sent is compared with: a `-Fy` changes none, and `checkupdates` has its own.
    let mut seen =
        if endpoint.machine().settings.endpoint.ahead { endpoint.desks.ask(Desk::database_states).await } else { None };
    let (mut is_broken_off, mut is_off) = (false, false);
    loop {
        let cause = endpoint.transfers.ahead.next().await;
        if !endpoint.machine().settings.endpoint.ahead {
            if !std::mem::replace(&mut is_off, true) {
                log::info(|| "nothing is fetched before pacman asks: endpoint.ahead is false".to_owned());
            }
            continue;
        }
        is_off = false;
        if cause == AheadCause::Database {
            settle(&endpoint, seen.as_ref().filter(|_| !is_broken_off)).await;
        }
        let Some(states) = endpoint.desks.ask(Desk::database_states).await else { continue };
        let is_changed = seen.replace(states.clone()).is_none_or(|seen| seen != states);
        if cause == AheadCause::Database && !is_changed && !is_broken_off {
            log::info(|| {
                "a database was sent, and none of this machine has changed: nothing is fetched ahead".to_owned()
            });
            continue;
        }
        if known.as_ref().is_none_or(|known| known.states != states) {
            let means = Arc::clone(&endpoint.means);
            let Ok(updates) = tokio::task::spawn_blocking(move || updates(&means)).await else { continue };
            log::info(|| {
                format!("{} updates are pending, {} of them not here", updates.names.len(), updates.files.len())
            });
            known = Some(KnownUpdates { states, updates, asked: BTreeSet::new(), told: None, are_left: true });
        }
        let Some(now) = known.as_mut().filter(|known| known.are_left) else { continue };
        let is_asked_for = match cause {
            AheadCause::Database => true,
            // Other packages than updates are installed, or one of them alone: the user may not want the others.
            AheadCause::Packages(names) => {
                now.asked.extend(names.into_iter().filter(|name| now.updates.names.contains(name)));
                now.asked.len() >= ASKED
            }
        };
        if is_asked_for && !now.updates.files.is_empty() {
            now.are_left = false;
            is_broken_off = fetch(&endpoint, &now.updates.files).await == Fetching::BrokenOff;
            // What is left of them is looked for anew.
            known = known.filter(|_| !is_broken_off);
        } else if !is_asked_for && now.told.replace(now.asked.len()) != Some(now.asked.len()) {
            log::info(|| format!("{} of the pending updates were asked for: no other is fetched", now.asked.len()));
        }
    }
}

/// Waits until pacman has put its databases in place: until they are others than those that were `seen`, and have not
/// changed for a while; or it asks for a package.
async fn settle(endpoint: &HttpEndpoint, seen: Option<&DatabaseStates>) {
    let ahead = &endpoint.transfers.ahead;
    let mut last = None;
    for _ in 0..LOOKS {
        tokio::select! {
            () = sleep(LOOK) => {}
            () = ahead.changed() => {
                if ahead.has_packages() {
                    return;
                }
                if ahead.forget_database() {
                    last = None;
                }
                continue;
            }
        }
        let now = endpoint.desks.ask(Desk::database_states).await;
        if now.is_some() && now == last && now.as_ref() != seen {
            return;
        }
        last = now;
    }
}

impl Desk {
    fn database_states(&self) -> DatabaseStates {
        let state = |repo: &&crate::lists::system::Repository| {
            let name = FileName::new(format!("{}.db", repo.name)).ok()?;
            FileKey::at(&self.lists.database_path(&name)?).ok()
        };
        self.lists.repos().into_iter().flatten().map(|repo| state(&repo)).collect()
    }
}

/// Asks pacman what it would upgrade. Its downloader asks for the largest first (`dload.c:825`, pacman 7.1.0). May take
/// seconds.
fn updates(means: &Arc<EndpointMeans>) -> AheadUpdates {
    let desk = Desk::new(means);
    let lists = &desk.lists;
    if let Some(why) = Surroundings::now().metered_objection(&desk.machine.settings) {
        log::info(|| format!("updates are not fetched before pacman asks: {why}"));
        return AheadUpdates::default();
    }
    let Some(databases) = lists.conf().map(|conf| conf.db_path.clone()) else { return AheadUpdates::default() };
    let updates = match pending::pending(lists, &databases) {
        Ok(updates) => updates,
        Err(e) => {
            log::info(|| format!("updates are not fetched before pacman asks: {e}"));
            return AheadUpdates::default();
        }
    };
    let names = updates.iter().map(|update| update.file.clone()).collect();
    let mut files: Vec<AheadFile> = updates
        .into_iter()
        .filter_map(|update| {
            let routed = RoutedFile { name: update.file, hints: vec![update.repo.to_string()] };
            let package = desk.package(&routed)?;
            let Expect::Exact { sha256, size } = package.want.plan.expect else { return None };
            if !matches!(desk.find(&routed.name, (sha256, size), false), HereFile::Absent) {
                return None;
            }
            let is_awaited = package.want.repo.as_ref().is_some_and(|repo| repo.signatures_required);
            let signature = if is_awaited { desk.signature(&package) } else { None };
            Some(AheadFile { package, sha256, size, signature })
        })
        .collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.size));
    AheadUpdates { names, files }
}

/// The end of a round.
#[derive(PartialEq, Eq)]
enum Fetching {
    Done,
    /// Databases came meanwhile: other updates may be pending.
    BrokenOff,
}

async fn fetch(endpoint: &Rc<HttpEndpoint>, files: &[AheadFile]) -> Fetching {
    let settings = endpoint.means.settings().1;
    let mut left = settings.prefetch.max.min(settings.store_max);
    log::info(|| format!("{} pending updates are fetched before pacman asks for them", files.len()));
    let places = Arc::new(Semaphore::new(AT_ONCE as usize));
    let mut ended = Fetching::Done;
    for file in files {
        if endpoint.transfers.ahead.has_database() {
            ended = Fetching::BrokenOff;
            break;
        }
        let room = endpoint.desks.ask(|desk| desk.machine.store.room()).await.unwrap_or(0);
        if file.size > left || room < file.size.saturating_add(fsx::LITTLE_ROOM) {
            continue;
        }
        left -= file.size;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let (endpoint, file) = (Rc::clone(endpoint), file.clone());
        tokio::task::spawn_local(async move {
            one(&endpoint, &file).await;
            drop(place);
        });
    }
    // All of them have ended.
    let _all = places.acquire_many(AT_ONCE).await;
    ended
}

/// Fetches one of them with its signature, on which the package would wait; no longer than until a client fetches it
/// elsewhere.
async fn one(endpoint: &Rc<HttpEndpoint>, file: &AheadFile) {
    let AheadFile { package, sha256, signature, .. } = file;
    let (begun, ahead) = (Instant::now(), &endpoint.transfers.ahead);
    let left = ahead.token(*sha256);
    if left.is_cancelled() {
        return;
    }
    let Some(JoinedTransfer { ticket, .. }) = transfer::join(endpoint, package, None, package.may_share) else {
        ahead.ended(*sha256);
        return;
    };
    let signed = async {
        if let Some(look) = signature.clone() {
            let quest = SignatureQuest { is_foreign: false, asks_house: package.may_share, patience: SIGNATURE };
            signature::obtained(endpoint, package, look, quest).await;
        }
    };
    // The last ticket that is dropped ends a transfer.
    let (made, ()) = tokio::join!(left.run_until_cancelled(ticket.result()), signed);
    ahead.ended(*sha256);
    if let Some(Delivery { receipt, .. }) = made.flatten() {
        endpoint.views.running.received((package.repo.clone(), package.want.name.clone()), begun, receipt);
    }
}
