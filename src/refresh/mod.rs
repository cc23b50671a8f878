//! Fetches a newer index: every route is asked at once, the first proven answer is used at once, and one with a
//! higher sequence replaces it when it comes in time.
//!
//! Never during a download. After any failure here, the last good copy stays in use. All routes are waited for until
//! the deadline even when one has answered: else the fastest source could keep an old index in use.
//!
//! A *route* (`routes`, `lan`) brings an offer: record or signature, and manifest. The record is judged and not
//! expected, so each route reads its own. What has an expectation comes by the process's hub from any source, for all
//! routes and refreshes that want it: blocks by their CID (`blocks`), tables and their changes as ordinary deliveries
//! (`files`, `tables`). `accept` judges the offer before its tables are fetched, and [`IndexState`] keeps an accepted
//! one.
//!
//! # Room
//!
//! - In: an index of the configuration
//! - Out: a newer accepted copy, or the reasons why not
//! - May use: base, config, dag, engine, index, lists, machine, net, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! lan peering tally tests
//! copy
//! blocks files routes
//! tables
//! all
//! archive
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::{Client, Url};
use tokio::sync::OnceCell;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName, shown};
use crate::engine::content::block_sources::BlockSources;
use crate::engine::hub::Hub;
use crate::engine::source::Miss;
use crate::index::accept::{AcceptedIndex, Grant, IndexOffer, RefusalError, accept};
use crate::index::manifest::FUTURE_MOST;
use crate::index::state::{IndexCopy, IndexState, RouteRecord, SeenSequence, StateError};
use crate::machine::Machine;

pub(crate) mod all;
pub(crate) mod archive;
mod blocks;
mod copy;
mod files;
mod lan;
pub(crate) mod peering;
mod routes;
mod tables;
mod tally;

use blocks::{BlockPaths, IndexSource};
use routes::IndexRoute;
use tally::Tally;

/// Most transfers of one refresh at a time: one block for each route and each neighbour that is followed, and the
/// changes of one table for each route.
pub const TRANSFERS_MOST: usize = 256;

/// An index to refresh: its keys, and the addresses to ask for it.
#[derive(Clone, Debug)]
pub struct RefreshTarget {
    /// The user's name for it; names its copy in the state directory.
    pub name: FileName,
    /// Its keys and its repos.
    pub grant: Grant,
    /// Plain HTTP copies of its root, for example `https://example.org/index/`.
    pub urls: Vec<Url>,
    /// Trustless gateways to ask as well.
    pub gateways: Vec<Url>,
    /// The socket of the daemon, if neighbours may be asked for it.
    pub lan: Option<PathBuf>,
}

/// The means of all refreshes of a process.
#[derive(Clone)]
pub struct RefreshMeans {
    /// This machine: its sources, and the store in which files arrive.
    pub(crate) machine: Rc<Machine>,
    /// The transfers of the process; [`TRANSFERS_MOST`] for each refresh.
    pub(crate) hub: Hub,
    /// For what has no expectation.
    client: Client,
}

impl RefreshMeans {
    /// Refreshes on this machine, by the transfers of `hub`.
    ///
    /// # Errors
    /// When no HTTP client can be made; trying again does not help.
    pub fn of(machine: &Rc<Machine>, hub: Hub) -> Result<Self, Miss> {
        Ok(Self { machine: Rc::clone(machine), hub, client: machine.http.following()? })
    }
}

/// The result of a refresh.
#[derive(Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// A newer index is in use now.
    Updated {
        /// Its sequence.
        sequence: u64,
        /// Repos in it that the publisher was not added for.
        ignored: Vec<RepoName>,
    },
    /// The index in use is the newest one there is.
    Unchanged {
        /// Its sequence.
        sequence: u64,
    },
    /// Routes answered, and none of their offers counts. Trying again helps once the publisher acts.
    Refused(RefusalError),
    /// No route delivered a whole index. Trying again later may help; [`Refreshed::routes`] has the details.
    Unreachable,
}

/// The result of one route, in this process; its record on disk is a [`RouteRecord`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RouteOutcome {
    /// `lan`, `kubo`, `kubo routing`, `url`, or a gateway's host and the kind of request.
    pub(crate) via: String,
    /// From the first request to the decision.
    pub(crate) took: Duration,
    /// The sequence that it offered, or the reason why its offer does not count.
    pub(crate) said: Result<u64, RefreshError>,
}

/// The reason why a route's answer does not count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefreshError {
    /// The proof failed or is missing.
    #[error(transparent)]
    Refused(#[from] RefusalError),
    /// It did not arrive, or not whole. Made fit to print.
    #[error("{0}")]
    Failed(String),
    /// It did not arrive within the deadline.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
}

