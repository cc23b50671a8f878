//! Sets up the race for one file: makes a source of each candidate, runs [`crate::engine::race`] over them, and records the
//! health of each.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use reqwest::Url;

use crate::base::cid::Codec;
use crate::base::error::{Error, ErrorKind};
use crate::base::name::FileName;
use crate::engine::deliver::candidate::Candidate;
use crate::engine::deliver::receipt::Receipt;
use crate::engine::deliver::{Obtained, Order, Purpose, Since, cancelled};
use crate::engine::race::leaves::RootBlock;
use crate::engine::race::{Log, Pace, Race, RaceOutcome, RaceSource, Roots, Won};
use crate::engine::source::file::LocalFile;
use crate::engine::source::gateway::GatewayFile;
use crate::engine::source::house::HouseFile;
use crate::engine::source::kubo::{KuboFile, KuboReach, LATER};
use crate::engine::source::lan::{LanFile, LanTold};
use crate::engine::source::metered::Metered;
use crate::engine::source::mirror::Mirror;
use crate::engine::source::{Miss, Source, SourceKind};
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::net::http::block::block_url;
use crate::net::http::{self, Http};
use crate::store::health::Health;
use crate::store::health::record::SourceRecord;
use crate::store::journal::Contribution;
use crate::store::journal::FileOrigin;
use crate::trust::look::FileShape;
use crate::trust::plan::{Expect, Plan};
use crate::trust::verify::Waiver;

/// Patience with the last source where the user lifted pacman's timeouts: as good as for ever.
const WITHOUT_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The end of a race that was not lost.
pub(super) enum Raced {
    Won(Box<RaceWinner>),
    /// The caller's file is current, says this source.
    Unchanged(String),
    /// This source has one that is too old, of this date.
    Older(String, SystemTime),
}

/// The result of a race that was won.
pub(super) struct RaceWinner {
    won: Won,
    from: FileOrigin,
    url: Option<Url>,
    /// All of it came from this machine, where it stays.
    pub(super) is_near: bool,
}

impl RaceWinner {
    /// Returns `file`, which holds the accepted bytes.
    pub(super) fn file(self, file: File) -> Obtained {
        let Self { won: Won { accepted, modified, .. }, from, url, .. } = self;
        Obtained { file, accepted, modified, from: Box::new(from), url, loose: None }
    }
}

/// Runs a race without regard to dates. `partial` holds the bytes of an earlier run.
pub(super) async fn race(
    call: &mut Call,
    order: Order<'_>,
    purpose: Purpose,
    partial: &File,
    receipt: &mut Receipt,
) -> Result<RaceWinner, Error> {
    let pace = pace(call, order.plan, purpose);
    match run(call, order, pace, Since::default(), partial, receipt).await? {
        Raced::Won(winner) => Ok(*winner),
        Raced::Unchanged(from) | Raced::Older(from, _) => {
            let why = format!("{from} answered about a date that it was not asked about");
            Err(Error::new(ErrorKind::NoSource, order.name, why))
        }
    }
}

/// Runs a race in which a date ends it, too. `partial` is empty.
pub(super) async fn race_since(
    call: &mut Call,
    order: Order<'_>,
    since: Since,
    partial: &File,
    receipt: &mut Receipt,
) -> Result<Raced, Error> {
    let pace = pace(call, order.plan, Purpose::Caller);
    run(call, order, pace, since, partial, receipt).await
}