/// Evidence against this machine's clock; while it is wrong, expiry means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Seconds behind an earlier proof.
    Behind(u64),
    /// Seconds off from a server's clock: a hint, no proof. Positive: ahead.
    Off {
        /// The server.
        host: String,
        /// Seconds.
        by: i64,
    },
}

/// The result of a refresh, with its explanation.
#[derive(Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The outcome.
    pub outcome: RefreshOutcome,
    /// Each route that was asked, in the order of their answers.
    pub(crate) routes: Vec<RouteOutcome>,
    /// Evidence against this machine's clock.
    pub(crate) clock: Option<Clock>,
    /// Bytes received on all routes, headers not counted.
    pub moved: u64,
    /// Warnings for the user that prevented nothing.
    pub(crate) warnings: Vec<String>,
}

/// Refreshes one index within `deadline`; `now` is in Unix seconds.
///
/// # Errors
/// Only those of this machine's state directory; faults of others are in the [`RefreshOutcome`].
pub async fn refresh(
    target: &RefreshTarget,
    means: &RefreshMeans,
    state: &IndexState,
    now: u64,
    deadline: Duration,
) -> Result<Refreshed, StateError> {
    let work = Work::new(target, means, state, now, deadline)?;
    let done = work.run().await?;
    let asked: Vec<RouteRecord> = done.routes.iter().map(|route| asked(route, now)).collect();
    state.note_asked(&target.name, &asked)?;
    Ok(done)
}

fn asked(route: &RouteOutcome, at: u64) -> RouteRecord {
    let outcome = match &route.said {
        Ok(_) => "proven",
        Err(RefreshError::Refused(_)) => "refused",
        Err(RefreshError::Failed(_)) => "failed",
        Err(RefreshError::Late(_)) => "late",
    };
    RouteRecord {
        via: route.via.clone(),
        took_ms: route.took.as_millis().try_into().unwrap_or(u64::MAX),
        outcome: outcome.to_owned(),
        sequence: route.said.as_ref().ok().copied(),
        why: route.said.as_ref().err().map(ToString::to_string),
        at,
    }
}

/// One refresh in progress.
struct Work<'a> {
    target: &'a RefreshTarget,
    means: &'a RefreshMeans,
    state: &'a IndexState,
    /// The highest sequence seen from these keys: nothing older is accepted.
    floor: Option<SeenSequence>,
    /// The last good copy, from which unchanged parts and the bases of diffs are taken.
    held: Option<IndexCopy>,
    /// Unix seconds at the start.
    now: u64,
    tally: Rc<Tally>,
    deadline: Duration,
    routes: Vec<IndexRoute<'a>>,
    /// The sources of blocks, nearest first.
    sources: BlockSources<IndexSource<'a>>,
    paths: Rc<BlockPaths>,
    /// Received and pending blocks: routes that lead to the same index share them.
    blocks: RefCell<HashMap<Cid, Rc<OnceCell<Vec<u8>>>>>,
    /// Pending tables, so that two answers do not fetch one twice.
    tables: RefCell<HashMap<Sha256, Rc<OnceCell<()>>>>,
    /// Highest sequence that is in use or whose tables are here.
    best: Cell<u64>,
    warnings: RefCell<Vec<String>>,
}

/// A route's answer: proven, and its tables here.
struct ProvenAnswer {
    offer: IndexOffer,
    accepted: AcceptedIndex,
}

/// The reason why a route failed, or this machine's failure.
enum Dead {
    Route(RefreshError),
    Local(StateError),
}

impl<'a> Work<'a> {
    fn new(
        target: &'a RefreshTarget,
        means: &'a RefreshMeans,
        state: &'a IndexState,
        now: u64,
        deadline: Duration,
    ) -> Result<Self, StateError> {
        let floor = state.seen(&target.grant.keys())?;
        // A damaged copy is replaced; the refresh goes on without it.
        let held = state.held(&target.name).ok().flatten();
        // The last refresh has a time of this clock, the sequence is the publisher's, at most a day ahead.
        let known = floor.as_ref().map_or(0, |seen| seen.fetched.max(seen.sequence.saturating_sub(FUTURE_MOST)));
        let (tally, paths) = (Rc::new(Tally::new(now, known)), Rc::default());
        Ok(Self {
            routes: routes::of(target, means, &tally),
            sources: blocks::sources(target, means, &paths, &tally, deadline),
            paths,
            target,
            means,
            state,
            floor,
            held,
            now,
            tally,
            deadline,
            blocks: RefCell::default(),
            tables: RefCell::default(),
            best: Cell::new(0),
            warnings: RefCell::default(),
        })
    }