async fn run(
    call: &mut Call,
    order: Order<'_>,
    pace: Pace,
    since: Since,
    partial: &File,
    receipt: &mut Receipt,
) -> Result<Raced, Error> {
    let Order { name, shape, plan, .. } = order;
    let have = partial.metadata().map_or(0, |meta| meta.len());
    let candidates = in_order(&call.health, order.candidates);
    let http = Rc::clone(&call.machine.http);
    let listener = Rc::clone(&call.listener);
    listener.begins(name.as_str(), plan.expect.size());
    listener.kept(have);
    let told = Told::default();
    let (sources, meters) = sources(call, &http, order, &candidates, &told);
    let race = Race {
        sources,
        shape,
        expect: plan.expect,
        pace,
        roots: root_block(&call.machine, &http, plan, &candidates),
        newer_than: since.newer_than,
        not_older_than: since.not_older_than,
        progress: &*listener,
    };
    let mut log = Log::default();
    let outcome = call.cancel.run_until_cancelled(race.run(partial, have, &mut log)).await;
    listener.ends();
    let had_it = told.had_it.get();
    let shares = match &outcome {
        Some(RaceOutcome::Won(won)) => won.shares.clone(),
        Some(RaceOutcome::Unchanged(index) | RaceOutcome::Older(index, _)) => vec![(*index, 0)],
        _ => Vec::new(),
    };
    drop(race);
    for (candidate, meter) in candidates.iter().zip(meters) {
        receipt.sent(candidate.source(), meter.get());
    }
    learn(&mut call.health, &candidates, &log, &shares, had_it);
    receipt.misses = log.misses.iter().map(|(index, miss)| (candidates[*index].clone(), miss.clone())).collect();
    let outcome = outcome.ok_or_else(|| cancelled(name))?;
    if let (Some(false), Some(cid), Some(size)) = (had_it, plan.cid, plan.expect.size())
        && shares.iter().any(|(index, _)| candidates[*index].kind() == SourceKind::Kubo)
    {
        receipt.cached_by_kubo.push((cid, size));
    }
    let from = from(&candidates, &shares, &told.led_to, have);
    let raced = match outcome {
        RaceOutcome::Won(won) => {
            let (url, is_near) = alone(&candidates, &shares, had_it);
            let origin = FileOrigin {
                neighbours: told.lan.senders(),
                shares: by_source(&candidates, &shares),
                refused: refused(&candidates, &log),
                late: late(&candidates, &log, &shares, &told),
                ..FileOrigin::from(from)
            };
            Raced::Won(Box::new(RaceWinner { won, from: origin, url, is_near }))
        }
        RaceOutcome::Unchanged(_) => Raced::Unchanged(from),
        RaceOutcome::Older(_, date) => Raced::Older(from, date),
        RaceOutcome::Lost => return Err(lost(&call.machine, name, plan, &candidates, &log)),
    };
    receipt.passed_over.extend(log.misses.iter().map(|(index, miss)| candidates[*index].line(miss)));
    Ok(raced)
}

/// Names the sources that delivered, for people; `have` bytes were here before.
fn from(candidates: &[Candidate], shares: &[(usize, u64)], led_to: &LedTo, have: u64) -> String {
    let label = |index: usize| match led_to.borrow().get(&index).and_then(|last| last.borrow().clone()) {
        Some(last) => format!("{}, redirected to {last}", candidates[index].label()),
        None => candidates[index].label(),
    };
    let from = shares.iter().map(|(index, _)| label(*index)).collect::<Vec<_>>().join(" + ");
    match (from.is_empty(), have) {
        (false, _) => from,
        // Known to be empty before any source was asked.
        (true, 0) => "no source, it is empty".to_owned(),
        (true, _) => "an earlier run".to_owned(),
    }
}

/// Returns the URL of the one mirror that delivered the file alone, and true when it came from this machine alone,
/// where it stays.
fn alone(candidates: &[Candidate], shares: &[(usize, u64)], had_it: Option<bool>) -> (Option<Url>, bool) {
    let [(index, _)] = shares else { return (None, false) };
    match &candidates[*index] {
        Candidate::Mirror(url) => (Some(url.clone()), false),
        // The daemon keeps the files that it fetched, for the neighbours.
        Candidate::File(_) | Candidate::Lan(_) => (None, true),
        Candidate::Kubo(..) => (None, had_it == Some(true)),
        Candidate::House(_) | Candidate::Gateway(..) => (None, false),
    }
}

/// What sources tell beside their bytes.
#[derive(Default)]
struct Told {
    /// Whether Kubo had the file by itself.
    had_it: Rc<Cell<Option<bool>>>,
    led_to: LedTo,
    lan: LanTold,
}

/// Targets of the mirrors' redirects, for a file that is accepted without a proof, by index of the source.
type LedTo = RefCell<BTreeMap<usize, Rc<RefCell<Option<String>>>>>;

/// Returns whether the file is taken without a proof: pacman takes a database as it comes.
fn is_believed(shape: FileShape, plan: &Plan) -> bool {
    shape.kind.is_of_database() && matches!(plan.expect, Expect::Waived(why) if why != Waiver::NotPacmans)
}