    async fn run(&self) -> Result<Refreshed, StateError> {
        let mut answers: FuturesUnordered<_> =
            self.routes.iter().enumerate().map(|(at, route)| async move { (at, self.answer(route).await) }).collect();
        let mut pending: Vec<bool> = vec![true; self.routes.len()];
        let (mut routes, mut outcome) = (Vec::new(), None);
        let end = tokio::time::sleep(self.left());
        tokio::pin!(end);
        loop {
            let (at, answer) = tokio::select! {
                biased;
                answer = answers.next() => match answer {
                    Some(answer) => answer,
                    None => break,
                },
                () = &mut end => break,
            };
            pending[at] = false;
            let said = match answer {
                Ok(proven) => {
                    let sequence = proven.accepted.manifest.sequence;
                    if let Some(now) = self.adopt(proven)? {
                        // An update stays an update when another route confirms it.
                        match (&outcome, &now) {
                            (Some(RefreshOutcome::Updated { .. }), RefreshOutcome::Unchanged { .. }) => {}
                            _ => outcome = Some(now),
                        }
                    }
                    Ok(sequence)
                }
                Err(Dead::Local(error)) => return Err(error),
                Err(Dead::Route(failure)) => Err(failure),
            };
            routes.push(RouteOutcome { via: self.routes[at].via.clone(), took: self.tally.started.elapsed(), said });
        }
        let late = pending.iter().enumerate().filter(|(_, pending)| **pending).map(|(at, _)| RouteOutcome {
            via: self.routes[at].via.clone(),
            took: self.tally.started.elapsed(),
            said: Err(RefreshError::Late(self.deadline)),
        });
        routes.extend(late);
        let refusal = routes.iter().find_map(|route| match &route.said {
            Err(RefreshError::Refused(why)) => Some(why.clone()),
            _ => None,
        });
        Ok(Refreshed {
            outcome: outcome.unwrap_or_else(|| refusal.map_or(RefreshOutcome::Unreachable, RefreshOutcome::Refused)),
            routes,
            clock: self.tally.clock.take(),
            moved: self.tally.moved.get(),
            warnings: self.warnings.take(),
        })
    }

    /// Follows a route to a proven index, and fetches its tables unless they are here or a newer index is.
    async fn answer(&self, route: &IndexRoute<'_>) -> Result<ProvenAnswer, Dead> {
        let offer = self.offer(route).await.map_err(Dead::Route)?;
        let accepted = accept(&self.target.grant, self.floor.as_ref(), &offer, self.now);
        let mut accepted = accepted.map_err(|why| Dead::Route(why.into()))?;
        if route.via == routes::LAN {
            // Neighbours may have old copies: they do not confirm that it is still the newest.
            let confirmed = self.floor.as_ref().map_or(0, |seen| seen.fetched);
            accepted.seen.fetched = confirmed.max(accepted.manifest.sequence.min(self.now));
        }
        let sequence = accepted.manifest.sequence;
        if sequence > self.best.get()
            && !self.state.has(&self.target.name, accepted.seen.manifest, &self.target.grant.repos)
        {
            for table in self.target.grant.tables(&accepted.manifest) {
                self.table(table).await?;
            }
        }
        Ok(ProvenAnswer { offer, accepted })
    }

    /// Takes an index into use. `None` when a newer one is in use already.
    fn adopt(&self, proven: ProvenAnswer) -> Result<Option<RefreshOutcome>, StateError> {
        let ProvenAnswer { offer, accepted } = proven;
        let (sequence, repos) = (accepted.manifest.sequence, &self.target.grant.repos);
        if sequence <= self.best.get() {
            return Ok(None);
        }
        let keys = self.target.grant.keys();
        if self.state.has(&self.target.name, accepted.seen.manifest, repos) {
            self.state.note(&keys, &accepted.seen)?;
            self.best.set(sequence);
            return Ok(Some(RefreshOutcome::Unchanged { sequence }));
        }
        // First the memory, then the copy: after a crash in the other order, an older copy could replace this one.
        self.state.note(&keys, &accepted.seen)?;
        let proofs = [("minisig", &offer.minisig), ("ipns-record", &offer.record), ("root", &offer.root)];
        let proofs: Vec<_> = proofs.iter().filter_map(|(kind, bytes)| Some((*kind, bytes.as_deref()?))).collect();
        self.state.hold(&self.target.name, &offer.manifest, &proofs, repos)?;
        self.best.set(sequence);
        let ignored = self.target.grant.ignored(&accepted.manifest).cloned().collect();
        Ok(Some(RefreshOutcome::Updated { sequence, ignored }))
    }

    /// Returns the time left until the deadline.
    fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.tally.started.elapsed())
    }

    /// Returns a limit for single calls, later than the deadline of the whole.
    fn enough(&self) -> Duration {
        self.left() + Duration::from_secs(1)
    }

    fn warn(&self, text: &str) {
        self.warnings.borrow_mut().push(shown(text).into_owned());
    }
}

#[cfg(test)]
mod tests;