/// Makes a source for every candidate, and a meter for each. What they tell is in `told` afterwards.
fn sources<'a>(
    call: &Call,
    http: &'a Http,
    Order { name, shape, plan, .. }: Order<'_>,
    candidates: &[Candidate],
    told: &Told,
) -> (Vec<RaceSource<'a>>, Vec<Rc<Cell<u64>>>) {
    let (size, most) = (plan.expect.size(), plan.expect.most());
    let gateway = call.machine.settings.gateway_url();
    let has_near = candidates.iter().any(|candidate| matches!(candidate, Candidate::Kubo(_, KuboReach::Near)));
    let is_spent = call.health.head_start(call.machine.settings.head_start).is_zero();
    let is_believed = is_believed(shape, plan);
    let racing = |(index, candidate): (usize, &Candidate)| {
        let source: Box<dyn Source + 'a> = match candidate {
            Candidate::File(path) => Box::new(LocalFile::new(path.clone(), most)),
            Candidate::Mirror(url) => {
                let source = Mirror::new(http, url.clone(), size, most);
                let led_to = is_believed.then(|| Rc::clone(told.led_to.borrow_mut().entry(index).or_default()));
                Box::new(match led_to {
                    Some(led_to) => source.unproven(&led_to),
                    None => source,
                })
            }
            Candidate::House(url) => {
                Box::new(HouseFile::new(http, url.clone(), size, most).within(call.machine.settings.head_start))
            }
            Candidate::Gateway(url, cid) => Box::new(GatewayFile::new(http, url, *cid, most)),
            Candidate::Lan(sha256) => {
                let source = LanFile::new(&call.machine.settings.socket, *sha256, plan.cid, most, name.as_str());
                Box::new(source.telling(&told.lan))
            }
            Candidate::Kubo(cid, reach) => {
                let source = KuboFile::new(http, &gateway, *cid, *reach, size, most).telling(&told.had_it);
                let is_last = *reach == KuboReach::Anywhere && has_near;
                Box::new(match (is_last, is_spent) {
                    (true, _) => source.into_last_resort(),
                    (false, true) => source.asking_others_after(LATER),
                    (false, false) => source,
                })
            }
        };
        let record = candidate.host().map(|host| call.health.record(&host)).unwrap_or_default();
        let (source, meter) = Metered::new(source, call.machine.settings.rate);
        (RaceSource { source: Box::new(source), record }, meter)
    };
    candidates.iter().enumerate().map(racing).unzip()
}

fn pace(call: &Call, plan: &Plan, purpose: Purpose) -> Pace {
    let settings = &call.machine.settings;
    // pacman waits for its files; a file that is fetched in advance can be left for the next time.
    let in_advance = matches!(purpose, Purpose::Prefetch | Purpose::Refresh | Purpose::Keep);
    let usual = if in_advance || call.lists.has_timeouts() { settings.patience } else { WITHOUT_TIMEOUT };
    let patience = match purpose {
        Purpose::Elsewhere { patience } => patience.unwrap_or(usual),
        Purpose::Caller | Purpose::ReadAhead | Purpose::Refresh | Purpose::Keep | Purpose::Prefetch => usual,
    };
    Pace {
        head_start: settings.head_start,
        budget: call.health.head_start(settings.head_start),
        // A database should come from the user's own mirror: another one is asked only when that one is really
        // slow.
        overlap: if plan.expect.size().is_some() { settings.connect / 5 } else { settings.connect },
        stall: settings.stall,
        patience,
        floor: settings.floor,
        mirrors: settings.split,
        least: Pace::LEAST,
        border: Pace::BORDER,
    }
}

/// Returns the sources that may have the root block of the file. The root of a file of one leaf is that leaf, and
/// its sha256 is known anyway.
fn root_block<'a>(
    machine: &Machine,
    http: &'a Http,
    plan: &Plan,
    candidates: &[Candidate],
) -> Option<Box<dyn Roots + 'a>> {
    let (cid, size) = plan.cid.filter(|cid| cid.codec() == Codec::DagPb).zip(plan.expect.size())?;
    let urls = candidates.iter().filter_map(|candidate| match candidate {
        Candidate::Kubo(..) => Some((block_url(&machine.settings.gateway_url(), cid), true)),
        Candidate::Gateway(url, _) => Some((block_url(url, cid), false)),
        Candidate::File(_) | Candidate::Lan(_) | Candidate::House(_) | Candidate::Mirror(_) => None,
    });
    // An index that names the root has its block in its plain copy (man/pkgswarm-index.5).
    let naming = machine.settings.indexes.iter().filter(|index| plan.named_by.contains(&index.name));
    let copies = naming.flat_map(|index| index.urls()).map(|url| (url.below(&format!("/ipfs/{cid}")), false));
    let mut all: Vec<(Url, bool)> = urls.chain(copies).collect();
    all.dedup();
    (!all.is_empty()).then(|| Box::new(RootBlock::new(http, all, cid, size)) as Box<dyn Roots>)
}

/// Lists the sources that sent something else than expected, which the user should know even after a success. One of
/// several whose bytes were mixed is not named: it may have been honest.
fn refused(candidates: &[Candidate], log: &Log) -> Vec<String> {
    let known = log.misses.iter().enumerate().filter(|(position, _)| !log.unattributed.contains(position));
    let lines = known.filter_map(|(_, (index, miss))| match (miss, &candidates[*index]) {
        (Miss::Corrupt(why), candidate @ Candidate::Mirror(_)) => {
            Some(format!("refused from mirror {}: {why}", candidate.label()))
        }
        (Miss::Corrupt(why), candidate) => Some(format!("refused from {}: {why}", candidate.label())),
        _ => None,
    });
    lines.collect()
}

/// Names the peers that were given up because they were too slow: the user should know why a mirror was asked.
fn late(candidates: &[Candidate], log: &Log, shares: &[(usize, u64)], told: &Told) -> Vec<String> {
    let mut late = Vec::new();
    for (index, miss) in &log.misses {
        let is_late = matches!(miss, Miss::Stalled(_) | Miss::Slow(_));
        if !is_late || shares.iter().any(|(sender, _)| sender == index) {
            continue;
        }
        let text = match candidates[*index].kind() {
            SourceKind::Lan => match &candidates[*index] {
                Candidate::House(url) => format!("{} was too slow", http::host(url)),
                _ => told.lan.slow_one(),
            },
            // One that has not the file, and says so, is searching.
            SourceKind::Kubo if told.had_it.get() != Some(false) => "Kubo was too slow".to_owned(),
            SourceKind::Kubo | SourceKind::File | SourceKind::Gateway | SourceKind::Mirror => continue,
        };
        if !late.contains(&text) {
            late.push(text);
        }
    }
    late
}

/// Returns the bytes of each sender, under its name in the journal.
fn by_source(candidates: &[Candidate], shares: &[(usize, u64)]) -> Vec<Contribution> {
    let named = shares.iter().map(|(index, bytes)| Contribution { source: candidates[*index].source(), bytes: *bytes });
    named.filter(|share| share.bytes > 0).collect()
}

/// Moves sources that did not answer lately to the end. The order within each group stays.
fn in_order(health: &Health, candidates: &[Candidate]) -> Vec<Candidate> {
    let is_down = |candidate: &Candidate| candidate.host().is_some_and(|host| health.is_down(&host));
    let (mut order, last): (Vec<Candidate>, Vec<Candidate>) =
        candidates.iter().cloned().partition(|candidate| !is_down(candidate));
    order.extend(last);
    order
}

fn learn(health: &mut Health, candidates: &[Candidate], log: &Log, shares: &[(usize, u64)], had_it: Option<bool>) {
    health.spend(log.head_start_spent);
    for (index, miss) in &log.misses {
        let Some(host) = candidates[*index].host() else { continue };
        match candidates[*index].kind() {
            // A daemon that searches is not down; one that does not even report whether it has the file may be.
            SourceKind::Kubo if had_it.is_some() && matches!(miss, Miss::Stalled(_)) => {}
            kind => health.missed(&host, miss, matches!(kind, SourceKind::Lan | SourceKind::Kubo)),
        }
        if candidates[*index].kind() == SourceKind::Kubo && matches!(miss, Miss::Absent(_) | Miss::Stalled(_)) {
            health.note(&host, SourceRecord::missed);
        }
    }
    for host in log.liars.iter().filter_map(|index| candidates[*index].host()) {
        health.lied(&host);
    }
    for (index, latency, bytes, took) in &log.heard {
        let Some(host) = candidates[*index].host() else { continue };
        health.note(&host, |record| {
            record.answered(*latency);
            record.delivered(*bytes, *took);
        });
    }
    for (index, _) in shares {
        if let Some(host) = candidates[*index].host() {
            health.up(&host);
        }
    }
    health.save();
}

/// Makes the error of a lost race: every source with its miss, the most telling kind, and the hint.
fn lost(machine: &Machine, name: &FileName, plan: &Plan, candidates: &[Candidate], log: &Log) -> Error {
    if let Some((_, Miss::Local(why))) = log.misses.iter().find(|(_, miss)| matches!(miss, Miss::Local(_))) {
        return Error::local(machine.store.dir().display(), why)
            .hint("free some space there, or set store.dir to another place");
    }
    let corrupt = log.misses.iter().any(|(_, miss)| matches!(miss, Miss::Corrupt(_)));
    let kind = if corrupt { ErrorKind::Corrupt } else { ErrorKind::NoSource };
    let message = match plan.expect.size() {
        Some(size) => format!("no source delivered the expected {size} bytes"),
        None => "no source delivered it".to_owned(),
    };
    let mut error = Error::new(kind, name, message);
    for (index, miss) in &log.misses {
        error = error.tried(candidates[*index].line(miss));
    }
    if candidates.is_empty() {
        error = error.tried("there was no source to ask");
    }
    match kind {
        ErrorKind::Corrupt => error.hint("run `pacman -Sy` if your databases are old; else tell the mirror's operator"),
        _ => error,
    }
}
